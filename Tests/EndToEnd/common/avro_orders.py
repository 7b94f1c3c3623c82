"""Orders in Avro, with every type that there is, in several versions of their schema; and what Weir must make of each, by fastavro."""
import datetime
import decimal
import io
import json
import uuid

import fastavro

ADDRESS = {"type": "record", "name": "Address", "fields": [
    {"name": "city", "type": "string"}, {"name": "zip", "type": "int"},
    {"name": "geo", "type": ["null", {"type": "record", "name": "Geo", "fields": [
        {"name": "lat", "type": "double"}, {"name": "tags", "type": {"type": "array", "items": "string"}}]}]}]}

V1 = {"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "id", "type": "string"},
    {"name": "user", "type": ["null", "string"]},
    {"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "tm", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "clock", "type": {"type": "int", "logicalType": "time-millis"}},
    {"name": "clock_us", "type": {"type": "long", "logicalType": "time-micros"}},
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
    {"name": "price", "type": ["null", {"type": "fixed", "name": "Price", "size": 9, "logicalType": "decimal", "precision": 18, "scale": 4}]},
    {"name": "tid", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "digest", "type": {"type": "fixed", "name": "Digest", "size": 5}},
    {"name": "n", "type": "int"},
    {"name": "total", "type": "long"},
    {"name": "ratio", "type": "float"},
    {"name": "x", "type": "double"},
    {"name": "ok", "type": "boolean"},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["view", "click", "purchase"]}},
    {"name": "labels", "type": {"type": "array", "items": ["null", "string", "Kind"]}},
    {"name": "attributes", "type": {"type": "map", "values": {"type": "array", "items": "long"}}},
    {"name": "address", "type": ["null", ADDRESS]},
    {"name": "raw", "type": "bytes"},
    {"name": "nothing", "type": "null"},
    {"name": "nothings", "type": {"type": "array", "items": "null"}},
    {"name": "either", "type": ["null", "long", "string"]},
    {"name": "parent", "type": ["null", "Order"]}]}


def version2():
    """Fields in another order, some more, optional ones gone, int become long, the union the other way round."""
    fields = [f for f in json.loads(json.dumps(V1["fields"])) if f["name"] not in ("price", "raw", "tm")]
    for f in fields:
        if f["name"] == "n":
            f["type"] = "long"
        if f["name"] == "user":
            f["type"] = ["string", "null"]
    fields = fields[3:] + [{"name": "discount", "type": ["null", "double"]}] + fields[:3]
    return {**V1, "fields": fields}


V2 = version2()
# What no order can be made of: t has no unit, id is missing, user is a record.
NO_UNIT = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}, {"name": "t", "type": "long"}]}
NO_ID = {"type": "record", "name": "Order", "fields": [{"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}
SCALAR = "string"

FIELDS = {
    "id": "string!", "user": "string", "t": "timestamp!", "tm": "timestamp", "day": "timestamp", "clock": "int64", "clock_us": "int64",
    "amount": "decimal(12,2)", "price": "decimal(20,6)", "tid": "string", "n": "int64", "total": "int64", "ratio": "double", "x": "double",
    "ok": "bool", "kind": "string", "either": "int64", "raw": "string", "discount": "double",
    "city": {"type": "string", "path": "address.city"}, "zip": {"type": "decimal(9,3)", "path": "address.zip"},
    "lat": {"type": "double", "path": "address.geo.lat"}, "parent_kind": {"type": "string", "path": "parent.kind"},
}
PATHS = {name: spec["path"].split(".") if isinstance(spec, dict) else [name] for name, spec in FIELDS.items()}
UTC = datetime.timezone.utc


def order(random, i, depth=0):
    """A value of V1."""
    def maybe(make):
        return None if random.random() < 0.3 else make()

    def text():
        return "".join(random.choice("aé漢🦆 \"\\\n") for _ in range(random.randrange(12)))
    at = datetime.datetime(1970, 1, 1, tzinfo=UTC) + datetime.timedelta(milliseconds=i * 1000 + random.randrange(900))
    return {
        "id": f"order-{i}-{depth}", "user": maybe(text), "t": at, "tm": maybe(lambda: at + datetime.timedelta(microseconds=random.randrange(1000))),
        "day": datetime.date(1960, 1, 1) + datetime.timedelta(days=random.randrange(40_000)),
        "clock": datetime.time(random.randrange(24), 30, 1, 5000), "clock_us": datetime.time(3, random.randrange(60), 2, 17),
        "amount": decimal.Decimal(random.randrange(-10**11, 10**11)).scaleb(-2),
        "price": maybe(lambda: decimal.Decimal(random.randrange(-10**17, 10**17)).scaleb(-4)),
        "tid": str(uuid.UUID(int=random.getrandbits(128))), "digest": random.randbytes(5), "n": random.randrange(-2**31, 2**31),
        "total": random.randrange(-2**63, 2**63), "ratio": random.choice([0.5, -1.25, 1024.0]), "x": random.random() * 1e300,
        "ok": random.random() < 0.5, "kind": random.choice(["view", "click", "purchase"]),
        "labels": [random.choice([None, "ab", "view"]) for _ in range(random.randrange(5))],
        "attributes": {text(): [random.randrange(-100, 100) for _ in range(random.randrange(4))] for _ in range(random.randrange(3))},
        "address": maybe(lambda: {"city": text(), "zip": random.randrange(99_999), "geo": maybe(lambda: {"lat": random.random(), "tags": [text()]})}),
        "raw": text().encode(), "nothing": None, "nothings": [None] * random.randrange(9), "either": random.choice([None, 7, "seven"]),
        "parent": order(random, i, depth + 1) if depth < 3 and random.random() < 0.3 else None, "discount": random.choice([None, 0.125])}


def encode(schema, value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(schema))), value)
    return out.getvalue()


def row(schema, body):
    """The row of the declared fields, from the bytes, by fastavro. None: the record cannot be one."""
    value = fastavro.schemaless_reader(io.BytesIO(body), fastavro.parse_schema(json.loads(json.dumps(schema))), None)
    out = {}
    for name, path in PATHS.items():
        at = value
        for part in path:
            at = None if at is None else at.get(part)
        out[name] = at
    if isinstance(out["either"], str):      # a branch of the union that is not an int64
        return None
    for name in ("clock", "clock_us"):
        micros = ((out[name].hour * 60 + out[name].minute) * 60 + out[name].second) * 1_000_000 + out[name].microsecond
        out[name] = micros // 1000 if name == "clock" else micros
    if out["day"] is not None:
        out["day"] = datetime.datetime(out["day"].year, out["day"].month, out["day"].day, tzinfo=UTC)
    if out["raw"] is not None:
        out["raw"] = out["raw"].decode()
    out["tid"] = str(out["tid"])
    if out["zip"] is not None:
        out["zip"] = decimal.Decimal(out["zip"])
    return out
