#!/usr/bin/env python3
"""Pipelines that `weir infer` writes: they pass `weir check`, they run, they reject no record that a pipeline by hand accepts, and the types
of random records are those that a program of its own finds."""
import csv
import datetime
import io
import json
import os
import random
import re
import subprocess

import common
from common import tables

CASES = os.path.join(common.ROOT, "..", "shared", "cases")
# By case: input, and the pipeline by hand with its stream; None: there is none.
RUNS = [
    ("01-cloudtrail", "input", "cloudtrail", "cloudtrail"), ("02-gharchive", "input.json", "code-host-events", "code-host"),
    ("03-debezium", "input-flat.json", "document-changes", "changes"), ("03-debezium", "input.json", None, None),
    ("06-csv-sensors", "input-comma.csv", "sensors-csv", "readings"), ("06-csv-sensors", "input-semicolon.csv", "sensors-semicolon", "readings"),
    ("07-orders-text-numbers", "input.json", "orders-as-text", "orders"), ("08-clicks-sessions", "input.json", None, None),
    ("10-kinesis-ticker", "input.json", "ticker", "ticks"), ("12-cloudevents", "input.json", None, None), ("14-iot-nested", "input.json", None, None),
]
# What must be found in the streams, as their READMEs describe them: key, id, time, framing. Two wrong rows of the sensors have one id, so it is a comment.
ROLES = {
    ("02-gharchive", "input.json"): ("actor_id", "id", "created_at"), ("07-orders-text-numbers", "input.json"): ("customer", "order_id", "ts"),
    ("08-clicks-sessions", "input.json"): ("user", "event_id", "ts"), ("14-iot-nested", "input.json"): ("device_id", "msg_id", "ts"),
    ("06-csv-sensors", "input-comma.csv"): ("sensor", None, "measured_at"), ("06-csv-sensors", "input-semicolon.csv"): ("sensor", None, "measured_at"),
    ("10-kinesis-ticker", "input.json"): ("ticker_symbol", "tick_id", "event_time"), ("01-cloudtrail", "input"): ("userIdentity_arn", "eventID", "eventTime"),
}


def weir(suite, *arguments):
    return subprocess.run([suite.weir, *arguments], capture_output=True, text=True, timeout=common.PATIENCE)


def infer(suite, name, files):
    """(path of the pipeline, faults)."""
    done, path = weir(suite, "infer", *files, "--stream", "inferred"), suite.path(f"{name}.yaml")
    with open(path, "w") as f:
        f.write(done.stdout)
    if done.returncode or done.stderr:
        return path, [f"weir infer exits with {done.returncode}: {done.stderr}"]
    checked = weir(suite, "check", path)
    return path, [f"weir check: {checked.stderr}"] if checked.returncode or checked.stderr else []


def rejected(suite, name, pipeline, stream, files):
    """What a replay quarantines: {(position, element): reason}."""
    lake = suite.path(f"{name}-lake")
    run = common.Result([suite.weir, "replay", pipeline, "--capture", *files, "--lake", lake, "--store", f"{lake}-store", "--json"])
    if faults := run.fault():
        return None, faults
    table = f"quarantine/{stream}"
    if not os.path.isdir(os.path.join(lake, table)):
        return {}, []
    rows = tables.read_delta(lake, table).to_pylist()
    return {(row["_position"], row.get("_element")): row["reason"] for row in rows}, []


def roles(suite, path):
    document = json.loads(weir(suite, "explain", path, "--json").stdout)
    record, dedup = document["record"], document["dedup"]
    return record["key"], dedup and dedup["id"], record["time"] and record["time"]["field"]


def cases(suite):
    for case, file, own, stream in RUNS:
        path = os.path.join(CASES, case, file)
        files = [os.path.join(path, name) for name in sorted(os.listdir(path))] if os.path.isdir(path) else [path]
        name = f"{case}-{file}"
        pipeline, faults = infer(suite, name, files)
        if not faults:
            found, faults = rejected(suite, name, pipeline, "inferred", files)
        if not faults and own:
            want, faults = rejected(suite, f"{name}-own", os.path.join(common.PIPELINES, f"{own}.yaml"), stream, files)
            faults += [f"{at}: {reason}" for at, reason in found.items() if at not in want] if not faults else []
        elif not faults:
            with open(os.path.join(CASES, case, "expected", "quarantine.csv"), newline="") as f:
                want = sum(int(row["count"]) for row in csv.DictReader(f))
            # Tombstones are records without a value, which their rows do not count as rejected.
            found = {at: reason for at, reason in found.items() if "JSON object but null" not in reason}
            faults = [f"{len(found)} records are quarantined, {want} expected at most: {list(found.values())[:3]}"] if len(found) > want else []
        if not faults and (case, file) in ROLES:
            faults = [f"key, id and time are {got}"] if (got := roles(suite, pipeline)) != ROLES[case, file] else []
        suite.claim(f"{case}, {file}: the inferred pipeline runs, and rejects no record that {'its own pipeline' if own else 'its expected rows'} accept{'s' if own else ''}",
                    faults)


# -- Types

ZONED = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d(:?\d\d)?)$")
LOCAL = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?$")
NUMBER = re.compile(r"-?\d+(\.\d+)?$")
PADDED = re.compile(r"-?0\d")


def is_time(text, pattern):
    if not pattern.match(text):
        return False
    try:
        datetime.datetime.strptime(text[:10], "%Y-%m-%d")
        return len(text) == 10 or int(text[11:13]) < 24 and int(text[14:16]) < 60
    except ValueError:
        return False


def scalar(values):
    """The type of values that are not null, as `weir explain` shows it, and whether texts are read as it; None: several types."""
    kinds = {type(v) for v in values}
    if kinds > {str} or kinds == {bool, Number}:
        numbers = [v for v in values if isinstance(v, Number) or isinstance(v, str) and NUMBER.match(v)]
        if kinds == {str, Number} and len(numbers) == len(values) and not any(PADDED.match(v) for v in values if not isinstance(v, Number)):
            return scalar([Number(v) for v in values])[0], True
        return ("string", True) if kinds <= {bool, Number, str} else (None, False)
    if kinds == {bool}:
        return "bool", False
    if kinds and kinds <= {Number} and all(v.is_integer for v in values):
        return ("int64" if all(-2**63 <= int(v) < 2**63 for v in values) else "decimal(38,0)"), False
    if kinds and kinds <= {Number}:
        return "double", False
    if kinds != {str}:
        return None, False
    if all(is_time(v, ZONED) for v in values):
        return "timestamp", False
    if all(is_time(v, LOCAL) for v in values):
        return "timestamp", True
    if all(v.lower() in ("true", "false") for v in values):
        return "bool", True
    if all(NUMBER.match(v) for v in values) and not any(PADDED.match(v) for v in values) and any("." in v for v in values):
        return "double", True
    return "string", False


class Number(str):
    """A number of JSON, as its text."""

    @property
    def is_integer(self):
        return not set(self) & set(".eE")


def expected(records):
    """{path: (type, coerce, required)} by what the records are."""
    values, out = {}, {}

    def walk(value, path):
        if isinstance(value, dict) and value:
            for name, member in value.items():
                walk(member, path + (name,))
        else:
            values.setdefault(path, []).append(value)
    for record in records:
        walk(record, ())
    for path, found in values.items():
        given = [v for v in found if v is not None]
        if any(isinstance(v, list) for v in given):
            items = [i for v in given if isinstance(v, list) for i in v]
            kind = scalar([i for i in items if i is not None])[0] if all(isinstance(v, list) for v in given) else None
            kind = kind if len({type(i) for i in items if i is not None}) == 1 else None
            # Within a list, texts that are not times are texts, and whole numbers without 64 bits are JSON.
            if kind and all(isinstance(i, str) and not isinstance(i, Number) for i in items if i is not None):
                kind = kind if kind == "timestamp" and all(is_time(i, ZONED) for i in items if i is not None) else "string"
            kind = f"list<{kind}>" if kind and kind != "decimal(38,0)" else "json"
            out[path] = kind, False, len(given) == len(records)
            continue
        kind, coerce = scalar(given) if given else (None, False)
        out[path] = kind or "json", coerce and kind is not None, len(given) == len(records)
    return out


NAMES = ["alpha", "beta", "gamma", "delta", "Epsilon", "zeta_eta", "theta-iota", "kappa.lambda", "mu nu", "xi$"]


def maker(r):
    """A function that makes values of one kind, sometimes of two."""
    kinds = [
        lambda: r.random() < 0.5, lambda: Number(r.randrange(-10**6, 10**6)), lambda: Number(r.randrange(-2**63, 2**63)), lambda: Number(r.randrange(2**63, 2**70)),
        lambda: Number(f"{r.randrange(1000)}.{r.randrange(1000):03}"), lambda: Number(f"{r.randrange(9)}.5e{r.randrange(20)}"), lambda: r.choice(["a", "", "text", "1x"]),
        lambda: r.choice(["true", "False"]), lambda: str(r.randrange(1000)), lambda: f"{r.randrange(1000)}.{r.randrange(10)}", lambda: f"0{r.randrange(10)}",
        lambda: f"20{r.randrange(10, 30)}-0{r.randrange(1, 10)}-1{r.randrange(10)}T1{r.randrange(10)}:00:00{r.choice(['Z', '+02:00', '.5Z'])}",
        lambda: f"20{r.randrange(10, 30)}-0{r.randrange(1, 10)}-1{r.randrange(10)} 1{r.randrange(10)}:30:00", lambda: f"2026-02-{r.randrange(10, 40)}",
    ]
    one, two = r.choice(kinds), r.choice(kinds)
    if r.random() < 0.25:
        return lambda: [one() for _ in range(r.randrange(4))]
    mix = r.choice([0, 0, 0, 0.5])
    return lambda: two() if r.random() < mix else one()


def stream(seed):
    r = random.Random(seed)
    holes = {}

    def shape(depth):
        out = {}
        for name in r.sample(NAMES, r.randrange(1, 5)):
            out[name] = shape(depth + 1) if depth < 2 and r.random() < 0.3 else maker(r)
            holes[id(out), name] = r.choice([0, 0, 0.3]), r.choice([0, 0, 0.3])
        return out

    def make(shape):
        out = {}
        for name, inner in shape.items():
            missing, null = holes[id(shape), name]
            if isinstance(inner, dict):
                out[name] = make(inner)
            elif r.random() >= missing:
                out[name] = None if r.random() < null else inner()
        return out
    root = shape(0)
    # Below a hundred records each value counts.
    return [make(root) for _ in range(r.randrange(3, 90))]


def text(value):
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text, value)) + "]"
    return json.dumps(value)


def types(suite):
    """Types, paths and required fields of random records are those that a program of its own finds, and a replay rejects none of them"""
    faults, first = [], suite.arguments.seed * 1000
    count = 15 if suite.quick else 1000
    for seed in range(first, first + count):
        records = stream(seed)
        capture = suite.path(f"types-{seed}.ndjson")
        with open(capture, "w") as f:
            f.writelines(text(record) + "\n" for record in records)
        pipeline, found = infer(suite, f"types-{seed}", [capture])
        if not found:
            record = json.loads(weir(suite, "explain", pipeline, "--json").stdout)["record"]
            fields, time = record["fields"], record["time"]
            with open(pipeline) as f:
                lines = [line.split("  # ")[0] for line in f]
            coerced = {line.split(":")[0].strip() for line in lines if "coerce: true" in line or "zone: UTC" in line}
            got = {tuple(f["path"]) or (f["name"],): ("json" if f["encoding"] == "json" else f["type"], f["name"] in coerced, f["required"]) for f in fields}
            # An object that is empty in some records has the members of the others.
            want = expected(records)
            want = {path: kind for path, kind in want.items() if not any(other[:len(path)] == path and other != path for other in want)}
            if time:
                path = next(tuple(f["path"]) or (f["name"],) for f in fields if f["name"] == time["field"])
                want[path] = (*want[path][:2], True)
            found += [f"{path}: {got.get(path)}, {want.get(path)} expected" for path in got.keys() | want.keys() if got.get(path) != want.get(path)]
        if not found and not time:
            bad, found = rejected(suite, f"types-{seed}", pipeline, "inferred", [capture])
            found += [f"rejected: {reason}" for reason in (bad or {}).values()]
        faults += [f"seed {seed}: {fault}" for fault in found]
    suite.claim(f"{types.__doc__} ({count} streams)", faults)


# -- Odd captures

def at(second):
    return (datetime.datetime(2026, 3, 1) + datetime.timedelta(seconds=second)).isoformat() + "Z"


def ndjson(records, ascii=False):
    return "".join((json.dumps(record, ensure_ascii=ascii) if not isinstance(record, str) else record) + "\n" for record in records)


def rows_of(rows, delimiter=","):
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue()


# By name: text, records, and how many of them may be quarantined.
ODD = {
    "one.json": (ndjson([{"id": "a", "ts": at(0), "v": 1}]), 1, 0),
    "null-times.json": (ndjson([{"id": i, "ts": None if i % 5 == 0 else at(i)} for i in range(200)]), 200, 0),
    "few-null-times.json": (ndjson([{"id": i, "ts": None if i % 25 == 0 else at(i)} for i in range(200)]), 200, 8),
    "folded.json": (ndjson([{"ı": 1, "I": 2, "i": 3, "ſ": "x", "s": "y", "größe": 1.5, "名前": "a", "time": at(i), "😀": True} for i in range(50)], ascii=True), 50, 0),
    "names.json": (ndjson([{"@timestamp": at(i), "@": 1, "*": 1, "'a'": {"b": 1}, "`x`": 2, "a->b": 3, "f()": 4, "#": 1, "0": 2, "_id": {"$oid": f"z{i}"}, "select": 1,
                            "window_start": 2, "a/b": 1, "": 3, "x[0]": 1} for i in range(40)]), 40, 0),
    "mixed.json": (ndjson([{"id": i, "v": [1, "1", 1.5, True, None, "x", [1], {"a": 1}][i % 8], "ts": 1772323200 + i} for i in range(200)]), 200, 0),
    "huge-numbers.json": (ndjson(f'{{"id": {i}, "n": 1e400, "t": {1772323200.5 + i}}}' for i in range(50)), 50, 0),
    "halves.json": (ndjson(f'{{"id": {i}, "s": "{"" if i % 10 else chr(92) + "ud83d"}", "t": "{at(i)}"}}' for i in range(100)), 100, 10),
    "pretty.json": ("".join(json.dumps({"id": i, "at": at(i), "n": {"a": 1}}, indent=2) + "\n" for i in range(50)), 50, 0),
    "array.json": (json.dumps([{"id": i, "at": at(i), "tags": ["a"]} for i in range(50)], indent=1), 50, 0),
    "marked.json": ("\ufeff" + ndjson([{"id": i, "t": at(i)} for i in range(50)]).replace("\n", "\r\n"), 50, 0),
    "same-time.json": (ndjson([{"id": i, "t": at(0)} for i in range(50)]), 50, 0),
    "backwards.json": (ndjson([{"id": i, "t": at(5000 - i)} for i in range(300)]), 300, 0),
    "far.json": (ndjson([{"id": i, "t": at(i) if i % 50 else "2099-01-01T00:00:00Z"} for i in range(200)]), 200, 0),
    "wide.json": (ndjson([{f"c{j}": j for j in range(800)} for _ in range(5)]), 5, 0),
    "nanoseconds.json": (ndjson([{"event_id": str(i), "timestamp": str(1772323200000000000 + i)} for i in range(100)]), 100, 0),
    "empty-column.csv": (rows_of([["ID", "id", "Order Date", "Größe (cm)", "a,b", "_x", "null"]] + [[i, i * 2, at(i), "1.5", "z", "y", ""] for i in range(50)]), 50, 0),
    "commas.csv": (rows_of([["Datum", "Betrag", "Kunde Nr."]] + [[f"{i % 28 + 1:02}.03.2026", f"{i},5", f"00{i % 5}"] for i in range(60)], ";"), 60, 0),
    "tabs.tsv": (rows_of([["ts", "lvl", "msg", "ok"]] + [[1772323200000 + i * 1000, "info", 'say "x"', "true"] for i in range(60)], "\t"), 60, 0),
    "one-row.csv": ("a,b\n1,2\n", 1, 0),
    # Records without a value are filtered: they are in neither count.
    "connect.json": (ndjson([{"schema": {"type": "struct"}, "payload": {"op": "u", "after": {"id": i % 9, "n": i}, "at": at(i)}} for i in range(50)]
                            + ["null", {"schema": None, "payload": None}, {"schema": {"type": "struct"}, "payload": None}]), 51, 1),
    "flat-changes.json": (ndjson(record for i in range(50) for record in ({"_id": f"x{i}", "n": i, "at": at(i)}, "null")), 50, 0),
    # The sample, 100,000 records, shows no id twice: what changes later must not be dropped.
    "updates.json": (ndjson({"order_id": f"o{i % 100_000}", "state": i // 100_000, "updated_at": 1772323200000 + i} for i in range(101_000)), 101_000, 0),
}
# What is no stream of records, and the words that say so.
NO_RECORDS = {
    "empty": (b"", "it has no records"), "blank": (b"\n \n\n", "it has no records"), "no-elements": (b"[]\n", "it has no records"),
    "no-members": (b"{}\n{}\n", "no members that can be columns"), "binary": (bytes(range(256)) * 4, "binary data"), "header": (b"a,b\n", "one line only"),
    "nginx": (b'1.2.3.4 - - [01/Mar/2026:13:00:00 +0100] "GET / HTTP/1.1" 200 1\n' * 3, "text log"), "logfmt": (b"time=1 level=info msg=x\n" * 3, "text log"),
    "same-names": (b"a,b,a\n1,2,3\n", "has the name a twice"),
    "twice": ((json.dumps(json.dumps({"id": 1})) + "\n").encode() * 2, "encodes it twice"), "python": (b"{'a': None}\n" * 3, "double quotes"), "nan": (b'{"a": NaN}\n', "no NaN"),
    "latin": ("größe,b\n1,2\n".encode("latin-1"), "not UTF-8"),
}


def odd(suite):
    """Pipelines of odd captures pass `weir check` without a warning and accept what can be read; tables of two of them do not meet in one lake"""
    faults, lake = [], suite.path("shared-lake")
    for name, (content, records, bad) in ODD.items():
        path = suite.path(name)
        with open(path, "w", encoding="utf-8", newline="") as f:
            f.write(content)
        pipeline, found = infer(suite, f"odd-{name}", [path])
        if not found:
            rejects, found = rejected(suite, f"odd-{name}", pipeline, "inferred", [path])
            accepted = tables.read_delta(suite.path(f"odd-{name}-lake"), "silver/inferred")
            count = accepted.num_rows if accepted is not None else 0
            if not found and (len(rejects) > bad or count + len(rejects) != records):
                found = [f"{count} of {records} accepted, {len(rejects)} quarantined: {list(rejects.values())[:2]}"]
        faults += [f"{name}: {fault}" for fault in found]
    for name in ("same-time.json", "nanoseconds.json", "few-null-times.json"):
        with open(suite.path("own.yaml"), "w") as f:
            f.write(weir(suite, "infer", suite.path(name)).stdout)
        done = weir(suite, "replay", suite.path("own.yaml"), "--capture", suite.path(name), "--lake", lake, "--store", lake + "-store")
        faults += [f"{name} in a lake with others: {done.stderr}"] if done.returncode else []
    suite.claim(f"{odd.__doc__} ({len(ODD)} captures)", faults)

    faults = []
    os.makedirs(suite.path("directory"), exist_ok=True)
    for name, (content, words) in NO_RECORDS.items():
        with open(suite.path(name), "wb") as f:
            f.write(content)
    for name, words in [(name, words) for name, (_, words) in NO_RECORDS.items()] + [("directory", "is an empty directory"), ("nowhere", "cannot be read")]:
        done = weir(suite, "infer", suite.path(name))
        faults += [] if done.returncode == 2 and words in done.stderr and not done.stdout else [f"{name}: exit {done.returncode}: {done.stderr}{done.stdout[:200]}"]
    suite.claim("captures without records are refused, and the message says what they are", faults)


def again(suite):
    """The same capture gives the same pipeline, also from a pipe and compressed; what cannot be read is refused with what to do"""
    path = os.path.join(CASES, "07-orders-text-numbers", "input.json")
    first = weir(suite, "infer", path).stdout
    with open(path, "rb") as f:
        piped = subprocess.run([suite.weir, "infer", "-", "--stream", "input"], stdin=f, capture_output=True, text=True, timeout=common.PATIENCE).stdout
    zipped = suite.path("input.json.gz")
    with common.gzip.open(zipped, "wb") as out, open(path, "rb") as f:
        out.write(f.read())
    others = {"twice": weir(suite, "infer", path).stdout, "a pipe": piped, "gzip": weir(suite, "infer", zipped).stdout}
    faults = [f"{name}: another pipeline" for name, other in others.items() if other.split("\n")[1:] != first.split("\n")[1:] or not first]
    for name, content, word in [("prose", b"some words\nand more\n", "neither JSON nor rows"), ("broken", b"{\"a\":}\n{oops\n", "none of its first"),
                                ("parquet", b"PAR1" + bytes(100), "Parquet")]:
        with open(suite.path(name), "wb") as f:
            f.write(content)
        done = weir(suite, "infer", suite.path(name))
        faults += [] if done.returncode == 2 and word in done.stderr and not done.stdout else [f"{name}: exit {done.returncode}: {done.stderr}"]
    for name in ("null", "123", "no"):
        with open(suite.path("named.yaml"), "w") as f:
            f.write(weir(suite, "infer", path, "--stream", name).stdout)
        done = weir(suite, "replay", suite.path("named.yaml"), "--capture", path, "--lake", suite.path(f"named-{name}"), "--store", suite.path(f"named-{name}-store"))
        faults += [] if done.returncode == 0 and tables.read_delta(suite.path(f"named-{name}"), f"silver/{name}") is not None else [f"--stream {name}: {done.stderr}"]
    faults += [] if (done := weir(suite, "infer", suite.path("missing"))).returncode == 2 else [f"a missing file: exit {done.returncode}: {done.stderr}"]
    suite.claim(again.__doc__, faults)


suite = common.Suite("inferred_pipelines_run", 300, __doc__)
suite.run(cases, odd, types, again)
