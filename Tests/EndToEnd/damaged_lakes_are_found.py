#!/usr/bin/env python3
"""Damage to any file of a lake is detected by the run that meets it or by verify, or is harmless; it is never silent, and never a signal."""
import glob
import os
import shutil
import signal
import time

import common

EPOCHS = 24
RECORDS = 6_000
KINDS = {
    "ledger entry": "_weir/*/ledger/*.json",
    "ledger snapshot": "_weir/*/snapshots/*.json",
    "marker of a snapshot": "_weir/*/pointers/*.json",
    "mark of collection": "_weir/*/collected/*.json",
    "blob": "_weir/*/blobs/*",
    "lookup": "_weir/*/lookups/*/*",
    "Delta commit": "*/*/_delta_log/*.json",
    "Delta checkpoint": "*/*/_delta_log/*.checkpoint.parquet",
    "checkpoint hint": "*/*/_delta_log/_last_checkpoint",
    "data file": "*/*/**/*.parquet",
}


def emptied(path, suite, others):
    open(path, "wb").close()


def cut(path, suite, others):
    os.truncate(path, max(0, int(os.path.getsize(path) * suite.random.random())))


def flipped(path, suite, others):
    at = suite.random.randrange(max(1, os.path.getsize(path)))
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1) or b"\0"
        f.seek(at)
        f.write(bytes([byte[0] ^ 1 << suite.random.randrange(8)]))


def deleted(path, suite, others):
    os.remove(path)


def swapped(path, suite, others):
    """With another file of its kind."""
    if others:
        other = suite.random.choice(others)
        os.rename(path, path + ".swap")
        os.rename(other, path)
        os.rename(path + ".swap", other)


def rolled_back(path, suite, others):
    """To what an older file of its kind held."""
    older = [o for o in others if o < path]
    if older:
        shutil.copy(older[-1], path)


DAMAGES = (emptied, cut, flipped, deleted, swapped, rolled_back)


def halfway(suite, change, name):
    """A lake whose replay was stopped in the middle, and a finished one."""
    capture = common.synthetic(8, RECORDS)
    flush = os.path.getsize(capture) // EPOCHS
    whole = common.Job(suite, suite.path(f"{name}-whole"), "synthetic", capture, 3, flush, change)
    faults = whole.replay().fault()
    half = common.Job(suite, suite.path(f"{name}-half"), "synthetic", capture, 3, flush, change)
    process = half.start("--pace", f"{RECORDS // 4}/s")
    end = time.monotonic() + 60
    while process.poll() is None and len(half.entries()) < EPOCHS // 2 and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate()
    return whole, half, faults + half.verify_faults()


def files(lake, pattern):
    found = sorted(p for p in glob.glob(os.path.join(lake, pattern), recursive=True) if os.path.isfile(p))
    return [p for p in found if "_delta_log" not in p or "_delta_log" in pattern or "checkpoint" in pattern]


def one(suite, whole, half, name, kind, damage):
    """Faults of one case; how it was detected."""
    job = common.Job(suite, suite.path(name), "synthetic", half.captures, 3)
    job.pipeline, job.name = half.pipeline, half.name
    job.clear()
    shutil.copytree(half.lake, job.lake)
    shutil.copytree(half.store, job.store)
    found = files(job.lake, KINDS[kind])
    if kind == "Delta commit":
        found = [p for p in found if os.path.basename(p)[:20].isdigit()]
    if not found:
        return [], "no file"
    path = suite.random.choice(found)
    damage(path, suite, [p for p in found if p != path and os.path.dirname(p) == os.path.dirname(path)])
    what = f"{os.path.relpath(path, job.lake)} {damage.__name__}"
    verify, run = job.ledger("verify"), job.replay()
    faults = []
    for command, result in (("verify", verify), ("replay", run)):
        if result.code not in (0, 1, 2) or any(c in result.err for c in common.CRASHES):
            faults.append(f"{what}: {command} ends with {result.code}: {result.talk}")
    how = "run" if run.code else "verify" if verify.code else "harmless"
    if how == "harmless" and (differ := job.faults_against(whole)):
        faults.append(f"{what}: nothing was said, and {differ[0]}")
    if not faults:
        shutil.rmtree(job.directory, ignore_errors=True)
    return faults, how


def damage(suite):
    def keep_nothing(spec):
        spec.setdefault("lake", {})["ledger_keep"] = "0s"
    for name, change in (("kept", None), ("collected", keep_nothing)):
        whole, half, faults = halfway(suite, change, name)
        if not suite.claim(f"{name}: a replay was stopped at {len(half.entries())} entries, and verifies", faults):
            continue
        # What collection changes; the rest is the same.
        for kind in KINDS if name == "kept" or not suite.quick else ("ledger snapshot", "mark of collection"):
            faults, ways = [], []
            for act in DAMAGES:
                for number in range(1 if suite.quick else 5):
                    more, how = one(suite, whole, half, f"{name}-{kind.replace(' ', '-')}-{act.__name__}-{number}", kind, act)
                    faults += more
                    ways.append(f"{act.__name__}: {how}")
            suite.claim(f"{name}: {kind}: {', '.join(dict.fromkeys(ways))}", faults)


common.Suite("damaged_lakes_are_found", 900, __doc__).run(damage)
