#!/usr/bin/env python3
"""Files of JSON that are not lines have the records that Python's decoder finds in them, at their bytes.

Random nested objects are written one after the other (with or without white space, in one line or several), or as one array a file, into
several files, some compressed; some objects are cut off or have a byte changed. Each run of a capture that grows, and each run after a
kill, continues where the one before ended.
"""
import gzip
import json
import os
import random
import signal
import subprocess
import time

import common
from common import tables


def options(arguments):
    arguments.add_argument("--seeds", type=int, default=0, help="captures (default: 200, with --quick 20)")


TEXTS = ["a", "}{", "{\"a\":1}", "[{", "]", "back\\slash", "two\nlines", "é€😀", "", "null", "a,b", "}{\"id\":1}"]


def value(rng, depth=0):
    kind = rng.random()
    if depth > 3 or kind < 0.5:
        return rng.choice([rng.choice(TEXTS), rng.randint(-10**6, 10**6), 1.5, True, None])
    if kind < 0.75:
        return {f"{rng.choice('xyz')}{i}": value(rng, depth + 1) for i in range(rng.randint(0, 3))}
    return [value(rng, depth + 1) for _ in range(rng.randint(0, 3))]


def written(rng, record):
    return json.dumps(record, indent=rng.choice([None, None, 1, 2, "\t"]), ensure_ascii=rng.random() < 0.5,
                      separators=rng.choice([None, (",", ":"), (" , ", " : ")]))


def damaged(rng, text):
    """Cut off, or with another byte, so that it is no JSON; nil: it is still."""
    if rng.random() < 0.6:
        text = text[:rng.randint(1, len(text) - 1)].rstrip()
    else:
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice("x{}[]\":,0") + text[at + 1:]
    try:
        json.loads(text)
        return None
    except ValueError:
        return text


class Capture:
    """Files, and by position of the whole capture what is expected there: the record, or None for a damaged one."""

    def __init__(self, rng, framing, damage):
        self.files, self.want, self.bad = [], {}, []
        start, number = 0, 0
        for _ in range(rng.randint(1, 4)):
            content = b"\xef\xbb\xbf" if rng.random() < 0.1 else b""
            content += b"[" + (b"\n" if damage else rng.choice([b"", b"\n"])) if framing == "array" else b""
            count = rng.randint(0, 60)
            for i in range(count):
                record = {"id": number, "more": value(rng)} | ({"t": rng.choice(TEXTS)} if rng.random() < 0.5 else {})
                number += 1
                text = written(rng, record)
                if damage and rng.random() < damage and (other := damaged(rng, text)):
                    self.bad.append((start + len(content), start + len(content) + len(other.encode())))
                    text = other
                else:
                    self.want[start + len(content)] = record
                content += text.encode()
                # With damage each object begins a line, as programs write them.
                end = "\n" if damage else rng.choice(["", " ", "\n", "\r\n", "\n\n"])
                content += (("," if framing == "array" and i < count - 1 else "") + end).encode()
            content += rng.choice([b"]", b"]\n"]) if framing == "array" else b""
            self.files.append(content)
            start += len(content)

    def python(self, framing):
        """What Python's decoder finds by itself, of files without damage."""
        found, start = {}, 0
        for content in self.files:
            text = content.decode()
            body = text.removeprefix("\ufeff")
            at = 0
            skip = " \t\r\n" + ("[]," if framing == "array" else "")
            while True:
                while at < len(body) and body[at] in skip:
                    at += 1
                if at == len(body):
                    break
                record, end = json.JSONDecoder().raw_decode(body, at)
                found[start + len((text[:len(text) - len(body)] + body[:at]).encode())] = record
                at = end
            start += len(content)
        return found


class Run:
    def __init__(self, suite, name, framing, flush="2KiB"):
        self.suite, self.directory = suite, suite.path(name)
        os.makedirs(self.directory, exist_ok=True)
        self.lake = os.path.join(self.directory, "lake")
        pipeline = {"pipeline": "p", "source": {"capture": {"stream": "s"}},
                    "record": {"format": {"json": {"framing": framing}}, "key": "id", "fields": {"id": "int64!", "t": "string"}},
                    "quarantine": {"halt_above": "100%", "exit_above": "100%"}, "bronze": {}, "silver": {"columns": "*, _position as p"},
                    "lake": {"flush": {"bytes": flush}}}
        self.pipeline = os.path.join(self.directory, "p.yaml")
        with open(self.pipeline, "w") as f:
            common.yaml.safe_dump(pipeline, f, sort_keys=False)

    def write(self, files, compressed=()):
        paths = []
        for number, content in enumerate(files):
            path = os.path.join(self.directory, f"{number}.json")
            with open(path, "wb") as f:
                f.write(gzip.compress(content) if number in compressed else content)
            paths.append(path)
        return paths

    def command(self, paths, *more):
        return [self.suite.weir, "replay", self.pipeline, "--capture", *paths, "--lake", self.lake, "--json", *more]

    def replay(self, paths, *more):
        return common.Result(self.command(paths, *more)).fault()

    def rows(self, table):
        path = os.path.join(self.lake, table)
        return tables.read_delta(self.lake, table).to_pylist() if os.path.isdir(path) else []

    def faults(self, capture):
        """Against what was written."""
        silver = {int(row["p"]): row for row in self.rows("silver/s")}
        rejected = {int(row["_position"]): row for row in self.rows("quarantine/s")}
        bronze = {int(row["_position"]): row["value"] for row in self.rows("bronze/s")}
        faults = []
        for at, record in capture.want.items():
            found = silver.get(at)
            if found is None or (found["id"], found["t"]) != (record["id"], record.get("t")):
                faults.append(f"at {at}: {found}, not {record}; {rejected.get(at)}")
        whole = b"".join(capture.files)
        for at, text in bronze.items():
            text = text if isinstance(text, bytes) else text.encode()
            if whole[at:at + len(text)] != text:
                faults.append(f"bronze at {at} has other bytes: {text!r}")
        # A brace in a damaged object may make its beginning an object.
        faults += [f"silver at {at}, where there is none: {silver[at]}" for at in silver
                   if at not in capture.want and not any(a <= at < b for a, b in capture.bad)][:3]
        faults += [f"rejected at {at}: {rejected[at]['reason']}" for at in rejected if not any(a <= at < b for a, b in capture.bad)][:3]
        faults += [f"nothing is rejected in {a}..{b}: {whole[a:b]!r}" for a, b in capture.bad if not any(a <= at < b for at in rejected)][:3]
        return faults + ([] if len(bronze) == len(silver) + len(rejected) else [f"{len(bronze)} rows in bronze"])


def random_captures(suite):
    faults, counts = [], [0, 0]
    for seed in range(suite.seeds):
        rng = random.Random(suite.seed * 100_000 + seed)
        framing = rng.choice(["concatenated", "array"])
        capture = Capture(rng, framing, damage=0.05 if seed % 2 else 0)
        run = Run(suite, f"random{seed}", framing, rng.choice(["200B", "2KiB", "1MiB"]))
        found = run.replay(run.write(capture.files, {i for i in range(4) if rng.random() < 0.3}), "--lanes", str(1 + seed % 3)) or run.faults(capture)
        if not capture.bad and capture.python(framing) != capture.want:
            found.append("Python finds other records")
        faults += [f"seed {seed}, {framing}: {fault}" for fault in found[:2]]
        counts = [counts[0] + len(capture.want), counts[1] + len(capture.bad)]
    suite.claim(f"{suite.seeds} captures: {counts[0]:,} objects and {counts[1]:,} damaged ones are records of their own, at their bytes", faults)


def growing(suite):
    faults, runs = [], 0
    for seed in range(4 if suite.quick else 20):
        rng = random.Random(suite.seed * 100_000 + 50_000 + seed)
        framing = ["concatenated", "array"][seed % 2]
        capture = Capture(rng, framing, damage=0.05)
        run = Run(suite, f"grows{seed}", framing, "300B")
        total = sum(map(len, capture.files))
        ends = sorted(rng.sample(range(total), min(total, 6))) + [total]
        for end in ends:
            parts, left = [], end
            for content in capture.files:
                parts.append(content[:left])
                left -= len(parts[-1])
                if left == 0:
                    break
            faults += run.replay(run.write(parts if end < total else capture.files), *(["--keep-open"] if end < total else []))
            runs += 1
        faults += [f"seed {seed}, {framing}: {fault}" for fault in run.faults(capture)[:2]]
    suite.claim(f"captures that grow at any byte have the rows of one run, in {runs} runs with --keep-open", faults)


def killed(suite):
    faults, kills = [], 0
    for framing in ("concatenated", "array"):
        rng = random.Random(suite.seed)
        capture = Capture(rng, framing, damage=0.03)
        while len(capture.want) < 100:
            capture = Capture(rng, framing, damage=0.03)
        run = Run(suite, f"killed-{framing}", framing, "400B")
        paths = run.write(capture.files)
        for _ in range(3 if suite.quick else 8):
            before = entries(run.lake)
            process = subprocess.Popen(run.command(paths, "--pace", "400"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until = time.monotonic() + 60
            while process.poll() is None and entries(run.lake) < before + 2 and time.monotonic() < until:
                time.sleep(0.002)
            if process.poll() is None:
                kills += 1
            process.send_signal(signal.SIGKILL)
            process.wait()
        faults += run.replay(paths) or [f"{framing}: {fault}" for fault in run.faults(capture)[:2]]
    suite.claim(f"after {kills} kills between commits the rows are those of one run", faults + ([] if kills > 1 else [f"{kills} kills"]))


def entries(lake):
    return sum(name.endswith(".json") for _, _, names in os.walk(os.path.join(lake, "_weir")) for name in names)


def settings(suite):
    def check(record, source=None):
        path = suite.path("check.yaml")
        with open(path, "w") as f:
            common.yaml.safe_dump({"pipeline": "p", "source": source or {"capture": {"stream": "s"}}, "record": record, "silver": {}}, f, sort_keys=False)
        return common.Result([suite.weir, "check", path])
    fields = {"fields": {"a": "string"}}
    kafka = {"kafka": {"brokers": "localhost:9092", "topic": "t", "group": "g"}}
    cases = {
        "an unknown framing": (({"format": {"json": {"framing": "list"}}} | fields,), "must be one of lines, concatenated, array"),
        "settings without one": (({"format": {"json": {}}} | fields,), "needs framing"),
        "a framing of a topic": (({"format": {"json": {"framing": "array"}}} | fields, kafka), "always one record"),
        "blank lines without lines": (({"format": {"json": {"framing": "array"}}, "blank_lines": "quarantine"} | fields,), "are not lines"),
    }
    for name, (arguments, words) in cases.items():
        suite.claim(f"weir check refuses {name}", check(*arguments).refusal_fault(words))
    suite.claim("framing: lines is the format without settings", check({"format": {"json": {"framing": "lines"}}} | fields, kafka).fault())


suite = common.Suite("json_framings_equal_python", 240, __doc__, options)
suite.seed = getattr(suite.arguments, "seed", None) or 1
suite.seeds = suite.arguments.seeds or (20 if suite.quick else 200)
suite.run(settings, random_captures, growing, killed)
