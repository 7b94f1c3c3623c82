"""Which AWS calls each feature makes, and what each needs: Fixtures/aws_calls.json. The policies of Deploy/Terraform have these actions, and
drivers compare the calls that they counted with the table."""
import json
import os
import re
import urllib.parse

TABLE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Fixtures", "aws_calls.json")
# Of S3's requests: the method, a name of the query that only this call has ("" for none), and the call.
S3 = [
    ("GET", "list-type", "ListObjectsV2"), ("GET", "uploads", "ListMultipartUploads"), ("GET", "versioning", "GetBucketVersioning"),
    ("GET", "lifecycle", "GetBucketLifecycleConfiguration"), ("GET", "object-lock", "GetObjectLockConfiguration"), ("GET", "encryption", "GetBucketEncryption"),
    ("GET", "", "GetObject"),
    ("PUT", "partNumber", "UploadPart"), ("PUT", "", "PutObject"), ("POST", "uploads", "CreateMultipartUpload"),
    ("POST", "uploadId", "CompleteMultipartUpload"), ("DELETE", "uploadId", "AbortMultipartUpload"), ("DELETE", "", "DeleteObject"),
]
# What a request may have without being another call.
PLAIN = {"x-id", "versionId"}


def features():
    """{feature: {for, service, made_by, calls: {call: [actions]}, also: {action: reason}}}. `planned`: Weir does not make the calls yet;
    `policy: null`: the module has no policy for it."""
    with open(TABLE) as f:
        return json.load(f)


def actions(feature):
    """The actions that a feature needs: those of its calls, and those that a service asks for on the caller's behalf."""
    return {action for needed in feature["calls"].values() for action in needed} | set(feature["also"])


def unlisted(counted, *names):
    """Faults: calls that were made, and that none of the features has; so no policy allows them. `counted`: calls, or {call: count}."""
    listed = {call for name in names for call in features()[name]["calls"]}
    return [f"{call} was made, and aws_calls.json does not list it for {' or '.join(names)}" for call in sorted(set(counted) - listed)]


def unused(counted, *names):
    """Faults: calls that a policy allows, and that were not made by a run that should make all of them."""
    listed = {call for name in names for call in features()[name]["calls"]}
    return [f"{call} was not made, and aws_calls.json lists it for {' or '.join(names)}" for call in sorted(listed - set(counted))]


def of_request(method, target, headers=None):
    """The call of an HTTP request, as a proxy sees it; METHOD and query where it is none of those that S3 lists.

    headers: with X-Amz-Target the request is one of DynamoDB or of another service of its protocol.
    """
    aim = {name.lower(): value for name, value in (headers or {}).items()}.get("x-amz-target")
    if aim:
        return aim.rpartition(".")[2]
    query = set(urllib.parse.parse_qs(urllib.parse.urlsplit(target).query, keep_blank_values=True)) - PLAIN
    for verb, name, call in S3:
        if verb == method and (name in query if name else not query):
            return call
    return re.sub(r"=[^&]*", "", f"{method} ?{'&'.join(sorted(query))}")
