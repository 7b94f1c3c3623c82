#!/usr/bin/env python3
"""CSV in random dialects, lines by random patterns, and values from text are what Python reads: csv, re, datetime, zoneinfo, decimal.

Random rows are written by hand in a random dialect (delimiter, quote, escape, nulls, comments, white space around, CRLF, a byte order
mark), some of them damaged. Python's csv module reads the same lines one by one, and DuckDB the undamaged file as a whole.
"""
import csv
import datetime
import decimal
import json
import os
import random
import re
import zoneinfo

import duckdb

import common
from common import tables

decimal.getcontext().prec = 80
UTC = datetime.timezone.utc


def options(arguments):
    arguments.add_argument("--seeds", type=int, default=0, help="dialects and patterns (default: 400, with --quick 20)")


def replay(suite, name, record, content, lanes=1):
    """Rows of silver by n, and reasons by position."""
    directory = suite.path(name)
    os.makedirs(directory, exist_ok=True)
    pipeline = {"pipeline": "p", "source": {"capture": {"stream": "s"}}, "record": record, "quarantine": {"halt_above": "100%", "exit_above": "100%"},
                "silver": {"columns": "*, _position as p"}, "lake": {"flush": {"bytes": "16KiB"}}}
    with open(os.path.join(directory, "p.yaml"), "w") as f:
        common.yaml.safe_dump(pipeline, f, sort_keys=False, allow_unicode=True)
    with open(os.path.join(directory, "c.txt"), "wb") as f:
        f.write(content)
    lake = os.path.join(directory, "lake")
    run = common.Result([suite.weir, "replay", os.path.join(directory, "p.yaml"), "--capture", os.path.join(directory, "c.txt"), "--lake", lake,
                         "--lanes", str(lanes), "--json"])
    if faults := run.fault():
        return faults, {}, {}, {}
    def read(table, value):
        path = os.path.join(lake, table)
        return {int(row["p" if table.startswith("silver") else "_position"]): value(row) for row in tables.read_delta(lake, table).to_pylist()} \
            if os.path.isdir(path) else {}
    return [], read("silver/s", lambda row: row), read("quarantine/s", lambda row: row["reason"]), run.done


def positions(lines):
    at = 0
    for line in lines:
        yield at, line
        at += len(line)


# -- CSV

class Dialect:
    def __init__(self, rng):
        self.delimiter = rng.choice([",", ";", "\t", "|", ":"])
        self.quote = rng.choice(['"', '"', "'"])
        self.escape = rng.choice([self.quote, "\\"])
        self.null = rng.choice(["", "", "NULL", "\\N"])
        self.comment = rng.choice([None, "#"])
        self.trim = rng.random() < 0.3
        self.header = rng.random() < 0.7
        self.end = rng.choice(["\n", "\r\n"])
        self.mark = rng.random() < 0.2

    def settings(self, columns):
        more = {"comment": self.comment} if self.comment else {}
        return {"delimiter": self.delimiter, "quote": self.quote, "escape": self.escape, "null": self.null, "trim": self.trim, "header": self.header,
                "columns": columns} | more

    def cell(self, value, rng):
        if value is None:
            return self.null
        must = any(c in value for c in (self.delimiter, self.quote, "\\", " ", "\r")) or value in ("", self.null) or value[:1] == "#"
        if not must and rng.random() < 0.8:
            return value
        return self.quote + (value.replace(self.escape, self.escape * 2) if self.escape != self.quote else value).replace(
            self.quote, self.escape + self.quote) + self.quote

    def python(self, text):
        """The fields, as Python reads them; None: it does not."""
        try:
            rows = list(csv.reader([text], delimiter=self.delimiter, quotechar=self.quote, doublequote=self.escape == self.quote,
                                   escapechar=None if self.escape == self.quote else self.escape, skipinitialspace=self.trim, strict=True))
        except csv.Error:
            return None
        return rows[0] if len(rows) == 1 else None


TEXTS = ["a", "b c", "x,y", "semi;colon", 'say "hi"', "it's", "tab\there", "ü€😀", "bar|bar", "back\\slash", "", "NULL", "12:30", "#no", " pad "]


def csv_rows(rng, dialect, count):
    """Lines; by position what is expected of each: a row or why there is none."""
    lines, want = [], {}
    columns = ["n", "t", "d", "x"]
    if dialect.header:
        lines.append((dialect.delimiter.join(columns), "skipped"))
    for n in range(count):
        if dialect.header and rng.random() < 0.02:
            lines.append((dialect.delimiter.join(columns), "skipped"))
        if dialect.comment and rng.random() < 0.05:
            lines.append(("# " + dialect.delimiter.join("abc"), "skipped"))
        if rng.random() < 0.02:
            lines.append(("", "skipped"))
        text = rng.choice(TEXTS) if rng.random() < 0.9 else None
        if dialect.trim and text is not None:
            text = text.strip()
        number = decimal.Decimal(rng.randint(-10**9, 10**9)).scaleb(-2) if rng.random() < 0.9 else None
        double = rng.choice([None, 1.5, -0.25, 1e100, 3.0])
        row = (n, text, number, double)
        cells = [str(n), text, None if number is None else str(number), None if double is None else repr(double)]
        written = [dialect.cell(c, rng) for c in cells]
        if dialect.trim:
            written = [" " * rng.randint(0, 2) + c + " " * rng.randint(0, 2) for c in written]
        damage = rng.random()
        if damage < 0.04:
            lines.append((dialect.delimiter.join(written + ["more"]), "wrong number of columns: 5"))
        elif damage < 0.08:
            lines.append((dialect.delimiter.join(written[:2]), "wrong number of columns: 2"))
        elif damage < 0.11:
            lines.append((dialect.delimiter.join([cells[0], dialect.quote + "open", cells[2] or "", "1"]), "does not end"))
        elif damage < 0.14:
            lines.append((dialect.delimiter.join([written[0], dialect.quote + "a" + dialect.quote + "b", written[2], written[3]]), "unexpected text"))
        elif damage < 0.17:
            lines.append((dialect.delimiter.join([written[0], written[1], "many", written[3]]), "field d: 'many' is not a number"))
        elif damage < 0.19:
            lines.append((dialect.delimiter.join([dialect.null, written[1], written[2], written[3]]), "required field n"))
        else:
            lines.append((dialect.delimiter.join(written), row))
    return columns, lines


def csv_once(suite, seed):
    rng = random.Random(seed)
    dialect = Dialect(rng)
    columns, lines = csv_rows(rng, dialect, rng.randint(5, 300))
    encoded = [(text + dialect.end).encode() for text, _ in lines]
    if dialect.mark:
        encoded[0] = b"\xef\xbb\xbf" + encoded[0]
    fields = {"x": "double", "t": "string", "n": "int64!", "d": "decimal(12,2)"}
    faults, rows, reasons, done = replay(suite, f"csv{seed}", {"format": {"csv": dialect.settings(columns)}, "fields": fields}, b"".join(encoded),
                                         lanes=1 + seed % 3)
    skipped = 0
    for (at, _), (text, want) in zip(positions(encoded), lines):
        if want == "skipped":
            skipped += 1
            faults += [f"line at {at} was not skipped: {text!r}"] if at in rows or at in reasons else []
        elif isinstance(want, str):
            if want not in reasons.get(at, ""):
                faults.append(f"line at {at}, {text!r}: {reasons.get(at)!r} instead of {want!r}")
            if want.startswith(("does not", "unexpected")) and not dialect.trim and dialect.escape == dialect.quote and dialect.python(text) is not None:
                faults.append(f"Python reads {text!r}")
        else:
            found = rows.get(at)
            if found is None or (found["n"], found["t"], found["d"], found["x"]) != want:
                faults.append(f"line at {at}, {text!r}: {found} instead of {want}; {reasons.get(at)}")
            python = dialect.python(text) if not dialect.trim else None
            if python is not None and want[1] is not None and python[1] != want[1]:
                faults.append(f"Python reads {python} from {text!r}")
    if done.get("blank_lines") != skipped and not faults:
        faults.append(f"{skipped} lines were skipped, and the summary says {done.get('blank_lines')}")
    return [f"seed {seed}, {vars(dialect)}: {fault}" for fault in faults[:3]], len(lines)


def dialects(suite):
    faults, count = [], 0
    for seed in range(suite.seeds):
        found, lines = csv_once(suite, suite.seed * 100_000 + seed)
        faults, count = faults + found, count + lines
    suite.claim(f"{suite.seeds} random dialects, {count:,} lines with damage: rows, nulls and reasons are as written, and Python's csv agrees", faults)


def whole_file(suite):
    """DuckDB reads the same file."""
    rng = random.Random(suite.seed)
    path = suite.path("duck.csv")
    with open(path, "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["n", "t", "d", "at"])
        for n in range(3000):
            at = datetime.datetime(2026, 1, 1) + datetime.timedelta(microseconds=rng.randrange(10**13))
            out.writerow([n, rng.choice(TEXTS), decimal.Decimal(rng.randint(0, 10**8)).scaleb(-2), at.isoformat(" ")])
    with open(path, "rb") as f:
        content = f.read()
    fields = {"n": "int64!", "t": "string", "d": "decimal(12,2)", "at": {"type": "timestamp", "zone": "UTC"}}
    faults, rows, reasons, _ = replay(suite, "duck", {"format": {"csv": {"header": True}}, "fields": fields}, content)
    duck = duckdb.connect()
    wanted = duck.execute(f"select * from read_csv('{path}', header=true, columns={{'n': 'BIGINT', 't': 'VARCHAR', 'd': 'DECIMAL(12,2)', 'at': 'TIMESTAMP'}}, "
                          "allow_quoted_nulls=false) order by n").fetchall()
    found = sorted((r["n"], r["t"], r["d"], r["at"].astimezone(UTC).replace(tzinfo=None)) for r in rows.values())
    faults += list(reasons.values())[:3] + [f"{a} instead of {b}" for a, b in zip(found, wanted) if a != b][:3]
    suite.claim(f"DuckDB reads the same {len(wanted):,} rows", faults + ([] if len(found) == len(wanted) else [f"{len(found)} rows"]))


# -- Patterns

ATOMS = {"a": "a", "b": "b", "ab": ["ab"], r"\d": "0129", r"\w": "ab_9", r"\s": " ", "[ab]": "ab", "[^a]": "b. ü", "[a-cx-z]": "abcxyz", ".": "a .ü€", r"\.": ".",
         "ü": "ü", "[ü-ÿ]": "üýÿ", " ": " ", "-": "-", r"\S": "a.ü", "[^ ]": "b-é"}


def random_pattern(rng, depth=0):
    """A regular expression, and a function that makes a text for it."""
    kind = rng.random()
    if depth > 3 or kind < 0.45:
        atom = rng.choice(list(ATOMS))
        return atom, lambda: rng.choice(ATOMS[atom])
    if kind < 0.65:
        inner, make = random_pattern(rng, depth + 1)
        # A repetition of what may be empty is where engines differ.
        while re.fullmatch(inner, ""):
            inner, make = random_pattern(rng, depth + 1)
        times, low, high = rng.choice([("*", 0, 4), ("+", 1, 4), ("?", 0, 1), ("{2}", 2, 2), ("{1,3}", 1, 3), ("{2,}", 2, 4), ("*?", 0, 4), ("+?", 1, 4), ("??", 0, 1)])
        return f"(?:{inner}){times}", lambda: "".join(make() for _ in range(rng.randint(low, high)))
    if kind < 0.85:
        parts = [random_pattern(rng, depth + 1) for _ in range(rng.randint(2, 4))]
        return "".join(p for p, _ in parts), lambda: "".join(make() for _, make in parts)
    parts = [random_pattern(rng, depth + 1) for _ in range(rng.randint(2, 3))]
    return "(?:" + "|".join(p for p, _ in parts) + ")", lambda: rng.choice(parts)[1]()


def pattern_once(suite, seed):
    rng = random.Random(seed)
    parts = [random_pattern(rng) for _ in range(rng.randint(1, 4))]
    pattern = "".join(f"(?P<g{i}>{part})" if rng.random() < 0.8 else f"(?:{part})" for i, (part, _) in enumerate(parts))
    if "(?P<" not in pattern:
        pattern = f"(?P<g0>{pattern})"
    python = re.compile(pattern, re.ASCII)
    lines = set()
    for _ in range(200):
        text = "".join(make() for _, make in parts)
        if rng.random() < 0.4:
            at = rng.randint(0, len(text))
            text = text[:at] + rng.choice("ab9 .-üé") + text[at + rng.randint(0, 2):]
        lines.add(text)
    lines = [line for line in sorted(lines) if line.strip() and len(line) <= 16]
    names = list(python.groupindex)
    faults, rows, reasons, _ = replay(suite, f"pattern{seed}", {"format": {"text": {"pattern": pattern}}, "fields": {n: "string" for n in names}},
                                      "".join(f"{line}\n" for line in lines).encode())
    matched = 0
    for (at, _), line in zip(positions([f"{line}\n".encode() for line in lines]), lines):
        match = python.fullmatch(line)
        if match is None:
            faults += [] if "does not match" in reasons.get(at, "") else [f"{line!r}: {rows.get(at)}, and Python has no match"]
        else:
            matched += 1
            found = rows.get(at)
            if found is None or {n: found[n] for n in names} != match.groupdict():
                faults.append(f"{line!r}: {found} instead of {match.groupdict()}; {reasons.get(at)}")
    return [f"seed {seed}, {pattern}: {fault}" for fault in faults[:2]], matched


def patterns(suite):
    faults, matched = [], 0
    for seed in range(suite.seeds):
        found, count = pattern_once(suite, suite.seed * 100_000 + seed)
        faults, matched = faults + found, matched + count
    suite.claim(f"{suite.seeds} random patterns: the same lines match as with Python's re ({matched:,}), with the same groups", faults)
    hostile = [("(?<a>(?:a|a)*b)", "a" * 5000), ("(?<a>(?:a*)*c)", "a" * 5000), ("(?<a>(?:x+x+)+y)", "x" * 5000),
               ("(?<a>.*.*.*.*=.*)", "x" * 5000)]
    for number, (pattern, line) in enumerate(hostile):
        faults, rows, reasons, _ = replay(suite, f"hostile{number}", {"format": {"text": {"pattern": pattern}}, "fields": {"a": "string"}}, f"{line}\n".encode() * 3)
        faults += [] if len(reasons) == 3 else [f"{len(reasons)} rejected"]
        suite.claim(f"{pattern} on 5,000 bytes that make other engines try without end", faults)


# -- Values

def as_decimal(text):
    text = text.strip(" \t")
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        return None
    value = decimal.Decimal(text)
    if abs(value) >= 10**10:
        return None
    return value if value == value.quantize(decimal.Decimal("0.01")) else None


def values(suite):
    """One text a line, read as each type."""
    rng = random.Random(suite.seed)
    texts = ["1", "+1", "-0", "007", "1.5", "1.50", ".5", "5.", "1e3", "1E-2", "1,5", "", " 7 ", "x", "0x10", "NaN", "inf", "1_000", "--1", "+", ".", "1e", "9" * 20,
             "123456789.123", "true", "TRUE", "False", "yes", "1e400", "9223372036854775807", "9223372036854775808", "-9223372036854775808"]
    texts += [f"{rng.choice(['', '+', '-'])}{rng.randint(0, 10**rng.randint(1, 12))}{rng.choice(['', '.', '.5', '.25', '.125'])}" for _ in range(500)]
    kinds = {"i": "int64", "d": "decimal(12,2)", "x": "double", "b": "bool"}
    faults = []
    for name, type in kinds.items():
        content = [json.dumps({"v": t}) + "\n" for t in texts]
        found_faults, rows, reasons, _ = replay(suite, f"value-{name}", {"coerce": True, "fields": {"v": type}}, "".join(content).encode())
        faults += found_faults
        for (at, _), text in zip(positions([c.encode() for c in content]), texts):
            exact = decimal.Decimal(text.strip()) if re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", text) else None
            if name == "i":
                want = int(exact) if exact is not None and abs(exact) < 2**64 and exact == int(exact) and -2**63 <= exact < 2**63 else None
            elif name == "d":
                want = as_decimal(text)
            elif name == "x":
                want = float(text) if exact is not None and abs(float(text)) != float("inf") else None
            else:
                want = {"true": True, "false": False}.get(text.strip().lower())
            got = rows[at]["v"] if at in rows else None
            if got != want:
                faults.append(f"{text!r} as {type} is {got}, not {want}: {reasons.get(at)}")
    suite.claim(f"{len(texts)} texts as {len(kinds)} types: exact, or rejected", faults)


def times(suite):
    """Local times in all zones, also where clocks change."""
    rng = random.Random(suite.seed)
    zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns", "Africa/Casablanca", "Asia/Tehran", "Pacific/Apia",
             "Europe/Dublin", "America/Sao_Paulo", "UTC", "Antarctica/Troll", "Europe/Moscow", "Pacific/Chatham"]
    zones += rng.sample(sorted(zoneinfo.available_timezones() - {"localtime", "Factory"}), 3 if suite.quick else 60)
    faults, count = [], 0
    for number, name in enumerate(zones):
        zone = zoneinfo.ZoneInfo(name)
        local = [datetime.datetime(rng.randint(1900, 2200), rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23), rng.randint(0, 59), rng.randint(0, 59))
                 for _ in range(150)]
        # Around changes of the offset.
        at = datetime.datetime(1950, 1, 1, tzinfo=UTC)
        while at.year < 2060:
            step = at + datetime.timedelta(days=9)
            if at.astimezone(zone).utcoffset() != step.astimezone(zone).utcoffset():
                low, high = at, step
                while high - low > datetime.timedelta(minutes=1):
                    middle = low + (high - low) / 2
                    low, high = (middle, high) if middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset() else (low, middle)
                near = high.astimezone(zone).replace(tzinfo=None, microsecond=0)
                local += [near + datetime.timedelta(minutes=m) for m in (-61, -59, -31, -1, 1, 29, 31, 59, 61)]
            at = step
        local = local if len(local) < 1500 else rng.sample(local, 1500)
        form = rng.choice(["iso", "%d.%m.%Y %H:%M:%S", "%b %d, %Y %I:%M:%S %p"])
        field = {"type": "timestamp!", "zone": name} | ({} if form == "iso" else {"formats": [form]})
        texts = [t.isoformat(" ") if form == "iso" else t.strftime(form) for t in local]
        content = [json.dumps({"at": t}) + "\n" for t in texts]
        found, rows, reasons, _ = replay(suite, f"zone{number}", {"fields": {"at": field}}, "".join(content).encode())
        faults += found
        for (place, _), t in zip(positions([c.encode() for c in content]), local):
            want = t.replace(tzinfo=zone).astimezone(UTC)
            got = rows[place]["at"].astimezone(UTC) if place in rows else None
            count += 1
            if got != want:
                faults.append(f"{t} in {name} is {got}, not {want}: {reasons.get(place)}")
                break
    suite.claim(f"{count:,} local times in {len(zones)} zones are those of Python's zoneinfo", faults)


def forms(suite):
    """Forms of times against strptime."""
    rng = random.Random(suite.seed)
    kinds = ["%Y-%m-%d %H:%M:%S", "%d/%b/%Y:%H:%M:%S %z", "%m/%d/%y %I:%M %p", "%A, %d %B %Y %H:%M", "%Y%m%dT%H%M%S%z", "%d.%m.%Y", "%Y-%m-%dT%H:%M:%S.%f"]
    faults, count = [], 0
    for number, form in enumerate(kinds):
        texts = []
        for _ in range(300):
            t = datetime.datetime(rng.randint(1969, 2068), rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23), rng.randint(0, 59), rng.randint(0, 59),
                                  rng.randint(0, 999999), datetime.timezone(datetime.timedelta(minutes=rng.choice([0, 60, -330, 345]))))
            text = t.strftime(form)
            if rng.random() < 0.3:
                i = rng.randrange(len(text))
                text = text[:i] + rng.choice("0139 :/xZ") + text[i + rng.randint(0, 1):]
            texts.append(text)
        content = [json.dumps({"at": t}) + "\n" for t in texts]
        field = {"type": "timestamp!", "zone": "UTC", "formats": [form]}
        found, rows, reasons, _ = replay(suite, f"form{number}", {"fields": {"at": field}}, "".join(content).encode())
        faults += found
        for (place, _), text in zip(positions([c.encode() for c in content]), texts):
            try:
                # White space around is left out.
                want = datetime.datetime.strptime(text.strip(), form)
                want = (want if want.tzinfo else want.replace(tzinfo=UTC)).astimezone(UTC)
            except ValueError:
                want = None
            got = rows[place]["at"].astimezone(UTC) if place in rows else None
            count += want is not None
            if re.search(r"\.\d{7,9}$", text):
                continue        # nanoseconds
            # Python goes back to fewer digits where more do not fit, and takes other digits of the year.
            if got != want and not (got is None and want is not None and re.search(r"%[dmHMSIf]%[dmHMSY]|%f", form)):
                faults.append(f"{text!r} by {form} is {got}, not {want}: {reasons.get(place)}")
    suite.claim(f"{count:,} times of {len(kinds)} forms are those of Python's strptime", faults)


def refusals(suite):
    """What cannot be is refused with its place."""
    cases = {
        "a group that the pattern has not": ({"format": {"text": {"pattern": "(?<a>.*)"}}, "fields": {"b": "string"}}, "no group b"),
        "a look ahead": ({"format": {"text": {"pattern": "(?<a>.*)(?=x)"}}, "fields": {"a": "string"}}, "not supported"),
        "a back reference": ({"format": {"text": {"pattern": r"(?<a>.)\1"}}, "fields": {"a": "string"}}, "not supported"),
        "too many repetitions": ({"format": {"text": {"pattern": "(?<a>(?:(?:x{100}){100}){100})"}}, "fields": {"a": "string"}}, "pattern_steps"),
        "an unknown grok name": ({"format": {"text": {"pattern": "%{IPP:a}"}}, "fields": {"a": "string"}}, "no grok pattern IPP"),
        "an unknown ready pattern": ({"format": {"text": {"pattern": "ngin"}}, "fields": {"a": "string"}}, "no ready pattern ngin"),
        "text without a pattern": ({"format": "text", "fields": {"a": "string"}}, "needs a pattern"),
        "a column that there is not": ({"format": {"csv": {"columns": ["a"]}}, "fields": {"b": "string"}}, "columns has no b"),
        "a long delimiter": ({"format": {"csv": {"delimiter": "||"}}, "fields": {"b": "string"}}, "one ASCII character"),
        "a list in CSV": ({"format": "csv", "fields": {"b": "list<string>"}}, "cannot be read from text"),
        "a zone that there is not": ({"fields": {"b": {"type": "timestamp", "zone": "Europe/Berlim"}}}, "has no Europe/Berlim"),
        "a way out of the database": ({"fields": {"b": {"type": "timestamp", "zone": "../../etc/passwd"}}}, "has no ../"),
        "a form without a zone": ({"fields": {"b": {"type": "timestamp", "formats": ["%Y-%m-%d %H:%M:%S"]}}}, "has no zone"),
        "an unknown directive": ({"fields": {"b": {"type": "timestamp", "zone": "UTC", "formats": ["%Q"]}}}, "no directive %Q"),
        "a zone of a number": ({"fields": {"b": {"type": "int64", "zone": "UTC"}}}, "type timestamp"),
        "a zone of the machine": ({"fields": {"b": {"type": "timestamp", "zone": "localtime"}}}, "the zone of this machine"),
        "a part of a time twice": ({"fields": {"b": {"type": "timestamp", "zone": "UTC", "formats": ["%F %T %H"]}}}, "says once more"),
        "coerce: false in CSV": ({"format": "csv", "fields": {"b": {"type": "int64", "coerce": False}}}, "always read from text"),
        "coerce: false of a record in CSV": ({"format": "csv", "coerce": False, "fields": {"b": "int64"}}, "always read from text"),
        "an escape without quotes": ({"format": {"csv": {"quote": "none", "escape": "\\"}}, "fields": {"b": "int64"}}, "no field is quoted"),
        "null in quotes without quotes": ({"format": {"csv": {"quote": "none", "quoted_null": True}}, "fields": {"b": "int64"}}, "no field is quoted"),
        "a type in grok": ({"format": {"text": {"pattern": "%{INT:a:int}"}}, "fields": {"a": "int64"}}, "the type in fields"),
        "two fields of a raw record": ({"format": "raw", "fields": {"a": "string", "b": "string"}}, "one field"),
        "a number as a raw record": ({"format": "raw", "fields": {"a": "int64"}}, "is a string"),
    }
    for name, (record, words) in cases.items():
        path = suite.path("refused.yaml")
        with open(path, "w") as f:
            common.yaml.safe_dump({"pipeline": "p", "source": {"capture": {"stream": "s"}}, "record": record, "silver": {}}, f, sort_keys=False)
        run = common.Result([suite.weir, "check", path])
        faults = run.refusal_fault(words)
        faults += [] if re.search(r"refused\.yaml:\d+:\d+", run.err + run.out) else [f"no place: {run.talk}"]
        suite.claim(f"weir check refuses {name}", faults)


def places(suite):
    """Errors in texts are at their characters."""
    topic = "source: {kafka: {brokers: 'localhost:9092', topic: t, group: g}}\n"
    files = {
        "a pattern with grok": ("source: {capture: {stream: s}}\n", "record:\n  format: {text: {pattern: 'é %{IP:a} [x'}}\n  fields: {a: string}\n", "[x"),
        "a name of grok": ("source: {capture: {stream: s}}\n", "record:\n  format: {text: {pattern: 'ü%{IP:a}%{NO:b}'}}\n  fields: {a: string}\n", "%{NO"),
        "a form of times": ("source: {capture: {stream: s}}\n", "record:\n  fields: {a: {type: timestamp, zone: UTC, formats: 'é %Y-%m-%d %é'}}\n", "%é"),
        "a path": ("source: {capture: {stream: s}}\n", "record:\n  fields: {a: {type: string, path: 'é.b..c'}}\n", ".c"),
        "an expression": ("source: {capture: {stream: s}}\n", "record:\n  fields: {a: string}\nchecks: [{name: c, that: \"a = 'é' and b = 1\"}]\n", "b = 1"),
        "coerce of a record": (topic, "record:\n  format: json-schema\n  registry: {url: 'http://localhost:1'}\n  coerce: true\n  fields: {a: int64}\n", "true"),
    }
    for name, (source, record, mark) in files.items():
        path = suite.path("place.yaml")
        text = "pipeline: p\n" + source + record + "silver: {}\n"
        with open(path, "w") as f:
            f.write(text)
        line = next(number for number, line in enumerate(text.splitlines(), 1) if mark in line and number > 2)
        column = text.splitlines()[line - 1].index(mark) + 1
        run = common.Result([suite.weir, "check", path])
        suite.claim(f"the place of an error in {name}", [] if f"place.yaml:{line}:{column}:" in run.err + run.out else [f"not at {line}:{column}: {run.talk}"])


def warnings(suite):
    path = suite.path("warned.yaml")
    record = {"fields": {"b": {"type": "timestamp", "zone": "UTC", "formats": ["%F %z"]}}}
    with open(path, "w") as f:
        common.yaml.safe_dump({"pipeline": "p", "source": {"capture": {"stream": "s"}}, "record": record, "silver": {}}, f, sort_keys=False)
    run = common.Result([suite.weir, "check", path])
    suite.claim("weir check warns of a zone without effect", (run.fault() or []) + ([] if "has no effect" in run.err + run.out else [run.talk]))


suite = common.Suite("text_formats_equal_oracles", 300, __doc__, options)
suite.seed = getattr(suite.arguments, "seed", None) or 1
suite.seeds = suite.arguments.seeds or (20 if suite.quick else 400)
suite.run(refusals, places, warnings, values, forms, times, dialects, whole_file, patterns)
