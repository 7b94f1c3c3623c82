"""Reads Parquet files that Weir wrote with pyarrow, DuckDB, polars and delta-rs and compares every value.

    parquet_check.py DIR

Each DIR/NAME.json says what DIR/NAME.parquet must hold. Flat files:
  {"columns": [{"name", "type", "nullable", "values", "statistics": {"nulls", "nans", "min", "max"}}],
   "rows", "groups", "least_groups", "mixed", "delta"}
with `values` as text made from the test's input: int64, timestamp and decimal (unscaled) in decimal digits, double as
its 64 bits in decimal digits, string and binary in hex, bool as true and false, null as null. `groups`: rows of each
row group, or null; `least_groups`: how many there must be; `mixed`: every column has data pages of two encodings;
`delta`: read it with delta-rs too.
Nested files: {"nested": [row, ...]} with rows as JSON objects, maps as lists of [key, value].

Prints one line for each file that is wrong and ends with 1, or one line with what was compared.
"""

import datetime
import decimal
import json
import math
import pathlib
import shutil
import struct
import sys
import tempfile

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import QueryBuilder, convert_to_deltalake, DeltaTable

decimal.getcontext().prec = 80


def scale_of(type_name):
    return int(type_name[:-1].split(",")[1])


def number(text, type_name):
    """The value of the sidecar's text for comparing and sorting."""
    if text is None or isinstance(text, bool):
        return text
    if type_name == "double":
        return struct.unpack("<d", struct.pack("<Q", int(text)))[0]
    if type_name in ("string", "binary"):
        return bytes.fromhex(text)
    return int(text)


def actual(column, type_name):
    """The values of an Arrow column, in the form of `number`."""
    if type_name == "timestamp":
        if not pa.types.is_timestamp(column.type) or column.type.tz is None or column.type.unit != "us":
            raise ValueError(f"not a UTC timestamp in microseconds: {column.type}")
        return column.cast(pa.int64()).to_pylist()
    values = column.to_pylist()
    if type_name.startswith("decimal"):
        factor = decimal.Decimal(10) ** scale_of(type_name)
        return [None if v is None else int(v * factor) for v in values]
    if type_name == "string":
        return [None if v is None else v.encode() for v in values]
    return values


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return struct.pack("<d", a) == struct.pack("<d", b)
    return type(a) is type(b) and a == b


def compare(reader, expected, got, name):
    if len(expected) != len(got):
        raise ValueError(f"{reader}: column {name}: {len(got)} values, want {len(expected)}")
    for row, (a, b) in enumerate(zip(expected, got)):
        if not same(a, b):
            raise ValueError(f"{reader}: column {name} row {row}: {b!r:.200}, want {a!r:.200}")


def bounds(values):
    """Nulls, NaNs, least and largest of the values; zeros of doubles as the format asks for."""
    present = [v for v in values if v is not None]
    numbers = [v for v in present if not (isinstance(v, float) and math.isnan(v))]
    least, largest = (min(numbers), max(numbers)) if numbers else (None, None)
    if isinstance(least, float):
        least = -0.0 if least == 0 else least
        largest = 0.0 if largest == 0 else largest
    return len(values) - len(present), len(present) - len(numbers), least, largest


def check_statistics(column, values):
    want = bounds(values)
    told = column["statistics"]
    kind = column["type"]
    got = (told["nulls"], told["nans"], number(told["min"], kind), number(told["max"], kind))
    if not all(same(a, b) for a, b in zip(want, got)):
        raise ValueError(f"statistics of {column['name']}: {got!r:.300}, want {want!r:.300}")


def footer_value(value, kind):
    """A bound of the footer as pyarrow gives it, in the form of `number`."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if kind == "timestamp":
        return micros(value)
    if isinstance(value, decimal.Decimal):
        return int(value * decimal.Decimal(10) ** scale_of(kind))
    return value.encode() if isinstance(value, str) else value


def micros(value):
    gap = value - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (gap.days * 86400 + gap.seconds) * 1000000 + gap.microseconds


def check_footer(path, sidecar, columns):
    """Row groups and their statistics against bounds recomputed from the expected values."""
    metadata = pq.read_metadata(path)
    if metadata.num_rows != sidecar["rows"] or metadata.created_by != "weir":
        raise ValueError(f"footer: {metadata.num_rows} rows, created by {metadata.created_by}")
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    if sidecar["groups"] is not None and sizes != sidecar["groups"]:
        raise ValueError(f"row groups of {sizes} rows, want {sidecar['groups']}")
    if len(sizes) < sidecar["least_groups"]:
        raise ValueError(f"row groups of {sizes} rows, want {sidecar['least_groups']} or more")
    query = "SELECT row_group_id, column_id, min_is_exact, max_is_exact, stats_nan_count, encoding_stats"
    told = {(i, j): rest for i, j, *rest in duckdb.sql(f"{query} FROM parquet_metadata('{path}')").fetchall()}
    for *_, pages in told.values():
        if sidecar["mixed"] and sum(p["page_type"] == "DATA_PAGE" for p in pages) < 2:
            raise ValueError(f"encodings {pages}, want two")
    start = 0
    for i, size in enumerate(sizes):
        for j, (column, values) in enumerate(columns):
            check_chunk(metadata.row_group(i).column(j), column, values[start : start + size])
            check_exactness(column, values[start : start + size], *told[i, j][:3])
        start += size


def check_exactness(column, values, is_min_exact, is_max_exact, nan_count):
    _, nans, least, largest = bounds(values)
    where = f"row group statistics of {column['name']}"
    if column["type"] == "double" and nan_count != nans:
        raise ValueError(f"{where}: {nan_count} NaNs, want {nans}")
    for bound, is_exact in ((least, is_min_exact), (largest, is_max_exact)):
        is_cut = isinstance(bound, bytes) and len(bound) > 64
        if is_exact is not None and is_exact == is_cut:
            raise ValueError(f"{where}: exact is {is_exact} for {bound!r:.200}")


def check_chunk(chunk, column, values):
    nulls, _, least, largest = bounds(values)
    told = chunk.statistics
    kind = column["type"]
    where = f"row group statistics of {column['name']}"
    if told is None or told.null_count != nulls or chunk.num_values != len(values):
        raise ValueError(f"{where}: nulls {told and told.null_count}, want {nulls}; {chunk.num_values} values")
    if least is None:
        if told.has_min_max:
            raise ValueError(f"{where}: bounds of no values")
        return
    if kind in ("string", "binary"):
        return check_bytes(where, chunk, least, largest, kind)
    if kind == "timestamp" and not (-62135596800000000 <= least and largest <= 253402300799999999):
        return  # outside Python's datetime; the values themselves are compared
    low, high = footer_value(told.min, kind), footer_value(told.max, kind)
    if not (same(low, least) and same(high, largest)):
        raise ValueError(f"{where}: {low!r}..{high!r}, want {least!r}..{largest!r}")


def check_bytes(where, chunk, least, largest, kind):
    """Bounds of strings are cut at 64 bytes: they must bound, be short, be UTF-8, and be exact if they can."""
    told = chunk.statistics
    if not told.has_min_max:
        if len(largest) <= 64:
            raise ValueError(f"{where}: no bounds")
        return
    low, high = footer_value(told.min_raw, kind), footer_value(told.max_raw, kind)
    low, high = (x.encode() if isinstance(x, str) else x for x in (low, high))
    if kind == "string":
        low.decode(), high.decode()
    good = low <= least and largest <= high and len(low) <= 64 and len(high) <= 68
    if len(least) <= 64:
        good = good and low == least
    if len(largest) <= 64:
        good = good and high == largest
    if not good:
        raise ValueError(f"{where}: {low!r:.300}..{high!r:.300}, want {least!r:.300}..{largest!r:.300}")


def arrow_type(kind):
    simple = {
        "bool": pa.bool_(), "int64": pa.int64(), "double": pa.float64(), "string": pa.string(),
        "binary": pa.binary(), "timestamp": pa.timestamp("us", tz="UTC"),
    }
    if kind in simple:
        return simple[kind]
    precision, scale = kind[8:-1].split(",")
    return pa.decimal128(int(precision), int(scale))


def check_schema(path, columns):
    schema = pq.read_schema(path)
    for field, (column, _) in zip(schema, columns):
        want = (column["name"], arrow_type(column["type"]), column["nullable"])
        if (field.name, field.type, field.nullable) != want:
            raise ValueError(f"schema: {field}, want {want}")
    if len(schema) != len(columns):
        raise ValueError(f"schema of {len(schema)} columns, want {len(columns)}")


def duck_table(path):
    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'")
    return connection.sql(f"SELECT * FROM read_parquet('{path}')").to_arrow_table()


def polars_table(path):
    return polars.read_parquet(path).to_arrow()


def delta_table(path):
    """Through delta-rs, whose own query engine reads the file by arrow-rs and may skip it by its statistics."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(path, folder)
        convert_to_deltalake(folder)
        query = QueryBuilder().register("t", DeltaTable(folder)).execute("SELECT * FROM t")
        return pa.table(query.read_all())


def check_delta(path, columns):
    """delta-rs reads row groups side by side, so rows come in any order."""
    table = delta_table(path)
    want = [values for _, values in columns]
    got = [actual(table.column(c["name"]), c["type"]) for c, _ in columns]
    want, got = (sorted(map(repr, zip(*rows))) for rows in (want, got))
    compare("delta-rs", want, got, "(all)")


def check_search(path, columns):
    """Readers that skip by statistics and dictionaries must still find values."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'")
    frame = polars.scan_parquet(path)
    for column, values in columns:
        if column["type"] not in ("int64", "string"):
            continue
        present = [v for v in values if v is not None]
        for value in present[:1] + present[len(present) // 2 :][:1] + present[-1:]:
            needle = value.decode() if isinstance(value, bytes) else value
            want = sum(v == value for v in values)
            query = f"SELECT count(*) FROM read_parquet('{path}') WHERE \"{column['name']}\" = ?"
            got = connection.execute(query, [needle]).fetchone()[0]
            lazy = frame.filter(polars.col(column["name"]) == needle).select(polars.len()).collect().item()
            if (got, lazy) != (want, want):
                where = f"search of {column['name']} = {needle!r:.80}"
                raise ValueError(f"{where}: duckdb {got}, polars {lazy}, want {want}")


def check_flat(path, sidecar):
    columns = [(c, [number(v, c["type"]) for v in c["values"]]) for c in sidecar["columns"]]
    check_schema(path, columns)
    check_footer(path, sidecar, columns)
    readers = {"pyarrow": pq.read_table, "duckdb": duck_table, "polars": polars_table}
    if sidecar["delta"]:
        check_delta(str(path), columns)
    for reader, read in readers.items():
        table = read(str(path))
        for column, values in columns:
            compare(reader, values, actual(table.column(column["name"]), column["type"]), column["name"])
    for column, values in columns:
        check_statistics(column, values)
    check_search(str(path), columns)
    return len(columns) * sidecar["rows"]


def plain(value):
    """Nested values of the readers in the form of the sidecar."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def check_nested(path, sidecar):
    want = sidecar["nested"]
    duck = duck_table(path)
    for reader, table in {"pyarrow": pq.read_table(path), "duckdb": duck}.items():
        compare(reader, want, plain(table.to_pylist()), "row")
    schema = pq.read_schema(path)
    compare("polars", want, [pairs(row, schema) for row in polars_table(path).to_pylist()], "row")
    return len(want)


def pairs(value, kind):
    """`value` of polars, which may give a map as a list of structs, in the form of the sidecar."""
    if value is None:
        return None
    if isinstance(kind, pa.Schema) or pa.types.is_struct(kind):
        return {f.name: pairs(value[f.name], f.type) for f in kind}
    if pa.types.is_map(kind):
        entries = [(e["key"], e["value"]) if isinstance(e, dict) else e for e in value]
        return [[pairs(k, kind.key_type), pairs(v, kind.item_type)] for k, v in entries]
    if pa.types.is_list(kind):
        return [pairs(e, kind.value_type) for e in value]
    return value


def main():
    failures, files, values = [], 0, 0
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.parquet")):
        sidecar = json.loads(path.with_suffix(".json").read_text())
        files += 1
        try:
            values += check_nested(path, sidecar) if "nested" in sidecar else check_flat(path, sidecar)
        except Exception as error:
            failures.append(f"{path.name}: {type(error).__name__}: {error}")
    for failure in failures:
        print(failure)
    print(f"{files} files, {values} values compared, {len(failures)} wrong")
    sys.exit(1 if failures or files == 0 else 0)


if __name__ == "__main__":
    main()
