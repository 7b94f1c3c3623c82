#!/usr/bin/env python3
"""The same uninterrupted replay twice writes the same contents of data files, state blobs and partials, under other names."""
import collections
import hashlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common


def contents(job):
    """Multisets of what the ledger says that it wrote: {kind: Counter of hashes}."""
    found = {"data files": collections.Counter(), "state blobs": collections.Counter(), "partials": collections.Counter()}
    for entry in job.entries():
        for table in entry["tables"]:
            for f in table["files"]:
                found["data files"][table["table"], f["hash"], f["bytes"], f["rows"]] += 1
        for lane in entry["lanes"]:
            state = lane.get("state") or {}
            for blob in [state.get("base"), *state.get("deltas", [])]:
                if blob:
                    found["state blobs"][lane["lane"], blob["hash"], blob["length"]] += 1
        if entry.get("partials"):
            found["partials"][entry["partials"]["hash"]] += 1
    return found


def bytes_of(job):
    """Hashes of the data files as they lie there."""
    found = collections.Counter()
    for entry in job.entries():
        for table in entry["tables"]:
            for f in table["files"]:
                with open(os.path.join(job.lake, f["path"]), "rb") as data:
                    found[hashlib.file_digest(data, "sha256").hexdigest()] += 1
    return found


def twice(suite):
    """Two runs of a stream."""
    for name, path, lanes in [("synthetic", common.synthetic(), 3), ("flights", common.flights(60_000 if suite.quick else None), 4)]:
        flush = len(common.uncompressed(path)) // 20
        jobs = [common.Job(suite, suite.path(f"{name}{i}"), name, path, lanes, flush) for i in (1, 2)]
        faults = [f for job in jobs for f in job.replay().fault()]
        if not suite.claim(f"{name}: two replays end well", faults):
            continue
        one, two = map(contents, jobs)
        for kind in one:
            a, b = one[kind], two[kind]
            suite.claim(f"{name}: the same {sum(a.values())} {kind}",
                        [] if a == b and (a or kind == "partials") else [f"only in the first: {list((a - b))[:3]}",
                                                                        f"only in the second: {list((b - a))[:3]}"])
        suite.claim(f"{name}: the same bytes of data files", [] if bytes_of(jobs[0]) == bytes_of(jobs[1]) else ["they differ"])


common.Suite("determinism", 300, __doc__).run(twice)
