#!/usr/bin/env python3
"""Parts of nested values, rows of elements, and records within records equal a model in Python that knows nothing of Weir.

Random orders with missing, null and empty parts at every level. One pipeline takes parts of them by path, makes a row for each element of a
list, and rejects a record for an error in one of its rows. Another reads the same orders as elements of arrays in outer records, some of
them cut off, empty, or of another shape. Both run with one lane and with several, and are killed and resumed. The same outer records in a
topic, whose worker is killed, give each element once.
"""
import datetime
import json
import os
import random
import signal
import subprocess
import time

import common
import broker
from common import tables

LARGEST = 2**63 - 1
START = 1_767_225_600_000           # milliseconds
SILVER = """
  tables:
    parts:
      columns: >-
        n, user.id as user_id, user.address.city, items[0].sku as first_sku, items[1].qty as second_qty, attrs['a'] as a, attrs['x y'] as xy,
        user.address.tags[1] as tag, json_value(raw, '$.a.b') as ab, json_value(raw, '$.l[1]') as l1, json_value(raw, '$."x y"') as q, raw,
        user.address as address
    items:
      explode: items as item
      columns: "n, _index, item.sku, item.qty + 1 as more, user.id as user_id"
    many:
      explode: items as item
      where: item.qty > 5
      columns: "n, _index as number, item.qty"
    tags:
      explode: user.address.tags as tag
    few:
      where: "user.id < 20"
      columns: "n, user.id + 1 as next"
"""
FIELDS = """
    n: int64!
    k: string
    t: timestamp_ms!
    user: "struct<id:int64,address:struct<city:string,tags:list<string>>>"
    items: list<struct<sku:string,qty:int64>>
    attrs: map<string,double>
    raw: json
"""


# -- Orders

def maybe(rng, make):
    """A value, null, or nothing at all: a list of none or one."""
    dice = rng.random()
    return [] if dice < 0.08 else [None] if dice < 0.16 else [make()]


def member(rng, out, name, make):
    for value in maybe(rng, make):
        out[name] = value
    return out


def order(rng, n):
    text = lambda: rng.choice(["a", "Köln", "x y", "", "😀", "\"q\"\n", "long " * 20])
    address = lambda: member(rng, member(rng, {}, "city", text), "tags", lambda: [rng.choice([None, text()]) for _ in range(rng.randint(0, 3))])
    user = lambda: member(rng, member(rng, {}, "id", lambda: rng.randint(0, 40)), "address", address)
    item = lambda: member(rng, member(rng, {}, "sku", text), "qty", lambda: LARGEST if rng.random() < 0.01 else rng.randint(0, 9))
    raw = lambda: rng.choice([{"a": {"b": rng.choice([1, "s", True, None, {}, "ü\n"])}}, {"l": [1, rng.choice([2.5, "z", [], None])]}, {"x y": text()},
                              [], "text", 7, {"a": []}, {}])
    out = {"n": n, "k": f"k{n % 13}", "t": START + n * 10}
    member(rng, out, "user", user)
    member(rng, out, "items", lambda: [rng.choice([None, item(), item(), item()]) for _ in range(rng.choice([0, 1, 2, 3, 12]))])
    member(rng, out, "attrs", lambda: {name: rng.choice([None, rng.randint(0, 9) / 4]) for name in rng.sample(["a", "x y", "c", "d"], rng.randint(0, 4))})
    member(rng, out, "raw", raw)
    return out


def dumps(rng, value):
    return json.dumps(value, ensure_ascii=rng.random() < 0.5, separators=rng.choice([(",", ":"), (", ", ": ")]))


# -- The model

def at(value, *path):
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def scalar(value):
    """What json_value has of a value."""
    if value is None or isinstance(value, (dict, list)):
        return None
    return value if isinstance(value, str) else json.dumps(value)


def is_rejected(o):
    return any(at(item, "qty") == LARGEST for item in o.get("items") or [])


def address(value):
    return None if value is None else {"city": value.get("city"), "tags": value.get("tags")}


def model(orders, raws):
    """By table, its rows."""
    rows = {name: [] for name in ("parts", "items", "many", "tags", "few")}
    for o in orders:
        n, raw, id = o["n"], o.get("raw"), at(o, "user", "id")
        rows["parts"].append((n, id, at(o, "user", "address", "city"), at(o, "items", 0, "sku"), at(o, "items", 1, "qty"), at(o, "attrs", "a"),
                              at(o, "attrs", "x y"), at(o, "user", "address", "tags", 1), scalar(at(raw, "a", "b")), scalar(at(raw, "l", 1)),
                              scalar(at(raw, "x y")), raws[n], address(at(o, "user", "address"))))
        for i, item in enumerate(o.get("items") or []):
            qty = at(item, "qty")
            rows["items"].append((n, i, at(item, "sku"), None if qty is None else qty + 1, id))
            if qty is not None and qty > 5:
                rows["many"].append((n, i, qty))
        for i, tag in enumerate(at(o, "user", "address", "tags") or []):
            rows["tags"].append((n, i, tag))
        if id is not None and id < 20:
            rows["few"].append((n, id + 1))
    return rows


COLUMNS = {"parts": None, "items": None, "many": None, "few": None, "tags": ["n", "_index", "tag"]}


def table_faults(lake, rows):
    faults = []
    for name, want in rows.items():
        table = tables.read_delta(lake, f"silver/{name}")
        columns = COLUMNS[name] or table.column_names
        found = [tuple(row[c] for c in columns) for row in table.to_pylist()]
        key = lambda row: json.dumps(row, sort_keys=True)
        if sorted(found, key=key) != sorted(want, key=key):
            strange = [r for r in found if r not in want][:1]
            missing = [r for r in want if r not in found][:1]
            faults.append(f"silver/{name}: {len(found)} rows, {len(want)} expected; ours {strange}, expected {missing}")
        if name == "items" and not faults:
            # In one file a record's rows are neighbours, in the order of its list.
            faults += [f"silver/items: element {b[1]} of record {b[0]} follows {a[1]}" for a, b in zip(found, found[1:]) if a[0] == b[0] and b[1] != a[1] + 1][:1]
    return faults


# -- Runs

class Case:
    def __init__(self, suite, name, record, lines, more=""):
        self.suite, self.directory = suite, suite.path(name)
        os.makedirs(self.directory)
        self.capture = os.path.join(self.directory, "c.ndjson")
        with open(self.capture, "wb") as f:
            f.write(b"".join(lines))
        self.pipeline = os.path.join(self.directory, "p.yaml")
        with open(self.pipeline, "w") as f:
            f.write(f"pipeline: nested\nsource: {{capture: {{stream: s}}}}\nrecord:\n{record}  key: k\n  time: {{field: t, out_of_order: 1s}}\n  fields:{FIELDS}"
                    f"dedup: {{id: n, within: 1h}}\nquarantine: {{halt_above: 100%, exit_above: 100%}}\nbronze: {{}}\nsilver:{SILVER}"
                    f"lake: {{flush: {{bytes: 24KiB}}}}\n{more}")

    def command(self, lake, lanes):
        return [self.suite.weir, "replay", self.pipeline, "--capture", self.capture, "--lake", lake, "--lanes", str(lanes), "--json"]

    def killed(self, lake, lanes, entries):
        """Runs until the ledger has this number of entries, and kills it."""
        process = subprocess.Popen(self.command(lake, lanes), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + common.PATIENCE
        while process.poll() is None and time.monotonic() < end and len(tables.entries(lake, "nested")) < entries:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def faults(self, lake, lanes, judge):
        run = common.Result(self.command(lake, lanes))
        if faults := run.fault():
            return faults
        faults = judge(lake, run.done)
        verify = common.Result([self.suite.weir, "ledger", "verify", self.pipeline, "--lake", lake])
        return faults + ([] if verify.code == 0 else [f"weir ledger verify: {verify.talk}"])

    def claims(self, suite, what, judge):
        for lanes in (1, 3):
            suite.claim(f"{what}, {lanes} lanes", self.faults(os.path.join(self.directory, f"lake{lanes}"), lanes, judge))
        lake = os.path.join(self.directory, "killed")
        for entries in (2, 4) if suite.quick else (2, 3, 4, 6, 8):
            self.killed(lake, 2, entries)
        suite.claim(f"{what}, killed and resumed", self.faults(lake, 2, judge))


def expected_counts(accepted, duplicate, quarantined):
    return {"accepted": accepted, "duplicate": duplicate, "quarantined": quarantined, "filtered": 0}


def count_faults(done, want, entries):
    totals = tables.totals(entries)
    found = totals[0] if totals else {name: done.get(name) for name in want}
    return [f"{name}: {found.get(name)}, {count} expected" for name, count in want.items() if found.get(name) != count]


def elements(suite):
    """Parts by path, and rows of elements."""
    rng = random.Random(suite.arguments.seed)
    orders, lines, raws, sent = [], [], {}, 0
    for n in range(800 if suite.quick else 8000):
        o = order(rng, n)
        orders.append(o)
        raw = None if o.get("raw") is None else dumps(rng, o["raw"])
        raws[n] = raw
        members = [f"{json.dumps(name)}: {raw if name == 'raw' and raw else dumps(rng, value)}" for name, value in o.items()]
        line = ("{" + ", ".join(members) + "}\n").encode()
        lines.append(line)
        if rng.random() < 0.1:
            lines.append(line)
            sent += 0 if is_rejected(o) else 1
    good = [o for o in orders if not is_rejected(o)]
    rejected = len(lines) - len(good) - sent
    case = Case(suite, "elements", "", lines)

    def judge(lake, done):
        faults = table_faults(lake, model(good, raws))
        faults += count_faults(done, expected_counts(len(good), sent, rejected), tables.entries(lake, "nested"))
        reasons = {row["reason"].split(" (_index")[0] for row in tables.read_delta(lake, "quarantine/s").to_pylist()}
        return faults + ([] if reasons == {"silver.items.more: overflow in item.qty + 1"} else [f"reasons: {reasons}"])
    case.claims(suite, f"{len(good):,} orders have their parts, elements and tags; {rejected} are rejected for one of their elements", judge)


def large(suite):
    """Rows that are much larger than their records: a long text in each of many rows."""
    directory = suite.path("large")
    os.makedirs(directory)
    # The last one would take 1.3 GiB.
    sizes = [(3000, 40_000), (1, 10), (4000, 30_000), (2, 50_000), (0, 9), (30_000, 45_000)]
    orders = [{"n": n, "pad": f"{n}" + "p" * pad, "items": [f"s{i}" for i in range(count)]} for n, (count, pad) in enumerate(sizes)]
    capture, pipeline, lake = (os.path.join(directory, name) for name in ("c.ndjson", "p.yaml", "lake"))
    with open(capture, "w") as f:
        f.writelines(json.dumps(o) + "\n" for o in orders)
    with open(pipeline, "w") as f:
        f.write("pipeline: nested\nsource: {capture: {stream: s}}\nrecord: {fields: {n: int64!, pad: string!, items: list<string>!}}\n"
                "quarantine: {halt_above: 100%, exit_above: 100%}\nworker: {memory: 128MiB}\n"
                "silver: {tables: {items: {explode: items as item, columns: \"n, _index, upper(pad) || '-' || item as text\"}}}\n")
    run = common.Result([suite.weir, "replay", pipeline, "--capture", capture, "--lake", lake, "--json"])
    faults = run.fault()
    if not faults:
        found = [tuple(row.values()) for row in tables.read_delta(lake, "silver/items").to_pylist()]
        want = [(o["n"], i, f"{o['pad'].upper()}-{item}") for o in orders[:-1] for i, item in enumerate(o["items"])]
        faults += [] if found == want else [f"{len(found)} rows, {len(want)} expected, or others"]
        reasons = [(row["_position"], row["reason"]) for row in tables.read_delta(lake, "quarantine/s").to_pylist()]
        place = sum(len(json.dumps(o)) + 1 for o in orders[:-1])
        faults += [] if len(reasons) == 1 and reasons[0][0] == place and "exploded_bytes" in reasons[0][1] else [f"reasons: {reasons}"]
        faults += [] if run.done["memory"]["peak"] < 128 << 20 else [f"memory: {run.done['memory']}"]
    suite.claim("rows of elements that take a thousand times their block are made within worker.memory; a record beyond exploded_bytes is quarantined", faults)


def records(suite):
    """Records within records."""
    rng = random.Random(suite.arguments.seed + 1)
    orders, raws, lines, quarantined, places = [], {}, [], [], []
    n = 0
    for number in range(150 if suite.quick else 1500):
        kind = rng.choice(["good"] * 12 + ["empty", "cut", "shape", "none", "blank"])
        texts = []
        for i in range(0 if kind == "empty" else rng.choice([1, 2, 5, 20])):
            if rng.random() < 0.04:
                texts.append((rng.choice(['{"k": "no number"}', "7", "null", '{"n": "x", "t": 1}']), None))
                continue
            o = order(rng, n)
            texts.append((dumps(rng, o), o))
            n += 1
        inner = rng.choice([",", " ,\t"]).join(text for text, _ in texts)
        before = rng.choice(["", '"version": 2, ', '"Records": [{"n": -1}], ', '"x": {"Records": [1]}, '])
        line = f'{{{before}"Records": [{inner}]{rng.choice(["", ", " + chr(34) + "last" + chr(34) + ": [[]]"])}}}'
        if kind == "cut":
            line = line[:-rng.randint(1, 3)].rstrip("]}") + "["
        elif kind == "shape":
            line = f'{{"Records": {rng.choice(["{}", "null", "3"])}}}'
        elif kind == "none":
            line = rng.choice(["{}", "[]", "7", "nonsense"])
        elif kind == "blank":
            line = "  "
        start = sum(map(len, lines))
        lines.append(line.encode() + b"\n")
        if kind in ("cut", "shape", "none"):
            quarantined.append((line.encode(), None))
            continue
        for i, (text, o) in enumerate(texts if kind != "blank" else []):
            if o is None or is_rejected(o):
                quarantined.append((text.encode(), i))
            else:
                orders.append(o)
                raws[o["n"]] = None if o.get("raw") is None else None
    body = b"".join(lines)
    case = Case(suite, "records", "  framing: {each: Records}\n", lines)

    def judge(lake, done):
        rows = model(orders, raws)
        # How a raw value is written is claimed above.
        rows["parts"] = [row[:11] + row[12:] for row in rows["parts"]]
        table = tables.read_delta(lake, "silver/parts").drop_columns(["raw"])
        found = [tuple(row.values()) for row in table.to_pylist()]
        key = lambda row: json.dumps(row, sort_keys=True)
        faults = [] if sorted(found, key=key) == sorted(rows.pop("parts"), key=key) else ["silver/parts differs"]
        faults += table_faults(lake, rows)
        faults += count_faults(done, expected_counts(len(orders), 0, len(quarantined)), tables.entries(lake, "nested"))
        rejected = [(row["value"], row["_index"]) for row in tables.read_delta(lake, "quarantine/s").to_pylist()]
        order = lambda row: (row[0], -1 if row[1] is None else row[1])
        if sorted(rejected, key=order) != sorted(quarantined, key=order):
            faults.append(f"quarantine: {len(rejected)} rows, {len(quarantined)} expected: {[r for r in rejected if r not in quarantined][:2]}")
        bronze = tables.read_delta(lake, "bronze/s").to_pylist()
        strange = [row for row in bronze if body[row["_position"]:row["_position"] + len(row["value"])] != row["value"]]
        faults += [f"bronze: at byte {row['_position']} of the capture is not {row['value'][:60]}" for row in strange[:1]]
        if len({row["_position"] for row in bronze}) != len(orders) + len(quarantined):
            faults.append(f"bronze has {len(bronze)} rows")
        # No cut falls within an outer record: an entry's end is the end of a line.
        ends = {int(lane["to"]) for entry in tables.entries(lake, "nested") for lane in entry["lanes"] if lane["lane"].startswith("s")}
        wrong = [end for end in ends if end and body[end - 1:end] != b"\n"]
        if len(ends) < 3 or max(ends) != len(body):
            faults.append(f"epochs end at {sorted(ends)}, of {len(body)} bytes")
        return faults + ([f"an epoch ends at byte {wrong[0]}, within an outer record"] if wrong else [])
    case.claims(suite, f"{len(orders):,} orders in {len(lines)} outer records, {len(quarantined)} rejected ones", judge)


class TopicJob(common.Lake):
    """A live pipeline whose records are elements of the values of the topic `outer`."""
    name = "nested"

    def __init__(self, suite):
        self.suite, self.directory = suite, suite.path("topic")
        os.makedirs(self.directory)
        self.lake, self.store = os.path.join(self.directory, "lake"), os.path.join(self.directory, "store")
        self.pipeline = os.path.join(self.directory, "p.yaml")
        with open(self.pipeline, "w") as f:
            f.write("pipeline: nested\nsource: {kafka: {brokers: 'b:1', topic: outer, group: nested, start: earliest, misplaced: merge}}\n"
                    f"record:\n  framing: {{each: Records}}\n  key: k\n  time: {{field: t, out_of_order: 1h, max_ahead: off}}\n  fields:{FIELDS}"
                    f"dedup: {{id: n, within: 10h}}\nquarantine: {{halt_above: 100%, exit_above: 100%}}\nbronze: {{}}\nsilver:{SILVER}"
                    "lake: {flush: {every: 100ms}}\n")

    def entries(self):
        return tables.entries(self.lake, self.name)


def topic(suite):
    """Outer records of a topic"""
    rng = random.Random(suite.arguments.seed + 2)
    job = TopicJob(suite)
    orders, places, quarantined, n = [], {}, 0, 0
    values = []
    for number in range(400):
        texts = []
        for _ in range(rng.choice([0, 1, 3, 8])):
            o = order(rng, n)
            n += 1
            texts.append(dumps(rng, o))
            if is_rejected(o):
                quarantined += 1
            else:
                orders.append(o)
        broken = rng.random() < 0.05 and not texts
        quarantined += 1 if broken else 0
        values.append((f"key{number % 7}".encode(), (b"broken" if broken else f'{{"Records": [{", ".join(texts)}]}}'.encode()), texts))
    # The last of each partition have no elements: they are consumed all the same.
    values += [(f"key{i}".encode(), b'{"Records": []}', []) for i in range(7)]
    total = len(orders) + quarantined
    with broker.Broker({"outer": 2}) as kafka:
        producer = broker.Producer(kafka.address)
        for key, value, _ in values[:200]:
            producer.send("outer", value, key)
        producer.flush()
        first = broker.Worker(job, kafka.address).begin()
        broker.wait("some are committed", lambda: broker.committed(job) > 0)
        first.kill()
        for key, value, _ in values[200:]:
            producer.send("outer", value, key)
        producer.flush()
        second = broker.Worker(job, kafka.address).begin()
        ends = {f"outer/{p}": 1 + max(r.offset for r in producer.records if r.partition == p) for p in {r.partition for r in producer.records}}
        reached = lambda: {lane["lane"]: int(lane["to"]) for entry in job.entries() for lane in entry["lanes"] if lane["lane"] in ends}
        broker.wait("all are committed", lambda: broker.committed(job) >= total and reached() == ends)
        faults = second.stop()
    rows = model(orders, {o["n"]: None for o in orders})
    rows["parts"] = []
    faults += table_faults(job.lake, {name: want for name, want in rows.items() if name != "parts"})
    faults += count_faults({}, expected_counts(len(orders), 0, quarantined), job.entries())
    sent = {(f"outer/{r.partition}", r.offset): (r.key, json.loads(r.value)["Records"] if r.value != b"broken" else None) for r in producer.records}
    for row in tables.read_delta(job.lake, "bronze/outer").to_pylist():
        key, elements = sent[row["_shard"], row["_position"]]
        want = b"broken" if elements is None else elements[row["_index"]]
        found = row["value"] if elements is None else json.loads(row["value"])
        if row["key"] != key or found != want or (elements is None) != (row["_index"] is None):
            faults.append(f"bronze: {row['_shard']} {row['_position']} {row['_index']} is {row['value'][:60]}")
    suite.claim(f"{len(orders)} orders in {len(values)} values of a topic, {quarantined} rejected ones; a worker is killed: each is there once, at its "
                "offset and number, and values without elements are consumed", faults)


common.Suite("nested_rows_equal_model", 240, __doc__).run(elements, large, records, topic)
