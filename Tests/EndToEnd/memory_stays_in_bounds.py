#!/usr/bin/env python3
"""Input that is small and decodes to much stays within the worker's memory: tiny records, partition values from the data, windows."""
import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import common
import tables

import pyarrow.compute as pc

MIB = 1 << 20
# Of what a process takes at all: code, threads, heaps, and the libraries' own buffers.
BASE = 150 * MIB


def pipeline(suite, name, memory=None, **sections):
    """A pipeline file. Sections as YAML text would have them."""
    spec = {"pipeline": name, "source": {"capture": {"stream": "s"}},
            "record": {"format": "json", "key": "u", "fields": {"u": "string!", "n": "int64", "c": "string"}}, **sections}
    if memory:
        spec["worker"] = {"memory": memory}
    directory = suite.path(name)
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, "p.yaml")
    with open(path, "w") as f:
        json.dump(spec, f)      # JSON is YAML
    return path


# A small process of its own starts the binary: the peak that wait4 tells counts what a process had in memory before it became the binary.
# What the machine has is not to be tried.
LAUNCHER = """import os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
with open(sys.argv[1], "w") as report:
    print(pid, file=report, flush=True)
    _, status, usage = os.wait4(pid, 0)
    print(status, usage.ru_maxrss, file=report)
"""


def anonymous_bytes(pid):
    """Resident memory that no file stands behind; 0 when the process has ended."""
    try:
        with open(f"/proc/{pid}/status") as f:
            return next((int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:")), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def bytes_of(text):
    return int(text[:-3]) * {"MiB": MIB, "GiB": 1024 * MIB}[text[-3:]]


class Run:
    def __init__(self, suite, path, capture, where="lake", lanes=None, kill_after=None):
        self.lake = os.path.join(os.path.dirname(path), where)
        self.name = json.load(open(path))["pipeline"]
        command = [suite.weir, "replay", path, "--capture", capture, "--lake", self.lake, "--store", self.lake + "-store", "--json"]
        command += ["--lanes", str(lanes)] if lanes else []
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, tempfile.NamedTemporaryFile("r") as report:
            launcher = [sys.executable, "-S", "-E", "-c", LAUNCHER, report.name, *command]
            process = subprocess.Popen(launcher, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            self.wait(process, report.name, kill_after)
            status, peak = map(int, report.read().split()[1:])
            self.code, self.peak = os.waitstatus_to_exitcode(status), peak * 1024
            out.seek(0), err.seek(0)
            lines = [json.loads(line) for line in out.read().split("\n") if line.startswith("{")]
            self.err = err.read()
        self.done = next((line for line in lines if line.get("event") == "done"), {})

    def wait(self, process, report, kill_after):
        """Waits for the end and looks at the process's own memory meanwhile; kills it when there is that number of entries."""
        self.anonymous = 0
        while process.poll() is None:
            time.sleep(0.002)
            with open(report) as f:
                pid = f.readline().strip()
            if not pid:
                continue
            self.anonymous = max(self.anonymous, anonymous_bytes(int(pid)))
            if kill_after and self.entries_count() > kill_after:
                os.kill(int(pid), signal.SIGKILL)
                break
        process.wait()

    def entries_count(self):
        try:
            return sum(1 for name in os.listdir(os.path.join(self.lake, "_weir", self.name, "ledger")) if name.endswith(".json") and name[0].isdigit())
        except FileNotFoundError:
            return 0

    def entries(self):
        return tables.entries(self.lake, self.name)

    def cuts(self):
        """Where each entry of lanes ends."""
        return [entry["lanes"][0]["to"] for entry in self.entries() if entry["lanes"]]

    def fault(self, peak=None):
        if self.code != 0:
            return [f"ended with {self.code}: {self.err[-600:]}"]
        return [f"{self.peak // MIB} MiB resident, at most {peak // MIB} are expected"] if peak and self.peak > peak else []


def kept(run, memory):
    """The budget was kept: whatever the run's end, which is success or a stop that says why."""
    faults = [] if run.anonymous <= bytes_of(memory) else [f"{run.anonymous // MIB} MiB of {memory}"]
    told = run.done.get("memory", {}).get("peak")
    if run.code == 0 and not run.anonymous - 8 * MIB <= told <= bytes_of(memory):
        faults.append(f"the summary says {told // MIB} MiB, it had {run.anonymous // MIB}")
    stopped = run.code == 1 and all(word in run.err for word in ("worker.memory", "the largest part is", "is kept"))
    return faults + ([] if run.code == 0 or stopped else [f"ended with {run.code}: {run.err[-600:]}"])


def positions_faults(run, table, expected):
    """Compares the positions of a table's rows, as delta-rs reads them, with all those expected."""
    found = tables.read_delta(run.lake, table)["_position"].to_numpy()
    found.sort()
    return [] if len(found) == len(expected) and (found == expected).all() else [f"{table} has {len(found)} rows, or other positions"]


def tiny_records(suite):
    """Records of one byte"""
    import numpy
    count = (MIB if suite.quick else 8 * MIB)
    capture = suite.path("tiny.gz")
    with gzip.open(capture, "wb", 9) as f:
        f.write(b"1\n" * count)
    suite.note(f"{count} records in {os.path.getsize(capture)} bytes")
    expected = numpy.arange(count, dtype="int64") * 2
    rejected = {"halt_above": "100%", "exit_above": "100%"}
    path = pipeline(suite, "tiny", memory="256MiB", quarantine=rejected, bronze={}, silver={})
    whole = Run(suite, path, capture)
    suite.claim("tiny records: memory is bounded by worker.memory, whatever their number", kept(whole, "256MiB"))
    suite.claim("tiny records: each is quarantined once, in bronze once, and counted",
                ([] if whole.done.get("quarantined") == count else [str(whole.done)])
                + positions_faults(whole, "quarantine/s", expected) + positions_faults(whole, "bronze/s", expected))
    cuts = whole.cuts()
    suite.claim("tiny records: epochs are cut by what they hold, not by bytes", [] if len(cuts) > 10 else [f"{len(cuts)} epochs"])
    three = Run(suite, path, capture, where="lanes", lanes=3)
    suite.claim("tiny records: cuts do not depend on lanes", three.fault() or ([] if three.cuts() == cuts else ["other cuts"]))
    killed = Run(suite, path, capture, where="killed", kill_after=4)
    resumed = Run(suite, path, capture, where="killed")
    suite.claim("tiny records: killed and resumed, the cuts and rows are those of a run that was not killed",
                ([] if killed.code == -signal.SIGKILL else ["the run was not killed in time"]) + resumed.fault()
                + ([] if resumed.cuts() == cuts else ["other cuts"])
                + positions_faults(resumed, "quarantine/s", expected))
    plain = pipeline(suite, "plain", memory="256MiB", quarantine=rejected,
                     state={"t": {"by": ["u"], "measure": {"rows": "count()"}}})
    run = Run(suite, plain, capture)
    suite.claim("tiny records: the same without bronze and silver", run.fault(peak=BASE + 256 * MIB))


def partition_values(suite):
    """Partition values from the data"""
    # Thousands of files: what a disk takes to sync them is no matter here.
    for name in ("values", "few"):
        os.makedirs(suite.path(name))
    with common.tmpfs(suite.path("values"), "2g"), common.tmpfs(suite.path("few"), "2g"):
        many_partitions(suite)


def many_partitions(suite):
    values, rounds = (3_000, 3) if suite.quick else (40_000, 3)
    names = [f"f{i}" for i in range(12)]
    record = {"format": "json", "key": "u", "fields": {"u": "string!", "n": "int64", "c": "string", **dict.fromkeys(names, "string")}}
    capture = suite.path("values.ndjson")
    with open(capture, "w") as f:
        for i in range(values * rounds):
            f.write(json.dumps({"u": f"user-{i}", "n": i, "c": f"city {i * 7919 % values}", **dict.fromkeys(names, f"{i}")}) + "\n")
    path = pipeline(suite, "values", record=record, bronze={}, silver={"partition_by": "c"})
    whole = Run(suite, path, capture)
    # With an open file for each value it is three times that in the quick form already.
    suite.claim(f"{values} partition values: memory does not grow with them", whole.fault(peak=BASE + 350 * MIB))
    got = tables.read_delta(whole.lake, "silver/s").sort_by("n")
    expected = {"n": list(range(values * rounds)), "c": [f"city {i * 7919 % values}" for i in range(values * rounds)]}
    suite.claim(f"{values} partition values: each record is in its partition once",
                [name for name in expected if got[name].to_pylist() != expected[name]])
    small = pipeline(suite, "few", memory="128MiB", record=record, bronze={}, silver={"partition_by": "c"})
    run = Run(suite, small, capture)
    files = [len(table["files"]) for entry in run.entries() for table in entry["tables"] if table["table"] == "silver/s"]
    # An epoch may hold 8 MiB, 16 KiB a partition; the last block has 16,384 records at most.
    suite.claim("an epoch's files are bounded: it is cut for its partitions",
                run.fault() + ([] if len(files) > 1 and max(files) <= 1024 + 16384 else [f"files by epoch: {files}"]))
    again = tables.read_delta(run.lake, "silver/s").sort_by("n")
    suite.claim("the cuts change no row and no partition", [] if again.select(["n", "c"]) == got.select(["n", "c"]) else ["other rows"])


def closing_partitions(suite):
    """Windows of very many partitions that close at once"""
    for name in ("merged", "lane", "hopping", "killed"):
        os.makedirs(suite.path(f"closing-{name}"))
    with contextlib.ExitStack() as stack:
        for name in ("merged", "lane", "hopping", "killed"):
            stack.enter_context(common.tmpfs(suite.path(f"closing-{name}"), "2g"))
        many_windows(suite)


# Partitions that one entry gets of windows that close: from a lane, and from the merge lane.
PARTS = {"lane": 1024, "merged": 2048}


def many_windows(suite):
    count = 6_500 if suite.quick else 40_000
    start = 1_700_000_000_000
    capture = suite.path("closing.ndjson")
    with open(capture, "w") as f:
        f.writelines(f'{{"u":"user-{i}","c":"city {i * 7919 % count}","n":{i},"t":{start + i}}}\n' for i in range(count))
    record = {"format": "json", "key": "u", "time": {"field": "t", "out_of_order": "1s"},
              "fields": {"u": "string!", "c": "string!", "n": "int64", "t": "timestamp_ms!"}}
    measure = {"rows": "count()", "s": "sum(n)"}
    whole = {}
    for name, by, window in (("merged", "c", {"tumbling": "10s"}), ("lane", "u", {"tumbling": "10s"}),
                             ("hopping", "c", {"hopping": "20s", "every": "5s"})):
        gold = {"g": {"by": [by], "window": window, "partition_by": by, "measure": measure}}
        path = pipeline(suite, f"closing-{name}", memory="64MiB", record=record, silver={"partition_by": "c"}, gold=gold)
        run = Run(suite, path, capture)
        whole[name] = run
        faults = run.fault() + kept(run, "64MiB")
        suite.note(f"{name}: {run.anonymous // MIB} MiB, {len(run.entries())} entries")
        suite.claim(f"{count} partitions of closed windows ({name}): the first run finishes within 64 MiB", faults)
        files = [len(table["files"]) for entry in run.entries() for table in entry["tables"] if table["table"] == "gold/g"]
        lanes = max(sum(lane["lane"] != "_merge" for lane in entry["lanes"]) for entry in run.entries())
        most = PARTS["lane"] * lanes if name == "lane" else PARTS["merged"]
        suite.claim(f"({name}) no entry gets more than {most} of them, and none is left",
                    [] if max(files, default=0) <= most and len(files) >= count / most and not any("closing" in lane for lane in run.entries()[-1]["lanes"])
                    else [f"files by entry: {files}"])
        # A fold of our own, over what was sent.
        wanted = {}
        size, every = (20, 5) if name == "hopping" else (10, 10)
        for i in range(count):
            first = (start + i) // 1000 // every * every
            group = f"city {i * 7919 % count}" if by == "c" else f"user-{i}"
            for begin in range(first - size + every, first + 1, every):
                wanted[group, begin] = (1, i)
        got = tables.read_delta(run.lake, "gold/g")
        found = {(r[by], int(r["window_start"].timestamp())): (r["rows"], int(r["s"])) for r in got.to_pylist()}
        suite.claim(f"({name}) each window is there once, with its rows", [] if found == wanted and got.num_rows == len(wanted) else
                    [f"{got.num_rows} rows, {len(found)} windows, {len(wanted)} expected"])
    gold = {"g": {"by": ["c"], "window": {"tumbling": "10s"}, "partition_by": "c", "measure": measure}}
    path = pipeline(suite, "closing-killed", memory="64MiB", record=record, silver={"partition_by": "c"}, gold=gold)
    base, faults, kills = whole["merged"], [], 0

    def shape(run):
        """What each entry has, without names and hashes that are of one run."""
        return [[(lane["lane"], lane["to"], lane.get("closing")) for lane in entry["lanes"]]
                + [(table["table"], len(table["files"])) for table in entry["tables"]] for entry in run.entries()]
    wanted, last = shape(base), len(base.entries())
    rows = tables.read_delta(base.lake, "gold/g").sort_by("c")
    for entries in (last - 4, last - 2):
        killed = Run(suite, path, capture, where=f"at-{entries}", kill_after=entries)
        again = Run(suite, path, capture, where=f"at-{entries}")
        kills += killed.code == -signal.SIGKILL
        faults += [f"killed at {entries}: {fault}" for fault in again.fault()]
        found = shape(again)
        faults += [] if found == wanted else [f"killed at {entries}: other entries: {found[-5:]}, {wanted[-5:]}"]
        faults += [] if tables.read_delta(again.lake, "gold/g").sort_by("c") == rows else [f"killed at {entries}: other rows"]
    suite.claim(f"killed between the entries of one closing ({kills} times) and run again: entries and rows are those of a run that was not killed",
                faults + ([] if kills else ["no kill came in time"]))


def hopping_windows(suite):
    """Windows that close all at once"""
    count = 100 if suite.quick else 600
    capture = suite.path("hopping.ndjson")
    with open(capture, "w") as f:
        for i in range(count):
            f.write(json.dumps({"u": f"user-{i}", "n": i, "t": 1_700_000_000_000 + i * 1000}) + "\n")
    path = pipeline(suite, "hopping",
                    record={"format": "json", "key": "u", "time": {"field": "t", "out_of_order": "0s"},
                            "fields": {"u": "string!", "n": "int64", "t": "timestamp_ms!"}},
                    gold={"g": {"by": ["u"], "window": {"hopping": "10000s", "every": "1s"}, "measure": {"c": "count()", "s": "sum(n)"}}})
    run = Run(suite, path, capture)
    suite.claim(f"{count * 10_000} rows of windows that close at once are never in memory together", run.fault(peak=BASE + 150 * MIB))
    got = tables.read_delta(run.lake, "gold/g")
    by_user = {r["u"]: r for r in got.group_by("u").aggregate(
        [("window_start", "min"), ("window_start", "max"), ("window_start", "count_distinct"), ("c", "sum"), ("c", "max"), ("s", "max")]).to_pylist()}
    faults = [] if got.num_rows == count * 10_000 else [f"{got.num_rows} rows"]
    for i in range(count):
        row = by_user.get(f"user-{i}", {})
        last = 1_700_000_000 + i
        wanted = (last - 9_999, last, 10_000, 10_000, 1, i)
        found = tuple(int(v.timestamp()) if hasattr(v, "timestamp") else int(v or 0) for v in (
            row.get("window_start_min"), row.get("window_start_max"), row.get("window_start_count_distinct"), row.get("c_sum"),
            row.get("c_max"), row.get("s_max")))
        if found != wanted:
            faults.append(f"user-{i}: {found}, expected {wanted}")
    suite.claim("each record is in each of its windows once", faults)


def state_beyond_the_budget(suite):
    """State that no cut frees"""
    count = 1_600_000 if suite.quick else 4_000_000
    memory, larger = ("64MiB", "1GiB") if suite.quick else ("128MiB", "2GiB")
    capture = suite.path("ids.ndjson")
    with open(capture, "w") as f:
        f.writelines(f'{{"u":"user-{i}","n":{i}}}\n' for i in range(count))
    sections = {"dedup": {"id": "u"}, "bronze": {}}
    path = pipeline(suite, "ids", memory=memory, **sections)
    run = Run(suite, path, capture)
    words = [w for w in ("the state uses", "dedup", "worker.memory") if w not in run.err]
    suite.claim("state beyond its part of worker.memory stops the worker, and names the largest holder and the setting",
                ([] if run.code == 1 else [f"ended with {run.code}"]) + [f"the message lacks {w}: {run.err[-500:]}" for w in words])
    committed = run.cuts()
    suite.claim("what was read until then is committed", [] if len(committed) > 2 and not run.done else [str(committed)])
    again = Run(suite, path, capture)
    suite.claim("the next run says so before it reads on, and changes nothing",
                [] if again.code == 1 and "the state uses" in again.err and again.cuts() == committed else [again.err[-500:]])
    pipeline(suite, "ids", memory=larger, **sections)
    more = Run(suite, path, capture)
    found = tables.read_delta(more.lake, "bronze/s")
    suite.claim("with more memory it goes on from there, and each record is accepted once",
                more.fault() + ([] if more.done.get("accepted") == count else [str(more.done)])
                + ([] if pc.count_distinct(found["_position"]).as_py() == count == found.num_rows else [f"{found.num_rows} rows of bronze"]))


def budgets_are_kept(suite):
    """Small budgets and large inputs of every shape"""
    count = 300_000 if suite.quick else 2_000_000
    fields = {"u": "string!", "n": "int64", "t": "timestamp_ms!"}
    capture = suite.path("shapes.ndjson")
    with open(capture, "w") as f:
        for i in range(count):
            f.write(f'{{"u":"user-{i * 7919 % count}","n":{i},"t":{1_700_000_000_000 + i},"c":"c{i % 500}"}}\n')
    wide, texts = suite.path("wide.ndjson"), {f"f{j}": "string" for j in range(60)}
    with open(wide, "w") as f:
        for i in range(count // 20):
            values = ",".join(f'"f{j}":"value {i * 31 + j} of {j}"' for j in range(60))
            f.write(f'{{"u":"user-{i}","n":{i},"t":{1_700_000_000_000 + i},{values}}}\n')

    def record(more):
        return {"format": "json", "key": "u", "time": {"field": "t", "out_of_order": "1s"}, "fields": {**fields, **more}}

    measure = {"rows": "count()", "s": "sum(n)"}
    shapes = {
        "keyed": (capture, {"record": record({}), "state": {"t": {"by": ["u"], "measure": measure}}}),
        "merged": (capture, {"record": record({}), "state": {"t": {"by": ["n"], "measure": measure}}}),
        "dedup": (capture, {"record": record({}), "dedup": {"id": "u"}, "bronze": {}}),
        "windows": (capture, {"record": record({}), "gold": {"g": {"by": ["u"], "window": {"tumbling": "10h"}, "measure": measure}}}),
        "hopping": (capture, {"record": record({"c": "string"}),
                              "gold": {"g": {"by": ["c"], "window": {"hopping": "1000s", "every": "1s"},
                                             "measure": {"rows": "count()", "s": "sum(n)"}}}}),
        "partitions": (capture, {"record": record({"c": "string"}), "silver": {"partition_by": "c"}}),
        "wide": (wide, {"record": record(texts), "bronze": {}, "silver": {}}),
    }
    for memory in ("64MiB", "256MiB") if suite.quick else ("64MiB", "128MiB", "256MiB", "1GiB"):
        faults, seen = [], []
        for name, (path, sections) in shapes.items():
            os.makedirs(suite.path(f"{name}-{memory}"))
            with common.tmpfs(suite.path(f"{name}-{memory}"), "2g"):
                run = Run(suite, pipeline(suite, f"{name}-{memory}", memory=memory, **sections), path)
                faults += [f"{name}: {fault}" for fault in kept(run, memory)]
                seen.append(f"{name} {run.anonymous // MIB}{'' if run.code == 0 else ' (stopped)'}")
        suite.note(f"{memory}: " + ", ".join(seen))
        suite.claim(f"worker.memory of {memory} is kept by every shape of input", faults)


def long_keys(suite):
    """Each of many windows has its key, which may be as long as a record."""
    capture, start = suite.path("long-keys.ndjson"), 1_700_000_000
    with open(capture, "w") as f:
        for i in range(12):
            f.write(json.dumps({"u": chr(97 + i) * MIB, "n": i, "t": (start + i) * 1000}) + "\n")
    record = {"format": "json", "key": "u", "time": {"field": "t"}, "fields": {"u": "string!", "n": "int64", "t": "timestamp_ms!"}}
    gold = {"g": {"by": ["u"], "window": {"hopping": "60s", "every": "1s"}, "measure": {"rows": "count()", "s": "sum(n)"}}}
    run = Run(suite, pipeline(suite, "long-keys", memory="96MiB", record=record, gold=gold), capture)
    faults = run.fault() + kept(run, "96MiB")
    if run.code == 0:
        got = {(r["u"], int(r["window_start"].timestamp())): (r["rows"], int(r["s"]))
               for batch in tables.read_delta(run.lake, "gold/g").to_batches() for r in batch.to_pylist()}
        wanted = {(chr(97 + i) * MIB, start + i - k): (1, i) for i in range(12) for k in range(60)}
        faults += [] if got == wanted else [f"{len(got)} windows, {len(wanted)} expected"]
    suite.note(f"long keys: {run.anonymous // MIB} MiB")
    suite.claim("720 windows of keys of 1 MiB stay within 96 MiB, and each is there once", faults)


def many_parts(suite):
    """A text that an expression makes has a bound."""
    capture = suite.path("parts.ndjson")
    with open(capture, "w") as f:
        f.writelines(json.dumps({"u": c * size, "n": size}) + "\n" for c, size in (("a", 10), ("b", MIB), ("c", 20)))
    path = pipeline(suite, "parts", memory="128MiB", silver={"columns": "n, " + " || ".join(["u"] * 3000) + " as x"})
    run = Run(suite, path, capture)
    faults = run.fault() + kept(run, "128MiB")
    if run.code == 0:
        got = sorted((r["n"], r["x"]) for r in tables.read_delta(run.lake, "silver/s").to_pylist())
        faults += [] if got == [(10, "a" * 30_000), (20, "c" * 60_000)] else [f"silver has {[(n, len(x)) for n, x in got]}"]
        reasons = [r["reason"] for r in tables.read_delta(run.lake, "quarantine/s").to_pylist()]
        faults += [] if len(reasons) == 1 and "a text of more than 16 MiB in " in reasons[0] else [f"quarantined: {[reason[:100] for reason in reasons]}"]
    suite.note(f"3,000 parts: {run.anonymous // MIB} MiB")
    suite.claim("a text of 3 GB that an expression would make is an error of its record alone", faults)


def long_records(suite):
    """One record of megabytes"""
    longest = 64 * MIB // 32

    def record(size, number, **more):
        """A line of `size` bytes with its end."""
        value = {"u": "", "n": number, "c": "c", **more}
        name = next((key for key in value if value[key] == "LONG"), "u")
        value[name] = ""
        value[name] = "x" * (size - len(json.dumps(value)) - 1)
        return json.dumps(value) + "\n"

    shapes = {"in the key": {}, "in a declared field": {"c": "LONG", "u": "u"}, "in another field": {"z": "LONG", "u": "u"},
              "rejected": {"c": "LONG", "u": 1}}
    for number, (shape, members) in enumerate(shapes.items()):
        capture = suite.path(f"long-{number}.ndjson")
        with open(capture, "w") as f:
            f.writelines(record(longest - 9, i, **members) if i % 3 == 1 else record(99, i) for i in range(30))
        run = Run(suite, pipeline(suite, f"long-{number}", memory="64MiB", bronze={}, silver={}), capture)
        rejected = 10 if shape == "rejected" else 0
        faults = run.fault() + kept(run, "64MiB")
        if run.code == 0:
            stored = sorted(r["n"] for r in tables.read_delta(run.lake, "silver/s").to_pylist())
            raw = [len(r["value"]) for r in tables.read_delta(run.lake, "bronze/s").to_pylist()]
            wanted = [i for i in range(30) if not rejected or i % 3 != 1]
            faults += [] if stored == wanted else [f"silver has {stored}"]
            faults += [] if sorted(raw)[-10:] == [longest - 10] * 10 else [f"bronze's longest are {sorted(raw)[-10:]}"]
        suite.note(f"{shape}: {run.anonymous // MIB} MiB")
        suite.claim(f"ten records of {longest >> 10} KiB ({shape}) stay within 64 MiB, and none is lost", faults)
    long_keys(suite)
    many_parts(suite)
    capture = suite.path("too-long.ndjson")
    with open(capture, "w") as f:
        f.writelines([record(99, 0), record(99, 1), record(longest + 1, 2), record(99, 3)])
    path, faults = pipeline(suite, "too-long", memory="64MiB", bronze={}), []
    for _ in range(2):
        run = Run(suite, path, capture)
        if run.code != 1 or not all(text in run.err for text in ("is longer than 2048 KiB", "position 198", "worker.memory")):
            faults.append(f"ended with {run.code}: {run.err[-400:]}")
        faults += [] if run.anonymous < 64 * MIB else [f"{run.anonymous // MIB} MiB"]
    suite.claim("a record of a byte more stops each run, with its position and the setting", faults)
    run = Run(suite, pipeline(suite, "too-long", memory="128MiB", bronze={}), capture)
    suite.claim("with more memory the same lake continues", run.fault() + ([] if len(run.entries()) > 1 else ["no entry"]))


def large_lookups(suite):
    """A lookup file that does not fit"""
    os.makedirs(suite.path("lookup"))
    with open(suite.path("lookup", "large.csv"), "w") as f:
        f.write("u,x\n" + "".join(f"user-{i},{'v' * 100}\n" for i in range(250_000)))
    with open(suite.path("one.ndjson"), "w") as f:
        f.write('{"u": "user-7", "n": 1}\n')
    sections = {"lookups": {"large": {"file": "large.csv", "key": "u"}}, "silver": {"columns": "*, large.x as y"}}
    path = pipeline(suite, "lookup", memory="64MiB", **sections)
    checked = common.Result([suite.weir, "check", path])
    faults = [] if checked.code == 0 and "warning: the lookups use" in checked.err else [f"check exits {checked.code}: {checked.talk}"]
    for _ in range(2):
        run = Run(suite, path, suite.path("one.ndjson"))
        if run.code != 1 or "the largest is large" not in run.err or "the rows and columns that the pipeline does not use" not in run.err:
            faults.append(f"a run exits {run.code}: {run.err[-400:]}")
        faults += [] if len(run.entries()) <= 1 else [f"the ledger has {len(run.entries())} entries"]
    suite.claim("lookups beyond their part of worker.memory: check warns, each run stops before it reads a record and names the lookup", faults)
    path = pipeline(suite, "lookup", memory="256MiB", **sections)
    checked, run = common.Result([suite.weir, "check", path]), Run(suite, path, suite.path("one.ndjson"))
    suite.claim("with more memory the same lake continues", run.fault() + ([] if "warning" not in checked.err else [checked.talk]))


common.Suite("memory_stays_in_bounds", 1200, __doc__).run(
    tiny_records, partition_values, closing_partitions, hopping_windows, state_beyond_the_budget, budgets_are_kept, large_lookups,
    long_records)
