#!/usr/bin/env python3
"""`weir load --kinesis`: every record of the load is in the stream, whatever single records and requests the service refuses; each says when it
was due; what cannot be is refused by name."""
import json
import os
import subprocess

import common
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


def numbers(found, field):
    """The number of each record, from its id, in order."""
    return sorted(int(value[field].split("-")[4], 16) for _, value in found)


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
                 (("--kinesis", "s", "--verify", "p.yaml"), 2, "--verify is for Kafka"), (("--kinesis", "a b"), 2, "the name or the ARN")]
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
    suite.run(refusals, limits, refused, together=3)
