#!/usr/bin/env python3
"""The expected output of a replay: a naive fold over the capture, one record after the other.

    reference.py PIPELINE CAPTURE...        prints the buckets and the rows of every table

An independent statement of weir's semantics: loops and dictionaries in Python, expressions by DuckDB (expressions.py), JSON
by Python's own parser (decode.py). No lanes, no epochs, no blocks; so a table of weir's that equals these rows does not
depend on any of them.
"""
import collections
import dataclasses
import datetime
import fractions
import hashlib
import math
import os
import pickle
import sys
from dataclasses import dataclass, field

import pyarrow as pa

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import decode
import expressions
import once
import pipeline as pipelines

MICROS = pa.timestamp("us")
KEPT = 60           # references in the cache
PROVENANCE = [("_shard", pa.string()), ("_position", pa.int64()), ("_arrival", MICROS), ("_ingest_ts", MICROS),
              ("_source", pa.string())]


@dataclass
class Table:
    rows: pa.Table
    partitions: list = field(default_factory=list)       # names of partition columns
    # Columns whose decimal precision is the engine's own choice; doubles that are sums, compared within a few last bits.
    loose: set = field(default_factory=set)
    sums: set = field(default_factory=set)


@dataclass
class Reference:
    tables: dict         # "gold/x" -> Table, "state/x" -> Table
    buckets: dict        # accepted, duplicate, filtered, quarantined
    windows: dict        # gold table -> {onTime, corrected, late}
    records: int


class Fold:
    """The records of a capture, column by column, and what became of each."""

    def __init__(self, p, captures):
        self.p = p
        self.position, self.raw = [], []
        for position, raw in decode.lines(decode.capture(captures)):
            self.position.append(position)
            self.raw.append(raw)
        n = self.n = len(self.raw)
        self.values = [None] * n              # of the declared fields; None: not valid
        self.key = [None] * n                 # bytes
        self.watermark = [None] * n           # after the record; None: nothing yet
        self.arrival, self.source = [0] * n, ["epoch"] * n
        self.stage = [None] * n               # of a quarantined record
        self.bucket = [None] * n
        self.headers = [None] * n             # JSON text
        self.tombstones = set()               # records without a value

    def field(self, name):
        return next(i for i, f in enumerate(self.p.fields) if f.name == name)

    def reject(self, r, stage):
        self.bucket[r], self.stage[r] = "quarantined", stage

    # -- Stages in their order

    def decode(self):
        for r, raw in enumerate(self.raw):
            try:
                self.values[r] = decode.record(self.p.fields, raw)
            except decode.Bad:
                self.reject(r, "decode")

    def watermarks(self):
        """The shard's watermark, the guard against wrong clocks, and each record's arrival."""
        p, highest = self.p, None
        time = self.field(p.time) if p.time else None
        times = [values[time] if values is not None and time is not None else None for values in self.values]
        for r, t in enumerate(times):
            if t is not None and self.beyond(t):
                self.reject(r, "time")
                times[r] = None
        for r, t in enumerate(times):
            before = None if highest is None else highest - p.out_of_order
            valid = counts = t is not None
            verdict = self.judge(r, t, times, highest) if valid else "near"
            if verdict != "near":
                counts = False
                if verdict == "wrong" and p.max_ahead >= 0:
                    self.reject(r, "time")
                    valid = False
            if valid:
                self.arrival[r], self.source[r] = t, "event_time"
            elif before is not None:
                self.arrival[r], self.source[r] = before, "watermark"
            if counts:
                highest = t if highest is None else max(highest, t)
            self.watermark[r] = None if highest is None else highest - p.out_of_order

    def beyond(self, t):
        """Whether a window that holds the time t begins before the year 1 or ends after 9999."""
        return any(start < decode.YEARS[0] or start + a.size > decode.YEARS[1] for a in self.p.gold for start in (*windows(a, t),))

    DAY = 86_400_000_000
    FOLLOWERS, FOLLOWERS_BYTES, LEAD, STEPS = 1023, 2 << 20, 5, 8

    def judge(self, r, t, times, newest):
        """near: it counts; wrong: its clock is; unknown: accepted, and does not count.

        Judged is what is more than max_ahead (a day where it is not set) above the newest event time, and what begins another eighth of it."""
        if self.p.max_ahead == -2:
            return "near"
        most = self.p.max_ahead if self.p.max_ahead >= 0 else self.DAY
        ahead = most + self.p.out_of_order
        step = max(1, ahead // self.STEPS)
        jumps = newest is None or t > newest + most
        if not jumps and (t <= newest or t // step == newest // step):
            return "near"
        lates, _, _, _ = self.votes(r, times, t - self.p.out_of_order - step)
        if lates == "for":
            return "near"
        good = "unknown" if lates == "against" else "near"
        if not jumps:
            return good
        said, high, low, is_end = self.votes(r, times, t - ahead)
        if said is None and high != low:
            said = "for" if high > low else "against"
            if is_end and said == "for" and newest is not None:
                return "unknown"                # too few to move the watermark
        elif said is None and not (newest is None and is_end and high == 0):
            return "unknown"
        return "wrong" if said == "against" else good

    def votes(self, r, times, least):
        """What the records after r say, as soon as it is decided: for, against or None; how many; whether the input ends before."""
        high = low = 0
        limit = self.position[r] + self.FOLLOWERS_BYTES
        is_end = r == self.n - 1 or self.position[-1] + len(self.raw[-1]) + 1 < limit
        for i in range(r + 1, self.n):
            if i > r + 1 and self.position[i] >= limit:
                break
            if times[i] is None:
                continue
            if times[i] >= least:
                high += 1
            else:
                low += 1
            if 2 * high > self.FOLLOWERS:
                return "for", high, low, is_end
            if low - high == self.LEAD or 2 * low > self.FOLLOWERS:
                return "against", high, low, is_end
        return None, high, low, is_end

    def keys(self):
        """The key's canonical text."""
        if not self.p.key:
            return
        at = self.field(self.p.key)
        f = self.p.fields[at]
        for r, values in enumerate(self.values):
            v = values and values[at]
            if v is None:
                continue
            if f.type == "bool":
                v = "true" if v else "false"
            elif f.type == "decimal":
                v = f"{v:.{f.scale}f}"
            self.key[r] = str(v).encode()

    def evaluator(self, rows):
        columns = {f.name: (expressions.arrow_type(f), [self.values[r][i] for r in rows]) for i, f in enumerate(self.p.fields)}
        columns["_arrival"] = (MICROS, [self.arrival[r] for r in rows])
        columns["_position"] = (pa.int64(), [self.position[r] for r in rows])
        columns["_shard"] = (pa.string(), [self.p.stream] * len(rows))
        return expressions.Evaluator(self.p, columns)

    def checks(self):
        rows = [r for r in range(self.n) if self.bucket[r] is None]
        evaluator = self.evaluator(rows) if self.p.checks else None
        for name, that, otherwise in self.p.checks if rows else []:
            passes, errors = evaluator.mask(that)
            for i, r in enumerate(rows):
                if self.bucket[r] is None and (i in errors or passes[i] is False):
                    if otherwise == "fail" and i not in errors:
                        raise SystemExit(f"oracle: record at {self.position[r]} fails {name}, which stops the pipeline")
                    if otherwise == "drop" and i not in errors:
                        self.bucket[r] = "filtered"
                    else:
                        self.reject(r, "check")

    def owner(self, r):
        """The scope in which a record's id must be unique."""
        return (self.key[r],)

    def dedup(self):
        if not self.p.dedup_id:
            return
        at, within, seen = self.field(self.p.dedup_id), self.p.dedup_within, {}
        for r in range(self.n):
            if self.bucket[r] is not None or self.values[r][at] is None:
                continue
            identity = (*self.owner(r), self.values[r][at])
            first = seen.get(identity)
            # Seen before, and the watermark rose by no more than `within` since: a duplicate, which renews nothing.
            if identity in seen and (within < 0 or self.watermark[r] is None or first is not None and self.watermark[r] - first <= within):
                self.bucket[r] = "duplicate"
            else:
                seen[identity] = self.watermark[r]

    # -- Tables

    def evaluate(self):
        """Evaluates all expressions of the tables over what passed the checks; a record with an error in one is quarantined. Dedup comes
        later and does not see it: it uses up no id."""
        rows = [r for r in range(self.n) if self.bucket[r] is None]
        e = self.evaluator(rows)
        errors = set()
        silver = []
        for name, text in self.p.silver or []:
            column, bad = e.evaluate(text)
            silver.append((name, column))
            errors |= bad
        aggregates = []
        for a in self.p.gold + self.p.state:
            where, bad = e.mask(a.where) if a.where else ([True] * len(rows), set())
            errors |= bad
            columns = []
            for text in [t for _, t in a.by] + [m.argument for m in a.measures]:
                column, bad = e.evaluate(text) if text else (None, set())
                columns.append(column)
                errors |= {i for i in bad if where[i]}
            aggregates.append((where, columns[:len(a.by)], columns[len(a.by):]))
        for i in errors:
            self.reject(rows[i], "expression")
        return rows, silver, aggregates

    def accept(self, rows):
        """Accepts what dedup left of the evaluated records: their places in `rows`."""
        good = [i for i, r in enumerate(rows) if self.bucket[r] is None]
        for i in good:
            self.bucket[rows[i]] = "accepted"
        return good

    def provenance(self, rows):
        get = {"_shard": lambda r: self.p.stream, "_position": self.position.__getitem__, "_arrival": self.arrival.__getitem__,
               "_ingest_ts": self.arrival.__getitem__, "_source": self.source.__getitem__}
        return {name: pa.array([get[name](r) for r in rows], t) for name, t in PROVENANCE}

    def bytes(self, rows, what):
        return pa.array([what[r] for r in rows], pa.binary())


def partitioned(columns, partitions, loose=(), sums=()):
    """A table with its partition columns after the others."""
    columns = dict(columns)
    for p in partitions:
        values = columns.pop(p.name) if p.transform == "identity" else columns[p.column]
        columns[p.name] = values if p.transform == "identity" else pa.array(
            [None if v is None else unit(p.transform, v) for v in values.cast(pa.int64()).to_pylist()], pa.string())
    return Table(pa.table(columns), [p.name for p in partitions], set(loose), set(sums))


def unit(transform, micros):
    t = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=micros)
    return f"{t.year:04d}" + "".join(f"-{part:02d}" for part in
                                     (t.month, t.day, t.hour)[:{"year": 0, "month": 1, "day": 2, "hour": 3}[transform]])


# -- Aggregates

def result(measure, values, kind, count):
    """The measure over the values of a group that are not null, and over `count` rows."""
    if measure.function == "count":
        return count if not measure.argument else len(values)
    if not values:
        return None
    if measure.function in ("min", "max"):
        return (min if measure.function == "min" else max)(values)
    total = math.fsum(values) if pa.types.is_floating(kind) else sum(values)
    if measure.function == "sum":
        return total
    return total / len(values) if isinstance(total, float) else float(fractions.Fraction(total) / len(values))


def result_type(measure, kind):
    if measure.function == "count":
        return pa.int64()
    if measure.function == "avg" or pa.types.is_floating(kind):
        return pa.float64()
    if measure.function == "sum":
        return pa.decimal128(38, kind.scale if pa.types.is_decimal(kind) else 0)
    return kind


def plain(column):
    """Values of an Arrow array as Python's; times as microseconds."""
    return (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()


def windows(a, t):
    """Starts of the windows that hold the time t."""
    start = (t - a.offset) // a.slide * a.slide + a.offset
    while start > t - a.size:
        yield start
        start -= a.slide


def last_run(span, ttl):
    """Of (time, values): those after the last gap of `ttl` or more."""
    span = sorted(span, key=lambda one: one[0])
    first = max((i for i in range(1, len(span)) if span[i][0] - span[i - 1][0] >= ttl), default=0)
    return span[first:]


def aggregate(fold, a, rows, good, where, by, arguments):
    """(Table of results, late contributions as (record, window start), counts)"""
    groups, late, counts = {}, [], collections.Counter(onTime=0, corrected=0, late=0)
    by_values = [plain(c) for c in by]
    values = [plain(c) if c is not None else None for c in arguments]
    time = fold.field(fold.p.time) if a.size or a.ttl else None
    spans = {}
    for i in good:
        if where[i] is not True:
            continue
        r = rows[i]
        key = tuple(c[i] for c in by_values)
        one = [c[i] if c is not None else None for c in values]
        if a.ttl:
            at = fold.values[r][time]
            if fold.watermark[r] is None or at + a.ttl > fold.watermark[r]:
                spans.setdefault(key, []).append((at, one))
            continue
        if not a.size:
            groups.setdefault(key, []).append(one)
            continue
        for start in windows(a, fold.values[r][time]):
            closed = start + a.size
            watermark = fold.watermark[r] if fold.watermark[r] is not None else -math.inf
            if watermark >= closed + a.lateness:
                late.append((r, start))
                counts["late"] += 1
            else:
                counts["corrected" if watermark >= closed else "onTime"] += 1
                groups.setdefault(key + (start,), []).append(one)
    clock = max((w for w in fold.watermark if w is not None), default=-math.inf)
    for key, span in spans.items():
        span = last_run(span, a.ttl)
        if span[-1][0] + a.ttl > clock:
            groups[key] = [one for _, one in span]
    columns = {}
    for at, ((name, _), c) in enumerate(zip(a.by, by)):
        columns[name] = pa.array([k[at] for k in groups], c.type)
    if a.size:
        columns["window_start"] = pa.array([k[-1] for k in groups], MICROS)
        columns["window_end"] = pa.array([k[-1] + a.size for k in groups], MICROS)
    loose, sums = {n for n, _ in a.by}, set()
    for at, (m, c) in enumerate(zip(a.measures, arguments)):
        kind = c.type if c is not None else None
        t = result_type(m, kind)
        columns[m.name] = pa.array(
            [result(m, [row[at] for row in group if row[at] is not None], kind, len(group)) for group in groups.values()], t)
        if m.function in ("min", "max"):
            loose.add(m.name)
        if pa.types.is_floating(t) and m.function in ("sum", "avg"):
            sums.add(m.name)
    if a.size:
        columns["revision"] = pa.array([0] * len(groups), pa.int64())
    return partitioned(columns, a.partitions, loose, sums), late, dict(counts)


def compute(path, captures):
    """The Reference of a pipeline file over a capture."""
    p = pipelines.load(path)
    return compute_fold(p, Fold(p, captures))


def compute_fold(p, fold):
    """The Reference of a pipeline over the records of a Fold."""
    for stage in (fold.decode, fold.watermarks, fold.keys, fold.checks):
        stage()
    rows, silver, aggregates = fold.evaluate()
    fold.dedup()
    good = fold.accept(rows)
    everything = list(range(fold.n))
    arrival_day = pipelines.Partition("day", "_arrival", "_arrival_day")
    tables, counts = {}, {}
    received = [None if r in fold.tombstones else v for r, v in enumerate(fold.raw)]
    if p.bronze is not None:
        tables[f"bronze/{p.stream}"] = partitioned(
            {"key": fold.bytes(everything, fold.key), "value": fold.bytes(everything, received),
             "headers": pa.array(fold.headers, pa.string())} | fold.provenance(everything), p.bronze)
    if p.silver is not None:
        take = pa.array(good, pa.int64())
        plain_columns = {f.name for f in p.fields}
        tables[f"silver/{p.stream}"] = partitioned(
            {n: c.take(take) for n, c in silver}, p.silver_partitions, loose={n for n, _ in silver if n not in plain_columns})
    bad = [r for r in everything if fold.bucket[r] == "quarantined"]
    tables[f"quarantine/{p.stream}"] = partitioned(
        {"value": fold.bytes(bad, received),
         "key": fold.bytes(bad, fold.key), "headers": pa.array([fold.headers[r] for r in bad], pa.string()),
         "stage": pa.array([fold.stage[r] for r in bad], pa.string())} | fold.provenance(bad), [arrival_day])
    for at, a in enumerate(p.gold + p.state):
        table, late, window_counts = aggregate(fold, a, rows, good, *aggregates[at])
        tables[("gold/" if a.size else "state/") + a.name] = table
        if a.size:
            counts[a.name] = window_counts
            r = [x for x, _ in late]
            starts = pa.array([s for _, s in late], MICROS)
            time = fold.field(p.time)
            tables[f"late/{a.name}"] = partitioned(
                {"key": fold.bytes(r, fold.key), "value": fold.bytes(r, fold.raw),
                 "headers": pa.array([fold.headers[x] for x in r], pa.string()),
                 "event_time": pa.array([fold.values[x][time] for x in r], MICROS), "window_start": starts,
                 "window_end": pa.array([s + a.size for _, s in late], MICROS)} | fold.provenance(r), [arrival_day])
    buckets = {b: fold.bucket.count(b) for b in ("accepted", "duplicate", "filtered", "quarantined")}
    return Reference(tables, buckets, counts, fold.n)


def cached(path, captures, directory):
    """compute(), kept in `directory` under a hash of everything that it depends on."""
    p = pipelines.load(path)
    lookups = [spec[0] for spec in p.lookups.values()]
    meaning = dataclasses.replace(p, path="", lookups={n: spec[1:] for n, spec in p.lookups.items()})
    digest = hashlib.sha256(repr(meaning).encode())         # settings are none of the meaning
    here = os.path.dirname(os.path.abspath(__file__))
    sources = [os.path.join(here, f) for f in ("decode.py", "expressions.py", "pipeline.py", "reference.py")]
    for name in sources + lookups + list(captures):
        with open(name, "rb") as f:
            digest.update(hashlib.file_digest(f, "sha256").digest())
    kept = os.path.join(directory, f"{digest.hexdigest()[:32]}.pickle")
    computed = []

    def make(part):
        computed.append(compute(path, captures))
        with open(part, "wb") as f:
            pickle.dump(computed[0], f, protocol=5)
    for _ in range(3):
        once.whole(kept, make)
        if computed:
            break
        try:
            with open(kept, "rb") as f:
                return pickle.load(f)
        except FileNotFoundError:       # another process has just removed it
            continue
    # Bounded: entries of changed pipelines and captures are not requested again.
    with once.locked(os.path.join(directory, ".bounded")):
        for old in sorted((e for e in os.scandir(directory) if e.name.endswith(".pickle") and not e.name.startswith(".")), key=lambda e: e.stat().st_mtime)[:-KEPT]:
            os.remove(old.path)
    return computed[0] if computed else compute(path, captures)


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: reference.py PIPELINE CAPTURE...")
    reference = compute(sys.argv[1], sys.argv[2:])
    print(f"{reference.records:,} records:", ", ".join(f"{n:,} {b}" for b, n in reference.buckets.items()))
    for name, table in reference.tables.items():
        counts = reference.windows.get(name.removeprefix("gold/"), {})
        print(f"{name:32} {table.rows.num_rows:>10,} rows", *[f"{k} {v:,}" for k, v in counts.items()])


if __name__ == "__main__":
    main()
