#!/usr/bin/env python3
"""The same uninterrupted replay twice writes the same contents of data files, state blobs and partials, under other names."""

import common
import contents as written


def contents(job):
    """Multisets of what the ledger says that it wrote: {kind: Counter of hashes}. Entries of one number are compared."""
    states, partials = written.blobs(job)
    return {"data files": written.data_files(job), "state blobs": states, "partials": partials}


def twice(suite):
    """Two runs of a stream."""
    # 70 lanes: their columns are put into lane order, and some are visited together.
    merged = {}
    for name, path, lanes in [("synthetic", common.synthetic(), 3), ("synthetic", common.synthetic(), 70), ("flights", common.flights(60_000 if suite.quick else None), 4)]:
        flush = len(common.uncompressed(path)) // 20
        jobs = [common.Job(suite, suite.path(f"{name}-{lanes}-{i}"), name, path, lanes, flush) for i in (1, 2)]
        faults = [f for job in jobs for f in job.replay().fault()]
        if not suite.claim(f"{name}, {lanes} lanes: two replays end well", faults):
            continue
        one, two = map(contents, jobs)
        for kind in one:
            a, b = one[kind], two[kind]
            suite.claim(f"{name}, {lanes} lanes: the same {sum(a.values())} {kind}",
                        [] if a == b and (a or kind == "partials") else [f"only in the first: {list((a - b))[:3]}",
                                                                        f"only in the second: {list((b - a))[:3]}"])
        suite.claim(f"{name}, {lanes} lanes: the same bytes of data files", [] if written.file_bytes(jobs[0]) == written.file_bytes(jobs[1]) else ["they differ"])
        if name == "synthetic":
            merged[lanes] = {"partials": one["partials"], "files of gold/by_kind": {f: n for f, n in one["data files"].items() if f[1] == "gold/by_kind"}}
    for kind in merged[3]:
        suite.claim(f"3 or 70 lanes, the same bytes: {len(merged[3][kind])} {kind}", [] if merged[3][kind] and merged[3][kind] == merged[70][kind] else ["they differ"])


common.Suite("replays_repeat_bytes", 300, __doc__).run(twice)
