#!/usr/bin/env python3
"""Protobuf records of random schemas have the values that Google's library reads, also with evolution and damage.

A random schema (proto2 or proto3) has members that the pipeline reads, members that it does not read, and members that only the producer
knows. Weir gets the descriptor of the first two. The oracle is the library `protobuf` with a descriptor that has no more than what is
read: all else is an unknown field, for both. Records are written with the producer's schema; some are two messages one after the other,
which is how messages are merged, some have groups of unknown fields, and some are damaged.
"""
import datetime
import math
import os
import random

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2, wrappers_pb2
from google.protobuf.message import DecodeError

import common
from common import tables

F = descriptor_pb2.FieldDescriptorProto
INTEGERS = {"int32": (-2**31, 2**31 - 1), "int64": (-2**63, 2**63 - 1), "uint32": (0, 2**32 - 1), "uint64": (0, 2**64 - 1), "sint32": (-2**31, 2**31 - 1),
            "sint64": (-2**63, 2**63 - 1), "fixed32": (0, 2**32 - 1), "fixed64": (0, 2**64 - 1), "sfixed32": (-2**31, 2**31 - 1), "sfixed64": (-2**63, 2**63 - 1)}
SCALARS = list(INTEGERS) + ["double", "float", "bool", "string", "bytes", "enum"]
KEYS = [kind for kind in INTEGERS] + ["bool", "string"]
COLOURS = {0: "NONE", 1: "RED", 2: "GREEN", 7: "BLUE", -3: "DARK"}
STAMP, WRAPPED = ".google.protobuf.Timestamp", {"int64": ".google.protobuf.Int64Value", "string": ".google.protobuf.StringValue", "bool": ".google.protobuf.BoolValue"}
TEXTS = ["", "a", "Köln", "😀", "x" * 200, "line\nend", "\0"]


def options(arguments):
    arguments.add_argument("--seeds", type=int, default=0, help="schemas (default: 200, with --quick 12)")


class Member:
    """kind: a scalar's, or message, stamp, wrapper; form: one, list, map; oneof: its number or None; reader: read, known or new."""

    def __init__(self, name, number, kind, form, reader, oneof, is_optional, message=None, key=None):
        self.name, self.number, self.kind, self.form, self.reader, self.oneof, self.is_optional = name, number, kind, form, reader, oneof, is_optional
        self.message, self.key = message, key
        self.wide = None        # a type other than the usual one


class Message:
    def __init__(self, name, members):
        self.name, self.members = name, members


class Schema:
    def __init__(self, rng):
        self.rng, self.syntax, self.count = rng, rng.choice(["proto3", "proto3", "proto2"]), 0
        self.root = self.message(0)
        # Where columns are: by name, the path of members.
        self.columns = {}
        self.collect(self.root, [])

    def message(self, depth):
        rng, members, used = self.rng, [], set()
        self.count += 1
        name = f"M{self.count}"
        for i in range(rng.randint(2, 9 if depth == 0 else 5)):
            number = rng.choice([rng.randint(1, 20), rng.randint(1, 20), rng.randint(300, 5000), rng.randint(2**28, 2**29 - 1)])
            if number in used:
                continue
            used.add(number)
            kind = rng.choice(SCALARS + ["string", "int64"] + ["stamp", "wrapper"] + (["message"] * 6 if depth < 3 else []))
            form = rng.choice(["one", "one", "one", "list", "map"])
            if kind == "wrapper" and form == "map":
                form = "one"
            reader = rng.choice(["read", "read", "read", "known", "new"])
            oneof = rng.choice([0, 1]) if form == "one" and rng.random() < 0.3 else None
            member = Member(f"f{i}", number, kind, form, reader, oneof, rng.random() < 0.3, key=rng.choice(KEYS))
            if kind == "message":
                member.message = self.message(depth + 1)
            if kind == "wrapper":
                member.wrapped = rng.choice(list(WRAPPED))
            members.append(member)
        if not any(m.reader == "read" and (m.message is None or any(x.reader == "read" for x in m.message.members)) for m in members):
            members.append(Member("last", 21, "int64", "one", "read", None, False))
        return Message(name, members)

    def reads(self, message):
        return [m for m in message.members if m.reader == "read"]

    def collect(self, message, path):
        """Each member that is read is a column, or below one."""
        for m in self.reads(message):
            if m.kind == "message" and m.form == "one" and len(path) < 3 and self.rng.random() < 0.6:
                self.collect(m.message, path + [m])
            else:
                if m.form == "one" and m.kind in INTEGERS and self.rng.random() < 0.3:
                    m.wide = self.rng.choice(["decimal(22,2)", "double"])
                self.columns[f"c{len(self.columns)}"] = path + [m]

    # -- Types

    def type(self, m):
        one = m.wide or self.one(m)
        return {"one": one, "list": f"list<{one}>", "map": f"map<string,{one}>"}[m.form]

    def one(self, m):
        if m.kind == "message":
            return "struct<" + ",".join(f"{x.name}:{self.type(x)}" for x in self.reads(m.message)) + ">"
        if m.kind == "wrapper":
            return m.wrapped
        return "int64" if m.kind in INTEGERS else {"double": "double", "float": "double", "bool": "bool", "stamp": "timestamp"}.get(m.kind, "string")

    # -- Descriptors

    def file(self, package, keeps, is_oracle=False):
        """A file with the members that `keeps` says. The oracle's has numbers for enums, and bytes for what a oneof has beside what is read."""
        file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax=self.syntax,
                                                  dependency=["google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto"])
        enum = file.enum_type.add(name="Colour")
        for number, name in COLOURS.items():
            enum.value.add(name=name, number=number)
        # Another message is the first in the file.
        file.message_type.add(name="Other")
        self.add(file.message_type.add(), self.root, package, keeps, is_oracle)
        return file

    def add(self, proto, message, package, keeps, is_oracle):
        proto.name = message.name
        kept = [m for m in message.members if keeps(m)]
        oneofs = {m.oneof for m in kept if m.oneof is not None}
        if is_oracle:
            kept = [m for m in message.members if keeps(m) or m.reader == "known" and m.oneof in oneofs and m.oneof is not None]
        places = {}
        for oneof in sorted(oneofs):
            places[oneof] = len(proto.oneof_decl)
            proto.oneof_decl.add(name=f"o{oneof}")
        scope = f".{package}" + "".join(f".{name}" for name in getattr(self, "scope", [])) + f".{message.name}"
        for m in kept:
            field = proto.field.add(name=m.name, number=m.number, label=F.LABEL_OPTIONAL if m.form == "one" else F.LABEL_REPEATED)
            if m.oneof is not None:
                field.oneof_index = places[m.oneof]
            is_sibling = is_oracle and not keeps(m)
            if m.form == "map":
                entry = proto.nested_type.add(name=f"{m.name.capitalize()}Entry")
                # The oracle has a list of entries, which is the same on the wire: from a map the library leaves out entries with unknown fields.
                entry.options.map_entry = not is_oracle
                key = "bytes" if is_oracle and m.key == "string" else m.key
                entry.field.add(name="key", number=1, label=F.LABEL_OPTIONAL, type=getattr(F, f"TYPE_{key.upper()}"))
                value = entry.field.add(name="value", number=2, label=F.LABEL_OPTIONAL)
                self.set_type(value, m, proto, scope, package, keeps, is_oracle)
                field.type, field.type_name = F.TYPE_MESSAGE, f"{scope}.{entry.name}"
            elif is_sibling and m.kind in ("message", "stamp", "wrapper"):
                field.type = F.TYPE_BYTES
            else:
                self.set_type(field, m, proto, scope, package, keeps, is_oracle)
                if m.form == "list" and m.kind in (set(SCALARS) - {"string", "bytes"}) and not is_oracle:
                    field.options.packed = m.number % 2 == 0
        for m in kept:
            if m.oneof is None and m.form == "one" and m.is_optional and self.syntax == "proto3" and m.kind in SCALARS:
                field = next(f for f in proto.field if f.name == m.name)
                field.proto3_optional, field.oneof_index = True, len(proto.oneof_decl)
                proto.oneof_decl.add(name=f"_{m.name}")

    def set_type(self, field, m, proto, scope, package, keeps, is_oracle):
        if m.kind == "message":
            self.scope = getattr(self, "scope", []) + [proto.name]
            self.add(proto.nested_type.add(), m.message, package, keeps, is_oracle)
            self.scope = self.scope[:-1]
            field.type, field.type_name = F.TYPE_MESSAGE, f"{scope}.{m.message.name}"
        elif m.kind == "stamp":
            field.type, field.type_name = F.TYPE_MESSAGE, STAMP
        elif m.kind == "wrapper":
            field.type, field.type_name = F.TYPE_MESSAGE, WRAPPED[m.wrapped]
        elif m.kind == "enum" and not is_oracle:
            field.type, field.type_name = F.TYPE_ENUM, f".{package}.Colour"
        elif m.kind == "string" and is_oracle:
            # Whether its last value is UTF-8 is looked at below: the library looks at all values in proto3, and at none in proto2.
            field.type = F.TYPE_BYTES
        else:
            field.type = F.TYPE_INT32 if m.kind == "enum" else getattr(F, f"TYPE_{m.kind.upper()}")


def google():
    files = []
    for module in (timestamp_pb2, wrappers_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        files.append(file)
    return files


def message_class(file, name):
    pool = descriptor_pool.DescriptorPool()
    for known in google() + [file]:
        pool.AddSerializedFile(known.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))


# -- Records

def scalar(rng, kind):
    if kind in INTEGERS:
        low, high = INTEGERS[kind]
        return rng.choice([0, 1, low, high if kind not in ("uint64", "fixed64") or rng.random() < 0.1 else 2**63 - 1, rng.randint(max(low, -9999), min(high, 9999))])
    if kind in ("double", "float"):
        return rng.choice([0.0, -0.0, 1.5, -2.25e10] + ([float("nan"), float("inf")] if rng.random() < 0.03 else []))
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "bytes":
        return b"\xff\x00" if rng.random() < 0.02 else rng.choice(TEXTS).encode()
    return rng.choice(TEXTS)


def fill(rng, schema, message, into):
    for m in message.members:
        if rng.random() < 0.35:
            continue
        if m.form == "map":
            for _ in range(rng.choice([0, 1, 2, 20])):
                key = scalar(rng, m.key)
                if m.kind in ("message", "stamp"):
                    put(rng, schema, m, getattr(into, m.name)[key])
                else:
                    getattr(into, m.name)[key] = value(rng, m, into)
        elif m.form == "list":
            for _ in range(rng.choice([0, 1, 2, 5, 30])):
                if m.kind in ("message", "stamp", "wrapper"):
                    put(rng, schema, m, getattr(into, m.name).add())
                else:
                    getattr(into, m.name).append(value(rng, m, into))
        elif m.kind in ("message", "stamp", "wrapper"):
            getattr(into, m.name).SetInParent()
            put(rng, schema, m, getattr(into, m.name))
        else:
            setattr(into, m.name, value(rng, m, into))


def value(rng, m, into):
    if m.kind != "enum":
        return scalar(rng, m.kind)
    return rng.choice(list(COLOURS) + ([] if into.DESCRIPTOR.file.package == "writer2" else [9]))


def put(rng, schema, m, into):
    if m.kind == "stamp":
        into.seconds, into.nanos = rng.choice([0, 1_700_000_000, -5, 253_402_300_799, 253_402_300_800 if rng.random() < 0.1 else 7]), rng.choice([0, 1, 999_999_999, 1_500])
    elif m.kind == "wrapper":
        if rng.random() < 0.7:
            into.value = scalar(rng, m.wrapped)
    else:
        fill(rng, schema, m.message, into)


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def group(rng, depth=0):
    """A group of unknown fields."""
    number = rng.randint(30, 99)
    inner = b"".join(rng.choice([varint(31 << 3) + b"\x07", varint(32 << 3 | 2) + b"\x02ab", varint(33 << 3 | 5) + b"abcd", b""]) for _ in range(3))
    return varint(number << 3 | 3) + inner + (group(rng, depth + 1) if depth < 3 and rng.random() < 0.5 else b"") + varint(number << 3 | 4)


def damaged(rng, body):
    body = bytearray(body)
    for _ in range(rng.choice([1, 1, 2])):
        at = rng.randrange(len(body) + 1)
        what = rng.randrange(6)
        if what == 0 and body:
            body[at % len(body)] = rng.randrange(256)
        elif what == 1:
            del body[at:]
        elif what == 2:
            body[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 3)))
        elif what == 3:
            body[at:at + rng.randint(1, 4)] = b""
        elif what == 4:
            body[at:at] = b"\xff" * rng.randint(1, 11) + b"\x01"
        else:
            body += rng.choice([b"\x00", b"\x07\x01", b"\x0c", varint(40 << 3 | 4), varint(40 << 3 | 3), b"\x80\x80\x80\x80\x80\x01\x00"])
    return bytes(body)


# -- What is expected

class Rejected(Exception):
    pass


def convert(schema, m, found):
    if m.kind == "message":
        return {x.name: member(schema, x, found) for x in schema.reads(m.message)}
    if m.kind == "stamp":
        if not 0 <= found.nanos < 10**9 or not -62_135_596_800 <= found.seconds <= 253_402_300_799:
            raise Rejected
        return datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=found.seconds, microseconds=found.nanos // 1000)
    if m.kind == "wrapper":
        return found.value
    if m.kind == "enum":
        return COLOURS.get(found, str(found))
    if m.kind in ("double", "float"):
        if not math.isfinite(found):
            raise Rejected
        return found
    if m.kind in INTEGERS:
        if m.wide == "double":
            return float(found)
        if m.wide:
            return found
        if found > 2**63 - 1:
            raise Rejected
        return found
    if m.kind in ("string", "bytes"):
        return found.decode()
    return found


def member(schema, m, message):
    if m.form == "map":
        text = lambda key: ("true" if key else "false") if m.key == "bool" else key.decode() if isinstance(key, bytes) else str(key)
        last = {text(entry.key): entry.value for entry in getattr(message, m.name)}
        return {key: convert(schema, m, value) for key, value in last.items()}
    if m.form == "list":
        return [convert(schema, m, found) for found in getattr(message, m.name)]
    if message.DESCRIPTOR.fields_by_name[m.name].has_presence and not message.HasField(m.name):
        return None
    return convert(schema, m, getattr(message, m.name))


def expected(schema, oracle, body):
    """By column; None: the record is rejected."""
    try:
        message = oracle.FromString(body)
        row = {}
        for name, path in schema.columns.items():
            place = message
            for step in path[:-1]:
                place = getattr(place, step.name) if place is not None and place.HasField(step.name) else None
            row[name] = None if place is None else member(schema, path[-1], place)
        return row
    except (DecodeError, Rejected, UnicodeDecodeError):
        return None


def plain(schema, m, found):
    """A value of ours in the oracle's form."""
    if found is None:
        return None
    one = lambda value: {x.name: plain(schema, x, value[x.name]) for x in schema.reads(m.message)} if m.kind == "message" and value is not None else value
    if m.form == "map":
        return {key: one(value) for key, value in (found.items() if isinstance(found, dict) else found)}
    return [one(value) for value in found] if m.form == "list" else one(found)


# -- Runs

def run_schema(suite, seed, count):
    rng = random.Random(seed)
    schema = Schema(rng)
    root = schema.root.name
    writer = message_class(schema.file("writer2" if schema.syntax == "proto2" else "writer", lambda m: True), root)
    oracle = message_class(schema.file("oracle", lambda m: m.reader == "read", True), root)
    bodies = []
    for _ in range(count):
        message = writer()
        fill(rng, schema, schema.root, message)
        body = message.SerializeToString()
        if rng.random() < 0.2:
            message = writer()
            fill(rng, schema, schema.root, message)
            body += message.SerializeToString()
        if rng.random() < 0.1:
            body = group(rng) + body
        bodies.append(damaged(rng, body) if rng.random() < 0.3 else body)
    directory = suite.path(f"s{seed}")
    os.makedirs(directory)
    descriptor = descriptor_pb2.FileDescriptorSet(file=google() + [schema.file("known", lambda m: m.reader != "new")])
    with open(os.path.join(directory, "d.pb"), "wb") as f:
        f.write(descriptor.SerializeToString())
    place = lambda path: ".".join(m.name for m in path)
    fields = {name: {"type": schema.type(path[-1]), "path": place(path)} for name, path in schema.columns.items()}
    pipeline = {"pipeline": "p", "source": {"capture": {"stream": "s"}},
                "record": {"format": {"protobuf": {"descriptor": "d.pb", "message": f"known.{root}", "framing": "delimited"}}, "fields": fields},
                "quarantine": {"halt_above": "100%", "exit_above": "100%"}, "silver": {"columns": "*, _position as p"}, "lake": {"flush": {"bytes": "16KiB"}}}
    with open(os.path.join(directory, "p.yaml"), "w") as f:
        common.yaml.safe_dump(pipeline, f, sort_keys=False)
    positions, at = [], 0
    with open(os.path.join(directory, "c.bin"), "wb") as f:
        for body in bodies:
            positions.append(at)
            record = varint(len(body)) + body
            f.write(record)
            at += len(record)
        # The last one is cut off.
        f.write(b"\x7f\x08")
    lake = os.path.join(directory, "lake")
    run = common.Result([suite.weir, "replay", os.path.join(directory, "p.yaml"), "--capture", os.path.join(directory, "c.bin"), "--lake", lake,
                         "--lanes", str(rng.choice([1, 2])), "--json"])
    if faults := run.fault():
        return [f"seed {seed}: {fault}" for fault in faults], 0
    rows = {row["p"]: row for row in tables.read_delta(lake, "silver/s").to_pylist()} if os.path.isdir(os.path.join(lake, "silver/s")) else {}
    reasons = {row["_position"]: row["reason"] for row in tables.read_delta(lake, "quarantine/s").to_pylist()}
    faults, rejected = [], 0
    if "cut off" not in reasons.get(at, ""):
        faults.append(f"seed {seed}: the record that is cut off at the end: {reasons.get(at)}")
    for position, body in zip(positions, bodies):
        want = expected(schema, oracle, body)
        rejected += want is None
        found = rows.get(position)
        if want is None:
            faults += [f"seed {seed}, byte {position}: the library rejects {body.hex()[:200]}; ours {found}"] if found is not None else []
        elif found is None:
            faults.append(f"seed {seed}, byte {position}: rejected ({reasons.get(position)}), the library reads {str(want)[:300]} of {body.hex()[:200]}")
        else:
            for name, path in schema.columns.items():
                ours = plain(schema, path[-1], found[name])
                if ours != want[name]:
                    faults.append(f"seed {seed}, byte {position}, {place(path)} ({schema.type(path[-1])}): {str(ours)[:200]}, expected {str(want[name])[:200]}; {body.hex()[:200]}")
    return faults, rejected


def schemas(suite):
    """Random schemas and records"""
    seeds = suite.arguments.seeds or (12 if suite.quick else 200)
    count = 150
    faults, rejected = [], 0
    for seed in range(suite.arguments.seed * 1000, suite.arguments.seed * 1000 + seeds):
        found, more = run_schema(suite, seed, count)
        faults, rejected = faults + found, rejected + more
        if len(faults) > 20:
            break
    suite.claim(f"{seeds} schemas: {seeds * count:,} records are what the library reads, and the {rejected:,} that it rejects are rejected", faults)


if __name__ == "__main__":
    common.Suite("protobuf_equals_python", 240, __doc__, options).run(schemas)
