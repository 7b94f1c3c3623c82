#!/usr/bin/env python3
"""Scripts/bench allocations [--check] [--quick] [--n N] [QUERY ...]   heap allocations and bytes copied, a record.

Runs each query twice, on a stream of 2 N records and on its first N, with a counter of malloc preloaded
(malloc_counter.c, compiled below .build/bench). The difference by N is the cost of a record in the steady state; the
longer run by 2 N is the cost overall, with start-up, cuts and the end. --check compares with budgets.json and exits
with 1 if one is over; a number far below its budget is a reason to lower it.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys

import common

BUDGETS = os.path.join(common.HERE, "budgets.json")


def first_half(whole, n):
    """A data directory with the first n lines of another."""
    out = f"{whole}-first"
    if not os.path.exists(f"{out}/campaigns.csv"):
        os.makedirs(f"{out}/one", exist_ok=True)
        with open(f"{whole}/one/events.ndjson", "rb") as f, open(f"{out}/one/events.ndjson", "wb") as g:
            for _ in range(n):
                g.write(f.readline())
        shutil.copy(f"{whole}/campaigns.csv", out)      # last: it says that the directory is whole
    return out


def count(query, data, library):
    """(allocations, bytes allocated, copies, bytes copied) of a run."""
    out, counts = f"{common.WORK}/out/allocations-{query}", f"{common.WORK}/counts"
    shutil.rmtree(out, ignore_errors=True)
    if os.path.exists(counts):
        os.remove(counts)
    under = f"env LD_PRELOAD={library} WEIR_COUNTS={counts}"
    run = subprocess.run(common.weir_command(query, data, out), env={**os.environ, "WEIR_UNDER": under}, capture_output=True, text=True)
    shutil.rmtree(out, ignore_errors=True)
    if run.returncode:
        common.stop(f"{query} ended with {run.returncode} under the counter", (run.stderr or run.stdout).strip()[-500:])
    if not os.path.exists(counts):
        common.stop(f"{query} left no counts", "Is the binary linked statically? The counter needs the dynamic libc.")
    return [int(v) for v in common.read(counts).split()]


def main():
    parser = argparse.ArgumentParser(prog="Scripts/bench allocations", description=__doc__.split("\n\n")[1])
    parser.add_argument("queries", nargs="*", metavar="QUERY", help="q1 to q5; default: all")
    parser.add_argument("--check", action="store_true", help="fail if a budget is exceeded")
    parser.add_argument("--quick", action="store_true", help="N = 300,000")
    parser.add_argument("--n", type=int, help="records of the shorter run; default: 1,000,000")
    a = parser.parse_args()
    queries = a.queries or list(common.QUERIES)
    if unknown := set(queries) - set(common.QUERIES):
        parser.error(f"there is no query {', '.join(sorted(unknown))}; there are: {', '.join(common.QUERIES)}")
    common.need_binary()
    n = a.n or (300_000 if a.quick else 1_000_000)
    budgets = json.loads(common.read(BUDGETS))
    library = common.compiled("malloc_counter.c", "-fno-builtin")
    whole = common.data(2 * n, layouts="one")
    half = first_half(whole, n)
    rows, found, over = [], {}, []
    for query in queries:
        short, long = count(query, half, library), count(query, whole, library)
        values = {
            "steady_allocations_per_record": (long[0] - short[0]) / n, "overall_allocations_per_record": long[0] / (2 * n),
            "bytes_allocated_per_record": (long[1] - short[1]) / n, "bytes_copied_per_record": (long[3] - short[3]) / n,
        }
        found[query] = {k: round(v, 5) for k, v in values.items()}
        verdict = []
        for name, most in budgets["queries"].get(query, {}).items():
            if values[name] > most:
                verdict.append(f"over: {name} {values[name]:.4f} > {most}")
        over += [f"{query}: {v}" for v in verdict]
        budget = budgets["queries"].get(query, {})
        rows.append([query, f"{values['steady_allocations_per_record']:.4f}", budget.get("steady_allocations_per_record", "-"),
                     f"{values['overall_allocations_per_record']:.4f}", budget.get("overall_allocations_per_record", "-"),
                     f"{values['bytes_allocated_per_record']:.0f}", f"{values['bytes_copied_per_record']:.0f}",
                     "over" if verdict else "ok"])
    text = common.markdown(["query", "allocations per record, steady", "budget", "overall", "budget", "bytes allocated", "bytes copied", ""], rows)
    print(text)
    print(f"{2 * n:,} records against their first {n:,}")
    common.save("allocations", {"n": n, "queries": found, "machine": common.machine()}, text)
    if over and a.check:
        print("\n".join(f"FAILED {line}" for line in over))
        print("  Find the call:  Scripts/bench profile QUERY ; raise the budget in Scripts/benchmark/budgets.json only with a reason.")
        sys.exit(1)


main()
