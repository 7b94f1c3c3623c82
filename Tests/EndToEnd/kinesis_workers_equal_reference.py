#!/usr/bin/env python3
"""Workers on Kinesis: rows, state and counts equal the reference, whichever worker is killed, while shards are split and merged, with records
that producers packed into aggregates. Plain reading runs on moto; splits on a server of our own, because moto and ministack do them wrong."""
import collections
import contextlib
import dataclasses
import hashlib
import json
import os
import random
import subprocess
import time

import aws_kinesis_agg.aggregator
import boto3
import deltalake
import pyarrow as pa

import common
import broker
import live
from common import aws, aws_calls, kinesis_server, mock_kinesis

REGION = "us-east-1"
RECORDS, RECORDS_QUICK = 40_000, 6_000
CLOSING_MS = 100_000_000        # event time of the records that close all windows; at least a day after the others
STREAM = "events"


@dataclasses.dataclass
class Record(live.Record):
    """`partition` is the shard that the record's keys began in, `offset` the order in it; where it really is comes with it."""
    name: str = ""
    ordinal: int = 0
    sequence: str = ""


class Fold(live.LiveFold):
    """Of a stream whose shards are split: a child continues its parent."""

    def __init__(self, p, records):
        super().__init__(p, records)
        self.position = [r.ordinal for r in self.records]
        self.source = ["appended"] * self.n

    def provenance(self, rows):
        there = super().provenance(rows)
        return there | {"_shard": pa.array([self.records[r].name for r in rows], pa.string()),
                        "_sequence": pa.array([self.records[r].sequence for r in rows], pa.string())}


def computed(path, records):
    """As live.compute, of such a stream."""
    original, live.LiveFold = live.LiveFold, Fold
    try:
        return live.compute(path, records)
    finally:
        live.LiveFold = original


def change(app, **more):
    """Makes a pipeline file read Kinesis."""
    def edit(spec):
        spec["source"] = {"kinesis": {
            "stream": STREAM, "app": app, "lease": "3s", "idle": "1h", "refresh": "2s", "handover": "20s",
            **({} if more.get("read") == "fan_out" else {"poll": "250ms"}), **more}}
        spec["record"]["time"]["max_ahead"] = "off"
        spec.setdefault("lake", {})["flush"] = {"every": "300ms", "bytes": "256KiB"}
        spec["checks"].append({"name": "has_user", "that": "user is not null"})
    return edit


class Worker(broker.Worker):
    """A `weir run` process on Kinesis."""

    def __init__(self, job, environment, *more):
        broker.Worker.number += 1
        broker.Worker.everybody.append(self)
        self.job, self.number = job, broker.Worker.number
        broker.patient(job.pipeline)
        self.out = os.path.join(job.directory, f"worker{self.number}.out")
        self.err = os.path.join(job.directory, f"worker{self.number}.err")
        with open(self.out, "w") as out, open(self.err, "w") as err:
            self.process = subprocess.Popen(
                [job.suite.weir, "run", job.pipeline, "--lake", job.lake, "--store", job.store, "--json", *more],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)

    def shards(self):
        """Those that it was assigned last, and has."""
        held = set()
        for event in self.events:
            if event["event"] == "assigned":
                held |= set(event["positions"])
            elif event["event"] == "revoked":
                held -= set(event.get("shards", ()))
        return held


class Events:
    """Events in order of their times, which a user sends now and then; some are duplicates, some are damaged."""

    def __init__(self, seed, count):
        self.random, self.count, self.at, self.sent = random.Random(seed), count, 0, []

    @property
    def is_done(self):
        return self.at >= self.count

    def next(self):
        """(key, value) of the next event."""
        r, i = self.random, self.at
        self.at += 1
        if self.sent and r.random() < 0.05:
            return self.sent[-r.randint(1, min(40, len(self.sent)))]
        user = f"user{r.randint(1, 300)}"
        # 20 ms apart, out of order by less than the pipeline's 5 s: no lane, whatever shards it has, finds one late.
        value = {"id": f"e{i}", "user": user, "t": i * 20 + r.randint(0, 2000), "kind": r.choice(["view", "view", "click", "purchase"]),
                 "amount": r.randint(0, 10_000) / 100, "n": r.randint(-5, 50), "flag": r.random() < 0.3}
        text = json.dumps(value).encode()
        if r.random() < 0.01:
            text = text[:-5]
        event = (user, text)
        self.sent.append(event)
        return event


class Sent:
    """Where every record is, for the reference."""

    def __init__(self):
        self.records, self.counts, self.order = [], collections.Counter(), collections.Counter()

    def add(self, shard, root, outer, sub, arrival, key, value):
        self.records.append(Record(STREAM, root, self.order[root], value, key.encode(), arrival, None, f"{STREAM}/{shard}",
                                   self.counts[shard], f"{outer}:{sub}"))
        self.order[root] += 1
        self.counts[shard] += 1


def packed(events):
    """One aggregate of KPL's, made by another implementation: (key, explicit hash, data)."""
    packer = aws_kinesis_agg.aggregator.RecordAggregator()
    for key, value in events:
        packer.add_user_record(key, value)
    return packer.clear_and_get().get_contents()


class OwnStream:
    """On the server of our own: a third of the records is packed, those of a shard together."""

    def __init__(self, server, events):
        self.server, self.events, self.sent = server, events, Sent()
        self.roots = {s.id: s.id for s in server.shards.values()}

    def root(self, shard):
        if shard not in self.roots:
            self.roots[shard] = self.root(self.server.shards[shard].parents[0])
        return self.roots[shard]

    def put(self, key, data, inner, explicit=None):
        shard, number, arrival = self.server.put(key, data, explicit)
        for sub, (k, v) in enumerate(inner):
            self.sent.add(shard, self.root(shard), number, sub, arrival, k, v)

    def shard_of(self, key):
        hashed = int.from_bytes(hashlib.md5(key.encode()).digest(), "big")
        return next(s.id for s in self.server.open_shards() if s.first <= hashed <= s.last)

    def send(self, count):
        left = min(count, self.events.count - self.events.at)
        while left > 0:
            if self.events.random.random() < 0.2:
                # Of one shard each, in the order in which they were made.
                some = [self.events.next() for _ in range(min(left, self.events.random.randint(2, 30)))]
                left -= len(some)
                by_shard = collections.defaultdict(list)
                for event in some:
                    by_shard[self.shard_of(event[0])].append(event)
                for inner in by_shard.values():
                    key, explicit, data = packed(inner)
                    self.put(key, data, inner, explicit)
            else:
                key, value = self.events.next()
                left -= 1
                self.put(key, value, [(key, value)])

    def close_windows(self):
        for number, shard in enumerate(self.server.open_shards()):
            user = next(u for i in range(100_000) if self.shard_of(u := f"closer{i}") == shard.id)
            value = {"id": f"closing-{number}", "user": user, "t": CLOSING_MS, "kind": "view", "amount": 1}
            text = json.dumps(value).encode()
            self.put(user, text, [(user, text)])


class Remote:
    """`weir mock-kinesis`, by boto3, as OwnStream sees its server."""

    def __init__(self, server):
        self.client, self.shards = server.client(10), {}
        self.refresh()

    def refresh(self):
        listed, more = [], {"StreamName": STREAM}
        while more:
            answer = self.client.list_shards(**more)
            listed += answer["Shards"]
            more = {"NextToken": answer["NextToken"]} if "NextToken" in answer else None
        for s in listed:
            shard = self.shards.setdefault(s["ShardId"], kinesis_server.Shard(
                0, int(s["HashKeyRange"]["StartingHashKey"]), int(s["HashKeyRange"]["EndingHashKey"]),
                [s[n] for n in ("ParentShardId", "AdjacentParentShardId") if n in s]))
            shard.id, shard.closed = s["ShardId"], "EndingSequenceNumber" in s["SequenceNumberRange"]

    def open_shards(self):
        return [s for s in self.shards.values() if not s.closed]

    def put(self, key, data, explicit=None):
        answer = self.client.put_record(StreamName=STREAM, PartitionKey=key, Data=data, **({"ExplicitHashKey": explicit} if explicit else {}))
        return answer["ShardId"], int(answer["SequenceNumber"]), 0

    def split(self, shard):
        s = self.shards[shard]
        self.client.split_shard(StreamName=STREAM, ShardToSplit=shard, NewStartingHashKey=str(s.first + (s.last - s.first) // 2 + 1))
        self.refresh()
        return [c.id for c in self.shards.values() if shard in c.parents]

    def merge(self, low, high):
        self.client.merge_shards(StreamName=STREAM, ShardToMerge=low, AdjacentShardToMerge=high)
        self.refresh()

    def arrived(self, records):
        """The records with the arrival that the server gave them."""
        arrivals = {}
        for shard in self.shards:
            iterator = self.client.get_shard_iterator(StreamName=STREAM, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
            while iterator:
                answer = self.client.get_records(ShardIterator=iterator)
                arrivals |= {(f"{STREAM}/{shard}", r["SequenceNumber"]): round(r["ApproximateArrivalTimestamp"].timestamp() * 1000) for r in answer["Records"]}
                iterator = answer.get("NextShardIterator") if answer["Records"] else None
        return [dataclasses.replace(r, timestamp=arrivals[r.name, r.sequence.split(":")[0]]) for r in records]


class MotoStream:
    """On moto, by boto3."""

    def __init__(self, server, events, shards):
        self.client = boto3.client("kinesis", region_name=REGION, endpoint_url=server.url,
                                   aws_access_key_id=aws.KEYS["AWS_ACCESS_KEY_ID"], aws_secret_access_key=aws.KEYS["AWS_SECRET_ACCESS_KEY"])
        self.client.create_stream(StreamName=STREAM, ShardCount=shards)
        self.events = events

    def send(self, count):
        left = min(count, self.events.count - self.events.at)
        while left > 0:
            batch = [self.events.next() for _ in range(min(left, 400))]
            left -= len(batch)
            self.client.put_records(StreamName=STREAM, Records=[{"Data": v, "PartitionKey": k} for k, v in batch])

    def close_windows(self):
        shards = self.client.list_shards(StreamName=STREAM)["Shards"]
        for number, shard in enumerate(shards):
            value = {"id": f"closing-{number}", "user": f"closer{number}", "t": CLOSING_MS, "kind": "view", "amount": 1}
            ends = shard["HashKeyRange"]
            user = next(u for i in range(100_000) if int(ends["StartingHashKey"]) <= int.from_bytes(
                hashlib.md5((u := f"closer{i}").encode()).digest(), "big") < int(ends["EndingHashKey"]))
            value["user"] = user
            self.client.put_records(StreamName=STREAM, Records=[{"Data": json.dumps(value).encode(), "PartitionKey": user}])

    def read(self):
        """All that the stream has, as another client reads it."""
        sent = Sent()
        for shard in self.client.list_shards(StreamName=STREAM)["Shards"]:
            iterator = self.client.get_shard_iterator(StreamName=STREAM, ShardId=shard["ShardId"],
                                                      ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
            while True:
                answer = self.client.get_records(ShardIterator=iterator)
                for r in answer["Records"]:
                    arrival = round(r["ApproximateArrivalTimestamp"].timestamp() * 1000)
                    sent.add(shard["ShardId"], shard["ShardId"], r["SequenceNumber"], 0, arrival, r["PartitionKey"], r["Data"])
                if not answer["Records"]:
                    break
                iterator = answer["NextShardIterator"]
        return sent


def environment(suite, kinesis, dynamodb):
    return aws.environment(suite, **aws.KEYS, AWS_REGION=REGION, AWS_ENDPOINT_URL_KINESIS=kinesis, AWS_ENDPOINT_URL_DYNAMODB=dynamodb)


def dynamodb_client(server):
    return boto3.client("dynamodb", region_name=REGION, endpoint_url=server.url, aws_access_key_id=aws.KEYS["AWS_ACCESS_KEY_ID"],
                        aws_secret_access_key=aws.KEYS["AWS_SECRET_ACCESS_KEY"])


def table(server, name):
    client = dynamodb_client(server)
    return client, {item["leaseKey"]["S"]: item for item in client.scan(TableName=name, ConsistentRead=True)["Items"]}


def settle(job, workers, count):
    broker.wait("all records committed", lambda: broker.committed(job) >= count or not any(w.is_running for w in workers))
    faults = [] if broker.committed(job) >= count else [f"{broker.committed(job)} of {count} records are committed"]
    for worker in workers:
        faults += worker.stop() if worker.is_running else [f"worker {worker.number} ended by itself: {worker.talk}"]
    return faults


def finish(job, records, workers, variables):
    """Waits until everything is committed, stops the workers, compares. Faults."""
    faults = settle(job, workers, len(records))
    # The last of several may have had no lane when it was stopped, and so not the merge lane: one more brings it up.
    if len(workers) > 1:
        faults += Worker(job, variables).begin().stop()
    wanted = computed(job.pipeline, records)
    found = common.compare.compare(wanted, job.pipeline, job.lake, job.store, job.suite.weir)
    return faults + common.flat(found) + job.verify_faults()


def land(job, stream, workers, count):
    before = broker.committed(job)
    stream.send(count)
    broker.wait("somebody commits", lambda: broker.committed(job) > before or not all(w.is_running for w in workers))
    for worker in workers:
        if not worker.is_running:
            raise RuntimeError(f"worker {worker.number} ended by itself: {worker.talk}")


def moto(suite):
    """On moto, two workers share four shards, one is killed: rows, state and counts equal the reference"""
    with contextlib.closing(aws.moto(suite)) as server:
        stream = MotoStream(server, Events(suite.arguments.seed, RECORDS_QUICK // 2 if suite.quick else RECORDS // 4), 4)
        variables = environment(suite, server.url, server.url)
        job = common.Job(suite, suite.path("moto"), "synthetic", [], change=change("weir-moto"))
        stream.send(1000)
        workers = [Worker(job, variables).begin()]
        land(job, stream, workers, 400)
        workers.append(Worker(job, variables))
        broker.wait("the second has a share", lambda: len(workers[1].shards()) >= 2)
        suite.claim("a second worker gets half of the shards, without an error of the first",
                    [] if not workers[0].saw("trouble") else [str(workers[0].saw("trouble")[:2])])
        land(job, stream, workers, 400)
        workers.pop(0).kill()
        workers.append(Worker(job, variables))
        stream.send(10**9)
        stream.close_windows()
        sent = stream.read()
        suite.claim(moto.__doc__, finish(job, sent.records, workers, variables))
        _, rows = table(server, "weir-moto")
        # A worker that hands a lease over right after a commit may leave the checkpoint before it to the next commit: the ledger decides.
        last = {key: max(int(r.sequence.split(":")[0]) for r in sent.records if r.name.endswith(key)) for key in rows}
        faults = [f"{key}: {row}" for key, row in rows.items() if "leaseOwner" in row or not 0 < int(row["checkpoint"]["S"]) <= last[key]]
        suite.claim("the leases have no owner after it, and no checkpoint is beyond the last record", faults)


def splits(suite):
    """Shards are split and merged while two workers read packed records and one is killed: rows, state and counts equal the reference"""
    with contextlib.closing(aws.moto(suite)) as dynamodb, contextlib.closing(kinesis_server.Kinesis(STREAM, 2)) as server:
        stream = OwnStream(server, Events(suite.arguments.seed, RECORDS_QUICK if suite.quick else RECORDS))
        variables = environment(suite, server.url, dynamodb.url)
        job = common.Job(suite, suite.path("splits"), "synthetic", [], change=change("weir-splits"))
        stream.send(1000)
        workers = [Worker(job, variables), Worker(job, variables)]
        broker.wait("both read", lambda: all(w.shards() for w in workers))
        land(job, stream, workers, 500)
        server.expire_iterators()
        broker.wait("an iterator expires", lambda: server.expiries)
        low = server.split("shardId-000000000000")
        server.throttles = 3
        land(job, stream, workers, 500)
        server.split("shardId-000000000001")
        stream.send(300)
        workers.pop(0).kill()
        workers.append(Worker(job, variables))
        land(job, stream, workers, 500)
        server.merge(*low)
        stream.send(10**9)
        stream.close_windows()
        suite.note(f"{len(stream.sent.records)} records, {len(server.shards)} shards")
        suite.claim(splits.__doc__, finish(job, stream.sent.records, workers, variables))
        suite.claim("the requests are those that the policies list", aws_calls.unlisted(server.calls, "kinesis"))
        _, rows = table(dynamodb, "weir-splits")
        closed = [s.id for s in server.shards.values() if s.closed]
        suite.claim("the leases of shards that ended say so, with their children",
                    [f"{s}: {rows.get(s)}" for s in closed if rows[s]["checkpoint"]["S"] != "SHARD_END" or "childShardIds" not in rows[s]])
        suite.claim("it came to pages of shards and to an expired iterator",
                    [] if server.expiries and len(server.shards) > kinesis_server.PAGE else [str(server.calls)])


def fans(suite):
    """By enhanced fan-out: shards are split and merged, a worker is killed, subscriptions end, break and fall silent: rows, state and counts equal the reference"""
    # Subscriptions last longer than the 30 s after which a silent one is replaced.
    with contextlib.closing(aws.moto(suite)) as dynamodb, \
            mock_kinesis.Server(suite.weir, {STREAM: 2}, "--page", "3", "--heartbeat", "500", "--subscription", "45000") as server:
        remote = Remote(server)
        stream = OwnStream(remote, Events(suite.arguments.seed, RECORDS_QUICK // 2 if suite.quick else RECORDS // 4))
        variables = environment(suite, server.url, dynamodb.url)
        job = common.Job(suite, suite.path("fans"), "synthetic", [], change=change("weir-fans", read="fan_out"))
        stream.send(500)
        # As if the application had started no consumer before; requests that fail are repeated.
        server.command("refuse", "SubscribeToShard", "LimitExceededException", 2)
        workers = [Worker(job, variables), Worker(job, variables)]
        broker.wait("both read", lambda: all(w.shards() for w in workers))
        land(job, stream, workers, 300)
        server.command("cut")
        land(job, stream, workers, 300)
        low = remote.split("shardId-000000000000")
        land(job, stream, workers, 300)
        remote.split("shardId-000000000001")
        stream.send(200)
        workers.pop(0).kill()
        workers.append(Worker(job, variables))
        land(job, stream, workers, 300)
        server.command("silence")
        stream.send(200)
        broker.wait("a silent subscription is replaced", lambda: any("the subscription was silent" in w.talk for w in workers))
        server.command("speak")
        land(job, stream, workers, 100)
        remote.merge(*low)
        stream.send(10**9)
        stream.close_windows()
        calls = server.calls
        records = remote.arrived(stream.sent.records)
        suite.note(f"{len(records)} records, {len(remote.shards)} shards, {server.calls}")
        suite.claim(fans.__doc__, finish(job, records, workers, variables))
        suite.claim("the requests are those that the policies list", aws_calls.unlisted(
            {c for c in calls if c not in ("PutRecord", "SplitShard", "MergeShards")}, "kinesis", "kinesis_fan_out"))
        # A look at one record makes an iterator each time; polling would not.
        polls = calls.get("GetRecords", 0) > 2 * calls.get("GetShardIterator", 0)
        suite.claim("records come by subscription", [str(calls)] if polls or calls["SubscribeToShard"] <= len(remote.shards) else [])
        consumers = remote.client.list_stream_consumers(StreamARN=remote.client.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"])
        named = [c["ConsumerName"] for c in consumers["Consumers"]]
        suite.claim("the workers share one consumer, with the name of the application", [] if named == ["weir-fans"] else [str(named)])
        _, rows = table(dynamodb, "weir-fans")
        closed = [s.id for s in remote.shards.values() if s.closed]
        suite.claim("the leases of shards that ended say so, by enhanced fan-out too",
                    [f"{s}: {rows.get(s)}" for s in closed if rows.get(s, {}).get("checkpoint", {}).get("S") != "SHARD_END"])


def decisions(job, kind):
    return [d for entry in job.entries() for lane in entry["lanes"] for d in lane["decisions"] if kind in json.dumps(d)]


def losses(suite):
    """Records that were trimmed before they were read are a gap in the ledger; a recreated stream stops the worker"""
    with contextlib.closing(aws.moto(suite)) as dynamodb, contextlib.closing(kinesis_server.Kinesis(STREAM, 1)) as server:
        stream = OwnStream(server, Events(suite.arguments.seed, 600))
        variables = environment(suite, server.url, dynamodb.url)
        job = common.Job(suite, suite.path("losses"), "synthetic", [], change=change("weir-losses"))
        stream.send(300)
        workers = [Worker(job, variables)]
        faults = settle(job, workers, len(stream.sent.records))
        before, shard = len(stream.sent.records), server.shards["shardId-000000000000"]
        known = len(shard.records)
        stream.send(200)
        lost = [r for r in stream.sent.records[before:] if int(r.sequence.split(":")[0]) < shard.records[known + 10][0]]
        shard.trimmed = known + 10
        faults += settle(job, [Worker(job, variables)], len(stream.sent.records) - len(lost))
        gaps = decisions(job, "trimmed at the source")
        faults += [] if len(gaps) == 1 else [f"gaps: {gaps}"]
        faults += [] if broker.committed(job) == len(stream.sent.records) - len(lost) else [f"{broker.committed(job)} records"]
        suite.claim("records that were trimmed before they were read are one gap in the ledger, and the others are read", faults)
        counted = broker.committed(job)
        again = Worker(job, variables).begin()
        suite.claim("the next start finds no other gap", again.stop() + ([] if decisions(job, "trimmed at the source") == gaps else ["it does"]))
        server.created += 1000
        shard.records, shard.trimmed = [], 0
        worker = Worker(job, variables)
        broker.wait("it ends", lambda: not worker.is_running)
        said = worker.talk
        faults = [] if worker.process.returncode == 1 and "was deleted and created again" in said else [f"{worker.process.returncode}: {said}"]
        suite.claim("a recreated stream stops the worker", faults + ([] if broker.committed(job) == counted else ["it reads"]))
        known = len(stream.sent.records)
        stream.send(80)
        suite.claim("with --accept-recreated it reads the new one from its start",
                    settle(job, [Worker(job, variables, "--accept-recreated", STREAM)], counted + len(stream.sent.records) - known))


def large(suite):
    """Records of 10 MiB are read, between others"""
    if suite.quick and not suite.arguments.only:
        return
    with contextlib.closing(aws.moto(suite)) as dynamodb, contextlib.closing(kinesis_server.Kinesis(STREAM, 1)) as server:
        stream = OwnStream(server, Events(suite.arguments.seed, 200))
        stream.send(50)
        for i in range(2):
            text = json.dumps({"id": f"large{i}", "user": "user1", "t": 3000 + i, "kind": "view", "amount": 1, "note": ""}).encode()
            text = text.replace(b'"note": ""', b'"note": "%s"' % (b"x" * (10 * 2**20 - len(text))))
            stream.put("user1", text, [("user1", text)])
        stream.send(50)
        variables = environment(suite, server.url, dynamodb.url)
        job = common.Job(suite, suite.path("large"), "synthetic", [], change=change("weir-large"))
        faults = settle(job, [Worker(job, variables)], len(stream.sent.records))
        quarantined = sum(lane["counts"]["quarantined"] for entry in job.entries() for lane in entry["lanes"])
        damaged = sum(not r.value.endswith(b"}") for r in stream.sent.records)
        suite.claim(large.__doc__, faults + ([] if quarantined == damaged else [f"{quarantined} are quarantined, {damaged} are damaged"]))


def foreign(suite):
    """A checkpoint of another program that is ahead of the ledger stops the worker; rows that are no leases are left alone"""
    with contextlib.closing(aws.moto(suite)) as dynamodb, contextlib.closing(kinesis_server.Kinesis(STREAM, 1)) as server:
        stream = OwnStream(server, Events(suite.arguments.seed, 200))
        stream.send(100)
        client = dynamodb_client(dynamodb)
        client.create_table(TableName="weir-foreign", BillingMode="PAY_PER_REQUEST",
                            KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
                            AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}])
        strange = {"leaseKey": {"S": "worker-1"}, "entityType": {"S": "WORKER_METRIC_STATS"}, "sts": {"M": {}}}
        client.put_item(TableName="weir-foreign", Item=strange)
        client.put_item(TableName="weir-foreign", Item={
            "leaseKey": {"S": "shardId-000000000000"}, "leaseCounter": {"N": "41"}, "checkpoint": {"S": str(server.sequence)},
            "checkpointSubSequenceNumber": {"N": "0"}, "ownerSwitchesSinceCheckpoint": {"N": "0"}})
        job = common.Job(suite, suite.path("foreign"), "synthetic", [], change=change("weir-foreign"))
        worker = Worker(job, environment(suite, server.url, dynamodb.url))
        broker.wait("it ends", lambda: not worker.is_running)
        said = worker.talk
        faults = [] if worker.process.returncode == 1 else [f"it ended with {worker.process.returncode}"]
        faults += [f"it does not say {word}: {said}" for word in ("checkpoint of another program", "weir-foreign", "source.kinesis.app", f"--accept-checkpoints {STREAM}")
                   if word not in said]
        faults += [f"{broker.committed(job)} records are committed"] if broker.committed(job) else []
        _, rows = table(dynamodb, "weir-foreign")
        faults += [] if rows["worker-1"] == strange else [f"the row is {rows['worker-1']}"]
        suite.claim(foreign.__doc__, faults)
        suite.claim("a shard that another program ended, or whose row is no lease, stops the worker", unread(suite, client, dynamodb, server))


def unread(suite, client, dynamodb, server):
    """Rows that would keep the stream's only shard from every worker. Faults."""
    shard, faults = {"leaseKey": {"S": "shardId-000000000000"}}, []
    for name, row, word in (("ended", {"leaseCounter": {"N": "3"}, "checkpoint": {"S": "SHARD_END"}}, "to its end"),
                            ("bare", {}, "is not a lease"), ("text", {"leaseCounter": {"S": "3"}}, "is not a lease"),
                            ("other", {"leaseCounter": {"N": "3"}, "entityType": {"S": "OTHER"}}, "is not a lease")):
        client.put_item(TableName="weir-foreign", Item=shard | row)
        worker = Worker(common.Job(suite, suite.path(f"unread-{name}"), "synthetic", [], change=change("weir-foreign")),
                        environment(suite, server.url, dynamodb.url))
        broker.wait("it ends", lambda: not worker.is_running)
        if worker.process.returncode != 1 or word not in worker.talk:
            faults.append(f"{name}: exit {worker.process.returncode}, {worker.talk[-300:]}")
    return faults


def adopted(suite):
    """The leases of a KCL application are taken over at its checkpoints, within an aggregate and after a split too, handed back, and taken over again"""
    with contextlib.closing(aws.moto(suite)) as dynamodb, contextlib.closing(kinesis_server.Kinesis(STREAM, 2)) as server:
        stream = OwnStream(server, Events(suite.arguments.seed, 2_000))
        variables = environment(suite, server.url, dynamodb.url)
        job = common.Job(suite, suite.path("adopted"), "synthetic", [], change=change("kcl-adopted"))
        client = dynamodb_client(dynamodb)
        client.create_table(TableName="kcl-adopted", BillingMode="PAY_PER_REQUEST",
                            KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
                            AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}])

        def kcl(shard, checkpoint, sub=0):
            """A row as KCL writes it, over what is there."""
            client.update_item(
                TableName="kcl-adopted", Key={"leaseKey": {"S": shard}},
                UpdateExpression="SET checkpoint = :c, checkpointSubSequenceNumber = :s, ownerSwitchesSinceCheckpoint = :z, "
                                 "leaseOwner = :o, parentShardId = :p ADD leaseCounter :n",
                ExpressionAttributeValues={":c": {"S": str(checkpoint)}, ":s": {"N": str(sub)}, ":z": {"N": "0"}, ":n": {"N": "17"},
                                           ":o": {"S": "java-worker"}, ":p": {"SS": server.shards[shard].parents or ["-"]}})

        def processed(shard, upto):
            """Numbers of the records of a shard up to an outer one of KCL's, and where in it."""
            return [i for i, r in enumerate(stream.sent.records) if r.name == f"{STREAM}/{shard}" and
                    tuple(map(int, r.sequence.split(":"))) <= upto]

        def packs(shard):
            return [tuple(map(int, r.sequence.split(":"))) for r in stream.sent.records if r.name == f"{STREAM}/{shard}"]
        stream.send(600)
        first, second = "shardId-000000000000", "shardId-000000000001"
        # KCL has read the first shard to the middle of an aggregate, and the second one to its end; one of its children, too, in part.
        middle = [n for n in packs(first) if n[1] == 1][10]
        server.split(second)
        stream.send(600)
        low, high = [s.id for s in server.shards.values() if s.parents == [second]]
        third = packs(low)[len(packs(low)) // 2]
        kcl(first, *middle)
        kcl(second, "SHARD_END")
        kcl(low, *third)
        skipped = set(processed(first, middle)) | set(processed(second, (10**100, 0))) | set(processed(low, third))
        worker = Worker(job, variables)
        broker.wait("it ends", lambda: not worker.is_running)
        faults = [] if worker.process.returncode == 1 and "--accept-checkpoints" in worker.talk else [f"exit {worker.process.returncode}: {worker.talk}"]
        faults += [f"{broker.committed(job)} records are committed"] if broker.committed(job) else []
        suite.claim("without the option nothing is read", faults)
        wanted = len(stream.sent.records) - len(skipped)
        worker = Worker(job, variables, "--accept-checkpoints", STREAM)
        faults = settle(job, [worker], wanted)
        faults += same(job, stream, skipped)
        gaps = decisions(job, "processed elsewhere")
        faults += [] if len(gaps) == 3 else [f"{len(gaps)} gaps: {gaps}"]
        said = sum(e["event"] == "processed_elsewhere" for e in worker.events)
        faults += [] if said == 3 else [f"{said} events"]
        suite.claim("each shard is read from the record after its checkpoint, and one at its end is closed unread", faults)
        _, rows = table(dynamodb, "kcl-adopted")
        faults = [] if rows[second]["checkpoint"]["S"] == "SHARD_END" else [str(rows[second])]
        for shard in (first, low, high):
            last, row = packs(shard)[-1], rows[shard]
            there = (int(row["checkpoint"]["S"]), int(row["checkpointSubSequenceNumber"]["N"]))
            faults += [] if there == last else [f"{shard}: {there}, not {last}"]
        suite.claim("a program that continues at the checkpoints that Weir leaves repeats nothing and loses nothing", faults)
        # KCL continues there with a part, and Weir after it.
        stream.send(300)
        there = packs(high)[-3]
        before = (int(rows[high]["checkpoint"]["S"]), int(rows[high]["checkpointSubSequenceNumber"]["N"]))
        kcl(high, *there)
        skipped |= {i for i in processed(high, there)} - set(processed(high, before))
        worker = Worker(job, variables, "--accept-checkpoints", STREAM)
        broker.wait("it takes over", lambda: len(worker.shards()) == 3)
        worker.kill()
        faults = settle(job, [Worker(job, variables)], len(stream.sent.records) - len(skipped)) + same(job, stream, skipped)
        gaps = decisions(job, "processed elsewhere")
        faults += [] if len(gaps) == 4 else [f"{len(gaps)} gaps: {gaps}"]
        suite.claim("what the other program processed in between is one more gap, also after a kill, and needs the option once", faults)
        verify = common.Result([suite.weir, "ledger", "verify", job.pipeline, "--lake", job.lake])
        suite.claim(adopted.__doc__, [] if verify.code == 0 else [verify.out + verify.err])


def same(job, stream, skipped):
    """Bronze has all records but those that were processed elsewhere, each once. Faults."""
    want = collections.Counter((r.name, r.sequence) for i, r in enumerate(stream.sent.records) if i not in skipped)
    rows = deltalake.DeltaTable(os.path.join(job.lake, "bronze", STREAM)).to_pyarrow_table(columns=["_shard", "_sequence"])
    got = collections.Counter(zip(*(rows[c].to_pylist() for c in ("_shard", "_sequence"))))
    faults = [f"missing: {sorted(want - got)[:3]}"] if want - got else []
    return faults + ([f"too many: {sorted(got - want)[:3]}"] if got - want else [])


def judged(suite):
    """`weir doctor` looks at stream, records and leases; errors about a stream, a region and another program's table say what to do"""
    faults = []
    with contextlib.closing(aws.moto(suite)) as dynamodb, contextlib.closing(kinesis_server.Kinesis(STREAM, 2)) as server:
        variables = environment(suite, server.url, dynamodb.url)

        def doctor(what, job, code, *words):
            run = common.Result([suite.weir, "doctor", job.pipeline, "--lake", job.lake], environment=variables)
            failed = sum(line.startswith("FAILED") for line in run.out.splitlines())
            if run.code != code or failed != code or not all(word in run.out for word in words):
                faults.append(f"{what}: exit {run.code}: {run.out} {run.err}")

        def refused(what, job, *words):
            worker = Worker(job, variables)
            broker.wait("it ends", lambda: not worker.is_running)
            if worker.process.returncode != 1 or not all(word in worker.talk for word in words):
                faults.append(f"{what}: exit {worker.process.returncode}, {worker.talk[-400:]}")
        job = common.Job(suite, suite.path("judged"), "synthetic", [], change=change("weir-judged"))
        doctor("no leases yet", job, 0, "2 open shards", "24 hours", "raise the retention", "records can be read", "the first run creates it")
        worker = Worker(job, variables)
        broker.wait("it reads", worker.shards)
        doctor("a worker reads", job, 0, "2 leases", "leases may be written", "the Kinesis Client Library's key")
        worker.kill()
        other = common.Job(suite, suite.path("elsewhere"), "synthetic", [], change=change("weir-judged", stream="elsewhere"))
        doctor("no such stream", other, 1, "region", "elsewhere")
        refused("no such stream", other, "region", "elsewhere")
        client = table(dynamodb, "weir-judged")[0]
        client.create_table(TableName="weir-used", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
        used = common.Job(suite, suite.path("used"), "synthetic", [], change=change("weir-used"))
        doctor("another program's table", used, 1, "Another program uses the table")
        refused("another program's table", used, "Another program uses the table", "source.kinesis.app")
        none = common.Job(suite, suite.path("none"), "synthetic", [], change=change("weir-none", create=False))
        doctor("no table, create: false", none, 1, "create: false")
        refused("no table, create: false", none, "create: false")
        suite.claim(judged.__doc__, faults)


if __name__ == "__main__":
    suite = common.Suite("kinesis_workers_equal_reference", 240, __doc__)
    suite.run(moto, splits, fans, losses, large, foreign, adopted, judged, together=2)
