"""Jobs whose lake is in a bucket and whose state is in a table of DynamoDB or Redis: hosts that have only endpoints in common."""
import contextlib
import itertools
import json
import os
import subprocess

import boto3
import botocore.exceptions

import aws
import common
import tables

REGION = "us-east-1"
BUCKET = "weir-hosts"
KEYS = {"aws_access_key_id": aws.KEYS["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": aws.KEYS["AWS_SECRET_ACCESS_KEY"]}
numbers = itertools.count()
# `weir state scan` of the comparison runs with this process's environment.
os.environ.update(aws.KEYS, AWS_REGION=REGION, AWS_EC2_METADATA_DISABLED="true")


def client(service, server):
    return boto3.client(service, endpoint_url=server.url, region_name=REGION, **KEYS)


def storage_options(server):
    """Of delta-rs."""
    return {"AWS_ENDPOINT_URL": server.url, "AWS_ALLOW_HTTP": "true", "AWS_REGION": REGION, "aws_conditional_put": "etag", **aws.KEYS}


@contextlib.contextmanager
def running(make, suite):
    """A server with the bucket."""
    server = make(suite)
    try:
        client("s3", server).create_bucket(Bucket=BUCKET)
        yield server
    finally:
        server.close()


class RemoteJob(common.Job):
    """A job on one host: its directory, and the endpoints of the others."""

    def __init__(self, suite, name, pipeline, captures, server, proxy=None, **more):
        super().__init__(suite, suite.path(name), pipeline, captures, **more)
        self.server, self.s3, self.label = server, client("s3", server), name
        self.prefix = f"lake/{name}"
        self.lake = f"s3://{BUCKET}/{self.prefix}"
        self.through(proxy or server)

    def through(self, proxy):
        """Its requests take this way."""
        self.environment = aws.environment(self.suite, **aws.KEYS, AWS_REGION=REGION, AWS_ENDPOINT_URL_S3=proxy.url)
        self.store = f"dynamodb://weir-{self.label}?region={REGION}&endpoint={proxy.url}"

    def host(self, name):
        """The same job on another host."""
        other = RemoteJob.__new__(RemoteJob)
        other.__dict__.update(self.__dict__)
        other.directory = os.path.join(self.directory, name)
        os.makedirs(other.directory)
        other.pipeline = os.path.join(other.directory, os.path.basename(self.pipeline))
        with open(self.pipeline) as f, open(other.pipeline, "w") as g:
            g.write(f.read())
        other.environment = {**self.environment, "HOME": other.directory}
        return other

    def start(self, *more):
        return subprocess.Popen(self.command(*more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, errors="replace", env=self.environment, cwd=self.directory)

    def read_entry(self, number):
        """An entry of the ledger, or None."""
        try:
            key = f"{self.prefix}/_weir/{self.name}/ledger/{number:020}.json"
            return json.load(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"])
        except botocore.exceptions.ClientError as e:
            if e.response["Error"]["Code"] != "NoSuchKey":
                raise
            return None

    def local(self):
        """The lake, as a directory that boto3 loads."""
        directory = os.path.join(self.suite.path(f"copies-{self.label}"), f"{next(numbers)}")
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=self.prefix + "/"):
            for item in page.get("Contents", []):
                path = os.path.join(directory, item["Key"].removeprefix(self.prefix + "/"))
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as f:
                    f.write(self.s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read())
        os.makedirs(directory, exist_ok=True)
        return directory

    def entries(self):
        return tables.entries(self.local(), self.name)
