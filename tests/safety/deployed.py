"""What a kit consists of in the account, without the names and the ids that differ between two kits."""

import json

from utils import batch, events, iam, queues
from utils.monitoring import alarms

FUNCTIONS = ("submit-jobs", "check-jobs")
FUNCTION_KEYS = ("Runtime", "Handler", "Timeout", "MemorySize", "CodeSha256")
QUEUE_KEYS = ("VisibilityTimeout", "MessageRetentionPeriod", "RedrivePolicy")
MAPPING_KEYS = ("State", "BatchSize", "FunctionResponseTypes", "ScalingConfig")


def described(session, config, pipeline_policy):
    """The functions, queues, mapping, rule, log groups, alarms and permissions of one kit."""
    made = {
        **_functions(session, config),
        **_queues(session, config),
        "push": _push(session, config),
        "alarms": _alarms(session, config),
    }
    made["permissions"]["pipeline"] = _permissions(pipeline_policy, config)
    # MiniStack's URLs name its host by either of these.
    return json.loads(json.dumps(made).replace(config.prefix, "PREFIX").replace("//localhost:", "//127.0.0.1:"))


def _functions(session, config):
    functions = {
        name: session.client("lambda").get_function_configuration(FunctionName=f"{config.prefix}-{name}")
        for name in FUNCTIONS
    }
    policies = {name: iam.inline_policy(session, each["Role"].rpartition("/")[2]) for name, each in functions.items()}
    groups = [batch.log_group(session, config.lambda_log_group(each["FunctionName"])) for each in functions.values()]
    return {
        "functions": {name: {key: each[key] for key in FUNCTION_KEYS} for name, each in functions.items()},
        "settings": functions["check-jobs"]["Environment"]["Variables"],
        "permissions": {name: _permissions(policy, config) for name, policy in policies.items()},
        "logs": [each["retentionInDays"] for each in groups],
    }


def _permissions(policy, config):
    """Each statement's actions and resources, without the kit's own pipeline, job queue, definitions and bucket."""
    own = [*config.pipeline_arns, *config.job_queue_arns, *config.job_definition_arns, *config.bucket_arns]
    own = tuple(arn for arn in own if config.prefix in arn)
    tutorial = (config.count_inputs_function, config.merge_results_function)  # of notebook 05's pipeline
    return sorted(
        (statement["Sid"], action, resource)
        for statement in policy["Statement"]
        for action, resource in iam.permissions({"Statement": [statement]})
        if not resource.startswith(own) and not resource.endswith(tutorial)
    )


def _queues(session, config):
    attributes = {}
    for name in (config.callback_queue, config.dead_letter_queue):
        url = queues.queue_url(session, name)
        known = session.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        attributes[name] = known | {"RedrivePolicy": json.loads(known.get("RedrivePolicy", "null"))}
    callbacks = attributes[config.callback_queue]
    mapping = queues.find_mapping(session, queue=callbacks["QueueArn"], function=config.check_jobs_function)
    return {
        "queues": {name: {key: each.get(key) for key in QUEUE_KEYS} for name, each in attributes.items()},
        "may send": json.loads(callbacks["Policy"])["Statement"],
        "mapping": {key: mapping[key] for key in MAPPING_KEYS},
    }


def _push(session, config):
    """The rule for jobs that end, and who may call the function."""
    _, name = events.rule_names(config)
    rule = session.client("events").describe_rule(Name=name)
    targets = session.client("events").list_targets_by_rule(Rule=name)["Targets"]
    pattern = json.loads(rule["EventPattern"])
    own = config.arn("batch", f"job-queue/{config.job_queue}")
    pattern["detail"]["jobQueue"] = [arn for arn in pattern["detail"]["jobQueue"] if arn != own]
    policy = json.loads(session.client("lambda").get_policy(FunctionName=config.check_jobs_function)["Policy"])
    return {
        "pattern": pattern,
        "state": rule["State"],
        "targets": [{key: each[key] for key in ("Id", "Arn")} for each in targets],
        "callers": [{key: each[key] for key in each if key != "Sid"} for each in policy["Statement"]],
    }


def _alarms(session, config):
    settings = alarms.alarm_settings(config)
    made = session.client("cloudwatch").describe_alarms(AlarmNames=list(settings))["MetricAlarms"]
    return {each["AlarmName"]: {key: each[key] for key in settings[each["AlarmName"]]} for each in made}
