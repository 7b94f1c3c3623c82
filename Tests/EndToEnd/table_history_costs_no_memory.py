#!/usr/bin/env python3
"""A worker's memory does not grow with the files and commits of its tables, and its checkpoints are read by other programs."""
import json
import os
import subprocess
import sys

import common

import duckdb
from deltalake import DeltaTable

MIB = 1 << 20
RECORDS = 200               # of each of the captures
TABLE = "bronze/s"
# Per commit without a checkpoint: its name in the listing of the log, and 64 bytes for its file. A file's action alone has 1000 bytes.
BYTES_PER_COMMIT = 450
# What two runs differ by.
NOISE = 8 * MIB
# A small process starts the binary: the peak that wait4 reports includes what a process had in memory before it became the binary.
LAUNCHER = """import os, sys
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
with open(sys.argv[1], "w") as report:
    _, status, usage = os.wait4(pid, 0)
    print(status, usage.ru_maxrss, file=report)
"""


class Table:
    """A lake with one table, to which another program added many files."""

    def __init__(self, suite, files):
        self.suite, self.files = suite, files
        self.directory = suite.path(f"files{files}")
        os.makedirs(self.directory)
        self.pipeline = os.path.join(self.directory, "p.yaml")
        with open(self.pipeline, "w") as f:
            json.dump({"pipeline": "p", "source": {"capture": {"stream": "s"}}, "bronze": {},
                       "record": {"format": "json", "key": "u", "fields": {"u": "string!"}}}, f)      # JSON is YAML
        self.lake, self.captures = os.path.join(self.directory, "lake"), []
        self.path = os.path.join(self.lake, TABLE)

    def run(self):
        """Replays one more capture. The peak of its memory and what went wrong."""
        number = len(self.captures)
        self.captures.append(os.path.join(self.directory, f"{number}.ndjson"))
        with open(self.captures[-1], "w") as f:
            for record in range(RECORDS):
                f.write(json.dumps({"u": f"{number}-{record}"}) + "\n")
        report = os.path.join(self.directory, "report")
        command = [self.suite.weir, "replay", self.pipeline, "--capture", *self.captures, "--lake", self.lake, "--store",
                   os.path.join(self.directory, "store"), "--lanes", "1", "--keep-open", "--json"]
        run = subprocess.run([sys.executable, "-S", "-E", "-c", LAUNCHER, report, *command], stdin=subprocess.DEVNULL,
                             capture_output=True, text=True)
        with open(report) as f:
            status, peak = map(int, f.read().split())
        code = os.waitstatus_to_exitcode(status)
        return peak * 1024, [] if code == 0 else [f"exited with {code}: {run.stderr[-600:]}"]

    def log(self, version, kind="json"):
        return os.path.join(self.path, "_delta_log", f"{version:020}.{kind}")

    def add_files(self):
        """The other program's commits."""
        first = DeltaTable(self.path).version() + 1
        bounds = {name: f"{name}-" + "0123456789" * 3 for name in ("key", "value", "headers", "_shard", "_source", "_run_id")}
        for n in range(self.files):
            stats = {"numRecords": 1, "minValues": bounds, "maxValues": bounds, "nullCount": dict.fromkeys(bounds, 0)}
            add = {"path": f"other/part-{n:010}-00000000-0000-0000-0000-000000000000.parquet", "partitionValues": {}, "size": 1000,
                   "modificationTime": 1, "dataChange": True, "stats": json.dumps(stats)}
            with open(self.log(first + n), "w") as f:
                f.write('{"commitInfo":{"operation":"WRITE"}}\n' + json.dumps({"add": add}) + "\n")

    def checkpoints(self):
        return sorted(name for name in os.listdir(os.path.join(self.path, "_delta_log")) if name.endswith(".checkpoint.parquet"))


def reads(table):
    """What delta-rs and DuckDB read of the log, from the newest checkpoint on, must be all files."""
    names = table.checkpoints()
    if not names:
        return ["no checkpoint was written"]
    for version in range(int(names[-1][:20])):      # the checkpoint must do without the commits before it
        os.remove(table.log(version))
    delta = DeltaTable(table.path)
    found = [uri for uri in delta.file_uris() if "/other/" in uri]
    faults = [] if len(set(found)) == len(found) == table.files else [f"delta-rs reads {len(found)} of {table.files} files"]
    rows = duckdb.sql(f"select count(add.path) from read_parquet('{os.path.join(table.path, '_delta_log', names[-1])}') "
                      "where add.path like 'other/%'").fetchall()[0][0]
    return faults + ([] if rows == table.files else [f"DuckDB reads {rows} of {table.files} files"])


def memory(suite):
    """Few files and many: the peaks are the same, but for the names of commits that no checkpoint covers."""
    peaks = {}
    # The fewer fill a row group of a checkpoint, which is in memory as a whole.
    for files in (9_000, 30_000 if suite.quick else 100_000):
        table = Table(suite, files)
        faults = table.run()[1]
        table.add_files()
        tail, more = table.run()
        suite.claim(f"{files} commits of another program since the last checkpoint: the run continues and writes a checkpoint",
                    faults + more + ([] if table.checkpoints() else ["there is none"]))
        opened, more = table.run()
        suite.claim(f"{files} files in the checkpoint: the run continues", more)
        suite.claim(f"{files} files: delta-rs and DuckDB read all of them from the checkpoint alone", reads(table))
        opened_alone, more = table.run()
        suite.claim(f"{files} files in the checkpoint, and few commits: the run continues", more)
        peaks[files] = (tail, opened, opened_alone)
    (few, least), (many, most) = sorted(peaks.items())
    for what, low, high in zip(("commits to read", "checkpoint and commits", "checkpoint without commits"), least, most):
        limit = low + NOISE + (BYTES_PER_COMMIT * (many - few) if what == "commits to read" else 0)
        suite.claim(f"{what}: {low // MIB} MiB with {few} files, {high // MIB} MiB with {many}, at most {limit // MIB} MiB",
                    [] if high <= limit else ["more"])


common.Suite("table_history_costs_no_memory", 900, __doc__).run(memory)
