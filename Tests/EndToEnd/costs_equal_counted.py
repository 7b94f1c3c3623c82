#!/usr/bin/env python3
"""`weir explain --cost` computes the requests that runs make, as a proxy counts them: those of a replay into S3 exactly, those of flushes into
DynamoDB exactly per flush. The servers are moto and ministack."""
import json
import os
import threading

import boto3

import common
import aws
import aws_proxy
from broker import Broker, Producer, wait

REGION = "us-east-1"
BUCKET = "weir-costs"
FLUSH = 64 << 10
PIPELINE = """
pipeline: costs
source: {capture: {stream: costs}}
record:
  format: json
  key: id
  time: {field: at, out_of_order: 1s}
  fields: {id: string!, ad: string!, at: timestamp_ms!}
bronze: {}
silver: {}
gold: {per_ad: {by: [ad], window: {tumbling: 1s}, measure: {rows: count()}}}
"""
CAPTURE = PIPELINE + f'lake: {{path: "s3://{BUCKET}/lake", flush: {{bytes: {FLUSH}}}}}\n'
LINE = '{{"id":"r{:08d}","ad":"ad {}","at":{}}}\n'
BYTES = len(LINE.format(0, 0, 1767225600000))
LIVE_KEYS = 40
LIVE = PIPELINE.replace("source: {capture: {stream: costs}}", 'source: {kafka: {brokers: "ADDRESS", topics: [costs], group: costs}}') + """
state: {ids: {by: [id], measure: {rows: count()}}}
lake: {path: LAKE, flush: {every: 5s}}
store: {dynamodb: costs-state, flush: 2s, share: 100%}
worker: {drain: 120s}
"""


def environment(suite, url):
    return aws.environment(suite, **aws.KEYS, AWS_REGION=REGION, AWS_ENDPOINT_URL=url)


def bill(suite, pipeline, *options):
    run = common.Result([suite.weir, "explain", pipeline, "--cost", "--json", *options])
    if run.code:
        raise RuntimeError(run.talk)
    return json.loads(run.out)


def lines(bill, name):
    return next(service for service in bill["services"] if service["service"] == name)["lines"]


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def client(server, service):
    return boto3.client(service, endpoint_url=server.url, region_name=REGION, aws_access_key_id=aws.KEYS["AWS_ACCESS_KEY_ID"],
                        aws_secret_access_key=aws.KEYS["AWS_SECRET_ACCESS_KEY"])


def replays(suite):
    """The requests of a replay's epochs in S3 are those that `explain --cost` computes"""
    # In the first entries tables are made, and a follower looks for versions of others. 40 more are 10 commits of each table, and with them
    # one checkpoint.
    first, more = 12, 40
    pipeline = write(suite.path("capture.yaml"), CAPTURE)
    server = aws.moto(suite)
    try:
        client(server, "s3").create_bucket(Bucket=BUCKET)
        counted = []
        for epochs in (first, first + more):
            # Half an epoch more, so that no cut falls on the end.
            count = (2 * epochs + 1) * FLUSH // (2 * BYTES)
            capture = suite.path(f"{epochs}.ndjson")
            with open(capture, "w") as f:
                f.writelines(LINE.format(i, i % 3, 1767225600000 + i * 10) for i in range(count))
            proxy = aws_proxy.CountingProxy(server.port)
            try:
                run = common.Result([suite.weir, "replay", pipeline, "--capture", capture, "--lake", f"s3://{BUCKET}/{epochs}", "--lanes", "1"],
                                    environment=environment(suite, proxy.url))
            finally:
                proxy.close()
            if run.code:
                raise RuntimeError(run.talk)
            counted.append((count, dict(proxy.calls)))
    finally:
        server.close()
    computed = bill(suite, pipeline, "--record-bytes", str(BYTES), "--records-per-second", "100")
    per_epoch = {}
    for line in lines(computed, "S3"):
        if line["price"] != "s3_storage":
            per_epoch[line["unit"]] = per_epoch.get(line["unit"], 0) + line["per_second"] * computed["activity"]["epoch_seconds"]
    calls = {"PUT": "PutObject", "GET": "GetObject", "LIST": "ListObjectsV2"}
    found = {unit: counted[1][1].get(call, 0) - counted[0][1].get(call, 0) for unit, call in calls.items()}
    wanted = {unit: round(per_epoch[unit] * more, 1) for unit in calls}
    # A GET is a twelfth of a PUT; what a checkpoint reads depends on where the one before is.
    faults = [f"{unit}: {found[unit]} counted, {wanted[unit]} computed" for unit in ("PUT", "LIST") if found[unit] != wanted[unit]]
    if abs(found["GET"] - wanted["GET"]) > 0.1 * wanted["GET"]:
        faults.append(f"GET: {found['GET']} counted, {wanted['GET']} computed")
    suite.claim(f"{replays.__doc__}: PUT and LIST exactly, GET within a tenth ({more} entries: counted {found}, computed {wanted})", faults)


class Flushes(aws_proxy.CountingProxy):
    """Counts single writes by what they write: marks of entries are transactions, so these are of the rows' flushes."""

    def __init__(self, port):
        self.kinds, self.lock = {}, threading.Lock()
        super().__init__(port)

    def saw(self, headers, body):
        call = (headers.get("X-Amz-Target") or "").rpartition(".")[2]
        if call not in ("PutItem", "DeleteItem", "UpdateItem"):
            return
        spec = json.loads(body)
        key = spec.get("Item") or spec.get("Key")
        kind = key["pk"]["S"].split("#")[0]
        with self.lock:
            name = f"{call} {kind}"
            self.kinds[name] = self.kinds.get(name, 0) + 1


def flushes(suite):
    """A flush into DynamoDB writes what `explain --cost` computes"""
    server = aws.ministack(suite)
    try:
        client(server, "s3").create_bucket(Bucket=BUCKET)
        proxy = Flushes(server.port)
        with Broker({"costs": 2}) as broker:
            text = LIVE.replace("ADDRESS", broker.address).replace("LAKE", f"s3://{BUCKET}/live")
            pipeline = write(suite.path("live.yaml"), text)
            run = live(suite, pipeline, broker, environment(suite, proxy.url), proxy)
        proxy.close()
    finally:
        server.close()
    computed = bill(suite, pipeline, "--partitions", "2", "--keys", str(LIVE_KEYS), "--records-per-second", "1000", "--key-bytes", "11")
    line = next(line for line in lines(computed, "DynamoDB on demand") if line["what"].startswith("rows"))
    per_flush = line["requests_per_million_records"] / 1e6 * 1000 * computed["activity"]["state"][0]["flush_seconds"]
    kinds = proxy.kinds
    count = kinds.get("PutItem pending", 0)
    # The layout is written once per table, and belongs to no flush.
    layouts = kinds.pop("PutItem layout", 0)
    found = sum(kinds.values())
    wanted = round(per_flush * count)
    faults = run + ([] if count >= 3 else [f"only {count} flushes"])
    faults += [] if layouts == 1 else [f"the layout was written {layouts} times"]
    # Each flush writes each key once. The last one, of the drain, has the keys that came since the one before.
    rows = kinds.get("PutItem row", 0)
    faults += [] if LIVE_KEYS * (count - 1) < rows <= LIVE_KEYS * count else [f"{rows} rows in {count} flushes"]
    wanted -= LIVE_KEYS * count - rows
    # Lists of the last flush are removed after the next entry.
    if not wanted - 4 <= found <= wanted:
        faults.append(f"{found} counted, {wanted} computed: {kinds}")
    suite.claim(f"{flushes.__doc__} ({count} flushes, {rows} rows: {found} requests counted, {wanted} computed)", faults)


def live(suite, pipeline, broker, variables, proxy):
    """A worker until some flushes were made, each of all keys. Faults."""
    out = open(suite.path("worker.out"), "w")
    process = common.subprocess.Popen([suite.weir, "run", pipeline, "--json"], stdin=common.subprocess.DEVNULL, stdout=out, stderr=out, env=variables)
    producer, rounds = Producer(broker.address), 0
    try:
        wanted = 3 if suite.quick else 10

        def enough():
            nonlocal rounds
            rounds += 1
            for key in range(LIVE_KEYS):
                name = f"r{key:08d}"
                producer.send("costs", json.dumps({"id": name, "ad": "a", "at": 1767225600000 + rounds}).encode(), name.encode())
            producer.flush()
            return process.poll() is not None or proxy.kinds.get("DeleteItem pending", 0) >= wanted
        wait("the worker flushes", enough, common.PATIENCE)
    finally:
        process.terminate()
        try:
            process.wait(common.PATIENCE)
        except common.subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        out.close()
    return [] if process.returncode in (0, 143) else [f"the worker exited with {process.returncode}: {open(suite.path('worker.out')).read()[-500:]}"]


if __name__ == "__main__":
    os.environ.pop("AWS_PROFILE", None)
    common.Suite("costs_equal_counted", 90, __doc__).run(replays, flushes)
