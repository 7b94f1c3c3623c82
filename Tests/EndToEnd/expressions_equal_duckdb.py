#!/usr/bin/env python3
"""Whatever expression or path passes `weir check` runs and resumes; nulls are as in DuckDB, nested fields and times as Python reads them;
a pipeline file or lookup that is too large is refused quickly and by the bound's name."""
import datetime
import decimal
import json
import os
import random
import resource
import shutil
import subprocess

import common
import duckdb
import tables

FIELDS = {"id": "string!", "k": "string", "n": "int64", "x": "double", "d": "decimal(12,2)", "b": "bool", "t": "timestamp_ms!"}
CPU_SECONDS = 60


def pipeline(suite, name, **sections):
    """A pipeline file (JSON is YAML), with a silver table of all fields."""
    spec = {"pipeline": "p", "source": {"capture": {"stream": "s"}},
            "record": {"key": "id", "time": {"field": "t"}, "fields": dict(FIELDS)}, "silver": {"columns": "*"},
            "quarantine": {"halt_above": "100%", "exit_above": "100%"}, "lake": {"path": "./lake"}, "store": {"lmdb": "./state"}}
    spec["record"].update(sections.pop("record", {}))
    spec.update(sections)
    os.makedirs(suite.path(name), exist_ok=True)
    path = suite.path(name, "p.yaml")
    with open(path, "w") as f:
        json.dump(spec, f, ensure_ascii=False)
    return path


def run(suite, *arguments, memory=None):
    """(status, output); a signal is a negative status. SIGXCPU ends what is not linear: CPU seconds do not depend on other load."""
    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        if memory:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))

    done = subprocess.run([suite.weir, *arguments], capture_output=True, text=True, timeout=CPU_SECONDS * common.BUSY, preexec_fn=limit)
    return done.returncode, done.stdout + done.stderr


def replay(suite, path, capture, *more):
    return run(suite, "replay", path, "--capture", capture, "--keep-open", *more)


def write(path, lines):
    with open(path, "w") as f:
        f.writelines(line + "\n" for line in lines)
    return path


def rows(path, table="silver/s"):
    """Rows of a table by id."""
    found = tables.read_delta(os.path.join(os.path.dirname(path), "lake"), table)
    return {row["id"]: row for row in found.to_pylist()}


def reasons(path):
    found = tables.read_delta(os.path.join(os.path.dirname(path), "lake"), "quarantine/s")
    return {json.loads(row["value"])["id"]: row["reason"] for row in found.to_pylist()} if found is not None else {}


# -- Long and deep expressions

def random_expression(r, kind, depth):
    """An expression of a kind (bool, number, text), of every operator."""
    if depth <= 0:
        return r.choice({"bool": ["b", "true", "null", "n = 1"], "number": ["n", "1", "2.50", "x", "d", "null", "-3"],
                         "text": ["k", "'a'", "null", "''"]}[kind])

    def one(kind):
        return random_expression(r, kind, depth - r.choice([1, 1, 1, 4]))
    deep = {
        "bool": [lambda: f"not {one('bool')}", lambda: f"({one('bool')})", lambda: f"{one('number')} < {one('number')}",
                 lambda: f"({one('bool')} and {one('bool')})", lambda: f"({one('bool')} or {one('bool')})", lambda: f"({one('bool')}) is true",
                 lambda: f"({one('number')}) is null", lambda: f"({one('number')}) in (1, 2, null)", lambda: f"({one('text')}) like 'a%_'",
                 lambda: f"({one('number')}) between 1 and {one('number')}"],
        "number": [lambda: f"({one('number')} + {one('number')})", lambda: f"-({one('number')})", lambda: f"abs({one('number')})",
                   lambda: f"coalesce({one('number')}, 1)", lambda: f"case when {one('bool')} then {one('number')} else 0 end",
                   lambda: f"length({one('text')})", lambda: f"try_cast({one('text')} as int64)", lambda: f"({one('number')} / {one('number')})",
                   lambda: f"case {one('number')} when 1 then 2 end", lambda: f"epoch_ms(date_trunc('hour', t)) % ({one('number')})"],
        "text": [lambda: f"({one('text')} || {one('text')})", lambda: f"lower({one('text')})", lambda: f"cast({one('number')} as string)",
                 lambda: f"coalesce({one('text')}, '')", lambda: f"nullif({one('text')}, 'a')"],
    }
    return r.choice(deep[kind])()


def chains():
    """Long ones: (name, expression, kind)."""
    for count in (164, 170, 1000):
        yield f"{count} or", " or ".join(f"k = 'x{i}'" for i in range(count)), "bool"
        yield f"{count} and", " and ".join(f"n <> {i + 100}" for i in range(count)), "bool"
        yield f"{count} ||", " || ".join(["k", *["'a'"] * count]), "text"
        yield f"{count} +", " + ".join(["n"] * count), "number"
        yield f"{count} *", " * ".join(["1"] * count), "number"
    yield "5000 ||", "||".join(["k"] * 5000), "text"
    yield "100000 in", "n in (" + ",".join(str(i * 2) for i in range(100_000)) + ")", "bool"
    yield "2000 when", "case " + " ".join(f"when n = {i} then {i}" for i in range(2000)) + " end", "number"
    yield "500000 letters", "k = '" + "x" * 500_000 + "'", "bool"
    for count in (60, 98, 170, 6000):
        yield f"{count} not", "not " * count + "b", "bool"
        yield f"{count} minus", "- " * count + "n", "number"
        yield f"{count} brackets", "(" * count + "n" + ")" * count, "number"
        yield f"{count} functions", "abs(" * count + "n" + ")" * count, "number"
        yield f"{count} cases", "case when n > 0 then " * count + "n" + " end" * count, "number"
        yield f"{count} nullif", "nullif(" * count + "n" + ", 1)" * count, "number"


def long_expressions(suite):
    """Whatever passes check is explained, replayed and resumed, killed or not; the rest is refused with line and column"""
    capture = write(suite.path("c.ndjson"), [
        json.dumps({"id": str(i), "k": "abc"[i % 3], "n": i, "x": i / 4, "d": i, "b": i % 2 == 0, "t": 1_700_000_000_000 + i}) for i in range(50)])
    r = random.Random(suite.arguments.seed)
    cases = list(chains())
    if suite.quick:
        cases = [c for c in cases if c[0].split()[0] in ("164", "170", "98")] + [c for c in cases if c[0].startswith(("100000", "2000 "))]
    cases += [(f"random {i}", random_expression(r, kind, r.choice([6, 20, 60])), kind)
              for i in range(6 if suite.quick else 60) for kind in ("bool", "number", "text")]
    faults, passed, refused = [], 0, 0
    places = {"bool": ["check", "where"], "number": ["measure", "by"], "text": ["silver", "by"]}
    # Many expressions in one pipeline save runs of the binary; each is checked alone first.
    good = []
    for i, (name, text, kind) in enumerate(cases):
        place = places[kind][i % 2]
        sections = {
            "check": {"checks": [{"name": "c", "that": text}]}, "silver": {"silver": {"columns": ["*", f"{text} as out"]}},
            "where": {"gold": {"g": {"where": text, "by": ["k"], "window": {"tumbling": "1s"}, "measure": {"c": "count()"}}}},
            "measure": {"gold": {"g": {"by": ["k"], "window": {"tumbling": "1s"}, "measure": {"m": f"max({text})"}}}},
            "by": {"gold": {"g": {"by": [f"{text} as out"], "window": {"tumbling": "1s"}, "measure": {"c": "count()"}}}},
        }[place]
        path = pipeline(suite, f"long{i}", **sections)
        status, output = run(suite, "check", path)
        if status == 0:
            passed += 1
            good.append((name, path))
        elif status == 2 and ": error: " in output and "[expression]" in output:
            refused += 1
        else:
            faults.append(f"{name} ({place}): check exits with {status}: {output[-300:]}")
    for name, path in good:
        for command in (("explain", "--json", path), ("explain", path)):
            status, output = run(suite, *command)
            if status:
                faults.append(f"{name}: {command[0]} exits with {status}: {output[-300:]}")
        for number in range(2):
            status, output = replay(suite, path, capture)
            if status:
                faults.append(f"{name}: replay {number} exits with {status}: {output[-300:]}")
        shutil.rmtree(os.path.dirname(path))
    if not passed or not refused:
        faults.append(f"{passed} passed, {refused} were refused")
    suite.claim(f"{passed} long and deep expressions run and resume, {refused} are refused with line and column", faults)


# -- Nulls

NULLS = [
    "null in (1)", "null in ('a')", "n in (1, null)", "n not in (1, null)", "null not in (1)", "abs(null)", "-null", "null + n", "n / null", "null || k",
    "lower(null)", "length(null)", "case when b then null else n end", "case when b then null end", "case k when null then 1 else 2 end",
    "coalesce(null, n)", "coalesce(null, null)", "coalesce(null, null, d)", "nullif(n, null)", "nullif(null, n)", "nullif(n, 1)",
    "null between 1 and 2", "n between null and 2", "n between 3 and null", "not null", "null and b", "null or b", "null = null", "null is null",
    "null is not null", "null < 1", "null like 'a'", "coalesce(cast(null as double), n)", "case when b then cast(null as double) else 1 end",
    "nullif(cast(null as int64), 1)", "case when n > 1 then 1 when n > 0 then null else 2.5 end", "null is true", "null is not true",
    "coalesce(null in (1), false)", "case when null then 1 else 2 end",
]


# What a null literal may be; where an operator accepts only a constant, only the first.
BARE = ["null", "(coalesce(null, null))", "(nullif(null, null))", "(case when b then null end)"]
COLUMNS = {"n": "int64", "x": "double", "d": "decimal(12,2)", "k": "string", "b": "bool", "t": "timestamp"}
# By type of the result: every operator and function with a null N in every place. After |, as DuckDB writes it.
IN_PLACES = {
    "bool": ["N or b", "b or N", "N and b", "b and N", "not N", "N is null", "N is not null", "N is true", "N is not true", "N is false", "N is not false",
             "N in (1, 2)", "N in ('a')", "N not in (1)", "n in (1, null)", "k not in ('a', null)", "N like 'a%'", "N not like 'a%'", "k like null", "k not like null",
             "N between 1 and 2", "n between N and 2", "n between 1 and N", "n not between N and 2", "N = N", "N <> N", "N < N"],
    "int64": ["N + n", "n + N", "N - n", "n - N", "N * n", "n * N", "N % n", "n % N", "-N", "+N", "abs(N)", "length(N)", "epoch_ms(N) | epoch_ms(cast(N as timestamp))",
              "N + N", "case when N then 1 else 2 end", "case n when N then 1 else 2 end", "case N when 1 then 1 else 2 end", "case when b then N else 1 end"],
    "double": ["N + x", "x - N", "N * x", "N / n", "n / N", "x / N", "N % x"],
    "decimal": ["N + d", "d - N", "N * d", "d * N", "d % N", "abs(coalesce(N, d))"],
    "string": ["N || k", "k || N", "lower(N)", "upper(N)", "cast(N as string)", "coalesce(N, k, N)"],
    "timestamp": ["date_trunc('hour', N) | date_trunc('hour', cast(N as timestamp))", "coalesce(N, date_trunc('day', t))"],
}
for _column, _type in COLUMNS.items():
    IN_PLACES.setdefault(_type.split("(")[0], [])
    IN_PLACES[_type.split("(")[0]] += [
        p.replace("C", _column) for p in ["nullif(N, C)", "nullif(C, N)", "coalesce(N, C)", "coalesce(C, N)", "case when b then N else C end", "case when b then C else N end",
                                          "case when b then C when not b then N end", "case C when N then C else N end", f"cast(N as {_type})", f"try_cast(N as {_type})"]]
    IN_PLACES["bool"] += [f"N {op} {_column}" for op in ("=", "<>", "<", "<=", ">", ">=")] + [f"{_column} {op} N" for op in ("=", "<>", "<", "<=", ">", ">=")]


def class_of(name):
    """The type of a column of DuckDB, or of Arrow, as a word; None: DuckDB's null without a type."""
    name = name.lower().split("(")[0].split("[")[0]
    return {"boolean": "bool", "bigint": "int64", "integer": "int64", "varchar": "string", "decimal128": "decimal", "large_string": "string", "string_view": "string",
            "\"null\"": None}.get(name, name)


def typed_nulls(suite):
    """A null literal in every place of every operator and function has the type of its context and DuckDB's value"""
    record = {"id": "1", "k": "abc", "n": 2, "x": 1.5, "d": 3, "b": True, "t": 1_700_000_000_000}
    capture = write(suite.path("typed.ndjson"), [json.dumps(record)])
    cases = [(kind, text.split(" | ")[0].replace("N", bare), text.split(" | ")[-1].replace("N", bare)) for kind, texts in IN_PLACES.items() for text in texts
             for bare in (BARE if "N" in text else BARE[:1])]
    path = pipeline(suite, "typed", silver={"columns": ["id", *[f"{text} as c{i}" for i, (_, text, _) in enumerate(cases)]]})
    status, output = replay(suite, path, capture)
    if status:
        suite.claim("the pipeline of null literals runs", output)
        return
    table = tables.read_delta(os.path.join(os.path.dirname(path), "lake"), "silver/s")
    db = duckdb.connect()
    db.execute("create table r(id varchar, k varchar, n bigint, x double, d decimal(12,2), b boolean, t timestamp)")
    db.execute("insert into r values ('1', 'abc', 2, 1.5, 3, true, timestamp '2023-11-14 22:13:20')")
    faults, typed = [], 0
    for i, (kind, text, other) in enumerate(cases):
        got, own = table[f"c{i}"][0].as_py(), class_of(str(table.schema.field(f"c{i}").type))
        want, name = db.execute(f"select x, typeof(x) from (select ({other.replace('int64', 'bigint')}) as x from r)").fetchone()
        if own != kind:
            faults.append(f"{text} is a column of {own} and not {kind}")
        # An operand without a type has one in Weir by its context; DuckDB leaves some results without one, and gives others that of a number.
        if class_of(name) is not None and not (want is None and class_of(name) == "int64" and kind != "int64"):
            typed += 1
            if class_of(name) != own:
                faults.append(f"{text} is a column of {own}, and of {name} in DuckDB")
        if isinstance(got, datetime.datetime):
            got = got.replace(tzinfo=None)
        if got != want and not (got is not None and want is not None and not isinstance(got, (str, datetime.datetime)) and float(got) == float(want)):
            faults.append(f"{text}: {got} and not {want}")
    if typed * 2 < len(cases):
        faults.append(f"DuckDB has a type for {typed} of {len(cases)} only")
    # What must be a constant of the language is refused, and not taken for a null.
    for text in ("date_trunc(null, t)", "json_value(k, null)", "k like 'a' escape null", "cast(n as null)", "nullif(null, k) + 1", "+k", "explode"):
        status, output = run(suite, "check", pipeline(suite, "typed-refused", silver={"columns": ["id", f"{text} as c"]}))
        if status != 2 or "[expression]" not in output:
            faults.append(f"{text}: check exits with {status}: {output}")
    suite.claim(f"{len(cases)} expressions with a null literal have the type of their context ({typed} also in DuckDB) and DuckDB's value", faults)


def nulls(suite):
    """Expressions with null literals give what DuckDB gives, and a column of the type of what stands beside them"""
    records = [{"id": str(i), "k": k, "n": n, "x": None, "d": n, "b": b, "t": 1_700_000_000_000}
               for i, (k, n, b) in enumerate([("a", 1, True), ("b", 5, False), (None, None, None), ("", -3, True)])]
    capture = write(suite.path("nulls.ndjson"), [json.dumps(x) for x in records])
    path = pipeline(suite, "nulls", silver={"columns": ["id", *[f"{text} as c{i}" for i, text in enumerate(NULLS)]]})
    status, output = replay(suite, path, capture)
    if status:
        suite.claim("the pipeline of nulls runs", output)
        return
    found = rows(path)
    db = duckdb.connect()
    db.execute("create table r(id varchar, k varchar, n bigint, x double, d decimal(12,2), b boolean)")
    db.executemany("insert into r values (?, ?, ?, ?, ?, ?)", [[x[c] for c in ("id", "k", "n", "x", "d", "b")] for x in records])
    db.execute("set ieee_floating_point_ops=false")
    faults = []
    for i, text in enumerate(NULLS):
        for row, expected in db.execute(f"select id, ({text.replace('int64', 'bigint')}) from r").fetchall():
            got = found[row][f"c{i}"]
            if got != expected and not (got is not None and expected is not None and float(got) == float(expected)):
                faults.append(f"{text}: {got} and not {expected} in row {row}")
    suite.claim(f"{len(NULLS)} expressions with null are as in DuckDB", faults)


# -- Fields by path

PATHS = {
    "op": ("string", "__op", ["__op"]), "city": ("string", "address.city", ["address", "city"]), "zip": ("int64", "address.zip", ["address", "zip"]),
    "first": ("string", "items[0].id", ["items", 0, "id"]), "second": ("int64", "items[1].n", ["items", 1, "n"]),
    "odd": ("bool", '"a.b".c', ["a.b", "c"]), "quote": ("string", '"say ""x"""', ['say "x"']), "deep": ("int64", "m[1][0].x", ["m", 1, 0, "x"]),
    "oid": ("string", "_id.$oid", ["_id", "$oid"]),
}


def walk(value, steps):
    for step in steps:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def random_value(r, depth):
    names = ["__op", "address", "city", "zip", "items", "id", "n", "a.b", "c", 'say "x"', "m", "x", "_id", "$oid", "more"]
    if depth and r.random() < 0.6:
        if r.random() < 0.5:
            return [random_value(r, depth - 1) for _ in range(r.randrange(4))]
        return {r.choice(names): random_value(r, depth - 1) for _ in range(r.randrange(6))}
    return r.choice([None, True, False, 7, -2, "", "é\"\\\n", "text", 1.5])


def json_text(r, value):
    """JSON with random white space, and escapes in the names."""
    space = lambda: r.choice(["", "", " ", "\t"])  # noqa: E731
    if isinstance(value, dict):
        def name(text):
            return "".join(f"\\u{ord(c):04x}" if r.random() < 0.1 else json.dumps(c)[1:-1] for c in text)
        return "{" + ",".join(f'{space()}"{name(k)}"{space()}:{space()}{json_text(r, v)}{space()}' for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(f"{space()}{json_text(r, v)}{space()}" for v in value) + "]"
    return json.dumps(value)


def paths(suite):
    """Fields by path are what Python finds there; what is not of the field's type sends the record to quarantine"""
    r = random.Random(suite.arguments.seed)
    fits = {"string": lambda v: isinstance(v, str), "bool": lambda v: isinstance(v, bool),
            "int64": lambda v: isinstance(v, int) and not isinstance(v, bool)}
    fields = {"id": "string!", "t": "timestamp_ms!"} | {n: {"type": t, "path": p} for n, (t, p, _) in PATHS.items()}
    path = pipeline(suite, "paths", record={"fields": fields})
    expected, bad, lines = {}, set(), []
    for i in range(300 if suite.quick else 5000):
        record = {"id": str(i), "t": 1_700_000_000_000}
        for name in ["__op", "address", "items", "a.b", 'say "x"', "m", "_id", "other"]:
            if r.random() < 0.7:
                record[name] = random_value(r, 4)
        # Mostly of the right shape.
        if r.random() < 0.8:
            record |= {"__op": "c", "address": {"zip": i, "city": "é", "x": [random_value(r, 2)]}, "items": [{"id": "q"}, {"n": i}, 3][:r.randrange(4)]}
            record["m"], record["a.b"], record["_id"] = [0, [{"x": i}]], {"c": i % 2 == 0}, {"$oid": str(i)}
            record['say "x"'] = r.choice(["x", None])
        items = list(record.items())
        r.shuffle(items)
        lines.append(json_text(r, dict(items)))
        values = {n: walk(record, steps) for n, (_, _, steps) in PATHS.items()}
        if all(v is None or fits[PATHS[n][0]](v) for n, v in values.items()):
            expected[str(i)] = values
        else:
            bad.add(str(i))
    status, output = replay(suite, path, write(suite.path("paths.ndjson"), lines))
    if status:
        suite.claim("the pipeline of paths runs", output)
        return
    found = {i: {n: row[n] for n in PATHS} for i, row in rows(path).items()}
    faults = [f"{i}: {found.get(i)} and not {v}" for i, v in expected.items() if found.get(i) != v]
    faults += [f"{i} was accepted" for i in bad & set(found)]
    suite.claim(f"fields by path of {len(expected)} records are what Python finds, and {len(bad)} records are rejected", faults)

    refusals = [({"address.city": "string"}, "path: 'address.city'"), ({"_id": "string"}, "path: '_id'"),
                ({"a": {"type": "string", "path": "x..y"}}, "not a path"), ({"a": {"type": "string", "path": "x[y]"}}, "not a path"),
                ({"a": {"type": "string", "path": "x"}, "c": {"type": "int64", "path": "x.y"}}, "one place of a record can be only one field"),
                ({"a": {"type": "string", "path": "x.y"}, "c": {"type": "string", "path": "x.y"}}, "one place of a record can be only one field")]
    faults = []
    for fields, word in refusals:
        path = pipeline(suite, "refused", record={"fields": FIELDS | fields})
        status, output = run(suite, "check", path)
        if status != 2 or word not in output:
            faults.append(f"{fields}: {status} {output}")
    fields = FIELDS | {"a": {"type": "string", "path": "x[0]"}}
    path = pipeline(suite, "refused", record={"fields": fields, "format": "avro", "registry": {"url": "http://127.0.0.1:1"}},
                    source={"kafka": {"brokers": "127.0.0.1:1", "topic": "s", "group": "g"}})
    status, output = run(suite, "check", path)
    if status != 2 or "avro" not in output:
        faults.append(f"an index with avro: {status} {output}")
    suite.claim("a dotted name, a name with _ and a wrong path are refused with what to write", faults)


# -- Times

def micros_of_text(text):
    """By Python's datetime, the fraction beyond microseconds cut off."""
    import re
    m = re.fullmatch(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?([Zz]|[+-]\d\d(?::?\d\d)?)", text)
    if not m:
        return None
    try:
        day, clock, second, fraction, zone = m.groups()
        zone = "+00:00" if zone in "Zz" else zone if len(zone) == 6 else zone[:3] + ":" + (zone[3:] or "00")
        at = datetime.datetime.fromisoformat(f"{day}T{clock}:{second or '00'}.{(fraction or '0')[:6]:<06}{zone}")
        since = at - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    except (ValueError, OverflowError):
        return None
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def micros_of_number(text, unit):
    with decimal.localcontext(prec=200):
        value = decimal.Decimal(text) * unit
        return int(value.to_integral_value(rounding=decimal.ROUND_FLOOR))


def times(suite):
    """Times in every form are what Python's datetime and Decimal say, to the microsecond"""
    r = random.Random(suite.arguments.seed)
    fields = {"id": "string!", "t": "timestamp_ms!", "text": "timestamp", "s": "timestamp_s", "ms": "timestamp_ms", "us": "timestamp_us"}
    path = pipeline(suite, "times", record={"fields": fields})
    expected, lines = {}, []
    first = (datetime.datetime(1, 1, 1) - datetime.datetime(1970, 1, 1)).days * 86_400_000_000
    last = (datetime.datetime(9999, 12, 31) - datetime.datetime(1970, 1, 1)).days * 86_400_000_000 + 86_399_999_999
    for i in range(400 if suite.quick else 5000):
        record = {"id": str(i), "t": 1_700_000_000_000}
        if i % 2:
            text = f"{r.randrange(1, 9999):04}-{r.randrange(1, 13):02}-{r.randrange(1, 31):02}{r.choice('Tt ')}{r.randrange(24):02}:{r.randrange(60):02}"
            if r.random() < 0.7:
                text += f":{r.randrange(60):02}" + (f".{r.randrange(10 ** 9):09}"[:r.randrange(2, 11)] if r.random() < 0.6 else "")
            text += r.choice(["Z", "z", "+01", "-0330", "+05:45", "-12:00", "+00:00", "", "+1", "Z1", " +01"])
            record["text"], value, column = text, micros_of_text(text), "text"
            lines.append(json.dumps(record))
        else:
            column, unit = r.choice([("s", 1_000_000), ("ms", 1000), ("us", 1)])
            number = r.choice([
                str(r.randrange(-10 ** 9, 2 * 10 ** 9)), f"{r.randrange(2 * 10 ** 9)}.{r.randrange(10 ** 6):06}", f"-{r.randrange(10 ** 6)}.{r.randrange(10 ** 12):012}",
                f"{r.randrange(10 ** 6)}.{r.randrange(10 ** 45):045}", f"{r.randrange(1, 10 ** 6)}e{r.randrange(-9, 8)}", "1700000000.9999999", "-0", "0.0",
                f"1.{r.randrange(10 ** 9)}E9"])
            value = micros_of_number(number, unit)
            value = value if first <= value <= last else None
            shown = json.dumps(number) if r.random() < 0.5 else number
            lines.append(json.dumps(record)[:-1] + f', "{column}": {shown}}}')
        expected[str(i)] = (value, column)
    status, output = replay(suite, path, write(suite.path("times.ndjson"), lines))
    if status:
        suite.claim("the pipeline of times runs", output)
        return
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    table = tables.read_delta(suite.path("times", "lake"), "silver/s")
    import pyarrow as pa
    ints = {c: table[c].cast(pa.timestamp("us")).cast(pa.int64()).to_pylist() for c in ("text", "s", "ms", "us")}
    found = {name: {c: ints[c][row] for c in ints} for row, name in enumerate(table["id"].to_pylist())}
    faults = []
    for (i, (value, column)), line in zip(expected.items(), lines):
        got = found[i][column] if i in found else None
        if got != value:
            faults.append(f"{got} and not {value} ({epoch}): {line}")
    refused = sum(value is None for value, _ in expected.values())
    suite.claim(f"{len(expected) - refused} times are to the microsecond what Python says, and {refused} are refused", faults)


# -- Bounds

def bounds(suite):
    """What is too large is refused at once, by the name of its bound, within a small amount of memory"""
    faults = []
    big = suite.path("big")
    os.makedirs(big, exist_ok=True)

    def refused(name, path, *words):
        status, output = run(suite, "check", path, memory=1 << 30)
        if status != 2 or not all(word in output for word in words) or len(output) > 100_000:
            faults.append(f"{name}: {status}, {len(output)} bytes: {output[-300:]}")
    expression = " or ".join(["n = 1"] * 100)
    with open(os.path.join(big, "huge.yaml"), "w") as f:
        f.write("checks:\n- {name: c, that: \"" + "n = 1 or " * 5_500_000 + "true\"}\n")
    refused("a file of 50 MB", os.path.join(big, "huge.yaml"), "pipeline_file")
    os.remove(os.path.join(big, "huge.yaml"))
    gold = {"by": ["k"], "window": {"tumbling": "1s"}, "measure": {"c": "count()"}}
    cases = {
        "100,000 when": ({"silver": {"columns": "case " + " ".join(["when b then 1"] * 60_000) + " end as c"}}, ["expression_size"]),
        "3,000 fields": ({"record": {"fields": FIELDS | {f"f{i}": "string" for i in range(3000)}}}, ["pipeline_entries"]),
        "3,000 checks": ({"checks": [{"name": f"c{i}", "that": "b"} for i in range(3000)]}, ["pipeline_entries"]),
        "3,000 tables": ({"gold": {f"g{i}": gold for i in range(3000)}}, ["pipeline_entries"]),
        "3,000 measures": ({"gold": {"g": gold | {"measure": {f"m{i}": "count()" for i in range(3000)}}}}, ["pipeline_entries"]),
        "3,000 columns": ({"silver": {"columns": ", ".join(f"n as c{i}" for i in range(3000))}}, ["pipeline_columns"]),
        "100 large checks": ({"checks": [{"name": f"c{i}", "that": " or ".join(["n = 1"] * 1400)} for i in range(75)]}, ["pipeline_expressions"]),
        "an unknown name of 900 kB": ({"checks": [{"name": "c", "that": "x" * 900_000 + " = 1"}]}, ["unknown column"]),
        "many errors": ({"checks": [{"name": f"c{i}", "that": f"nn{i} = 1"} for i in range(1900)]}, ["more problems"]),
        "a like of 9,000 bytes": ({"checks": [{"name": "c", "that": "k like '" + "%a" * 4500 + "'"}]}, ["like_pattern"]),
    }
    for name, (sections, words) in cases.items():
        refused(name, pipeline(suite, "big", **sections), *words)
    for name, text in [("flow sequences", "[" * 200_000), ("flow mappings", "{a: " * 200_000), ("block sequences", "- " * 400_000 + "a\n"),
                       ("keys", "? " * 400_000 + "a\n")]:
        path = os.path.join(big, "nested.yaml")
        with open(path, "w") as f:
            f.write("pipeline: p\nsource: " + text if text[0] in "[{" else text)
        refused(f"nested {name}", path, "yaml")
    text = expression + " and k like '%a%_b%'"
    path = pipeline(suite, "big", checks=[{"name": "c", "that": text}])
    status, output = run(suite, "check", path)
    if status:
        faults.append(f"an ordinary expression: {output}")
    suite.claim(f"{len(cases) + 5} pipeline files that are too large are refused by the bound's name", faults)

    # A pattern that once took the product of both lengths.
    path = pipeline(suite, "like", checks=[{"name": "c", "that": "k like '%" + "a" * 2000 + "b%' or k like '%" + "_a" * 1000 + "_b%'"}])
    size = 20_000 if suite.quick else 1_000_000
    capture = write(suite.path("like.ndjson"), [json.dumps({"id": "1", "k": "a" * size, "t": 1})])
    status, output = replay(suite, path, capture)
    suite.claim("like over a long text is linear", [] if status == 0 and reasons(path) == {"1": reasons(path).get("1")} and "1" in reasons(path)
                else f"{status}: {output[-300:]}")


def lookups(suite):
    """A lookup is read in a small multiple of its size; one that is too large is refused by the bound's name, unread"""
    faults = []
    count = 20_000 if suite.quick else 1_000_000
    path = pipeline(suite, "lookup", lookups={"l": {"file": "l.csv", "key": "n", "columns": {"v": "decimal(12,2)", "at": "timestamp"}}},
                    silver={"columns": "*, l.v, l.name, l.at"})
    with open(suite.path("lookup", "l.csv"), "w") as f:
        f.write("\ufeffname,n,v,at\r\n")
        f.writelines(f'"quoted ""{i}"", {i}",{i},{i}.5,2026-01-31T00:00Z\r\n' for i in range(count))
        f.write("\n,,,\n")
    size = os.path.getsize(suite.path("lookup", "l.csv"))
    status, output = run(suite, "check", path, memory=(1 << 28) + 8 * size)
    if status:
        faults.append(f"check: {status}: {output[-300:]}")
    ids = [0, count // 2, count - 1, count]
    capture = write(suite.path("lookup.ndjson"), [json.dumps({"id": str(i), "n": n, "t": 1}) for i, n in enumerate(ids)])
    status, output = replay(suite, path, capture)
    if status:
        faults.append(f"replay: {status}: {output[-300:]}")
    else:
        for i, row in rows(path).items():
            n = ids[int(i)]
            wanted = (f'quoted "{n}", {n}', decimal.Decimal(n) + decimal.Decimal("0.5")) if n < count else (None, None)
            if (row["name"], row["v"]) != wanted:
                faults.append(f"{n}: {row['name']}, {row['v']}")
    suite.claim(f"a lookup of {count} rows is read and found", faults)

    faults = []
    with open(suite.path("lookup", "l.csv"), "wb") as f:
        f.write(b"name,n,v,at\n")
        f.truncate(3 << 30)
    status, output = run(suite, "check", path, memory=1 << 28)
    if status != 2 or "lookup_bytes" not in output:
        faults.append(f"3 GiB: {status}: {output[-300:]}")
    os.remove(suite.path("lookup", "l.csv"))
    path = pipeline(suite, "lookup", lookups={"l": {"file": "l.csv", "key": "n"}})
    for text, line in [("n,v\n1,a\n2,b\n1,c\n", 4), ("n,v\n1,a\n\n2\n", 4), ('n,v\n1,"a\nb"\n2,"c\n', 4), ("n,v\nx,1\n", 2), ("m,v\n", 1), ("n,v,v\n", 1),
                       ('n,v\n1,"a"b\n', 2), ("n,v\n1,\xff\n", 2)]:
        with open(suite.path("lookup", "l.csv"), "w", encoding="latin-1") as f:
            f.write(text)
        status, output = run(suite, "check", path)
        if status != 2 or f"l.csv:{line}: " not in output:
            faults.append(f"{text!r}: {status}: {output[-300:]}")
    suite.claim("a lookup that is too large or broken is refused with its bound or line", faults)


if __name__ == "__main__":
    suite = common.Suite("expressions_equal_duckdb", 600, __doc__)
    suite.run(long_expressions, nulls, typed_nulls, paths, times, bounds, lookups)
