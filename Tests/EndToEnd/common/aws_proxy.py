"""A proxy before an AWS server of the tests, which counts the calls that pass."""
import collections
import threading

import aws_calls
from loopback import Loopback, forwarded


class CountingProxy(Loopback):
    """On a port of the kernel's choice, before 127.0.0.1:`port`. `calls`: how often each call was made."""

    def __init__(self, port):
        self.calls, self.lock, self.host = collections.Counter(), threading.Lock(), f"127.0.0.1:{port}"
        super().__init__()

    def handle(self, handler, body):
        headers = dict(handler.headers)
        with self.lock:
            self.calls[aws_calls.of_request(handler.command, handler.path, headers)] += 1
        self.saw(handler.headers, body)
        self.reply(handler, *forwarded(self.host, handler.command, handler.path, headers, body))

    def saw(self, headers, body):
        """For drivers that look into requests."""
