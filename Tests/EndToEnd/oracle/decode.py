"""From bytes to typed values, or the reason why not: a second implementation of weir's decoder, by Python's json module.

Values: bool, int (int64 and timestamps in microseconds), float, decimal.Decimal, str; None is null.
"""
import datetime
import decimal
import gzip
import json
import math
import re
import sys

decimal.getcontext().prec = 200         # all sums here are exact
sys.setrecursionlimit(10_000)

INT64 = range(-2**63, 2**63)
YEARS = (-62_135_596_800_000_000, 253_402_300_799_999_999)      # 0001 to 9999
UNIT = {"s": 1_000_000, "ms": 1_000, "us": 1}
ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:[Zz]|([+-])(\d\d)(?::?(\d\d))?)", re.A)
EPOCH = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.A)


class Bad(Exception):
    """Why a record cannot be used."""


class Number(str):
    """The text of a JSON number."""


def _constant(name):
    raise Bad(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_constant)


def _exact(text, scale):
    """The number, exactly, if it has at most `scale` decimals and fits 38 digits."""
    value = decimal.Decimal(text)
    if value.is_zero():
        return decimal.Decimal(0)
    if value.adjusted() > 40 or value.adjusted() < -40 or value != value.quantize(decimal.Decimal(1).scaleb(-scale)):
        raise Bad(f"{text} is not exact with {scale} decimals")
    return value


def _int64(text):
    value = int(text) if not set(text) & set(".eE") else int(_exact(text, 0))
    if value not in INT64:
        raise Bad(f"{text} is not an int64")
    return value


def _iso(text):
    match = ISO.fullmatch(text)
    if not match:
        raise Bad(f"{text!r} is no timestamp with a zone")
    y, mo, d, h, mi, s, fraction, sign, zh, zm = match.groups()
    s = s or "0"
    try:
        day = datetime.date(int(y), int(mo), int(d)).toordinal() - 719_163
        datetime.time(int(h), int(mi), int(s))
        datetime.time(int(zh or 0), int(zm or 0))
    except ValueError as e:
        raise Bad(str(e)) from None
    seconds = day * 86_400 + int(h) * 3600 + int(mi) * 60 + int(s)
    zone = (int(zh or 0) * 60 + int(zm or 0)) * 60
    return (seconds - (-zone if sign == "-" else zone)) * 1_000_000 + int(((fraction or "") + "000000")[:6])


def _epoch(text, unit):
    """Microseconds since 1970, rounded down."""
    if not EPOCH.fullmatch(text):
        raise Bad(f"{text!r} is no number since 1970")
    number = decimal.Decimal(text)
    if number.adjusted() > 40:
        raise Bad(f"{text} is not in the years 1 to 9999")
    with decimal.localcontext(decimal.Context(prec=400)):
        return int((number * unit).to_integral_value(decimal.ROUND_FLOOR))


def value(f, v):
    """The JSON value `v` as a value of field `f`."""
    kind = type(v)
    if v is None:
        if f.required:
            raise Bad(f"{f.name} is required")
        return None
    if f.type == "string":
        if kind is not str:
            raise Bad(f"{f.name} is no string")
        v.encode()          # a lone surrogate is not valid text
        return v
    if f.type == "bool":
        if kind is not bool:
            raise Bad(f"{f.name} is no bool")
        return v
    if f.type == "timestamp" and not f.unit:
        if kind is not str:
            raise Bad(f"{f.name} is no string")
        t = _iso(v)
    elif f.type == "timestamp":
        if kind not in (Number, str):
            raise Bad(f"{f.name} is no number")
        t = _epoch(str(v), UNIT[f.unit])
    elif kind is not Number:
        raise Bad(f"{f.name} is no number")
    elif f.type == "int64":
        return _int64(v)
    elif f.type == "double":
        x = float(v)
        if not math.isfinite(x):
            raise Bad(f"{v} is beyond the largest double")
        return x
    elif f.type == "decimal":
        x = _exact(v, f.scale)
        if abs(x) >= decimal.Decimal(10) ** (f.precision - f.scale):
            raise Bad(f"{v} has too many digits")
        return x
    if not YEARS[0] <= t <= YEARS[1]:
        raise Bad(f"{v} is not in the years 1 to 9999")
    return t


def record(fields, raw):
    """The values of the declared fields of one record; raises Bad."""
    try:
        text = raw.decode("utf-8").lstrip(" \t\r\n").removeprefix("\ufeff")
        if not text.strip(" \t\r\n"):
            raise Bad("blank line")
        o = _decoder.decode(text)
        if type(o) is not dict:
            raise Bad("no object")
        return [value(f, o.get(f.name)) for f in fields]
    except (UnicodeError, ValueError, RecursionError) as e:
        raise Bad(str(e)) from None


def capture(paths):
    """The uncompressed bytes of each file, in their order."""
    parts = []
    for path in paths:
        with open(path, "rb") as f:
            data = f.read()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        elif data[:4] == b"\x28\xb5\x2f\xfd":
            import zstandard
            data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
        parts.append(data)
    return parts


def lines(parts):
    """(position, bytes) of every record: lines end with \\n or with their file. A blank line is none."""
    start = 0
    for data in parts:
        at = start
        for line in data.split(b"\n"):
            if line.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r"):
                yield at, line
            at += len(line) + 1
        start += len(data)
