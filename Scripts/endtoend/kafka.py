#!/usr/bin/env python3
"""Live workers on Kafka: rows, state and counts equal the reference, whoever of the workers is stopped, killed or added when."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common
import decode
import broker
import pipeline as pipelines
from broker import Broker, Producer, Worker

RECORDS, RECORDS_QUICK = 50_000, 20_000
PARTITIONS = 4
CLOSING_MS = 100_000_000        # event time of the records that close all windows; a day and more behind the others
TOPIC = f"events-{os.getpid()}"


def live(topic, **more):
    """Makes a pipeline file live."""
    def change(spec):
        spec["source"] = {"kafka": {
            "brokers": "127.0.0.1:1", "topic": topic, "stream": "synthetic", "group": topic, "session": "6s", "idle": "1h", **more}}
        spec["record"]["time"]["max_ahead"] = "5h"
        spec.setdefault("lake", {})["flush"] = {"every": "300ms", "bytes": "256KiB"}
        if more.get("misplaced") != "merge":
            # A record without a key lies anywhere; of the others each table by user is finished in its lane.
            spec["checks"].append({"name": "has_user", "that": "user is not null"})
    return change


def lines(seed, n):
    with open(common.synthetic(seed, n), "rb") as f:
        return f.read().split(b"\n")


class Stream:
    """Synthetic events on their way to a topic: keyed by user, stamped with a clock that goes with their times."""

    def __init__(self, suite, job, address, topic=TOPIC, n=None):
        self.fields = pipelines.load(job.pipeline).fields
        self.topic = topic
        self.lines = lines(suite.arguments.seed, n or (RECORDS_QUICK if suite.quick else RECORDS))
        self.producer = Producer(address)
        self.at = 0

    def key(self, line):
        try:
            values = decode.record(self.fields, line)
        except decode.Bad:
            return None
        user = values[[f.name for f in self.fields].index("user")]
        return None if user is None else str(user).encode()

    def send(self, count=None):
        """The next events; all that are left without a count."""
        end = len(self.lines) if count is None else min(len(self.lines), self.at + count)
        for i in range(self.at, end):
            line = self.lines[i]
            headers = [("trace", b"%d" % i)] if i % 97 == 0 else None
            self.producer.send(self.topic, None if i % 1999 == 7 else line, None if i % 1999 == 7 else self.key(line),
                               timestamp=max(1, i * 20 - 300_000), headers=headers)
        self.at = end
        self.producer.flush()
        return self

    @property
    def is_done(self):
        return self.at >= len(self.lines)

    def close_windows(self):
        """One record a partition, later than all windows."""
        for partition in range(PARTITIONS):
            user = next(u for i in range(1000) if broker.partition_of((u := f"closer{i}").encode(), PARTITIONS) == partition)
            value = {"id": f"closing-{partition}", "user": user, "t": CLOSING_MS, "kind": "view", "amount": 1}
            self.producer.send(self.topic, json.dumps(value).encode(), user.encode(), timestamp=CLOSING_MS, partition=partition)
        self.producer.flush()

    @property
    def records(self):
        return self.producer.records


def finish(job, stream, workers, seconds=120):
    """Waits until everything is committed, stops the workers, compares. Faults."""
    stream.close_windows()
    faults = stream.producer.trimmed(job)
    try:
        broker.wait("all records committed", lambda: broker.committed(job) >= len(stream.records)
                    or not any(w.is_running for w in workers), seconds)
    except RuntimeError as e:
        faults.append(f"{e}; {broker.committed(job)} of {len(stream.records)}")
    for worker in workers:
        faults += worker.stop() if worker.is_running else [f"worker {worker.number} ended by itself: {worker.talk}"]
    return faults + broker.faults(job, stream.records) + job.verify_faults()


def one_worker(suite):
    """One worker: rows, state and counts equal the reference, tables by user finished in the lanes"""
    with Broker({TOPIC: PARTITIONS}) as b:
        job = common.Job(suite, suite.path("one"), "synthetic", [], change=live(TOPIC))
        stream = Stream(suite, job, b.address)
        stream.send(5000)
        worker = Worker(job, b.address)
        while not stream.is_done:
            stream.send(2000)
        faults = finish(job, stream, [worker])
        lag = lags(b.address, job)
        suite.claim(one_worker.__doc__, faults)
        suite.claim("the broker's offsets of the group follow the ledger: other tools see no lag", lag)
        again = Worker(job, b.address)
        broker.wait("the worker reads", lambda: again.saw("assigned"), 60)
        time.sleep(1)
        ends = {f"{r.topic}/{r.partition}": 0 for r in stream.records}
        for r in stream.records:
            ends[r.shard] = max(ends[r.shard], r.offset + 1)
        begun = again.saw("assigned")[0]["positions"]
        faults = again.stop() + ([] if begun == ends else [f"it begins at {begun}, the ledger ends at {ends}"])
        suite.claim("started again it begins at the ledger's positions and changes nothing",
                    faults + broker.faults(job, stream.records))


def lags(address, job):
    """What the group's committed offsets say, by another client."""
    import confluent_kafka as ck
    consumer = ck.Consumer({"bootstrap.servers": address, "group.id": TOPIC, "log_level": 2})
    partitions = [ck.TopicPartition(TOPIC, p) for p in range(PARTITIONS)]
    found = consumer.committed(partitions, timeout=20)
    out = []
    for p in found:
        _, high = consumer.get_watermark_offsets(p, timeout=20)
        if p.offset != high:
            out.append(f"{p.topic}/{p.partition}: committed {p.offset}, end {high}")
    consumer.close()
    return out


def merged(suite):
    """misplaced: merge, keys anywhere: merged tables equal the reference, through kill -9 and restarts"""
    topic = TOPIC + "-merged"
    with Broker({topic: PARTITIONS}) as b:
        job = common.Job(suite, suite.path("merged"), "synthetic", [], change=live(topic, misplaced="merge", start="earliest"))
        stream = Stream(suite, job, b.address, topic)
        stream.producer = Producer(b.address, partitioner="random")
        kills = 2 if suite.quick else 6
        worker = Worker(job, b.address)
        for _ in range(kills):
            stream.send(len(stream.lines) // (kills + 1))
            before = broker.committed(job)
            broker.wait("the worker commits", lambda: broker.committed(job) > before or not worker.is_running, 60)
            time.sleep(suite.random.random())
            worker.kill()
            worker = Worker(job, b.address)
        stream.send()
        suite.claim(f"{merged.__doc__} ({kills} kills)", finish(job, stream, [worker]))


def held(worker):
    """The partitions that a worker reads."""
    shards = set()
    for e in worker.events:
        if e["event"] == "assigned":
            shards |= set(e["positions"])
        elif e["event"] == "revoked":
            shards -= set(e["shards"])
    return sorted(shards)


def several(suite):
    """Three workers on one group; one is killed, one stopped in order, one sleeps and wakes, others come: all equals the reference"""
    topic = TOPIC + "-several"
    with Broker({topic: PARTITIONS}) as b:
        job = common.Job(suite, suite.path("several"), "synthetic", [], change=live(topic))
        stream = Stream(suite, job, b.address, topic)
        stream.send(1000)
        workers = [Worker(job, b.address) for _ in range(3)]
        part = len(stream.lines) // 5
        broker.wait("each worker has partitions", lambda: all(held(w) for w in workers), 60)
        spread = [held(w) for w in workers]

        def progress():
            before = broker.committed(job)
            broker.wait("somebody commits", lambda: broker.committed(job) > before, 60)
        stream.send(part)
        progress()
        workers[0].kill()
        stream.send(part)
        progress()
        faults = workers[1].stop()
        workers = [workers[2], Worker(job, b.address)]
        stream.send(part)
        progress()
        sleeper = workers[0]
        sleeper.pause()
        stream.send(part)
        time.sleep(9)           # longer than the session
        sleeper.wake()
        progress()
        workers.append(Worker(job, b.address))
        stream.send()
        faults += finish(job, stream, workers)
        suite.claim(several.__doc__, faults)
        suite.note(f"first spread: {spread}")


def refusals(suite):
    """Keys that do not lie where the rule puts them, and another plan on the same ledger, are refused with advice"""
    topic = TOPIC + "-refused"
    with Broker({topic: PARTITIONS}) as b:
        job = common.Job(suite, suite.path("refused"), "synthetic", [], change=live(topic, partitioner="crc32"))
        stream = Stream(suite, job, b.address, topic)
        stream.send(2000)
        worker = Worker(job, b.address)
        broker.wait("the worker ends", lambda: not worker.is_running, 60)
        faults = [] if worker.process.returncode == 1 and "partitioner" in worker.talk else [f"{worker.process.returncode}: {worker.talk}"]
        suite.claim("keys that another rule has placed stop the worker, with advice, before anything of them is committed",
                    faults + ([f"{broker.committed(job)} records committed"] if broker.committed(job) else []))
        other = common.Job(suite, suite.path("refused"), "synthetic", [], change=live(topic, misplaced="merge"))
        run = common.Result([suite.weir, "run", other.pipeline, "--brokers", b.address, "--lake", job.lake, "--store", job.store])
        suite.claim("another meaning of the plan is refused", run.refusal_fault("misplaced"))
        gone = common.Result([suite.weir, "run", other.pipeline, "--brokers", "127.0.0.1:9", "--lake", suite.path("none"), "--store", suite.path("none")])
        suite.claim("a broker that is not there is told", gone.refusal_fault("broker"))


def main():
    suite = common.Suite("kafka", 900, __doc__)
    suite.run(one_worker, merged, several, refusals)


if __name__ == "__main__":
    main()
