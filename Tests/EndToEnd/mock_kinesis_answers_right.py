#!/usr/bin/env python3
"""`weir mock-kinesis` against botocore: boto3 and awscli write and read it, subscriptions included (botocore's parser of event streams checks
framing and checksums), every answer has the members of the service's model, and every error is one that the model lists. What a shard must have
is computed here, from MD5 and ranges of hashes."""
import base64
import concurrent.futures
import datetime
import hashlib
import json
import os
import random
import subprocess
import time
import urllib.request

import botocore.exceptions
import botocore.session

import common
from common import mock_kinesis

MODEL = botocore.session.get_session().get_service_model("kinesis")


def hashed(key, explicit=None):
    return int(explicit) if explicit is not None else int.from_bytes(hashlib.md5(key.encode()).digest(), "big")


def refused(call, **arguments):
    """The code of the error of a call; None: there was none."""
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as e:
        return e.response["Error"]["Code"]
    return None


def owner(shards, key, explicit=None):
    """The open shard that a record belongs to."""
    at = hashed(key, explicit)
    return next(s["ShardId"] for s in shards if "EndingSequenceNumber" not in s["SequenceNumberRange"]
                and int(s["HashKeyRange"]["StartingHashKey"]) <= at <= int(s["HashKeyRange"]["EndingHashKey"]))


def all_shards(client, **more):
    shards, answer = [], client.list_shards(StreamName="s", **more)
    while True:
        shards += answer["Shards"]
        if not answer.get("NextToken"):
            return shards
        answer = client.list_shards(NextToken=answer["NextToken"])


def read(client, shard, **start):
    """The records of a shard, and the children that its end names."""
    start = start or {"ShardIteratorType": "TRIM_HORIZON"}
    iterator, found = client.get_shard_iterator(StreamName="s", ShardId=shard, **start)["ShardIterator"], []
    while True:
        answer = client.get_records(ShardIterator=iterator)
        found += answer["Records"]
        iterator = answer.get("NextShardIterator")
        if not iterator or not answer["Records"] and answer["MillisBehindLatest"] == 0:
            return found, [c["ShardId"] for c in answer.get("ChildShards", [])]


def plain(records):
    return [(r["PartitionKey"], r["Data"]) for r in records]


def records(suite):
    """Records are in the shard whose range has their hash, in their order, and every kind of iterator begins where it says"""
    with mock_kinesis.Server(suite.weir, {"s": 5}, "--page", "2") as server:
        client, draw = server.client(), random.Random(suite.arguments.seed)
        shards, wanted, numbers = all_shards(client), {}, []
        faults = [] if len(shards) == 5 and server.calls["ListShards"] == 3 else [f"{len(shards)} shards, {server.calls}"]
        for _ in range(12):
            batch = [{"PartitionKey": f"k{draw.randrange(99)}é", "Data": draw.randbytes(draw.randrange(40)),
                      **({"ExplicitHashKey": str(draw.randrange(2**128))} if draw.random() < 0.3 else {})} for _ in range(50)]
            answer = client.put_records(StreamName="s", Records=batch)
            for entry, result in zip(batch, answer["Records"]):
                shard = owner(shards, entry["PartitionKey"], entry.get("ExplicitHashKey"))
                wanted.setdefault(shard, []).append((entry["PartitionKey"], entry["Data"], result["SequenceNumber"]))
                faults += [] if result["ShardId"] == shard else [f"{entry} is in {result}"]
                numbers.append(int(result["SequenceNumber"]))
        faults += [] if numbers == sorted(set(numbers)) else ["sequence numbers do not grow"]
        for shard in shards:
            found, _ = read(client, shard["ShardId"])
            mine = wanted.get(shard["ShardId"], [])
            faults += [] if [(r["PartitionKey"], r["Data"], r["SequenceNumber"]) for r in found] == mine else [f"{shard['ShardId']} differs"]
        suite.claim(records.__doc__.split(", and every")[0], faults)
        shard, mine = max(wanted.items(), key=lambda pair: len(pair[1]))
        found, _ = read(client, shard)
        middle = found[len(found) // 2]
        behind = [r["SequenceNumber"] for r in found if r["ApproximateArrivalTimestamp"] >= middle["ApproximateArrivalTimestamp"]]
        at = [r[2] for r in mine].index(middle["SequenceNumber"])
        faults = []
        for start, expected in (
                ({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": middle["SequenceNumber"]}, [r[2] for r in mine[at:]]),
                ({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": middle["SequenceNumber"]}, [r[2] for r in mine[at + 1:]]),
                ({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "7"}, [r[2] for r in mine]),
                ({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": middle["ApproximateArrivalTimestamp"]}, behind),
                ({"ShardIteratorType": "LATEST"}, [])):
            got = [r["SequenceNumber"] for r in read(client, shard, **start)[0]]
            faults += [] if got == expected else [f"{start}: {len(got)} records instead of {len(expected)}"]
        late = datetime.datetime.now() + datetime.timedelta(days=1)
        wrong = [refused(client.get_shard_iterator, StreamName="s", ShardId=shard, ShardIteratorType="AT_TIMESTAMP", Timestamp=late),
                 refused(client.get_shard_iterator, StreamName="s", ShardId="shardId-000000000009", ShardIteratorType="LATEST"),
                 refused(client.list_shards, StreamName="t"), refused(client.create_stream, StreamName="s", ShardCount=1),
                 refused(client.get_records, ShardIterator="x")]
        named = ["InvalidArgumentException", "ResourceNotFoundException", "ResourceNotFoundException", "ResourceInUseException",
                 "InvalidArgumentException"]
        suite.claim("every kind of iterator begins where it says, and what does not exist is refused",
                    faults + ([] if wrong == named else [str(wrong)]))


def reshards(suite):
    """A split and a merge close shards, whose readers learn of the children, and whose keys go to the children"""
    with mock_kinesis.Server(suite.weir, {"s": 2}) as server:
        client = server.client()
        put = lambda n: [(k, client.put_record(StreamName="s", PartitionKey=k, Data=k.encode())["ShardId"]) for k in (f"u{i}" for i in range(n))]
        where = put(40)
        first, second = all_shards(client)
        middle = int(first["HashKeyRange"]["EndingHashKey"]) // 2
        client.split_shard(StreamName="s", ShardToSplit=first["ShardId"], NewStartingHashKey=str(middle))
        where += put(40)
        client.merge_shards(StreamName="s", ShardToMerge=second["ShardId"], AdjacentShardToMerge="shardId-000000000003")
        where += put(40)
        shards = {s["ShardId"]: s for s in all_shards(client)}
        open_now = sorted(i for i, s in shards.items() if "EndingSequenceNumber" not in s["SequenceNumberRange"])
        faults = [] if open_now == ["shardId-000000000002", "shardId-000000000004"] else [f"open: {open_now}"]
        merged = shards["shardId-000000000004"]
        parents = [merged.get("ParentShardId"), merged.get("AdjacentParentShardId")]
        faults += [] if parents == [second["ShardId"], "shardId-000000000003"] else [f"parents {parents}"]
        ranges = sorted((int(shards[i]["HashKeyRange"]["StartingHashKey"]), int(shards[i]["HashKeyRange"]["EndingHashKey"])) for i in open_now)
        faults += [] if ranges == [(0, middle - 1), (middle, 2**128 - 1)] else [f"ranges {ranges}"]
        for shard in shards:
            found, children = read(client, shard)
            faults += [] if [k for k, _ in plain(found)] == [k for k, s in where if s == shard] else [f"the records of {shard}"]
            known = sorted(i for i, s in shards.items() if shard in (s.get("ParentShardId"), s.get("AdjacentParentShardId")))
            faults += [] if sorted(children) == known else [f"children of {shard}: {children}"]
        wrong = [refused(client.split_shard, StreamName="s", ShardToSplit=first["ShardId"], NewStartingHashKey="5"),
                 refused(client.split_shard, StreamName="s", ShardToSplit="shardId-000000000002", NewStartingHashKey="0"),
                 refused(client.merge_shards, StreamName="s", ShardToMerge="shardId-000000000002", AdjacentShardToMerge="shardId-000000000002")]
        faults += [] if wrong == ["InvalidArgumentException"] * 3 else [str(wrong)]
        latest = [s["ShardId"] for s in all_shards(client, ShardFilter={"Type": "AT_LATEST"})]
        oldest = [s["ShardId"] for s in all_shards(client, ShardFilter={"Type": "AT_TRIM_HORIZON"})]
        faults += [] if latest == open_now and oldest == [first["ShardId"], second["ShardId"]] else [f"{latest} {oldest}"]
        suite.claim(reshards.__doc__, faults)


def faults_on_request(suite):
    """Throttling, partial failures, expired iterators, trimming and limits come when they are asked for"""
    with mock_kinesis.Server(suite.weir, {"s": 1}) as server:
        client = server.client()
        shard = "shardId-000000000000"
        server.command("refuse-records", 2)
        answer = client.put_records(StreamName="s", Records=[{"PartitionKey": "k", "Data": bytes([i])} for i in range(5)])
        codes = [r.get("ErrorCode") for r in answer["Records"]]
        faults = [] if answer["FailedRecordCount"] == 2 and codes == ["ProvisionedThroughputExceededException"] * 2 + [None] * 3 else [str(codes)]
        faults += [] if [d for _, d in plain(read(client, shard)[0])] == [b"\2", b"\3", b"\4"] else ["the wrong records were written"]
        iterator = client.get_shard_iterator(StreamName="s", ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        server.command("refuse", "GetRecords", "InternalFailureException", 1)
        found = [refused(client.get_records, ShardIterator=iterator) for _ in range(2)]
        server.command("expire")
        found.append(refused(client.get_records, ShardIterator=iterator))
        faults += [] if found == ["InternalFailureException", None, "ExpiredIteratorException"] else [str(found)]
        server.command("trim", "s", shard, 2)
        faults += [] if plain(read(client, shard)[0]) == [("k", b"\4")] else ["trim"]
        sizes = [refused(client.put_record, StreamName="s", PartitionKey="k", Data=bytes(n)) for n in (2**20, 2**20 + 1)]
        client.update_max_record_size(StreamARN=client.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"],
                                      MaxRecordSizeInKiB=10240)
        large = random.Random(1).randbytes(10 * 2**20)
        client.put_record(StreamName="s", PartitionKey="k", Data=large)
        faults += [] if sizes == [None, "ValidationException"] and read(client, shard)[0][-1]["Data"] == large else [f"sizes: {sizes}"]
        suite.claim("throttling, partial failures, expired iterators and trimming come when they are asked for; records have up to 10 MiB", faults)
    with mock_kinesis.Server(suite.weir, {"s": 1}, "--limits") as server:
        client = server.client()
        answer = client.put_records(StreamName="s", Records=[{"PartitionKey": "k", "Data": bytes(300_000)} for _ in range(5)])
        faults = [] if answer["FailedRecordCount"] == 2 else [f"{answer['FailedRecordCount']} of 5 x 300 kB failed"]
        iterator = client.get_shard_iterator(StreamName="s", ShardId=shard, ShardIteratorType="LATEST")["ShardIterator"]
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            # On a machine that is slow the first ones may be allowed.
            found = eventually(lambda: set(pool.map(lambda _: refused(client.get_records, ShardIterator=iterator), range(48))), lambda f: len(f) > 1)
        faults += [] if found == {None, "ProvisionedThroughputExceededException"} else [str(found)]
        suite.claim("with limits a shard takes 1 MB per second, and refuses reads beyond five per second", faults)
    with mock_kinesis.Server(suite.weir, {"s": 1}, "--iterator", "300", "--retention", "1500") as server:
        client = server.client()
        client.put_record(StreamName="s", PartitionKey="k", Data=b"x")
        iterator = client.get_shard_iterator(StreamName="s", ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        found = eventually(lambda: refused(client.get_records, ShardIterator=iterator), bool)
        faults = [] if found == "ExpiredIteratorException" else [str(found)]

        def oldest():
            fresh = client.get_shard_iterator(StreamName="s", ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
            return refused(client.get_records, ShardIterator=fresh) is None and client.get_shard_iterator(
                StreamName="s", ShardId=shard, ShardIteratorType="LATEST")["ShardIterator"].split(":")[4] == fresh.split(":")[4]
        suite.claim("iterators expire and records are trimmed by age", faults + ([] if eventually(oldest, bool) else ["nothing is trimmed"]))


def eventually(ask, accept):
    """The first answer that is accepted, or the last one."""
    end = time.monotonic() + common.PATIENCE
    while True:
        answer = ask()
        if accept(answer) or time.monotonic() > end:
            return answer
        time.sleep(0.05)


def subscriptions(suite):
    """botocore reads subscriptions: records of their shard from where they begin, ends with children, take-over, deleted consumers"""
    with mock_kinesis.Server(suite.weir, {"s": 1}, "--heartbeat", "200") as server:
        client = server.client()
        arn = client.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
        began = time.monotonic()
        made = client.register_stream_consumer(StreamARN=arn, ConsumerName="c")["Consumer"]
        shard, consumer = "shardId-000000000000", made["ConsumerARN"]
        early = refused(client.subscribe_to_shard, ConsumerARN=consumer, ShardId=shard, StartingPosition={"Type": "LATEST"})
        # It is being made for 300 ms: where the machine is slower than that, it is ready by now.
        early = early if time.monotonic() - began < 0.3 else early or "ResourceInUseException"
        again = refused(client.register_stream_consumer, StreamARN=arn, ConsumerName="c")
        common_state = lambda: client.describe_stream_consumer(StreamARN=arn, ConsumerName="c")["ConsumerDescription"]["ConsumerStatus"]
        while common_state() != "ACTIVE":
            time.sleep(0.05)
        listed = client.list_stream_consumers(StreamARN=arn)["Consumers"]
        faults = [] if (made["ConsumerStatus"], early, again) == ("CREATING", "ResourceInUseException", "ResourceInUseException") else [f"{made} {early} {again}"]
        faults += [] if [c["ConsumerARN"] for c in listed] == [consumer] else [str(listed)]
        suite.claim("a consumer is registered once, becomes active, and is listed", faults)

        sent = [client.put_record(StreamName="s", PartitionKey=f"k{i}", Data=os.urandom(2000))["SequenceNumber"] for i in range(300)]
        stream = client.subscribe_to_shard(ConsumerARN=consumer, ShardId=shard, StartingPosition={
            "Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": sent[9]})["EventStream"]
        got, idle, continuation = [], 0, None
        for event in stream:
            event = event["SubscribeToShardEvent"]
            got += [r["SequenceNumber"] for r in event["Records"]]
            idle += not event["Records"]
            continuation = event.get("ContinuationSequenceNumber")
            if idle >= 2 and len(sent) == 300:
                sent += [client.put_record(StreamName="s", PartitionKey="late", Data=b"x")["SequenceNumber"]]
            if idle >= 2 and got[-1] == sent[-1]:
                break
        faults = [] if got == sent[10:] else [f"{len(got)} of {len(sent) - 10}"]
        faults += [] if int(continuation) >= int(sent[-1]) else [f"it continues at {continuation}"]
        suite.claim("a subscription gets each record once, in order, and events without records in between", faults)

        time.sleep(5.1)
        other = client.subscribe_to_shard(ConsumerARN=consumer, ShardId=shard, StartingPosition={
            "Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": continuation})
        too_soon = refused(client.subscribe_to_shard, ConsumerARN=consumer, ShardId=shard, StartingPosition={"Type": "LATEST"})
        try:
            for _ in stream:
                pass
            replaced = None
        except botocore.exceptions.ClientError as e:
            replaced = e.response["Error"]["Code"]
        found = [too_soon, replaced]
        suite.claim("a second subscription is refused within five seconds, and replaces the first one later",
                    [] if found == ["ResourceInUseException"] * 2 else [str(found)])
        client.put_record(StreamName="s", PartitionKey="last", Data=b"y")
        client.split_shard(StreamName="s", ShardToSplit=shard, NewStartingHashKey=str(2**127))
        events = [e["SubscribeToShardEvent"] for e in other["EventStream"]]
        faults = [] if [r["PartitionKey"] for e in events for r in e["Records"]] == ["last"] else [str(events)]
        children = [c["ShardId"] for c in events[-1].get("ChildShards", [])]
        faults += [] if children == ["shardId-000000000001", "shardId-000000000002"] and "ContinuationSequenceNumber" not in events[-1] else [str(events[-1])]
        suite.claim("a subscription to a shard that is closed ends with the children, without a continuation", faults)
        third = client.subscribe_to_shard(ConsumerARN=consumer, ShardId=children[0], StartingPosition={"Type": "TRIM_HORIZON"})["EventStream"]
        server.command("silence")
        client.deregister_stream_consumer(ConsumerARN=consumer)
        try:
            gone = [e for e in third] and None
        except botocore.exceptions.ClientError as e:
            gone = e.response["Error"]["Code"]
        suite.claim("a subscription ends when its consumer is deleted", [] if gone == "ResourceNotFoundException" else [str(gone)])
    with mock_kinesis.Server(suite.weir, {"s": 1}, "--subscription", "700", "--heartbeat", "100") as server:
        client = server.client()
        arn = client.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
        consumer = client.register_stream_consumer(StreamARN=arn, ConsumerName="c")["Consumer"]["ConsumerARN"]
        eventually(lambda: client.describe_stream_consumer(ConsumerARN=consumer)["ConsumerDescription"]["ConsumerStatus"], "ACTIVE".__eq__)
        events = list(client.subscribe_to_shard(ConsumerARN=consumer, ShardId=shard, StartingPosition={"Type": "TRIM_HORIZON"})["EventStream"])
        suite.claim("a subscription ends by itself after its time", [] if 1 <= len(events) <= 8 else [f"{len(events)} events"])


def unknown_members(shape, value, where):
    """What an answer has and the model does not, and what it lacks."""
    if shape.type_name == "structure":
        faults = [f"{where}.{m} is not in the model" for m in value if m not in shape.members]
        # The reference calls it required, and says that it is null at a shard's end.
        faults += [f"{where}.{m} is missing" for m in shape.required_members if m not in value]
        return faults + [f for m, v in value.items() if m in shape.members for f in unknown_members(shape.members[m], v, f"{where}.{m}")]
    if shape.type_name == "list":
        return [f for v in value for f in unknown_members(shape.member, v, where)]
    kinds = {"string": str, "integer": int, "long": int, "boolean": bool, "timestamp": (int, float), "blob": str}
    faults = [] if isinstance(value, kinds[shape.type_name]) else [f"{where} is {value!r}, not {shape.type_name}"]
    choices = shape.metadata.get("enum")
    return faults + ([f"{where} is {value!r}"] if choices and value not in choices else [])


def shapes(suite):
    """Every answer has exactly members of the service's model, and every error is one that the model lists for its operation"""
    with mock_kinesis.Server(suite.weir, {"s": 3}, "--page", "2") as server:
        seen = set()

        def ask(operation, **body):
            request = urllib.request.Request(server.url, json.dumps(body).encode(), {
                "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"Kinesis_20131202.{operation}"})
            try:
                with urllib.request.urlopen(request) as answer:
                    content = answer.read()
            except urllib.error.HTTPError as e:
                problem = json.loads(e.read())
                listed = {s.name for s in MODEL.operation_model(operation).error_shapes} | {"ValidationException", "SerializationException"}
                faults.extend([] if problem["__type"] in listed else [f"{operation}: {problem}"])
                return problem
            seen.add(operation)
            shape = MODEL.operation_model(operation).output_shape
            if shape is None:
                faults.extend([f"{operation} answers {content}"] if content else [])
                return None
            value = json.loads(content)
            faults.extend(unknown_members(shape, value, operation))
            return value
        faults, s = [], {"StreamName": "s"}
        arn = ask("DescribeStream", **s)["StreamDescription"]["StreamARN"]
        ask("CreateStream", StreamName="t", StreamModeDetails={"StreamMode": "ON_DEMAND"})
        for operation in ("DescribeStreamSummary", "DescribeStream", "ListShards"):
            ask(operation, **s)
        ask("DescribeStream", **s, Limit=1)
        ask("ListStreams", Limit=1)
        ask("IncreaseStreamRetentionPeriod", **s, RetentionPeriodHours=48)
        ask("DecreaseStreamRetentionPeriod", **s, RetentionPeriodHours=24)
        ask("UpdateMaxRecordSize", StreamARN=arn, MaxRecordSizeInKiB=2048)
        data = base64.b64encode(b"abc").decode()
        ask("PutRecord", **s, PartitionKey="k", Data=data, ExplicitHashKey="0")
        server.command("refuse-records", 1)
        ask("PutRecords", **s, Records=[{"PartitionKey": "k", "Data": data, "ExplicitHashKey": str(i)} for i in range(2)])
        ask("RegisterStreamConsumer", StreamARN=arn, ConsumerName="c")
        ask("DescribeStreamConsumer", StreamARN=arn, ConsumerName="c")
        ask("ListStreamConsumers", StreamARN=arn)
        iterator = ask("GetShardIterator", **s, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        ask("GetRecords", ShardIterator=iterator, Limit=1)
        ask("SplitShard", **s, ShardToSplit="shardId-000000000000", NewStartingHashKey="99")
        ask("GetRecords", ShardIterator=iterator)
        ask("MergeShards", **s, ShardToMerge="shardId-000000000001", AdjacentShardToMerge="shardId-000000000002")
        for operation, body in (
                ("PutRecord", {**s, "PartitionKey": "", "Data": data}), ("PutRecord", {**s, "PartitionKey": "k", "Data": "?"}),
                ("PutRecord", {**s, "PartitionKey": "k", "Data": data, "ExplicitHashKey": str(2**128)}), ("PutRecords", {**s, "Records": []}),
                ("PutRecord", {**s, "PartitionKey": "k" * 257, "Data": data}), ("GetRecords", {"ShardIterator": iterator, "Limit": 0}),
                ("GetShardIterator", {**s, "ShardId": "shardId-000000000001", "ShardIteratorType": "SOMEWHERE"}), ("ListShards", {}),
                ("SubscribeToShard", {"ConsumerARN": "arn:x", "ShardId": "y", "StartingPosition": {"Type": "LATEST"}}),
                ("DescribeStreamConsumer", {"StreamARN": arn, "ConsumerName": "d"}), ("CreateStream", {"StreamName": "a/b", "ShardCount": 1})):
            answer = ask(operation, **body)
            faults.extend([] if answer and "__type" in answer else [f"{operation} {body} is answered with {answer}"])
        ask("DeregisterStreamConsumer", StreamARN=arn, ConsumerName="c")
        ask("DeleteStream", **s)
        answered = set(server.calls)
        faults.extend(f"{name} was not answered" for name in answered - seen - {"SubscribeToShard"})
        suite.claim(shapes.__doc__, faults)


def command_line(suite):
    """awscli writes what boto3 reads, and reads what boto3 writes; commands that are none are answered, and end nothing"""
    with mock_kinesis.Server(suite.weir, {"s": 1}) as server:
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL_KINESIS": server.url,
                       "AWS_EC2_METADATA_DISABLED": "true"}

        def aws(*words):
            done = subprocess.run([os.path.join(common.ROOT, ".build", "venv", "bin", "aws"), "kinesis", *words], env=environment,
                                  capture_output=True, text=True, timeout=common.PATIENCE)
            return json.loads(done.stdout) if done.returncode == 0 and done.stdout else {"error": done.stderr}
        client, shard = server.client(), "shardId-000000000000"
        aws("put-record", "--stream-name", "s", "--partition-key", "a", "--data", "one")
        client.put_record(StreamName="s", PartitionKey="b", Data=b"two")
        mine = plain(read(client, shard)[0])
        iterator = aws("get-shard-iterator", "--stream-name", "s", "--shard-id", shard, "--shard-iterator-type", "TRIM_HORIZON")
        theirs = aws("get-records", "--shard-iterator", iterator.get("ShardIterator", ""))
        other = [(r["PartitionKey"], base64.b64decode(r["Data"])) for r in theirs.get("Records", [])]
        faults = [] if mine == other == [("a", b"one"), ("b", b"two")] else [f"{mine} {theirs}"]
        for line, words in (("fly", "fly is not a command"), ("", "an empty line is not a command"), ("cut now", "the form cut"),
                            ("refuse Nope InternalFailureException 1", "Nope is not an operation"), ("refuse GetRecords ? 1", "? is not the code"),
                            ("refuse GetRecords InternalFailureException -1", "-1 is not a number from 0"), ("refuse-records 1e9", "1e9 is not a number"),
                            ("trim none x 1", "there is no stream none"), ("trim s x 1", "the stream s has no shard x"), ("refuse", "the form refuse")):
            answer = server.command(*line.split())
            faults += [] if answer.startswith("error: ") and words in answer else [f"{line!r}: {answer!r}"]
        faults += [] if plain(read(client, shard)[0]) == mine else ["the server does not answer any more"]
    wrong = subprocess.run([suite.weir, "mock-kinesis", "--stream", "s"], capture_output=True, text=True, timeout=common.PATIENCE)
    faults += [] if "s is not a stream" in wrong.stderr else [wrong.stderr]
    wrong = subprocess.run([suite.weir, "mock-kinesis", "--stream", "a:0"], capture_output=True, text=True, timeout=common.PATIENCE)
    faults += [] if wrong.returncode == 2 and "from 1 to 10000" in wrong.stderr else [wrong.stderr]
    suite.claim(command_line.__doc__, faults)


if __name__ == "__main__":
    suite = common.Suite("mock_kinesis_answers_right", 240, __doc__)
    suite.run(records, reshards, faults_on_request, subscriptions, shapes, command_line, together=2)
