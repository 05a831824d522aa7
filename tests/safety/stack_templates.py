"""A template of CloudFormation with every type and most functions, for a fuzzer to spoil."""

from __future__ import annotations

from typing import Any

_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": {"Fn::GetAtt": ["Queue", "Arn"]}}],
}

TEMPLATE: dict[str, Any] = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Description": "Of everything a little",
    "Parameters": {"Seconds": {"Type": "Number", "Default": 7, "MinValue": 0}, "Names": {"Type": "CommaDelimitedList",
                   "Default": "a,b"}, "Kind": {"Type": "String", "Default": "a", "AllowedValues": ["a", "b"]}},
    "Mappings": {"Sizes": {"a": {"Memory": 128}, "b": {"Memory": 256}}},
    "Conditions": {
        "Always": {"Fn::Equals": [{"Ref": "AWS::Partition"}, "aws"]},
        "Never": {"Fn::And": [{"Fn::Not": [{"Condition": "Always"}]}, {"Fn::Equals": [{"Ref": "Kind"}, "b"]}]},
    },
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue", "DeletionPolicy": "Delete", "Properties": {
            "DelaySeconds": {"Ref": "Seconds"}, "Tags": [{"Key": "a", "Value": {"Fn::Select": [0, {"Ref": "Names"}]}}],
            "RedrivePolicy": {"Fn::If": ["Never", {"maxReceiveCount": 3}, {"Ref": "AWS::NoValue"}]}}},
        "Access": {"Type": "AWS::SQS::QueuePolicy", "Properties": {
            "Queues": [{"Ref": "Queue"}], "PolicyDocument": {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}]}}},
        "Role": {"Type": "AWS::IAM::Role", "Properties": {
            "AssumeRolePolicyDocument": _TRUST, "Policies": [{"PolicyName": "p", "PolicyDocument": _POLICY}]}},
        "Policy": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {
            "PolicyDocument": _POLICY, "Roles": [{"Ref": "Role"}]}},
        "Function": {"Type": "AWS::Lambda::Function", "DependsOn": ["Policy"], "Properties": {
            "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Runtime": "python3.13", "Handler": "index.handler", "Timeout": 3,
            "MemorySize": {"Fn::FindInMap": ["Sizes", {"Ref": "Kind"}, "Memory"]},
            "Environment": {"Variables": {"A": {"Fn::Join": ["-", ["a", {"Ref": "AWS::StackName"}]]}}},
            "Code": {"ZipFile": "def handler(event, context): return 1"}}},
        "Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {
            "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]}, "FunctionName": {"Ref": "Function"}, "BatchSize": 2}},
        "Permission": {"Type": "AWS::Lambda::Permission", "Properties": {
            "Action": "lambda:InvokeFunction", "FunctionName": {"Ref": "Function"}, "Principal": "events.amazonaws.com",
            "SourceArn": {"Fn::GetAtt": ["Rule", "Arn"]}}},
        "Rule": {"Type": "AWS::Events::Rule", "Properties": {
            "EventPattern": {"source": ["aws.batch"]}, "State": "ENABLED",
            "Targets": [{"Id": "t", "Arn": {"Fn::GetAtt": ["Queue", "Arn"]}}]}},
        "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Condition": "Always", "Properties": {
            "MetricName": "Errors", "Namespace": "AWS/Lambda", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1,
            "Threshold": 1, "ComparisonOperator": "GreaterThanThreshold",
            "Dimensions": [{"Name": "FunctionName", "Value": {"Ref": "Function"}}]}},
        "Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {
            "LogGroupName": {"Fn::Sub": "/fuzz/${AWS::StackName}/${Kind}"}, "RetentionInDays": 7}},
    },
    "Outputs": {
        "Url": {"Value": {"Ref": "Queue"}, "Description": "d"},
        "Arn": {"Value": {"Fn::Sub": ["${A}/${Queue.Arn}", {"A": {"Ref": "Kind"}}]}, "Condition": "Always",
                "Export": {"Name": {"Fn::Sub": "${AWS::StackName}-arn"}}},
    },
}  # fmt: skip
