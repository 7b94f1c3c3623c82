#!/usr/bin/env python3
"""`weir capture` from Kinesis: what it holds, replayed, gives the rows of the reference, however often it is killed, while shards are split and
merged and producers pack records; what was trimmed before it was captured is a gap; `weir capture` asks for no more than its policy allows."""
import contextlib
import json
import os
import subprocess

import common
import broker
from common import aws_calls, kinesis_server, mock_kinesis

import kinesis_workers_equal_reference as workers

STREAM = workers.STREAM
RECORDS, RECORDS_QUICK = 20_000, 3_000


class Capture:
    """A `weir capture` process."""

    number = 0

    def __init__(self, suite, pipeline, out, url, *more):
        Capture.number += 1
        self.log = f"{out}-{Capture.number}.log"
        with open(self.log, "wb") as log:
            # No DynamoDB answers there: a capture has no leases.
            self.process = subprocess.Popen(
                [suite.weir, "capture", pipeline, "--out", out, "--json", "--flush", "50ms", *more], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=workers.environment(suite, url, "http://127.0.0.1:9"))

    @property
    def talk(self):
        with open(self.log) as f:
            return f.read().strip()

    @property
    def records(self):
        """Those that it has said that it has, earlier runs included."""
        events = [json.loads(line) for line in self.talk.splitlines() if line.startswith("{") and line.endswith("}")]
        return max([e["records"] for e in events if "records" in e], default=0)

    def until(self, what, test):
        broker.wait(what, lambda: test() or self.process.poll() is not None, common.PATIENCE)
        if self.process.poll() not in (None, 0):
            raise RuntimeError(f"the capture ended with {self.process.returncode}: {self.talk}")
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        """Faults, if it does not end well by itself."""
        code = self.process.wait(common.PATIENCE)
        return [] if code == 0 else [f"it ended with {code}: {self.talk}"]


def replayed(job, records):
    """How the tables of a replay differ from the reference, which leaves the last windows open, as a live worker does."""
    run = job.replay("--keep-open")
    if run.code != 0:
        return [f"the replay ended with {run.code}: {run.talk}"]
    wanted = workers.computed(job.pipeline, records)
    return common.flat(common.compare.compare(wanted, job.pipeline, job.lake, job.store, job.suite.weir)) + job.verify_faults()


def job_of(suite, name):
    out = suite.path(f"{name}-capture")
    return common.Job(suite, suite.path(name), "synthetic", [out], change=workers.change(f"weir-{name}")), out


def splits(suite):
    """A capture that is killed twice while shards are split and merged, replayed, gives the rows of the reference"""
    with contextlib.closing(kinesis_server.Kinesis(STREAM, 2)) as server:
        stream = workers.OwnStream(server, workers.Events(suite.arguments.seed, RECORDS_QUICK if suite.quick else RECORDS))
        job, out = job_of(suite, "captured")
        step = stream.events.count // 6
        stream.send(step)
        capture = Capture(suite, job.pipeline, out, server.url)
        capture.until("it captures", lambda: capture.records > 0)
        low = server.split("shardId-000000000000")
        server.expire_iterators()
        server.throttles = 2
        stream.send(step)
        capture.until("it captures more", lambda: capture.records > step)
        capture.kill()
        stream.send(step)
        server.split("shardId-000000000001")
        stream.send(step)
        capture = Capture(suite, job.pipeline, out, server.url)
        capture.until("it captures again", lambda: capture.records > 2 * step)
        server.merge(*low)
        stream.send(step)
        capture.kill()
        stream.send(10**9)
        stream.close_windows()
        records = stream.sent.records
        faults = Capture(suite, job.pipeline, out, server.url, "--count", str(len(records))).end()
        suite.note(f"{len(records)} records, {len(server.shards)} shards, {len(os.listdir(out))} files")
        suite.claim(splits.__doc__, faults + replayed(job, records))
        suite.claim("the requests are those that the policy of a capture lists", aws_calls.unlisted(server.calls, "kinesis"))
        killed(suite, job, records)
        refused(suite, job, out, server)


def killed(suite, job, records):
    """A replay of it that is killed at its first entries continues, and gives the same rows"""
    job.clear()
    run = job.start("--keep-open")
    broker.wait("it commits", lambda: len(job.entries() if os.path.isdir(job.lake) else []) > 4 or run.poll() is not None, common.PATIENCE)
    run.kill()
    run.wait()
    suite.claim(killed.__doc__, replayed(job, records))
    run = job.replay()
    ended = {lane["lane"] for entry in job.entries() for lane in entry["lanes"] if {"kind": "endOfInput"} in lane["decisions"]}
    closed = {lane["lane"] for entry in job.entries() for lane in entry["lanes"]
              if any(d["kind"] == "shardClosed" for d in lane["decisions"])}
    faults = [] if run.code == 0 and ended and closed and not ended & closed else [f"{run.code}: {ended} ended, {closed} closed: {run.talk}"]
    again = job.replay()
    suite.claim("without --keep-open it closes the windows of the shards that have not ended, once",
                faults + job.verify_faults() + ([] if again.code == 0 else [again.talk]))


def refused(suite, job, out, server):
    """What cannot be is refused by name: --decisions, Kafka's options, a pipeline that reads Kafka"""
    kafka = common.Job(suite, suite.path("kafka"), "synthetic", [out], change=lambda spec: spec.update(
        source={"kafka": {"brokers": "127.0.0.1:1", "topic": STREAM, "group": "g"}}))
    environment = workers.environment(suite, server.url, "http://127.0.0.1:9")
    runs = [(job.replay("--decisions", job.lake + "-other"), "--decisions cannot repeat"), (kafka.replay(), "another kind of source"),
            (common.Result([suite.weir, "capture", job.pipeline, "--out", suite.path("x"), "--topic", "t"], environment=environment),
             "--topic is for Kafka"),
            (common.Result([suite.weir, "capture", job.pipeline, "--out", suite.path("x"), "--start", "earliest"], environment=environment),
             "--start must be trim_horizon")]
    suite.claim(refused.__doc__, [f"{run.code}: {run.talk}" for run, words in runs if run.code != 2 or words not in run.talk])


def trimmed(suite):
    """Records that were trimmed before they were captured are one gap in the capture and in its replay"""
    with contextlib.closing(kinesis_server.Kinesis(STREAM, 1)) as server:
        stream = workers.OwnStream(server, workers.Events(suite.arguments.seed, 600))
        job, out = job_of(suite, "trimmed")
        stream.send(300)
        count = len(stream.sent.records)
        faults = Capture(suite, job.pipeline, out, server.url, "--count", str(count)).end()
        shard = server.shards["shardId-000000000000"]
        known = len(shard.records)
        stream.send(200)
        lost = [r for r in stream.sent.records[count:] if int(r.sequence.split(":")[0]) < shard.records[known + 10][0]]
        shard.trimmed = known + 10
        left = len(stream.sent.records) - len(lost)
        capture = Capture(suite, job.pipeline, out, server.url, "--count", str(left))
        faults += capture.end() + ([] if capture.talk.count("LOST: positions") == 1 else [capture.talk])
        run = job.replay()
        gaps = workers.decisions(job, "lost at the source before it was captured")
        faults += [] if run.code == 0 else [run.talk]
        faults += [] if len(gaps) == 1 and len(lost) > 0 else [f"gaps: {gaps}"]
        counts = [lane["counts"] for entry in job.entries() for lane in entry["lanes"]]
        read = sum(c[n] for c in counts for n in ("accepted", "duplicate", "filtered", "quarantined"))
        suite.claim(trimmed.__doc__, faults + ([] if read == left else [f"{read} records are replayed, {left} were captured"]))


def mock(suite):
    """From `weir mock-kinesis`, with a split while it captures: the rows of the reference"""
    with mock_kinesis.Server(suite.weir, {STREAM: 2}, "--page", "2") as server:
        remote = workers.Remote(server)
        stream = workers.OwnStream(remote, workers.Events(suite.arguments.seed, RECORDS_QUICK // 3))
        job, out = job_of(suite, "mock")
        stream.send(300)
        capture = Capture(suite, job.pipeline, out, server.url)
        capture.until("it captures", lambda: capture.records > 0)
        remote.split("shardId-000000000000")
        stream.send(10**9)
        stream.close_windows()
        capture.until("it has all", lambda: capture.records >= len(stream.sent.records))
        capture.process.terminate()
        suite.claim(mock.__doc__, capture.end() + replayed(job, remote.arrived(stream.sent.records)))


if __name__ == "__main__":
    suite = common.Suite("kinesis_captures_equal_reference", 240, __doc__)
    suite.run(splits, trimmed, mock, together=3)
