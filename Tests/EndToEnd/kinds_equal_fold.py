#!/usr/bin/env python3
"""Several kinds of records in one stream equal a naive fold in Python, one record at a time.

Random pipelines with `route`: kinds with fields of the same names at other places, with checks, tables and values of their own; records of no
kind, which are rejected or left out; records with members that only other kinds declare, of any type; damaged ones, and ones sent again.
Tables, buckets of all records and of each kind, rejected records with their stages, windows, late rows and keyed state equal the fold's: with
one lane and with several, as elements of outer records, in CSV, and with runs that are killed and resumed.
"""
import collections
import csv
import decimal
import io
import json
import os
import random
import signal
import subprocess
import time

import common
from common import tables

START = 1_767_225_600_000           # milliseconds
DISORDER, WITHIN, WINDOW = 5_000, 60_000, 60_000
# By name: type, a value of it, and values of other types.
POOL = {
    "n": ("int64", lambda r: r.randint(-5, 20), ["x", 1.5, [1], {"a": 1}, True]),
    "s": ("string", lambda r: r.choice(["a", "bad", "Köln", "\"q\"\n", "😀", ""]), [5, {}, [], False]),
    "d": ("decimal(10,2)", lambda r: decimal.Decimal(r.randint(0, 9999)) / 4 // decimal.Decimal("0.01") / 100, [[], True, {"x": 0}]),
    "b": ("bool", lambda r: r.random() < 0.5, [1, "yes", {}]),
    "m": ("int64", lambda r: r.randint(0, 3), ["?", []]),
}
MISSING = object()


class Kind:
    def __init__(self, rng, name, values, own_key, is_flat):
        self.name, self.values, self.fields = name, values, {}
        chosen = rng.sample(sorted(POOL), rng.randint(0, 4))
        if own_key:
            chosen = ["k", "id"] + chosen
        for field in chosen:
            required = rng.random() < 0.5 or field == "id"
            path = [field] if rng.random() < 0.5 else [f"{name}_{field}"] if is_flat or rng.random() < 0.5 else ["data", f"x_{field}"]
            self.fields[field] = (path, required)
        self.check = rng.choice([None, "quarantine", "drop"]) if "n" in chosen else None
        self.where = "m" in chosen and rng.random() < 0.5

    def yaml(self, pad):
        lines = [f"{self.name}:", f"  is: {json.dumps(self.values)}", "  fields:"] if self.fields else [f"{self.name}:", f"  is: {json.dumps(self.values)}"]
        for field, (path, required) in self.fields.items():
            type = "string" if field in ("k", "id") else POOL[field][0]
            lines.append(f"    {field}: {{type: \"{type}{'!' if required else ''}\", path: {'.'.join(path)}}}")
        if self.check:
            lines += ["  checks:", f"    - {{name: n_{self.name}, that: n >= 0, else: {self.check}}}"]
        lines.append("  silver: {columns: \"*, _kind\"" + (", where: m > 1}" if self.where else "}"))
        return "\n".join(pad + line for line in lines)


class Plan:
    """A random pipeline, and what its records are."""

    def __init__(self, rng, is_flat=False):
        self.rng, self.is_flat = rng, is_flat
        self.is_number = rng.random() < 0.3 and not is_flat
        self.by_required = rng.random() < 0.5
        self.own_key = rng.random() < 0.5
        self.drops = rng.random() < 0.5
        pool = [str(i) for i in range(20)] if self.is_number else ["order", "x.y", "Order", "a b", "größe", "z", "0", "pay", "pay2", "long" * 20]
        rng.shuffle(pool)
        self.kinds = []
        for number in range(rng.randint(1, 5)):
            values = [pool.pop() for _ in range(rng.choice([1, 1, 1, 2]))]
            self.kinds.append(Kind(rng, f"kind{number}", values, self.own_key, is_flat))
        self.unknown = pool[:3]
        self.common = ["by", "t"] + ([] if self.own_key else ["k", "id"])
        self.names = self.common + list(dict.fromkeys(f for kind in self.kinds for f in kind.fields))

    def yaml(self, record="", flush="24KiB", format=None):
        fields = [f"    by: {{type: {'int64' if self.is_number else 'string'}{'!' if self.by_required else ''}, path: {'by' if self.is_flat else 'head.by'}}}",
                  "    t: timestamp_ms!"]
        if not self.own_key:
            fields += ["    k: string", "    id: string!"]
        first, text = self.kinds[0], ""
        for kind in self.kinds:
            text += kind.yaml("    ") + "\n"
        sums = ", total: sum(n)" if "n" in first.fields else ""
        return f"""pipeline: kinds
source: {{capture: {{stream: s}}}}
record:
{record}{format or ''}  key: k
  time: {{field: t, out_of_order: {DISORDER}ms, max_ahead: off}}
  fields:
{chr(10).join(fields)}
route:
  by: {self.rng.choice(['by', 'by' if self.is_flat else 'head.by'])}
  kinds:
{text}  else: {'drop' if self.drops else 'quarantine'}
checks:
  - {{name: key, that: k <> 'k0'}}
dedup: {{id: id, within: {WITHIN}ms}}
quarantine: {{halt_above: 100%, exit_above: 100%}}
bronze: {{}}
silver:
  tables:
    all: {{columns: "k, id, t, _kind"}}
    of_first: {{from: {first.name}, where: k <> 'k1', columns: "k, id"}}
gold:
  by_kind:
    by: [_kind]
    window: {{tumbling: {WINDOW}ms, lateness: 0s}}
    measure: {{records: count()}}
  first:
    from: {first.name}
    by: [k]
    window: {{tumbling: {WINDOW}ms, lateness: 0s}}
    measure: {{records: count(){sums}}}
state:
  seen: {{from: {first.name}, by: [k], measure: {{records: count()}}}}
  everyone: {{by: [k, _kind], measure: {{records: count()}}}}
lake: {{path: lake, flush: {{bytes: {flush}}}}}
store: {{lmdb: store}}
"""

    # -- Records

    def value(self, field):
        if field == "k":
            return self.rng.choice([f"k{self.rng.randint(0, 6)}", None])
        if field == "id":
            return f"i{self.rng.randint(0, 10**6)}"
        return POOL[field][1](self.rng)

    def record(self, now):
        """A record as members, and what the fold is given: what it says of its kind, and each member that a field may read, by path."""
        rng = self.rng
        kind = rng.choice(self.kinds)
        out = {}

        def put(path, value):
            place = out
            for step in path[:-1]:
                place = place.setdefault(step, {})
                if not isinstance(place, dict):
                    return
            place[path[-1]] = value

        dice = rng.random()
        says = rng.choice(kind.values) if dice < 0.8 else rng.choice(self.unknown) if dice < 0.92 else rng.choice([MISSING, None, [1]] if not self.is_flat else [MISSING])
        if says is not MISSING:
            put(["by"] if self.is_flat else ["head", "by"], int(says) if self.is_number and isinstance(says, str) else says)
        t = now - rng.choice([0, 0, 0, rng.randint(0, 3_000), rng.randint(0, 200_000)])
        put(["t"], t if rng.random() < 0.96 else rng.choice(["soon", None]))
        fields = dict(kind.fields)
        if not self.own_key:
            fields |= {"k": (["k"], False), "id": (["id"], True)}
        for field, (path, _) in fields.items():
            dice = rng.random()
            if dice < 0.03:
                continue
            if dice < 0.06:
                put(path, None)
            elif dice < 0.09 and field in POOL and not (self.is_flat and field == "s"):
                put(path, rng.choice(["?!", "x"]) if self.is_flat else rng.choice(POOL[field][2]))
            else:
                put(path, self.value(field))
        # Members that only other kinds have, of any type.
        for other in self.kinds:
            for field, (path, _) in other.fields.items():
                if rng.random() < 0.3 and not any(path[:len(p)] == p or p[:len(path)] == path for p, _ in fields.values()):
                    put(path, rng.choice(["any", 7, None]) if self.is_flat else rng.choice(["any", 7, None, [], {"a": 1}, 1.25]))
        return out

    def stream(self, count):
        records, now = [], START
        for _ in range(count):
            now += self.rng.randint(0, 200)
            records.append(self.record(now))
            if self.rng.random() < 0.12:
                # Sent again, soon or late.
                records.append(self.rng.choice(records[-30:] if self.rng.random() < 0.7 else records[-3000:]))
        return records


# -- The fold

class Rejected(Exception):
    pass


def typed(value, type):
    """The value of a cell of text."""
    try:
        if type in ("int64", "ms"):
            return int(value)
        if type == "bool":
            return {"true": True, "false": False}[value]
        return value if type == "string" else decimal.Decimal(value)
    except (ValueError, KeyError, decimal.InvalidOperation):
        raise Rejected("decode") from None


class Fold:
    def __init__(self, plan):
        self.plan, self.highest, self.seen = plan, None, {}
        self.buckets = collections.defaultdict(collections.Counter)
        self.quarantine = []
        self.rows = collections.defaultdict(list)
        self.windows = {"by_kind": collections.Counter(), "first": {}}
        self.late = collections.Counter()
        self.state = {"seen": collections.Counter(), "everyone": collections.Counter()}

    def read(self, record, field, path, required):
        value = record
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            if required:
                raise Rejected("decode")
            return None
        type = {"t": "ms", "by": "int64" if self.plan.is_number else "string", "k": "string", "id": "string"}.get(field) or POOL[field][0]
        if self.plan.is_flat:
            return typed(value, type)
        is_number = isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool)
        good = {"int64": is_number and value == int(value), "ms": is_number, "string": isinstance(value, str), "bool": isinstance(value, bool)}.get(type, is_number)
        if not good:
            raise Rejected("decode")
        return value

    def feed(self, record, raw):
        """- record: None: it is no record at all."""
        kind = None
        try:
            if record is None:
                raise Rejected("decode")
            by = ["by"] if self.plan.is_flat else ["head", "by"]
            says = self.read(record, "by", by, self.plan.by_required)
            kind = next((k for k in self.plan.kinds if says is not None and str(says) in k.values), None)
            if kind is None:
                if not self.plan.drops:
                    raise Rejected("route")
                try:
                    self.reach(self.read(record, "t", ["t"], True))
                except Rejected:
                    pass
                self.buckets["_other"]["filtered"] += 1
                return
            fields = {"t": (["t"], True)} | ({} if self.plan.own_key else {"k": (["k"], False), "id": (["id"], True)}) | kind.fields
            row = {field: self.read(record, field, path, required) for field, (path, required) in fields.items()}
            row["by"] = says
            self.reach(row["t"])
            if row["k"] == "k0":
                raise Rejected("check")
            if kind.check and row["n"] is not None and row["n"] < 0:
                if kind.check == "quarantine":
                    raise Rejected("check")
                self.buckets[kind.name]["filtered"] += 1
                return
        except Rejected as e:
            self.buckets[kind.name if kind else "_other"]["quarantined"] += 1
            self.quarantine.append((raw, str(e)))
            return
        watermark = self.highest - DISORDER
        id = (kind.name, row["k"], row["id"])
        if row["id"] is not None:
            if id in self.seen and watermark - self.seen[id] <= WITHIN:
                self.buckets[kind.name]["duplicate"] += 1
                return
            self.seen[id] = watermark
        self.buckets[kind.name]["accepted"] += 1
        self.accept(kind, row, watermark)

    def reach(self, t):
        self.highest = t if self.highest is None else max(self.highest, t)

    def accept(self, kind, row, watermark):
        self.rows["all"].append((row["k"], row["id"], row["t"], kind.name))
        if not kind.where or (row["m"] is not None and row["m"] > 1):
            names = self.plan.common + [f for f in self.plan.names if f in kind.fields and f not in self.plan.common]
            self.rows[kind.name].append(tuple(row[f] for f in names) + (kind.name,))
        is_first = kind is self.plan.kinds[0]
        if is_first and row["k"] is not None and row["k"] != "k1":
            self.rows["of_first"].append((row["k"], row["id"]))
        window = row["t"] // WINDOW * WINDOW
        is_late = watermark >= window + WINDOW
        for table in ("by_kind", "first") if is_first else ("by_kind",):
            if is_late:
                self.late[table] += 1
            elif table == "by_kind":
                self.windows[table][kind.name, window] += 1
            else:
                count, total = self.windows[table].get((row["k"], window), (0, None))
                n = row.get("n")
                self.windows[table][row["k"], window] = (count + 1, total if n is None else n + (total or 0))
        self.state["everyone"][row["k"], kind.name] += 1
        if is_first:
            self.state["seen"][row["k"],] += 1

    @property
    def kinds(self):
        names = ("accepted", "duplicate", "filtered", "quarantined")
        return {kind: {name: counts[name] for name in names} for kind, counts in self.buckets.items() if sum(counts.values())}


# -- Comparisons

def plain(value):
    if hasattr(value, "timestamp"):
        return round(value.timestamp() * 1000)
    return value


def level(value):
    """Decimals with and without zeros at the end are equal, also in the order of rows."""
    if isinstance(value, (tuple, list)):
        return tuple(level(v) for v in value)
    return float(value) if isinstance(value, decimal.Decimal) else value


def same(what, found, want):
    found, want = level(found), level(want)
    key = lambda row: json.dumps(row, sort_keys=True, default=str)
    if sorted(found, key=key) == sorted(want, key=key):
        return []
    strange, missing = [r for r in found if r not in want][:1], [r for r in want if r not in found][:1]
    return [f"{what}: {len(found)} rows, {len(want)} expected; ours {strange}, expected {missing}"]


def read(lake, table):
    if not os.path.isdir(os.path.join(lake, table)):
        return []
    return [{name: plain(value) for name, value in row.items()} for row in tables.read_delta(lake, table).to_pylist()]


def table_faults(lake, fold):
    faults = []
    for table in ["all", "of_first"] + [kind.name for kind in fold.plan.kinds]:
        faults += same(f"silver/{table}", [tuple(row.values()) for row in read(lake, f"silver/{table}")], fold.rows[table])
    found = [((row["_kind"], row["window_start"]), row["records"]) for row in read(lake, "gold/by_kind")]
    faults += same("gold/by_kind", found, list(fold.windows["by_kind"].items()))
    found = [((row["k"], row["window_start"]), (row["records"], row.get("total"))) for row in read(lake, "gold/first")]
    faults += same("gold/first", found, list(fold.windows["first"].items()))
    for table in ("by_kind", "first"):
        rows = len(read(lake, f"late/{table}"))
        faults += [] if rows == fold.late[table] else [f"late/{table}: {rows} rows, {fold.late[table]} expected"]
    rejected = [(row["value"], row["stage"]) for row in read(lake, "quarantine/s")]
    return faults + same("quarantine", rejected, fold.quarantine)


def entry_faults(entries, fold):
    """Each epoch's sums, and all of them together."""
    faults, sums = [], collections.defaultdict(collections.Counter)
    for entry in entries:
        for lane in entry.get("lanes", []):
            kinds = lane.get("kinds", {})
            for name in ("in", "accepted", "duplicate", "filtered", "quarantined"):
                if lane["lane"] != "merge" and sum(counts[name] for counts in kinds.values()) != lane["counts"][name]:
                    faults.append(f"entry {entry['number']}, lane {lane['lane']}: {name} of the kinds is not that of all: {kinds}, {lane['counts']}")
            for kind, counts in kinds.items():
                sums[kind].update({name: count for name, count in counts.items() if name != "in"})
    found = {kind: dict(counts) for kind, counts in sums.items()}
    return faults[:2] + ([] if found == fold.kinds else [f"kinds in the entries: {found}, {fold.kinds} expected"])


class Case:
    def __init__(self, suite, name, yaml, data):
        self.suite, self.directory = suite, suite.path(name)
        os.makedirs(self.directory)
        self.capture, self.pipeline = (os.path.join(self.directory, file) for file in ("capture", "p.yaml"))
        with open(self.capture, "wb") as f:
            f.write(data)
        with open(self.pipeline, "w") as f:
            f.write(yaml)

    def command(self, name, lanes):
        place = os.path.join(self.directory, name)
        return [self.suite.weir, "replay", self.pipeline, "--capture", self.capture, "--lake", place, "--store", f"{place}-store", "--lanes", str(lanes), "--json"]

    def killed(self, name, lanes, entries):
        """Runs until the ledger has this number of entries, and kills it."""
        process = subprocess.Popen(self.command(name, lanes), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + common.PATIENCE
        while process.poll() is None and time.monotonic() < end and len(tables.entries(os.path.join(self.directory, name), "kinds")) < entries:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def state_faults(self, name, fold):
        faults = []
        for table, columns in (("seen", ["k"]), ("everyone", ["k", "_kind"])):
            run = common.Result([self.suite.weir, "state", "scan", table, "--pipeline", self.pipeline, "--lake", os.path.join(self.directory, name),
                                 "--store", os.path.join(self.directory, f"{name}-store"), "--format", "json"])
            if run.code != 0:
                return [f"weir state scan: {run.talk}"]
            rows = [json.loads(line) for line in run.out.splitlines()]
            faults += same(f"state {table}", [(tuple(row[c] for c in columns), row["records"]) for row in rows], list(fold.state[table].items()))
        return faults

    def faults(self, name, lanes, fold):
        run = common.Result(self.command(name, lanes))
        if faults := run.fault():
            return faults
        lake = os.path.join(self.directory, name)
        kinds = {kind: {n: c for n, c in counts.items() if n != "in"} for kind, counts in run.done["kinds"].items()}
        faults = [] if kinds == fold.kinds else [f"kinds: {kinds}, {fold.kinds} expected"]
        faults += table_faults(lake, fold) + entry_faults(tables.entries(lake, "kinds"), fold) + self.state_faults(name, fold)
        verify = common.Result([self.suite.weir, "ledger", "verify", self.pipeline, "--lake", lake, "--store", f"{lake}-store"])
        return faults + ([] if verify.code == 0 else [f"weir ledger verify: {verify.talk}"])


def line(rng, record):
    members = list(record.items())
    rng.shuffle(members)
    return json.dumps(dict(members), ensure_ascii=rng.random() < 0.5, separators=rng.choice([(",", ":"), (", ", ": ")]), default=float)


def parsed(text):
    """As the decoder sees it: numbers exact."""
    return json.loads(text, parse_float=decimal.Decimal)


def lines(suite):
    """One record a line."""
    for number in range(6 if suite.quick else 60):
        rng = random.Random(suite.arguments.seed * 1000 + number)
        plan = Plan(rng)
        fold, data = Fold(plan), []
        for record in plan.stream(1500 if number % 3 == 0 else rng.choice([40, 1500])):
            text = line(rng, record)
            if rng.random() < 0.02:
                text = text[:rng.randint(1, len(text) - 1)]
                fold.feed(None, text.encode())
            else:
                fold.feed(parsed(text), text.encode())
            data.append(text.encode() + b"\n")
        case = Case(suite, f"lines{number}", plan.yaml(), b"".join(data))
        counts = {name: sum(c[name] for c in fold.buckets.values()) for name in ("accepted", "duplicate", "filtered", "quarantined")}
        for lanes in (1, 3):
            suite.claim(f"pipeline {number}, {len(plan.kinds)} kinds, {lanes} lanes: {counts}", case.faults(f"lake{lanes}", lanes, fold))
        if number % 3 == 0:
            for entries in (2, 4) if suite.quick else (2, 3, 5):
                case.killed("killed", 2, entries)
            suite.claim(f"pipeline {number}, killed and resumed", case.faults("killed", 2, fold))


def elements(suite):
    """Records as elements of outer records."""
    for number in range(2 if suite.quick else 12):
        rng = random.Random(suite.arguments.seed * 1000 + 500 + number)
        plan = Plan(rng)
        fold, data, texts = Fold(plan), [], []
        for record in plan.stream(900):
            texts.append(line(rng, record))
            fold.feed(parsed(texts[-1]), texts[-1].encode())
            if rng.random() < 0.2:
                data.append(f'{{"Records": [{", ".join(texts)}]}}\n'.encode())
                texts = []
        data.append(f'{{"Records": [{", ".join(texts)}]}}\n'.encode())
        case = Case(suite, f"elements{number}", plan.yaml("  framing: {each: Records}\n"), b"".join(data))
        suite.claim(f"elements of outer records, {len(plan.kinds)} kinds", case.faults("lake", 2, fold))


def rows(suite):
    """Rows of CSV, whose columns are those of all kinds."""
    for number in range(2 if suite.quick else 12):
        rng = random.Random(suite.arguments.seed * 1000 + 800 + number)
        plan = Plan(rng, is_flat=True)
        columns = list(dict.fromkeys(plan.common + [path[0] for kind in plan.kinds for path, _ in kind.fields.values()]))
        fold, data = Fold(plan), []
        for record in plan.stream(900):
            out = io.StringIO()
            cells = ["" if record.get(c) is None else {True: "true", False: "false"}[record[c]] if isinstance(record[c], bool) else str(record[c]).replace("\n", " ") for c in columns]
            csv.writer(out, lineterminator="\n").writerow(cells)
            values = {}
            for name, cell in zip(columns, cells):
                values[name] = cell or None
            raw = out.getvalue().rstrip("\n").encode()
            fold.feed(values, raw)
            data.append(raw + b"\n")
        format = f"  format: {{csv: {{columns: [{', '.join(columns)}]}}}}\n"
        case = Case(suite, f"rows{number}", plan.yaml(format=format), b"".join(data))
        suite.claim(f"rows of CSV, {len(plan.kinds)} kinds", case.faults("lake", 2, fold))


common.Suite("kinds_equal_fold", 300, __doc__).run(lines, elements, rows)
