#!/usr/bin/env python3
"""Live workers on Kafka: rows, state and counts equal the reference, whichever workers are stopped, killed or added at any time."""
import collections
import json
import os
import re
import signal
import time

import common
import decode
import broker
import pipeline as pipelines
from broker import Broker, Producer, Worker

RECORDS, RECORDS_QUICK = 50_000, 20_000
PARTITIONS = 4
CLOSING_MS = 100_000_000        # event time of the records that close all windows; at least a day after the others
TOPIC = f"events-{os.getpid()}"


def live(topic, **more):
    """Makes a pipeline file live."""
    def change(spec):
        spec["source"] = {"kafka": {
            "brokers": "127.0.0.1:1", "topic": topic, "stream": "synthetic", "group": topic, "session": "6s", "idle": "1h",
            "options": {"debug": "cgrp"}, **more}}
        spec["record"]["time"]["max_ahead"] = "5h"
        spec.setdefault("lake", {})["flush"] = {"every": "300ms", "bytes": "256KiB"}
        if more.get("misplaced") != "merge":
            # A record without a key may be anywhere; for the others each table by user is finished in its lane.
            spec["checks"].append({"name": "has_user", "that": "user is not null"})
    return change


def lines(seed, n, even=False):
    with open(common.synthetic(seed, n, even), "rb") as f:
        return f.read().split(b"\n")


class Stream:
    """Synthetic events on their way to a topic: keyed by user, stamped with a clock that goes with their times."""

    def __init__(self, suite, job, address, topic=TOPIC, n=None, even=False):
        self.fields = pipelines.load(job.pipeline).fields
        self.topic = topic
        self.lines = lines(suite.arguments.seed, n or (RECORDS_QUICK if suite.quick else RECORDS), even)
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

    def land(self, job, count, seconds=60, workers=None):
        """Sends the next events, and waits until some more are in the ledger, or all of the workers have ended."""
        # Counted before they are sent: a quick worker has committed them all by the time that the last one is.
        before = broker.committed(job)
        self.send(count)
        broker.wait("somebody commits", lambda: broker.committed(job) > before
                    or workers is not None and not any(w.is_running for w in workers), seconds)

    @property
    def is_done(self):
        return self.at >= len(self.lines)

    def close_windows(self, partitions=PARTITIONS):
        """One record a partition, later than all windows."""
        self.each_partition("closing", CLOSING_MS, partitions)

    def each_partition(self, name, time_ms, partitions=PARTITIONS):
        """One valid record a partition, of a user whose key belongs there."""
        for partition in range(partitions):
            user = next(u for i in range(1000) if broker.partition_of((u := f"closer{i}").encode(), partitions) == partition)
            value = {"id": f"{name}-{partition}", "user": user, "t": time_ms, "kind": "view", "amount": 1}
            self.producer.send(self.topic, json.dumps(value).encode(), user.encode(), timestamp=time_ms, partition=partition)
        self.producer.flush()

    @property
    def records(self):
        return self.producer.records


def finish(job, stream, workers, seconds=240, settle=None, partitions=PARTITIONS, closing=True, last=None):
    """Waits until everything is committed, stops the workers, compares. last: the job of the one more worker, if not this one. Faults."""
    if closing:
        stream.close_windows(partitions)
    faults = stream.producer.trimmed(job)
    try:
        broker.wait("all records committed", lambda: broker.committed(job) >= len(stream.records)
                    or not any(w.is_running for w in workers), seconds)
    except RuntimeError as e:
        faults.append(f"{e}; {broker.committed(job)} of {len(stream.records)}")
    if settle:
        broker.wait("the ledger is as it should be", settle, seconds)
        time.sleep(1)
    for worker in workers:
        faults += worker.stop() if worker.is_running else [f"worker {worker.number} ended by itself: {worker.talk}"]
    if len(workers) > 1:
        faults += [f"worker {w.number} takes others of its ledger for strangers" for w in workers if any(e["code"] == "group_shared" for e in w.saw("trouble"))]
        # The last of several may have had no lane yet when it was stopped, and so not the merge lane: one more brings it up.
        faults += Worker(last or job, workers[-1].address).begin().stop()
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
        again = Worker(job, b.address).begin()
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
            stream.land(job, len(stream.lines) // (kills + 1), workers=[worker])
            time.sleep(suite.random.random())
            worker.kill()
            worker = Worker(job, b.address).begin()
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
        broker.wait("each worker has partitions", lambda: all(held(w) for w in workers), 180)
        spread = [held(w) for w in workers]

        # The mock refuses a follower whose SyncGroup comes after the leader's, and then all join again, 5 s and more each time.
        stream.land(job, part, 180)
        workers[0].kill()
        stream.land(job, part, 180)
        faults = workers[1].stop()
        workers = [workers[2], Worker(job, b.address)]
        stream.land(job, part, 180)
        sleeper = workers[0]
        sleeper.pause()
        before = broker.committed(job)
        stream.send(part)
        time.sleep(9)           # longer than the session
        sleeper.wake()
        broker.wait("somebody commits", lambda: broker.committed(job) > before, 180)
        workers.append(Worker(job, b.address))
        stream.send()
        faults += finish(job, stream, workers)
        suite.claim(several.__doc__, faults)
        suite.note(f"first spread: {spread}")


def refusals(suite):
    """Keys in another partition than the rule says, and another plan on the same ledger, are refused with advice"""
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
        worker = Worker(other, b.address)
        broker.wait("records are committed", lambda: broker.committed(other) > 0 or not worker.is_running, 60)
        faults = worker.stop()
        suite.claim("a ledger without accepted records takes another meaning of the plan", faults)
        other = common.Job(suite, suite.path("refused"), "synthetic", [], change=live(topic, misplaced="per_shard"))
        run = common.Result([suite.weir, "run", other.pipeline, "--brokers", b.address, "--lake", job.lake, "--store", job.store], limit=60)
        suite.claim("another meaning of the plan over accepted records is refused", run.refusal_fault("misplaced"))
        gone = common.Result([suite.weir, "run", other.pipeline, "--brokers", "127.0.0.1:9", "--lake", suite.path("none"), "--store", suite.path("none")])
        suite.claim("an unreachable broker is reported", gone.refusal_fault("broker"))


def away(suite):
    """The broker hangs for 12 s under a running worker, which continues by itself"""
    topic = TOPIC + "-away"
    with Broker({topic: PARTITIONS}) as b:
        if not b.process:
            return suite.note("not shown on an external cluster: a broker that hangs")
        job = common.Job(suite, suite.path("away"), "synthetic", [], change=live(topic, session="30s"))
        stream = Stream(suite, job, b.address, topic, 6000)
        stream.send(3000)
        worker = Worker(job, b.address).begin()
        b.process.send_signal(signal.SIGSTOP)
        time.sleep(12)
        b.process.send_signal(signal.SIGCONT)
        stream.send()
        suite.claim(away.__doc__, finish(job, stream, [worker]))


def restart(suite):
    """The broker goes away for 15 s, its connections cut and refused, and comes back: the worker continues by itself"""
    topic = TOPIC + "-restart"
    with Broker({topic: PARTITIONS}) as b:
        if not b.process:
            return suite.note("not shown on an external cluster: a broker that goes away")
        job = common.Job(suite, suite.path("restart"), "synthetic", [], change=live(topic, session="10s"))
        stream = Stream(suite, job, b.address, topic, 6000)
        stream.send(3000)
        worker = Worker(job, b.address).begin()
        broker.wait("it commits", lambda: broker.committed(job) > 0, 60)
        b.tell("down")
        time.sleep(15)
        b.tell("up")
        stream.send()
        suite.claim(restart.__doc__, finish(job, stream, [worker]))


def deleted(suite):
    """A topic that is deleted while it is read stops the worker with the broker's words and advice; what was committed stays"""
    topic = TOPIC + "-deleted"
    with Broker({topic: PARTITIONS}) as b:
        if not b.process:
            return suite.note("not shown on an external cluster: a topic is deleted")
        job = common.Job(suite, suite.path("deleted"), "synthetic", [], change=live(topic, options={}))
        stream = Stream(suite, job, b.address, topic, 3000)
        stream.send()
        worker = Worker(job, b.address).begin()
        broker.wait("all committed", lambda: broker.committed(job) >= len(stream.records) or not worker.is_running, 60)
        b.tell(f"delete {topic}")
        broker.wait("the worker ends", lambda: not worker.is_running, 120)
        # The words of librdkafka 2.0, and of 2.16.
        broker_says = f"cannot read: {topic} [" in worker.talk or f"Subscribed topic not available: {topic}:" in worker.talk
        is_refused = worker.process.returncode == 1 and broker_says and f"--accept-recreated {topic}" in worker.talk
        faults = [] if is_refused else [f"it ended with {worker.process.returncode}: {worker.talk}"]
        suite.claim(deleted.__doc__, faults + ([] if broker.committed(job) == len(stream.records) else [f"{broker.committed(job)} committed"])
                    + job.verify_faults())


def said_again(worker):
    """How often the log of a worker (in JSON) has each message of the Kafka client and each failure, ignoring numbers in them."""
    said = (e["message"].split("\n")[0] for e in worker.lines if e.get("event") in ("kafka", "trouble"))
    ours = re.compile(r", \d+ identical error\(s\) suppressed| \(and [\d,]+ more like it in the last \d+ s\)")
    return collections.Counter(re.sub(r"\d+", "#", ours.sub("", line)) for line in said)


def probed(suite):
    """The broker is unreachable for longer than all deadlines: /live stays 200, /ready says that the lanes were lost, and all is read when it is back"""
    from admin_answers_are_right import Watched
    topic, seconds = TOPIC + "-probed", 50 if suite.quick else 240
    with Broker({topic: PARTITIONS}) as b:
        if not b.process:
            return suite.note("not shown on an external cluster: a broker that is away for minutes")

        def job(silence):
            def change(spec):
                live(topic, group=f"{topic}-{silence}", silence=silence, options={})(spec)
                spec["worker"] = {"stall": "2s", "dead": "35s"}
            return common.Job(suite, suite.path(f"probed-{silence}"), "synthetic", [], change=change)
        # One keeps its client for the whole time, the other makes new ones; the third is stopped meanwhile.
        jobs, leaving = [job("1h"), job("12s")], job("2h")
        stream = Stream(suite, jobs[0], b.address, topic, 4000)
        stream.send(2000)
        workers, leaver = [Watched(j, b.address).begin() for j in jobs], Worker(leaving, b.address).begin()
        for j in (*jobs, leaving):
            broker.wait("all committed", lambda: broker.committed(j) >= len(stream.records), 60)
        b.tell("down")
        faults, answers = [], [[], []]
        time.sleep(12)
        drained = leaver.stop()
        for _ in range(2 * (seconds - 12)):
            for worker, said in zip(workers, answers):
                live_status, words = worker.ask("/live")
                faults += [] if live_status == 200 else [f"worker {worker.number}: /live {live_status}: {words}"]
                said.append(worker.ask("/ready"))
            time.sleep(0.5)
        for worker, said in zip(workers, answers):
            if said[-1][0] != 503 or [s for s, _ in said] != sorted(s for s, _ in said):
                faults.append(f"worker {worker.number}: /ready {said[::10]}")
        # Once at first, once a minute later; a kind may end and begin again.
        most, held = 2 + seconds // 60, [worker.metrics()["weir_log_lines_suppressed_total"][()] for worker in workers]
        often = [f"worker {w.number}: {n} times {line}" for w in workers for line, n in said_again(w).items() if n > most]
        suite.claim(f"what the log says again and again meanwhile it says {most} times at most; the metric counts what it left out",
                    often + ([] if any(held) else [f"left out: {held}"]))
        b.tell("up")
        stream.send()
        stream.close_windows()
        for j, worker in zip(jobs, workers):
            broker.wait("all records committed", lambda: broker.committed(j) >= len(stream.records) or not worker.is_running, 120)
            # Members that could not say goodbye stay in the group until their sessions end, so it may give partitions once more.
            broker.wait("ready again", lambda: worker.ask("/ready")[0] == 200 or not worker.is_running, 90)
            faults += worker.stop() + broker.faults(j, stream.records) + j.verify_faults()
        suite.claim(f"{probed.__doc__} ({seconds} s)", faults)
        told = [sorted({e["code"] for e in w.saw("trouble")}) for w in workers]
        between = [any('"between"' in words for _, words in said) for said in answers]
        suite.claim("one keeps its client, the other replaces it while the broker is unreachable, as source.kafka.silence says",
                    [] if "group_silent" not in told[0] and "group_silent" in told[1] and between == [False, True] else [f"{told}, {between}"])
        suite.claim("SIGTERM while the broker is away ends a worker with 0, within worker.drain", drained)
        suite.note(f"not ready: {sorted({words for said in answers for s, words in said if s == 503})}")


def large(suite):
    """Records of 10 MiB among small ones"""
    topic = TOPIC + "-large"
    with Broker({topic: 1}) as b:
        job = common.Job(suite, suite.path("large"), "synthetic", [], change=live(topic))
        stream = Stream(suite, job, b.address, topic, 1000)
        # Compressed: the mock keeps 5 MB of a partition.
        stream.producer = Producer(b.address, **{"message.max.bytes": 12_000_000, "compression.type": "zstd"})
        stream.send(500)
        worker = Worker(job, b.address).begin()
        for i in range(3):
            note = b"x" * ((10 << 20) - 100)
            stream.producer.send(topic, b'{"id":"large%d","user":"u","t":%d,"kind":"view","note":"%s"}' % (i, 6000 + i, note), b"u", timestamp=6000)
            stream.send(100)
        stream.producer.bytes = {}
        faults = finish(job, stream, [worker], partitions=1)
        suite.claim(large.__doc__, faults + [f"lost: {g}" for g in worker.saw("gap")])


def pattern(suite):
    """A pattern of topics, the producers' rule recognised: tables by user are merged over the topics, and equal the reference"""
    name = TOPIC + "-pattern"
    with Broker({f"{name}-a": 2, f"{name}-b": 3, f"other-{name}": 1}) as b:
        job = common.Job(suite, suite.path("pattern"), "synthetic", [], change=live(f"^{name}-[ab]$", group=name))
        stream = Stream(suite, job, b.address, f"{name}-a", 4000)
        worker = None
        while not stream.is_done:
            stream.topic = f"{name}-{'ab'[stream.at // 1000 % 2]}"
            stream.send(1000)
            worker = worker or Worker(job, b.address)
        for topic, partitions in ((f"{name}-a", 2), (f"{name}-b", 3)):
            stream.topic = topic
            stream.close_windows(partitions)
        faults = finish(job, stream, [worker], closing=False)
        read = sorted(worker.saw("assigned")[-1]["positions"])
        suite.claim(pattern.__doc__, faults + ([] if read == [f"{name}-a/{i}" for i in range(2)] + [f"{name}-b/{i}" for i in range(3)] else [f"it reads {read}"]))


def silent(suite):
    """The broker loses its answer to a worker that joins: the worker asks again by itself"""
    topic = TOPIC + "-silent"
    with Broker({topic: PARTITIONS}) as b:
        if not b.process:
            return suite.note("not shown on an external cluster: a coordinator that loses an answer")
        job = common.Job(suite, suite.path("silent"), "synthetic", [], change=live(topic, options={"debug": "cgrp,protocol"}))
        stream = Stream(suite, job, b.address, topic, 4000)
        stream.send(2000)
        faults = Worker(job, b.address).begin().stop()
        # The group waits 5 s for members now. While the broker sleeps, the time of the one that joins runs out, and the mock
        # forgets it together with what it still owes it.
        worker = Worker(job, b.address)
        broker.wait("it asks to join", lambda: "Sent JoinGroupRequest" in open(worker.err).read(), 60)
        b.process.send_signal(signal.SIGSTOP)
        time.sleep(7.5)
        b.process.send_signal(signal.SIGCONT)
        stream.send()
        faults += finish(job, stream, [worker])
        with open(worker.err) as f:
            asked = f.read().count("Sent JoinGroupRequest")
        suite.claim(silent.__doc__, faults + ([] if asked > 1 else ["it asked once: the answer was not lost, nothing is shown"]))


def idle(suite):
    """A partition without records goes idle by a decision, and the windows of the others land"""
    topic = TOPIC + "-idle"
    with Broker({topic: PARTITIONS + 1}) as b:
        job = common.Job(suite, suite.path("idle"), "synthetic", [], change=live(topic, misplaced="merge", idle="3s"))
        stream = Stream(suite, job, b.address, topic, 4000)
        # All into the first partitions; their reference knows no floors, so they must not go idle before the end.
        stream.producer = Producer(b.address, partitioner="random")
        for i, line in enumerate(stream.lines):
            stream.producer.send(topic, line, stream.key(line), timestamp=max(1, i * 20 - 300_000), partition=i % PARTITIONS)
        stream.at = len(stream.lines)
        stream.producer.flush()
        worker = Worker(job, b.address)
        faults = finish(job, stream, [worker], settle=lambda: any(
            d["kind"] == "idle" for e in job.entries() for lane in e["lanes"] if lane["lane"] == f"{topic}/{PARTITIONS}"
            for d in lane["decisions"]))
        suite.claim(idle.__doc__, faults)


def gap(suite):
    """Records that the broker dropped before they were read: a gap in the ledger, reported; the rest equals the reference"""
    topic = TOPIC + "-gap"
    with Broker({topic: 1}) as b:
        if not b.process:
            return suite.note("not shown on an external cluster: a trimmed partition")
        job = common.Job(suite, suite.path("gap"), "synthetic", [], change=live(topic))
        stream = Stream(suite, job, b.address, topic, 2000)
        stream.producer.client = Producer(b.address, **{"batch.num.messages": 100}).client
        stream.send()
        worker = Worker(job, b.address).begin()
        broker.wait("all committed", lambda: broker.committed(job) == len(stream.records), 60)
        faults = worker.stop()
        read = len(stream.records)
        filler = b'{"id":"f","user":"filler","t":1,"kind":"view","note":"' + b"x" * 2000 + b'"}'
        for _ in range(6000):           # 12 MB: more than the mock keeps
            stream.producer.send(topic, filler, b"filler", timestamp=1)
        stream.producer.flush()
        worker = Worker(job, b.address).begin()
        broker.wait("the gap is reported", lambda: worker.saw("gap") or not worker.is_running, 30)
        told = worker.saw("gap")
        faults += [] if told and told[0]["from"] == read else [f"told: {told}; {worker.talk}"]
        first = told[0]["to"] if told else 0
        stream.producer.records = [r for r in stream.records if r.offset < read or r.offset >= first]
        stream.producer.bytes = {}
        suite.claim(gap.__doc__, faults + finish(job, stream, [worker], partitions=1))
        suite.note(f"{first - read} of 6000 records were dropped by the broker")
        decisions = [d for e in job.entries() for lane in e["lanes"] for d in lane["decisions"]]
        suite.claim("the ledger names what was lost", [] if [(d["from"], d["to"]) for d in decisions if d["kind"] == "gap"] ==
                    [(str(read), str(first))] else str(decisions))


def deployments(suite):
    """A second deployment with a group of its own, by mistake: the ledger fences it, each record counts once"""
    topic = TOPIC + "-twice"
    with Broker({topic: PARTITIONS}) as b:
        job = common.Job(suite, suite.path("twice"), "synthetic", [], change=live(topic))
        other = common.Job(suite, suite.path("twice", "other"), "synthetic", [], change=live(topic, group="another"))
        other.lake, other.store = job.lake, job.store
        stream = Stream(suite, job, b.address, topic, 8000)
        stream.send(1000)
        workers = [Worker(job, b.address).begin(), Worker(other, b.address).begin()]
        while not stream.is_done:
            stream.send(500)
            time.sleep(0.3)
        stream.close_windows()
        broker.wait("all committed", lambda: broker.committed(job) >= len(stream.records), 120)
        fenced = sum(any(e["code"] in ("fenced", "state_fenced") for e in w.saw("trouble")) or w.process.poll() == 1 for w in workers)
        faults = [] if fenced else ["no worker was fenced"]
        for w in workers:
            faults += w.stop() if w.is_running else [] if "another worker committed" in w.talk else [f"worker {w.number} ended: {w.talk}"]
        faults += Worker(job, b.address).begin().stop()      # the remaining worker continues and exits cleanly
        suite.claim(deployments.__doc__, faults + broker.faults(job, stream.records) + job.verify_faults())


def shared(suite):
    """Two pipelines in one group, by mistake: each reports the other's name in its log, /ready, /lanes and metrics; the remaining one reads all"""
    from admin_answers_are_right import Watched, by
    topic = TOPIC + "-shared"
    with Broker({topic: PARTITIONS}) as b:
        def job(name):
            def change(spec):
                live(topic)(spec)
                spec["pipeline"] = name
            return common.Job(suite, suite.path(f"shared-{name}"), "synthetic", [], change=change)
        names = ["first", "second"]
        jobs = [job(name) for name in names]
        stream = Stream(suite, jobs[0], b.address, topic, 20_000)
        stream.send(1000)
        workers = [Watched(j, b.address).begin() for j in jobs]

        def said(worker):
            return [e["message"] for e in worker.saw("trouble") if e["code"] == "group_shared"]

        def all_said():
            stream.send(100)
            time.sleep(0.5)
            return all(said(w) for w in workers)
        broker.wait("both tell it", all_said, 120)
        faults = []
        for worker, other in zip(workers, reversed(names)):
            log = [e for e in worker.lines if e.get("code") == "group_shared"]
            faults += [f"{what}: {told}" for what, told in [
                ("the trouble", said(worker)[0]), ("the log", log[0]["message"] if log else ""), ("/ready", worker.ask("/ready")[1]),
                ("/lanes", str(worker.get("/lanes")[1].get("group_shared")))] if f"the pipeline {other}" not in told]
            faults += [] if len(log) == 1 else [f"the log has it {len(log)} times"]
            faults += [] if worker.ask("/ready")[0] == 200 else ["/ready is not 200"]
            faults += [] if by(worker.metrics(), "weir_errors_total", "code").get("group_shared") else ["weir_errors_total does not count it"]
        faults += workers[1].stop()
        stream.send()
        suite.claim(shared.__doc__, faults + finish(jobs[0], stream, workers[:1]))


def main():
    suite = common.Suite("live_workers_equal_reference", 1200, __doc__)
    suite.run(several, probed, merged, away, restart, one_worker, deployments, shared, silent, gap, deleted, refusals, large, pattern, idle, together=3)


if __name__ == "__main__":
    main()
