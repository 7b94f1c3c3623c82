"""The reference of a live run: what the records of all partitions come to, however they were spread over workers and time.

Watermarks, lateness and duplicates are judged partition by partition (the records of a partition in the order of their offsets), so
the result does not depend on how partitions mix. Partitions that went idle are not covered: their floors depend on decisions.
"""
import dataclasses
import json
import time as time_module

import pyarrow as pa
import pyarrow.compute as pc

import pipeline as pipelines
import reference


@dataclasses.dataclass
class Record:
    topic: str
    partition: int
    offset: int
    value: bytes         # None: a tombstone
    key: bytes           # None: no key
    timestamp: int       # ms
    headers: list = None

    @property
    def shard(self):
        return f"{self.topic}/{self.partition}"


class LiveFold(reference.Fold):
    def __init__(self, p, records):
        records = sorted(records, key=lambda r: (r.topic, r.partition, r.offset))
        self.p, self.records = p, records
        n = self.n = len(records)
        self.position = [r.offset for r in records]
        self.raw = [r.value or b"" for r in records]
        self.tombstones = {i for i, r in enumerate(records) if r.value is None}
        self.shard = [r.shard for r in records]
        self.values, self.field_key = [None] * n, [None] * n
        self.key = [r.key for r in records]
        self.watermark = [None] * n
        self.arrival = [r.timestamp * 1000 for r in records]
        self.source = ["created"] * n
        self.stage, self.bucket = [None] * n, [None] * n
        self.headers = [json.dumps([[k, v.decode()] for k, v in r.headers], separators=(",", ":")) if r.headers else None for r in records]

    def watermarks(self):
        p, highest, time = self.p, {}, self.field(self.p.time)
        # By the worker's clock, which was read before now; tests hold no times near it.
        most = None if p.max_ahead == -2 else time_module.time_ns() // 1000 + (p.max_ahead if p.max_ahead >= 0 else 3_600_000_000)
        for r, values in enumerate(self.values):
            shard = self.shard[r]
            valid = values is not None
            if valid and (self.beyond(values[time]) or most is not None and values[time] > most):
                self.reject(r, "time")
                valid = False
            if valid:
                highest[shard] = max(highest.get(shard, values[time]), values[time])
            self.watermark[r] = highest[shard] - p.out_of_order if shard in highest else None

    def keys(self):
        """The engine's key is the field's text; what lands in the tables is the record's key as received."""
        received, self.key = self.key, [None] * self.n
        super().keys()
        self.field_key, self.key = self.key, received

    def owner(self, r):
        return (self.shard[r], self.field_key[r])

    def provenance(self, rows):
        there = super().provenance(rows)
        return there | {"_shard": pa.array([self.shard[r] for r in rows], there["_shard"].type)}

    def final_watermark(self):
        """Of all partitions that hold a record: the smallest."""
        last = {}
        for r in range(self.n):
            if self.watermark[r] is not None:
                last[self.shard[r]] = self.watermark[r]
        return min(last.values())


def compute(path, records):
    """The Reference of a live run that has committed all records: of gold, the windows that are final by then."""
    p = pipelines.load(path)
    fold = LiveFold(p, records)
    result = reference.compute_fold(p, fold)
    through = fold.final_watermark()
    for gold in p.gold:
        table = result.tables[f"gold/{gold.name}"]
        ends = table.rows["window_end"].cast(pa.int64())
        table.rows = table.rows.filter(pc.less_equal(ends, through - gold.lateness))
    return result
