#!/usr/bin/env python3
"""Lists, structs and maps: pyarrow, delta-rs, polars and DuckDB read what an independent model says that a record holds.

Random types (nulls at every level, empty lists, lists of structs of maps, decimals, times) and random records: members in any order, left
out, repeated, unknown; values of another type, whose records are quarantined with the way to the value. The model reads the same JSON with
Python's parser and knows nothing of Weir but the rules in the plan reference.
"""
import datetime
import decimal
import glob
import hashlib
import json
import os
import random

import common

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, QueryBuilder

decimal.getcontext().prec = 80
UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
NAMES = ["a", "b", "key", "value", "element", "list", "x1", "é", "Name", "a.b", "items", "id"]


# -- Types: ("list", T), ("struct", [(name, T)]), ("map", T), ("decimal", p, s), or a word

def random_type(rng, depth):
    kind = rng.choice(["list", "struct", "map"]) if depth > 0 and rng.random() < 0.75 else "scalar"
    if kind == "list":
        return "list", random_type(rng, depth - 1)
    if kind == "map":
        return "map", random_type(rng, depth - 1)
    if kind == "struct":
        return "struct", [(name, random_type(rng, depth - 1)) for name in rng.sample(NAMES, rng.randint(1, 4))]
    word = rng.choice(["bool", "int64", "double", "string", "timestamp", "decimal"])
    if word == "decimal":
        precision = rng.choice([1, 5, 9, 10, 18, 19, 38])
        return "decimal", precision, rng.randint(0, precision)
    return word


def text(type):
    if isinstance(type, str):
        return type
    if type[0] == "list":
        return f"list<{text(type[1])}>"
    if type[0] == "map":
        return f"map<string, {text(type[1])}>"
    if type[0] == "struct":
        return "struct<" + ", ".join(f"{name}: {text(t)}" for name, t in type[1]) + ">"
    return f"decimal({type[1]},{type[2]})"


def arrow(type):
    if isinstance(type, str):
        return {"bool": pa.bool_(), "int64": pa.int64(), "double": pa.float64(), "string": pa.string(),
                "timestamp": pa.timestamp("us", "UTC")}[type]
    if type[0] == "list":
        return pa.list_(arrow(type[1]))
    if type[0] == "map":
        return pa.map_(pa.string(), arrow(type[1]))
    if type[0] == "struct":
        return pa.struct([(name, arrow(t)) for name, t in type[1]])
    return pa.decimal128(type[1], type[2])


def plain(type):
    """An Arrow type without what readers differ in: names of elements, nullability, large and view types, the spelling of the zone."""
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return "list", plain(type.value_type)
    if pa.types.is_map(type):
        return "map", plain(type.item_type)
    if pa.types.is_struct(type):
        return "struct", [(field.name, plain(field.type)) for field in type]
    if pa.types.is_decimal(type):
        return "decimal", type.precision, type.scale
    if pa.types.is_timestamp(type):
        return "timestamp" if type.tz else "a timestamp without a zone"
    if pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type):
        return "string"
    return str(type)


# -- Records, as text

def key(rng):
    return rng.choice(["", "k", "k1", "ключ", "a\"b", "a.b", f"n{rng.randint(0, 30)}"])


def scalar(rng, type):
    if type == "bool":
        return rng.choice(["true", "false"])
    if type == "int64":
        return str(rng.choice([0, 1, -1, 2**63 - 1, -2**63, rng.randint(-10**6, 10**6)]))
    if type == "double":
        return rng.choice(["0", "-0.0", "1.5", "1e300", "-2.25e-7", "123456789.125", str(rng.random())])
    if type == "string":
        return json.dumps(rng.choice(["", "x", "é\n\"", "\U0001f600", "long " * 30, f"s{rng.randint(0, 99)}"]), ensure_ascii=rng.random() < 0.5)
    if type == "timestamp":
        moment = datetime.datetime(rng.choice([1, 1969, 1970, 2026, 9999]), 3, 4, 5, 6, 7, rng.choice([0, 999999, 120000]))
        return f'"{moment.isoformat()}Z"'
    digits = rng.randint(0, 10 ** rng.randint(0, type[1]) - 1) * rng.choice([1, -1])
    return format(decimal.Decimal(digits).scaleb(-type[2]), "f")


WRONG = {"bool": '"true"', "int64": "1.5", "double": '"1"', "string": "7", "timestamp": "1700000000", "decimal": '"1"', "list": '{"a": 1}',
         "struct": "[1]", "map": "true"}


# In the place of the value of another type until the model has seen whether a later member of the same name overrides it.
MARK = '"<a value of another type>"'


class Writer:
    """Writes one value; `wrong_at` counts down the values to the one that gets another type, whose path and text are kept."""

    def __init__(self, rng, wrong_at=None):
        self.rng, self.left, self.wrong = rng, wrong_at, None

    def value(self, type, path):
        rng = self.rng
        if self.left is not None and self.wrong is None:
            self.left -= 1
            if self.left < 0:
                self.wrong = (path, WRONG[type if isinstance(type, str) else type[0]])
                return MARK
        if rng.random() < 0.15:
            return "null"
        if isinstance(type, str) or type[0] == "decimal":
            return scalar(rng, type)
        if type[0] == "list":
            count = rng.choice([0, 1, 2, 3, 3, 9])
            return "[" + rng.choice([",", ", "]).join(self.value(type[1], f"{path}[{i}]") for i in range(count)) + "]"
        if type[0] == "map":
            entries = [(name, self.value(type[1], f'{path}["{name}"]')) for name in (key(rng) for _ in range(rng.choice([0, 1, 2, 4, 25])))]
            return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in entries) + "}"
        members = [m for m in type[1] if rng.random() < 0.85]
        if rng.random() < 0.3:
            rng.shuffle(members)
        if members and rng.random() < 0.1:
            members.append(rng.choice(members))
        out = []
        for name, below in members:
            shown = f'"{name}"' if "." in name else name
            out.append(f"{json.dumps(name, ensure_ascii=rng.random() < 0.5)}: {self.value(below, f'{path}.{shown}')}")
        if rng.random() < 0.2:
            out.insert(rng.randint(0, len(out)), '"unknown": [{"a": [1, {}]}, null]')
        return "{" + ", ".join(out) + "}"


# -- The model

def model(type, value):
    """What a column has of a value that Python's parser made of the same text: structs as tuples, maps as lists of pairs."""
    if value is None:
        return None
    if type == "timestamp":
        return datetime.datetime.fromisoformat(value)
    if type == "double":
        return float(value)
    if isinstance(type, str):
        return int(value) if type == "int64" else value
    if type[0] == "decimal":
        return decimal.Decimal(value)
    if type[0] == "list":
        return [model(type[1], v) for v in value]
    if type[0] == "map":
        return [(k, model(type[1], v)) for k, v in value.items()]
    return tuple(model(t, value.get(name)) for name, t in type[1])


def read(type, value):
    """A reader's value in the form of the model."""
    if value is None:
        return None
    if isinstance(type, str) or type[0] == "decimal":
        return value
    if type[0] == "list":
        return [read(type[1], v) for v in value]
    if type[0] == "map":
        pairs = value.items() if isinstance(value, dict) else [(e["key"], e["value"]) if isinstance(e, dict) else e for e in value]
        return [(k, read(type[1], v)) for k, v in pairs]
    return tuple(read(t, value[name]) for name, t in type[1])


# -- Tables

class Case:
    def __init__(self, suite, name, types, lines, more=""):
        self.suite, self.types = suite, types
        self.directory = suite.path(name)
        os.makedirs(self.directory)
        with open(os.path.join(self.directory, "c.ndjson"), "w") as f:
            f.write("".join(line + "\n" for line in lines))
        fields = "".join(f"    {name}: {json.dumps(text(type), ensure_ascii=False)}\n" for name, type in types)
        with open(os.path.join(self.directory, "p.yaml"), "w") as f:
            f.write("pipeline: nested\nsource: {capture: {stream: s}}\nrecord:\n  key: k\n  fields:\n    n: int64!\n    k: string!\n" + fields
                    + "quarantine: {halt_above: 100%, exit_above: 100%}\nsilver: {}\nlake: {flush: {bytes: 48KiB}}\n" + more)
        self.lake = os.path.join(self.directory, "lake")

    def replay(self, lanes=2, lake=None):
        return common.Result([self.suite.weir, "replay", os.path.join(self.directory, "p.yaml"), "--capture", os.path.join(self.directory, "c.ndjson"),
                              "--lake", lake or self.lake, "--lanes", str(lanes), "--json"])

    @property
    def silver(self):
        return os.path.join(self.lake, "silver", "s")

    def quarantined(self):
        path = os.path.join(self.lake, "quarantine", "s")
        if not os.path.isdir(path):
            return []
        return [(json.loads(row["value"])["n"] if row["value"] else None, row["reason"]) for row in DeltaTable(path).to_pyarrow_table().to_pylist()]

    def readers(self):
        """By name, the rows of silver as an Arrow table."""
        files = sorted(glob.glob(os.path.join(self.silver, "*.parquet")))
        delta = DeltaTable(self.silver)
        duck = duckdb.connect()
        duck.execute("set timezone = 'UTC'")
        yield "pyarrow", pa.concat_tables([pq.ParquetFile(file).read() for file in files])
        yield "delta-rs", pa.table(QueryBuilder().register("t", delta).execute("select * from t").read_all())
        yield "delta-rs as a dataset", delta.to_pyarrow_table()
        yield "polars", polars.read_delta(self.silver).to_arrow()
        yield "DuckDB", duck.read_parquet(files).to_arrow_table()

    def faults(self, want):
        """How the readers' rows differ from those of the model, by n."""
        faults = []
        types = [("n", "int64"), ("k", "string")] + self.types
        schema = {name: plain(arrow(type)) for name, type in types}
        for name, table in self.readers():
            # polars has no maps: they are lists of structs there.
            if name != "polars":
                found = {field.name: plain(field.type) for field in table.schema}
                faults += [f"{name}: column {c} is {found.get(c)}, not {t}" for c, t in schema.items() if found.get(c) != t]
            seen = {row["n"]: tuple(read(type, row[column]) for column, type in types) for row in table.to_pylist()}
            if table.num_rows != len(want) or seen.keys() != want.keys():
                faults.append(f"{name}: {table.num_rows} rows instead of {len(want)}")
            for n, row in want.items():
                if repr(seen.get(n)) != repr(row) and seen.get(n) != row:
                    faults.append(f"{name}: row {n} is {seen.get(n)}, not {row}")
                    break
        return faults


def make(rng, types, rows, damaged=0.1):
    """Lines; by n the rows of those that are valid; by n the path of the wrong value of the others."""
    lines, want, wrong = [], {}, {}
    for n in range(rows):
        writer = Writer(rng, rng.randint(0, 12) if rng.random() < damaged else None)
        members = [f'"n": {n}', f'"k": "k{n % 17}"'] + [f'"{name}": {writer.value(type, name)}' for name, type in types]
        line = "{" + ", ".join(members) + "}"
        record = json.loads(line, parse_float=decimal.Decimal)
        path, value = writer.wrong or (None, "")
        lines.append(line.replace(MARK, value))
        if path is None or json.loads(MARK) not in json.dumps(record, default=str):
            want[n] = (n, f"k{n % 17}") + tuple(model(type, record.get(name)) for name, type in types)
        else:
            wrong[n] = path
    return lines, want, wrong


def judged(case, want, wrong):
    run = case.replay()
    if faults := run.fault():
        return faults
    faults = case.faults(want)
    found = dict(case.quarantined())
    if found.keys() != wrong.keys():
        faults.append(f"quarantined: {sorted(found.keys() ^ wrong.keys())[:5]}")
    for n, path in wrong.items():
        # A path's keys are shown as they are.
        if n in found and not found[n].startswith(f"field {path}: "):
            faults.append(f"record {n}: the reason is {found[n]!r}, the wrong value is at {path}")
    return faults


def contents(table):
    """Of a table's data files, whatever their names."""
    hashes = []
    for path in glob.glob(os.path.join(table, "*.parquet")):
        with open(path, "rb") as f:
            hashes.append(hashlib.sha256(f.read()).hexdigest())
    return sorted(hashes)


def everything(suite):
    """A table of every nesting: each reader has every row."""
    rng = random.Random(suite.seed)
    types = [("tags", ("list", "string")), ("who", ("struct", [("id", "int64"), ("name", "string"), ("at", "timestamp")])),
             ("attrs", ("map", "double")), ("lists", ("list", ("list", ("list", "int64")))),
             ("items", ("list", ("struct", [("sku", "string"), ("price", ("decimal", 12, 2)), ("more", ("map", ("list", "bool")))]))),
             ("maps", ("map", ("map", ("struct", [("x", ("list", ("decimal", 38, 10))), ("y", "double")]))))]
    lines, want, wrong = make(rng, types, 2000 if suite.quick else 20_000)
    case = Case(suite, "everything", types, lines)
    if not suite.claim(f"{len(want):,} rows of lists, structs and maps in each reader; {len(wrong):,} records quarantined with their paths",
                       judged(case, want, wrong)):
        return
    log = glob.glob(os.path.join(case.silver, "_delta_log", "*.json"))
    suite.claim(f"{len(log)} commits, with a checkpoint", [] if glob.glob(os.path.join(case.silver, "_delta_log", "*.checkpoint.parquet")) else "no checkpoint")
    delta = DeltaTable(case.silver)
    middle = len(lines) // 2
    count = QueryBuilder().register("t", delta).execute(f"select count(*) as c from t where n >= {middle}").read_all()
    found, expected = pa.table(count)["c"].to_pylist(), [sum(n >= middle for n in want)]
    suite.claim("a predicate on a scalar beside them uses statistics and loses no row", [] if found == expected else f"{found}, not {expected}")
    again = os.path.join(case.directory, "again")
    faults = case.replay(lanes=2, lake=again).fault()
    first, second = (contents(os.path.join(lake, "silver", "s")) for lake in (case.lake, again))
    suite.claim("a second replay writes the same bytes", faults + ([] if first == second else [f"{len(first)} and {len(second)} files, other bytes"]))
    verify = common.Result([suite.weir, "ledger", "verify", os.path.join(case.directory, "p.yaml"), "--lake", case.lake])
    suite.claim("weir ledger verify finds nothing", [] if verify.code == 0 else verify.talk)


def schemas(suite):
    """Random types."""
    count = 12 if suite.quick else 80
    faults, rows, rejected = [], 0, 0
    for number in range(count):
        seed = suite.seed * 1000 + number
        rng = random.Random(seed)
        types = [(f"f{i}", random_type(rng, 4)) for i in range(rng.randint(1, 5))]
        lines, want, wrong = make(rng, types, 250)
        case = Case(suite, f"schema{number}", types, lines)
        found = judged(case, want, wrong)
        faults += [f"seed {seed}, {', '.join(f'{n}: {text(t)}' for n, t in types)}: {fault}" for fault in found]
        rows, rejected = rows + len(want), rejected + len(wrong)
    suite.claim(f"{count} random schemas: {rows:,} rows in each reader, {rejected:,} records quarantined with their paths", faults)


def bounds(suite):
    """What a type or a record has too much of is refused with the name of the bound."""
    deep, wide = "list<" * 20 + "bool" + ">" * 20, "struct<" + ",".join(f"m{i}:bool" for i in range(300)) + ">"
    for type, word in ((deep, "nested_depth"), (wide, "nested_leaves")):
        path = suite.path(f"{word}.yaml")
        with open(path, "w") as f:
            f.write(f'pipeline: p\nsource: {{capture: {{stream: s}}}}\nrecord:\n  fields:\n    a: "{type}"\nsilver: {{}}\n')
        suite.claim(f"weir check names {word}", common.Result([suite.weir, "check", path]).refusal_fault(word))
    lines = [f'{{"n": {n}, "k": "a", "f": [{",".join(["1"] * count)}]}}' for n, count in enumerate((1, 1 << 18, (1 << 18) - 1))]
    case = Case(suite, "bounds", [("f", ("list", "int64"))], lines)
    faults = case.replay().fault()
    found = case.quarantined() if not faults else []
    suite.claim("a list of too many values is quarantined (nested_values)",
                faults + ([] if [n for n, reason in found if "nested_values" in reason] == [1] else [f"{found}"[:300]]))


suite = common.Suite("readers_agree_on_nested", 400, __doc__)
suite.seed = getattr(suite.arguments, "seed", None) or 1
suite.run(everything, schemas, bounds)
