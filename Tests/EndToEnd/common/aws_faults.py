"""A proxy before a server of S3 and DynamoDB that does to requests what networks and services do, and ends a process at a chosen request."""
import calendar
import collections
import contextlib
import json
import random
import re
import threading
import time

import aws_calls
from aws import error
from loopback import Loopback, forwarded

# What may happen to each kind of request. See `Faults.carry_out`.
ANY = ("lost reply", "lost request", "503", "500 after it", "slow", "late", "twice", "half a reply")
PLAIN_WRITE = (*ANY, "400 RequestTimeout", "old keys")
CONDITIONAL = (*PLAIN_WRITE, "412 of the winner", "409")
ITEM_WRITE = (*ANY, "throttled", "conflict", "old keys")
READ = ("lost reply", "503", "slow", "half a reply", "truncated")
ITEM_READ = (*READ, "throttled")
FAULTS = {
    "entry": CONDITIONAL, "Delta commit": CONDITIONAL, "marker": CONDITIONAL, "checkpoint": CONDITIONAL,
    "hint": PLAIN_WRITE, "blob": PLAIN_WRITE, "data file": PLAIN_WRITE,
    "begin upload": PLAIN_WRITE, "upload part": PLAIN_WRITE, "end upload": PLAIN_WRITE,
    "PutItem": ITEM_WRITE, "UpdateItem": ITEM_WRITE, "DeleteItem": ITEM_WRITE, "TransactWriteItems": (*ITEM_WRITE, "cancelled", "in progress"),
    "read": READ, "list": READ, "GetItem": ITEM_READ, "Query": ITEM_READ,
}
REFUSALS = ("503", "old keys", "400 RequestTimeout", "409", "throttled", "conflict", "cancelled")
# What is not disturbed: making a table, and what only collection does.
OTHER = "other"
SKEW = 900          # seconds that a signature's time may be wrong by


def kind(method, target, headers):
    """What a request is for, in Weir's words."""
    call, path = aws_calls.of_request(method, target, headers), target.partition("?")[0]
    named = {"CreateMultipartUpload": "begin upload", "UploadPart": "upload part", "CompleteMultipartUpload": "end upload",
             "GetObject": "read", "ListObjectsV2": "list"}
    if call != "PutObject":
        return named.get(call, call if call in FAULTS else OTHER)
    if "/_delta_log/" in path:
        return "Delta commit" if re.search(r"/\d{20}\.json$", path) else "hint" if path.endswith("_last_checkpoint") else "checkpoint"
    if "/_weir/" in path:
        is_new = any(name.lower() == "if-none-match" for name in headers)
        return "entry" if "/ledger/" in path else "marker" if is_new else "blob"
    return "data file"


def item_error(name, status=400, **more):
    content = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": "m", **more}).encode()
    return status, [("Content-Type", "application/x-amz-json-1.0")], content


def object_error(code, status):
    return status, [("Content-Type", "application/xml")], error(code)


def refusal(fault, target, body):
    """The answer to a request that has no effect. target: of a request to DynamoDB."""
    if fault == "503":
        return item_error("ServiceUnavailable", 503) if target else object_error("SlowDown", 503)
    if fault == "old keys":
        return item_error("ExpiredTokenException") if target else object_error("ExpiredToken", 400)
    if fault == "400 RequestTimeout":
        return object_error("RequestTimeout", 400)
    if fault == "409":
        return object_error("ConditionalRequestConflict", 409)
    if fault == "throttled":
        return item_error("ProvisionedThroughputExceededException")
    if fault == "conflict":
        return item_error("TransactionConflictException")
    others = [{"Code": code} for code in ("TransactionConflict", "ThrottlingError", "None")]
    count = len(json.loads(body)["TransactItems"])
    return item_error("TransactionCanceledException", CancellationReasons=(others * count)[:count])


def skewed(headers):
    """The answer to a signature of another time."""
    return item_error("InvalidSignatureException") if "X-Amz-Target" in headers else object_error("RequestTimeTooSkewed", 403)


class Plan:
    """Which request gets which fault: each kind of fault on each kind of request some times, then seldom. Seeded, but the order of requests
    is not."""

    def __init__(self, seed, wanted, often=0.3, seldom=0.02, kinds=None):
        """wanted: how often each fault is to happen to each kind of request. kinds: only to these"""
        self.random = random.Random(seed)
        self.wanted, self.often, self.seldom, self.kinds = wanted, often, seldom, kinds
        self.done = collections.Counter()
        self.is_on = True

    def fault(self, kind):
        if not self.is_on or kind not in FAULTS or self.kinds and kind not in self.kinds:
            return None
        left = [f for f in FAULTS[kind] if self.done[kind, f] < self.wanted]
        if self.random.random() >= (self.often if left else self.seldom):
            return None
        fault = self.random.choice(left or FAULTS[kind])
        self.done[kind, fault] += 1
        return fault

    def missing(self, kinds):
        """Faults: what did not happen."""
        return [f"{fault} never happened to {kind}" for kind in kinds for fault in FAULTS[kind] if not self.done[kind, fault]]

    def report(self):
        kinds = collections.Counter()
        for (kind, _), count in self.done.items():
            kinds[kind] += count
        return f"{sum(kinds.values())} faults: " + ", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items()))


class Trap:
    """Calls a function at the n-th request of a kind, before the server sees it or when it has answered."""

    def __init__(self, kind, number, after, body):
        self.kind, self.left, self.after, self.body = kind, number, after, body


class FaultProxy(Loopback):
    """On a port of the kernel's choice.

    is_serial: the server gets one request at a time, because its conditional writes are not atomic.
    checks_clocks: a request that is signed with a time that is wrong by more than 15 minutes is refused, as AWS does.
    """

    def __init__(self, server, plan, is_serial=False, checks_clocks=False):
        self.checks_clocks, self.wrong_clocks = checks_clocks, 0
        # "objects" or "items": these requests get no answer.
        self.away = None
        self.host = server.url.removeprefix("http://")
        self.plan, self.lock, self.trap = plan, threading.Lock(), None
        self.one = threading.Lock() if is_serial else None
        self.seen = collections.Counter()
        super().__init__()

    def arm(self, trap):
        with self.lock:
            self.trap = trap

    def _spring(self, kind, after):
        with self.lock:
            trap = self.trap
            if not trap or trap.kind != kind or trap.after != after:
                return
            trap.left -= 1
            if trap.left > 0:
                return
            self.trap = None
        trap.body()

    def handle(self, handler, body):
        what = kind(handler.command, handler.path, dict(handler.headers))
        if self.is_away(handler.headers):
            return self.end(handler)
        if self.checks_clocks and self.is_skewed(handler.headers):
            return self.reply(handler, *skewed(handler.headers))
        with self.lock:
            self.seen[what] += 1
            fault = self.plan.fault(what)
        self._spring(what, after=False)
        answer = self.carry_out(fault, handler, body)
        self._spring(what, after=True)
        if answer is None:
            return self.end(handler)
        if fault in ("half a reply", "truncated"):
            return self.cut(handler, answer, fault)
        self.reply(handler, *answer)

    def is_away(self, headers):
        """Whether the service cannot be reached, for a time."""
        return self.away == ("items" if "X-Amz-Target" in headers else "objects")

    def is_skewed(self, headers):
        signed = calendar.timegm(time.strptime(headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
        wrong = abs(signed - time.time()) > SKEW
        with self.lock:
            self.wrong_clocks += wrong
        return wrong

    def carry_out(self, fault, handler, body):
        """(status, headers, content); None: no answer."""
        forward = lambda: self.forward(handler.command, handler.path, dict(handler.headers), body)       # noqa: E731
        with self.lock:
            rest = self.plan.random.uniform(0.2, 1.5)
        if fault == "lost request":
            return None
        if fault == "late":
            # It arrives when its sender has given it up.
            threading.Thread(target=lambda: (time.sleep(rest), forward()), daemon=True).start()
            return None
        target = handler.headers.get("X-Amz-Target")
        if fault in REFUSALS:
            return refusal(fault, target, body)
        status, headers, content = forward()
        if fault == "lost reply":
            return None
        if fault == "twice":
            return forward()
        if fault == "500 after it":
            return item_error("InternalServerError", 500) if target else object_error("InternalError", 500)
        if fault == "in progress":
            return item_error("TransactionInProgressException")
        if fault == "412 of the winner" and status < 300:
            return object_error("PreconditionFailed", 412)
        if fault == "slow":
            time.sleep(rest)
        return status, headers, content

    def forward(self, method, path, headers, body):
        with self.one or contextlib.nullcontext():
            return forwarded(self.host, method, path, headers, body)

    def cut(self, handler, answer, fault):
        """A part of an answer."""
        status, headers, content = answer
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        if fault == "half a reply":
            handler._headers_buffer = [b"".join(handler._headers_buffer)[:60]]
            handler.flush_headers()
        else:
            handler.end_headers()
            handler.wfile.write(content[:len(content) // 2])
        self.end(handler)
