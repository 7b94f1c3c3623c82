#!/usr/bin/env python3
"""The tables of each stream equal the independent reference, for any number of lanes, deal, form of input and epoch size."""
import os
import shutil
import threading

import common

EPOCHS = 25         # approximate number per run: 16 lanes then write thousands of small state blobs and files


def streams():
    yield "flights", common.flights()
    if path := common.wikipedia():
        yield "wikipedia-edits", path
    else:
        print("note   ../shared/data/wikipedia-edits.ndjson.gz is not there: the Wikipedia stream is left out")
    yield "synthetic", common.synthetic()


def deal(kind):
    return lambda spec: spec["source"]["capture"].update(deal=kind)


def replayed(suite, claim, job, stdin=None, captures=None, run_ids=None):
    """One replay, compared with the reference. All that are given the same set `run_ids` must have one run id."""
    run = job.replay(stdin=stdin, captures=captures)
    faults = run.fault() or common.count_faults(run.done, job.reference()) + job.faults() + job.verify_faults()
    if run_ids is not None and (entries := job.entries()):
        run_ids.add(entries[0]["genesis"]["runID"])
        if len(run_ids) > 1:
            faults.append(f"the run id is not that of the same plan over the same bytes: {sorted(run_ids)}")
    suite.claim(f"{claim} ({len(job.entries())} entries, {run.seconds:.1f} s)", faults)
    return not faults


def lanes(suite):
    for name, capture in streams():
        size = len(common.uncompressed(capture))
        for kind, counts in (("murmur2", (1, 2, 5, 16, 64)), ("md5", (5,) if suite.quick else (1, 2, 5, 16))):
            for n in counts:
                job = common.Job(suite, suite.path(f"{name}-{kind}-{n}"), name, capture, n, size // (EPOCHS if n <= 16 else EPOCHS // 4), deal(kind))
                ok = replayed(suite, f"{name} equals the reference with {n} lanes, {kind}", job)
                if ok and kind == "murmur2" and n == 5:
                    again(suite, name, job)
                if ok:
                    job.clear()


def again(suite, name, job):
    """A second run changes nothing and says so."""
    before = snapshot(job.lake)
    run = job.replay()
    faults = run.fault()
    if run.done.get("unchanged") is not True:
        faults.append(f"the second run does not say unchanged: {run.done}")
    if snapshot(job.lake) != before:
        faults.append("the second run changed files of the lake")
    suite.claim(f"{name}: a second run changes nothing and says so", faults)


def snapshot(directory):
    return {os.path.join(d, f): os.stat(os.path.join(d, f)).st_mtime_ns for d, _, files in os.walk(directory) for f in files}


def forms(suite):
    """The same tables from gzip, zstd, several files, standard input, and for other epochs, codecs and seeds."""
    import gzip
    import zstandard
    capture = common.synthetic()
    data = common.uncompressed(capture)
    size = len(data)
    ids = set()
    replayed(suite, "synthetic in one epoch", common.Job(suite, suite.path("one"), "synthetic", capture, None, 1 << 30), run_ids=ids)
    made = {"gzip": gzip.compress(data[:size // 2], 6) + gzip.compress(data[size // 2:], 1) + bytes(2000),   # two members, padded
            "zstd": b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip"               # as parallel compressors begin
            + zstandard.ZstdCompressor().compress(data[:size // 3]) + zstandard.ZstdCompressor().compress(data[size // 3:])}
    for kind, content in made.items():
        path = suite.path(f"capture.{kind}")
        with open(path, "wb") as f:
            f.write(content)
        replayed(suite, f"synthetic from {kind}", common.Job(suite, suite.path(kind), "synthetic", capture, None, size // EPOCHS),
                 captures=[path], run_ids=ids)
    parts = []
    for i, (a, b) in enumerate([(0, size // 5), (size // 5, size // 5), (size // 5, size // 2), (size // 2, size)]):
        parts.append(suite.path(f"part{i}" + (".gz" if i == 3 else "")))       # cut within lines; one is empty, one compressed
        with open(parts[-1], "wb") as f:
            f.write(gzip.compress(data[a:b]) if i == 3 else data[a:b])
    replayed(suite, "synthetic from four files, cut within lines",
             common.Job(suite, suite.path("files"), "synthetic", parts, None, size // EPOCHS), run_ids=ids)
    replayed(suite, "synthetic from standard input", common.Job(suite, suite.path("stdin"), "synthetic", capture, None, size // EPOCHS),
             stdin=capture, captures=["-"], run_ids=ids)
    named = suite.path("pipe")
    os.mkfifo(named)
    writer = threading.Thread(target=lambda: shutil.copyfileobj(open(capture, "rb"), open(named, "wb")))
    writer.start()
    replayed(suite, "synthetic from a named pipe", common.Job(suite, suite.path("named"), "synthetic", capture, None, size // EPOCHS),
             captures=[named], run_ids=ids)
    writer.join()
    replayed(suite, "synthetic in epochs of 40 kB", common.Job(suite, suite.path("tiny"), "synthetic", capture, 2, 40_000))
    for codec in ("none", "snappy"):
        job = common.Job(suite, suite.path(codec), "synthetic", capture, None, size // 5,
                         lambda spec, codec=codec: spec.setdefault("lake", {}).update(codec=codec, file_size=100_000))
        replayed(suite, f"synthetic with codec {codec} and files of 100 kB", job)
    for seed in range(2, 4 if suite.quick else 12):
        path = common.synthetic(seed, 20_000)
        replayed(suite, f"synthetic of seed {seed} with 3 lanes",
                 common.Job(suite, suite.path(f"seed{seed}"), "synthetic", path, 3, os.path.getsize(path) // 7))


def default_lanes(suite):
    """Without --lanes a ledger has 4, on every machine."""
    job = common.Job(suite, suite.path("default"), "synthetic", common.synthetic(2, 5_000))
    faults = job.replay().fault()
    entries = job.entries()
    listed = entries[0].get("genesis", {}).get("lanes", []) if entries else []
    suite.claim("without --lanes a ledger has 4 lanes", faults or ([] if len(listed) == 4 else [f"entry 0 lists {listed}"]))


common.Suite("tables_equal_reference", 1500, __doc__).run(lanes, forms, default_lanes)
