#!/usr/bin/env python3
"""weir generate: the same options give the same bytes, each option does what it says, and ad-events are like the benchmark's own generator's."""
import collections
import json
import math
import os
import re
import subprocess
import sys

import common

STREAMS = {"ad-events": ("event_id", "user_id", "event_time"), "orders": ("order_id", "customer_id", "ordered_at"),
           "trades": ("trade_id", "symbol", "traded_at"), "clicks": ("click_id", "user_id", "clicked_at"),
           "sensors": ("reading_id", "sensor_id", "read_at")}
CLEAN = ["--duplicates", "0", "--malformed", "0"]
GEN = os.path.join(common.ROOT, "Scripts", "benchmark", "gen.py")


def lines(suite, stream, *options):
    run = subprocess.run([suite.weir, "generate", stream, *options], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return run.stdout.split(b"\n")[:-1]


def parsed(all):
    out = []
    for line in all:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            out.append(value)
    return out


def near(name, found, wanted, n):
    """A share of n draws: within five standard deviations of what it should be."""
    slack = 5 * math.sqrt(max(wanted * (1 - wanted), 1e-9) / n) + 1e-9
    return [] if abs(found - wanted) <= slack else [f"{name}: {found:.5f}, expected {wanted:.5f} within {slack:.5f}"]


def same(suite):
    """The same seed gives the same bytes, another others; more lines begin with the fewer"""
    faults = []
    for stream in STREAMS:
        one = lines(suite, stream, "--count", "20000", "--seed", "5")
        faults += [] if one == lines(suite, stream, "--count", "20000", "--seed", "5") and len(one) == 20000 else [f"{stream}: two runs differ"]
        faults += [] if lines(suite, stream, "--count", "30000", "--seed", "5")[:20000] == one else [f"{stream}: the count changes lines"]
        faults += [f"{stream}: another seed, the same bytes"] if lines(suite, stream, "--count", "20000", "--seed", "6") == one else []
        out = suite.path(f"{stream}.ndjson")
        lines(suite, stream, "--count", "20000", "--seed", "5", "--out", out)
        with open(out, "rb") as f:
            faults += [] if f.read().split(b"\n")[:-1] == one else [f"{stream}: a file holds other bytes"]
    suite.claim(same.__doc__, faults)


def options(suite):
    """Duplicates, disorder, lateness, malformed lines, skew and rate are as asked for, in every stream"""
    n = 40_000
    for stream, (identity, key, time) in STREAMS.items():
        faults = []
        clean = parsed(lines(suite, stream, "--count", str(n), *CLEAN, "--disorder", "0", "--skew", "0"))
        faults += [] if len(clean) == n and len({e[identity] for e in clean}) == n else [f"{len(clean)} records, not all different"]
        times = [e[time] for e in clean]
        highest, late = times[0], 0
        for t in times:
            late, highest = max(late, highest - t), max(highest, t)
        faults += [] if late <= 50 else [f"without disorder records are up to {late} ms late"]
        hot = {"ad-events": 1000, "clicks": 1000, "orders": 200, "trades": 5, "sensors": 20}[stream]
        share = lambda all: sum(1 for e in all if int(re.search(r"\d+", e[key])[0]) < hot) / n
        faults += near("hot keys without skew", share(clean), 0.01, n)
        fast = parsed(lines(suite, stream, "--count", str(n), *CLEAN, "--rate", "100000"))
        faults += near("rate: a tenth of the time", (max(e[time] for e in fast) - min(e[time] for e in fast) - 2000) / (max(times) - min(times)), 0.1, 400)
        skewed = parsed(lines(suite, stream, "--count", str(n), *CLEAN, "--skew", "0.7"))
        faults += near("skew", share(skewed), 0.7 + 0.3 * 0.01, n)
        again = parsed(lines(suite, stream, "--count", str(n), "--duplicates", "0.1", "--malformed", "0"))
        ids = collections.Counter(e[identity] for e in again)
        copies = collections.defaultdict(set)
        for e in again:
            copies[e[identity]].add(json.dumps(e))
        faults += [] if all(len(c) == 1 for c in copies.values()) else ["a duplicate has other bytes"]
        # Of the first events; the later their copies are, the fewer of them come within n lines.
        come = (len(again) - len(ids)) / len(ids)
        faults += [] if 0.02 < come < 0.1 else [f"duplicates: {come:.3f} of the events have come again within {n} lines, of 0.1"]
        broken = lines(suite, stream, "--count", str(n), "--duplicates", "0", "--malformed", "0.05")
        # A time with a fraction is none: that is the broken number of a line that ends with its time.
        faults += near("malformed", 1 - sum(1 for e in parsed(broken) if isinstance(e.get(time), int)) / n, 0.05, n)
        behind = parsed(lines(suite, stream, "--count", str(n), *CLEAN, "--disorder", "1", "--late", "500"))
        highest, late = behind[0][time], 0
        for e in behind:
            late, highest = max(late, highest - e[time]), max(highest, e[time])
        faults += [] if 400 < late <= 500 else [f"--late 500: up to {late} ms"]
        suite.claim(f"{stream}: {options.__doc__[0].lower()}{options.__doc__[1:-17]}", faults)
    clicks = parsed(lines(suite, "clicks", "--count", "60000", *CLEAN, "--skew", "1", "--rate", "20"))
    sessions = collections.defaultdict(list)
    for e in clicks:
        sessions[e["session_id"]].append(e)
    many = [s for s in sessions.values() if len(s) > 1]
    faults = [] if len(many) > 100 else [f"{len(many)} sessions of more than one click"]
    faults += [f"{s[0]['session_id']} has several users" for s in many if len({e["user_id"] for e in s}) > 1]
    spans = [max(e["clicked_at"] for e in s) - min(e["clicked_at"] for e in s) for s in many]
    faults += [] if max(spans) <= 900_000 else [f"a session lasts {max(spans)} ms"]
    suite.claim("clicks: sessions are one user's, of a quarter of an hour at most, with several clicks", faults)


def measure(all):
    """What a stream of ad events is like: {name: share or number}, and the number of draws that it is based on."""
    n, out = len(all), {}
    records = [e for e in parsed(all) if "event_id" in e and "amount" in e]
    out["malformed"] = (1 - len(records) / n, n)
    out["garbage"] = (sum(1 for line in all if line.startswith(b"####")) / n, n)
    out["broken number"] = (sum(1 for line in all if re.search(rb"\.\d\d?\.7}$", line)) / n, n)
    first, distances = {}, []
    for i, e in enumerate(records):
        if e["event_id"] in first:
            distances.append(i - first[e["event_id"]])
        else:
            first[e["event_id"]] = i
    unique = [records[i] for i in first.values()]
    m = len(unique)
    out["duplicates"] = (len(distances) / len(records), len(records))
    out["half of the duplicates' distance"] = (sum(1 for d in distances if d < 25_000) / max(1, len(distances)), len(distances))
    out["hot users"] = (sum(1 for e in unique if int(e["user_id"][1:]) < 1000) / m, m)
    for name in ("ad_type", "event_type"):
        for value, count in collections.Counter(e[name] for e in unique).items():
            out[f"{name} {value}"] = (count / m, m)
    out["first half of the ads"] = (sum(1 for e in unique if e["ad_id"] < "ad0500") / m, m)
    for name, test in {"amount below 25": lambda e: e["amount"] < 25, "amount below 75": lambda e: e["amount"] < 75,
                       "first part of the address below 64": lambda e: int(e["ip_address"].split(".")[0]) < 64}.items():
        out[name] = (sum(1 for e in unique if test(e)) / m, m)
    # How late a record is, compared with the time of its place in the stream.
    base = 1_767_225_600_000 - 50_000
    late = [base + i // 10 - e["event_time"] for i, e in enumerate(unique)]
    for border in (25, 50, 500, 1000, 1900):
        out[f"late by more than {border} ms"] = (sum(1 for x in late if x > border) / m, m)
    out["never early, never later than 2 s"] = (float(min(late) >= -1 and max(late) <= 2000), 10 ** 12)
    return out, sum(map(len, all)) / n, list(unique[0])


def like_the_benchmarks(suite):
    """ad-events: fields, order, shares and distributions are those of the benchmark's generator"""
    n = 150_000 if suite.quick else 600_000
    out = suite.path("gen")
    subprocess.run([sys.executable, GEN, "--n", str(n), "--out", out], check=True, capture_output=True)
    with open(os.path.join(out, "one", "events.ndjson"), "rb") as f:
        theirs, length, fields = measure(f.read().split(b"\n")[:-1])
    ours, our_length, our_fields = measure(lines(suite, "ad-events", "--count", str(n), "--seed", "42"))
    faults = [] if fields == our_fields else [f"fields {our_fields}, expected {fields}"]
    faults += [] if abs(length - our_length) < 0.2 else [f"lines of {our_length:.2f} bytes, expected {length:.2f}"]
    faults += [] if set(theirs) == set(ours) else [f"kinds: {set(theirs) ^ set(ours)}"]
    for name in set(theirs) & set(ours):
        (a, x), (b, y) = theirs[name], ours[name]
        slack = 5 * math.sqrt(max(a * (1 - a), 1e-9) * (1 / max(1, x) + 1 / max(1, y))) + 1e-9
        # The one scatters its duplicates over all lines of a file, the other over the later lines: at the ends they differ.
        slack += 0.004 if name == "duplicates" else 0.06 if name.startswith("half") else 0
        if abs(a - b) > slack:
            faults.append(f"{name}: {b:.5f}, the benchmark's {a:.5f}, within {slack:.5f}")
    suite.claim(f"{like_the_benchmarks.__doc__} ({len(theirs)} figures over {n:,} lines)", faults)


common.Suite("generated_streams_repeat", 300, __doc__).run(same, options, like_the_benchmarks)
