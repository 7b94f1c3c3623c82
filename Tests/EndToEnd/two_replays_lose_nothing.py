#!/usr/bin/env python3
"""Two replays of one ledger by mistake, and a rebuild beside a replay: the state table has the rows of the one that the ledger has, or
the next run writes them; none of them reports success over rows that another wrote or took."""
import glob
import json
import os
import shutil
import signal
import subprocess
import time

import common

PIPELINE = """
pipeline: twice
source: {capture: {stream: twice}}
record:
  format: json
  key: id
  time: {field: at, out_of_order: 5s}
  fields: {id: string!, ad: string!, at: timestamp_ms!}
lookups: {weights: {file: weights.csv, key: ad, columns: {weight: int64}}}
bronze: {}
state: {totals: {by: [id], measure: {w: sum(weights.weight)}}, ads: {by: [ad], measure: {rows: count()}}}
lake: {flush: {bytes: FLUSH}}
store: {flush: 20ms}
"""
ADS = 100


class Twice:
    def __init__(self, suite, flush="4MiB"):
        self.suite, self.weir = suite, suite.weir
        self.file, self.capture = suite.path(f"twice-{flush}.yaml"), suite.path("twice.ndjson")
        self.lake, self.store = suite.path("lake"), suite.path("state")
        self.records = 150_000 if suite.quick else 600_000
        with open(self.file, "w") as f:
            f.write(PIPELINE.replace("FLUSH", flush))
        with open(self.capture, "w") as f:
            for i in range(self.records):
                f.write(f'{{"id":"r{i}","ad":"ad{i % ADS}","at":{1767225600000 + i}}}\n')
        self.weights(1)

    def weights(self, weight):
        with open(self.suite.path("weights.csv"), "w") as f:
            f.write("ad,weight\n" + "".join(f"ad{i},{weight}\n" for i in range(ADS)))

    def clear(self):
        shutil.rmtree(self.lake, ignore_errors=True)
        shutil.rmtree(self.store, ignore_errors=True)

    def command(self, *arguments):
        return [self.weir, *arguments, "--lake", self.lake, "--store", self.store]

    def begin(self):
        return subprocess.Popen(self.command("replay", self.file, "--capture", self.capture), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)

    def entries(self):
        """How many entries the ledger has, with its first one."""
        return len(glob.glob(os.path.join(glob.escape(self.lake), "_weir", "*", "ledger", "*.json")))

    def wait(self, entries, process):
        """Until the ledger has this many entries."""
        end = time.monotonic() + common.PATIENCE
        while self.entries() < entries and process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)

    def finish(self):
        """One more run, which must end well, and the faults that are left: rows against what the records say."""
        done = self.begin()
        _, err = done.communicate(timeout=common.PATIENCE * 4)
        faults = [] if done.returncode == 0 else [f"the next run: exit {done.returncode}: {err[-300:]}"]
        verify = subprocess.run(self.command("ledger", "verify", self.file), capture_output=True, text=True, timeout=common.PATIENCE * 4)
        if verify.returncode != 0 or "not compared" in verify.stderr:
            faults.append(f"verify: exit {verify.returncode}: {(verify.stdout + verify.stderr)[-300:]}")
        return faults

    def rows(self, table):
        scan = subprocess.run([self.weir, "state", "scan", table, "--format", "json", "--store", self.store], capture_output=True, text=True,
                              timeout=common.PATIENCE * 4)
        return [json.loads(line) for line in scan.stdout.splitlines()]

    def compare(self, weights):
        """Every record's row is there once, with a weight that the ledger's decisions allow, and committed."""
        rows, ads = self.rows("totals"), self.rows("ads")
        faults = []
        if sorted(row["id"] for row in rows) != sorted(f"r{i}" for i in range(self.records)):
            faults.append(f"{len(rows)} rows of {self.records} records")
        wrong = [row for row in rows if row["w"] not in weights or row["_committed"] is not True]
        faults += [f"{len(wrong)} rows are wrong, such as {wrong[0]}"] if wrong else []
        if {row["ad"]: row["rows"] for row in ads} != {f"ad{i}": self.records // ADS for i in range(ADS)}:
            faults.append("the counts by ad differ from the records")
        return faults


def paused(suite):
    """A replay is paused, another one finishes with a changed lookup, the first continues: it writes no row"""
    # With the larger size the first entry comes late: rows are flushed before it, and all rows in the end are the second replay's.
    kinds = [Twice(suite, flush) for flush in ("256MiB", "4MiB")]
    faults, refused, tries = [], 0, 4 if suite.quick else 10
    for number in range(tries):
        twice = kinds[number % 2]
        twice.clear()
        twice.weights(1)
        first = twice.begin()
        twice.wait(1 + number % 2, first)
        time.sleep(0.05 + 0.15 * suite.random.random())
        first.send_signal(signal.SIGSTOP)
        before = twice.entries()
        twice.weights(100)
        second = twice.begin()
        try:
            _, err = second.communicate(timeout=common.PATIENCE / 6)
        except subprocess.TimeoutExpired:
            # The first was paused within a transaction of the state table, which the second waits for.
            first.send_signal(signal.SIGCONT)
            _, err = second.communicate(timeout=common.PATIENCE * 4)
        first.send_signal(signal.SIGCONT)
        _, why = first.communicate(timeout=common.PATIENCE * 4)
        refused += first.returncode == 1
        if first.returncode not in (0, 1) or second.returncode not in (0, 1) or second.returncode + first.returncode == 2:
            faults.append(f"exits {first.returncode} and {second.returncode}: {why[-200:]} {err[-200:]}")
        faults += twice.finish() + twice.compare({100} if before == 1 and first.returncode == 1 else {1, 100})
        if faults:
            break
    suite.claim(f"{paused.__doc__} ({tries} times, {refused} refused)", faults)


def rebuilt(suite):
    """A state table that is rebuilt beside a replay has all rows after the next run, and the replay does not report success over the rest"""
    twice = Twice(suite)
    faults = []
    for number in range(2 if suite.quick else 6):
        twice.clear()
        first = twice.begin()
        twice.wait(1 + number, first)
        rebuild = subprocess.run(twice.command("state", "rebuild", twice.file), capture_output=True, text=True, timeout=common.PATIENCE * 4)
        _, why = first.communicate(timeout=common.PATIENCE * 4)
        if first.returncode == 0:
            faults += twice.compare({1})
        elif first.returncode != 1 or rebuild.returncode not in (0, 1):
            faults.append(f"exits {first.returncode} and {rebuild.returncode}: {why[-200:]} {rebuild.stderr[-200:]}")
        faults += twice.finish() + twice.compare({1})
    suite.claim(rebuilt.__doc__, faults)


def killed(suite):
    """A second replay that is killed at any moment takes no row from the first for good"""
    twice = Twice(suite)
    faults = []
    for _ in range(4 if suite.quick else 12):
        twice.clear()
        first = twice.begin()
        twice.wait(1, first)
        second = twice.begin()
        time.sleep(0.6 * suite.random.random())
        second.kill()
        second.communicate()
        _, why = first.communicate(timeout=common.PATIENCE * 4)
        if first.returncode == 0:
            faults += twice.compare({1})
        elif first.returncode != 1:
            faults.append(f"exit {first.returncode}: {why[-300:]}")
        faults += twice.finish() + twice.compare({1})
    suite.claim(killed.__doc__, faults)


def two_pipelines(suite):
    """Two pipelines with different state tables and one store"""
    first = Twice(suite)
    first.clear()
    faults = first.finish()
    other = suite.path("other.yaml")
    with open(other, "w") as f:
        f.write(PIPELINE.replace("FLUSH", "4MiB").replace("twice", "other").replace("totals:", "sums:").replace("ads:", "counts:"))
    second = common.Result(first.command("replay", other, "--capture", first.capture))
    if second.code != 1 or not all(text in second.err for text in ("belongs to another ledger", "--store", "each pipeline has its own")):
        faults.append(f"the second pipeline: exit {second.code}: {second.err[-300:]}")
    suite.claim("a pipeline refuses the store of another one", faults)
    suite.claim("and the first one's rows stay whole", first.finish() + first.compare({1}))
    own = common.Result([suite.weir, "replay", other, "--capture", first.capture, "--lake", first.lake, "--store", first.store + "-own"])
    suite.claim("with a store of its own it runs in the same lake", [] if own.code == 0 else [own.err[-300:]])


common.Suite("two_replays_lose_nothing", 300, __doc__).run(paused, rebuilt, killed, two_pipelines)
