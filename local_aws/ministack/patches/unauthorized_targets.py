"""A rule reaches only what lets it, and what it does not reach goes to its dead-letter queue."""

from __future__ import annotations

import functools
import json
import logging
from typing import Any

EVENTS = "events.amazonaws.com"

log = logging.getLogger("local_aws.ministack")


def apply() -> None:
    """EventBridge reaches a function or a queue only if that one's policy allows it. MiniStack does not check.

    On AWS the event is a failed invocation then. It goes to the target's dead-letter queue, or is lost:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    from ministack.core import iam_evaluator as iam
    from ministack.services import eventbridge, lambda_svc, sqs

    known = eventbridge._invoke_target
    policies = {
        "lambda": ("lambda:InvokeFunction", lambda_svc.function_policy_for_arn),
        "sqs": ("sqs:SendMessage", sqs.queue_policy_for_arn),
    }

    def refusal(arn: str, rule: dict[str, Any]) -> tuple[str, str] | None:
        """Code and sentence of why a rule does not reach a function or a queue."""
        action, policy_of = policies.get(arn.split(":")[2] if arn.count(":") > 2 else "", ("", None))
        if not policy_of:
            return None
        account = rule["Arn"].split(":")[4]
        context = iam.EvalContext(
            principal_arn=EVENTS, principal_type="Service", principal_account=account, action=action,
            resource_arn=arn, region=rule["Arn"].split(":")[3],
            service_context={"aws:sourcearn": rule["Arn"], "aws:sourceaccount": account},
        )  # fmt: skip
        found = policy_of(arn)
        if found is None:
            return "NO_RESOURCE", f"{arn} does not exist."
        if iam.evaluate_resource_policy(found[0], context, service=EVENTS).decision != "Allow":
            return "NO_PERMISSIONS", f"{arn} has no policy that lets the rule {rule['Arn']} reach it."
        return None

    @functools.wraps(known)
    def reach(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], *rest: Any, **more: Any) -> None:
        arn = target.get("Arn", "")
        refused = refusal(arn, rule)
        if not refused:
            known(target, event, rule, *rest, **more)
            return
        dead = (target.get("DeadLetterConfig") or {}).get("Arn", "")
        queue = sqs._queue_by_arn(dead) if dead and not refusal(dead, rule) else None
        if not queue or queue["is_fifo"]:
            log.warning("%s An event is lost.", refused[1])
            return
        about = {"RULE_ARN": rule["Arn"], "TARGET_ARN": arn, "ERROR_CODE": refused[0], "ERROR_MESSAGE": refused[1]}
        attributes = {name: {"DataType": "String", "StringValue": value} for name, value in about.items()}
        body = json.dumps(eventbridge._pattern_event_view(event).event_with_detail())
        sqs._act_send_message({"QueueUrl": queue["url"], "MessageBody": body, "MessageAttributes": attributes}, "")

    eventbridge._invoke_target = reach
