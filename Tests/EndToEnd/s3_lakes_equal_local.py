#!/usr/bin/env python3
"""A replay into a bucket gives the rows of a replay into a directory: with kills, with lost answers, with a second worker, and whatever reads
them; a store that lets two writers win is refused.

On moto and on ministack. Exactly one winner is judged on ministack alone.
"""
import itertools
import os
import signal
import threading
import time
import urllib.parse

import common
import aws
import compare
import boto3
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from loopback import Loopback, forwarded
from pyarrow.fs import S3FileSystem

RECORDS = 40_000
# Keys that need encoding in the path, in queries and in listings.
PREFIX = "a lake/ü=1+2"
# And some that delta-rs cannot read.
ODD_PREFIX = PREFIX + "%20/%"
PIPELINE = """
pipeline: buckets
source: {capture: {stream: buckets}}
record:
  format: json
  key: id
  time: {field: at, out_of_order: 5s}
  fields: {id: string!, ad: string!, at: timestamp_ms!, n: int64}
dedup: {id: id, within: 10s}
bronze: {}
silver: {partition_by: [ad]}
gold: {per_ad: {by: [ad], window: {tumbling: 10s}, measure: {rows: count(), total: sum(n)}}}
lake: {flush: {bytes: 512KiB}}
"""
numbers = itertools.count()


def key(lake):
    return lake.removeprefix("s3://weir-lakes/")


def paths(table):
    """Of the files, in the table's directory."""
    return [urllib.parse.unquote(path) for path in pa.table(table.get_add_actions()).column("path").to_pylist()]


class Bucket:
    """A server with a bucket."""

    def __init__(self, suite, name, server):
        self.suite, self.name, self.server = suite, name, server
        self.options = {"endpoint_url": server.url, "region_name": "us-east-1", "aws_access_key_id": aws.KEYS["AWS_ACCESS_KEY_ID"],
                        "aws_secret_access_key": aws.KEYS["AWS_SECRET_ACCESS_KEY"]}
        self.client = boto3.client("s3", **self.options)
        self.client.create_bucket(Bucket="weir-lakes")

    def environment(self, url=None):
        return aws.environment(self.suite, **aws.KEYS, AWS_REGION="us-east-1", AWS_ENDPOINT_URL_S3=url or self.server.url)

    def lake(self, prefix=ODD_PREFIX):
        return f"s3://weir-lakes/{prefix}/{next(numbers)}"

    def download(self, lake):
        """The lake as a directory, by boto3."""
        prefix = key(lake) + "/"
        directory = self.suite.path(f"copy-{next(numbers)}")
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket="weir-lakes", Prefix=prefix):
            for item in page.get("Contents", []):
                path = os.path.join(directory, item["Key"].removeprefix(prefix))
                os.makedirs(os.path.dirname(path), exist_ok=True)
                self.client.download_file("weir-lakes", item["Key"], path)
        return directory

    def uploads(self):
        return self.client.list_multipart_uploads(Bucket="weir-lakes").get("Uploads", [])


class Work:
    """The capture, and what a replay into a directory makes of it."""

    def __init__(self, suite):
        self.suite = suite
        self.pipeline, self.capture = suite.path("buckets.yaml"), suite.path("buckets.ndjson")
        with open(self.pipeline, "w") as f:
            f.write(PIPELINE)
        with open(self.capture, "w") as f:
            for i in range(RECORDS):
                f.write(f'{{"id":"r{i % (RECORDS - 500)}","ad":"ad {i % 3}=+ü%","at":{1767225600000 + i * 10},"n":{i if i % 7 else "null"}}}\n')
        self.lake = suite.path("local")
        done = common.Result(self.command("replay", self.lake))
        suite.claim("a replay into a directory", done.fault())

    def command(self, what, lake):
        if what == "replay":
            return [self.suite.weir, "replay", self.pipeline, "--capture", self.capture, "--lake", lake, "--lanes", "2", "--json"]
        return [self.suite.weir, *what.split(), self.pipeline, "--lake", lake]

    def replay(self, lake, environment):
        return common.Result(self.command("replay", lake), environment=environment)

    def faults(self, bucket, lake):
        """How a lake in a bucket differs from the directory."""
        verify = common.Result(self.command("ledger verify", lake), environment=bucket.environment())
        faults = [] if verify.code == 0 else [f"verify: exit {verify.code}: {verify.talk} {verify.out[-300:]}"]
        copy = bucket.download(lake)
        return faults + common.flat(compare.compare_lakes(self.pipeline, (self.lake, None), (copy, None), self.suite.weir))


def equal(work, bucket):
    """The same rows and counts; whichever library reads them from the bucket."""
    lake = bucket.lake(PREFIX)
    done = work.replay(lake, bucket.environment())
    work.suite.claim(f"{bucket.name}: a replay into a bucket has the directory's rows", done.fault() + work.faults(bucket, lake))
    again = work.replay(lake, bucket.environment())
    work.suite.claim(f"{bucket.name}: a second run finds nothing to do", again.fault() + work.faults(bucket, lake))
    # delta-rs lists the files, from the bucket; pyarrow and DuckDB read them there.
    options = {"AWS_ENDPOINT_URL": bucket.server.url, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1", **aws.KEYS}
    host = bucket.server.url.removeprefix("http://")
    files = S3FileSystem(endpoint_override=host, scheme="http", region="us-east-1", access_key=aws.KEYS["AWS_ACCESS_KEY_ID"],
                         secret_key=aws.KEYS["AWS_SECRET_ACCESS_KEY"])
    faults = []
    for table in ("bronze/buckets", "gold/per_ad"):
        # An address of delta-rs is encoded.
        there = DeltaTable(f"s3://weir-lakes/{urllib.parse.quote(key(lake))}/{table}", storage_options=options)
        mine = DeltaTable(os.path.join(work.lake, table)).to_pyarrow_table()
        by_delta = there.to_pyarrow_table()
        by_pyarrow = pa.concat_tables([pq.read_table(f"weir-lakes/{key(lake)}/{table}/{path}", filesystem=files, partitioning=None) for path in paths(there)])
        names = [name for name in mine.column_names if not name.startswith("_")]
        wanted = sorted(map(repr, mine.select(names).to_pylist()))
        for name, found in (("delta-rs", by_delta), ("pyarrow", by_pyarrow)):
            if sorted(map(repr, found.select(names).to_pylist())) != wanted:
                faults.append(f"{table} by {name}: {found.num_rows} rows, {mine.num_rows} in the directory")
        count = duckdb.sql("select count(*) from by_delta").fetchall()[0][0]
        if count != mine.num_rows:
            faults.append(f"{table} by DuckDB: {count} rows")
    work.suite.claim(f"{bucket.name}: delta-rs, pyarrow and DuckDB read the tables in the bucket", faults)


def killed(work, bucket):
    """Kills with signal 9, at any moment; then one more run."""
    lake, faults, kills = bucket.lake(), [], 3 if work.suite.quick else 12
    for _ in range(kills):
        process = common.subprocess.Popen(work.command("replay", lake), env=bucket.environment(), stdout=common.subprocess.DEVNULL,
                                          stderr=common.subprocess.DEVNULL)
        time.sleep(0.1 + 0.8 * work.suite.random.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = work.replay(lake, bucket.environment())
    work.suite.claim(f"{bucket.name}: {kills} kills lose nothing and double nothing", faults + done.fault() + work.faults(bucket, lake))


def together(work, bucket):
    """Two replays of one ledger at once: one of them may end fenced, and nothing is lost or doubled."""
    lake = bucket.lake()
    both = [common.subprocess.Popen(work.command("replay", lake), env=bucket.environment(), stdout=common.subprocess.PIPE,
                                    stderr=common.subprocess.PIPE, text=True) for _ in range(2)]
    ends = [(process.communicate(timeout=common.PATIENCE * 4), process.returncode) for process in both]
    faults = [f"exit {code}: {err[-300:]}" for (_, err), code in ends if code not in (0, 1)]
    if all(code for _, code in ends):
        faults.append(f"both failed: {ends[0][0][1][-300:]} {ends[1][0][1][-300:]}")
    done = work.replay(lake, bucket.environment())
    work.suite.claim(f"{bucket.name}: two workers at once lose nothing and double nothing", faults + done.fault() + work.faults(bucket, lake))


class Proxy(Loopback):
    """Before a server: it changes requests and loses answers, as a function of (method, path, number) says."""

    def __init__(self, server, plan):
        self.host, self.plan = server.url.removeprefix("http://"), plan
        self.count, self.lock, self.lost = itertools.count(), threading.Lock(), 0
        super().__init__()

    def handle(self, handler, body):
        with self.lock:
            what = self.plan(handler.command, handler.path, next(self.count))
        if what == "lose":
            return self.lose(handler)
        headers = {name: value for name, value in handler.headers.items() if what != "unconditional" or name.lower() != "if-none-match"}
        answer = forwarded(self.host, handler.command, handler.path, headers, body)
        if what == "lose answer":
            return self.lose(handler)
        self.reply(handler, *answer)

    def lose(self, handler):
        with self.lock:
            self.lost += 1
        self.end(handler)


def answers_lost(work, bucket):
    """Each third write has its effect, and its answer is lost; each seventh does not arrive."""
    def plan(method, path, number):
        if method not in ("PUT", "POST"):
            return "pass"
        return "lose answer" if number % 3 == 0 else "lose" if number % 7 == 0 else "pass"
    proxy = Proxy(bucket.server, plan)
    try:
        lake = bucket.lake()
        done = work.replay(lake, bucket.environment(proxy.url))
        # Not more than the client's budget of retries: one more run finishes what one has given up.
        if done.code == 1:
            done = work.replay(lake, bucket.environment(proxy.url))
    finally:
        proxy.close()
    faults = done.fault() + ([] if proxy.lost > 5 else [f"only {proxy.lost} were lost"]) + work.faults(bucket, lake)
    work.suite.claim(f"{bucket.name}: {proxy.lost} lost writes and answers lose nothing and double nothing", faults)


def judged(work, bucket):
    """`weir doctor` passes a good store, refuses one that ignores conditions, and leaves nothing."""
    def doctor(url=None):
        return common.Result([work.suite.weir, "doctor", "--lake", "s3://weir-lakes/doctor"], environment=bucket.environment(url))
    good = doctor()
    faults = [] if good.code == 0 and "FAILED" not in good.out and good.out.count("\n") >= 5 else [f"exit {good.code}: {good.out} {good.err}"]
    proxy = Proxy(bucket.server, lambda *_: "unconditional")
    try:
        bad = doctor(proxy.url)
    finally:
        proxy.close()
    if bad.code != 1 or "FAILED" not in bad.out:
        faults.append(f"a store without conditions: exit {bad.code}: {bad.out} {bad.err}")
    left = bucket.client.list_objects_v2(Bucket="weir-lakes", Prefix="doctor").get("KeyCount", 0)
    if left or bucket.uploads():
        faults.append(f"{left} objects and {len(bucket.uploads())} uploads are left")
    work.suite.claim(f"{bucket.name}: the doctor passes it, and refuses it when conditions are ignored", faults)


def settings_judged(work, bucket):
    """`weir doctor` reports rules that would delete or move a lake's objects, and settings of the bucket that cost money."""
    faults, name = [], "weir-doctor"
    bucket.client.create_bucket(Bucket=name)

    def doctor(what, code, *words):
        run = common.Result([work.suite.weir, "doctor", "--lake", f"s3://{name}/a lake"], environment=bucket.environment())
        # moto may let two writers of one object win.
        out = "".join(line for line in run.out.splitlines(True) if "win:" not in line)
        if (bucket.name != "moto" and run.code != code) or not all(word in out for word in words):
            faults.append(f"{what}: exit {run.code}: {run.out} {run.err}")
    # moto answers GetBucketVersioning with an element that S3 does not have: a notice.
    off, on = ("versioning: could not be looked at",) * 2 if bucket.name == "moto" else ("versioning is off", "noncurrent versions")
    doctor("a new bucket", 0, "no lifecycle rule deletes or moves", off, "no default retention")

    def rules(*rules):
        bucket.client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [
            {"ID": f"rule-{i}", "Status": "Enabled", **rule} for i, rule in enumerate(rules)]})
    rules({"Filter": {"Prefix": "another/"}, "Expiration": {"Days": 1}}, {"Filter": {"Prefix": "a lake/tmp/"}, "Expiration": {"Days": 1}})
    doctor("rules for other keys", 0, "no lifecycle rule deletes or moves")
    rules({"Filter": {"Prefix": "a lake/_weir/"}, "Expiration": {"Days": 30}})
    doctor("a rule for the ledger", 1, "FAILED", "rule-0", "a lake/_weir/", "after 30 days")
    rules({"Filter": {"Prefix": ""}, "Transitions": [{"Days": 90, "StorageClass": "GLACIER"}]})
    doctor("an archive", 1, "FAILED", "GLACIER after 90 days")
    rules({"Filter": {"Prefix": ""}, "Transitions": [{"Days": 90, "StorageClass": "STANDARD_IA"}]})
    doctor("a colder class", 0, "notice", "STANDARD_IA after 90 days")
    bucket.client.delete_bucket_lifecycle(Bucket=name)
    bucket.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    bucket.client.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [
        {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]})
    doctor("versioning and KMS", 0, "notice", on, "without a bucket key")
    work.suite.claim(f"{bucket.name}: {settings_judged.__doc__}", faults)


def refused(work, bucket):
    """Errors name the place and say what to do."""
    faults = []
    for lake, change, words in [
        ("s3://no-such-bucket/x", {}, ["no-such-bucket", "Create the bucket"]), ("s3://ab", {}, ["not the name of a bucket"]),
        ("s3a://weir-lakes/x", {}, ["s3://BUCKET/PREFIX"]), ("s3://weir-lakes/x", {"AWS_ENDPOINT_URL_S3": "localhost:1"}, ["localhost:1"]),
    ]:
        run = common.Result(work.command("ledger show", lake), environment={**bucket.environment(), **change})
        if run.code not in (1, 2) or not all(word in run.err for word in words):
            faults.append(f"{lake} {change}: exit {run.code}: {run.err[-300:]}")
    work.suite.claim(f"{bucket.name}: errors name the place and say what to do", faults)


def on_moto(suite):
    """moto"""
    server = aws.moto(suite)
    try:
        bucket = Bucket(suite, "moto", server)
        for part in (equal, killed, settings_judged, *([] if suite.quick else [together, answers_lost])):
            part(WORK[0], bucket)
    finally:
        server.close()


def on_ministack(suite):
    """ministack"""
    server = aws.ministack(suite)
    try:
        bucket = Bucket(suite, "ministack", server)
        for part in (equal, killed, together, answers_lost, judged, settings_judged, refused):
            part(WORK[0], bucket)
    finally:
        server.close()


WORK = []
suite = common.Suite("s3_lakes_equal_local", 90, __doc__)
WORK.append(Work(suite))
suite.run(on_moto, on_ministack)
