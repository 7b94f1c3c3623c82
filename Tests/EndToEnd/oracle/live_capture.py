"""Reads a capture of a live stream (`weir capture`) by its documentation, Sources/WeirCommands/Weir.docc/CaptureAndReplay.md: a reader that
shares nothing with weir's."""
import glob
import json
import os
import struct
import zlib

import pyarrow as pa

import live

MAGIC = b"WEIRCAP1"
FRAME = struct.Struct("<4sIIIqqIIIBB18x")
KINDS = {0: "none", 1: "created", 2: "appended"}


class Damaged(Exception):
    pass


class Frame:
    """One frame's header, its shard's name and its records."""

    def __init__(self, shard, first, next, kind, lost, records):
        self.shard, self.first, self.next, self.kind, self.lost, self.records = shard, first, next, kind, lost, records


def segments(directory):
    return sorted(glob.glob(os.path.join(glob.escape(directory), "segment-*.wcap")), key=lambda p: (len(p), p))


def read(directory):
    """(headers of the segments, frames, bytes of an unfinished write at the end)."""
    headers, frames, positions, torn = [], [], {}, 0
    paths = segments(directory)
    for number, path in enumerate(paths):
        with open(path, "rb") as f:
            data = f.read()
        header, at = read_header(data, path)
        for shard in header["shards"]:
            known = positions.setdefault(shard["shard"], shard["position"])
            if known != shard["position"]:
                raise Damaged(f"{path}: {shard['shard']} begins at {shard['position']}, ended at {known}")
        headers.append(header)
        while at < len(data):
            found = read_frame(data, at, header)
            if found is None:
                if number + 1 < len(paths):
                    raise Damaged(f"{path}: no whole frame at {at}")
                torn = len(data) - at
                break
            frame, at = found
            if positions[frame.shard] != frame.first:
                raise Damaged(f"{path}: a frame of {frame.shard} begins at {frame.first}, expected {positions[frame.shard]}")
            positions[frame.shard] = frame.next
            frames.append(frame)
    return headers, frames, torn


def read_header(data, path):
    length, crc = struct.unpack_from("<II", data, 8)
    text = data[16:16 + length]
    if data[:8] != MAGIC or zlib.crc32(text) != crc:
        raise Damaged(f"{path}: no segment")
    return json.loads(text), 16 + length


def read_frame(data, at, header):
    if len(data) - at < FRAME.size:
        return None
    magic, crc, size, raw, first, next, shard, count, headers, kind, lost = FRAME.unpack_from(data, at)
    payload = data[at + FRAME.size:at + FRAME.size + size]
    if magic != b"WFRM" or len(payload) < size or zlib.crc32(data[at + 8:at + FRAME.size] + payload) != crc:
        return None
    shard = header["shards"][shard]
    body = pa.Codec("zstd").decompress(payload, raw).to_pybytes()
    records = list(unpack(body, count, headers, shard))
    return Frame(shard["shard"], first, next, KINDS[kind], bool(lost), records), at + FRAME.size + size


def unpack(body, count, headers, shard):
    at = 0

    def column(kind, n):
        nonlocal at
        values = struct.unpack_from(f"<{n}{kind}", body, at)
        at += struct.calcsize(f"<{n}{kind}")
        return values
    offsets, times, keys, values, counts = (column(k, count) for k in "qqiiI")
    lengths = column("i", 2 * headers)

    def take(n):
        nonlocal at
        if n < 0:
            return None
        at += n
        return body[at - n:at]
    h = 0
    for i in range(count):
        key, value, found = take(keys[i]), take(values[i]), []
        for _ in range(counts[i]):
            found.append((take(lengths[2 * h]).decode(), take(lengths[2 * h + 1])))
            h += 1
        yield live.Record(shard["topic"], shard["partition"], offsets[i], value, key, times[i], found or None)
    if at != len(body) or h != headers:
        raise Damaged(f"the lengths of a frame of {shard['shard']} do not fit")


def records(directory):
    return [r for frame in read(directory)[1] for r in frame.records]
