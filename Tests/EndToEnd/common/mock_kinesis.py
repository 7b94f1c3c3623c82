"""`weir mock-kinesis` as a process, and clients of it."""
import contextlib
import json
import subprocess

import boto3
from botocore.config import Config

KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"}


class Server:
    """A running server; `streams`: {name: shards}."""

    def __init__(self, weir, streams, *arguments):
        named = [a for name, count in streams.items() for a in ("--stream", f"{name}:{count}")]
        self.process = subprocess.Popen([weir, "mock-kinesis", *named, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("the server did not start")

    def command(self, *words):
        """Sends a command, and waits until it has had its effect. Its answer."""
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    @property
    def calls(self):
        return json.loads(self.command("calls"))

    def client(self, retries=1):
        """A client that tries each request as often as asked for."""
        return boto3.client("kinesis", region_name="us-east-1", endpoint_url=self.url, **KEYS,
                            config=Config(retries={"total_max_attempts": retries}, max_pool_connections=64))

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
