#!/usr/bin/env python3
"""What `weir load` can send from one core, and how long records take from then to a live worker's state table.

    Scripts/bench load [--rate 100000] [--seconds 15] [--partitions 16] [--only send,latency] [--nice N]

Against weir mock-kafka, whose CPU is shown apart. CPU times are the kernel's (getrusage of the children).
"""
import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEIR = os.path.join(ROOT, ".build", "release", "weir")
WORK = os.path.join(ROOT, ".build", "bench", "load")
PIPELINE = """\
pipeline: load
# The mock broker answers a fetch that finds nothing after the whole of its wait, whatever comes meanwhile; a broker answers at once.
source: {kafka: {brokers: "127.0.0.1:1", topic: ads, group: load, session: 10s, options: {fetch.wait.max.ms: "5"}}}
record:
  format: json
  key: user_id
  time: {field: event_time, out_of_order: 2s}
  fields: {event_id: string!, user_id: string!, ad_id: string!, ad_type: string!, event_type: string!, event_time: timestamp_ms!, ip_address: string!, amount: "decimal(12,2)!"}
checks: [{name: known_event, that: "event_type in ('view', 'click', 'purchase')"}]
dedup: {id: event_id, within: 10s}
gold: {types: {by: [event_type], window: {tumbling: 5s}, measure: {events: count(), total: sum(amount)}}}
state: {user_totals: {by: [user_id], measure: {events: count(), total: sum(amount)}}}
lake: {flush: {every: 2s}}
store: {flush: 50ms, share: 50%}
"""


def command(a, *words, core=None):
    nice = ["nice", "-n", str(a.nice)] if a.nice else []
    return nice + (["taskset", "-c", str(core)] if core is not None else []) + list(words)


class Broker:
    def __init__(self, a, core=None):
        self.process = subprocess.Popen(command(a, WEIR, "mock-kafka", "--topic", f"ads:{a.partitions}", core=core), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


def load(a, *options, core=None):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(command(a, WEIR, "load", "--json", *options, core=core), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if run.returncode not in (0, 1) or not run.stdout.strip():
        sys.exit(f"weir load ended with {run.returncode}: {run.stderr}")
    done = json.loads(run.stdout.strip().split("\n")[-1])
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def send(a):
    print("\nSending ad events of about 210 bytes from one core (taskset), the broker on the others:\n")
    print("| asked for | sent, records/s | behind the plan at most | load: CPU s a million | broker: CPU s a million |\n|---|---|---|---|---|")
    for rate in (1_000_000, 3_000_000):
        broker = Broker(a, core=1 if os.cpu_count() == 2 else None)
        try:
            done, cpu = load(a, "--brokers", broker.address, "--topic", "ads", "--rate", f"{rate}/s", "--count", str(5_000_000), core=0)
            millions = done["sent"] / 1e6
            print(f"| {rate:,}/s | {done['records_per_second']:,} | {done['behind_schedule_max_ms']} ms | {cpu / millions:.2f} | {broker.cpu() / millions:.2f} |")
        finally:
            broker.close()


def latency(a):
    os.makedirs(WORK, exist_ok=True)
    place = os.path.join(WORK, str(int(time.time())))
    os.makedirs(place)
    pipeline = os.path.join(place, "load.yaml")
    with open(pipeline, "w") as f:
        f.write(PIPELINE)
    broker = Broker(a)
    tables = ["--lake", os.path.join(place, "lake"), "--store", os.path.join(place, "store")]
    with open(os.path.join(place, "worker"), "w") as log:
        worker = subprocess.Popen(command(a, WEIR, "run", pipeline, "--brokers", broker.address, *tables, "--json"), stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while not re.search('"assigned"', open(log.name).read()) and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(1)
        page = os.path.join(place, "report.html")
        done, _ = load(a, "--brokers", broker.address, "--verify", pipeline, *tables, "--rate", f"{a.rate}/s", "--for", f"{a.seconds}s",
                       "--html", page)
    finally:
        worker.terminate()
        worker.wait(60)
        broker.close()
    print(f"\nLatency from scheduled send to visible state, {a.rate:,} records/s for {a.seconds} s, store {{flush: 50ms, share: 50%}}:\n")
    print(json.dumps(done["latency_ms"]))
    print(f"behind the plan at most {done['behind_schedule_max_ms']} ms; samples {done['samples']}; "
          + "; ".join(f"{c['place']} {c['lost']} lost, {c['duplicate']} duplicate, {c['disordered']} disordered of {c['checked']:,}" for c in done["checks"]))
    print(f"the report: {page}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--rate", type=int, default=100_000)
    arguments.add_argument("--seconds", type=int, default=15)
    arguments.add_argument("--partitions", type=int, default=16)
    arguments.add_argument("--only", default="send,latency")
    arguments.add_argument("--nice", type=int, default=0, help="priority of all three programs, on a machine that is shared")
    a = arguments.parse_args()
    if not os.access(WEIR, os.X_OK):
        sys.exit(f"there is no {WEIR}: swift build -c release --product weir")
    print(f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    for part in a.only.split(","):
        {"send": send, "latency": latency}[part](a)


main()
