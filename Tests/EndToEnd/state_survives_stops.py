#!/usr/bin/env python3
"""The state table after stops at the worst moments: at the first and the last entry, with rows ahead of the ledger, amid a rebuild."""
import csv
import io
import json
import os
import subprocess
import time

import common

PIPELINE = """pipeline: stops
source: {{capture: {{stream: s}}}}
record: {{format: json, key: k, fields: {{n: int64!, k: string!, l: string}}}}
lookups: {{factor: {{file: factor.csv, key: l, columns: {{v: int64}}}}}}
state:
  own: {{by: [k], measure: {{c: count(), s: sum(n * factor.v)}}}}
  merged: {{by: [n], measure: {{c: count(), s: sum(factor.v)}}}}
lake: {{flush: {{bytes: {epoch}}}}}
store: {{flush: {flush}, share: 90%}}
"""


class Case:
    """A small pipeline with its own capture, lookup, lake and store."""
    def __init__(self, suite, name, records, epoch="100MB", flush="50ms"):
        self.suite, self.directory, self.records = suite, suite.path(name), records
        os.makedirs(self.directory, exist_ok=True)
        self.pipeline = self.file("stops.yaml")
        with open(self.pipeline, "w") as f:
            f.write(PIPELINE.format(epoch=epoch, flush=flush))
        self.rows = [{"n": i % 10, "k": f"key-{i * 7919 % (records // 2)}", "l": "a"} for i in range(records)]
        self.write_capture(self.rows)
        self.factor(1)

    def file(self, name):
        return os.path.join(self.directory, name)

    def write_capture(self, rows):
        with open(self.file("capture.ndjson"), "w") as f:
            for row in rows:
                f.write(json.dumps(row) + "\n")

    def factor(self, v):
        with open(self.file("factor.csv"), "w") as f:
            f.write(f"l,v\na,{v}\n")

    def command(self):
        return [self.suite.weir, "replay", self.pipeline, "--capture", self.file("capture.ndjson"), "--lake",
                self.file("lake"), "--store", self.file("store"), "--json"]

    def entries(self):
        """Numbers of the entries that are there."""
        try:
            return sorted(int(n[:20]) for n in os.listdir(self.file("lake/_weir/stops/ledger")) if n[:20].isdigit())
        except FileNotFoundError:
            return []

    def restore_tables(self):
        """Takes the tables back to a ledger whose last entry was removed."""
        run = common.Result([self.suite.weir, "ledger", "restore-tables", self.pipeline, "--lake", self.file("lake")])
        return [run.talk] if run.code else []

    def killed_at_entry(self, number, after=0.0):
        """Starts a replay and kills it as soon as this entry is there. False if it ended first."""
        process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None and number not in self.entries()[-1:]:
            pass
        time.sleep(after)
        process.kill()
        process.communicate()
        return process.returncode != 0

    def position(self):
        """Bytes that the ledger's last entry has consumed."""
        with open(self.file(f"lake/_weir/stops/ledger/{self.entries()[-1]:020}.json")) as f:
            return max(int(lane["to"]) for lane in json.load(f)["lanes"] if lane["lane"] != "_merge")

    def scan(self, table):
        run = common.Result([self.suite.weir, "state", "scan", table, "--store", self.file("store"), "--format", "csv"])
        if run.code != 0:
            return {"error": run.talk}
        return {row[next(iter(row))]: (int(row["c"]), int(row["s"])) for row in csv.DictReader(io.StringIO(run.out))}

    def faults(self, expected):
        """What the state tables have that a fold in Python has not; `expected`: (row, factor) of each record."""
        own, merged = {}, {}
        for row, v in expected:
            c, s = own.get(row["k"], (0, 0))
            own[row["k"]] = (c + 1, s + row["n"] * v)
            c, s = merged.get(str(row["n"]), (0, 0))
            merged[str(row["n"])] = (c + 1, s + v)
        found = []
        for table, want in (("own", own), ("merged", merged)):
            got = self.scan(table)
            if got != want:
                wrong = [k for k in set(got) | set(want) if got.get(k) != want.get(k)]
                found.append(f"{table}: {len(wrong)} of {len(want)} rows are wrong, such as {wrong[0]}: "
                             f"{got.get(wrong[0])}, not {want.get(wrong[0])}")
        return found

    def finish(self):
        run = common.Result(self.command())
        return run.fault()


def behind_the_last_entry(suite):
    """Killed as soon as the entry that closes everything is there, before the last flush."""
    faults, hit = [], 0
    for attempt in range(8):
        # Its only flush is the one at the end.
        case = Case(suite, f"last{attempt}", 20_000, flush="1h")
        if not case.killed_at_entry(4):     # genesis, lookup, records, end of input, closing
            continue
        hit += 1
        faults += case.finish() + case.finish() + case.faults([(row, 1) for row in case.rows])
    suite.claim(f"a kill after the last entry and before the last flush leaves whole state tables after the next run ({hit} of 8 kills in time)",
                faults or ([] if hit else ["no kill came in time"]))


def ahead(suite, name, change, expected):
    """Killed with rows ahead of the ledger; then the records after the ledger's position change."""
    case = Case(suite, name, 600_000, epoch="4MB", flush="1ms")
    faults = [] if case.killed_at_entry(3, after=0.02) else ["it ended before the kill"]
    consumed, at = 0, case.position()
    while at > 0:
        at -= len(json.dumps(case.rows[consumed])) + 1
        consumed += 1
    change(case, consumed)
    faults += case.finish() + case.faults(expected(case, consumed))
    suite.claim(f"rows that ran ahead of the ledger (at record {consumed}) do not stay when {name} changes", faults)


def lookup_changes(suite):
    """Another lookup file."""
    ahead(suite, "the lookup", lambda case, n: case.factor(1000),
          lambda case, n: [(row, 1 if i < n else 1000) for i, row in enumerate(case.rows)])


def capture_changes(suite):
    """Other records after the consumed prefix."""
    def change(case, n):
        case.rows = case.rows[:n] + [{"n": 3, "k": f"other-{i}", "l": "a"} for i in range(1000)]
        case.write_capture(case.rows)
    ahead(suite, "the rest of the capture", change, lambda case, n: [(row, 1) for row in case.rows])


def before_the_first_entry(suite):
    """Killed with rows in the state table, before any entry of records; then the records change."""
    case = Case(suite, "first", 20_000, flush="20ms")
    # A lookup's version would be an entry of its own; these are the same sums for the factor 1.
    with open(case.pipeline) as f:
        text = "".join(line for line in f if not line.startswith("lookups:"))
    with open(case.pipeline, "w") as f:
        f.write(text.replace("sum(n * factor.v)", "sum(n)").replace("sum(factor.v)", "count()"))
    process = subprocess.Popen(case.command() + ["--pace", "10000/s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and not any(isinstance(row, tuple) for row in case.scan("own").values()):
        pass
    process.kill()
    process.communicate()
    faults = [] if process.returncode < 0 and case.entries() == [0] else [f"the kill did not come in time: entries {case.entries()}"]
    verified = common.Result([suite.weir, "ledger", "verify", case.pipeline, "--lake", case.file("lake"), "--store", case.file("store")])
    suite.claim("rows that ran ahead of a ledger without records are no damage", [f"exit {verified.code}: {verified.talk}"] if verified.code else [])
    case.rows = case.rows[:100] + [{"n": 3, "k": f"other-{i}", "l": "a"} for i in range(1000)]
    case.write_capture(case.rows)
    faults += case.finish() + case.faults([(row, 1) for row in case.rows])
    suite.claim("they do not stay when the records change", faults)


def rebuild(suite):
    """Killed amid `weir state rebuild`."""
    case = Case(suite, "rebuild", 300_000)
    faults = case.finish()
    command = [suite.weir, "state", "rebuild", case.pipeline, "--lake", case.file("lake"), "--store", case.file("store")]
    began = time.monotonic()
    faults += common.Result(command).fault()
    seconds = time.monotonic() - began
    hit = 0
    for _ in range(8):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.communicate(timeout=seconds * suite.random.uniform(0.2, 0.95))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            hit += 1
        faults += case.faults([(row, 1) for row in case.rows]) + case.finish() + case.faults([(row, 1) for row in case.rows])
    suite.claim(f"a rebuild that was killed ({hit} of 8 times) leaves all rows in their places", faults or ([] if hit else ["no kill came in time"]))


def grown_at_the_end(suite):
    """The capture grows between the end of input and the entry that closes everything."""
    case = Case(suite, "grown", 20_000)
    faults = case.finish()
    # As after a kill immediately after the end of input.
    os.remove(case.file(f"lake/_weir/stops/ledger/{case.entries()[-1]:020}.json"))
    subprocess.run(["rm", "-r", case.file("lake/_weir/stops/snapshots"), case.file("lake/_weir/stops/pointers"), case.file("store")], check=True)
    faults += case.restore_tables()
    case.write_capture(case.rows + case.rows[:100])
    run = common.Result(case.command())
    faults += run.refusal_fault("keep-open")
    case.write_capture(case.rows)
    faults += case.finish() + case.faults([(row, 1) for row in case.rows])
    suite.claim("a capture that grew after the recorded end of input is refused, also before the closing entry", faults)


def ended_pipe(suite):
    """Killed between the end of input and the entry that closes everything; the capture is a pipe."""
    case = Case(suite, "pipe", 20_000)
    faults = case.finish()
    os.remove(case.file(f"lake/_weir/stops/ledger/{case.entries()[-1]:020}.json"))
    subprocess.run(["rm", "-r", case.file("lake/_weir/stops/snapshots"), case.file("lake/_weir/stops/pointers"), case.file("store")], check=True)
    faults += case.restore_tables()
    command = [word if word != case.file("capture.ndjson") else "-" for word in case.command()]
    for end in ("finished", "unchanged"):       # which closes the windows, and which finds them closed
        with open(case.file("capture.ndjson"), "rb") as capture:
            # cat: a pipe gives its bytes once.
            feed = subprocess.Popen(["cat"], stdin=capture, stdout=subprocess.PIPE)
            run = subprocess.run(command, stdin=feed.stdout, capture_output=True, text=True, timeout=60)
            feed.stdout.close()
            feed.wait()
        if run.returncode or json.loads(run.stdout.strip().split("\n")[-1])["end"] != end:
            faults.append(f"{run.returncode}, not {end}: {run.stderr[-300:]}")
    faults += case.faults([(row, 1) for row in case.rows])
    suite.claim("a replay of a pipe that was killed after the end of input closes its windows in the next run", faults)


common.Suite("state_survives_stops", 300, __doc__).run(behind_the_last_entry, lookup_changes, capture_changes, grown_at_the_end, ended_pipe, before_the_first_entry, rebuild)
