#!/usr/bin/env python3
"""What happens over a pipeline's life: the machine stops, the store is lost, the ledger's old entries are collected."""
import json
import os
import shutil
import signal
import time

import common

N = 20_000
EPOCHS = 130        # more than one snapshot of the ledger


class Life:
    def __init__(self, suite):
        self.suite = suite
        self.capture = common.synthetic(5, N)
        self.data = common.uncompressed(self.capture)
        self.base = self.make("undisturbed")
        self.run = self.base.replay()
        suite.claim("undisturbed: rows equal the reference", self.run.fault() or self.base.faults())

    def make(self, name, change=None):
        return common.Job(self.suite, self.suite.path(name), "synthetic", self.capture, 3, len(self.data) // EPOCHS, change)

    def stopped(self, job, signal, entry):
        """Runs the job and sends it the signal when its ledger has come to this entry."""
        process = job.start()
        ledger = os.path.join(job.lake, "_weir", job.name, "ledger")
        while process.poll() is None and not (os.path.isdir(ledger) and any(int(n[:20]) >= entry for n in os.listdir(ledger) if n[:20].isdigit())):
            time.sleep(0.001)
        if process.poll() is None:
            process.send_signal(signal)
        return process

    def killed(self, job):
        """Runs the job and kills it with -9 in the middle."""
        process = self.stopped(job, signal.SIGKILL, EPOCHS // 2)
        process.communicate()
        return [] if process.returncode == -signal.SIGKILL else ["it was done before the kill"]

    def ended(self, job, *words):
        """Faults of a run to the end; it must have made the state table again if `words` say so."""
        run = job.replay()
        faults = run.fault() + job.faults_against(self.base) + job.verify_faults()
        rebuilt = run.done.get("state_rows_rebuilt")
        if ("rebuilt" in words) != (rebuilt is not None):
            faults.append(f"state_rows_rebuilt is {rebuilt}")
        return faults


life = None


def undisturbed(suite):
    global life
    life = Life(suite)


class Boot:
    """The id of the boot that the binary sees."""
    def __init__(self, name):
        self.name = name

    def __enter__(self):
        os.environ["WEIR_BOOT_ID"] = self.name

    def __exit__(self, *_):
        del os.environ["WEIR_BOOT_ID"]


def machine_stops(suite):
    """After a stop of the machine the state table is rebuilt automatically."""
    job = life.make("machine")
    with Boot("first"):
        faults = life.killed(job)
    data = os.path.join(job.store, "data.mdb")
    with open(data, "r+b") as f:        # what was not synced may be anything
        f.truncate(os.path.getsize(data) // 2)
        f.seek(0)
        f.write(b"\xa5" * 4096)
    with Boot("second"):
        scan = common.Result([suite.weir, "state", "scan", "users", "--store", job.store])
        faults += scan.refusal_fault("machine")
        faults += life.ended(job, "rebuilt")
        suite.claim("after a stop of the machine a reader is refused and the next run makes the state table again", faults)
    with Boot("third"):
        suite.claim("a store that was closed in order is trusted after the next boot", life.ended(job))

    job = life.make("process")
    with Boot("first"):
        faults = life.killed(job)
        suite.claim("after kill -9 of the process alone the state table is kept", faults + life.ended(job))


def lost_store(suite):
    """A deleted store is rebuilt by the next run."""
    job = life.make("lost")
    faults = life.killed(job)
    shutil.rmtree(job.store)
    suite.claim("a store that was deleted in the middle of a capture is rebuilt by the next run", faults + life.ended(job, "rebuilt"))
    shutil.rmtree(job.store)
    suite.claim("a store that was deleted after the end of the input is rebuilt by the next run", life.ended(job, "rebuilt"))


def collection(suite):
    """Collected entries are gone, and nothing else is."""
    def change(spec):
        spec.setdefault("lake", {})["ledger_keep"] = "0s"
    job = life.make("collected", change)
    faults = []
    ledger = os.path.join(job.lake, "_weir", job.name)
    for share in (0.25, 0.6):
        life.stopped(job, signal.SIGINT, int(EPOCHS * share)).communicate()
    names = lambda: sorted(os.listdir(os.path.join(ledger, "ledger")))
    if names() and names()[0].startswith("0" * 20):
        faults.append(f"entry 0 is still there: {names()[:3]}")
    left = len(names())
    faults += life.ended(job)
    suite.claim(f"a ledger whose entries were collected ({left} left in the middle) is continued: rows and state equal, verify agrees", faults)
    faults = [] if len(os.listdir(os.path.join(ledger, "snapshots"))) == 1 else ["older snapshots are left"]
    again = job.replay()
    faults += again.fault() + ([] if again.done.get("unchanged") else [f"a second run does not say unchanged: {again.done}"])
    suite.claim("it knows the end of its input, and one snapshot is left", faults)


def before_the_last_entry(suite):
    """The state in which a process leaves everything that dies between the end of input and the entry that closes the windows."""
    job = life.make("last")
    faults = job.replay().fault()
    ledger = os.path.join(job.lake, "_weir", job.name, "ledger")
    entries = sorted(os.listdir(ledger))
    last = int(entries[-1].split(".")[0])
    os.remove(os.path.join(ledger, entries[-1]))
    for name in ("snapshots", "pointers"):
        shutil.rmtree(os.path.join(os.path.dirname(ledger), name))   # it holds the last entry; the others are all there
    taken = 0
    for folder, _, names in os.walk(job.lake):
        if os.path.basename(folder) != "_delta_log":
            continue
        for name in names:
            path = os.path.join(folder, name)
            if not (name[:20].isdigit() and name.endswith(".json")):
                continue
            with open(path) as f:
                is_last = any(json.loads(line).get("txn", {}).get("version") == last for line in f)
            if is_last:
                os.remove(path)
                taken += 1
                # Not written yet either; the commits before it are all there.
                checkpoint = path[:-len("json")] + "checkpoint.parquet"
                if os.path.exists(checkpoint):
                    os.remove(checkpoint)
                    os.remove(os.path.join(folder, "_last_checkpoint"))
    if not taken:
        faults.append("the last entry committed nothing to any table")
    shutil.rmtree(job.store)
    faults += life.ended(job, "rebuilt")
    again = job.replay()
    faults += again.fault() + ([] if again.done.get("unchanged") else [f"a second run does not say unchanged: {again.done}"])
    suite.claim("a run that ended between the end of input and the entry that closes the windows is resumed", faults)


common.Suite("machine_stops_lose_nothing", 300, __doc__).run(undisturbed, machine_stops, lost_store, collection, before_the_last_entry)
