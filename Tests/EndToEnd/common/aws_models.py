"""Compares what standard input names with AWS's own models. Runs in the environment of checkov (.build/checkov), which has botocore and the
list of IAM actions of policy_sentry; it prints one fault a line.

Input: {"tasks": {name: arguments of RegisterTaskDefinition}, "calls": {service: [operation]}, "actions": [IAM action]}
"""
import json
import os
import sys

import botocore.session
import botocore.validate
import policy_sentry

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import aws_calls  # noqa: E402


def task_faults(session, name, task):
    shape = session.get_service_model("ecs").operation_model("RegisterTaskDefinition").input_shape
    report = botocore.validate.ParamValidator().validate(task, shape)
    return [f"{name}: {line}" for line in report.generate_report().split("\n") if line]


def call_faults(session, service, calls):
    there = set(session.get_service_model(service).operation_names)
    return [f"{service} has no operation {call}" for call in calls if call not in there]


def request_faults(session):
    """Whether aws_calls recognises each call of S3 by its request."""
    faults, model = [], session.get_service_model("s3")
    for call in sorted({call for feature in aws_calls.features().values() if feature["service"] == "s3" for call in feature["calls"]}):
        operation = model.operation_model(call)
        target = operation.http["requestUri"]
        required = [m.serialization["name"] for name, m in operation.input_shape.members.items()
                    if name in operation.input_shape.required_members and m.serialization.get("location") == "querystring"]
        target += "".join(("&" if "?" in target else "?") + f"{name}=1" for name in required)
        found = aws_calls.of_request(operation.http["method"], target)
        faults += [] if found == call else [f"{operation.http['method']} {target} is {call}, not {found}"]
    return faults


def action_faults(actions):
    with open(os.path.join(os.path.dirname(policy_sentry.__file__), "shared", "data", "iam-definition.json")) as f:
        definition = json.load(f)
    faults = []
    for action in actions:
        service, name = action.split(":")
        if name not in definition.get(service, {}).get("privileges", {}):
            faults.append(f"IAM has no action {action}")
    return faults


def main():
    asked, session = json.load(sys.stdin), botocore.session.Session()
    faults = [fault for name, task in asked["tasks"].items() for fault in task_faults(session, name, task)]
    faults += [fault for service, calls in asked["calls"].items() for fault in call_faults(session, service, calls)]
    print("\n".join(faults + action_faults(asked["actions"]) + request_faults(session)))


if __name__ == "__main__":
    main()
