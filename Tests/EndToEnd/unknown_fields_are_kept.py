#!/usr/bin/env python3
"""With `unknown_fields: rescue`, what no field reads is in the column _rescued, and nothing else is; it is counted. A model in Python takes the
fields out of each record and compares what is left.

Random records with paths into objects and lists, spaces, escapes, nulls and damage, with one kind and with several, in lines, in an envelope
and as elements of outer records, with one lane and with several, killed and resumed.
"""
import json
import os
import random
import signal
import subprocess
import time

import common
from common import tables

START = 1_767_225_600_000
PIPELINE = """
pipeline: rest
source: {capture: {stream: rest}}
record:
  format: json
  SURROUNDED
  unknown_fields: rescue
  key: id
  time: {field: at, out_of_order: 1h}
  fields:
    id: string!
    at: timestamp_ms!
    user_id: {type: int64, path: user.id}
    city: {type: string, path: user.address.city}
    first: {type: string, path: "items[0].sku"}
    third: {type: int64, path: "items[2].n"}
    tags: list<string>
    raw: json
KIND
ROUTE
bronze: {}
silver: {}
lake: {flush: {bytes: 64KB}}
"""
ROUTE = """
route:
  by: kind
  kinds:
    order: {fields: {amount: int64}, silver: {}}
    refund: {fields: {reason: string}, silver: {}}
  else: drop
"""
# Of the paths above: a leaf, names below, or numbers of elements below.
READ = {"id": True, "at": True, "user": {"id": True, "address": {"city": True}}, "items": {0: {"sku": True}, 2: {"n": True}}, "tags": True,
        "raw": True}
MISSING = object()


def left(value, read):
    """What is left of a value whose parts are read; MISSING: nothing."""
    if read is True or value is None:
        return MISSING
    if isinstance(value, dict) and all(isinstance(name, str) for name in read):
        rest = {}
        for name, member in value.items():
            part = left(member, read[name]) if name in read else member
            if part is not MISSING:
                rest[name] = part
        return rest or MISSING
    if isinstance(value, list) and all(isinstance(name, int) for name in read):
        parts = [left(member, read[i]) if i in read else MISSING if member is None else member for i, member in enumerate(value)]
        return MISSING if all(part is MISSING for part in parts) else value
    return value


# -- Records

def anything(rng, depth=0):
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind < 6:
        return [None, True, rng.randrange(-9, 10 ** 6), rng.random(), "", rng.choice(["é", "a\"b", "{", "},", "[\\", "x" * rng.randrange(40)])][kind]
    if kind == 6:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(["id", "city", "n", "sku", "new", "a b", "é", "_rescued"]): anything(rng, depth + 1) for _ in range(rng.randrange(4))}


def some(rng, members):
    """Some of these members, in any order, with others among them."""
    names = [name for name in members if rng.random() < 0.7]
    made = {name: members[name]() for name in names}
    for _ in range(rng.choice([0, 0, 0, 1, 2, 5])):
        made.setdefault(rng.choice(["new", "other", "x.y", "\u00e9", "idx", "_rescued", "schema"]) + rng.choice(["", "1", "2"]), anything(rng))
    order = list(made)
    rng.shuffle(order)
    return {name: made[name] for name in order}


def record(rng, number):
    user = {"id": lambda: rng.choice([None, 7]), "address": lambda: rng.choice([None, "none", 5, [1]] + [some(rng, {"city": lambda: "Bern"})] * 6)}
    item = {"sku": lambda: "s", "n": lambda: 3}
    members = {
        "user": lambda: rng.choice([None, "x", []] + [some(rng, user)] * 9),
        "items": lambda: rng.choice([None, {}, {"a": 1}] + [[rng.choice([None, 1] + [some(rng, item)] * 6) for _ in range(rng.randrange(5))]] * 9),
        "tags": lambda: ["a", None], "raw": lambda: anything(rng), "kind": lambda: rng.choice(["order", "order", "refund", "other", 3]),
        "amount": lambda: 5, "reason": lambda: "r"}
    return {"id": f"r{number}", "at": START + number * 1000, **some(rng, members)}


def text(rng, value):
    made = json.dumps(value, ensure_ascii=rng.random() < 0.5, separators=rng.choice([(",", ":"), (", ", ": "), (" ,\t", " : ")]))
    return made if rng.random() > 0.03 else made[:rng.randrange(1, len(made))]


# -- Runs

def rows_of(lake, table):
    if not os.path.exists(os.path.join(lake, table)):
        return {}
    return {row["id"]: row["_rescued"] for row in tables.read_delta(lake, table).to_pylist()}


def killed(command, lake):
    """Runs until the ledger has two entries, and kills it."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + common.PATIENCE
    while process.poll() is None and time.monotonic() < end and len(tables.entries(lake, "rest")) < 2:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def wanted(records, read):
    out = {}
    for value in records:
        rest = left(value, read)
        out[value["id"]] = None if rest is MISSING else rest
    return out


def compare(what, found, expected):
    found = {key: None if value is None else json.loads(value) for key, value in found.items()}
    wrong = [key for key in expected.keys() | found.keys() if found.get(key, MISSING) != expected.get(key, MISSING)]
    return [f"{what}: {len(wrong)} of {len(expected)} differ, {key}: {found.get(key)!r} instead of {expected.get(key)!r}" for key in wrong[:1]]


def one(suite, seed, route, surrounded):
    rng = random.Random(seed)
    records = [record(rng, number) for number in range(400 if suite.quick else 4000)]
    lines, whole = [], []
    for value in records:
        line = text(rng, value)
        try:
            if json.loads(line) == value:
                whole.append(value)
        except ValueError:
            pass
        lines.append(line)
    name = f"{seed}-{'route' if route else 'one'}-{surrounded or 'lines'}"
    capture = suite.path(name + ".ndjson")
    with open(capture, "w", encoding="utf-8") as f:
        if surrounded == "connect":
            lines = [f'{{"schema":null, "payload": {line}}}' for line in lines]
        if surrounded == "each":
            whole_lines = [json.dumps(value) for value in whole]
            lines = [json.dumps({"n": 1})[:-1] + ', "Records": [' + ", ".join(whole_lines[i:i + 3]) + "]}" for i in range(0, len(whole), 3)]
        f.write("\n".join(lines) + "\n")
    pipeline = suite.path(name + ".yaml")
    with open(pipeline, "w") as f:
        setting = {"connect": "envelope: connect", "each": "framing: {each: Records}", None: "coerce: false"}[surrounded]
        f.write(PIPELINE.replace("SURROUNDED", setting).replace("ROUTE", ROUTE if route else "").replace("KIND", "    kind: string" if route else ""))
    faults = []
    for lanes in (1, 3):
        lake = suite.path(f"{name}-{lanes}")
        command = [suite.weir, "replay", pipeline, "--capture", capture, "--lake", lake, "--lanes", str(lanes), "--json"]
        if lanes > 1:
            killed(command, lake)
        run = common.Result(command)
        if run.code:
            return [f"{name}: exit {run.code}: {run.talk[-300:]}"]
        done = json.loads(run.out.strip().splitlines()[-1])
        read = {**READ, "kind": True} if route else READ
        if route:
            kinds = {kind: [value for value in whole if value.get("kind") == kind] for kind in ("order", "refund")}
            more = {"order": "amount", "refund": "reason"}
            expected = {kind: wanted(kinds[kind], {**read, more[kind]: True}) for kind in kinds}
            for kind in kinds:
                faults += compare(f"{name} {lanes} {kind}", rows_of(lake, f"silver/{kind}"), expected[kind])
                count = sum(value is not None for value in expected[kind].values())
                if done["kinds"][kind].get("rescued", 0) != count:
                    faults.append(f"{name} {lanes} {kind}: {done['kinds'][kind]} instead of {count} rescued")
            everything = [value for kind in expected.values() for value in kind.values()]
        else:
            expected = wanted(whole, read)
            faults += compare(f"{name} {lanes}", rows_of(lake, "silver/rest"), expected)
            everything = list(expected.values())
        count = sum(value is not None for value in everything)
        if done["rescued"] != count:
            faults.append(f"{name} {lanes}: rescued {done['rescued']} instead of {count}")
    return faults


def lines(suite):
    """_rescued has what no field reads of each record, and the count is that of such records, in lines, envelopes and outer records"""
    faults = []
    for seed in range(2 if suite.quick else 8):
        for surrounded in (None, "connect", "each"):
            faults += one(suite, suite.arguments.seed * 100 + seed, False, surrounded)
    suite.claim(lines.__doc__, faults)


def kinds(suite):
    """With several kinds of records, what no field of the kind reads is kept"""
    faults = []
    for seed in range(2 if suite.quick else 8):
        faults += one(suite, suite.arguments.seed * 100 + 50 + seed, True, None)
    suite.claim(kinds.__doc__, faults)


def refusals(suite):
    """Where it cannot be, `weir check` says so"""
    text = PIPELINE.replace("ROUTE", "").replace("KIND", "").replace("SURROUNDED", "coerce: false")
    faults = []
    for change, wanted in (
            (("unknown_fields: rescue", "unknown_fields: keep"), "record.unknown_fields"),
            (("format: json", "format: {csv: {header: true}}"), "unknown_fields: rescue is of records that are JSON"),
            (("silver: {}", "silver: {columns: [id]}"), "no silver table has the column _rescued")):
        path = suite.path("refused.yaml")
        with open(path, "w") as f:
            f.write(text.replace(*change))
        run = common.Result([suite.weir, "check", path])
        if wanted not in run.out + run.talk:
            faults.append(f"{change[1]}: {run.code}: {(run.out + run.talk)[-400:]}")
    suite.claim(refusals.__doc__, faults)


if __name__ == "__main__":
    common.Suite("unknown_fields_are_kept", 200, __doc__).run(lines, kinds, refusals)
