"""A broker for the drivers: librdkafka's mock cluster as a process (weir mock-kafka), or the cluster of WEIR_TEST_KAFKA=host:port.

Also a producer that knows where every record went, for references, and workers as processes.
"""
import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import common
import live
from murmur2 import murmur2

try:
    import confluent_kafka
    import confluent_kafka.admin
except ModuleNotFoundError as e:
    sys.exit(f"{e.name} is missing. Run Scripts/setup --tests, and this with .build/venv/bin/python.")

RETAINED = 4_500_000        # bytes a partition that the mock surely keeps
DELAY = 100                 # ms, of each answer: see weir mock-kafka --help
# The binary whose `mock-kafka` is the broker.
MOCK = os.environ.get("WEIR_MOCK_KAFKA") or os.path.join(common.ROOT, ".build", "release", "weir")


class Ended(RuntimeError):
    """The broker ended by itself: the run shows nothing."""


class Broker:
    """A running broker with some topics."""

    def __init__(self, topics, environment=None):
        """topics: {name: partitions}; environment: of the test broker"""
        self.process = None
        self.address = os.environ.get("WEIR_TEST_KAFKA")
        if self.address:
            admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": self.address})
            made = admin.create_topics([confluent_kafka.admin.NewTopic(t, n, 1) for t, n in topics.items()])
            for future in made.values():
                future.result(30)
            return
        if not os.access(MOCK, os.X_OK):
            sys.exit(f"there is no broker {MOCK}: build it with  swift build -c release --product weir, or name one with WEIR_MOCK_KAFKA")
        arguments = [a for t, n in topics.items() for a in ("--topic", f"{t}:{n}")]
        # Without a backtrace: a broker that aborts is gone at once.
        self.process = subprocess.Popen([MOCK, "mock-kafka", "--delay", str(DELAY), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**(environment or os.environ), "SWIFT_BACKTRACE": "enable=no"})
        self.address = self.process.stdout.readline().strip()
        if not self.address:
            raise RuntimeError("the broker did not start")

    def tell(self, command):
        """down: all connections are cut and none is accepted; up; delete TOPIC: it no longer exists."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def check(self):
        """An error if the broker has ended: the run shows nothing then."""
        if self.process and self.process.poll() is not None:
            raise Ended(f"the test broker ended by itself with {self.process.returncode}")

    def close(self):
        if self.process:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Producer:
    """Sends records and keeps, for the reference, where each went."""

    def __init__(self, address, partitioner="murmur2_random", **options):
        self.records, self.failed = [], []
        self.bytes = {}
        self.client = confluent_kafka.Producer({
            "bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 5, "partitioner": partitioner,
            "log_level": 2, "queue.buffering.max.messages": 1_000_000, **options})

    def send(self, topic, value, key=None, timestamp=None, partition=-1, headers=None):
        timestamp = timestamp or int(time.time() * 1000)

        def report(error, message):
            if error:
                self.failed.append(str(error))
                return
            at = message.partition()
            self.bytes[at] = self.bytes.get(at, 0) + len(value or b"") + len(key or b"") + 20
            self.records.append(live.Record(topic, at, message.offset(), value, key, timestamp, headers))
        while True:
            try:
                self.client.produce(topic, value, key, partition=partition, timestamp=timestamp, headers=headers, on_delivery=report)
                break
            except BufferError:
                self.client.poll(0.1)
        self.client.poll(0)

    def flush(self):
        left = self.client.flush(60)
        if left or self.failed:
            raise RuntimeError(f"{left} records not delivered, {len(self.failed)} failed: {self.failed[:3]}")
        return self

    def trimmed(self, address):
        """Partitions of which the broker has not kept everything: a run over them shows nothing."""
        if os.environ.get("WEIR_TEST_KAFKA"):
            return []
        return [f"partition {p}: {n} bytes, more than the mock broker keeps" for p, n in self.bytes.items() if n > RETAINED]


def partition_of(key, partitions):
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def patient(pipeline):
    """Lets a worker of this pipeline take its time to end, where the pipeline does not say: on a busy machine 25 s are soon over."""
    with open(pipeline) as f:
        text = f.read()
    spec = common.yaml.safe_load(text)
    if "drain" in (spec.get("worker") or {}):
        return
    spec["worker"] = {**(spec.get("worker") or {}), "drain": f"{common.PATIENCE}s"}
    part = f"{pipeline}.{os.getpid()}.part"
    with open(part, "w") as f:
        common.yaml.safe_dump(spec, f, sort_keys=False, allow_unicode=True, width=1000)
    os.replace(part, pipeline)


class Worker:
    """A `weir run` process. What it says goes to files."""

    number = 0
    everybody = []

    def __init__(self, job, address, *more, environment=None):
        Worker.number += 1
        Worker.everybody.append(self)
        self.job, self.address, self.number = job, address, Worker.number
        patient(job.pipeline)
        self.out = os.path.join(job.directory, f"worker{self.number}.out")
        self.err = os.path.join(job.directory, f"worker{self.number}.err")
        with open(self.out, "w") as out, open(self.err, "w") as err:
            self.process = subprocess.Popen(
                [job.suite.weir, "run", job.pipeline, "--brokers", address, "--lake", job.lake, "--store", job.store, "--json", *more],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment or job.environment)

    @property
    def events(self):
        out = []
        with open(self.out) as f:
            for line in f:
                with contextlib.suppress(ValueError):
                    out.append(json.loads(line))
        return out

    def saw(self, event):
        return [e for e in self.events if e["event"] == event]

    @property
    def is_running(self):
        return self.process.poll() is None

    @property
    def talk(self):
        with open(self.err) as f:
            return f.read().strip()[-800:]

    def begin(self, seconds=180):
        """Waits until it reads."""
        wait(f"worker {self.number} reads", lambda: self.saw("assigned") or not self.is_running, seconds)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def wake(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self, seconds=2 * common.PATIENCE):
        """SIGTERM, and what is wrong with how it ended."""
        self.process.send_signal(signal.SIGTERM)
        try:
            wait("it ends", lambda: not self.is_running, seconds)
        except RuntimeError:
            self.kill()
            return [f"worker {self.number} did not end within {seconds} s of SIGTERM: {self.talk}"]
        code = self.process.returncode
        return [f"worker {self.number} ended with {code}: {self.talk}"] if code else []


@atexit.register
def _nobody_stays():
    """A driver that fails leaves no running worker."""
    for worker in Worker.everybody:
        if hasattr(worker, "process") and worker.is_running:
            worker.kill()


_counted = {}       # of each lake: entries that were read, and the records that they count


def committed(job):
    """Records that the ledger counts. Each entry is read once: it never changes."""
    number, records = _counted.get(job.lake, (0, 0))
    while entry := job.read_entry(number):
        records += sum(lane["counts"][bucket] for lane in entry["lanes"] for bucket in common.tables.BUCKETS)
        number += 1
    _counted[job.lake] = number, records
    return records


STEP_MAX = 5        # seconds: a step of a wait that takes longer is one in which this process was stopped


def wait(what, test, seconds=common.PATIENCE):
    """Waits until `test` is true. Time in which this process itself is stopped does not count: the others are then stopped too."""
    seconds = max(seconds, common.PATIENCE)
    waited, last = 0, time.monotonic()
    while not test():
        now = time.monotonic()
        waited, last = waited + min(now - last, STEP_MAX), now
        if waited > seconds:
            raise RuntimeError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


def faults(job, records):
    """How the tables differ from the reference of the records."""
    return common.flat(common.compare.compare(live.compute(job.pipeline, records), job.pipeline, job.local(), job.store, job.suite.weir))
