#!/usr/bin/env python3
"""`weir load --kinesis`: every record of the load is in the stream, whatever single records and requests the service refuses; each says when it
was due; what cannot be is refused by name."""
import base64
import collections
import hashlib
import json
import os
import subprocess

from aws_kinesis_agg import deaggregator

import common
import broker
from common import aws, aws_calls, mock_kinesis

COUNT = 4_000


def load(suite, url, *more):
    """(its result, its exit code, what it said)"""
    run = common.Result([suite.weir, "load", "--json", *more],
                        environment=aws.environment(suite, **aws.KEYS, AWS_REGION="us-east-1", AWS_ENDPOINT_URL_KINESIS=url))
    lines = [line for line in run.out.split("\n") if line.startswith("{")]
    return (json.loads(lines[-1]) if lines else {}), run.code, run.talk


def stored(client):
    """All records of the stream: (key, value)."""
    found = []
    for shard in client.list_shards(StreamName="s")["Shards"]:
        iterator = client.get_shard_iterator(StreamName="s", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        while True:
            answer = client.get_records(ShardIterator=iterator)
            found += [(r["PartitionKey"], json.loads(r["Data"])) for r in answer["Records"]]
            iterator = answer["NextShardIterator"]
            if not answer["Records"] and answer["MillisBehindLatest"] == 0:
                break
    return found


def shards(client):
    """(outer records, [(key, value, hash, whether it is in the range of its shard)] in order) of the stream, aggregates taken apart by another implementation."""
    outer, found = 0, []
    for shard in client.list_shards(StreamName="s")["Shards"]:
        first, last = (int(shard["HashKeyRange"][end + "HashKey"]) for end in ("Starting", "Ending"))
        iterator = client.get_shard_iterator(StreamName="s", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        while iterator:
            answer = client.get_records(ShardIterator=iterator)
            outer += len(answer["Records"])
            for record in answer["Records"]:
                event = {"kinesis": {"data": base64.b64encode(record["Data"]), "partitionKey": record["PartitionKey"],
                                     "kinesisSchemaVersion": "1.0", "sequenceNumber": record["SequenceNumber"],
                                     "approximateArrivalTimestamp": 0}}
                inner = [r["kinesis"] for r in deaggregator.deaggregate_records([event])]
                hashes = [int(r.get("explicitHashKey") or int.from_bytes(hashlib.md5(r["partitionKey"].encode()).digest(), "big")) for r in inner]
                # As a consumer does: an aggregate with a record of another shard is left out.
                if len(inner) == 1 or all(first <= h <= last for h in hashes):
                    found += [(r["partitionKey"], json.loads(base64.b64decode(r["data"])), h, shard["ShardId"]) for r, h in zip(inner, hashes)]
            iterator = answer.get("NextShardIterator")
            if not answer["Records"] and answer["MillisBehindLatest"] == 0:
                break
    return outer, found


def numbers(found, field):
    """The number of each record, from its id, in order."""
    return sorted(int(record[1][field].split("-")[4], 16) for record in found)


def refusals(suite):
    """Each record is stored once although single records and whole requests are refused"""
    with mock_kinesis.Server(suite.weir, {"s": 3}) as server:
        server.command("refuse-records", 100)
        server.command("refuse", "PutRecords", "ProvisionedThroughputExceededException", 3)
        result, code, said = load(suite, server.url, "--kinesis", "s", "--stream", "orders", "--rate", "20000/s", "--count", str(COUNT))
        found = stored(server.client(10))
        faults = [] if code == 0 and result.get("verdict") == "PASS" else [f"{code}: {said}"]
        faults += [] if numbers(found, "order_id") == list(range(COUNT)) else [f"{len(found)} records are stored"]
        faults += [] if all(key == value["customer_id"] for key, value in found) else ["keys are not the customers"]
        counts = {n: result.get(n) for n in ("sent", "delivered", "failed")}
        faults += [] if counts == {"sent": COUNT, "delivered": COUNT, "failed": 0} else [str(counts)]
        suite.claim(refusals.__doc__, faults)
        suite.claim("what was sent again is counted", [] if result.get("repeated", 0) >= 100 else [str(result)])
        suite.claim("the requests are those that are listed", aws_calls.unlisted(
            {call for call in server.calls if call not in ("GetRecords", "GetShardIterator")}, "kinesis_load"))


def packed(suite):
    """Records that are packed into aggregates are all there, each in its key's shard, in far fewer records, although a shard is split meanwhile"""
    with mock_kinesis.Server(suite.weir, {"s": 2}) as server:
        client = server.client(10)
        process = subprocess.Popen(
            [suite.weir, "load", "--json", "--kinesis", "s", "--aggregate", "--linger", "100", "--stream", "orders", "--rate", "2000/s", "--count", "8000"],
            env=aws.environment(suite, **aws.KEYS, AWS_REGION="us-east-1", AWS_ENDPOINT_URL_KINESIS=server.url),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        broker.wait("records are stored", lambda: server.calls.get("PutRecords", 0) > 5)
        whole = client.list_shards(StreamName="s")["Shards"][0]
        middle = int(whole["HashKeyRange"]["EndingHashKey"]) // 2
        client.split_shard(StreamName="s", ShardToSplit=whole["ShardId"], NewStartingHashKey=str(middle))
        out, err = process.communicate()
        outer, found = shards(client)
        result = json.loads(out.strip().split("\n")[-1]) if out.strip() else {}
        faults = [] if process.returncode == 0 and result.get("verdict") == "PASS" else [f"{process.returncode}: {err}"]
        faults += [] if result.get("delivered") == 8000 and result.get("failed") == 0 else [str(result)]
        there = numbers(found, "order_id")
        faults += [] if there == list(range(8000)) else [f"{len(there)} records, {len(set(there))} of them different"]
        faults += [] if outer < 1000 else [f"{outer} records hold them"]
        faults += [] if all(r[0] == r[1]["customer_id"] for r in found) else ["keys are not the customers"]
        suite.note(f"{outer} records hold {len(found)}; {result.get('repeated')} were sent again")
        suite.claim(packed.__doc__, faults)


def spread(suite):
    """Explicit hash keys spread records evenly over the shards, alone and within aggregates"""
    faults = []
    for more in ((), ("--aggregate",)):
        with mock_kinesis.Server(suite.weir, {"s": 4}) as server:
            result, code, said = load(suite, server.url, "--kinesis", "s", "--explicit-hash-keys", "--linger", "50", *more, "--skew", "1", "--rate", "20000/s",
                                      "--stream", "orders", "--count", str(COUNT))
            outer, found = shards(server.client(10))
            by_shard = collections.Counter(r[3] for r in found)
            faults += [] if code == 0 and numbers(found, "order_id") == list(range(COUNT)) else [f"{more}: {code}, {len(found)}: {said}"]
            faults += [] if len(by_shard) == 4 and min(by_shard.values()) > COUNT // 4 - 20 else [f"{more}: {by_shard}"]
    suite.claim(spread.__doc__, faults)


def limits(suite):
    """A shard that takes less than is sent gets everything in the end, later than it was due"""
    with mock_kinesis.Server(suite.weir, {"s": 1}, "--limits") as server:
        result, code, said = load(suite, server.url, "--kinesis", "s", "--stream", "trades", "--rate", "1500/s", "--count", "3000")
        with open(os.path.join(suite.path("limits.json")), "w") as f:
            json.dump(result, f)
        faults = [] if code == 0 and result.get("delivered") == 3000 and result.get("repeated", 0) > 0 else [f"{code}: {result} {said}"]
        suite.claim(limits.__doc__, faults)


def refused(suite):
    """What cannot be is refused by name: a stream that is missing, options of Kafka, a name that is none"""
    with mock_kinesis.Server(suite.weir, {"s": 1}) as server:
        cases = [(("--kinesis", "other", "--count", "1"), 1, "other"), (("--kinesis", "s", "--topic", "t"), 2, "--topic is for Kafka"),
                 (("--kinesis", "s", "--verify", "p.yaml"), 2, "--verify is for Kafka"), (("--kinesis", "a b"), 2, "the name or the ARN"),
                 (("--topic", "t", "--aggregate"), 2, "--aggregate is for Kinesis"),
                 (("--topic", "t", "--explicit-hash-keys"), 2, "--explicit-hash-keys is for Kinesis")]
        faults = []
        for words, wanted, text in cases:
            _, code, said = load(suite, server.url, *words)
            faults += [] if code == wanted and text in said else [f"{words}: {code} {said}"]
        # One that vanishes under way ends the load.
        server.command("refuse", "PutRecords", "ResourceNotFoundException", 100)
        _, code, said = load(suite, server.url, "--kinesis", "s", "--rate", "1000/s", "--for", "5s")
        suite.claim(refused.__doc__, faults + ([] if code == 1 and "ResourceNotFoundException" in said else [f"{code}: {said}"]))


if __name__ == "__main__":
    suite = common.Suite("kinesis_loads_store_everything", 120, __doc__)
    suite.run(refusals, packed, spread, limits, refused, together=3)
