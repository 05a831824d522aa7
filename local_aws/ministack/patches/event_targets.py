"""A rule reaches only what lets it."""

from __future__ import annotations

import functools
import logging
from typing import Any

EVENTS = "events.amazonaws.com"

log = logging.getLogger("local_aws.ministack")


def apply() -> None:
    """EventBridge reaches a function or a queue only if that one's policy allows it. MiniStack does not check.

    On AWS the event is lost then, as a failed invocation:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    """
    from ministack.core import iam_evaluator as iam
    from ministack.services import eventbridge, lambda_svc, sqs

    known = eventbridge._invoke_target
    policies = {
        "lambda": ("lambda:InvokeFunction", lambda_svc.function_policy_for_arn),
        "sqs": ("sqs:SendMessage", sqs.queue_policy_for_arn),
    }

    @functools.wraps(known)
    def reach(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], *rest: Any, **more: Any) -> None:
        arn = target.get("Arn", "")
        action, policy_of = policies.get(arn.split(":")[2] if arn.count(":") > 2 else "", ("", None))
        if policy_of:
            account = rule["Arn"].split(":")[4]
            context = iam.EvalContext(
                principal_arn=EVENTS, principal_type="Service", principal_account=account, action=action,
                resource_arn=arn, region=rule["Arn"].split(":")[3],
                service_context={"aws:sourcearn": rule["Arn"], "aws:sourceaccount": account},
            )  # fmt: skip
            policy, _ = policy_of(arn) or (None, None)
            if iam.evaluate_resource_policy(policy, context, service=EVENTS).decision != "Allow":
                log.warning("%s has no policy that lets the rule %s reach it: an event is lost.", arn, rule["Arn"])
                return
        known(target, event, rule, *rest, **more)

    eventbridge._invoke_target = reach
