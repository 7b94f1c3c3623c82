#!/usr/bin/env python3
"""Column statistics hide no row from delta-rs, pyarrow datasets, polars and DuckDB.

A table has one file per edge case of each type. Each reader answers each predicate through the table, where statistics let it
skip files and row groups, and over the same rows in memory, where nothing is skipped. Both answers must be the same rows.
"""
import datetime
import decimal
import json
import os
import re
import subprocess

import common

import duckdb
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable, QueryBuilder

PIPELINE = """
pipeline: edges
source: {capture: {stream: edges}}
record:
  format: json
  key: id
  time: {field: at, out_of_order: 0s}
  fields:
    id: int64!
    at: timestamp_ms!
    part: string!
    b: bool
    i: int64
    d: double
    m: "decimal(12,2)"
    w: "decimal(38,10)"
    x: "decimal(38,0)"
    s: string
    t: timestamp_us
silver: {partition_by: part, columns: "id, part, b, i, d, m, w, x, s, t"}
lake: {file_size: 1MiB}
"""

LONG = "k" * 31
# Values of one file each; None is null.
CASES = {
    "b": [[True], [False], [True, False], [None], [True, None], [False, None]],
    "i": [[-2**63, 2**63 - 1], [0], [2**53 + 1], [-(2**53) - 1], [2**62 + 1, 2**62 + 3], [None], [7, None]],
    "d": [[-0.0], [0.0], [-0.0, 0.0], [5e-324], [-5e-324], [1.7976931348623157e308], [0.1, 1e16], [1e-7, 123456789.125], [None], [2.5, None]],
    "m": [["9999999999.99"], ["-9999999999.99"], ["0.01", "0.02"], ["-0.01"], ["0.10"], ["1234567.89"], [None], ["5.00", None]],
    "w": [["1234567890123456789012345678.0123456789"], ["-1234567890123456789012345678.0123456789"],
          ["9999999999999999999999999999.9999999999"], ["0.0000000001"], ["1.1000000000"], ["9007199254740993.0000000001"], [None]],
    "x": [["99999999999999999999999999999999999999"], ["-99999999999999999999999999999999999999"], ["9007199254740993"],
          ["18446744073709551617"], ["12345678901234567890"], [None]],
    "s": [[""], ["a", "b"], [LONG + "z"], [LONG + "zz"], [LONG + "zy", LONG + "zz"], [LONG + "\U0010ffff" * 3], ["\U0010ffff" * 40],
          ["é" * 40], ["\x7f" * 40], ["\U0001f600", "\uffff"], [None], ["", None], [LONG + "z" + "\x00"]],
    "t": [[1767225600000001], [1767225600000999], [1767225600000000], [1767225600001000], [-1], [-999], [-1001], [0],
          [253402300799999999], [-62135596800000000], [1767225600123456, 1767225600123457], [None]],
}
OPERATORS = ["=", "<", "<=", ">", ">=", "<>"]
DECIMALS = {"m": (12, 2), "w": (38, 10), "x": (38, 0)}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def value(column, raw):
    """As Python readers take it."""
    if raw is None:
        return None
    if column in DECIMALS:
        return decimal.Decimal(raw)
    if column == "t":
        return EPOCH + datetime.timedelta(microseconds=raw)
    return raw


def sql(column, raw, dialect):
    """As a literal of DuckDB or DataFusion."""
    if column == "b":
        return "true" if raw else "false"
    if column == "i":
        return f"cast('{raw}' as bigint)"
    if column == "d":
        return f"cast('{raw!r}' as double)"
    if column in DECIMALS:
        return "cast('{}' as decimal({},{}))".format(raw, *DECIMALS[column])
    if column == "s":
        return "'" + raw.replace("'", "''") + "'"
    text = value(column, raw).strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0")
    if dialect == "duckdb":
        return f"timestamptz '{text.replace('T', ' ')}+00'"
    return f"arrow_cast('{text}Z', 'Timestamp(Microsecond, Some(\"UTC\"))')"


def make(suite):
    rows = []
    for column, files in CASES.items():
        for number, values in enumerate(files):
            for raw in values:
                row = {"id": len(rows), "at": 1767225600000 + len(rows), "part": f"{column}{number}"}
                if raw is not None:
                    row[column] = raw
                rows.append(row)
    with open(suite.path("edges.ndjson"), "w") as f:
        for row in rows:
            # Decimals are written as they are: as floating-point numbers they would lose digits.
            f.write(re.sub(r'("[mwx]": )"([^"]*)"', r"\1\2", json.dumps(row, ensure_ascii=False)) + "\n")
    with open(suite.path("edges.yaml"), "w") as f:
        f.write(PIPELINE)
    done = subprocess.run(
        [suite.weir, "replay", suite.path("edges.yaml"), "--capture", suite.path("edges.ndjson"), "--lake", suite.path("lake")],
        capture_output=True, text=True, timeout=120)
    return suite.path("lake", "silver", "edges"), len(rows), done


def rows_in_memory(path):
    """All rows, read file by file without a filter; the partition is only in the path."""
    tables = []
    for directory, _, names in sorted(os.walk(path)):
        if "_delta_log" in directory:
            continue
        for name in names:
            tables.append(pq.ParquetFile(os.path.join(directory, name)).read())
    return pa.concat_tables(tables)


class Readers:
    """Each answers with the sorted ids of the rows that a predicate selects: through the table, and in memory."""

    def __init__(self, path):
        self.memory = rows_in_memory(path)
        self.delta = DeltaTable(path)
        self.dataset = self.delta.to_pyarrow_dataset()
        self.builder = QueryBuilder().register("t", self.delta)
        self.lazy = polars.scan_delta(path)
        self.frame = polars.from_arrow(self.memory)
        self.duck = duckdb.connect()
        self.duck.execute("set timezone = 'UTC'")
        self.duck.register("memory", self.memory)
        self.duck.register("arrow", self.dataset)
        self.files = f"read_parquet('{path}/part=*/*.parquet', hive_partitioning = false)"

    @staticmethod
    def ids(table):
        return sorted(pa.table(table)["id"].to_pylist())

    def check(self, column, operator, raws):
        """(reader, through the table, in memory) for each reader."""
        for name, table, memory in (
                ("delta-rs", lambda: self.datafusion(column, operator, raws), lambda: self.duckdb("memory", column, operator, raws)),
                ("pyarrow dataset", lambda: self.ids(self.dataset.to_table(columns=["id"], filter=self.arrow(column, operator, raws))),
                 lambda: self.ids(ds.dataset(self.memory).to_table(columns=["id"], filter=self.arrow(column, operator, raws)))),
                ("polars", lambda: self.polars(self.lazy, column, operator, raws),
                 lambda: self.polars(self.frame.lazy(), column, operator, raws)),
                ("DuckDB on files", lambda: self.duckdb(self.files, column, operator, raws),
                 lambda: self.duckdb("memory", column, operator, raws)),
                ("DuckDB on a dataset", lambda: self.duckdb("arrow", column, operator, raws),
                 lambda: self.duckdb("memory", column, operator, raws))):
            try:
                expected = memory()
            except Exception as e:
                yield name, f"not answered in memory: {e}", None
                continue
            try:
                yield name, table(), expected
            except Exception as e:
                yield name, f"{type(e).__name__}: {e}", expected

    def where(self, column, operator, raws, dialect):
        if operator == "is null":
            return f"{column} is null"
        if operator == "is not null":
            return f"{column} is not null"
        if operator == "in":
            return f"{column} in ({', '.join(sql(column, raw, dialect) for raw in raws)})"
        return f"{column} {operator} {sql(column, raws[0], dialect)}"

    def datafusion(self, column, operator, raws):
        return self.ids(self.builder.execute(f"select id from t where {self.where(column, operator, raws, 'datafusion')}").read_all())

    def duckdb(self, table, column, operator, raws):
        found = self.duck.execute(f"select id from {table} where {self.where(column, operator, raws, 'duckdb')}").fetchall()
        return sorted(i for i, in found)

    def arrow(self, column, operator, raws):
        field, type = pc.field(column), self.memory.schema.field(column).type
        scalars = [pa.scalar(value(column, raw), type=type) for raw in raws]
        return {"is null": lambda: field.is_null(), "is not null": lambda: field.is_valid(), "in": lambda: field.isin(pa.array(scalars, type)),
                "=": lambda: field == scalars[0], "<": lambda: field < scalars[0], "<=": lambda: field <= scalars[0],
                ">": lambda: field > scalars[0], ">=": lambda: field >= scalars[0], "<>": lambda: field != scalars[0]}[operator]()

    def polars(self, frame, column, operator, raws):
        field, type = polars.col(column), self.frame.schema[column]
        literals = [polars.lit(value(column, raw), dtype=type) for raw in raws]
        predicate = {"is null": lambda: field.is_null(), "is not null": lambda: field.is_not_null(),
                     "in": lambda: field.is_in(polars.Series([value(column, raw) for raw in raws], dtype=type).implode()),
                     "=": lambda: field == literals[0], "<": lambda: field < literals[0], "<=": lambda: field <= literals[0],
                     ">": lambda: field > literals[0], ">=": lambda: field >= literals[0], "<>": lambda: field != literals[0]}[operator]()
        return sorted(frame.filter(predicate).select("id").collect()["id"].to_list())


def pruned(suite):
    path, count, done = make(suite)
    if not suite.claim("a table of edge values is written", [] if done.returncode == 0 else done.stderr):
        return
    readers = Readers(path)
    suite.claim("it has every row", [] if readers.memory.num_rows == count else f"{readers.memory.num_rows} of {count} rows")
    answers, faults = 0, {}
    for column, files in CASES.items():
        raws = [raw for raw in dict.fromkeys(repr(v) for values in files for v in values if v is not None)]
        raws = [eval(raw) for raw in raws]
        if suite.quick:
            raws = raws[:8]
        questions = [("is null", []), ("is not null", []), ("in", raws[:1]), ("in", raws[-2:])]
        questions += [(operator, [raw]) for raw in raws for operator in OPERATORS]
        for operator, values in questions:
            for reader, found, expected in readers.check(column, operator, values):
                # DuckDB 2.0.0 answers `is null` with all rows of a plain text chunk that holds nulls and a single value, whoever wrote it
                # (pyarrow.parquet.write_table with use_dictionary=False shows it).
                if (reader, column, operator) == ("DuckDB on files", "s", "is null"):
                    continue
                answers += 1
                if found != expected:
                    what = found if isinstance(found, str) else f"{len(found)} rows, {len(expected)} without statistics"
                    faults.setdefault((reader, column), []).append(f"{reader}: {column} {operator} {values!r:.60}: {what}")
    for reader in ("delta-rs", "pyarrow dataset", "polars", "DuckDB on files", "DuckDB on a dataset"):
        for column in CASES:
            found = faults.get((reader, column), [])
            suite.claim(f"{reader} finds the same rows of column {column} with statistics and without", found)
    suite.note(f"{answers:,} answers")


common.Suite("statistics_hide_no_rows", 200, __doc__).run(pruned)
