#!/usr/bin/env python3
"""`weir run` on a topic that is complete in the test broker, and the peers on the same topic.   kafka.py [--n N] [--with-peers]

Query 1 (parse, dedup, join, 10 s windows), exactly once, broker on the same machine. The time runs from the moment the worker
begins to read to its last commit; the broker's CPU is shown apart. The rows are verified. The peers only parse, filter, join and
count in a dictionary, without guarantees or windows: the least that they could do. Before each run a bare librdkafka consumer reads the
topic and looks at nothing: what the worker needs beyond that is its own.
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import common

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "Tests", "EndToEnd", "oracle"))
from murmur2 import murmur2

MOCK = os.path.join(common.ROOT, ".build", "release", "weir")
PEERS = {"bytewax": ["bytewax[kafka]==0.21.1", "orjson"], "quix": ["quixstreams==3.28.1", "orjson"], "faust": ["faust-streaming==0.15.3", "cramjam", "orjson"]}
TOPIC = "ads"
USER = re.compile(rb'"user_id":"([^"]*)"')
TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


class Broker:
    def __init__(self, partitions):
        if not os.access(MOCK, os.X_OK):
            common.stop("there is no test broker", "Build it:  swift build -c release --product weir")
        self.process = subprocess.Popen([MOCK, "mock-kafka", "--topic", f"{TOPIC}:{partitions}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        self.partitions = partitions

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)

    def producer(self):
        import confluent_kafka
        return confluent_kafka.Producer({
            "bootstrap.servers": self.address, "compression.type": "lz4", "linger.ms": 200, "batch.num.messages": 2000, "batch.size": 400_000, "log_level": 2,
            "queue.buffering.max.messages": 2_000_000, "queue.buffering.max.kbytes": 1 << 20, "acks": 1})

    def preload(self, path):
        """All lines of a file, each in the partition of its user. How many went where."""
        producer, places, sent = self.producer(), {}, [0] * self.partitions
        failed = []
        report = lambda error, _: failed.append(str(error)) if error else None
        with open(path, "rb") as f:
            for line in f:
                line = line[:-1]
                found = USER.search(line)
                user = found[1] if found else line[:16]     # a malformed line may be in any partition
                place = places.get(user)
                if place is None:
                    place = places[user] = (murmur2(user) & 0x7FFFFFFF) % self.partitions
                while True:
                    try:
                        producer.produce(TOPIC, line, partition=place, on_delivery=report)
                        break
                    except BufferError:
                        producer.poll(0.05)
                sent[place] += 1
                if sent[place] % 512 == 0:
                    producer.poll(0)
        producer.flush(120)
        if failed or len(producer):
            common.stop(f"the topic could not be filled: {failed[:3]}")
        return sent

    def check_kept(self, sent):
        """The mock broker drops what is over 5 MB of a partition: then the run would show nothing."""
        import confluent_kafka as ck
        consumer = ck.Consumer({"bootstrap.servers": self.address, "group.id": "check", "log_level": 2})
        for p, n in enumerate(sent):
            low, high = consumer.get_watermark_offsets(ck.TopicPartition(TOPIC, p), timeout=20)
            if (low, high) != (0, n):
                common.stop(f"partition {p} holds {low}..{high} of {n} records: the test broker has dropped some", "Use a smaller --n.")
        consumer.close()

    def close_windows(self):
        producer = self.producer()
        event = {"event_id": "closing", "user_id": "closer", "ad_id": "ad0001", "ad_type": "modal", "event_type": "purchase",
                 "event_time": 1_767_225_600_000 + 86_400_000, "ip_address": "0.0.0.0", "amount": 1}
        producer.produce(TOPIC, json.dumps(event).encode(), partition=(murmur2(b"closer") & 0x7FFFFFFF) % self.partitions)
        producer.flush(20)


def pipeline(data, out, options):
    """Query 1 as it is in Deploy/Pipelines, on Kafka, and a commit every second: else the last one waits for the 10 s of `flush`."""
    text = "lake: {flush: {every: 1s}}\n" + common.read(os.path.join(common.ROOT, "Deploy", "Pipelines", "ads-q1.yaml"))
    text = text.replace("file: campaigns.csv", f'file: "{data}/campaigns.csv"')
    source = f"source: {{kafka: {{brokers: \"h:1\", topic: {TOPIC}, group: bench-{os.getpid()}, idle: 2s{options}}}}}"
    text = text.replace("source: {capture: {stream: ads}}", source)
    if source not in text:
        common.stop("Deploy/Pipelines/ads-q1.yaml is not as this script expects it")
    with open(f"{out}/pipeline.yaml", "w") as f:
        f.write(text)
    return f"{out}/pipeline.yaml"


def weir(broker, data, n, out, options, limit=300):
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    under = os.environ.get("WEIR_UNDER", "").split()
    file = pipeline(data, out, options)
    with open(f"{out}/err", "w") as err:
        worker = subprocess.Popen(
            [*under, common.WEIR, "run", file, "--brokers", broker.address, "--lake", f"{out}/lake", "--store", f"{out}/store", "--json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True)
    timer = threading.Timer(limit, worker.kill)
    timer.start()
    result = {}
    for line in worker.stdout:
        now, event = time.monotonic(), json.loads(line)
        if event["event"] == "assigned":
            result |= {"began": now, "own": cpu(worker.pid), "broker": cpu(broker.process.pid)}
        elif event["event"] == "committed" and event["records"] >= n and "wall" not in result:
            result |= {
                "wall": now - result["began"], "cpu": cpu(worker.pid) - result["own"], "entries": event["entries"],
                "broker_cpu": cpu(broker.process.pid) - result["broker"], "peak": peak(worker.pid)}
            broker.close_windows()
        elif event["event"] == "committed" and "wall" in result and event["complete_through"] and event["complete_through"] > "2026-01-01T20":
            worker.send_signal(signal.SIGTERM)
    code = worker.wait()
    timer.cancel()
    if "wall" not in result or code:
        common.stop(f"weir run ended with {code} before it had read {n:,} records", common.read(f"{out}/err")[-800:])
    said = common.verify("q1", data, f"{out}/lake/gold/campaign_views")
    return result | {"rate": n / result["wall"], "verified": said}


BARE = """
import ctypes, resource, sys, time
ctypes.CDLL("librdkafka.so.1", mode=ctypes.RTLD_GLOBAL)
library, address, topic, partitions, count = sys.argv[1:]
words = ["bootstrap.servers", address, "group.id", "bare", "log_level", "2", "enable.auto.commit", "false", "enable.auto.offset.store", "false",
         "fetch.wait.max.ms", "100"]
options = (ctypes.c_char_p * (len(words) + 1))(*(word.encode() for word in words), None)
consume = ctypes.CDLL(library).bare_consume
consume.restype = ctypes.c_long
error = ctypes.create_string_buffer(512)
used = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
began, before = time.monotonic(), used()
read = consume(options, topic.encode(), int(partitions), ctypes.c_long(int(count)), error, ctypes.c_size_t(512))
assert read > 0, error.value
print(read, time.monotonic() - began, used() - before)
"""


def bare(broker, n):
    """A librdkafka consumer that reads the topic and looks at nothing: records, seconds and CPU seconds."""
    run = subprocess.run([sys.executable, "-c", BARE, common.compiled("bare_consumer.c"), broker.address, TOPIC, str(broker.partitions), str(n)],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if run.returncode:
        common.stop("the bare consumer failed", run.stderr[-500:])
    records, seconds, used = run.stdout.split()
    return {"records": int(records), "rate": int(records) / float(seconds), "cpu": float(used)}


def install(name):
    place = os.path.join(common.WORK, "peers", "kafka-" + name)
    if not os.path.exists(f"{place}/installed"):
        common.say(f"installing {name} below .build/bench/peers")
        shutil.rmtree(place, ignore_errors=True)
        for command in ([sys.executable, "-m", "venv", place],
                        [f"{place}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS[name]]):
            if subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
                common.say(f"{name} could not be installed and is left out; pip's message is above")
                return None
        open(f"{place}/installed", "w").close()
    return f"{place}/bin/python"


def peer(name, broker, data, n):
    """Records per second of a peer, from its first record to its n-th."""
    python = install(name)
    if not python:
        return None
    log = os.path.join(common.WORK, "logs", f"kafka-{name}.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    before = cpu(broker.process.pid)
    with open(log, "w") as err:
        try:
            run = subprocess.run([python, f"{HERE}/peers/kafka_{name}.py", broker.address, TOPIC, f"{data}/campaigns.csv", str(n)],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True, timeout=300, cwd=os.path.dirname(log))
        except subprocess.TimeoutExpired:
            common.say(f"{name}: not done in time; see {log}")
            return None
    try:
        said = json.loads(run.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        common.say(f"{name} ended with {run.returncode} and no result: {common.read(log)[-300:]}")
        return None
    return said | {"rate": said["records"] / said["seconds"], "broker_cpu": cpu(broker.process.pid) - before}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=5_000_000)
    parser.add_argument("--partitions", type=int, default=256)
    parser.add_argument("--best-of", type=int, default=3)
    parser.add_argument("--data", help="data that gen.py made before")
    parser.add_argument("--with-peers", action="store_true", help="Quix Streams, Faust and Bytewax too, installed below .build/bench")
    parser.add_argument("--peer-records", type=int, default=500_000, help="how many of the topic's records a peer reads")
    parser.add_argument("--options", default="", help="more members of the pipeline's kafka section")
    a = parser.parse_args()
    common.need_binary()
    data = a.data or common.data(a.n, "one")
    options = f", {a.options}" if a.options else ""
    lines = [f"`Scripts/bench kafka{' --with-peers' if a.with_peers else ''}`: {a.n:,} ad events in {a.partitions} partitions of the test broker, lz4", ""]
    rows, peers, own = [], [], []
    broker = Broker(a.partitions)
    try:
        common.say(f"filling the topic with {a.n:,} records")
        sent = broker.preload(f"{data}/one/events.ndjson")
        broker.check_kept(sent)
        # The peers first: the closing record of our runs stays in the topic.
        if a.with_peers:
            for name in PEERS:
                found = peer(name, broker, data, a.peer_records)
                if found:
                    common.say(f"{name}: {found['rate']:,.0f} records/s")
                    peers.append((found["rate"], name))
                    rows.append([name, common.rate(found["rate"]), f"{found['cpu'] / found['records'] * 1e6:.2f}", "", "", f"{found['records']:,} records"])
        for i in range(a.best_of):
            client = bare(broker, a.n)
            rows.append(["a bare consumer", common.rate(client["rate"]), f"{client['cpu'] / a.n * 1e6:.2f}", "", "", ""])
            found = weir(broker, data, a.n + i, os.path.join(common.WORK, "out", "kafka"), options)
            own.append((found["cpu"] - client["cpu"]) / a.n * 1e6)
            common.say(json.dumps(found))
            rows.append(["Weir", common.rate(found["rate"]), f"{found['cpu'] / a.n * 1e6:.2f}", f"{found['broker_cpu']:.1f} s",
                         f"{found['peak'] / 1e6:.0f} MB", found["verified"].splitlines()[-1][:60]])
            found["name"] = "weir"
            peers.append((found["rate"], "Weir"))
    finally:
        broker.close()
    lines.append(common.markdown(["", "records/s", "CPU s a million", "broker's CPU", "memory", ""], rows))
    lines.append(f"\nThe worker's own CPU, without what a bare consumer needs: {', '.join(f'{x:.2f}' for x in own)} s a million, median {statistics.median(own):.2f}")
    best = max((rate for rate, name in peers if name == "Weir"), default=0)
    other = max((item for item in peers if item[1] != "Weir"), default=None)
    if other:
        lines.append(f"\nWeir to the best peer ({other[1]}): {best / other[0]:.1f}")
    text = "\n".join(lines)
    common.save("kafka", {"rows": rows, "machine": common.machine()}, text)
    print(text)


if __name__ == "__main__":
    main()
