"""Keep callback tokens with their steps, and take the answers."""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING

from local_aws.pipelines.state import Execution, StepRun
from local_aws.pipelines.steps import outputs
from local_aws.protocol import ApiError

if TYPE_CHECKING:
    from local_aws.pipelines.execution.orchestrator import Orchestrator

TOKEN_LENGTH = 10
_ALPHABET = string.ascii_letters + string.digits  # the API's: [a-zA-Z0-9]+


class Callbacks:
    """The callback tokens of all executions, those that were answered too."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self.orchestrator = orchestrator
        self.owners: dict[str, tuple[str, str]] = {}  # token -> execution ARN, step

    def new_token(self, execution: Execution, run: StepRun) -> str:
        """A token that no other step has."""
        while True:
            token = "".join(secrets.choice(_ALPHABET) for _ in range(TOKEN_LENGTH))
            if token not in self.owners:
                self.owners[token] = (execution.arn, run.name)
                return token

    def waiting(self, token: str) -> tuple[Execution, StepRun]:
        """The execution and the step of a callback token.

        Raises:
            ApiError: ResourceNotFound.
        """
        arn, name = self.owners.get(token, ("", ""))
        execution = self.orchestrator.executions.get(arn)
        run = execution.runs.get(name) if execution else None
        if execution is None or run is None or run.token != token:
            raise ApiError("ResourceNotFound", f"No step of a pipeline execution waits for the callback token {token}.")
        return execution, run

    def answer(
        self, token: str, client_token: str | None, verdict: str, given: list[dict[str, str]], reason: str | None
    ) -> Execution:
        """End a Callback step as its answer says.

        AWS does not say what a second answer gets. Here the same answer again (same ClientRequestToken, same result)
        gets what the first got. Any other is a conflict.

        Raises:
            ApiError: ResourceNotFound, ConflictException, or ValidationException for outputs that were not declared.
        """
        execution, run = self.waiting(token)
        if run.answer and run.answer == [verdict, client_token] and client_token:
            return execution
        if not run.running:
            # The first words as a public function quotes them; AWS models ConflictException for this operation.
            raise ApiError(
                "ConflictException",
                f"Step {run.name} is already in a terminal status, but only a step that waits can be answered.",
            )
        work = self.orchestrator.work_of(execution, run)
        if verdict == "Succeeded":
            answered = outputs.of_callback(work.step, given)
            run.properties["OutputParameters"] = answered
            run.metadata["Callback"]["OutputParameters"] = outputs.as_parameters(answered)
        run.answer = [verdict, client_token]
        work.end(verdict, reason or "The callback step was answered with a failure, without a reason.")
        self.orchestrator.advance(execution)
        return execution
