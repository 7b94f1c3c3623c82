#!/usr/bin/env python3
"""weir capture: what a reader of its own finds in a capture is what was sent, through kills; its replay gives the live run's rows, with --decisions its bytes."""
import atexit
import collections
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import time

import common
import broker
import contents
import live_workers_equal_reference as kafka
import live_capture
from broker import Broker, Producer, Worker
from common import compare, tables

TOPIC = f"captured-{os.getpid()}"
PARTITIONS = 4


class Capture:
    """A `weir capture` process."""

    number = 0
    all = []

    def __init__(self, suite, out, address, topic, *more, environment=None):
        self.out = out
        Capture.all.append(self)
        Capture.number += 1
        self.log = f"{out}-{Capture.number}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [suite.weir, "capture", "--out", out, "--brokers", address, "--topic", topic, "--json", "--flush", "50ms", *more],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    @property
    def is_running(self):
        return self.process.poll() is None

    @property
    def talk(self):
        with open(self.log) as f:
            return f.read().strip()[:600]

    def begin(self):
        """Waits until the directory is its own."""
        broker.wait("the capture begins", lambda: '"begun"' in self.talk or not self.is_running, common.PATIENCE)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self, seconds=common.PATIENCE):
        """Waits for its own end; faults."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return [f"the capture did not end within {seconds} s: {self.talk}"]
        return [f"the capture ended with {code}: {self.talk}"] if code else []

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def wait_for(self, count, seconds=60):
        broker.wait(f"{count} records captured", lambda: len(live_capture.records(self.out)) >= count or not self.is_running, seconds)


@atexit.register
def _none_stays():
    """A driver that fails leaves no running capture."""
    for capture in Capture.all:
        if hasattr(capture, "process") and capture.is_running:
            capture.kill()


def faults_of(directory, sent):
    """How the records of a capture differ from those that were sent."""
    try:
        headers, frames, torn = live_capture.read(directory)
    except Exception as e:
        return [f"{type(e).__name__}: {e}"]
    faults = [f"{torn} bytes at the end are no frame"] if torn else []
    found = [r for f in frames for r in f.records]
    faults += [f"{r.shard} at {r.offset} is there twice" for (r, n) in twice(found)]
    wanted = {(r.shard, r.offset): r for r in sent}
    for r in found:
        w = wanted.pop((r.shard, r.offset), None)
        if w is None:
            faults.append(f"{r.shard} at {r.offset} was never sent")
        elif (r.key, r.value, r.timestamp, r.headers) != (w.key, w.value, w.timestamp, w.headers):
            faults.append(f"{r.shard} at {r.offset}: {r}, sent {w}")
    faults += [f"{len(wanted)} records are missing, such as {next(iter(wanted))}"] if wanted else []
    kinds = {f.kind for f in frames if f.records}
    return faults + ([f"kinds of time: {kinds}"] if kinds != {"created"} else [])


def twice(records):
    seen = collections.Counter((r.shard, r.offset) for r in records)
    return [(r, seen[r.shard, r.offset]) for r in records if seen[r.shard, r.offset] > 1]


def odd_records(producer, topic, rng, first, count):
    """Records with everything that Kafka allows: no key, no value, an empty one, headers that repeat, null, binary."""
    for i in range(first, first + count):
        headers = [None, [("a", b"1"), ("a", None), ("b", bytes(range(256))), ("a", b"")], [("trace", b"%d" % i)]][i % 3]
        key = [None, b"", b"k%d" % (i % 50), bytes(rng.randrange(256) for _ in range(9))][i % 4]
        value = None if i % 17 == 3 else b"" if i % 17 == 5 else bytes(rng.randrange(256) for _ in range(rng.randrange(200)))
        producer.send(topic, value, key, timestamp=1_700_000_000_000 + i, headers=headers)
    producer.flush()


def kills(suite):
    """A capture that is killed at random: every record once, with key, value, headers, time, partition and offset as sent"""
    topic, rng = TOPIC + "-kills", random.Random(suite.arguments.seed)
    rounds = 6 if suite.quick else 30
    with Broker({topic: PARTITIONS}) as b:
        producer, out = Producer(b.address), suite.path("kills")
        capture = Capture(suite, out, b.address, topic, "--roll-bytes", "48KiB")
        for i in range(rounds):
            odd_records(producer, topic, rng, i * 700, 700)
            time.sleep(rng.random() * 0.5)
            capture.kill()
            capture = Capture(suite, out, b.address, topic, "--roll-bytes", "48KiB")
        capture.begin()
        second = Capture(suite, out, b.address, topic)
        busy = second.process.wait(common.PATIENCE)
        faults = [] if busy == 1 and "another process" in second.talk else [f"a second capture into it ended with {busy}"]
        odd_records(producer, topic, rng, rounds * 700, 700)
        capture.wait_for(len(producer.records))
        faults += capture.stop()
        suite.claim(f"{kills.__doc__} ({rounds} kills, {len(live_capture.segments(out))} segments)", faults + faults_of(out, producer.records))
        few = (len(live_capture.segments(out)) < 3) and ["it never rolled: the sizes of this driver show nothing"]
        suite.claim("segments are rolled by size", few or [])
        more = 100
        capture = Capture(suite, out, b.address, topic, "--count", str(len(producer.records) + more))
        odd_records(producer, topic, rng, (rounds + 1) * 700, 700)
        faults = capture.end()
        held = live_capture.records(out)
        wanted = len(producer.records) - 700 + more
        suite.claim("--count: the capture contains that number of records, none twice",
                    faults + ([] if len(held) == wanted and not twice(held) else [f"{len(held)}, expected {wanted}"]))
        capture = Capture(suite, out, b.address, topic, "--for", "2s")
        faults = capture.end()
        suite.claim("--for: it ends by itself, and has caught up", faults + faults_of(out, producer.records))
        torn(suite, out, producer.records, b.address, topic)


def torn(suite, out, sent, address, topic):
    """Tears, flips and misses."""
    last = live_capture.segments(out)[-1]
    with open(last, "ab") as f:
        f.write(b"WFRM" + os.urandom(300))
    capture = Capture(suite, out, address, topic, "--for", "1s")
    suite.claim("a write that was torn is cut off, and nothing is lost", capture.end() + faults_of(out, sent))


def recorded(suite, name, change, idle=False):
    """A live run and the capture of what it read. (job, records, capture's directory)"""
    topic = f"{TOPIC}-{name}"
    with Broker({topic: PARTITIONS}) as b:
        job = common.Job(suite, suite.path(name), "synthetic", [], change=kafka.live(topic, **change))
        out = suite.path(name + "-capture")
        capture = Capture(suite, out, b.address, topic, "--roll-bytes", "200KiB")
        stream = kafka.Stream(suite, job, b.address, topic, 12_000 if suite.quick else 40_000)
        if change.get("misplaced") == "merge":
            stream.producer = Producer(b.address, partitioner="random")
        stream.send(2000)
        worker = Worker(job, b.address).begin()
        while not stream.is_done:
            stream.send(2000)
            # Long enough that partitions go idle, and wake.
            time.sleep(2.5 if idle and stream.at % 4000 == 0 else 0.1)
        faults = kafka.finish(job, stream, [worker]) if not idle else ends(job, stream, worker)
        capture.wait_for(len(stream.records))
        faults += capture.stop() + faults_of(out, stream.records)
    suite.claim(f"{name}: the live run and its capture end well, the capture is what was sent", faults)
    return job, stream.records, out


def ends(job, stream, worker):
    """As kafka.finish, where floors of idle lanes leave the reference out."""
    stream.close_windows()
    broker.wait("all records committed", lambda: broker.committed(job) >= len(stream.records) or not worker.is_running, 120)
    return worker.stop()


def replay(job, directory, capture, *more):
    """A replay of the job's pipeline from a capture into a lake of its own."""
    again = common.Job.__new__(common.Job)
    again.__dict__.update(job.__dict__)
    again.directory, again.captures = directory, [capture]
    again.lake, again.store = os.path.join(directory, "lake"), os.path.join(directory, "store")
    os.makedirs(directory, exist_ok=True)
    return again, again.replay(*more)


def rows_differ(a, b):
    """Two lakes' rows without the id of the run."""
    out = []
    for name in sorted({*tables.delta_tables(a.lake), *tables.delta_tables(b.lake)}):
        x, y = tables.read_delta(a.lake, name), tables.read_delta(b.lake, name)
        if "_run_id" in x.schema.names:
            x, y = x.drop_columns(["_run_id"]), y.drop_columns(["_run_id"])
        out += [f"{name}: {f}" for f in compare.row_faults(x, y)]
    return out


def same_rows(suite):
    """The replay of a capture: rows, counts and state equal the reference and the live run"""
    job, records, out = recorded(suite, "halt", {})
    again, run = replay(job, suite.path("halt-replay"), out, "--keep-open")
    suite.claim(same_rows.__doc__, run.fault() + rows_differ(job, again) + broker.faults(again, records) + again.verify_faults())
    shards = {s for s in tables.read_delta(again.lake, "bronze/synthetic")["_shard"].to_pylist()}
    suite.claim("each recorded partition is a shard of its own", [] if len(shards) == PARTITIONS else [str(shards)])
    half, _ = replay(job, suite.path("halt-kills"), out, "--keep-open", "--json")
    half.clear()
    killed = 0
    for _ in range(4):
        process = half.start("--keep-open")
        time.sleep(0.05 + suite.random.random() * 0.4)
        killed += process.poll() is None
        process.kill()
        process.communicate()
    run = half.replay("--keep-open")
    suite.claim(f"a replay of it that is killed ends with the same rows and entries ({killed} kills)",
                run.fault() + rows_differ(again, half) + entries_differ(again, half))
    closed, run = replay(job, suite.path("halt-closed"), out)
    more = run.fault() + [] if run.done.get("end") == "finished" else [f"it ended as {run.done.get('end')}"]
    # As if it had been killed between the entry that closes the lanes and the merge lane's after it, which contains their windows.
    last = max(e["number"] for e in closed.entries())
    merged = [lane["lane"] for lane in closed.entries()[-1]["lanes"]] == ["_merge"]
    cut, _ = replay(job, suite.path("halt-cut"), out, "--json")
    os.unlink(os.path.join(cut.lake, "_weir", cut.name, "ledger", f"{last:020}.json"))
    # A run that ends writes a snapshot of the ledger; one that is killed before its last entry has not written it.
    for snapshot in glob.glob(os.path.join(cut.lake, "_weir", cut.name, "snapshot*", f"{last:020}*")):
        os.unlink(snapshot)
    shutil.rmtree(os.path.join(cut.lake, "_weir", cut.name, "pointers"))
    # The tables have the entry that is gone.
    restored = common.Result([suite.weir, "ledger", "restore-tables", cut.pipeline, "--lake", cut.lake])
    again_cut = cut.replay()
    suite.claim("killed between its last two entries it makes the last one again",
                ([] if restored.code == 0 else [restored.talk]) + ([] if merged else ["the last entry is not the merge lane's"]) + again_cut.fault() + entries_differ(closed, cut) + rows_differ(closed, cut))
    unchanged = closed.replay()
    suite.claim("without --keep-open its windows are closed, and a second replay changes nothing",
                more + ([] if unchanged.done.get("end") == "unchanged" else [f"{unchanged.done}"]) + closed.verify_faults())
    decisions(suite, "halt", job, out)
    damage(suite, job, out)


def entries_differ(a, b):
    x, y = ([[(lane["lane"], lane["from"], lane["to"]) for lane in e["lanes"]] for e in j.entries()] for j in (a, b))
    return [] if x == y else [f"{len(x)} and {len(y)} entries, the first that differs: {next((p for p in zip(x, y) if p[0] != p[1]), None)}"]


def decisions(suite, name, job, out):
    """With --decisions: entry for entry the same bytes, also if the replay is killed."""
    again, run = replay(job, suite.path(name + "-decisions"), out, "--decisions", job.lake)
    # Two replays of one ledger, one with kills.
    wanted, found = contents.data_files(job), contents.data_files(again)
    faults = run.fault() + again.verify_faults()
    faults += [] if wanted == found and wanted else [f"only live: {list(wanted - found)[:3]}", f"only in the replay: {list(found - wanted)[:3]}"]
    faults += [] if contents.file_bytes(job) == contents.file_bytes(again) else ["the bytes of the data files differ"]
    faults += entries_differ(job, again)
    ids = [{r for r in tables.read_delta(j.lake, "bronze/synthetic")["_run_id"].to_pylist()} for j in (job, again)]
    faults += [] if ids[0] == ids[1] and len(ids[0]) == 1 else [f"ids of the runs: {ids}"]
    kinds = collections.Counter(d["kind"] for e in job.entries() for lane in e["lanes"] for d in lane["decisions"])
    suite.claim(f"{name}: --decisions makes the live run's {len(job.entries())} entries and {sum(wanted.values())} data files again, byte for byte, "
                f"with its run's id ({dict(kinds)})", faults)
    half, _ = replay(job, suite.path(name + "-decisions-kills"), out, "--decisions", job.lake, "--json")
    half.clear()
    for _ in range(4):
        process = half.start("--decisions", job.lake)
        time.sleep(0.05 + suite.random.random() * 0.5)
        process.kill()
        process.communicate()
    run = half.replay("--decisions", job.lake)
    suite.claim(f"{name}: also if it is killed on the way",
                run.fault() + ([] if contents.data_files(half) == wanted else ["data files differ"]) + entries_differ(job, half))


def decided(suite):
    """Merged tables, partitions that go idle and wake: --decisions repeats what time decided"""
    job, _, out = recorded(suite, "merge", {"misplaced": "merge", "idle": "1s"}, idle=True)
    kinds = {d["kind"] for e in job.entries() for lane in e["lanes"] for d in lane["decisions"]}
    suite.claim("the live run had decisions of its own to repeat", [] if {"idle", "wake"} <= kinds else [f"only {kinds}"])
    decisions(suite, "merge", job, out)


def shared(suite):
    """Two workers, partitions that go idle: --decisions finishes their windows in the entries of the live run"""
    topic, partitions = f"{TOPIC}-shared", 8
    with Broker({topic: partitions}) as b:
        def change(spec):
            kafka.live(topic, idle="1s")(spec)
            spec["lake"]["flush"]["every"] = "100ms"
        job = common.Job(suite, suite.path("shared"), "synthetic", [], change=change)
        out = suite.path("shared-capture")
        capture = Capture(suite, out, b.address, topic)
        stream = kafka.Stream(suite, job, b.address, topic, 12_000)
        stream.send(400)
        workers = [Worker(job, b.address).begin(), Worker(job, b.address).begin()]
        began = time.monotonic()
        # Few at a time: most partitions are idle at any moment, with open windows.
        while time.monotonic() - began < (15 if suite.quick else 40):
            stream.at += 60
            stream.send(6)
            time.sleep(0.25)
        stream.close_windows(partitions)
        broker.wait("all records committed", lambda: broker.committed(job) >= len(stream.records) or not any(w.is_running for w in workers), 120)
        faults = [fault for worker in workers for fault in worker.stop()]
        faults += Worker(job, b.address).begin().stop()
        capture.wait_for(len(stream.records))
        faults += capture.stop()
    lanes = [lane for e in job.entries() for lane in e["lanes"]]
    floors = [lane for lane in lanes if "floor" in lane]
    writers = {e["worker"] for e in job.entries()}
    suite.claim(f"two workers write entries, {len(floors)} epochs finish windows of idle partitions",
                faults + ([] if len(writers) > 2 and floors else [f"workers {writers}, {len(floors)} floors"]))
    decisions(suite, "shared", job, out)


def damage(suite, job, out):
    """A flipped byte, a missing segment, other files and pipelines are refused with a message."""
    bad = suite.path("damaged")
    rng = random.Random(suite.arguments.seed)
    paths = live_capture.segments(out)

    def broken(text, change, *words):
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(out, bad)
        change()
        shutil.rmtree(suite.path("refused"), ignore_errors=True)
        _, run = replay(job, suite.path("refused"), bad, "--keep-open")
        suite.claim(text, run.refusal_fault(*words))

    def flip():
        path = os.path.join(bad, os.path.basename(paths[0]))
        with open(path, "r+b") as f:
            at = rng.randrange(os.path.getsize(path) // 2, os.path.getsize(path))
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 1 << rng.randrange(8)]))
    for _ in range(2 if suite.quick else 20):
        broken("a capture with one flipped bit is refused by name", flip, "damaged")
    broken("a capture without one of its segments is refused", lambda: os.unlink(os.path.join(bad, os.path.basename(paths[1]))), "missing")
    plain = common.Job(suite, suite.path("plain"), "synthetic", [])
    _, run = replay(plain, suite.path("plain"), out)
    suite.claim("a pipeline for plain captures refuses it, with advice", run.refusal_fault("kafka"))
    shutil.rmtree(bad, ignore_errors=True)
    shutil.copytree(out, bad)
    for path in live_capture.segments(bad)[2:]:
        os.unlink(path)
    _, run = replay(job, suite.path("short"), bad, "--decisions", job.lake)
    suite.claim("--decisions of a run that read more than the capture holds is refused", run.refusal_fault("capture"))


OTHERS = """pipeline: others
source: {kafka: {brokers: {env: BROKERS}, topic: %s, group: others}}
record: {key: k, time: {field: t, out_of_order: 1s}, fields: {k: string!, n: int64!, t: timestamp_ms!}}
silver: {}
lake: {flush: {every: 200ms}}
"""


def others(suite):
    """--decisions of a capture with other records: another last record of an entry is refused, other files are reported"""
    topic, count = TOPIC + "-others", 200
    file = suite.path("others.yaml")
    with open(file, "w") as f:
        f.write(OTHERS % topic)

    def weir(address, *arguments):
        return subprocess.Popen([suite.weir, *arguments], env={**os.environ, "BROKERS": address}, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def send(address, changed=None):
        producer = Producer(address)
        for i in range(count):
            value = {"k": "k", "n": i + (1000 if i == changed else 0), "t": 1_700_000_000_000 + i}
            producer.send(topic, json.dumps(value).encode(), b"k", timestamp=1_700_000_000_000 + i)
        producer.flush()

    def rows(lake):
        return tables.read_delta(lake, "silver/" + topic).num_rows if tables.is_table(os.path.join(lake, "silver", topic)) else 0
    live = suite.path("others-live")
    with Broker({topic: 1}) as b:
        send(b.address)
        worker = weir(b.address, "run", file, "--lake", live)
        broker.wait("the live run has its records", lambda: rows(live) == count or worker.poll() is not None, common.PATIENCE)
        worker.terminate()
        worker.communicate(timeout=common.PATIENCE)
    faults = []
    for name, changed in (("same", None), ("middle", count // 2), ("last", count - 1)):
        out = suite.path("others-" + name)
        with Broker({topic: 1}) as b:
            send(b.address, changed)
            faults += Capture(suite, out, b.address, topic, "--count", str(count)).end()
        def repeat(lake, *more):
            run = weir("localhost:1", "replay", file, "--capture", out, "--lake", suite.path(lake), "--decisions", live, *more)
            return run, *run.communicate(timeout=common.PATIENCE)
        run, done, talk = repeat("others-lake-" + name, "--json")
        last = json.loads(done.strip().split("\n")[-1]) if done.strip() else {}
        if name == "last":
            if run.returncode != 1 or f"position {count - 1} of {topic}/0" not in talk:
                faults.append(f"another last record: exit {run.returncode}, {talk[-300:]}")
        elif run.returncode or bool(last.get("other_entries")) != (name == "middle"):
            faults.append(f"{name}: exit {run.returncode}, {last.get('other_entries')} entries with other files, {talk[-300:]}")
        else:
            run, _, talk = repeat("others-text-" + name)
            if run.returncode or ("have other bytes" in talk) != (name == "middle"):
                faults.append(f"{name}, in words: exit {run.returncode}, {talk[-300:]}")
    suite.claim(others.__doc__, faults)


def grown(suite):
    """A capture that grows between replays with --keep-open: the same rows as one replay of all of it"""
    topic = f"{TOPIC}-grown"
    with Broker({topic: PARTITIONS}) as b:
        job = common.Job(suite, suite.path("grown"), "synthetic", [], change=kafka.live(topic))
        out = suite.path("grown-capture")
        stream = kafka.Stream(suite, job, b.address, topic, 1500)
        faults, again = [], None
        # The first parts are shorter than what a capture is known by.
        for count in (1, 40, 700, 759):
            stream.send(count)
            # The pattern fits the same topic: each partition is captured once.
            faults += Capture(suite, out, b.address, topic, "--topic", f"^{topic}$", "--count", str(stream.at)).end()
            again, run = replay(job, suite.path("grown-replay"), out, "--keep-open")
            faults += run.fault() + ([] if broker.committed(again) == stream.at else [f"{broker.committed(again)} of {stream.at} records are in the ledger"])
        once, run = replay(job, suite.path("grown-once"), out, "--keep-open")
    suite.claim(grown.__doc__, faults + run.fault() + rows_differ(again, once) + broker.faults(again, stream.records))


def trimmed(suite):
    """Positions that the broker deleted before they were captured are recorded as lost, and a damaged segment is set aside when its capture is resumed"""
    topic = f"{TOPIC}-trimmed"
    with Broker({topic: 1}) as b:
        if not b.process:
            return suite.note("not shown on an external cluster: records trimmed before they were captured")
        producer, out = Producer(b.address), suite.path("trimmed")

        def send(count):
            for _ in range(count):
                producer.send(topic, os.urandom(500), b"k", partition=0)
            producer.flush()
        send(2000)
        faults = Capture(suite, out, b.address, topic, "--count", "2000").end()
        path = live_capture.segments(out)[0]
        with open(path, "rb") as f:
            whole = f.read()
        with open(path, "wb") as f:
            f.write(whole[:len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1:])
        send(20_000)                                    # more than the broker keeps
        capture = Capture(suite, out, b.address, topic, "--for", "2s")
        faults += capture.end() + ([] if "DAMAGED" in capture.talk and "LOST" in capture.talk else [f"not told: {capture.talk}"])
        kept = [os.path.join(out, name) for name in os.listdir(out) if name.startswith("damaged-")]
        with open(path, "rb") as f:
            left = f.read()
        rest = open(kept[0], "rb").read() if kept else b""
        at = len(whole) - len(rest)
        faults += [] if kept and rest[len(whole) // 2 - at + 1:] == whole[len(whole) // 2 + 1:] and left[:at] == whole[:at] else ["what was captured is gone"]
        _, frames, _ = live_capture.read(out)
        held = {r.offset for f in frames for r in f.records}
        lost = {o for f in frames if f.lost for o in range(f.first, f.next)}
        sent = {r.offset for r in producer.records}
        faults += [] if lost and not held & lost and held | lost == sent else [f"{len(held)} held, {len(lost)} lost, {len(sent)} sent"]
    suite.claim(trimmed.__doc__, faults)


def background(suite):
    """The test broker that a script starts in the background stays, and ends with the pipe that it was given"""
    shell = subprocess.run(["sh", "-c", f"{broker.MOCK} mock-kafka --topic a:1 > {suite.path('address')} & sleep 1; kill -0 $! && kill $!"], capture_output=True, text=True)
    piped = subprocess.run([broker.MOCK, "mock-kafka", "--topic", "a:1"], input="", capture_output=True, text=True, timeout=30)
    suite.claim(background.__doc__, ([] if shell.returncode == 0 else [f"it was gone after a second: {shell.stderr}"])
                + ([] if piped.returncode == 0 and piped.stdout else ["it did not end with its pipe"]))


def main():
    suite = common.Suite("captures_are_exact", 600, __doc__)
    suite.run(kills, same_rows, decided, shared, others, grown, trimmed, background)


if __name__ == "__main__":
    main()
