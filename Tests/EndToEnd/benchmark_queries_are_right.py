#!/usr/bin/env python3
"""The benchmark's four queries give the exact answers (Scripts/benchmark/verify.py), and equal the reference too."""
import csv
import os
import subprocess
import sys

import common

BENCH = os.path.join(common.ROOT, "Scripts", "benchmark")


def options(arguments):
    arguments.add_argument("--n", type=int, default=200_000, help="events")


def data(n):
    """The stream and its answers, made once."""
    def make(out):
        print(f"       making {n:,} ad events", flush=True)
        subprocess.run([sys.executable, f"{BENCH}/gen.py", "--n", str(n), "--out", out], check=True, stdout=subprocess.DEVNULL)
    return common.once.made(common.INPUTS, f"ads-{n}", "", [f"{BENCH}/gen.py"], [n], make)


def state_as_csv(job, out):
    """The rows of query 2, which live in the state table."""
    os.makedirs(out, exist_ok=True)
    with open(job.pipeline) as f:
        name = next(iter(common.yaml.safe_load(f)["state"]))
    columns = ["user_id", "cnt", "total", "last_ms"]
    with open(f"{out}/q2.csv", "w", newline="") as f:
        rows = csv.writer(f)
        rows.writerow(columns)
        for row in common.tables.scan_lines(job.suite.weir, name, job.store):
            last = row["last_ms"]
            rows.writerow([row["user_id"], row["cnt"], row["total"],
                           common.tables._time(last) // 1000 if isinstance(last, str) else last])
    return out


def queries(suite):
    """Queries 1 to 4."""
    made = data(suite.arguments.n)

    def lookups(spec):
        for lookup in (spec.get("lookups") or {}).values():
            lookup["file"] = f"{made}/campaigns.csv"

    for query in ("q1", "q2", "q3", "q4"):
        job = common.Job(suite, suite.path(query), f"ads-{query}", f"{made}/one/events.ndjson", change=lookups)
        run = job.replay()
        if not suite.claim(f"{query} runs", run.fault()):
            continue
        out = state_as_csv(job, suite.path("q2-csv")) if query == "q2" else job.lake
        verified = subprocess.run([sys.executable, f"{BENCH}/verify.py", query, f"{made}/ref", out], capture_output=True, text=True)
        said = (verified.stdout + verified.stderr).strip()
        suite.claim(f"{query}: {said.splitlines()[-1][:160] if said else 'nothing said'}", [] if verified.returncode == 0 else [said[-1000:]])
        if not suite.quick or query != "q3":        # its 4 million contributions take the reference a while
            suite.claim(f"{query} equals the reference", job.faults())
        rate = run.done.get("records_per_second") or 0
        suite.note(f"{rate:,.0f} records/s with ledger and fsync (reported, not asserted; short runs are slower)")


common.Suite("benchmark_queries_are_right", 400, __doc__, options).run(queries)
