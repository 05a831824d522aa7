"""What AWS Batch checks of names, tags, retry strategies and commands, wherever they stand in a request."""

from __future__ import annotations

import re
from typing import Any

from local_aws.batch.model.errors import client_error, rejected

MAX_RETRY_RULES = 5
MAX_SHARES = 500

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


def check_name(name: str, kind: str) -> None:
    if not NAME.fullmatch(name):
        raise client_error(
            f"{kind} {name!r} is not valid. It has up to 128 letters, numbers, hyphens and underscores, and begins "
            "with a letter or number."
        )


def check_retry_strategy(strategy: dict[str, Any] | None) -> None:
    """https://docs.aws.amazon.com/batch/latest/APIReference/API_RetryStrategy.html"""
    if strategy is None:
        return
    attempts = strategy.get("attempts")
    rules = strategy.get("evaluateOnExit", [])
    if attempts is None:
        # Also for an empty strategy: TestAccBatchJobDefinition_emptyRetryStrategy in
        # https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/batch/job_definition_test.go
        raise rejected("RetryAttempts must be provided with retry strategy")
    if not 1 <= attempts <= 10:
        raise client_error("retryStrategy.attempts must be between 1 and 10.")
    if len(rules) > MAX_RETRY_RULES:
        raise client_error(f"Up to {MAX_RETRY_RULES} evaluateOnExit condition can be specified.")
    for rule in rules:
        patterns = {name: rule[name] for name in ("onStatusReason", "onReason", "onExitCode") if name in rule}
        if not patterns:
            raise client_error("A rule of evaluateOnExit needs onStatusReason, onReason or onExitCode.")
        for name, pattern in patterns.items():
            allowed = r"[0-9]*\*?" if name == "onExitCode" else r"[A-Za-z0-9.:\s]*\*?"
            if not pattern or len(pattern) > 512 or not re.fullmatch(allowed, pattern):
                raise client_error(
                    "Evaluate on exit condition contains restricted characters. "
                    f"{name} {pattern!r} may have up to 512 "
                    + ("digits" if name == "onExitCode" else "letters, numbers, periods, colons and white space")
                    + ", with one asterisk at most, at the end."
                )


def described_retry_strategy(strategy: dict[str, Any]) -> dict[str, Any]:
    """A retry strategy as Batch shows it: with its rules, their actions in lower case whatever was sent.

    https://github.com/hashicorp/terraform-provider-aws/issues/19624
    """
    rules = [{**rule, "action": rule["action"].lower()} for rule in strategy.get("evaluateOnExit", [])]
    return {**strategy, "evaluateOnExit": rules}


def check_timeout(timeout: dict[str, Any]) -> None:
    """https://docs.aws.amazon.com/batch/latest/userguide/job_timeouts.html"""
    if timeout.get("attemptDurationSeconds", 60) < 60:
        raise client_error("timeout.attemptDurationSeconds must be at least 60.")


def check_command(command: list[str]) -> None:
    if any(word == "" for word in command):
        raise client_error("command can't contain an empty string.")


def check_environment(environment: list[dict[str, str]]) -> None:
    for variable in environment:
        if not variable.get("name"):
            raise client_error("An environment variable needs a name.")
        if variable["name"].startswith("AWS_BATCH"):
            raise client_error(
                f"The environment variable {variable['name']} is not valid: names that begin with AWS_BATCH are "
                "reserved for variables that AWS Batch sets."
            )


def check_scheduling_priority(priority: int | None) -> None:
    if priority is not None and not 0 <= priority <= 9999:
        raise client_error("schedulingPriority must be between 0 and 9999.")


def check_share(share: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9]{0,255}\*?", share) or not share:
        raise client_error(
            f"shareIdentifier {share!r} is not valid. It has up to 255 letters and numbers, and may end with *."
        )


def check_tags(tags: dict[str, str]) -> None:
    """https://docs.aws.amazon.com/batch/latest/userguide/using-tags.html"""
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise client_error(f"The tag {key!r} is not valid. Keys have 1 to 128 characters, values up to 256.")
        if key.lower().startswith("aws:"):
            raise client_error(f"The tag {key!r} is not valid. Keys that begin with aws: are reserved.")
    if len(tags) > 50:
        raise client_error("A resource can have at most 50 tags.")
