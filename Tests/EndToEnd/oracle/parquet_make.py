#!/usr/bin/env python3
"""Parquet files as other programs write them, for the Swift reader to be compared with.

    parquet_make.py FOLDER

For each NAME.parquet there is a NAME.json: {"rows": n, "leaves": {path: [[entry, ...] per row]}}. An entry is null, a bool,
an integer or the bits of a double as text, or bytes in hexadecimal. Lists that are null or empty have no entries.
"""
import json
import os
import random
import struct
import sys

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 3000


def table(seed, rows, nulls):
    r = random.Random(seed)

    def column(make):
        return [None if nulls and r.random() < nulls else make(i) for i in range(rows)]

    def word():
        return r.choice(["", "a", "é", "日本語", "x" * 50]) + str(r.randrange(40))

    return {
        "bool": (pa.bool_(), column(lambda i: r.random() < 0.5)),
        "runs": (pa.bool_(), column(lambda i: i // 500 % 2 == 0)),
        "int": (pa.int32(), column(lambda i: r.choice([-2**31, 2**31 - 1, 0, i, r.randrange(-9, 9)]))),
        "long": (pa.int64(), column(lambda i: r.choice([-2**63, 2**63 - 1, i, 1_700_000_000_000 + r.randrange(10**6)]))),
        "float": (pa.float32(), column(lambda i: struct.unpack("f", struct.pack("f", r.uniform(-9, 9)))[0])),
        "double": (pa.float64(), column(lambda i: r.choice([0.0, -0.0, float("inf"), r.uniform(-9, 9)]))),
        "few": (pa.string(), column(lambda i: f"value {r.randrange(7)}")),
        "text": (pa.string(), column(lambda i: word())),
        "paths": (pa.string(), column(lambda i: f"day=2026-01-{i // 200:02}/part-{i:06}-{r.randrange(10**9)}.parquet")),
        "bytes": (pa.binary(), column(lambda i: r.randbytes(r.randrange(6)))),
        "fixed": (pa.binary(5), column(lambda i: r.randbytes(5))),
        "list": (pa.list_(pa.int64()), column(lambda i: [None if r.random() < 0.2 else r.randrange(99) for _ in range(r.randrange(4))])),
        "map": (pa.map_(pa.string(), pa.string()),
                column(lambda i: [(f"k{j}", None if r.random() < 0.2 else word()) for j in range(r.randrange(4))])),
        "struct": (pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]),
                   column(lambda i: {"a": None if r.random() < 0.2 else i, "b": None if r.random() < 0.2 else [word()] * r.randrange(3)})),
    }


def text(value):
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(struct.unpack("<Q", struct.pack("<d", value))[0])
    return (value.encode() if isinstance(value, str) else value).hex()


def leaves(name, values):
    """{path: entries per row}."""
    if name == "list":
        return {"list.list.element": [[text(e) for e in v or []] for v in values]}
    if name == "map":
        return {"map.key_value.key": [[text(k) for k, _ in v or []] for v in values],
                "map.key_value.value": [[text(e) for _, e in v or []] for v in values]}
    if name == "struct":
        return {"struct.a": [[text(v and v["a"])] for v in values],
                "struct.b.list.element": [[text(e) for e in (v and v["b"]) or []] for v in values]}
    return {name: [[text(v)] for v in values]}


class Maker:
    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        return os.path.join(self.folder, name + ".parquet")

    def expect(self, name, columns):
        """Writes the sidecar of what was written."""
        found, rows = {}, 0
        for column, (_, values) in columns.items():
            rows = len(values)
            found.update(leaves(column, values))
        with open(os.path.join(self.folder, name + ".json"), "w") as f:
            json.dump({"rows": rows, "leaves": found}, f)

    def arrow(self, name, columns, **options):
        data = pa.table({c: pa.array(values, kind) for c, (kind, values) in columns.items()})
        pq.write_table(data, self.path(name), **options)
        self.expect(name, columns)


def only(columns, *names):
    return {n: columns[n] for n in names}


def main(folder):
    make = Maker(folder)
    some, full = table(1, ROWS, 0.3), table(2, ROWS, 0)
    for version in ("1.0", "2.0"):
        for codec in ("none", "snappy", "gzip", "zstd"):
            make.arrow(f"arrow-{version}-{codec}", some, compression=codec, data_page_version=version, data_page_size=4096,
                       row_group_size=1100, write_page_checksum=codec != "none")
        make.arrow(f"arrow-{version}-plain", full, compression="snappy", data_page_version=version, use_dictionary=False)
        delta = {"int": "DELTA_BINARY_PACKED", "long": "DELTA_BINARY_PACKED", "text": "DELTA_LENGTH_BYTE_ARRAY", "paths": "DELTA_BYTE_ARRAY",
                 "bytes": "DELTA_LENGTH_BYTE_ARRAY", "fixed": "DELTA_BYTE_ARRAY", "few": "DELTA_BYTE_ARRAY", "bool": "RLE", "runs": "RLE"}
        for kind, columns in (("full", full), ("some", some)):
            make.arrow(f"arrow-{version}-delta-{kind}", only(columns, *delta), compression="zstd", data_page_version=version,
                       use_dictionary=False, column_encoding=delta, data_page_size=2048)
    for rows in (0, 1, 7, 8, 9, 33, 129):
        make.arrow(f"arrow-{rows}-rows", table(rows, rows, 0.3), compression="snappy")
    make.arrow("arrow-nulls", table(3, 500, 1), compression="snappy", data_page_version="2.0")

    for version in ("V1", "V2"):
        # Its version 2 writes floats in an encoding that is not read.
        floats = ["float", "double"] if version == "V1" else []
        flat = only(some, "bool", "runs", "int", "long", "few", "text", "paths", "bytes", *floats)
        data = pa.table({c: pa.array(values, kind) for c, (kind, values) in flat.items()})
        for codec in ("snappy", "gzip", "zstd"):
            name = f"duckdb-{version}-{codec}"
            duckdb.from_arrow(data).query("data", f"COPY (SELECT * FROM data) TO '{make.path(name)}' "
                                          f"(FORMAT parquet, CODEC '{codec}', PARQUET_VERSION {version}, ROW_GROUP_SIZE 2048)")
            make.expect(name, flat)
    for codec in ("uncompressed", "snappy", "gzip", "zstd"):
        columns = only(some, *(c for c in some if c not in ("map", "fixed")))
        polars.from_arrow(pa.table({c: pa.array(v, k) for c, (k, v) in columns.items()})).write_parquet(
            make.path(f"polars-{codec}"), compression=codec, use_pyarrow=False, row_group_size=1000)
        make.expect(f"polars-{codec}", columns)


if __name__ == "__main__":
    main(sys.argv[1])
