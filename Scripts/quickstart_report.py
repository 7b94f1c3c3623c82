#!/usr/bin/env python3
"""Shows the result of the quickstart's replay. Standard library only: reads the tables' logs as JSON, and rows with weir itself.

    quickstart_report.py --weir BINARY --pipeline FILE --demo DIR       DIR contains lake, store and replay.jsonl
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import time

BAR = 32            # characters
BUCKETS = ("accepted", "duplicate", "filtered", "quarantined")
# What is shown: a gold table with the measure to rank by and the columns that name a row; a state table.
GOLD, RANK, NAMES = "gold/daily_by_airline", "flights", ["airline"]
STATE = "aircraft"


def bar(value, most):
    eighths = int(8 * BAR * value / most) if most > 0 and value > 0 else 0
    return "█" * (eighths // 8) + ("▏▎▍▌▋▊▉"[eighths % 8 - 1] if eighths % 8 else "")


def weir(binary, *arguments):
    """Standard output of a command, or None after printing the reason."""
    run = subprocess.run([binary, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if run.returncode:
        print(f"  (weir {' '.join(arguments[:2])}: {run.stderr.strip() or run.returncode})")
        return None
    return run.stdout


def rows_of(text):
    """JSON rows: an array, or one per line."""
    text = (text or "").strip()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.split("\n") if line]


def live_files(table):
    """(rows, files, bytes) of a Delta table, from the commits of its log."""
    files = {}
    for name in sorted(glob.glob(f"{table}/_delta_log/*.json")):
        with open(name) as f:
            for line in f:
                action = json.loads(line)
                if "add" in action:
                    files[action["add"]["path"]] = action["add"]
                elif "remove" in action:
                    files.pop(action["remove"]["path"], None)
    rows = sum(json.loads(a.get("stats") or "{}").get("numRecords", 0) for a in files.values())
    return rows, len(files), sum(a["size"] for a in files.values())


def live_paths(table):
    """Paths of a table's files, relative to the table."""
    paths = {}
    for name in sorted(glob.glob(f"{table}/_delta_log/*.json")):
        with open(name) as f:
            for action in map(json.loads, f):
                if "add" in action:
                    paths[action["add"]["path"]] = True
                elif "remove" in action:
                    paths.pop(action["remove"]["path"], None)
    return list(paths)


def buckets(done, lake):
    """Records by bucket: of the run, or, when it had nothing left to do, of the ledger's entries."""
    if done.get("records"):
        return {b: done[b] for b in BUCKETS}
    counts = dict.fromkeys(BUCKETS, 0)
    for name in glob.glob(f"{lake}/_weir/*/ledger/*.json"):
        with open(name) as f:
            for lane in json.load(f)["lanes"]:
                for b in BUCKETS:
                    counts[b] += lane["counts"][b]
    return counts


def title(text):
    print(f"\n{text}")


def show_buckets(done, lake):
    counts = buckets(done, lake)
    total = sum(counts.values())
    title(f"Every record is in one bucket: {total:,} records")
    for name, n in counts.items():
        print(f"  {name:12} {n:>10,}  {bar(n, total)}")


def show_tables(lake):
    title(f"Tables in {lake} (Delta: delta-rs, Spark, DuckDB, Athena read them)")
    print(f"  {'table':28} {'rows':>10} {'files':>6} {'MB':>8}")
    for log in sorted(glob.glob(f"{lake}/*/*/_delta_log")):
        table = os.path.dirname(log)
        rows, files, size = live_files(table)
        print(f"  {os.path.relpath(table, lake):28} {rows:>10,} {files:>6,} {size / 1e6:>8.1f}")


def show_top(lake):
    """The top rows of a gold table, by DuckDB over the files that its log holds: an independent reader."""
    import duckdb
    title(f"{GOLD}: the windows with the largest {RANK}, read by DuckDB")
    table = os.path.join(lake, GOLD)
    files = [os.path.join(table, name) for name in live_paths(table)]
    rows = duckdb.sql(f"select epoch(window_start), {', '.join(NAMES)}, {RANK} from read_parquet({files!r}) "
                      f"where {RANK} is not null order by {RANK} desc, 1 limit 10").fetchall()
    most = max((row[-1] for row in rows), default=0)
    for row in rows:
        name = "  ".join(str(value) for value in row[1:-1])
        day = time.strftime("%Y-%m-%d", time.gmtime(row[0]))
        print(f"  {day}  {name:12} {row[-1]:>8,.0f}  {bar(row[-1], most)}")


def show_state(binary, store):
    title(f"State table {STATE} (low-latency reads while a worker writes)")
    print("  " + (weir(binary, "state", "scan", STATE, "--store", store, "--limit", "5") or "").rstrip().replace("\n", "\n  "))


def show_speed(binary, done):
    if done.get("unchanged"):
        title("This run found everything done and changed nothing: a replay is exactly once.")
    elif done.get("seconds"):
        title(f"{done['records']:,} records in {done['seconds']:.1f} s: {done['records_per_second']:,.0f} records/s, {done['epochs']} epochs, "
              "with ledger and fsync" + (" (a debug build)" if "/debug/" in binary else ""))


def show_next(a):
    title("What to try next")
    lake, store = f"--lake {a.demo}/lake", f"--store {a.demo}/store"
    for command, what in [
            ("Scripts/quickstart", "a second run changes nothing"),
            (f"{a.weir} explain {a.pipeline}", "the typed plan and the dataflow"),
            (f"{a.weir} state scan {STATE} {store} --limit 10", "keyed state"),
            (f"{a.weir} ledger show {a.pipeline} {lake} {store}", "what was committed, and when"),
            (f"{a.weir} ledger verify {a.pipeline} {lake} {store}", "proves that ledger, tables and files agree"),
            ("Scripts/test", "all tests, with independent readers of the tables")]:
        print(f"  {command}\n      {what}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("--weir", "--pipeline", "--demo"):
        arguments.add_argument(name, required=True)
    a = arguments.parse_args()
    lake = f"{a.demo}/lake"
    with open(f"{a.demo}/replay.jsonl") as f:
        lines = [json.loads(line) for line in f if line.startswith("{")]
    done = lines[-1] if lines else {}
    if done.get("event") != "done":
        sys.exit("quickstart: the replay left no summary. Run it again; to start over:  rm -r .build/demo")
    show_buckets(done, lake)
    show_tables(lake)
    show_top(lake)
    show_state(a.weir, f"{a.demo}/store")
    show_speed(a.weir, done)
    show_next(a)


main()
