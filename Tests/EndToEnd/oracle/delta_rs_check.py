#!/usr/bin/env python3
"""delta-rs as an independent reader and writer of the tables that weir wrote.

    delta_rs_check.py --lake DIR --pipeline NAME [--need-checkpoint]

For every table below the lake:
- its rows are as many as its files' statistics and the ledger's entries say; the version before the first checkpoint is readable
- `txn` is seen by delta-rs under `<ledger id>/<table>`, and is a ledger number that covers the table's last files; the one under
  `<ledger id>/<table>/entry` is what that entry's hash gives
- the log without its checkpoints gives the same rows as with them
- delta-rs can append to a copy of the table, and can write a checkpoint of its own; the rows are then the old and the new ones

The lake is only read.
"""
import argparse
import glob
import json
import os
import re
import shutil
import sys
import tempfile

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare
import tables


def logged(path):
    """Every action of the table's JSON commits."""
    for name in sorted(glob.glob(f"{path}/_delta_log/*.json")):
        with open(name) as f:
            for line in f:
                if line.strip():
                    yield json.loads(line)


def of_ledger(entries, table):
    """(rows, last entry that names the table), or None if entries were collected."""
    if [e["number"] for e in entries] != list(range(len(entries))):
        return None
    rows, last = 0, -1
    for entry in entries:
        for commit in entry["tables"]:
            if commit["table"] == table and commit["files"]:
                rows += sum(f["rows"] for f in commit["files"])
                last = entry["number"]
    return rows, last


def read_faults(lake, table, entries):
    path = os.path.join(lake, table)
    delta = DeltaTable(path)
    rows = delta.to_pyarrow_table()
    faults = []
    said = sum(n or 0 for n in pa.table(delta.get_add_actions(flatten=True))["num_records"].to_pylist())
    if said != rows.num_rows:
        faults.append(f"statistics say {said:,} rows, {rows.num_rows:,} are read")
    if entries:
        app = f"{entries[0]['genesis']['ledgerID']}/{table}" if "genesis" in entries[0] else None
        apps = {a["txn"]["appId"] for a in logged(path) if "txn" in a}
        if app and apps not in ({app, app + "/entry"}, {app}, set()):
            faults.append(f"txn is of {sorted(apps)}, expected {app} and {app}/entry")
        app = app or min(apps, key=len, default="")
        version = delta.transaction_version(app)
        faults += proof_faults(version, delta.transaction_version(app + "/entry"), entries)
        ledger = of_ledger(entries, table)
        if version is None:
            if rows.num_rows or not ledger or ledger[1] >= 0:      # a table that never had a row may have no txn
                faults.append("delta-rs sees no txn")
        elif ledger and not ledger[1] <= version <= entries[-1]["number"]:
            faults.append(f"txn is {version}, the ledger names the table last in {ledger[1]} and ends with {entries[-1]['number']}")
        if ledger and ledger[0] != rows.num_rows:
            faults.append(f"the ledger's files have {ledger[0]:,} rows, delta-rs reads {rows.num_rows:,}")
    return rows, faults


def proof_faults(version, proof, entries):
    """The second txn holds the first 47 bits of the entry's hash, then the low 16 bits of its number."""
    hashes = {e["number"]: e["hash"] for e in entries} | {e["number"] - 1: e["previousHash"] for e in entries[1:]}
    if version not in hashes or version == 0 and proof is None:     # a table without entries has no proof
        return []
    wanted = int(hashes[version], 16) >> 209 << 16 | version & 0xFFFF
    return [] if proof == wanted else [f"the txn of entry {version} is {proof}, its hash gives {wanted}"]


def checkpoints(path):
    return sorted(int(os.path.basename(f)[:20]) for f in glob.glob(f"{path}/_delta_log/*.checkpoint*.parquet"))


def checkpoint_faults(path, rows, copy):
    """The log is also right without checkpoints, and before the first."""
    first = checkpoints(path)[0]
    before = DeltaTable(path, version=first - 1).to_pyarrow_table()
    faults = [] if before.num_rows <= rows.num_rows else [f"version {first - 1} has more rows than the last one"]
    last = DeltaTable(path).version()
    with open(f"{path}/_delta_log/_last_checkpoint") as f:
        if json.load(f)["version"] != checkpoints(path)[-1]:
            faults.append("_last_checkpoint does not name the last one")
    for name in glob.glob(f"{copy}/_delta_log/*.checkpoint*.parquet") + [f"{copy}/_delta_log/_last_checkpoint"]:
        os.remove(name)
    without = DeltaTable(copy)
    if without.version() != last:
        faults.append(f"without checkpoints the version is {without.version()}, with them {last}")
    return faults + compare.row_faults(rows, without.to_pyarrow_table())


def append_faults(copy, rows):
    """delta-rs adds three rows, then writes a checkpoint."""
    more = rows.slice(0, 3)
    write_deltalake(copy, more, mode="append", partition_by=DeltaTable(copy).metadata().partition_columns or None)
    wanted = pa.concat_tables([rows, more])
    faults = compare.row_faults(wanted, DeltaTable(copy).to_pyarrow_table())
    DeltaTable(copy).create_checkpoint()
    return faults + compare.row_faults(wanted, DeltaTable(copy).to_pyarrow_table())


def check(lake, pipeline, need_checkpoint=False):
    """Yields (claim, rows, faults)."""
    entries = tables.entries(lake, pipeline)
    seen = False
    for table in tables.delta_tables(lake):
        path = os.path.join(lake, table)
        with tempfile.TemporaryDirectory() as scratch:
            try:
                rows, faults = read_faults(lake, table, entries)
                yield f"delta-rs reads {table} and its txn", rows.num_rows, faults
                copy = os.path.join(scratch, "t")
                if checkpoints(path):
                    seen = True
                    shutil.copytree(path, copy)
                    yield f"delta-rs reads {table} the same without checkpoints", rows.num_rows, checkpoint_faults(path, rows, copy)
                    shutil.rmtree(copy)
                shutil.copytree(path, copy)
                yield f"delta-rs appends to a copy of {table}", rows.num_rows, append_faults(copy, rows)
            except Exception as e:          # whatever delta-rs takes offence at is a finding
                yield f"delta-rs reads {table}", 0, [re.sub(r"\s+", " ", f"{type(e).__name__}: {e}")[:1000]]
    if need_checkpoint and not seen:
        yield "some table has a checkpoint", 0, ["none has: the test shows less than it should, use a smaller flush size"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--lake", required=True)
    arguments.add_argument("--pipeline", required=True, help="the pipeline's name")
    arguments.add_argument("--need-checkpoint", action="store_true")
    a = arguments.parse_args()
    passed, failed = compare.report(check(a.lake, a.pipeline, a.need_checkpoint))
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
