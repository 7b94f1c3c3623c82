"""Reads a pipeline file: only as much of its syntax as the project's pipelines use, and no shared code with weir."""
import os
import re
from dataclasses import dataclass, field

import yaml

UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


def duration(text):
    """Microseconds of `250ms`, `10s`, `5m`, `2h`, `7d`."""
    number, unit = re.fullmatch(r"(\d+)\s*(us|ms|s|m|h|d)", str(text).strip()).groups()
    return int(number) * UNITS[unit]


@dataclass
class Field:
    name: str
    type: str            # bool int64 double string decimal timestamp
    unit: str = ""       # of a timestamp that is a number: s ms us
    precision: int = 0
    scale: int = 0
    required: bool = False


@dataclass
class Partition:
    transform: str       # identity year month day hour
    column: str
    name: str


@dataclass
class Measure:
    name: str
    function: str
    argument: str        # an expression, "" for count()


@dataclass
class Aggregate:
    """A gold table, or a state table (no window)."""
    name: str
    where: str
    by: list             # of (name, expression)
    measures: list
    size: int = 0
    slide: int = 0
    offset: int = 0
    lateness: int = 0
    ttl: int = 0         # of a state table; 0: none
    partitions: list = field(default_factory=list)


@dataclass
class Pipeline:
    path: str
    name: str
    stream: str
    fields: list
    key: str             # "" for none
    time: str
    out_of_order: int
    max_ahead: int       # microseconds; -1: not set, -2: off
    checks: list         # of (name, expression, otherwise)
    dedup_id: str
    dedup_within: int    # -1: for ever
    lookups: dict        # name -> (path, key column, {column: type})
    bronze: list         # of Partition; None: no such table
    silver: list         # of (name, expression); None: no such table
    silver_partitions: list
    gold: list
    state: list


def split_top(text, separator=","):
    """Splits at commas outside brackets and quotes."""
    parts, depth, quote, last = [], 0, "", 0
    for i, c in enumerate(text):
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c in "([":
            depth += 1
        elif c in ")]":
            depth -= 1
        elif c == separator and depth == 0:
            parts.append(text[last:i])
            last = i + 1
    return [p.strip() for p in parts + [text[last:]] if p.strip()]


def listed(value):
    if value is None:
        return []
    return [p for item in (value if isinstance(value, list) else [value]) for p in split_top(str(item))]


def named(text):
    """(name, expression) of `expr as name`, or of a column, whose name is its last part."""
    match = re.fullmatch(r"(.*\S)\s+as\s+\"?(\w+)\"?", text.strip(), re.I | re.S)
    if match:
        return match.group(2), match.group(1)
    return text.strip().split(".")[-1].strip('"'), text.strip()


def _field(name, text):
    required = text.endswith("!")
    text = text.rstrip("!").strip()
    match = re.fullmatch(r"decimal\((\d+)\s*,\s*(\d+)\)", text)
    if match:
        return Field(name, "decimal", "", int(match[1]), int(match[2]), required)
    if text.startswith("timestamp_"):
        return Field(name, "timestamp", text.removeprefix("timestamp_"), required=required)
    assert text in ("bool", "int64", "double", "string", "timestamp"), f"unknown type {text}"
    return Field(name, text, required=required)


def _partitions(value):
    out = []
    for text in listed(value):
        match = re.fullmatch(r"(year|month|day|hour)\((.+)\)", text)
        if match:
            out.append(Partition(match[1], match[2].strip(), f"{match[2].strip()}_{match[1]}"))
        else:
            out.append(Partition("identity", text, text))
    return out


def _aggregate(name, spec):
    measures = []
    for measure, text in (spec.get("measure") or {}).items():
        function, argument = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", text, re.S).groups()
        measures.append(Measure(measure, function.lower(), argument.strip().removesuffix("*") if function == "count" else argument.strip()))
    out = Aggregate(name, spec.get("where") or "", [named(t) for t in listed(spec.get("by"))], measures)
    window = spec.get("window")
    if window:
        out.size = duration(window.get("tumbling") or window["hopping"])
        out.slide = duration(window["every"]) if "hopping" in window else out.size
        out.offset = duration(window.get("offset", "0s"))
        out.lateness = duration(window.get("lateness", "0s"))
    out.ttl = duration(spec.get("ttl", "0s"))
    out.partitions = _partitions(spec.get("partition_by"))
    return out


def _lookup(base, spec):
    path = os.path.join(base, spec["file"])
    with open(path, encoding="utf-8-sig") as f:
        header = f.readline().strip().split(",")
    types = {c.strip('"'): "string" for c in header}
    types.update({c: t.rstrip("!") for c, t in (spec.get("columns") or {}).items()})
    return path, spec["key"], types


def _stream(source):
    """The name of the tables: a capture's or Kinesis's stream; of a Kafka source as given, or its only topic."""
    for kind in ("capture", "kinesis"):
        if kind in source:
            return source[kind]["stream"]
    return source["kafka"].get("stream") or source["kafka"]["topic"]


def load(path):
    with open(path) as f:
        y = yaml.safe_load(f)
    base = os.path.dirname(os.path.abspath(path))
    record = y["record"]
    fields = [_field(n, t) for n, t in record["fields"].items()]
    time = record.get("time") or {}
    time = {"field": time} if isinstance(time, str) else time
    dedup = y.get("dedup") or {}
    silver = y.get("silver") or {}
    columns = []
    for text in listed(silver.get("columns") or "*"):
        columns += [(f.name, f'"{f.name}"') for f in fields] if text == "*" else [named(text)]
    return Pipeline(
        path=path, name=y["pipeline"], stream=_stream(y["source"]), fields=fields,
        key=record.get("key") or "", time=time.get("field") or "", out_of_order=duration(time.get("out_of_order", "0s")),
        max_ahead=-2 if time.get("max_ahead") in ("off", False) else duration(time["max_ahead"]) if "max_ahead" in time else -1,
        checks=[(c["name"], c["that"], c.get("else", "quarantine")) for c in y.get("checks") or []],
        dedup_id=dedup.get("id", ""), dedup_within=duration(dedup["within"]) if "within" in dedup else -1,
        lookups={n: _lookup(base, spec) for n, spec in (y.get("lookups") or {}).items()},
        bronze=_partitions((y.get("bronze") or {}).get("partition_by")) if "bronze" in y else None,
        silver=columns if "silver" in y else None,
        silver_partitions=_partitions(silver.get("partition_by")),
        gold=[_aggregate(n, s) for n, s in (y.get("gold") or {}).items()],
        state=[_aggregate(n, s) for n, s in (y.get("state") or {}).items()])
