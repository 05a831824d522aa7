"""Call other services as a pipeline's role, in threads, so that nothing holds up the event loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions

from local_aws.pipelines.execution.failures import StepFailed
from local_aws.pipelines.state import Execution

SERVICE = "sagemaker.amazonaws.com"
THREADS = 512
# "Pipelines automatically retries such errors" (throttling, service faults): pipelines-retry-policy.html. How often
# AWS does is not documented.
SERVICE_RETRIES = 5
SERVICE_RETRY_SECONDS = 0.5


class RoleCalls:
    """What executions call as their pipelines' roles."""

    def __init__(self, ministack: Any) -> None:
        self.ministack = ministack
        self._threads = ThreadPoolExecutor(THREADS, "pipelines")

    def close(self, *, wait: bool = False) -> None:
        """Start no call any more. `wait` until those under way have ended."""
        self._threads.shutdown(wait=wait, cancel_futures=True)

    def credentials(self, execution: Execution) -> Any:
        """Credentials of the pipeline's role, which must trust SageMaker now."""
        return self.ministack.assume_role(
            execution.role_arn, SERVICE, session_name="SageMaker", source_arn=execution.arn
        )

    async def in_thread(self, work: Callable, *args: Any, **kwargs: Any) -> Any:
        """Do blocking work off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, functools.partial(work, *args, **kwargs))

    async def call(
        self, execution: Execution, service: str, method: str, seconds: float | None = None, **arguments: Any
    ) -> Any:
        """Make one API call as the pipeline's role. Throttling and service faults are retried, as AWS does.

        Args:
            seconds: how long to wait for an answer. None is botocore's limit of 60.

        Raises:
            StepFailed: the service refused, in its own words.
        """
        credentials = self.credentials(execution)
        settings = {"retries": {"total_max_attempts": 1}, "max_pool_connections": THREADS}
        if seconds:
            settings |= {"read_timeout": seconds}

        def call() -> Any:
            client = self.ministack.client(service, credentials, execution.region, **settings)
            return getattr(client, method)(**arguments)

        action = "".join(part.capitalize() for part in method.split("_"))
        failed = f"ClientError: Failed to invoke {service}:{'InvokeFunction' if action == 'Invoke' else action}."
        for attempt in range(SERVICE_RETRIES + 1):
            try:
                return await self.in_thread(call)
            except botocore.exceptions.ClientError as error:
                if attempt == SERVICE_RETRIES or not _is_passing(error):
                    details = error.response.get("Error", {}).get("Message") or str(error)
                    raise StepFailed(f"{failed} Error Details: {details}") from None
            except botocore.exceptions.ReadTimeoutError:
                # Not retried: the call may have been carried out.
                raise StepFailed(f"{failed} Error Details: it did not answer in time", timed_out=True) from None
            except (botocore.exceptions.BotoCoreError, ValueError) as error:
                raise StepFailed(f"{failed} Error Details: {error}") from None
            await asyncio.sleep(SERVICE_RETRY_SECONDS * 2**attempt)
        raise AssertionError("unreachable")


def _is_passing(error: botocore.exceptions.ClientError) -> bool:
    """Whether a service may answer otherwise in a moment, after throttling or an internal fault."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status == 429 or status >= 500 or "Throttling" in error.response.get("Error", {}).get("Code", "")
