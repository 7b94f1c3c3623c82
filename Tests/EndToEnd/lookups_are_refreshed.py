#!/usr/bin/env python3
"""Lookups that change while workers run: every row has the value of the version that the ledger names for it, whichever workers are killed;
--decisions repeats that; a file that is not a table changes nothing and is reported."""
import hashlib
import json
import os
import time

import boto3
import common
import aws
import broker
import captures_are_exact as captures
import pyarrow.parquet as parquet
from admin_answers_are_right import Watched
from broker import Broker, Producer, Worker
from common import tables
from s3_captures_equal_local import FaultProxy

TOPIC = f"refreshed-{os.getpid()}"
PARTITIONS = 6
USERS = 60
BUCKET = "lookups"


def spec(topic, file):
    return {
        "pipeline": "refreshed",
        "source": {"kafka": {"brokers": "127.0.0.1:1", "topic": topic, "stream": "synthetic", "group": topic, "session": "6s", "idle": "1h"}},
        "record": {"key": "user", "time": {"field": "t", "out_of_order": "1s", "max_ahead": "off"},
                   "fields": {"id": "string!", "user": "string!", "t": "timestamp_ms!"}},
        "lookups": {"names": {"file": file, "key": "user", "columns": {"v": "int64"}, "refresh": "1s"}},
        "dedup": {"id": "id", "within": "1h"},
        "bronze": {},
        "silver": {"columns": "id, user, names.v, names.w"},
        "gold": {"versions": {"by": ["names.w"], "window": {"tumbling": "10s"}, "measure": {"rows": "count()", "total": "sum(names.v)"}}},
        "state": {"users": {"by": ["user"], "measure": {"rows": "count()", "total": "sum(names.v)"}}},
        "lake": {"path": "./lake", "flush": {"every": "300ms", "bytes": "256KiB"}},
        "store": {"lmdb": "./state", "flush": "100ms"},
    }


class Versions:
    """The contents that the file had, by their hashes."""

    def __init__(self, put):
        self.put, self.known, self.count = put, {}, 0

    def bring(self):
        """Another version: some users are not in it."""
        n = self.count
        self.count += 1
        rows = {f"u{i}": (n * 1000 + i, f"v{n}") for i in range(USERS) if (i + n) % 7}
        content = ("user,v,w\n" + "".join(f"{user},{v},{w}\n" for user, (v, w) in rows.items())).encode()
        self.known[hashlib.sha256(content).hexdigest()] = rows
        self.put(content)
        return hashlib.sha256(content).hexdigest()


def to_file(path):
    def put(content):
        with open(path + ".part", "wb") as f:
            f.write(content)
        os.replace(path + ".part", path)
    return put


def job_of(suite, name, topic, file="names.csv"):
    directory = suite.path(name)
    os.makedirs(directory, exist_ok=True)
    base = os.path.join(directory, "base.yaml")
    with open(base, "w") as f:
        common.yaml.safe_dump(spec(topic, file), f, sort_keys=False)
    return common.Job(suite, directory, base, [])


class Stream:
    def __init__(self, suite, address, topic):
        self.producer, self.topic, self.random, self.at = Producer(address), topic, suite.random, 0

    def send(self, count):
        for _ in range(count):
            # Some come twice.
            n = self.at if self.random.random() < 0.95 or not self.at else self.random.randrange(self.at)
            user = f"u{hash_of(n) % (USERS + 3)}"
            value = {"id": f"i{n}", "user": user, "t": 1_700_000_000_000 + n * 5}
            self.producer.send(self.topic, json.dumps(value).encode(), user.encode(), timestamp=value["t"])
            self.at += 1
        self.producer.flush()
        return self


def hash_of(n):
    return int.from_bytes(hashlib.md5(str(n).encode()).digest()[:4], "big")


def brought(job):
    """The hashes that the ledger names, in the order of its entries."""
    return [d["hash"] for e in job.entries() for lane in e["lanes"] for d in lane["decisions"] if d["kind"] in ("lookup", "lookupRefreshed")]


def joined_faults(job, versions, used=None):
    """Each row of silver against the version that the fold of the ledger names at its entry, or that the entry says its records had."""
    faults, current, rows = [], None, 0
    for entry in job.entries():
        decisions = [d for lane in entry["lanes"] for d in lane["decisions"]]
        own = [d["hash"] for d in decisions if d["kind"] == "lookupUsed"]
        if own and used is not None:
            used.append(entry["number"])
        version = versions.known.get(own[0] if own else current)
        for table in entry["tables"]:
            if table["table"] != "silver/synthetic":
                continue
            for f in table["files"]:
                for row in parquet.read_table(os.path.join(job.lake, f["path"])).to_pylist():
                    rows += 1
                    wanted = version.get(row["user"], (None, None))
                    if (row["v"], row["w"]) != wanted:
                        faults.append(f"entry {entry['number']}: {row} instead of {wanted}")
        for d in decisions:
            if d["kind"] in ("lookup", "lookupRefreshed"):
                with open(os.path.join(job.lake, d["path"]), "rb") as f:
                    kept = hashlib.sha256(f.read()).hexdigest()
                if kept != d["hash"]:
                    faults.append(f"entry {entry['number']}: the bytes kept are not those of its hash")
                current = d["hash"]
    return faults + ([] if rows else ["no row was compared"])


def table_faults(job, stream):
    """Silver has each id once; gold and state are its sums."""
    silver = tables.read_delta(job.lake, "silver/synthetic").to_pylist()
    ids = {json.loads(r.value)["id"] for r in stream.producer.records}
    faults = [] if sorted(r["id"] for r in silver) == sorted(ids) else [f"{len(silver)} rows of {len(ids)} ids"]
    sums = {}
    for row in silver:
        known = sums.setdefault(row["user"], [0, None])
        known[0] += 1
        known[1] = known[1] if row["v"] is None else (known[1] or 0) + row["v"]
    state = {row["user"]: [row["rows"], row["total"]] for row in tables.scan_lines(job.suite.weir, "users", job.store)}
    return faults + [f"state of {u}: {state.get(u)} instead of {s}" for u, s in sums.items() if state.get(u) != s]


def several(suite):
    """Three workers, a file that changes while they run, kills: each row has the value of the version that the ledger names for it"""
    topic, rounds = TOPIC + "-several", 6 if suite.quick else 20
    with Broker({topic: PARTITIONS}) as b:
        job, out = job_of(suite, "several", topic), suite.path("several-capture")
        versions = Versions(to_file(os.path.join(job.directory, "names.csv")))
        versions.bring()
        stream, capture = Stream(suite, b.address, topic), captures.Capture(suite, out, b.address, topic).begin()
        stream.send(300)
        workers = [Worker(job, b.address) for _ in range(3)]
        broker.wait("each worker has partitions", lambda: all(captures.kafka.held(w) for w in workers), 180)
        faults = []
        for i in range(rounds):
            new = versions.bring()
            began = time.monotonic()
            while new not in brought(job):
                stream.send(40)
                time.sleep(0.05)
                if time.monotonic() - began > 180:
                    faults.append(f"version {versions.count - 1} is not in the ledger after 180 s: {workers[0].talk}")
                    break
            # Shortly after the decision, or a while later.
            stream.send(suite.random.choice([0, 200]))
            if i % 2 == 0:
                victim = suite.random.randrange(3)
                workers[victim].kill()
                workers[victim] = Worker(job, b.address)
                stream.send(200)
        stream.send(500)
        broker.wait("all records committed", lambda: broker.committed(job) >= len(stream.producer.records) or not any(w.is_running for w in workers), 240)
        for worker in workers:
            faults += worker.stop() if worker.is_running else [f"worker {worker.number} ended by itself: {worker.talk}"]
        faults += Worker(job, b.address).begin().stop()
        capture.wait_for(len(stream.producer.records))
        faults += capture.stop()
    used = []
    faults += joined_faults(job, versions, used) + table_faults(job, stream) + job.verify_faults()
    suite.claim(f"{several.__doc__} ({len(brought(job))} versions, {len(used)} entries of records that had the one before)",
                faults + ([] if len(set(brought(job))) == versions.count else [f"the ledger has {len(set(brought(job)))} versions"]))
    captures.decisions(suite, "several", job, out)
    again, run = captures.replay(job, suite.path("several-repeated"), out, "--decisions", job.lake)
    suite.claim("the replay by decisions joins each record with the version of the live run",
                run.fault() + joined_faults(again, versions) + ([] if brought(again) == brought(job) else ["other versions"]))
    last = versions.known[brought(job)[-1]]
    plain, run = captures.replay(job, suite.path("several-plain"), out)
    wrong = [r for r in tables.read_delta(plain.lake, "silver/synthetic").to_pylist() if (r["v"], r["w"]) != last.get(r["user"], (None, None))]
    suite.claim("a replay without decisions has one version, decided at its start", run.fault() + [str(r) for r in wrong[:3]]
                + ([] if len(brought(plain)) == 1 else [f"{len(brought(plain))} versions"]))


def broken(suite):
    """A file that is missing, broken or has other columns changes nothing, is counted each time and reported once; the next good one is used"""
    topic = TOPIC + "-broken"
    with Broker({topic: 2}) as b:
        job = job_of(suite, "broken", topic)
        put = to_file(os.path.join(job.directory, "names.csv"))
        versions = Versions(put)
        first = versions.bring()
        stream = Stream(suite, b.address, topic).send(100)
        worker = Watched(job, b.address).begin()

        def failures():
            text = worker.ask("/metrics")[1]
            return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("weir_lookup_looks_total{") and 'outcome="failed"' in line)
        faults = []
        for what, content, word in [("rows", b"user,v,w\nu1,x,y\n", "not int64"), ("columns", b"user,v\nu1,1\n", "columns"), ("gone", None, "No such file")]:
            before = failures()
            if content is None:
                os.remove(os.path.join(job.directory, "names.csv"))
            else:
                put(content)
            broker.wait(f"three failed looks ({what})", lambda: failures() >= before + 3 or not worker.is_running, 120)
            stream.send(100)
            said = [e for e in worker.saw("trouble") if e["code"] == "lookup_not_refreshed" and word in e["message"]]
            if len(said) != 1:
                faults.append(f"{what}: reported {len(said)} times: {worker.saw('trouble')[-1:]}")
        broker.wait("all committed", lambda: broker.committed(job) >= len(stream.producer.records) or not worker.is_running, 60)
        if brought(job) != [first]:
            faults.append(f"the ledger names {len(brought(job))} versions")
        second = versions.bring()
        broker.wait("the good one is in the ledger", lambda: second in brought(job) or not worker.is_running, 60)
        stream.send(100)
        broker.wait("all committed", lambda: broker.committed(job) >= len(stream.producer.records) or not worker.is_running, 60)
        entry = [line for line in worker.ask("/metrics")[1].splitlines() if line.startswith("weir_lookup_entry{")]
        faults += [] if len(entry) == 1 and float(entry[0].split()[-1]) > 1 else [f"weir_lookup_entry: {entry}"]
        faults += worker.stop()
        # What changes while no worker runs counts from the first record on.
        third = versions.bring()
        stream.send(100)
        worker = Worker(job, b.address).begin()
        broker.wait("all committed", lambda: broker.committed(job) >= len(stream.producer.records) or not worker.is_running, 60)
        faults += worker.stop()
        faults += joined_faults(job, versions) + table_faults(job, stream) + ([] if brought(job) == [first, second, third] else [f"{brought(job)}"])
        late = [r for r in tables.read_delta(job.lake, "silver/synthetic").to_pylist() if r["w"] == "v2"]
        suite.claim(broken.__doc__, faults + ([] if late else ["no row has the last version"]) + job.verify_faults())


def objects(suite):
    """An object in S3 is refreshed by its ETag: one request a look while it stays, and no second read"""
    topic = TOPIC + "-objects"
    server = aws.moto(suite)
    proxy = FaultProxy(server.port)
    try:
        client = boto3.client("s3", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id=aws.KEYS["AWS_ACCESS_KEY_ID"],
                              aws_secret_access_key=aws.KEYS["AWS_SECRET_ACCESS_KEY"])
        client.create_bucket(Bucket=BUCKET)
        with Broker({topic: 2}) as b:
            job = job_of(suite, "objects", topic, f"s3://{BUCKET}/a b/names.csv")
            job.environment = {**os.environ, **aws.KEYS, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_S3": proxy.url}
            versions = Versions(lambda content: client.put_object(Bucket=BUCKET, Key="a b/names.csv", Body=content))
            versions.bring()
            stream = Stream(suite, b.address, topic).send(200)
            worker = Worker(job, b.address).begin()
            second = versions.bring()
            broker.wait("the object's next version is in the ledger", lambda: second in brought(job) or not worker.is_running, 120)
            time.sleep(3)
            before, began = proxy.count, time.monotonic()
            time.sleep(5)
            asked, seconds = proxy.count - before, time.monotonic() - began
            stream.send(200)
            broker.wait("all committed", lambda: broker.committed(job) >= len(stream.producer.records) or not worker.is_running, 60)
            faults = worker.stop() + joined_faults(job, versions) + table_faults(job, stream)
            # A look a second, with room for one that fell into both.
            faults += [] if 1 <= asked <= seconds + 2 else [f"{asked} requests in {seconds:.1f} s"]
            suite.claim(objects.__doc__, faults + ([] if len(brought(job)) == 2 else [f"{brought(job)}"]))
    finally:
        proxy.close()
        server.close()


if __name__ == "__main__":
    common.Suite("lookups_are_refreshed", 900, __doc__).run(several, broken, objects)
