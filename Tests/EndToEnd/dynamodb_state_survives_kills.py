#!/usr/bin/env python3
"""State tables in DynamoDB: the rows are those of LMDB, whatever kills a worker and whichever worker takes over; boto3 reads them by the page
"State tables in DynamoDB". The servers are ministack and, for single requests, moto: its transactions fail when several run at a time."""
import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import time

import boto3

import common
from common import aws

REGION = "us-east-1"
FLUSH = "store: {lmdb: state, flush: 20ms, share: 90%}"


class Demo:
    """The pipeline of `weir demo` and its records, with rows in LMDB to compare with."""

    def __init__(self, suite):
        self.suite = suite
        self.records = 4_000 if suite.quick else 60_000
        self.file, self.capture = suite.path("demo.yaml"), suite.path("orders.ndjson")
        text = common.Result([suite.weir, "demo", "--show-pipeline"]).out
        text = text.replace("store: {lmdb: state}", FLUSH).replace("lake: {path: lake}", "lake: {path: lake, flush: {bytes: 256KiB}}")
        # Rows expire while the records are read: the generated ones are a millisecond apart.
        text = text.replace("last_order: max(ordered_at)}", "last_order: max(ordered_at)}\n    ttl: 1s", 1)
        self.write(self.file, text)
        made = common.Result([suite.weir, "generate", "orders", "--count", str(self.records), "--rate", "1000", "--duplicates", "0.1",
                              "--malformed", "0.002", "--out", self.capture])
        if made.code:
            raise RuntimeError(made.talk)
        self.environment = aws.environment(suite, **aws.KEYS, AWS_REGION=REGION)
        done = self.replay("lmdb", suite.path("lmdb-state"))
        if done.fault():
            raise RuntimeError(done.talk)
        self.expected = self.scan(suite.path("lmdb-state"))

    @staticmethod
    def write(path, text):
        with open(path, "w") as f:
            f.write(text)

    def command(self, name, store, file=None):
        return [self.suite.weir, "replay", file or self.file, "--capture", self.capture, "--lake", self.suite.path(f"lake-{name}"), "--json",
                *(["--store", store] if store else [])]

    def replay(self, name, store, file=None):
        return common.Result(self.command(name, store, file), environment=self.environment)

    def begin(self, name, store):
        return subprocess.Popen(self.command(name, store), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=self.environment)

    def scan(self, store):
        run = common.Result([self.suite.weir, "state", "scan", "customers", "--store", store, "--format", "csv"], environment=self.environment)
        if run.code:
            raise RuntimeError(run.talk)
        return sorted(csv.reader(io.StringIO(run.out)))

    def faults(self, store):
        got = self.scan(store)
        if got == self.expected:
            return []
        wrong = [row for row in got if row not in self.expected] + [row for row in self.expected if row not in got]
        return [f"{len(got)} rows, of LMDB {len(self.expected)}; {len(wrong)} differ, such as {wrong[:2]}"]


def place(server, table):
    return f"dynamodb://{table}?region={REGION}&endpoint={server.url}"


def client(server):
    return boto3.client("dynamodb", region_name=REGION, endpoint_url=server.url, aws_access_key_id=aws.KEYS["AWS_ACCESS_KEY_ID"],
                        aws_secret_access_key=aws.KEYS["AWS_SECRET_ACCESS_KEY"])


@contextlib.contextmanager
def running(make, suite):
    server = make(suite)
    try:
        yield server
    finally:
        server.close()


def items(server, table, prefix=""):
    pages = client(server).get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [item for page in pages for item in page["Items"] if item["pk"]["S"].startswith(prefix)]


def same_rows(suite):
    """A replay into DynamoDB has the rows of LMDB, and leaves no work behind."""
    demo = Demo(suite)
    with running(aws.ministack, suite) as server:
        store = place(server, "weir-demo")
        done = demo.replay("same", store)
        suite.note(f"{demo.records} records, {len(demo.expected) - 1} rows, {done.seconds:.1f} s")
        suite.claim("a replay of the demo into DynamoDB has the rows of LMDB", done.fault() or demo.faults(store))
        left = [item["pk"]["S"] for item in items(server, "weir-demo") if item["pk"]["S"] == "pending" or item["pk"]["S"].startswith("log#")]
        suite.claim("no write is noted as pending after it", [f"{left[:3]}"] if "pending" in left else [])
        suite.claim("a row is where the documented layout says, and boto3 reads it", documented(demo, server))
        again = demo.replay("same", store)
        suite.claim("a second run finds everything done", again.fault() or demo.faults(store))


def documented(demo, server):
    """Reads rows as the page "State tables in DynamoDB" says, without Weir."""
    head, *rows = [row for row in csv.reader(io.StringIO(common.Result(
        [demo.suite.weir, "state", "scan", "customers", "--store", demo.suite.path("lmdb-state"), "--format", "csv"]).out))]
    faults = []
    for row in rows[:20]:
        wanted = dict(zip(head, row))
        key = wanted["customer_id"].encode() + b"\x00\x01"
        bucket = 0x811C9DC5
        for byte in key:
            bucket = (bucket ^ byte) * 0x01000193 % 2**32
        found = client(server).get_item(TableName="weir-demo", ConsistentRead=True, Key={
            "pk": {"S": f"row#customers#0#{bucket % 16}"}, "sk": {"B": b"k" + key}}).get("Item")
        if not found:
            faults.append(f"{wanted['customer_id']} is not there")
            continue
        values = found["measures"]["B"]
        # Version 1; orders: kind 2 and 64 bits; spent: kind 4, precision, scale and 128 bits.
        orders = int.from_bytes(values[2:10], "little", signed=True)
        scale, spent = values[12], int.from_bytes(values[13:29], "little", signed=True)
        if (values[0], values[1], values[10]) != (1, 2, 4) or orders != int(wanted["orders"]):
            faults.append(f"{wanted}: {values.hex()}")
        elif spent != round(float(wanted["spent"]) * 10**scale):
            faults.append(f"{wanted}: {spent} of scale {scale}")
        if len(found["fence"]["B"]) != 16 or not found["lane"]["S"]:
            faults.append(f"{wanted['customer_id']}: {found}")
    return faults or ([] if rows else ["there are no rows"])


def kills(suite):
    """Killed at moments of all kinds, and continued."""
    demo = Demo(suite)
    with running(aws.ministack, suite) as server:
        store, hit, faults = place(server, "weir-kills"), 0, []
        for attempt in range(6 if suite.quick else 30):
            process = demo.begin("kills", store)
            seen = counts(server, "weir-kills")
            end = time.monotonic() + common.PATIENCE
            # In the middle of writes: after some more items than there were.
            while process.poll() is None and time.monotonic() < end and counts(server, "weir-kills") < seen + 5 + 40 * (attempt % 4):
                pass
            time.sleep(suite.random.random() * 0.05)
            process.kill()
            process.communicate()
            if process.returncode == 0:
                break
            hit += 1
        faults += demo.replay("kills", store).fault() + demo.faults(store)
        barred = sum(any(name.startswith("barred-") for name in item) for item in items(server, "weir-kills", "row#"))
        suite.note(f"{barred} rows have a bar of a killed worker")
        suite.claim(f"a replay that was killed {hit} times has the rows of LMDB in the end", faults or ([] if hit else ["no kill came in time"]))


def counts(server, table):
    """How many items there are: of the server's own memory, so that the answer is quick."""
    try:
        return client(server).scan(TableName=table, Select="COUNT")["Count"]
    except client(server).exceptions.ResourceNotFoundException:
        return 0


def second_worker(suite):
    """A worker that is stopped in the middle of a write; another does all; the first continues."""
    demo = Demo(suite)
    with running(aws.ministack, suite) as server:
        faults, stopped = [], 0
        sleeps = 2 if suite.quick else 8
        for attempt in range(sleeps):
            name, table = f"second{attempt}", f"weir-second-{attempt}"
            store = place(server, table)
            first = demo.begin(name, store)
            end = time.monotonic() + common.PATIENCE
            while first.poll() is None and time.monotonic() < end and counts(server, table) < 20 + 60 * (attempt % 5):
                pass
            first.send_signal(signal.SIGSTOP)
            stopped += first.poll() is None
            faults += demo.replay(name, store).fault() + demo.faults(store)
            first.send_signal(signal.SIGCONT)
            _, err = first.communicate(timeout=common.PATIENCE)
            if first.returncode and "another process runs this pipeline" not in err:
                faults.append(f"the first worker ended with {first.returncode}: {err[-400:]}")
            if crash := [c for c in common.CRASHES if c in err]:
                faults.append(f"the first worker: {crash[0]}")
            faults += [f"after the first worker continued: {fault}" for fault in demo.faults(store)]
        suite.claim(f"a worker that slept while another did its work leaves no wrong row ({stopped} of {sleeps} slept in time)",
                    faults or ([] if stopped else ["none was stopped in time"]))


def lost_layout(suite):
    """Someone deletes the item that says where the rows are."""
    demo = Demo(suite)
    with running(aws.ministack, suite) as server:
        store = place(server, "weir-layout")
        faults = demo.replay("layout", store).fault()
        for attempt in range(2):
            client(server).delete_item(TableName="weir-layout", Key={"pk": {"S": "layout"}, "sk": {"B": b"layout"}})
            before = items(server, "weir-layout")
            lake = suite.path("lake-layout")
            for what, command in (("scan", ["state", "scan", "customers", "--store", store]),
                                  ("get", ["state", "get", "customers", "customer-17", "--store", store]),
                                  ("scan of the pipeline", ["state", "scan", "customers", "--pipeline", demo.file, "--lake", lake, "--store", store]),
                                  ("verify", ["ledger", "verify", demo.file, "--lake", lake, "--store", store])):
                run = common.Result([suite.weir, *command], environment=demo.environment)
                if run.code == 0 or "lost its item layout" not in run.talk:
                    faults.append(f"{what}: exit {run.code}: {run.out[-200:]} {run.talk[-400:]}")
            if items(server, "weir-layout") != before:
                faults.append("a reader changed the table")
            if attempt == 0:
                faults += demo.replay("layout", store).fault()
            else:
                rebuilt = common.Result([suite.weir, "state", "rebuild", demo.file, "--lake", lake, "--store", store], environment=demo.environment)
                faults += [] if rebuilt.code == 0 else [rebuilt.talk]
            faults += demo.faults(store)
            verified = common.Result([suite.weir, "ledger", "verify", demo.file, "--lake", lake, "--store", store], environment=demo.environment)
            faults += [] if verified.code == 0 and "all agree" in verified.out else [f"verify: {verified.out} {verified.talk}"]
        suite.claim("a table without its item layout is never read as empty, and the next run, or a rebuild, writes all rows again", faults)


OVERSIZE = """
pipeline: notes
source: {capture: {stream: notes}}
record:
  format: json
  key: id
  time: {field: at, out_of_order: 1s}
  fields: {id: string!, at: timestamp_ms!, note: string}
state:
  notes: {by: [id], measure: {n: count(), longest: max(note)}}
lake: {path: lake, flush: {bytes: 200KiB}}
store: {lmdb: state, flush: 20ms, share: 90%}
"""


def oversize(suite):
    """Rows and keys that are larger than an item."""
    file, capture, lake = suite.path("notes.yaml"), suite.path("notes.ndjson"), suite.path("lake-notes")
    Demo.write(file, OVERSIZE)
    long = "k" * 3000
    with open(capture, "w") as f:
        for i in range(300):
            note = "x" * 600_000 if i == 100 else f"note {i}"
            key = long + str(i) if i % 50 == 7 else f"id-{i % 40}"
            f.write(json.dumps({"id": key, "at": 1_700_000_000_000 + i, "note": note}) + "\n")
        f.write(json.dumps({"id": "K" * 700_000, "at": 1_700_000_001_000, "note": "huge key"}) + "\n")
    environment = aws.environment(suite, **aws.KEYS, AWS_REGION=REGION)

    def weir(*words):
        return common.Result([suite.weir, *words], environment=environment)

    def scan(store):
        lines = weir("state", "scan", "notes", "--store", store, "--format", "json").out.splitlines()
        rows = [json.loads(line) for line in lines]
        return {row["id"] if len(row["id"]) < 5000 and not row["id"].startswith('"K') else "huge": row for row in rows}
    with running(aws.ministack, suite) as server:
        store, local = place(server, "weir-notes"), suite.path("lmdb-notes")
        done = weir("replay", file, "--capture", capture, "--lake", lake, "--store", store, "--json")
        faults = done.fault()
        faults += weir("replay", file, "--capture", capture, "--lake", suite.path("lake-local"), "--store", local, "--json").fault()
        got, wanted = scan(store), scan(local)
        if set(got) != set(wanted):
            faults.append(f"keys: {sorted(set(got) ^ set(wanted))[:3]}")
        fat = {key for key, row in got.items() if row.get("_oversize")}
        if fat != {"id-20", "huge"}:
            faults.append(f"without values: {fat}")
        for key in set(got) & set(wanted) - fat:
            if any(got[key][name] != wanted[key][name] for name in ("id", "n", "longest")):
                faults.append(f"{key[:20]}: {got[key]} instead of {wanted[key]}"[:300])
        if '"id-20"' not in done.talk or "notes" not in done.talk or "600" not in done.talk:
            faults.append(f"the run does not name the row: {done.talk[-500:]}")
        suite.claim("a row that is larger than an item has a place without values, and is named; all others have theirs", faults)
        one = weir("state", "get", "notes", "id-20", "--store", store, "--format", "json")
        faults = [] if one.code == 0 and json.loads(one.out).get("_oversize") is True and "notice" in one.talk else [one.out + one.talk]
        far = weir("state", "get", "notes", long + "7", "--store", store, "--format", "json")
        faults += [] if far.code == 0 and json.loads(far.out)["n"] == 1 else [far.out[:200] + far.talk[:200]]
        suite.claim("`weir state get` says so, and finds a row by a key of 3,000 bytes", faults)
        verified = weir("ledger", "verify", file, "--lake", lake, "--store", store)
        faults = [] if verified.code == 0 and "all agree" in verified.out else [f"{verified.out} {verified.talk}"]
        # Another value of the same size is a difference.
        item = next(i for i in items(server, "weir-notes", "row#notes#") if i["sk"]["B"].startswith(b"kid-20\x00"))
        item["measures"]["B"] = item["measures"]["B"][:-1] + bytes([item["measures"]["B"][-1] ^ 1])
        client(server).put_item(TableName="weir-notes", Item=item)
        changed = weir("ledger", "verify", file, "--lake", lake, "--store", store)
        faults += [] if changed.code == 1 and "other values" in changed.talk else [f"{changed.out} {changed.talk}"]
        suite.claim("`weir ledger verify` compares such rows by their digest", faults)


def settings(suite):
    """What a pipeline file may say, on both servers."""
    demo = Demo(suite)
    with open(demo.file) as f:
        text = f.read()
    for make in (aws.ministack, aws.moto):
        with running(make, suite) as server:
            file = suite.path(f"{make.__name__}.yaml")
            own = f"store: {{dynamodb: {{table: weir-none, region: {REGION}, endpoint: \"{server.url}\", create: false}}}}"
            demo.write(file, text.replace(FLUSH, own))
            refused = demo.replay(f"none-{make.__name__}", None, file)
            faults = refused.refusal_fault("does not exist")
            if "weir-none" in client(server).list_tables()["TableNames"]:
                faults.append("the table was made")
            suite.claim(f"a table that is not there is an error with `create: false` ({make.__name__})", faults)
            client(server).create_table(
                TableName="other-keys", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
            other = demo.replay(f"other-{make.__name__}", place(server, "other-keys"))
            suite.claim(f"a table with other keys is refused by their names ({make.__name__})", other.refusal_fault("id (S, HASH)"))
            judged(suite, demo, server, text, make.__name__)
    wrong = suite.path("wrong.yaml")
    demo.write(wrong, text.replace(FLUSH, "store: {dynamodb: {table: a, endpoint: here, creates: yes}}"))
    checked = common.Result([suite.weir, "check", wrong])
    suite.claim("a wrong setting is refused by `weir check`, with its name", checked.refusal_fault("store.dynamodb"))
    demo.write(wrong, text.replace(FLUSH, "store: {dynamodb: weir-state, flush: 10s}"))
    checked = common.Result([suite.weir, "check", wrong])
    suite.claim("`store: {dynamodb: TABLE}` passes `weir check`, without a request",
                [] if checked.code == 0 else [checked.talk])


def judged(suite, demo, server, text, name):
    """`weir doctor` reports a table's keys, capacity, TTL and point-in-time recovery, and a table that is missing"""
    faults, admin = [], client(server)

    def doctor(what, table, code, *words, create="true"):
        own = f"store: {{dynamodb: {{table: {table}, region: {REGION}, endpoint: \"{server.url}\", create: {create}}}}}"
        demo.write(suite.path("doctor.yaml"), text.replace(FLUSH, own))
        run = common.Result([suite.weir, "doctor", suite.path("doctor.yaml"), "--lake", suite.path("doctor-lake")], environment=demo.environment)
        if run.code != code or not all(word in run.out for word in words):
            faults.append(f"{what}: exit {run.code}: {run.out} {run.err}")
    doctor("no table", "weir-new", 0, "not there yet: the first run creates it")
    doctor("no table, create: false", "weir-new", 1, "FAILED", "remove create: false", create="false")
    doctor("other keys", "other-keys", 1, "FAILED", "id (S, HASH)")
    keys = {"KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "B"}]}
    admin.create_table(TableName="weir-right", BillingMode="PAY_PER_REQUEST", **keys)
    doctor("a right table", "weir-right", 0, "has a state table's keys", "on demand", "TTL is off", "point-in-time recovery is off")
    admin.create_table(TableName="weir-slow", BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 7}, **keys)
    doctor("provisioned", "weir-slow", 0, "notice", "7 write and 5 read units")
    admin.update_time_to_live(TableName="weir-right", TimeToLiveSpecification={"Enabled": True, "AttributeName": "fence"})
    admin.update_continuous_backups(TableName="weir-right", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
    doctor("TTL on a fence", "weir-right", 1, "FAILED", "the attribute fence is one of Weir's own", "recovery is on")
    suite.claim(f"{judged.__doc__} ({name})", faults)


if __name__ == "__main__":
    os.environ.pop("AWS_PROFILE", None)
    common.Suite("dynamodb_state_survives_kills", 90, __doc__).run(same_rows, kills, second_worker, lost_layout, oversize, settings)
