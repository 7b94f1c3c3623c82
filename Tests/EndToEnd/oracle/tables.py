"""Reads Weir's output with independent readers: Delta tables by delta-rs, the ledger's entries as JSON. The state
table is read by `weir state scan`, since its rows are weir's own format."""
import datetime
import decimal
import json
import os
import re
import subprocess

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem


def is_table(path):
    """Is it a Delta table with a commit? A writer makes the folder of the log before its first commit."""
    log = os.path.join(path, "_delta_log")
    return os.path.isdir(log) and any(re.fullmatch(r"\d{20}\.json", name) for name in os.listdir(log))


def delta_tables(lake):
    """Names (`gold/x`) of the Delta tables below a lake. One whose commits are all gone is one too."""
    found = []
    for directory, names, _ in os.walk(lake):
        if "_delta_log" in names:
            found.append(os.path.relpath(directory, lake))
            names.clear()
        names[:] = [n for n in names if n != "_weir"]
    return sorted(found)


def read_delta(lake, table, version=None):
    path = os.path.abspath(os.path.join(lake, table))
    # The list of files is delta-rs's. pyarrow reads them itself: through delta-rs's storage a small file takes nearly twice as long.
    return DeltaTable(path, version=version).to_pyarrow_table(filesystem=SubTreeFileSystem(path, LocalFileSystem()))


def entries(lake, pipeline):
    """The ledger's entries, in order, that are still there."""
    found = {}
    for directory, _, files in os.walk(os.path.join(lake, "_weir", pipeline, "ledger")):
        for name in files:
            if re.fullmatch(r"\d{20}\.json", name):
                found[int(name[:20])] = os.path.join(directory, name)
    out = []
    for number in sorted(found):
        with open(found[number]) as f:
            out.append(json.load(f))
    return out


# Where each record ends in.
BUCKETS = ("accepted", "duplicate", "filtered", "quarantined")


def totals(entries):
    """(buckets, {gold table: window counts}, records) over all entries, or None if some were collected."""
    if not entries or [e["number"] for e in entries] != list(range(len(entries))):
        return None
    buckets = dict.fromkeys(BUCKETS, 0)
    windows = {}
    for entry in entries:
        for lane in entry["lanes"]:
            for bucket in buckets:
                buckets[bucket] += lane["counts"][bucket]
            for table, counts in lane["windows"].items():
                mine = windows.setdefault(table.removeprefix("gold/"), dict.fromkeys(("onTime", "corrected", "late"), 0))
                for name in mine:
                    mine[name] += counts[name]
    return buckets, windows, sum(buckets.values())


def _time(text):
    """Microseconds since 1970 of `2026-01-01T00:00:00.123Z`."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z", text)
    whole = datetime.datetime.fromisoformat(match[1]) - datetime.datetime(1970, 1, 1)
    return whole // datetime.timedelta(microseconds=1) + int(((match[2] or "") + "000000")[:6])


def _cell(value, kind):
    if value is None:
        return None
    if pa.types.is_timestamp(kind):
        return _time(value)
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_decimal(kind):
        return decimal.Decimal(value)
    return value


def scan_lines(weir, name, store):
    """The rows of a state table as JSON objects, numbers exact."""
    run = subprocess.run([weir, "state", "scan", name, "--format", "json", "--store", store], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=300)
    if run.returncode:
        raise RuntimeError(f"weir state scan {name} ended with {run.returncode}: {run.stderr.strip()[-500:]}")
    text = run.stdout.strip()
    parse = {"parse_float": decimal.Decimal}
    # Not splitlines(), which also splits at U+2028 within a string.
    return json.loads(text, **parse) if text.startswith("[") else [json.loads(line, **parse) for line in text.split("\n") if line]


def read_state(weir, name, store, schema):
    """The state table's rows with the columns of `schema`. Every row must say that the ledger has reached it."""
    rows = scan_lines(weir, name, store)
    for row in rows:
        if row.get("_committed") is not True:
            raise RuntimeError(f"state {name}: a row is not committed: {row}")
        unknown = {c for c in row if not c.startswith("_")} - set(schema.names)
        if unknown or not set(schema.names) <= set(row):
            raise RuntimeError(f"state {name}: columns {sorted(row)} instead of {schema.names}")
    return pa.table({f.name: pa.array([_cell(row[f.name], f.type) for row in rows], f.type) for f in schema})
