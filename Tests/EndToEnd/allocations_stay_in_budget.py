#!/usr/bin/env python3
"""No query makes more heap allocations per record than its budget allows (Scripts/benchmark/budgets.json)."""
import os
import subprocess

import common

BENCH = os.path.join(common.ROOT, "Scripts", "bench")


def budgets(suite):
    """The budgets hold."""
    for query in ("q1", "q2", "q3", "q4", "q5"):
        run = subprocess.run([BENCH, "allocations", "--check", *(["--quick"] if suite.quick else []), query],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True)
        said = (run.stdout + run.stderr).strip()
        lines = [line for line in run.stdout.splitlines() if line.startswith(f"| {query} ")]
        suite.claim(" ".join(lines[0].replace("|", " ").split()) if lines else query, [] if run.returncode == 0 else [said[-600:]])
    suite.note("columns: steady, its budget, overall, its budget (allocations per record); bytes allocated, bytes copied")


common.Suite("allocations_stay_in_budget", 300, __doc__).run(budgets)
