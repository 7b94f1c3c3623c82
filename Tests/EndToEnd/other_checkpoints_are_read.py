#!/usr/bin/env python3
"""Other programs checkpoint the tables and clean old commits in the middle of a replay; weir continues, and rows are the same."""
import glob
import os
import shutil
import signal
import subprocess
import time

import common
import pyarrow.parquet as pq
import tables
from deltalake import DeltaTable

COMMITS = 24        # of some table, when the replay is stopped
EPOCHS = 150        # of a replay: a commit covers as many of them as have come by then
PARTS = 3


def halfway(suite, path, flush):
    """A job that was stopped when a table had COMMITS commits."""
    job = common.Job(suite, suite.path("halfway"), "synthetic", path, 3, flush)
    process = job.start()
    while process.poll() is None and most_commits(job.lake) < COMMITS:
        time.sleep(0.002)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    return job


def most_commits(lake):
    return max((len(commits(log)) for log in logs(lake)), default=0)


def logs(lake):
    return [os.path.join(lake, table, "_delta_log") for table in tables.delta_tables(lake)] if os.path.isdir(lake) else []


def commits(log):
    return sorted(glob.glob(f"{log}/*[0-9].json"))


def checkpoints(log):
    return sorted(glob.glob(f"{log}/*.checkpoint*.parquet"))


def clean(log, before):
    """Deletes commits and checkpoints before a version, as a log's retention does."""
    for name in commits(log) + checkpoints(log):
        if int(os.path.basename(name)[:20]) < before:
            os.remove(name)


# -- What other programs do to a lake. Each gets the path of a table, and returns faults.

def classic(path):
    """delta-rs writes a checkpoint; the commits before it go"""
    delta = DeltaTable(path)
    delta.create_checkpoint()
    clean(f"{path}/_delta_log", delta.version())
    return []


def retention(path):
    """delta-rs compacts, sets a retention of nothing, writes a checkpoint and cleans the log itself"""
    delta = DeltaTable(path)
    delta.optimize.compact()
    delta.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 days", "delta.enableExpiredLogCleanup": "true"})
    delta = DeltaTable(path)
    log = f"{path}/_delta_log"
    for name in commits(log):           # a day old: the retention counts from the time of the file
        os.utime(name, (time.time() - 86_400,) * 2)
    delta.create_checkpoint()
    delta.cleanup_metadata()
    left = commits(log)
    return [] if len(left) <= 1 else [f"{log}: delta-rs left {len(left)} commits"]


def parts(path):
    """a checkpoint in parts, gzip and version 2 pages, without a hint; the commits before it go"""
    delta = DeltaTable(path)
    delta.create_checkpoint()
    log = f"{path}/_delta_log"
    single = f"{log}/{delta.version():020}.checkpoint.parquet"
    rows = pq.read_table(single)
    share = -(-rows.num_rows // PARTS)
    for part in range(PARTS):
        pq.write_table(rows.slice(part * share, share), f"{log}/{delta.version():020}.checkpoint.{part + 1:010}.{PARTS:010}.parquet",
                       compression="gzip", data_page_version="2.0", row_group_size=7)
    os.remove(single)
    os.remove(f"{log}/_last_checkpoint")
    clean(log, delta.version())
    return [] if DeltaTable(path).version() == delta.version() else [f"{path}: delta-rs does not read the parts"]


def broken(path):
    """the newest checkpoint is cut short, but all commits are there"""
    log = f"{path}/_delta_log"
    DeltaTable(path).create_checkpoint()
    os.truncate(checkpoints(log)[-1], os.path.getsize(checkpoints(log)[-1]) - 100)
    return []


def changed(suite, half, change, name=None):
    """A copy of the lake half way, with its tables changed, and the faults of the change."""
    job = common.Job(suite, suite.path(name or change.__name__), "synthetic", half.captures, 3)
    shutil.copy(half.pipeline, job.pipeline)
    shutil.copytree(half.lake, job.lake)
    shutil.copytree(half.store, job.store)
    return job, [fault for log in logs(job.lake) for fault in change(os.path.dirname(log))]


def going_on(suite):
    """After each change weir resumes, rows equal the uninterrupted run's, and verify says what was cleaned."""
    path = common.synthetic(2, 20_000)
    flush = len(common.uncompressed(path)) // EPOCHS
    base = common.Job(suite, suite.path("uninterrupted"), "synthetic", path, 3, flush)
    if not suite.claim("uninterrupted: rows equal the reference", base.replay().fault() or base.faults()):
        return
    half = halfway(suite, path, flush)
    done, all_of_it = most_commits(half.lake), most_commits(base.lake)
    if not suite.claim(f"a replay is stopped at {done} of {all_of_it} commits",
                       [] if COMMITS <= done < all_of_it else ["it was not stopped half way"]):
        return
    for change in (classic, retention, parts):
        job, faults = changed(suite, half, change)
        faults += [f"{log}: its first commits are still there" for log in logs(job.lake) if len(commits(log)) >= done]
        suite.claim(f"half way, {change.__doc__}", faults)
        verify = job.ledger("verify")
        if verify.code == 0 and "were cleaned" not in verify.err:
            faults = [f"verify does not say that commits were cleaned: {verify.talk}"]
        suite.claim(f"{change.__name__}: verify passes and says that commits were cleaned", job.verify_faults() + faults)
        suite.claim(f"{change.__name__}: weir continues, and rows and state equal the uninterrupted run",
                    job.replay().fault() + job.faults_against(base) + job.verify_faults())
    job, faults = changed(suite, half, broken)
    suite.claim(f"half way, {broken.__doc__}: weir continues, and rows and state equal the uninterrupted run",
                faults + job.replay().fault() + job.faults_against(base))
    refusing(suite, half)


def refusing(suite, half):
    """What cannot be read is refused, and the file named."""
    job, _ = changed(suite, half, classic, "refused")
    for log in logs(job.lake):
        os.truncate(checkpoints(log)[-1], os.path.getsize(checkpoints(log)[-1]) - 100)
    suite.claim("a broken checkpoint whose commits were cleaned is refused by its name",
                job.replay().refusal_fault(".checkpoint.parquet"))
    suite.claim("and verify names it", job.ledger("verify").refusal_fault(".checkpoint.parquet"))
    job, _ = changed(suite, half, classic, "headless")
    for log in logs(job.lake):
        for name in checkpoints(log):
            os.remove(name)
    suite.claim("a log whose beginning is missing is refused", job.replay().refusal_fault("gap"))


common.Suite("other_checkpoints_are_read", 600, __doc__).run(going_on)
