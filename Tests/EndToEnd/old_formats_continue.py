#!/usr/bin/env python3
"""A ledger, lane state, tables and a capture that the version before wrote are read, continued, and restored.

With --older BINARY, which writes format 1, also a rolling upgrade of live workers.
"""
import copy
import json
import os
import shutil
import tarfile
import types

import common
import broker
import compare
import live_workers_equal_reference as kafka
import tables

FIXTURE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "Fixtures", "format1.tar.gz")


class Older:
    """The fixture, unpacked: a replay of the first of two captures by the last version that wrote format 1, and a capture of a topic."""

    def __init__(self, suite, name):
        self.suite, self.directory = suite, suite.path(name)
        with tarfile.open(FIXTURE) as fixture:
            fixture.extractall(self.directory, filter="data")
        self.pipeline, self.lake, self.store = (os.path.join(self.directory, part) for part in ("pipeline.yaml", "lake", "store"))

    def replay(self, lake=None, more=()):
        captures = [os.path.join(self.directory, "captures", name) for name in ("first.ndjson", "rest.ndjson")]
        lake = lake or self.lake
        return common.Result([self.suite.weir, "replay", self.pipeline, "--capture", *captures, "--lake", lake, "--store", lake + "-store",
                              "--lanes", "2", "--json", *more])

    def ledger(self, what):
        return common.Result([self.suite.weir, "ledger", what, self.pipeline, "--lake", self.lake, "--store", self.lake + "-store"])

    def formats(self):
        return [entry["format"] for entry in tables.entries(self.lake, "formats")]

    def adds(self, table):
        """The statistics of a table's files, by path."""
        log, found = os.path.join(self.lake, table, "_delta_log"), {}
        for name in sorted(os.listdir(log)):
            if name.endswith(".json"):
                with open(os.path.join(log, name)) as f:
                    for line in f:
                        if add := json.loads(line).get("add"):
                            found[add["path"]] = (add.get("stats"), add["size"], add["partitionValues"])
        return found


def verified(older):
    run = older.ledger("verify")
    return [] if run.code == 0 else [f"weir ledger verify exits with {run.code}: {run.talk}"]


def continued(suite):
    """The older ledger is verified and continued; rows and state are those of one run by this version."""
    older = Older(suite, "continued")
    before = older.formats()
    suite.claim(f"{len(before)} entries of format 1 are verified", ([] if set(before) == {1} else [f"formats {before}"]) + verified(older))
    run = older.replay()
    after = older.formats()
    faults = run.fault() + ([] if after[:len(before)] == before and set(after[len(before):]) == {2} else [f"formats {after}"])
    whole = os.path.join(older.directory, "whole")
    faults += older.replay(whole).fault()
    faults += common.flat(compare.compare_lakes(older.pipeline, (older.lake, older.lake + "-store"), (whole, whole + "-store"), suite.weir,
                                                without=["_run_id"]))       # of the capture's first MiB: it had one file
    suite.claim(f"a replay continues it with {len(after) - len(before)} entries of format 2; rows and state equal those of one run",
                faults + verified(older))


def restored(suite):
    """Logs that are gone are written again from entries of both formats."""
    older = Older(suite, "restored")
    faults = older.replay().fault()
    names = tables.delta_tables(older.lake)
    before = {name: older.adds(name) for name in names}
    for name in names:
        shutil.rmtree(os.path.join(older.lake, name, "_delta_log"))
    run = older.ledger("restore-tables")
    faults += [] if run.code == 0 else [f"restore-tables exits with {run.code}: {run.talk}"]
    for name in names:
        after = older.adds(name)
        faults += [f"{name}: {path}: {before[name].get(path)} became {after.get(path)}"
                   for path in sorted(before[name] | after) if before[name].get(path) != after.get(path)]
    statistics = sum(stats is not None for adds in before.values() for stats, _, _ in adds.values())
    faults += [] if statistics else ["no file has statistics"]
    suite.claim(f"{len(names)} logs are written again from entries of both formats: {statistics} files have the same statistics",
                faults + verified(older))


def captured(suite):
    """A capture of a topic by the version before."""
    older = Older(suite, "captured")
    run = common.Result([suite.weir, "replay", os.path.join(older.directory, "live.yaml"), "--capture", os.path.join(older.directory, "livecap"),
                         "--lake", os.path.join(older.directory, "live"), "--store", os.path.join(older.directory, "live-store"), "--json"])
    counts = tuple(run.done.get(name) for name in ("in", "accepted", "duplicate"))
    suite.claim("a capture of a topic is replayed", run.fault() + ([] if counts == (600, 534, 66) else [f"in, accepted, duplicate: {counts}"]))


def rolled(suite):
    """A rolling upgrade: the older worker refuses the first entry of the new format, the newer one continues, and all equals the reference"""
    topic = f"{kafka.TOPIC}-rolled"
    with broker.Broker({topic: kafka.PARTITIONS}) as b:
        job = common.Job(suite, suite.path("rolled"), "synthetic", [], change=kafka.live(topic))
        before = copy.copy(job)
        before.suite = types.SimpleNamespace(weir=os.path.abspath(suite.arguments.older))
        stream = kafka.Stream(suite, job, b.address, topic, 8000)
        older = broker.Worker(before, b.address).begin()
        stream.land(job, 2000)

        def formats():
            return [entry["format"] for entry in tables.entries(job.lake, job.name)]

        newer = broker.Worker(job, b.address)
        broker.wait("the newer worker has partitions", lambda: kafka.held(newer) or not newer.is_running, 180)
        stream.land(job, 2000, 120, [newer])

        def meets():
            stream.send(20)
            return not older.is_running
        broker.wait("the older worker meets an entry of format 2", meets, 120)
        faults = [] if older.process.returncode == 1 and "format 2" in older.talk else [f"it exits with {older.process.returncode}: {older.talk}"]
        stream.send()
        faults += kafka.finish(job, stream, [newer])
        order = formats()
        suite.claim(rolled.__doc__, faults + ([] if order == sorted(order) and set(order) == {1, 2} else [f"formats {order}"]))
        again = broker.Worker(before, b.address)
        broker.wait("the older worker ends", lambda: not again.is_running, 60)
        suite.claim("the older worker, started again, refuses the ledger and leaves it as it is",
                    ([] if again.process.returncode == 1 and "format 2" in again.talk else [f"it exits with {again.process.returncode}: {again.talk}"])
                    + ([] if formats() == order else ["the ledger changed"]) + job.verify_faults())


suite = common.Suite("old_formats_continue", 600, __doc__, lambda arguments: arguments.add_argument("--older", help="a binary that writes format 1"))
suite.run(continued, restored, captured, *([rolled] if suite.arguments.older else []))
