"""Bytewax, one worker, orjson; parsing, filter and lookup a batch at a time.   bytewax_q.py QUERY DATA OUT

QUERY: q1 to q3.
"""
import csv
import os
import sys
from datetime import datetime, timedelta, timezone

import bytewax.operators as op
import bytewax.operators.windowing as windowing
import orjson
from bytewax.connectors.files import FileSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

query, data, out = sys.argv[1:4]
os.makedirs(out, exist_ok=True)
with open(f"{data}/campaigns.csv") as f:
    campaign_of = dict(csv.reader(f))
# Windows are numbered from here.
ORIGIN = datetime(2025, 1, 1, tzinfo=timezone.utc)
ORIGIN_MS = int(ORIGIN.timestamp() * 1000)


def parse(lines):
    events = []
    for line in lines:
        try:
            events.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            pass
    return events


class Dedup(op.StatefulBatchLogic):
    """The ids of one of 256 buckets, in two generations of at least 10 s of event time."""

    def __init__(self, state):
        self.young, self.old, self.since = state or (set(), set(), 0)

    def on_batch(self, events):
        fresh = []
        for event in events:
            id = event["event_id"]
            if id in self.young or id in self.old:
                continue
            self.young.add(id)
            fresh.append(event)
            if event["event_time"] - self.since > 10_000:
                self.old, self.young, self.since = self.young, set(), event["event_time"]
        return fresh, False

    def snapshot(self):
        return self.young, self.old, self.since


class Totals(op.StatefulBatchLogic):
    """Running totals of the users of one bucket, told at the end."""

    def __init__(self, state):
        self.users = state or {}

    def on_batch(self, events):
        users = self.users
        for event in events:
            user, amount, time = event["user_id"], event["amount"], event["event_time"]
            row = users.get(user)
            if row is None:
                users[user] = [1, amount, time]
            else:
                row[0] += 1
                row[1] += amount
                if time > row[2]:
                    row[2] = time
        return [], False

    def on_eof(self):
        return [f"{user},{n},{total:.4f},{last}\n" for user, (n, total, last) in self.users.items()], True

    def snapshot(self):
        return self.users


class Part(StatelessSinkPartition):
    def __init__(self, worker):
        self.file = open(f"{out}/result{worker}.csv", "w")

    def write_batch(self, lines):
        self.file.write("".join(lines))

    def close(self):
        self.file.close()


class Sink(DynamicSink):
    def build(self, step_id, worker, workers):
        return Part(worker)


def add(cell, event):
    cell[0] += 1
    cell[1] += event["amount"]
    return cell


def merge(a, b):
    return [a[0] + b[0], a[1] + b[1]]


flow = Dataflow("ads")
events = op.flat_map_batch("parse", op.input("in", flow, FileSource(f"{data}/one/events.ndjson", batch_size=1000)), parse)
if query == "q2":
    bucketed = op.key_on("bucket", events, lambda e: e["user_id"][-2:])
    lines = op.map("line", op.stateful_batch("totals", bucketed, Totals), lambda kv: kv[1])
elif query in ("q1", "q3"):
    unique = op.stateful_batch("dedup", op.key_on("bucket", events, lambda e: e["event_id"][:2]), Dedup)
    views = op.flat_map_batch(
        "views", unique, lambda batch: [(campaign_of[e["ad_id"]], e) for _, e in batch if e["event_type"] == "view"])
    # The clock stands still, so that the watermark follows the events alone. 2.3 s: bytewax closes windows a little early at 2 s.
    clock = windowing.EventClock(
        ts_getter=lambda e: datetime.fromtimestamp(e["event_time"] / 1000, timezone.utc),
        wait_for_system_duration=timedelta(seconds=2.3), now_getter=lambda: datetime(2020, 1, 1, tzinfo=timezone.utc))
    if query == "q1":
        step, windows = 10_000, windowing.TumblingWindower(length=timedelta(seconds=10), align_to=ORIGIN)
    else:
        step, windows = 1_000, windowing.SlidingWindower(
            length=timedelta(seconds=60), offset=timedelta(seconds=1), align_to=ORIGIN)
    folded = windowing.fold_window("window", views, clock, windows, lambda: [0, 0.0], add, merge)
    lines = op.map(
        "line", folded.down, lambda kv: f"{kv[0]},{ORIGIN_MS + kv[1][0] * step},{kv[1][1][0]},{kv[1][1][1]:.4f}\n")
else:
    sys.exit(f"no such query: {query}")
op.output("out", lines, Sink())
run_main(flow, epoch_interval=timedelta(seconds=10))
