#!/usr/bin/env python3
"""weir load: the schedule is kept whatever brokers and workers do, every record says when it was due, and what is lost or comes twice is found."""
import html.parser
import json
import os
import re
import signal
import subprocess
import threading
import time

import common
import broker
import live_capture
from broker import Broker, Worker

import confluent_kafka as ck

TOPIC = f"loaded-{os.getpid()}"
PARTITIONS = 4


def start(suite, address, *more):
    return subprocess.Popen([suite.weir, "load", "--brokers", address, "--json", *more], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process, seconds=3 * common.PATIENCE):
    """(its result, its exit code, what it said)"""
    out, err = process.communicate(timeout=seconds)
    lines = [line for line in out.strip().split("\n") if line]
    return (json.loads(lines[-1]) if lines else {}), process.returncode, err.strip()[-500:]


def load(suite, address, *more):
    return ended(start(suite, address, *more))


def read_back(address, topic, count):
    """The contents of the topic: {partition: [messages in order]}."""
    consumer = ck.Consumer({"bootstrap.servers": address, "group.id": "reader", "enable.auto.commit": False, "log_level": 2})
    consumer.assign([ck.TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    found, end = {p: [] for p in range(PARTITIONS)}, time.monotonic() + 60
    while sum(map(len, found.values())) < count and time.monotonic() < end:
        for m in consumer.consume(10_000, 1):
            if not m.error():
                found[m.partition()].append(m)
    consumer.close()
    return found


class Sent:
    """A record of a load, by what it says of itself."""

    def __init__(self, message):
        value = json.loads(message.value())
        run, a, b, c, number = value["event_id"].split("-")
        self.run, self.us, self.number = run, int(a + b + c, 16), int(number, 16)
        self.time, self.key, self.user = value["event_time"], message.key().decode(), value["user_id"]


def faults_of(found, count, due, tolerance=10):
    """How a load differs from its plan. due: the function that says how many records are due after a number of seconds."""
    faults, all = [], []
    for partition, messages in found.items():
        sent = [Sent(m) for m in messages]
        if any(a.number >= b.number for a, b in zip(sent, sent[1:])):
            faults.append(f"partition {partition} is not in the order of sending")
        wrong = [s for s in sent if s.key != s.user or broker.partition_of(s.key.encode(), PARTITIONS) != partition]
        faults += [f"{wrong[0].key} is in partition {partition}"] if wrong else []
        all += sent
    numbers = sorted(s.number for s in all)
    faults += [] if numbers == list(range(count)) else [f"{len(numbers)} records, {len(set(numbers))} different, expected {count}"]
    faults += [] if len({s.run for s in all}) == 1 else ["several runs"]
    begun = {s.time - s.us // 1000 for s in all}
    faults += [] if len(begun) == 1 else [f"event times and ids do not agree: {begun}"]
    # Record n (from 1) is due when n are: a moment before there are fewer, a moment after at least as many.
    late = [s for s in all if due((s.us - tolerance) / 1e6) > s.number + 1 + 1e-6 or due((s.us + tolerance) / 1e6) < s.number + 1 - 1e-6]
    faults += [f"{len(late)} records have another time than the plan says, such as {vars(late[0])}"] if late else []
    return faults


def plans(suite):
    """Rates, ramps, bursts and steps: each record is sent once, to its partition, in order, and says when it was due by the plan"""
    cases = [
        (["--rate", "15000/s", "--for", "2s"], 30_000, lambda t: 15_000 * t),
        (["--rate", "9000/s", "--count", "10000", "--stream", "ad-events", "--skew", "0.9", "--seed", "7"], 10_000, lambda t: 9_000 * t),
        (["--plan", "ramp:1000..20000/s,2s"], 21_000, lambda t: 1000 * t + 9500 * t * t / 2),
        (["--plan", "step:2000,8000/s,1s"], 10_000, lambda t: 2000 * t if t < 1 else 2000 + 8000 * (t - 1)),
        (["--plan", "burst:1000..20000/s,1s,250ms,2s"], 11_500,
         lambda t: 1000 * min(t, 0.75) + 20_000 * min(max(t - 0.75, 0), 0.25) + 1000 * min(max(t - 1, 0), 0.75) + 20_000 * max(t - 1.75, 0)),
    ]
    for options, count, due in cases if not suite.quick else cases[:1] + cases[2:3] + cases[4:]:
        topic = f"{TOPIC}-{abs(hash(tuple(options))) % 10_000}"
        with Broker({topic: PARTITIONS}) as b:
            done, code, talk = load(suite, b.address, "--topic", topic, *options)
            found = read_back(b.address, topic, count)
            faults = faults_of(found, count, due, tolerance=60)
            faults += [] if code == 0 and done.get("sent") == done.get("delivered") == count and done["ok"] else [f"{code} {done} {talk}"]
            suite.claim(f"{' '.join(options)}: {count} records, each once, in order, at its partition, due when the plan says", faults)


def hang(suite):
    """A broker that hangs for two seconds does not change the schedule, which waits for nothing"""
    topic = TOPIC + "-hang"
    with Broker({topic: PARTITIONS}) as b:
        if not b.process:
            return suite.note("not shown on an external cluster: a broker that hangs")
        process = start(suite, b.address, "--topic", topic, "--rate", "5000/s", "--for", "5s")
        time.sleep(1.5)
        b.process.send_signal(signal.SIGSTOP)
        time.sleep(2)
        b.process.send_signal(signal.SIGCONT)
        done, code, talk = ended(process)
        faults = [] if code == 0 else [f"{code} {done} {talk}"]
        faults += faults_of(read_back(b.address, topic, 25_000), 25_000, lambda t: 5000 * t, tolerance=60)
        suite.claim(hang.__doc__, faults)


def job(suite, name, topic, change=lambda spec: None):
    """ads-q2 live, with a gold table that counts everything."""
    def make(spec):
        spec["source"] = {"kafka": {"brokers": "127.0.0.1:1", "topic": topic, "group": topic, "session": "6s"}}
        spec["gold"] = {"types": {"by": ["event_type"], "window": {"tumbling": "1s"}, "measure": {"n": "count()"}}}
        spec["record"]["time"]["out_of_order"] = "0s"
        spec["lake"] = {"flush": {"every": "500ms"}}
        spec["store"] = {"flush": "50ms", "share": "50%"}
        change(spec)
    return common.Job(suite, suite.path(name), "ads-q2", [], change=make)


def verify(suite, b, job, *more):
    return start(suite, b.address, "--verify", job.pipeline, "--lake", job.lake, "--store", job.store, "--settle", f"{common.PATIENCE}s", *more)


def verified(suite):
    """--verify: everything visible, nothing lost, twice or out of order; a worker that sleeps shows in the latency of all records that wait"""
    topic = TOPIC + "-verified"
    with Broker({topic: PARTITIONS}) as b:
        j = job(suite, "verified", topic)
        worker = Worker(j, b.address).begin()
        page = suite.path("report.html")
        process = verify(suite, b, j, "--rate", "4000/s", "--for", "8s", "--html", page)
        broker.wait("records are committed", lambda: broker.committed(j) > 0, 60)
        worker.pause()
        time.sleep(2)
        worker.wake()
        done, code, talk = ended(process)
        checks = {c["place"]: c for c in done.get("checks", [])}
        faults = [] if code == 0 and done["ok"] and done["settled"] else [f"{code} {done} {talk}"]
        faults += [] if done["latency_ms"]["records"] == 32_000 else [f"latency of {done['latency_ms']['records']} records"]
        faults += [] if done["samples"]["rows"] > 0 and checks["state/user_totals"]["checked"] > 1000 and checks["gold/types"]["checked"] > 0 \
            and checks[f"topic/{topic}"]["checked"] == 32_000 else [f"little was looked at: {done}"]
        suite.claim("--verify: everything that was sent is visible; state, gold and topic hold it once and in order", faults)
        latency = done["latency_ms"]
        # A quarter of the records were due while no worker ran: those of the first half of it waited for more than a second.
        suite.claim("a worker that slept for two seconds is in the figures of every record that waited, not of one",
                    [] if latency["max"] > 1900 and latency["p90"] > 900 else [str(latency)])
        suite.note(f"latency {latency}")
        suite.claim("the report is one file with its charts inside", page_faults(page))
        # What is compared needs another load: no latency is below a microsecond.
        done, code, talk = ended(verify(suite, b, j, "--rate", "4000/s", "--for", "2s", "--max-p99", "1us"))
        suite.claim("a p99 above --max-p99 fails, and nothing else does",
                    [] if code == 1 and done["verdict"] == "FAIL" and [f for f in done["faults"] if "--max-p99" not in f] == [] and done["faults"]
                    else [f"{code} {done} {talk}"])
        suite.claim("the worker ends well", worker.stop() + j.verify_faults())


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href")]


def page_faults(path):
    with open(path) as f:
        text = f.read()
    page = Page()
    page.feed(text)
    faults = [f"it loads {page.links}"] if page.links or "url(" in text or re.search(r"https?://", text) else []
    return faults + ([] if page.tags.count("svg") >= 3 and page.tags.count("polyline") >= 5 else [f"tags: {page.tags[-20:]}"])


def planted(suite):
    """What a pipeline loses, and what comes twice, is found"""
    topic = TOPIC + "-planted"
    with Broker({topic: PARTITIONS}) as b:
        j = job(suite, "planted", topic, lambda spec: spec.update(checks=[{"name": "some", "that": "amount >= 1.00", "else": "drop"}]))
        worker = Worker(j, b.address).begin()
        done, code, talk = ended(verify(suite, b, j, "--rate", "8000/s", "--for", "3s", "--templates", "20000"))
        lost = {c["place"]: c["lost"] for c in done.get("checks", [])}
        suite.claim("records that the pipeline drops are counted as lost, in state and gold, and the exit code is 1",
                    [] if code == 1 and not done["ok"] and lost.get("state/user_totals", 0) > 0 and lost[f"topic/{topic}"] == 0 else [f"{code} {done} {talk}"])
        other = start(suite, b.address, "--topic", topic, "--rate", "4000/s", "--for", "3s")
        done, code, talk = ended(verify(suite, b, j, "--rate", "4000/s", "--for", "3s"))
        ended(other)
        twice = {c["place"]: c["duplicate"] for c in done.get("checks", [])}
        suite.claim("records that another producer adds are detected",
                    [] if code == 1 and (twice.get("state/user_totals", 0) > 0 or not done["settled"]) else [f"{code} {done} {talk}"])
        with Echo(b.address, topic) as echo:
            done, code, talk = ended(verify(suite, b, j, "--rate", "2000/s", "--for", "3s"))
        found = {c["place"]: (c["lost"], c["duplicate"]) for c in done.get("checks", [])}.get(f"topic/{topic}", (0, 0))
        suite.claim(f"records that are in the topic twice are counted as that, and none as lost ({echo.repeated} sent again)",
                    [] if code == 1 and echo.repeated and found[0] == 0 and 0 < found[1] <= echo.repeated else [f"{found} {code} {done} {talk}"])
        suite.claim("the worker ends well", worker.stop())


class Echo:
    """Sends each fiftieth record of a topic once more, as a producer does that repeats without being idempotent."""

    def __init__(self, address, topic):
        self.repeated, self.topic, self.is_done = 0, topic, threading.Event()
        self.producer = ck.Producer({"bootstrap.servers": address, "log_level": 2})
        self.consumer = ck.Consumer({"bootstrap.servers": address, "group.id": "echo", "log_level": 2})
        self.consumer.assign([ck.TopicPartition(topic, p, self.consumer.get_watermark_offsets(ck.TopicPartition(topic, p), 30)[1])
                              for p in range(PARTITIONS)])
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        seen, count = set(), 0
        while not self.is_done.is_set():
            for message in self.consumer.consume(100, 0.1):
                if message.error() or message.value() in seen:
                    continue
                count += 1
                if count % 50 == 0:
                    seen.add(message.value())
                    self.producer.produce(self.topic, message.value(), message.key(), partition=message.partition())
                    self.repeated += 1
        self.producer.flush(30)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_done.set()
        self.thread.join()
        self.consumer.close()


def playback(suite):
    """A capture played into another topic at four times its speed: the same records at the same partitions"""
    topic, other = TOPIC + "-recorded", TOPIC + "-played"
    with Broker({topic: PARTITIONS, other: PARTITIONS}) as b:
        load(suite, b.address, "--topic", topic, "--rate", "2000/s", "--for", "4s")
        out = suite.path("capture")
        run = common.Result([suite.weir, "capture", "--brokers", b.address, "--topic", topic, "--out", out, "--count", "8000"])
        begun = time.monotonic()
        done, code, talk = load(suite, b.address, "--topic", other, "--capture", out, "--speed", "4x")
        took = time.monotonic() - begun
        played = [(m.partition(), m.offset(), m.key(), m.value()) for ms in read_back(b.address, other, 8000).values() for m in ms]
        recorded = [(r.partition, r.offset, r.key, r.value) for r in live_capture.records(out)]
        faults = [] if run.code == 0 and code == 0 and sorted(played) == sorted(recorded) and len(played) == 8000 else [f"{run.talk} {code} {done} {talk}"]
        faults += [] if took > 0.9 else [f"4 s at four times their speed took {took:.2f} s"]
        suite.claim(playback.__doc__, faults)


def refusals(suite):
    """Wrong command lines are refused with advice"""
    for options, word in [(["--plan", "ramp:1..2"], "plan"), (["--rate", "5/s"], "--topic"), (["--topic", "x", "--rate", "10/s", "--plan", "step:1/s,1s"], "--plan"),
                          (["--topic", "x", "--capture", suite.directory], "capture")]:
        run = common.Result([suite.weir, "load", "--brokers", "127.0.0.1:9", *options])
        suite.claim(f"weir load {' '.join(options)[:40]} is refused", run.refusal_fault(word, "broker"))


def main():
    suite = common.Suite("loads_keep_schedule", 400, __doc__)
    suite.run(plans, hang, verified, planted, playback, refusals)


if __name__ == "__main__":
    main()
