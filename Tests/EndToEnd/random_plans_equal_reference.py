#!/usr/bin/env python3
"""Pipelines and captures made at random: whatever the plan and the number of lanes, the tables equal the independent reference.

A seed names a pipeline, its capture, and how it is run: 1 to 1000 lanes, both deals, epochs of any size, records so large that a
block holds few of them, stretches in which all are malformed, have no key, or have no nulls; some runs are killed and resumed.
`plans.py --seed 17 --count 1` makes the 17th again.
"""
import json
import os
import random
import shutil
import signal
import subprocess

import common
import contents as written

KEYS = ["string", "string", "string", "string!", "int64", "bool", "decimal(9,3)", "timestamp_s"]
LANES = [1, 2, 3, 7, 31, 32, 33, 47, 64, 100, 255, 256, 257, 1000]
TEXTS = ["", "a", "tab\tand\nline", "ñandú ß", "😀 𝒳", "null", "x" * 70]
KINDS = ["view", "click", "purchase", "View", ""]
SECOND = 1000                           # event times are milliseconds


class Case:
    def __init__(self, seed, directory):
        self.random = random.Random(seed)
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.spec = self.plan()
        self.pipeline, self.capture = os.path.join(directory, "plan.yaml"), os.path.join(directory, "capture.ndjson")
        with open(self.pipeline, "w") as f:
            json.dump(self.spec, f, indent=1)       # YAML's flow style
        with open(self.capture, "wb") as f:
            f.write(self.records())
        self.size = os.path.getsize(self.capture)

    def chance(self, p):
        return self.random.random() < p

    def some(self, items, least=0):
        return self.random.sample(items, self.random.randint(least, len(items)))

    # -- The plan

    def plan(self):
        r = self.random
        def maybe(kind):
            return kind + "!" if self.chance(0.15) else kind
        fields = {"id": maybe(r.choice(["string", "string", "int64"])), "k": r.choice(KEYS), "t": "timestamp_ms!", "kind": maybe("string"),
                  "amount": maybe("decimal(12,2)"), "n": maybe("int64"), "x": maybe("double"), "flag": maybe("bool"), "note": maybe("string"),
                  "at": "timestamp"}
        spec = {"pipeline": "plan", "source": {"capture": {"stream": "s", "deal": r.choice(["murmur2", "murmur2", "md5"])}}}
        record = {"format": "json", "fields": fields}
        if self.chance(0.9):
            record["key"] = "k"
        self.timed = self.chance(0.9)
        if self.timed:
            record["time"] = {"field": "t", "out_of_order": f"{r.choice([0, 500, 5000])}ms"}
            if self.chance(0.3):
                record["time"]["max_ahead"] = "10m"
        spec["record"] = record
        checks = [("known", "kind in ('view', 'click', 'purchase')", None), ("dropped", "flag is not true or kind <> 'click'", "drop"),
                  ("positive", "amount >= -9", "quarantine"), ("never", "n <> 123456789", "fail"), ("square", "n * n <> 7", None)]
        spec["checks"] = [{"name": n, "that": that} | ({"else": e} if e else {}) for n, that, e in self.some(checks)] if self.chance(0.6) else []
        if self.chance(0.7):
            spec["dedup"] = {"id": "id"} | ({"within": r.choice(["0s", "1s", "20s", "5m"])} if self.timed and self.chance(0.7) else {})
        self.by = ["k", "kind", "n % 5 as five", "flag", "lower(note) as low", "x > 0 as up", "n * 3 as three", "n is null as none", "at", "id"]
        if self.chance(0.4):
            with open(os.path.join(self.directory, "kinds.csv"), "w") as f:
                f.write("kind,name,weight\n" + "".join(f"{k},n{i % 2},{i}\n" for i, k in enumerate(["view", "click", "buy"])))
            spec["lookups"] = {"kinds": {"file": "kinds.csv", "key": "kind", "columns": {"weight": "int64"}}}
            self.by += ["kinds.name", "kinds.weight * 2 as double_weight"]
        if self.chance(0.5):
            spec["bronze"] = {}
        if self.chance(0.5):
            columns = ["n + 1000000 as n1", "n * 4 as four", "amount * 2 as twice", "coalesce(note, kind) as who", "length(note) as letters", "7 as seven", "x / 3 as third"]
            every = self.chance(0.5)
            spec["silver"] = {"columns": ", ".join((["*"] if every else []) + self.some(columns, 1))}
            if every and self.chance(0.4):
                spec["silver"]["partition_by"] = r.choice(["day(t)", "flag"])
        spec["gold"] = {f"g{i}": self.aggregate(True) for i in range(r.randrange(4))} if self.timed else {}
        spec["state"] = {f"s{i}": self.aggregate(False) for i in range(r.randrange(3))}
        if not (spec["gold"] or spec["state"] or "bronze" in spec or "silver" in spec):
            spec["state"] = {"s0": self.aggregate(False)}
        # Some captures have malformed records only.
        spec["quarantine"] = {"halt_above": "100%", "exit_above": "100%"}
        spec["lake"] = {"path": "./lake", "codec": r.choice(["none", "zstd"])}
        spec["store"] = {"lmdb": "./state"}
        return {k: v for k, v in spec.items() if v or k == "bronze"}

    def aggregate(self, windowed):
        r = self.random
        by = r.sample(self.by, r.choice([1, 1, 2, 3]))
        if self.chance(0.5) and "k" not in by:
            by[0] = "k"
        measures = {"rows": "count()", "amounts": "count(amount)", "total": "sum(amount)", "least": "min(n)", "high": "max(note)",
                    "mean": "avg(amount)", "n_total": "sum(n % 1000)", "x_total": "sum(x)", "last": "max(at)", "some": "count(flag)", "n_mean": "avg(n)"}
        out = {"by": by, "measure": {m: measures[m] for m in self.some(list(measures), 1)}}
        if self.chance(0.4):
            out["where"] = r.choice(["kind <> 'click'", "amount > 100", "flag", "n % 2 = 0 or n is null", "kind = 'nobody'", "true"])
        if windowed:
            slide, lateness = r.choice([1, 4, 10, 60]), {"lateness": f"{r.choice([1, 7, 30])}s"} if self.chance(0.5) else {}
            every = {"hopping": f"{slide * r.choice([2, 3, 12])}s", "every": f"{slide}s"} if self.chance(0.5) else {"tumbling": f"{slide}s"}
            out["window"] = every | lateness
            if self.chance(0.2):
                out["partition_by"] = "day(window_start)"
        elif self.timed and self.chance(0.5):
            out["ttl"] = r.choice(["1us", "200ms", "2s", "2s", "20s", "100s", "30m", "36500d"])
        return out

    # -- The capture

    def records(self):
        r = self.random
        fields = self.spec["record"]["fields"]
        n, keys = r.choice([0, 1, 20, 300, 300, 1500, 1500, 4000]), r.choice([1, 5, 400, 3000])
        # About 5 MB, which are several blocks; and some whose nullable fields are null in the later ones only.
        pad, whole = r.choice([0, 0, min(200_000, 10_000_000 // (n + 1))]), n // 2 if self.chance(0.3) else 0
        now, sent, lines, mode = -100 * SECOND, [], [], "any"
        key = {"string": lambda i: r.choice(TEXTS) if i == 0 else f"key{i}"[:r.randrange(2, 30)] + "y" * (i % 11), "int64": lambda i: i - 3, "bool": lambda i: i % 2 == 0,
               "decimal(9,3)": lambda i: i / 8, "timestamp_s": lambda i: i * 100}[fields["k"].rstrip("!")]
        for i in range(n):
            if self.chance(4 / (n + 1)):
                mode = r.choice(["any", "any", "bad", "no key", "whole", "same id", "null"])
            if i < whole:
                mode = "whole"
            now += r.randrange(150) + (600 * SECOND if self.chance(2 / (n + 1)) else 0)
            late = r.choice([0, 0, 0, r.randrange(500), r.randrange(6000), r.randrange(100_000)])
            event = {"id": i, "k": key(int(r.paretovariate(0.6)) % keys), "t": now - late, "kind": r.choice(KINDS[:3] * 6 + KINDS), "amount": r.randrange(-1000, 90_000) / 100,
                     "n": r.choice([r.randrange(100), r.randrange(-10**6, 10**6), 2**62 if self.chance(0.02) else 5]), "x": r.choice([0.0, r.uniform(-9, 9), r.random() * 1e20]),
                     "flag": self.chance(0.3), "note": r.choice(TEXTS), "at": f"2024-02-{r.randrange(1, 29):02d}T00:00:{r.randrange(60):02d}Z"}
            if mode == "same id":
                event["id"] = i % 3
            if fields["id"].startswith("string"):
                event["id"] = f"e{event['id']}"
            if mode == "no key":
                event["k"] = None
            if mode == "null":
                event |= dict.fromkeys([f for f in fields if f not in "tk" and not fields[f].endswith("!")])
            if mode != "whole" and self.chance(0.3):
                for name in self.some([f for f in fields if f != "t"], 1)[:2]:
                    event[name] = None
            if pad and self.chance(0.5):
                event["pad"] = "p" * r.randrange(2 * pad)
            if self.chance(1 / (3 * n)):
                event["pad"] = "P" * 1_200_000
            if self.chance(0.02):
                event["t"] += r.choice([10, 3600]) * SECOND * 24
            line = json.dumps(event, ensure_ascii=self.chance(0.5)).encode()
            if mode == "bad" or self.chance(0.01):
                line = r.choice([b"", b"null", line[:-1], b"#", line.replace(b'"t"', b'"u"'), line.replace(b":", b": [", 1)])
            elif sent and self.chance(0.15):
                line = r.choice(sent[-r.choice([3, 300, 5000]):])
            sent.append(line)
            lines.append(line + (b"\r" if self.chance(0.01) else b""))
        return b"\n".join(lines) + (b"\n" if self.chance(0.8) else b"")


def run(suite, seed):
    """A case, with a few numbers of lanes."""
    case = Case(seed, suite.path(f"seed{seed}"))
    r, clean = case.random, True
    for lanes in [r.choice(LANES[:5]), *r.sample(LANES[5:], 1 if suite.quick else 2)]:
        flush = int(case.size / r.choice([0.5, 1, 1, 3, 12])) + 1
        job = common.Job(suite, os.path.join(case.directory, str(lanes)), case.pipeline, case.capture, lanes, flush)
        stopped = ""
        if r.random() < 0.3:
            process, delay, how = job.start(), 0.02 + r.random() * 0.3, r.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT])
            try:
                process.communicate(timeout=delay)
            except subprocess.TimeoutExpired:
                process.send_signal(how)
                process.communicate()
                stopped = f", {how.name} after {delay:.2f} s"
        result = job.replay()
        faults = result.fault() or job.faults() + job.verify_faults()
        twice = not stopped and not faults and r.random() < 0.2
        if twice:
            twin = common.Job(suite, os.path.join(case.directory, f"{lanes}-twin"), case.pipeline, case.capture, lanes, flush)
            faults = twin.replay().fault() or ([] if traces(job) == traces(twin) else ["a second run wrote other bytes"])
        clean &= suite.claim(f"seed {seed}: {lanes} lanes, {case.size:,} bytes in {len(job.entries())} entries"
                             f"{stopped}{', twice the same bytes' if twice else ''}", faults)
    if clean:
        shutil.rmtree(case.directory)


def traces(job):
    return written.file_bytes(job), *written.blobs(job)


def options(arguments):
    arguments.add_argument("--count", type=int, help="number of seeds, from --seed on")


def seeds(suite):
    first = suite.arguments.seed
    for seed in range(first, first + (suite.arguments.count or (22 if suite.quick else 300))):
        suite._make(lambda suite, seed=seed: run(suite, seed))


common.Suite("random_plans_equal_reference", 3600, __doc__, options).run(seeds)
