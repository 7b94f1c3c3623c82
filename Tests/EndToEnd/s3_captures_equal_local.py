#!/usr/bin/env python3
"""A replay of `--capture s3://BUCKET/PREFIX` gives the rows of a replay of the same files on this machine: trees of many small gzip objects,
large objects, keys that need encoding, more than a thousand of them (pages), with kills, with answers that are lost, cut short or refused,
and with objects that are added or changed meanwhile.

On moto and on ministack, beside a fault proxy.
"""
import gzip
import itertools
import json
import os
import random
import signal
import subprocess
import threading
import time
import urllib.parse

import common
import aws
import aws_calls
import compare
import tables
from loopback import Loopback, forwarded
import boto3

SMALL = 1150
PIPELINE = """
pipeline: objects
source: {capture: {stream: objects}}
record:
  key: id
  time: {field: at, out_of_order: 5s}
  fields: {id: string!, at: timestamp_ms!, n: int64!}
dedup: {id: id, within: 1h}
bronze: {}
silver: {columns: "id, n"}
gold: {per: {by: [id], window: {tumbling: 10s}, measure: {rows: count(), total: sum(n)}}}
lake: {flush: {bytes: 64KiB}}
"""
BUCKET = "weir-captures"
numbers = itertools.count()


def records(first, count):
    return b"\n".join(json.dumps({"id": f"k{n % 977}-{n}", "at": 1_767_225_600_000 + 10 * n, "n": n}).encode() for n in range(first, first + count))


def tree():
    """Bytes by key: a tree as CloudTrail and Firehose make it, with names that need encoding. Half of the objects have no last line end."""
    made, rng, first = {}, random.Random(17), 0
    odd = ["plain", "with space", "a=b", "c+d", "e%20f", "g%", "Zürich", "東京", "é", "x&y", "~t", "q?r#s", "semi;colon", "'quote'"]
    for n in range(SMALL):
        count = rng.randrange(1, 6)
        body = records(first, count) + (b"\n" if n % 2 else b"")
        first += count
        key = f"AWSLogs/1234/CloudTrail/{odd[n % len(odd)]}/2026/11/{n % 30 + 1:02}/file-{n:06}.json"
        if n % 3:
            key, body = key + ".gz", gzip.compress(body)
        made[key] = body
    made["AWSLogs/1234/CloudTrail/zz/empty.json"] = b""
    made["AWSLogs/1234/CloudTrail/zz/large.json"] = records(first, 60_000) + b"\n"
    first += 60_000
    return made


class FaultProxy(Loopback):
    """Before a server: loses, cuts or refuses some answers to GET. With `together`, a GET of an object waits until that number of them is under way."""

    def __init__(self, port, every=0, together=0):
        self.host, self.every, self.together, self.lock, self.hook = f"127.0.0.1:{port}", every, together, threading.Condition(), None
        self.calls = set()
        self.count = self.faulty = self.waiting = self.most = 0
        super().__init__()

    def fault(self, handler):
        """Counts a request; which fault its answer has, or None."""
        with self.lock:
            self.count += 1
            self.calls.add(aws_calls.of_request(handler.command, handler.path, dict(handler.headers)))
            number, hook = self.count, self.hook
            fault = (number // self.every) % 4 if self.every and number % self.every == 0 else None
            self.faulty += fault is not None
        if hook:
            hook(number)
        return fault

    def handle(self, handler, body):
        fault = self.fault(handler)
        if self.together and handler.command == "GET" and "list-type" not in handler.path:
            self.wait()
        if fault == 0:
            return self.reply(handler, 503, [("Content-Type", "application/xml")], aws.error("SlowDown"))
        status, headers, content = forwarded(self.host, handler.command, handler.path, dict(handler.headers), body)
        if fault == 1:
            return aws.drop(handler)
        if fault == 2 and len(content) > 1:
            handler.send_response(status)
            for name, value in headers:
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content[:len(content) // 2])
            handler.wfile.flush()
            return aws.drop(handler)
        if fault == 3:
            return self.reply(handler, 500, [("Content-Type", "application/xml")], aws.error("InternalError"))
        self.reply(handler, status, headers, content)

    def wait(self):
        """Until enough requests wait here, or none comes for 3 s: the first and the last objects are asked for alone."""
        with self.lock:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            self.lock.notify_all()
            before = -1
            while self.most < self.together and before != self.waiting:
                before = self.waiting
                self.lock.wait(3)
            self.waiting -= 1


class Work:
    """A tree of objects, and what a replay of their files makes of it."""

    def __init__(self, suite, prefix, objects):
        self.suite, self.prefix, self.objects, self.address = suite, prefix, objects, f"s3://{BUCKET}/{prefix}"
        self.pipeline = suite.path("objects.yaml")
        with open(self.pipeline, "w") as f:
            f.write(PIPELINE)
        self.files = []
        # The order of the keys' bytes, as S3 lists them. Names of files are their numbers: only the order counts.
        for n, key in enumerate(sorted(self.objects, key=lambda k: k.encode())):
            os.makedirs(suite.path(prefix), exist_ok=True)
            path = suite.path(prefix, f"{n:06}")
            with open(path, "wb") as f:
                f.write(self.objects[key])
            self.files.append(path)
        self.local = suite.path(f"local-{prefix}")
        done = self.replay(self.local, self.files)
        suite.claim(f"a replay of {len(objects)} files of this machine", done.fault())

    def command(self, lake, captures, *more):
        return [self.suite.weir, "replay", self.pipeline, "--capture", *captures, "--lake", lake, "--lanes", "2", "--json", *more]

    def replay(self, lake, captures, *more, environment=None):
        return common.Result(self.command(lake, captures, *more), environment=environment)

    def faults(self, lake, other=None):
        return common.flat(compare.compare_lakes(self.pipeline, (other or self.local, None), (lake, None), self.suite.weir))

    def lake(self):
        return self.suite.path(f"lake-{next(numbers)}")


class Store:
    def __init__(self, suite, name, server):
        self.suite, self.name, self.server = suite, name, server
        self.client = boto3.client("s3", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id=aws.KEYS["AWS_ACCESS_KEY_ID"],
                                   aws_secret_access_key=aws.KEYS["AWS_SECRET_ACCESS_KEY"])
        self.client.create_bucket(Bucket=BUCKET)

    def put(self, objects, prefix):
        for key, body in objects.items():
            self.client.put_object(Bucket=BUCKET, Key=prefix + key, Body=body)

    def environment(self, url=None):
        return aws.environment(self.suite, **aws.KEYS, AWS_REGION="us-east-1", AWS_ENDPOINT_URL_S3=url or self.server.url)


def equal(work, store):
    store.put(work.objects, "in/")
    # What a listing with this prefix has too, and what is not below it.
    store.put({"in-other/x.json": b'{"id":"no"}\n', "in": b"", "in/AWSLogs/": b""}, "")
    proxy = FaultProxy(store.server.port)
    try:
        lake = work.lake()
        done = work.replay(lake, [f"s3://{BUCKET}/in"], environment=store.environment(proxy.url))
        faults = done.fault() + work.faults(lake)
        # 3 listings of 2 pages, one page for the object of that name each time, the first object's look, the first MiB, and each object.
        most = len(work.objects) * 2 + 60
        if proxy.count > most:
            faults.append(f"{proxy.count} requests for {len(work.objects)} objects")
        work.suite.claim(f"{store.name}: a tree of {len(work.objects)} objects has the rows of its files, in the order of the keys' bytes "
                         f"({proxy.count} requests)", faults)
        work.suite.claim(f"{store.name}: the policy for inputs lists each call, and no other",
                         aws_calls.unlisted(proxy.calls, "inputs") + aws_calls.unused(proxy.calls, "inputs"))
    finally:
        proxy.close()


def odd_prefix(work, store):
    few = dict(itertools.islice(sorted(work.objects.items()), 40))
    prefix = "a b/c=d+e%20f/ü"
    store.put(few, prefix + "/")
    files = [work.suite.path("few", f"{n:03}") for n in range(len(few))]
    os.makedirs(work.suite.path("few"), exist_ok=True)
    for path, key in zip(files, sorted(few, key=lambda k: k.encode())):
        with open(path, "wb") as f:
            f.write(few[key])
    local, lake = work.lake(), work.lake()
    first = work.replay(local, files)
    done = work.replay(lake, [f"s3://{BUCKET}/{prefix}/"], environment=store.environment())
    faults = first.fault() + done.fault()
    work.suite.claim(f"{store.name}: a prefix with spaces, =, +, % and letters that are not ASCII", faults or work.faults(lake, local))


def faulty(work, store):
    proxy = FaultProxy(store.server.port, every=7)
    try:
        lake = work.lake()
        done = work.replay(lake, [work.address], environment=store.environment(proxy.url))
        faults = done.fault() + work.faults(lake)
        if proxy.faulty < 10:
            faults.append(f"only {proxy.faulty} answers were bad")
        work.suite.claim(f"{store.name}: answers that are lost, cut short, 503 and 500 ({proxy.faulty}) change no row", faults)
    finally:
        proxy.close()


def killed(work, store, times):
    proxy, rng = FaultProxy(store.server.port), random.Random(5)
    try:
        lake, kills, faults = work.lake(), 0, []
        for _ in range(times):
            process = subprocess.Popen(work.command(lake, [work.address]), env=store.environment(proxy.url), stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            at = proxy.count + rng.randrange(len(work.objects), len(work.objects) * 2)
            end = time.monotonic() + common.PATIENCE
            while process.poll() is None and proxy.count < at and time.monotonic() < end:
                threading.Event().wait(0.005)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.wait()
        done = work.replay(lake, [work.address], environment=store.environment(proxy.url))
        faults += done.fault() + work.faults(lake)
        work.suite.claim(f"{store.name}: {kills} of {times} runs killed, and the next one reads on from the ledger's position", faults)
    finally:
        proxy.close()


def grows(work, store):
    """Objects whose keys sort after are read on; one that sorts before, or that changed, is refused."""
    names = [f"d/{n:03}.json" for n in range(9)]
    bodies = {name: records(1000 * n, 300) + b"\n" for n, name in enumerate(names)}
    prefix, lake, local = "grows/", work.lake(), work.lake()
    address, env = f"s3://{BUCKET}/grows", store.environment()
    store.put({k: bodies[k] for k in names[1:4]}, prefix)
    faults = work.replay(lake, [address], "--keep-open", environment=env).fault()
    store.put({k: bodies[k] for k in names[4:]}, prefix)
    faults += work.replay(lake, [address], "--keep-open", environment=env).fault()
    # In the same two runs: the first one's bytes are in the run's id.
    files = []
    os.makedirs(work.suite.path("grows"), exist_ok=True)
    for name in names[1:]:
        files.append(work.suite.path("grows", os.path.basename(name)))
        with open(files[-1], "wb") as f:
            f.write(bodies[name])
    faults += work.replay(local, files[:3], "--keep-open").fault() + work.replay(local, files, "--keep-open").fault()
    work.suite.claim(f"{store.name}: with --keep-open, objects that were added are read on", faults or work.faults(lake, local))

    def refused(what):
        done = work.replay(lake, [address], "--keep-open", environment=env)
        return [] if done.code == 1 and "not the capture that the ledger was started with" in done.talk else [f"{what}: {done.code} {done.talk}"]

    store.put({names[0]: bodies[names[0]]}, prefix)
    faults = refused("a key before the others")
    store.client.delete_object(Bucket=BUCKET, Key=prefix + names[0])
    store.put({names[3]: bodies[names[3]].replace(b"k", b"j")}, prefix)
    faults += refused("an object that changed")
    store.put({names[3]: bodies[names[3]]}, prefix)
    faults += work.replay(lake, [address], "--keep-open", environment=env).fault()
    work.suite.claim(f"{store.name}: an object that sorts before what was read, and one that changed, are refused", faults)

    # While it is read.
    proxy = FaultProxy(store.server.port)
    changed = []

    def change(number):
        if number >= 4 and not changed:
            changed.append(number)
            store.client.put_object(Bucket=BUCKET, Key=work.prefix + "/AWSLogs/1234/CloudTrail/zz/large.json", Body=records(5, 70_000) + b"\n")

    proxy.hook = change
    try:
        done = work.replay(work.lake(), [work.address], environment=store.environment(proxy.url))
    finally:
        proxy.close()
    faults = [] if done.code == 1 and "changed while it was read" in done.talk and "large.json" in done.talk else [f"{done.code} {done.talk}"]
    work.suite.claim(f"{store.name}: an object that is overwritten between the listing and its turn ends the run", faults)


def refusals(work, store):
    client, env = store.client, store.environment()
    store.put({"table/_delta_log/00.json": b"{}", "table/part.parquet": b"PAR1"}, "")
    store.put({"live/segment-00000001.wcap": b"x"}, "")
    store.put({"parquet/a.parquet": b"PAR1" + bytes(600)}, "")
    faults = []
    for address, words in [(f"s3://{BUCKET}/none", ["no objects"]), (f"s3://{BUCKET}/table", ["Delta table"]), ("s3://weir-missing/x", ["bucket"]),
                           (f"s3://{BUCKET}/live", ["weir capture", "aws s3 sync"]), (f"s3://{BUCKET}/parquet", ["not JSON lines"])]:
        lake = work.lake()
        done = work.replay(lake, [address], environment=env)
        if done.code not in (1, 2) or not all(word in done.talk for word in words) or os.path.exists(lake):
            faults.append(f"{address}: {done.code} {done.talk[-300:]}, lake made: {os.path.exists(lake)}")
    work.suite.claim(f"{store.name}: what is no capture is refused with what it is, before anything is made", faults)


def ahead(work, store):
    """Requests for the next objects are under way while the reader takes one."""
    proxy = FaultProxy(store.server.port, together=3)
    try:
        done = work.replay(work.lake(), [work.address], environment=store.environment(proxy.url))
    finally:
        proxy.close()
    work.suite.claim(f"{store.name}: requests are made ahead of the reader", done.fault() + (
        [] if proxy.most >= proxy.together else [f"at most {proxy.most} of {proxy.count} requests at the same time"]))


LOOKUP = """
pipeline: looked
source: {capture: {stream: looked}}
record: {key: id, time: {field: at, out_of_order: 5s}, fields: {id: string!, at: timestamp_ms!, n: int64!}}
lookups: {names: {%s, key: id, columns: {i: int64}}}
silver: {columns: "id, n, names.t, names.v, names.i"}
state: {last: {by: [id], measure: {rows: count(), total: sum(n)}}}
"""


def lookups(work, store):
    """Python's json is the oracle: texts are their values, numbers and truth values what is written, null and what is missing is null."""
    rng, suite, env = random.Random(3), work.suite, store.environment()
    os.makedirs(suite.path("looked"), exist_ok=True)
    texts = ["", "a", "ü é 東京", 'quote " and \\\\ slash / \\t\\n', "\U0001f600", "1", "null", " spaces "]
    raw = ["1", "-0", "1.50", "1e3", "true", "false", "null", "12345678901234567890123", '"text"']
    lines, wanted = [], {}
    for k in range(500):
        key = f"k{k} " + rng.choice(["", "ü", "=", "%", "\U0001f600"])
        members = [("id", json.dumps(key, ensure_ascii=rng.random() < 0.5))]
        text, value, number = rng.choice(texts), rng.choice(raw), rng.choice([None, 7, -5, 2**62])
        if rng.random() < 0.8:
            members.append(("t", json.dumps(text, ensure_ascii=rng.random() < 0.5)))
        if rng.random() < 0.8:
            members.append(("v", value))
        if rng.random() < 0.8:
            members.append(("i", json.dumps(number)))
        rng.shuffle(members)
        line = "{" + ", ".join(f'"{n}" : {v}' for n, v in members) + "}"
        lines.append(line + rng.choice(["", " ", "\r"]))
        # Numbers as they are written: only their text is kept.
        parsed = json.loads(line, parse_int=str, parse_float=str)
        v = parsed.get("v")
        wanted[key] = (parsed.get("t"), v if v is None or isinstance(v, str) else json.dumps(v), None if parsed.get("i") is None else int(parsed["i"]))
    content = ("\n".join(lines) + "\n\n").encode()
    keys = [*wanted, "not there"]
    capture = suite.path("looked", "capture.ndjson")
    with open(capture, "w") as f:
        for n in range(3000):
            f.write(json.dumps({"id": keys[n % len(keys)], "at": 1_767_225_600_000 + n, "n": n}) + "\n")
    rows = sorted((keys[n % len(keys)], n, *wanted.get(keys[n % len(keys)], (None, None, None))) for n in range(3000))
    odd = "look ups/a=b+c%20/ü.jsonl"
    store.put({odd: content, "look ups/plain": content, "look ups/broken.ndjson": content + b'{"id": [1]}\n'}, "")
    with open(suite.path("looked", "names.ndjson"), "wb") as f:
        f.write(content)
    faults = []
    for name, place in [("local", "file: names.ndjson"), ("s3", f"path: 's3://{BUCKET}/{odd}'"),
                        ("format", f"file: 's3://{BUCKET}/look ups/plain', format: ndjson")]:
        pipeline = suite.path("looked", f"{name}.yaml")
        with open(pipeline, "w") as f:
            f.write(LOOKUP % place)
        lake, table = work.lake(), suite.path(f"store-{store.name}-{name}")
        done = common.Result([suite.weir, "replay", pipeline, "--capture", capture, "--lake", lake, "--store", table, "--json"], environment=env)
        faults += done.fault()
        if not done.code:
            got = tables.read_delta(lake, "silver/looked").to_pylist()
            got = sorted((r["id"], r["n"], r["t"], r["v"], r["i"]) for r in got)
            faults += [] if got == rows else [f"{name}: {[a for a in zip(got, rows) if a[0] != a[1]][:2]}, {len(got)} rows"]
    suite.claim(f"{store.name}: lookups in NDJSON, here and in S3, have the values that Python's json reads", faults)

    # The ledger's bytes serve when the file is gone, or another one.
    pipeline, lake, table = suite.path("looked", "local.yaml"), suite.path(f"kept-{store.name}"), suite.path(f"kept-store-{store.name}")
    done = common.Result([suite.weir, "replay", pipeline, "--capture", capture, "--lake", lake, "--store", table, "--json"], environment=env)
    faults = done.fault()
    for what in ("gone", "other", "broken"):
        file = suite.path("looked", "names.ndjson")
        if what == "gone":
            os.remove(file)
        else:
            with open(file, "wb") as f:
                f.write(b'{"id": "other", "z": 1}\n' if what == "other" else b"{")
        for command in (["ledger", "verify"], ["state", "rebuild"]):
            run = common.Result([suite.weir, *command, pipeline, "--lake", lake, "--store", table], environment=env)
            faults += [] if run.code == 0 else [f"{command} with a file that is {what}: {run.code} {run.talk}"]
    run = common.Result([suite.weir, "ledger", "verify", pipeline, "--lake", lake, "--store", table], environment=env)
    faults += [] if run.code == 0 else [f"verify after rebuild: {run.code} {run.talk}"]
    suite.claim(f"{store.name}: ledger verify and state rebuild need no file of a lookup", faults)

    faults = []
    for place, words in [(f"file: 's3://{BUCKET}/look ups/none.csv'", ["no such object"]), ("file: s3://weir-missing/x.csv", ["bucket"]),
                         (f"file: 's3://{BUCKET}/look ups/broken.ndjson'", ["broken.ndjson:502:8", "array"]), ("file: a.csv, path: b.csv", ["keep one"]),
                         ("file: a.csv, format: xml", ["csv or ndjson"])]:
        file = suite.path("looked", "wrong.yaml")
        with open(file, "w") as f:
            f.write(LOOKUP % place)
        run = common.Result([suite.weir, "check", file], environment=env)
        if run.code != 2 or not all(word in run.err for word in words) or f"{file}:5:" not in run.err:
            faults.append(f"{place}: {run.code} {run.talk}")
    suite.claim(f"{store.name}: weir check refuses a lookup that is missing or broken, with line and column", faults)


def main():
    suite = common.Suite("s3_captures_equal_local", 1500, __doc__)
    objects = tree()
    every = sorted(objects)
    work = Work(suite, "in", objects)
    # Servers of tests answer slowly.
    some = Work(suite, "some", {key: objects[key] for key in every[:120] + [k for k in every if "/zz/" in k]})

    def on(name, start, all_parts):
        def run(_):
            server = start(suite)
            try:
                store = Store(suite, name, server)
                store.put(some.objects, "some/")
                if all_parts or not suite.quick:
                    equal(work, store)
                    ahead(some, store)
                    refusals(some, store)
                    killed(some, store, 2 if suite.quick else 8)
                odd_prefix(work, store)
                faulty(some, store)
                grows(some, store)
                lookups(some, store)
            finally:
                server.close()
        run.__name__ = name
        return run

    suite.run(on("moto", aws.moto, False), on("ministack", aws.ministack, True))


if __name__ == "__main__":
    main()
