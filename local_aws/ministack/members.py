"""What is done with each member of a request to MiniStack's services, for the operations that the kit uses.

A test holds these tables against botocore's models, and README.md against these tables. A member is written as its path
in the request, `[]` for each item of a list and `{}` for each value of a map. It stands for all that it contains, too.
The operations that are not named here are MiniStack's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.model import OperationModel, Shape

from local_aws.ministack import bucket_members

_FUNCTION = "FunctionName Role Handler Runtime Timeout Environment Layers DeadLetterConfig LoggingConfig.LogGroup"
_ALARM = """AlarmName ActionsEnabled MetricName Namespace Statistic ExtendedStatistic Dimensions Period Unit
    OKActions AlarmActions InsufficientDataActions EvaluationPeriods DatapointsToAlarm Threshold
    ComparisonOperator TreatMissingData Tags"""
_DATA = """StartTime EndTime MetricDataQueries[].Id MetricDataQueries[].Label MetricDataQueries[].ReturnData
    MetricDataQueries[].MetricStat.Metric MetricDataQueries[].MetricStat.Period MetricDataQueries[].MetricStat.Stat"""
_METRIC = "MetricName Dimensions Timestamp Value StatisticValues Values Counts Unit"
_MAPPING = "FunctionName Enabled BatchSize FilterCriteria ScalingConfig FunctionResponseTypes"
_LOG_EVENTS = "logGroupName logGroupIdentifier startTime endTime nextToken limit startFromHead"
_SIMULATED = """PolicyInputList PermissionsBoundaryPolicyInputList ActionNames ResourceArns MaxItems Marker
    ContextEntries[].ContextKeyName ContextEntries[].ContextKeyValues"""
_MESSAGE = "MessageBody DelaySeconds MessageDeduplicationId MessageGroupId"
_ATTRIBUTES = "MessageAttributes{}.StringValue MessageAttributes{}.BinaryValue MessageAttributes{}.DataType"
_TEMPLATE = "TemplateBody TemplateURL"
_STACK = f"""StackName {_TEMPLATE} Parameters[].ParameterKey Parameters[].ParameterValue Capabilities Tags"""
_CREATED = "DisableRollback RetainExceptOnCreate ClientRequestToken"

# Members that decide what happens.
HONOURED: dict[str, dict[str, str]] = {
    "iam": {
        "CreateRole": "Path RoleName AssumeRolePolicyDocument Description MaxSessionDuration PermissionsBoundary Tags",
        "DeleteRole": "RoleName",
        "GetRole": "RoleName",
        "UpdateAssumeRolePolicy": "RoleName PolicyDocument",
        "PutRolePolicy": "RoleName PolicyName PolicyDocument",
        "GetRolePolicy": "RoleName PolicyName",
        "DeleteRolePolicy": "RoleName PolicyName",
        "AttachRolePolicy": "RoleName PolicyArn",
        "DetachRolePolicy": "RoleName PolicyArn",
        "ListRolePolicies": "RoleName",
        "ListAttachedRolePolicies": "RoleName",
        "ListRoleTags": "RoleName",
        "TagRole": "RoleName Tags",
        "CreateServiceLinkedRole": "AWSServiceName",
        "GetAccountSummary": "",
        "SimulatePrincipalPolicy": f"PolicySourceArn {_SIMULATED}",
        "SimulateCustomPolicy": _SIMULATED,
    },
    "sts": {
        "GetCallerIdentity": "",
        "AssumeRole": "RoleArn RoleSessionName PolicyArns Policy DurationSeconds Tags ExternalId",
    },
    "sqs": {
        "CreateQueue": "QueueName Attributes tags",
        "DeleteQueue": "QueueUrl",
        "GetQueueUrl": "QueueName QueueOwnerAWSAccountId",
        "ListQueues": "QueueNamePrefix NextToken MaxResults",
        "GetQueueAttributes": "QueueUrl AttributeNames",
        "SetQueueAttributes": "QueueUrl Attributes",
        "TagQueue": "QueueUrl Tags",
        "UntagQueue": "QueueUrl TagKeys",
        "ListQueueTags": "QueueUrl",
        "PurgeQueue": "QueueUrl",
        "SendMessage": f"QueueUrl {_MESSAGE} {_ATTRIBUTES} MessageSystemAttributes{{}}.StringValue "
        "MessageSystemAttributes{}.DataType",
        "SendMessageBatch": "QueueUrl Entries[].Id "
        + " ".join(f"Entries[].{member}" for member in f"{_MESSAGE} {_ATTRIBUTES}".split()),
        "ReceiveMessage": "QueueUrl AttributeNames MessageSystemAttributeNames MessageAttributeNames "
        "MaxNumberOfMessages VisibilityTimeout WaitTimeSeconds",
        "DeleteMessage": "QueueUrl ReceiptHandle",
        "DeleteMessageBatch": "QueueUrl Entries",
        "ChangeMessageVisibility": "QueueUrl ReceiptHandle VisibilityTimeout",
        "ChangeMessageVisibilityBatch": "QueueUrl Entries",
    },
    "lambda": {
        "CreateFunction": f"{_FUNCTION} Code.ZipFile Code.S3Bucket Code.S3Key Code.S3ObjectVersion PackageType Publish "
        "Tags",
        "UpdateFunctionConfiguration": f"{_FUNCTION} RevisionId",
        "UpdateFunctionCode": "FunctionName ZipFile S3Bucket S3Key S3ObjectVersion Publish RevisionId",
        "DeleteFunction": "FunctionName Qualifier",
        "GetFunction": "FunctionName Qualifier",
        "GetFunctionConfiguration": "FunctionName Qualifier",
        "ListFunctions": "Marker MaxItems",
        "Invoke": "FunctionName InvocationType LogType Qualifier Payload",
        "AddPermission": "FunctionName StatementId Action Principal SourceArn FunctionUrlAuthType SourceAccount "
        "InvokedViaFunctionUrl EventSourceToken Qualifier PrincipalOrgID",
        "RemovePermission": "FunctionName StatementId Qualifier",
        "GetPolicy": "FunctionName Qualifier",
        "CreateEventSourceMapping": f"{_MAPPING} EventSourceArn Tags",
        "UpdateEventSourceMapping": f"{_MAPPING} UUID",
        "GetEventSourceMapping": "UUID",
        "DeleteEventSourceMapping": "UUID",
        "ListEventSourceMappings": "EventSourceArn FunctionName Marker MaxItems",
        "TagResource": "Resource Tags",
        "UntagResource": "Resource TagKeys",
        "ListTags": "Resource",
        "GetAccountSettings": "",
    },
    "events": {
        "PutRule": "Name ScheduleExpression EventPattern State Description Tags EventBusName",
        "DescribeRule": "Name EventBusName",
        "DeleteRule": "Name EventBusName",
        "ListRules": "NamePrefix EventBusName NextToken Limit",
        "PutTargets": "Rule EventBusName Targets[].Id Targets[].Arn Targets[].Input Targets[].InputPath "
        "Targets[].InputTransformer Targets[].SqsParameters Targets[].DeadLetterConfig",
        "RemoveTargets": "Rule EventBusName Ids",
        "ListTargetsByRule": "Rule EventBusName",
        "PutEvents": "Entries[].Time Entries[].Source Entries[].Resources Entries[].DetailType Entries[].Detail "
        "Entries[].EventBusName",
        "TagResource": "ResourceARN Tags",
        "UntagResource": "ResourceARN TagKeys",
        "ListTagsForResource": "ResourceARN",
    },
    "logs": {
        "CreateLogGroup": "logGroupName tags",
        "DeleteLogGroup": "logGroupName",
        "DescribeLogGroups": "logGroupNamePrefix logGroupNamePattern nextToken limit",
        "PutRetentionPolicy": "logGroupName",
        "CreateLogStream": "logGroupName logStreamName",
        "DescribeLogStreams": "logGroupName logGroupIdentifier logStreamNamePrefix orderBy descending nextToken limit",
        "PutLogEvents": "logGroupName logStreamName logEvents",
        "GetLogEvents": f"{_LOG_EVENTS} logStreamName",
        "FilterLogEvents": f"{_LOG_EVENTS} logStreamNames logStreamNamePrefix filterPattern",
        "TagResource": "resourceArn tags",
        "UntagResource": "resourceArn tagKeys",
        "ListTagsForResource": "resourceArn",
    },
    "monitoring": {
        "PutMetricAlarm": _ALARM,
        "DescribeAlarms": "AlarmNames AlarmNamePrefix AlarmTypes StateValue MaxRecords NextToken",
        "DeleteAlarms": "AlarmNames",
        "PutDashboard": "DashboardName DashboardBody",
        "GetDashboard": "DashboardName",
        "DeleteDashboards": "DashboardNames",
        "GetMetricStatistics": "Namespace MetricName Dimensions StartTime EndTime Period Statistics ExtendedStatistics",
        "GetMetricData": _DATA,
        "PutMetricData": "Namespace " + " ".join(f"MetricData[].{member}" for member in _METRIC.split()),
        "TagResource": "ResourceARN Tags",
        "UntagResource": "ResourceARN TagKeys",
        "ListTagsForResource": "ResourceARN",
    },
    "sns": {
        "CreateTopic": "Name Attributes Tags",
        "DeleteTopic": "TopicArn",
        "ListTopics": "NextToken",
        "GetTopicAttributes": "TopicArn",
        "Subscribe": "TopicArn Protocol Endpoint Attributes",
        "Unsubscribe": "SubscriptionArn",
        "ListSubscriptionsByTopic": "TopicArn",
        "Publish": "TopicArn TargetArn Message Subject MessageStructure MessageAttributes MessageDeduplicationId "
        "MessageGroupId",
    },
    "cloudformation": {
        "CreateStack": f"{_STACK} {_CREATED} OnFailure EnableTerminationProtection",
        "UpdateStack": f"{_STACK} {_CREATED} UsePreviousTemplate Parameters[].UsePreviousValue",
        "DeleteStack": "StackName RetainResources ClientRequestToken DeletionMode",
        "DescribeStacks": "StackName NextToken",
        "ListStacks": "StackStatusFilter NextToken",
        "DescribeStackEvents": "StackName NextToken",
        "DescribeStackResource": "StackName LogicalResourceId",
        "DescribeStackResources": "StackName LogicalResourceId",
        "ListStackResources": "StackName NextToken",
        "GetTemplate": "StackName ChangeSetName",
        "GetTemplateSummary": f"StackName {_TEMPLATE}",
        "ValidateTemplate": _TEMPLATE,
        "CreateChangeSet": f"{_STACK} UsePreviousTemplate Parameters[].UsePreviousValue ChangeSetName Description "
        "ChangeSetType OnStackFailure",
        "DescribeChangeSet": "StackName ChangeSetName",
        "ExecuteChangeSet": f"StackName ChangeSetName {_CREATED}",
        "DeleteChangeSet": "StackName ChangeSetName",
        "ListChangeSets": "StackName NextToken",
    },
    "ec2": {
        "DescribeVpcs": "Filters VpcIds",
        "DescribeSubnets": "Filters SubnetIds",
        "DescribeSecurityGroups": "Filters GroupIds GroupNames",
    },
    "tagging": {
        "GetResources": "TagFilters ResourceTypeFilters ResourceARNList",
    },
    "s3": bucket_members.HONOURED,
}

_PAGES = "all are in one answer"
_SHOWN = "shown, no more"
_MACHINE = "a function has this machine's"
_WHOLE = {"Marker": _PAGES, "MaxItems": _PAGES}
_NUMBERED = {"MaxResults": _PAGES, "NextToken": _PAGES}
_OF_FUNCTIONS = {
    "Description": _SHOWN,
    "MemorySize": "shown, also in the function's context; a function has this machine's memory",
    "EphemeralStorage": f"{_MACHINE} disk",
    "TracingConfig": "X-Ray is not here",
    "LoggingConfig.LogFormat": "logs are text",
    "LoggingConfig.ApplicationLogLevel": "logs are text",
    "LoggingConfig.SystemLogLevel": "logs are text",
    "SnapStart": "only None is taken",
}
_TYPES = {"ContextEntries[].ContextKeyType": "a condition's operator says how a value is read"}
_WINDOW = {"MaximumBatchingWindowInSeconds": "a batch goes as soon as there is a message, with ten at most"}

# Members that are checked as AWS checks them, and change nothing here: why.
WITHOUT_EFFECT: dict[str, dict[str, dict[str, str]]] = {
    "iam": {
        **dict.fromkeys(("ListRolePolicies", "ListAttachedRolePolicies", "ListRoleTags"), _WHOLE),
        **dict.fromkeys(("SimulatePrincipalPolicy", "SimulateCustomPolicy"), _TYPES),
    },
    "sqs": {"ReceiveMessage": {"ReceiveRequestAttemptId": "each call receives anew"}},
    "lambda": {
        "CreateFunction": {**_OF_FUNCTIONS, "Architectures": f"{_MACHINE} architecture"},
        "UpdateFunctionConfiguration": _OF_FUNCTIONS,
        "UpdateFunctionCode": {"Architectures": f"{_MACHINE} architecture"},
        "CreateEventSourceMapping": _WINDOW,
        "UpdateEventSourceMapping": _WINDOW,
    },
    "events": {
        "PutRule": {"RoleArn": "a target's own policy lets a rule reach it"},
        "PutTargets": {"Targets[].RoleArn": "a target's own policy lets a rule reach it"},
        "DeleteRule": {"Force": "no rule is managed by a service"},
        "RemoveTargets": {"Force": "no rule is managed by a service"},
        "PutEvents": {"Entries[].TraceHeader": "X-Ray is not here"},
        "ListTargetsByRule": {"NextToken": _PAGES, "Limit": _PAGES},
    },
    "logs": {
        "CreateLogGroup": {"logGroupClass": _SHOWN},
        "PutRetentionPolicy": {"retentionInDays": "shown; nothing is deleted before the server ends"},
        "PutLogEvents": {"sequenceToken": "AWS ignores it, too"},
        "GetLogEvents": {"unmask": "nothing is masked"},
        "FilterLogEvents": {"unmask": "nothing is masked", "interleaved": "AWS ignores it, too"},
    },
    "monitoring": {
        "PutMetricAlarm": {
            "AlarmDescription": _SHOWN,
        },
        "PutMetricData": {"MetricData[].StorageResolution": "all metrics are kept alike"},
    },
    "sns": {
        "Subscribe": {"ReturnSubscriptionArn": "the ARN is always answered, since nothing waits for a confirmation"},
        "ListSubscriptionsByTopic": {"NextToken": _PAGES},
    },
    "cloudformation": {
        "GetTemplate": {"TemplateStage": "there are no transforms, so both stages are alike"},
        "DescribeChangeSet": {"NextToken": _PAGES},
    },
    "ec2": dict.fromkeys(("DescribeVpcs", "DescribeSubnets", "DescribeSecurityGroups"), _NUMBERED),
    "tagging": {
        "GetResources": {
            **dict.fromkeys(("PaginationToken", "ResourcesPerPage", "TagsPerPage"), _PAGES),
            "IncludeComplianceDetails": "tag policies are not here",
            "ExcludeCompliantResources": "tag policies are not here",
        }
    },
    "s3": bucket_members.WITHOUT_EFFECT,
}


def unsupported(service: str, operation: OperationModel, params: dict[str, Any]) -> str | None:
    """The first member that a request of a covered operation has and the embedded AWS does not."""
    honoured = HONOURED.get(service, {}).get(operation.name)
    if honoured is None or operation.input_shape is None:
        return None
    known = [*honoured.split(), *WITHOUT_EFFECT.get(service, {}).get(operation.name, {})]
    paths = _paths(params, operation.input_shape, "")
    return next((path for path in paths if not any(covers(one, path) for one in known)), None)


def covers(known: str, path: str) -> bool:
    """Whether a path of the tables is this member, or contains it."""
    return path == known or (path.startswith(known) and path[len(known)] in ".[{")


def _paths(value: Any, shape: Shape, at: str) -> Iterator[str]:
    """The paths of the members that are there and say something."""
    kind = shape.type_name
    if kind == "structure" and shape.members and isinstance(value, dict):
        for name, item in value.items():
            if name in shape.members:
                yield from _paths(item, shape.members[name], f"{at}.{name}" if at else name)
    elif kind == "list" and isinstance(value, list):
        for item in value:
            yield from _paths(item, shape.member, f"{at}[]")
    elif kind == "map" and isinstance(value, dict) and shape.value.type_name in ("structure", "list"):
        for item in value.values():
            yield from _paths(item, shape.value, f"{at}{{}}")
    elif kind == "structure" or not (value is None or value is False or value in ("", b"", {})):
        yield at  # zero says something, though it equals False
