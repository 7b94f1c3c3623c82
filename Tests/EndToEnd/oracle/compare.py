#!/usr/bin/env python3
"""Compares Weir's output with the reference, row by row.

    compare.py --pipeline FILE --capture FILE... --lake DIR --store DIR --weir BINARY [--cache DIR]

Bronze, silver, gold, late, quarantine and state tables as multisets of whole rows, their columns' names, order and types, and
the ledger's counts. Exit code 1 and the first differences if anything differs.
"""
import argparse
import collections
import os
import sys

import polars as pl
import pyarrow as pa

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pipeline as pipelines
import reference as references
import tables

SHOWN = 4            # differing rows that are printed


def wanted_names(name, rows):
    """Columns of the table in weir's order: the reference leaves out those that it does not compute."""
    names = []
    for column in rows.column_names:
        names.append(column)
        if name.startswith("quarantine/") and column == "stage":
            names.append("reason")
        if column == "_source":
            names.append("_run_id")
    return names


def family(t):
    if pa.types.is_decimal(t) or pa.types.is_integer(t):
        return "exact number"
    if pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t):
        return "string"
    if pa.types.is_binary(t) or pa.types.is_large_binary(t) or pa.types.is_binary_view(t):
        return "binary"
    return "timestamp" if pa.types.is_timestamp(t) else str(t)


def schema_faults(name, wanted, got):
    faults = []
    names = wanted_names(name, wanted.rows)
    if got.column_names != names:
        faults.append(f"columns are {got.column_names}, expected {names}")
    for f in wanted.rows.schema:
        if f.name not in got.column_names:
            continue
        found = got.schema.field(f.name).type
        if pa.types.is_dictionary(found):
            found = found.value_type
        if family(found) != family(f.type) or (
                f.name not in wanted.loose and family(f.type) == "exact number" and found != f.type):
            faults.append(f"column {f.name} is {found}, expected {f.type}")
    return faults


def common(a, b):
    """Both columns with one type in which equal values are equal."""
    a, b = [c.cast(c.type.value_type) if pa.types.is_dictionary(c.type) else c for c in (a, b)]
    kind = family(a.type)
    if kind == "timestamp":
        return a.cast(pa.int64()), b.cast(pa.int64())
    if kind == "exact number" and a.type != b.type:
        scale = max(getattr(t, "scale", 0) for t in (a.type, b.type))
        return a.cast(pa.decimal128(38, scale)), b.cast(pa.decimal128(38, scale))
    if kind in ("string", "binary"):
        t = pa.large_string() if kind == "string" else pa.large_binary()
        return a.cast(t), b.cast(t)
    return a, b


def close(a, b):
    """Equal, or the last bits of a sum of doubles apart."""
    if (a.is_null() != b.is_null()).any():
        return False
    bound = pl.max_horizontal(pl.lit(a).abs(), pl.lit(b).abs()) * 1e-12
    return bool(pl.select((((pl.lit(a) - pl.lit(b)).abs() <= bound) | (pl.lit(a) == pl.lit(b))).all()).item())


def row_faults(wanted, got, sums=()):
    """What the rows of two Arrow tables with the same columns do not have in common."""
    columns = {n: common(wanted[n].combine_chunks(), got[n].combine_chunks()) for n in wanted.column_names}
    left, right = [pl.from_arrow(pa.table({n: pair[side] for n, pair in columns.items()})) for side in (0, 1)]
    keys = [n for n in left.columns if n not in sums]
    a, b = left.sort(keys, nulls_last=False), right.sort(keys, nulls_last=False)
    if a.select(keys).equals(b.select(keys)) and all(close(a[n], b[n]) for n in sums):
        return []
    left_rows, right_rows = collections.Counter(a.select(keys).iter_rows()), collections.Counter(b.select(keys).iter_rows())
    missing, extra = left_rows - right_rows, right_rows - left_rows
    faults = []
    for what, rows in (("missing", missing), ("not expected", extra)):
        if rows:
            faults.append(f"{sum(rows.values()):,} rows are {what}")
            # With nulls and bytes among the values only their texts can be ordered.
            faults += [f"    {what}: {shown(keys, row)}" for row in sorted(rows, key=repr)[:SHOWN]]
    return faults or [f"sums of doubles differ: {[n for n in sums if not close(a[n], b[n])]}"]


def shown(names, row):
    def text(v):
        v = repr(v)
        return v if len(v) < 120 else v[:117] + "..."
    return ", ".join(f"{n}={text(v)}" for n, v in zip(names, row) if v is not None)


def constants(name, got, seen):
    """Columns that the reference does not compute: one run id everywhere, and a reason for every rejection."""
    faults = []
    if "_run_id" in got.column_names:
        seen.update(got["_run_id"].unique().to_pylist())
        if len(seen) > 1 or None in seen:
            faults.append(f"_run_id is not one for all: {sorted(map(str, seen))[:SHOWN]}")
    if name.startswith("quarantine/") and "reason" in got.column_names:
        if not all(got["reason"].to_pylist()):
            faults.append("a row has no reason")
    return faults


def compare(reference, pipeline, lake, store, weir):
    """Yields (table, rows, faults) for every table, and for the ledger's counts."""
    there = set(tables.delta_tables(lake))
    run_ids = set()
    for name, wanted in reference.tables.items():
        rows = wanted.rows.num_rows
        try:
            if name.startswith("state/"):
                got = tables.read_state(weir, name.removeprefix("state/"), store, wanted.rows.schema)
                yield name, rows, row_faults(wanted.rows, got, wanted.sums)
                continue
            if name not in there:
                yield name, rows, [f"there is no table, {rows:,} rows are missing"] if rows else []
                continue
            got = tables.read_delta(lake, name)
            faults = schema_faults(name, wanted, got)
            yield name, rows, faults or row_faults(wanted.rows, got, wanted.sums) + constants(name, got, run_ids)
        except Exception as e:      # a table that cannot be read is a finding, not the end of the comparison
            yield name, rows, [f"cannot be read: {type(e).__name__}: {e}"]
    for name in sorted(there - set(reference.tables)):
        yield name, 0, ["nothing is known of this table"]
    counted = tables.totals(tables.entries(lake, pipelines.load(pipeline).name))
    if counted:
        buckets, windows, records = counted
        faults = [f"{buckets} in {records:,}, expected {reference.buckets} in {reference.records:,}"] \
            if (buckets, records) != (reference.buckets, reference.records) else []
        for table, counts in reference.windows.items():
            zero = dict.fromkeys(counts, 0)
            if windows.get(table, zero) != counts:
                faults.append(f"{table}: {windows.get(table)}, expected {counts}")
        yield "counts of the ledger", records, faults


def compare_lakes(pipeline, a, b, weir, without=()):
    """Yields (table, rows, faults): two runs, each (lake, store), left the same rows, apart from some columns."""
    names = sorted({*tables.delta_tables(a[0]), *tables.delta_tables(b[0])})
    for name in names:
        try:
            x, y = [read.drop_columns([c for c in without if c in read.schema.names])
                    for read in (tables.read_delta(a[0], name), tables.read_delta(b[0], name))]
            faults = row_faults(x, y) if x.schema == y.schema else [f"columns differ: {x.schema.names}, {y.schema.names}"]
            yield name, x.num_rows, faults
        except Exception as e:
            yield name, 0, [f"cannot be read: {type(e).__name__}: {e}"]
    for table in pipelines.load(pipeline).state:
        x, y = [sorted(repr({k: v for k, v in row.items() if not k.startswith("_")}) for row in tables.scan_lines(weir, table.name, s))
                for s in (a[1], b[1])]
        yield f"state/{table.name}", len(x), [] if x == y else [f"{len(set(x) ^ set(y)):,} rows differ: {sorted(set(x) ^ set(y))[:SHOWN]}"]


def report(findings, quiet=False):
    """Prints findings; returns how many passed and failed."""
    passed = failed = 0
    for name, rows, faults in findings:
        passed, failed = (passed, failed + 1) if faults else (passed + 1, failed)
        if faults or not quiet:
            print(f"  {'FAILED' if faults else 'ok    '} {name} ({rows:,} rows)", flush=True)
        for fault in faults:
            print(f"         {fault}", flush=True)
    return passed, failed


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("--pipeline", "--lake", "--store", "--weir"):
        arguments.add_argument(name, required=True)
    arguments.add_argument("--capture", required=True, nargs="+")
    arguments.add_argument("--cache", help="keeps references here, for the next time")
    a = arguments.parse_args()
    reference = references.cached(a.pipeline, a.capture, a.cache) if a.cache else references.compute(a.pipeline, a.capture)
    passed, failed = report(compare(reference, a.pipeline, a.lake, a.store, a.weir))
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
