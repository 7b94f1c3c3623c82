"""A small server of Kinesis's interface (API version 2013-12-02), for drivers: what moto and ministack do not have or do wrong.

Shards that end with ChildShards, splits and merges while they are read, long sequence numbers, pages of ListShards, throttling and iterators
that expire on request. Written from the API reference; the tests of plain reading run on moto, too.
"""
import base64
import hashlib
import json
import threading
import time

from loopback import Loopback

PAGE = 3            # shards a page of ListShards has
BASE = 49590338271490256608559692538361571095921575989136588898


class Shard:
    def __init__(self, number, first, last, parents=()):
        self.id, self.first, self.last, self.parents = f"shardId-{number:012}", first, last, list(parents)
        self.records, self.closed, self.trimmed = [], False, 0      # records: (sequence, arrival in ms, key, data)

    def describe(self):
        out = {"ShardId": self.id, "HashKeyRange": {"StartingHashKey": str(self.first), "EndingHashKey": str(self.last)},
               "SequenceNumberRange": {"StartingSequenceNumber": str(BASE)}}
        for name, parent in zip(("ParentShardId", "AdjacentParentShardId"), self.parents):
            out[name] = parent
        if self.closed:
            out["SequenceNumberRange"]["EndingSequenceNumber"] = str(BASE * 9)
        return out


class Refused(Exception):
    def __init__(self, code, message="m"):
        super().__init__(message)
        self.code, self.message = code, message


class Kinesis(Loopback):
    """One stream. `put`, `split` and `merge` are called by the driver; readers ask over HTTP."""

    def __init__(self, stream, shards):
        self.stream, self.lock, self.created, self.sequence = stream, threading.RLock(), time.time(), BASE
        self.calls, self.throttles, self.expiries = {}, 0, 0
        self.epoch = 0                  # iterators of an earlier one have expired
        part = 2**128 // shards
        self.shards = {}
        for i in range(shards):
            self._add(Shard(i, i * part, (i + 1) * part - 1 if i + 1 < shards else 2**128 - 1))
        super().__init__()

    def handle(self, handler, body):
        name = handler.headers.get("X-Amz-Target", "").split(".")[-1]
        try:
            with self.lock:
                self.calls[name] = self.calls.get(name, 0) + 1
                status, answer = 200, getattr(self, f"on_{name}")(json.loads(body or b"{}"))
        except Refused as e:
            status, answer = 400, {"__type": e.code, "message": e.message}
        self.reply(handler, status, [("Content-Type", "application/x-amz-json-1.1")], json.dumps(answer).encode())

    def _add(self, shard):
        self.shards[shard.id] = shard

    # -- What the driver does

    def open_shards(self):
        return [s for s in self.shards.values() if not s.closed]

    def put(self, key, data, explicit=None):
        """The shard and the sequence number of a record."""
        hashed = int(explicit) if explicit is not None else int.from_bytes(hashlib.md5(key.encode()).digest(), "big")
        with self.lock:
            shard = next(s for s in self.open_shards() if s.first <= hashed <= s.last)
            self.sequence += 7919 << 70
            arrival = int(time.time() * 1000)
            shard.records.append((self.sequence, arrival, key, data))
            return shard.id, self.sequence, arrival

    def split(self, shard_id):
        with self.lock:
            shard = self.shards[shard_id]
            middle = shard.first + (shard.last - shard.first) // 2
            children = [Shard(len(self.shards) + i, *ends, [shard.id]) for i, ends in
                        enumerate(((shard.first, middle), (middle + 1, shard.last)))]
            shard.closed = True
            for child in children:
                self._add(child)
            return [c.id for c in children]

    def merge(self, low, high):
        with self.lock:
            a, b = self.shards[low], self.shards[high]
            child = Shard(len(self.shards), a.first, b.last, [low, high])
            a.closed = b.closed = True
            self._add(child)
            return child.id

    def expire_iterators(self):
        with self.lock:
            self.epoch += 1

    # -- What readers ask

    def on_ListShards(self, body):
        token = body.get("NextToken")
        if (token is None) == (body.get("StreamName") is None):
            raise Refused("InvalidArgumentException", "either NextToken or StreamName")
        shards, at = list(self.shards.values()), int(token or 0)
        out = {"Shards": [s.describe() for s in shards[at:at + PAGE]]}
        if at + PAGE < len(shards):
            out["NextToken"] = str(at + PAGE)
        return out

    def on_DescribeStreamSummary(self, body):
        if body.get("StreamName") != self.stream:
            raise Refused("ResourceNotFoundException", f"no stream {body.get('StreamName')}")
        return {"StreamDescriptionSummary": {
            "StreamName": self.stream, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24, "StreamCreationTimestamp": self.created,
            "OpenShardCount": len(self.open_shards())}}

    def on_GetShardIterator(self, body):
        shard = self.shards.get(body["ShardId"])
        if shard is None:
            raise Refused("ResourceNotFoundException", f"no shard {body['ShardId']}")
        kind, number = body["ShardIteratorType"], int(body.get("StartingSequenceNumber", 0))
        if kind == "TRIM_HORIZON":
            at = shard.trimmed
        elif kind == "LATEST":
            at = len(shard.records)
        elif kind == "AT_TIMESTAMP":
            if body["Timestamp"] > time.time():
                raise Refused("InvalidArgumentException", "a time to come")
            at = next((i for i, r in enumerate(shard.records) if r[1] >= body["Timestamp"] * 1000), len(shard.records))
        else:
            least = number + (kind == "AFTER_SEQUENCE_NUMBER")
            at = next((i for i, r in enumerate(shard.records) if r[0] >= least), len(shard.records))
        return {"ShardIterator": f"{self.epoch}:{shard.id}:{max(at, shard.trimmed)}"}

    def on_GetRecords(self, body):
        epoch, shard_id, at = body["ShardIterator"].split(":")
        if self.throttles > 0:
            self.throttles -= 1
            raise Refused("ProvisionedThroughputExceededException", "Rate exceeded for shard")
        if int(epoch) < self.epoch:
            self.expiries += 1
            raise Refused("ExpiredIteratorException", "Iterator expired")
        shard = self.shards[shard_id]
        at = max(int(at), shard.trimmed)
        found = shard.records[at:at + body.get("Limit", 10_000)]
        end = at + len(found)
        out = {"Records": [
            {"SequenceNumber": str(n), "ApproximateArrivalTimestamp": t / 1000, "PartitionKey": k, "Data": base64.b64encode(d).decode()}
            for n, t, k, d in found]}
        isEnd = end >= len(shard.records)
        out["MillisBehindLatest"] = 0 if isEnd else max(1, int(time.time() * 1000) - shard.records[end][1])
        if isEnd and shard.closed:
            out["ChildShards"] = [{"ShardId": s.id, "ParentShards": s.parents, "HashKeyRange": s.describe()["HashKeyRange"]}
                                  for s in self.shards.values() if shard.id in s.parents]
        else:
            out["NextShardIterator"] = f"{self.epoch}:{shard_id}:{end}"
        return out
