#!/usr/bin/env python3
"""A topic that is deleted and created again is never read on at the old offset, by workers and captures, before and under them; the user can
accept the new one, and then every record of it counts once. An end that the broker states too low is no loss."""
import collections
import json
import os
import re
import subprocess
import time

import common
import broker
import live_capture
import loads_keep_schedule as load
import tansu

import deltalake

OLD, NEW = 100, 300
REFRESH = "500ms"


class Topic(common.Lake):
    """A topic with what was sent to it, a pipeline that reads it, and that one's lake and store."""

    def __init__(self, suite, server, name, subscribed=None, **more):
        self.suite, self.server, self.topic = suite, server, f"{name}-{os.getpid()}"
        self.name = "p"     # the pipeline's
        self.directory = suite.path(name)
        os.makedirs(self.directory)
        self.lake, self.store = os.path.join(self.directory, "lake"), os.path.join(self.directory, "store")
        spec = {
            "pipeline": self.name, "source": {"kafka": {
                "brokers": server.address, "topic": subscribed or self.topic, "stream": "s", "group": self.topic, "session": "6s",
                "idle": "1h", "refresh": REFRESH, **more}},
            "record": {"format": "json", "key": "k", "time": {"field": "t", "out_of_order": "1h", "max_ahead": "30d"},
                       "fields": {"id": "string!", "k": "string!", "t": "timestamp_ms!", "n": "int64!"}},
            "dedup": {"id": "id", "within": "10h"}, "bronze": {},
            "state": {"keys": {"by": ["k"], "measure": {"rows": "count()", "total": "sum(n)"}}},
        }
        self.spec = spec
        self.pipeline = os.path.join(self.directory, "p.yaml")
        self.old, self.new = [], []
        self.flush("100ms")

    def flush(self, every):
        self.spec["lake"] = {"flush": {"every": every}}
        with open(self.pipeline, "w") as f:
            json.dump(self.spec, f)

    def records(self, first, count):
        return [{"id": f"r{i}", "k": f"k{i % 7}", "t": 1_700_000_000_000 + i, "n": i} for i in range(first, first + count)]

    def create(self):
        self.server.create(self.topic)
        self.old = self.records(0, OLD)
        self.server.send(self.topic, map(encoded, self.old))
        return self

    def recreate(self, count=NEW):
        """Half of the old records come again among the new ones: they are duplicates still."""
        self.new = self.records(OLD // 2, count)
        self.server.recreate(self.topic)
        self.server.send(self.topic, map(encoded, self.new))

    def worker(self, *more):
        return broker.Worker(self, self.server.address, *more)

    def committed(self):
        return broker.committed(self)

    def until(self, count):
        broker.wait(f"{count} records committed", lambda: self.committed() >= count)

    def read(self, count, *more):
        """A worker until this number of records is committed. Faults."""
        worker = self.worker(*more).begin()
        broker.wait(f"{count} records committed", lambda: self.committed() >= count or not worker.is_running)
        return worker.stop() if worker.is_running else [f"it ended by itself: {worker.talk}"]

    def refused(self, *more, words=()):
        """How a worker that must end by itself with `recreated` does not."""
        return ended(self.worker(*more), words)

    def state(self):
        rows = common.tables.scan_lines(self.suite.weir, "keys", self.store)
        return {row["k"]: (row["rows"], int(row["total"])) for row in rows}, [r for r in rows if not r["_committed"]]

    def bronze(self):
        return deltalake.DeltaTable(os.path.join(self.lake, "bronze", "s")).to_pyarrow_table()["value"].to_pylist()

    def ledger(self, what):
        return common.Result([self.suite.weir, "ledger", what, self.pipeline, "--lake", self.lake, "--store", self.store])

    def faults(self, records, again=0):
        """How tables and state differ from a naive fold. again: records that were committed twice at most."""
        unique = {r["id"]: r for r in records}
        wanted = collections.defaultdict(lambda: (0, 0))
        for r in unique.values():
            rows, total = wanted[r["k"]]
            wanted[r["k"]] = rows + 1, total + r["n"]
        found, uncommitted = self.state()
        faults = [f"state of {k}: {found.get(k)}, expected {wanted.get(k)}" for k in sorted(set(found) | set(wanted)) if found.get(k) != wanted.get(k)]
        faults += [f"not committed: {uncommitted[:2]}"] if uncommitted else []
        there, sent = collections.Counter(self.bronze()), collections.Counter(map(encoded, records))
        more, less = there - sent, sent - there
        faults += [f"bronze lacks {sum(less.values())}: {list(less)[:2]}"] if less else []
        faults += [f"bronze has {sum(more.values())} too many: {list(more)[:2]}"] if sum(more.values()) > again else []
        verify = self.ledger("verify")
        return faults + ([f"verify: {verify.talk} {verify.out[-300:]}"] if verify.code else [])


def encoded(record):
    return json.dumps(record).encode()


def ended(process, words=(), codes=("recreated", "truncated")):
    try:
        broker.wait("it ends by itself", lambda: not process.is_running, 60)
    except RuntimeError as e:
        process.kill()
        return [str(e), process.talk]
    talk = process.talk
    faults = [] if process.process.returncode == 1 else [f"it ended with {process.process.returncode}: {talk}"]
    return faults + [f"it does not say {w!r}: {talk}" for w in ("was deleted and created again", *words) if not re.search(w, talk)]


class Capture:
    """A `weir capture` process."""

    def __init__(self, topic, *more):
        self.out, self.log = os.path.join(topic.directory, "capture"), os.path.join(topic.directory, "capture.log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([topic.suite.weir, "capture", topic.pipeline, "--out", self.out, "--flush", "50ms", *more],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def is_running(self):
        return self.process.poll() is None

    @property
    def talk(self):
        with open(self.log) as f:
            return f.read().strip()[-1500:]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def values(self):
        return [r.value for r in live_capture.records(self.out)]


def before_a_start(suite):
    topic = Topic(suite, SERVER, "before").create()
    suite.claim("a worker reads a topic and stops", topic.read(OLD))
    topic.recreate()
    faults = topic.refused(words=("position 99 of", "The ledger is at position 100", "now holds a record of", "were committed after the last record that a check",
                                  "--accept-recreated " + topic.topic, "new lake"))
    faults += [] if topic.committed() == OLD else [f"{topic.committed()} records are committed"]
    suite.claim("a topic that was recreated while no worker ran is refused, with positions, both records and what to do", faults)
    other = common.Result([suite.weir, "run", topic.pipeline, "--lake", topic.lake, "--store", topic.store, "--accept-recreated", "other"])
    suite.claim("a topic that the pipeline does not read cannot be accepted", other.refusal_fault("does not read"))
    faults = topic.read(OLD + NEW, "--accept-recreated", topic.topic)
    faults += topic.faults(topic.old + topic.new)
    show = topic.ledger("show")
    faults += [] if "recreated: read from 0 instead of 100" in show.out else [f"weir ledger show does not say so: {show.out[-400:]}"]
    suite.claim("accepted, the new topic is read from its start: each record once in bronze, duplicates and state go on", faults)
    more = topic.records(1000, 10)
    SERVER.send(topic.topic, map(encoded, more))
    suite.claim("the next worker needs no option", topic.read(OLD + NEW + 10) + topic.faults(topic.old + topic.new + more))


def under_a_worker(suite):
    topic = Topic(suite, SERVER, "under").create()
    worker = topic.worker()
    topic.until(OLD)
    topic.recreate()
    # librdkafka may see first that the topic was away for a moment, or that it is shorter; the next start says what it is then.
    broker.wait("the worker ends by itself", lambda: not worker.is_running, 60)
    faults = [] if worker.process.returncode == 1 else [f"it ended with {worker.process.returncode}: {worker.talk}"]
    suite.note(f"{topic.committed() - OLD} records of the new topic were committed before the worker ended: {worker.talk[:160]}")
    doubtful = topic.committed() - OLD
    suite.claim("a topic that is recreated under a worker ends it", faults)
    suite.claim("and no later worker reads on", topic.refused())
    faults = topic.read(OLD + NEW + doubtful, "--accept-recreated", topic.topic)
    suite.claim("accepted, every record of the new topic counts once", faults + topic.faults(topic.old + topic.new, again=doubtful))


def ahead_of_the_ledger(suite):
    topic = Topic(suite, SERVER, "ahead").create()
    faults = topic.read(OLD)
    # These reach the state table and no entry, and no worker will read them again.
    topic.flush("1h")
    worker = topic.worker().begin()
    lost = [r | {"k": k} for r in topic.records(5000, 20) for k in ("k1", "only-lost")]
    SERVER.send(topic.topic, map(encoded, [r | {"id": r["id"] + r["k"]} for r in lost]))
    broker.wait("they are in the state table", lambda: topic.state()[0].get("only-lost", (0, 0))[0] == 20)
    worker.kill()
    topic.flush("100ms")
    topic.recreate()
    faults += topic.read(OLD + NEW, "--accept-recreated", topic.topic)
    faults += topic.faults(topic.old + topic.new)
    suite.claim("state rows of records that were read and never committed are taken back before a recreated topic is read", faults)


def captures(suite):
    topic = Topic(suite, SERVER, "captured").create()
    capture = Capture(topic, "--count", str(OLD))
    faults = [] if capture.process.wait(60) == 0 else [capture.talk]
    topic.recreate()
    before = capture.values()
    faults += ended(capture := Capture(topic), words=("The capture is at position 100", "new directory"))
    faults += [] if before == capture.values() == [encoded(r) for r in topic.old] else ["the capture changed"]
    suite.claim("a capture is not resumed on a recreated topic, and keeps what it has", faults)

    topic = Topic(suite, SERVER, "capturing").create()
    capture = Capture(topic)
    broker.wait("the records are captured", lambda: os.path.isdir(capture.out) and len(capture.values()) >= OLD or not capture.is_running)
    topic.recreate()
    broker.wait("the capture ends by itself", lambda: not capture.is_running, 60)
    faults = [] if capture.process.returncode == 1 else [f"it ended with {capture.process.returncode}: {capture.talk}"]
    suite.note(f"{len(capture.values()) - OLD} records of the new topic were captured: {capture.talk[-700:-500]}")
    faults += ended(Capture(topic), words=("new directory",))
    suite.claim("a topic that is recreated under a capture ends it, and no later run reads on", faults)


def gone(suite):
    """A topic of a pattern is deleted under a capture: it says so, reads the others on, and does not wait long for clients that cannot close."""
    prefix = f"gone{os.getpid()}"
    topic = Topic(suite, SERVER, prefix, subscribed=f"^{prefix}-.*", misplaced="merge").create()
    second = f"{prefix}-second"
    SERVER.create(second)
    SERVER.send(second, map(encoded, topic.records(1000, 50)))
    capture = Capture(topic)
    broker.wait("the records are captured", lambda: os.path.isdir(capture.out) and len(capture.values()) >= OLD + 50 or not capture.is_running)
    SERVER.delete(second)
    words = f"GONE: the source no longer has {second}/0"
    broker.wait("it says that the topic is gone", lambda: words in capture.talk or not capture.is_running)
    SERVER.send(topic.topic, map(encoded, topic.records(2000, 20)))
    broker.wait("the other topic is read on", lambda: len(capture.values()) >= OLD + 70 or not capture.is_running)
    faults = stopped(capture, second)
    capture = Capture(topic)
    broker.wait("resumed, it says so again", lambda: capture.talk.count(words) == 2 or not capture.is_running)
    faults += stopped(capture, second) + ([] if len(capture.values()) == OLD + 70 else [f"{len(capture.values())} records"])
    suite.claim("a topic of a pattern that is deleted under a capture is reported at once, in the summary and when it is resumed", faults)


def gone_under_workers(suite):
    """A topic of a pattern is deleted, which had the ledger's first lane: the log says so, the other topic is read on, and its windows close."""
    for when in ("before a start", "while a worker runs"):
        prefix = f"{when.split()[0]}{os.getpid()}"
        topic = Topic(suite, SERVER, prefix, subscribed=f"^{prefix}-.*", misplaced="merge")
        topic.spec["gold"] = {"all": {"by": ["k"], "window": {"tumbling": "10s"}, "measure": {"rows": "count()"}}}
        topic.flush("100ms")
        topic.create()
        second = f"{prefix}-second"
        SERVER.create(second)
        SERVER.send(second, map(encoded, topic.records(1000, 50)))
        worker, faults = topic.worker(), []
        topic.until(OLD + 50)
        if when == "before a start":
            faults += worker.stop()
        SERVER.delete(topic.topic)
        # Far enough to close the window of all others.
        SERVER.send(second, [encoded(topic.records(2000, 1)[0] | {"t": 1_700_000_000_000 + 3 * 3_600_000})])
        if when == "before a start":
            worker = topic.worker()

        def closed():
            gold = os.path.join(topic.lake, "gold", "all")
            rows = deltalake.DeltaTable(gold).to_pyarrow_table()["rows"].to_pylist() if common.tables.is_table(gold) else []
            return sum(rows) == OLD + 50
        broker.wait("the window is closed", lambda: closed() or not worker.is_running)
        faults += [] if closed() else [f"the window is not closed: {worker.talk[-500:]}"]
        faults += [] if f"{topic.topic} no longer exists at the source" in worker.talk else [f"it does not say so: {worker.talk[-500:]}"]
        suite.claim(f"a topic of a pattern that is deleted {when} holds back no window, and the log names it", faults + worker.stop())


def stopped(capture, lost):
    """SIGTERM; faults."""
    capture.process.terminate()
    capture.process.wait(common.PATIENCE)
    faults = [] if capture.process.returncode == 0 else [f"it ended with {capture.process.returncode}: {capture.talk}"]
    return faults + ([] if f"gone         {lost}/0" in capture.talk else [f"the summary does not say so: {capture.talk}"])


def ends_too_low(suite):
    topic = Topic(suite, SERVER, "low")
    SERVER.create(topic.topic)
    topic.old = topic.records(0, OLD)
    SERVER.send(topic.topic, map(encoded, topic.old), batched=True)
    faults = topic.read(OLD)
    end = SERVER.stated_end(topic.topic)
    suite.note(f"the broker states the end {end} of {OLD} records")
    more = topic.records(1000, 20)
    worker = topic.worker().begin()
    SERVER.send(topic.topic, map(encoded, more), batched=True)
    topic.until(OLD + 20)
    faults += worker.stop() + topic.read(OLD + 20) + topic.faults(topic.old + more)
    suite.claim("an end that the broker states too low stops no worker", faults)


def loads(suite):
    topic = f"loaded-{os.getpid()}"
    SERVER.create(topic, load.PARTITIONS)
    job = load.job(suite, "load", topic)
    worker = broker.Worker(job, SERVER.address).begin()
    done, code, talk = load.ended(load.verify(suite, SERVER, job, "--rate", "500/s", "--for", "2s"))
    checks = {c["place"]: c for c in done.get("checks", [])}
    found = checks.get(f"topic/{topic}", {})
    suite.note(f"the broker states the ends {[SERVER.stated_end(topic, p) for p in range(load.PARTITIONS)]} of 1000 records")
    faults = [] if code == 0 and (found.get("checked"), found.get("lost")) == (1000, 0) else [f"{code}: {found} {done} {talk}"]
    suite.claim("weir load --verify calls no record lost that is in the topic", faults + worker.stop())


def late_topics(suite):
    prefix = f"late{os.getpid()}"
    topic = Topic(suite, SERVER, prefix, subscribed=f"^{prefix}-.*", misplaced="merge").create()
    worker = topic.worker()
    topic.until(OLD)
    SERVER.create(f"{prefix}-second")
    more = topic.records(1000, 50)
    SERVER.send(f"{prefix}-second", map(encoded, more))
    topic.until(OLD + 50)
    suite.claim("a topic that fits a pattern and comes later is read soon", worker.stop() + topic.faults(topic.old + more))


if __name__ == "__main__":
    suite = common.Suite("recreated_topics_are_refused", 600, __doc__)
    SERVER = tansu.Tansu(suite)
    try:
        suite.run(before_a_start, under_a_worker, ahead_of_the_ledger, captures, gone, gone_under_workers, ends_too_low, loads, late_topics, together=3)
    finally:
        SERVER.close()
