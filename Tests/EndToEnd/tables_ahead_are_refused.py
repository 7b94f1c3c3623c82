#!/usr/bin/env python3
"""Tables that do not belong to the ledger's entries are refused, and a command takes them back; verify tells damage from what may be."""
import glob
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import common

EPOCHS = 24
RECORDS = 6_000
COPIES = 20
QUICK_COPIES = 8


class Base:
    """One finished run that the others are made from: a copy is cheaper than a replay."""
    job = None

    def make(self, suite, name):
        if self.job is None:
            capture = common.synthetic(7, RECORDS)
            self.flush = os.path.getsize(capture) // EPOCHS
            self.job = common.Job(suite, suite.path("whole"), "synthetic", capture, 3, self.flush)
            fault = self.job.replay().fault()
            if fault:
                raise RuntimeError(fault[0])
        job = common.Job(suite, suite.path(name), "synthetic", self.job.captures, 3, self.flush)
        job.clear()
        shutil.copytree(self.job.lake, job.lake)
        shutil.copytree(self.job.store, job.store)
        return job


base = Base()


def ledger(job, *more):
    return os.path.join(job.lake, "_weir", job.name, *more)


def cut(job, entries):
    """Takes the last entries and the snapshots from the ledger, as a copy of an older state of it has them."""
    names = sorted(os.listdir(ledger(job, "ledger")))
    for name in names[-entries:]:
        os.remove(ledger(job, "ledger", name))
    for name in ("snapshots", "pointers"):
        shutil.rmtree(ledger(job, name), ignore_errors=True)
    return len(names) - entries - 1


def tables(job):
    return sorted(os.path.relpath(os.path.dirname(p), job.lake) for p in glob.glob(f"{job.lake}/*/*/_delta_log"))


def contents(job):
    """Every file of the lake: a run that is refused may change none."""
    found = {}
    for folder, _, names in os.walk(job.lake):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, job.lake)] = hash(f.read())
    return found


def restore(job, *more):
    return common.Result([job.suite.weir, "ledger", "restore-tables", job.pipeline, "--lake", job.lake, "--json", *more])


AHEAD = r"the table \S+ has applied (another )?entry \d+.*restore-tables"
MISSING = r"Delta log .*is gone"


def refused(job, pattern, command=None):
    """Faults unless the run exits 1 with a message of the pattern, and leaves the lake as it was."""
    before = contents(job)
    run = command() if command else job.replay()
    faults = run.refusal_fault()
    if not re.search(pattern, run.err, re.S):
        faults.append(f"the message is not {pattern}: {run.talk}")
    if (changed := sorted(set(before.items()) ^ set(contents(job).items()))):
        faults.append(f"the refused run changed {changed[0][0]}")
    return faults


def verify(job):
    run = job.ledger("verify", "--json")
    return run.code, json.loads(run.out)


def ends_as_whole(job):
    return job.replay().fault() + job.faults_against(base.job) + job.verify_faults()


# -- Point by point

def ahead(suite):
    """Tables with entries that the ledger lost are refused before anything is written, and restored by a command."""
    for lost in (1, 9) if suite.quick else (1, 2, 3, 9, 15, EPOCHS):
        job = base.make(suite, f"ahead-{lost}")
        head = cut(job, lost)
        faults = refused(job, AHEAD)
        rebuild = [suite.weir, "state", "rebuild", job.pipeline, "--lake", job.lake, "--store", job.store]
        faults += refused(job, AHEAD, lambda: common.Result(rebuild))
        code, said = verify(job)
        if code != 1 or not any("has applied entry" in p for p in said["problems"]):
            faults.append(f"verify exits {code}: {said}")
        suite.claim(f"{lost} lost entries: replay and state rebuild are refused and change nothing, verify exits 1", faults)
        before = contents(job)
        dry = restore(job, "--dry-run")
        faults = [f"the dry run ends with {dry.code}: {dry.talk}"] if dry.code else []
        if contents(job) != before:
            faults.append("the dry run wrote something")
        done = restore(job)
        if done.out.replace('"dry_run":false', '"dry_run":true') != dry.out or not done.out:
            faults.append(f"the dry run said {dry.out!r}, the restore {done.out!r}: {done.talk}")
        faults += [] if (code := verify(job))[0] == 0 else [f"verify after it: {code}"]
        if any(json.loads(line)["to"] > head for line in done.out.splitlines()):
            faults.append(f"a table was taken beyond entry {head}: {done.out}")
        suite.claim(f"{lost} lost entries: after restore-tables a run ends with the rows and state of the whole one", faults + ends_as_whole(job))
        job.clear()


def beside(suite):
    """A table of another history of the same ledger, with the same entry numbers, is refused and restored."""
    job = base.make(suite, "beside")
    cut(job, 5)
    faults = [r.talk for r in [restore(job)] if r.code] + job.replay().fault()
    # The logs of the old history over those of the new one; the data files of both are there.
    for table in tables(job):
        shutil.copytree(os.path.join(base.job.lake, table), os.path.join(job.lake, table), dirs_exist_ok=True)
        shutil.rmtree(os.path.join(job.lake, table, "_delta_log"))
        shutil.copytree(os.path.join(base.job.lake, table, "_delta_log"), os.path.join(job.lake, table, "_delta_log"))
    faults += refused(job, AHEAD)
    code, said = verify(job)
    if code != 1 or not any("another entry" in p for p in said["problems"]):
        faults.append(f"verify exits {code}: {said}")
    suite.claim("tables of another history with the same numbers are refused, and verify says so", faults)
    done = restore(job)
    suite.claim("and restored", ([done.talk] if done.code else []) + ends_as_whole(job))


def by_other_programs(suite):
    """The proof survives a checkpoint, OPTIMIZE and VACUUM by another program."""
    import deltalake
    for vacuum in (False, True):
        job = base.make(suite, f"optimized-{vacuum}")
        for table in tables(job):
            delta = deltalake.DeltaTable(os.path.join(job.lake, table))
            delta.optimize.compact()
            delta.create_checkpoint()
            if vacuum:
                delta.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
        faults = ends_as_whole(job)
        code, said = verify(job)
        if code or said["problems"] or not any("another program" in n for n in said["notices"]):
            faults.append(f"verify exits {code}: {said}")
        suite.claim(f"after OPTIMIZE{' and VACUUM' if vacuum else ''} a run is unchanged, verify exits 0 with notices", faults)
        cut(job, 3)
        faults = refused(job, AHEAD)
        if vacuum:
            # What VACUUM deleted cannot come back: this must be said, and nothing done.
            faults += refused(job, "VACUUM", lambda: restore(job))
            suite.claim("after VACUUM, lost entries are refused, and restore-tables says why it cannot help", faults)
        else:
            done = restore(job)
            suite.claim("after OPTIMIZE, lost entries are refused, and restore-tables undoes both",
                        faults + ([done.talk] if done.code else []) + ends_as_whole(job))


def one_vacuumed(suite):
    """A table that cannot be restored keeps restore-tables from writing to the others: they keep their rows."""
    import deltalake
    job = base.make(suite, "one-vacuumed")
    silver = next(t for t in tables(job) if t.startswith("silver/"))
    delta = deltalake.DeltaTable(os.path.join(job.lake, silver))
    delta.optimize.compact()
    delta.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    cut(job, 3)

    def logs():
        return sorted(glob.glob(f"{job.lake}/*/*/_delta_log/*"))
    before = logs()
    done = restore(job)
    faults = [] if done.code == 1 and silver in done.err else [f"exit {done.code}: {done.talk}"]
    suite.claim(one_vacuumed.__doc__, faults + [f"new: {path}" for path in logs() if path not in before])


def older_tables(suite):
    """A table without the proof, as older versions wrote it, is taken up; beyond the ledger's end it is refused all the same."""
    job = base.make(suite, "older")
    for path in glob.glob(f"{job.lake}/*/*/_delta_log/*.json"):
        with open(path) as f:
            lines = [line + "\n" for line in f.read().split("\n")[:-1]]
        kept = [l for l in lines if not json.loads(l).get("txn", {}).get("appId", "").endswith("/entry")]
        if len(kept) == len(lines):
            continue
        # The hash is over all bytes, written with 64 zeros in its place.
        blank = re.sub(r'"contentHash":"[0-9a-f]{64}"', '"contentHash":"' + "0" * 64 + '"', "".join(kept))
        digest = hashlib.sha256(blank.encode()).hexdigest()
        with open(path, "w") as f:
            f.write(blank.replace('"contentHash":"' + "0" * 64, '"contentHash":"' + digest))
    for path in glob.glob(f"{job.lake}/*/*/_delta_log/*checkpoint*"):
        os.remove(path)
    suite.claim("tables without proofs are taken up", ends_as_whole(job))
    cut(job, 2)
    suite.claim("and refused where they are beyond the ledger's end", refused(job, AHEAD))


def removed_table(suite):
    """A table that the ledger gave files, and that is gone, is refused, not made again as a log that names missing files."""
    job = base.make(suite, "removed-log")
    table = next(t for t in tables(job) if t.startswith("silver/"))
    log = os.path.join(job.lake, table, "_delta_log")
    shutil.rmtree(log)
    faults = refused(job, MISSING)
    code, said = verify(job)
    if code != 1 or not any("is gone" in p for p in said["problems"]):
        faults.append(f"verify exits {code}: {said}")
    done = restore(job)
    suite.claim("a removed _delta_log is refused, and written again by restore-tables",
                faults + ([done.talk] if done.code else []) + ends_as_whole(job))
    shutil.rmtree(os.path.join(job.lake, table))
    faults = refused(job, MISSING) + refused(job, MISSING, lambda: restore(job))
    suite.claim("a removed table directory is refused; restore-tables names a file that is missing", faults)


def damaged_log(suite):
    """A resume meets damage in the part of a Delta log that it reads, and verify meets all of it."""
    job = base.make(suite, "damaged")
    table = next(t for t in tables(job) if t.startswith("silver/"))
    log = os.path.join(job.lake, table, "_delta_log")
    for path in glob.glob(f"{log}/*checkpoint*"):     # so that every commit is of the part that a resume reads
        os.remove(path)
    names = sorted(n for n in os.listdir(log) if n.endswith(".json"))

    def emptied(data): return b""
    def halved(data): return data[:len(data) // 2]
    def without_last_line(data): return b"".join(data.splitlines(keepends=True)[:-1])
    def without_first_line(data): return b"".join(data.splitlines(keepends=True)[1:])
    def flipped(data): return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    for damage in (emptied, halved, without_last_line, without_first_line, flipped, None):
        for at in (1, len(names) - 2) if suite.quick else range(1, len(names) - 1):
            path = os.path.join(log, names[at])
            with open(path, "rb") as f:
                data = f.read()
            os.remove(path)
            if damage:
                with open(path, "wb") as f:
                    f.write(damage(data))
            faults = refused(job, names[at])
            code, said = verify(job)
            if code != 1 or not any(names[at] in p for p in said["problems"]):
                faults.append(f"verify exits {code}: {said}")
            with open(path, "wb") as f:
                f.write(data)
            suite.claim(f"commit {at} of {len(names)} {damage.__name__ if damage else 'removed'}: resume and verify name it", faults)
    # A commit in another's place has a right hash of its own: it says after which entry it continues.
    faults = []
    for at, by in ((3, 2), (len(names) - 1, 3)):
        path, other = os.path.join(log, names[at]), os.path.join(log, names[by])
        with open(path, "rb") as f:
            data = f.read()
        shutil.copy(other, path)
        faults += refused(job, rf"{names[at]} is damaged: it continues after entry \d+")
        code, said = verify(job)
        faults += [] if code == 1 and any(names[at] in problem for problem in said["problems"]) else [f"verify exits {code}: {said}"]
        with open(path, "wb") as f:
            f.write(data)
    suite.claim("a commit that lies in another's place is refused", faults)
    # One of another table has a right hash and may continue after any entry: its own table is in it.
    faults = []
    others = [n for n in sorted(glob.glob(f"{job.lake}/*/*/_delta_log")) if n != log]
    for other in others:
        commits = sorted(n for n in glob.glob(f"{other}/*.json"))
        for at, by in ((len(names) - 1, commits[0]), (len(names) - 1, commits[-1]), (len(names), commits[0]), (len(names), commits[-1]), (0, commits[0])):
            path = os.path.join(log, f"{at:020}.json")
            data = None
            if os.path.exists(path):
                with open(path, "rb") as f:
                    data = f.read()
            shutil.copy(by, path)
            name = os.path.basename(path)
            faults += refused(job, rf"{name} is damaged: it is a commit of the table {os.path.relpath(os.path.dirname(other), job.lake)}")
            code, said = verify(job)
            faults += [] if code == 1 and any(name in problem for problem in said["problems"]) else [f"verify exits {code}: {said}"]
            os.remove(path)
            if data is not None:
                with open(path, "wb") as f:
                    f.write(data)
    faults += [] if others else ["there is no other table to copy from"]
    suite.claim("a commit of another table is refused, by its name, by the next run and by verify", faults)
    for name in names[-3:]:
        os.remove(os.path.join(log, name))
    code, said = verify(job)
    faults = [] if code == 0 and any("the next run updates it" in n for n in said["notices"]) else [f"verify exits {code}: {said}"]
    suite.claim("the last commits lost: a table behind the ledger is a notice, and the next run brings it up", faults + ends_as_whole(job))


def could_not_look(suite):
    """verify exits 2 when a file cannot be read, 1 when another is damaged besides, 0 on what a kill leaves."""
    job = base.make(suite, "unreadable")
    data = sorted(glob.glob(f"{job.lake}/silver/*/**/*.parquet", recursive=True))
    data = [p for p in data if "_delta_log" not in p]
    os.rename(data[0], data[0] + ".away")
    os.mkdir(data[0])       # root may read every file; a directory in a file's place gives the store an error
    code, said = verify(job)
    faults = [] if code == 2 and said["unread"] and not said["problems"] and not said["ok"] else [f"verify exits {code}: {said}"]
    with open(data[1], "r+b") as f:
        f.write(b"X")
    code, said = verify(job)
    faults += [] if code == 1 and said["unread"] and said["problems"] else [f"verify exits {code} with damage besides: {said}"]
    suite.claim(could_not_look.__doc__, faults)


def killed(suite):
    """verify exits 0 after kill -9 at any moment."""
    job = base.make(suite, "killed")
    job.clear()
    faults = []
    for _ in range(4 if suite.quick else 20):
        process = job.start()
        time.sleep(suite.random.uniform(0.1, 1.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if job.entries():
            code, said = verify(job)
            faults += [] if code == 0 else [f"verify exits {code}: {said}"]
    suite.claim(killed.__doc__, faults + ends_as_whole(job))


def state_of_another_history(suite):
    """A state table of entries that the ledger does not have is rebuilt, not trusted."""
    job = base.make(suite, "state")
    cut(job, 4)
    faults = [r.talk for r in [restore(job)] if r.code]
    run = job.replay()
    faults += run.fault()
    if not run.done.get("state_rows_rebuilt"):
        faults.append(f"the state table was trusted: {run.done}")
    suite.claim(state_of_another_history.__doc__, faults + job.faults_against(base.job))


def copy_script():
    """The commands of the page on backups."""
    page = os.path.join(ROOT, "Sources", "WeirCommands", "Weir.docc", "MovingALake.md")
    with open(page) as f:
        return re.search(r"```sh\n(# Copies a lake.*?)```", f.read(), re.S).group(1)


def live_copies(suite):
    """Copies of a lake in the documented order, made while a worker writes, end with the rows of the full run."""
    job = base.make(suite, "live")
    job.clear()
    script, copies, faults, deadline = copy_script(), [], [], time.monotonic() + 4 * common.PATIENCE
    wanted = QUICK_COPIES if suite.quick else COPIES
    # Slow enough that many copies fit into the run, also where each takes seconds: the worker is stopped when there are enough.
    process = job.start("--pace", "400/s")
    count, last = 0, None
    while process.poll() is None and count < wanted and time.monotonic() < deadline:
        entries = job.entries()
        if entries and (not suite.quick or entries[-1]["number"] != last):
            last = entries[-1]["number"]
            copy = common.Job(suite, suite.path(f"copy-{count}"), "synthetic", job.captures, 3, base.flush)
            copy.clear()
            run = subprocess.run(["sh", "-eu", "-c", script], env={**os.environ, "LAKE": job.lake, "COPY": copy.lake},
                                 capture_output=True, text=True)
            faults += [f"copy {count}: {run.stderr}"] if run.returncode else []
            copies.append(copy)
            count += 1
        time.sleep(0.05)
    process.terminate()
    process.communicate()
    heads = [copy.entries()[-1]["number"] for copy in copies]
    suite.claim(f"{len(copies)} copies of a live lake were made, at entries {heads}",
                faults + ([] if len(copies) == wanted and len(set(heads)) >= wanted // 2 else ["too few, or too alike"]))
    for copy in copies:
        code, said = verify(copy)
        faults = [] if code == 0 else [f"verify of the copy exits {code}: {said}"]
        suite.claim(f"{os.path.basename(copy.directory)}: verifies, and a run on it ends with the rows of the full run",
                    faults + ends_as_whole(copy))
        copy.clear()


# -- A ledger, a file or a state table of which a part is lost

def entry(job, number):
    return ledger(job, "ledger", f"{number:020}.json")


def every_door(job, pattern):
    """Faults unless every command that opens the ledger refuses it with this message, and changes nothing."""
    faults = []
    for what in ([], ["ledger", "restore-tables"], ["ledger", "show"], ["state", "rebuild"]):
        store = [] if what == ["ledger", "show"] else ["--store", job.store]
        command = [job.suite.weir, *what, job.pipeline, "--lake", job.lake, *store]
        found = refused(job, pattern, (lambda: common.Result(command)) if what else None)
        faults += [f"{' '.join(what) or 'replay'}: {fault}" for fault in found]
    code, said = verify(job)
    return faults + ([] if code == 1 and any(re.search(pattern, p) for p in said["problems"]) else [f"verify exits {code}: {said}"])


def hole(suite):
    """A ledger with a hole is refused by every command, and is whole again with the entry that was lost."""
    for number in (10, 0):
        job = base.make(suite, f"hole-{number}")
        for name in ("snapshots", "pointers"):
            shutil.rmtree(ledger(job, name))
        os.rename(entry(job, number), job.lake + ".kept")
        faults = every_door(job, rf"{number:020}\.json: missing, although later entries are there")
        os.rename(job.lake + ".kept", entry(job, number))
        suite.claim(f"without snapshots and entry {number} every command refuses the ledger; with the entry again the run is whole", faults + ends_as_whole(job))
        job.clear()


def lost(suite):
    """Where a ledger was lost no other is founded in its place."""
    job = base.make(suite, "lost")
    for name in ("ledger", "snapshots"):
        shutil.rmtree(ledger(job, name))
    faults = every_door(job, "has lost its entries and snapshots: _weir/")
    suite.claim("entries and snapshots are gone: every command says so, and writes nothing", faults)
    shutil.rmtree(os.path.join(job.lake, "_weir"))
    suite.claim("the whole ledger is gone: a run refuses the tables, and writes nothing", refused(job, r"table \S+ belongs to another ledger.*ledger .*was lost"))
    for name in os.listdir(job.lake):
        shutil.rmtree(os.path.join(job.lake, name))
    suite.claim("the whole lake is gone: a run refuses the state table, and writes nothing", refused(job, "state table .* belongs to another ledger"))
    job.clear()


def without_later_entries(suite):
    """A snapshot is left, and the entries after it are gone, which the tables have applied."""
    def often(spec):
        spec.setdefault("lake", {})["ledger_keep"] = "0s"
    job = common.Job(suite, suite.path("after-snapshot"), "synthetic", base.make(suite, "unused").captures, 3, base.flush, often)
    process = job.start("--pace", f"{RECORDS // 4}/s")
    end = time.monotonic() + 60
    while process.poll() is None and len(job.entries()) < EPOCHS // 3 and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate()
    pointers = sorted(os.listdir(ledger(job, "snapshots")))
    faults = [] if pointers else ["the stopped run left no snapshot"]
    kept = job.lake + ".kept"
    shutil.copytree(ledger(job), kept)
    faults += job.replay().fault()
    shutil.rmtree(ledger(job, "ledger"))
    for name in ("snapshots", "pointers"):
        shutil.rmtree(ledger(job, name))
        shutil.copytree(os.path.join(kept, name), ledger(job, name))
    faults += refused(job, AHEAD)
    suite.claim(without_later_entries.__doc__[:-1] + ": refused", faults)
    job.clear()


def missing_file(suite):
    """A data file that is gone is not given to a table."""
    job = base.make(suite, "missing-file")
    # The tables are as they were before their last commit; the ledger has its entries.
    for log in glob.glob(f"{job.lake}/silver/*/_delta_log"):
        names = sorted(n for n in os.listdir(log) if n.endswith(".json") and n[0].isdigit())
        with open(os.path.join(log, names[-1])) as f:
            added = [json.loads(line)["add"]["path"] for line in f if line.startswith('{"add"')]
        back = len(names) - 1
        while not added and back > 1:
            back -= 1
            with open(os.path.join(log, names[back])) as f:
                added = [json.loads(line)["add"]["path"] for line in f if line.startswith('{"add"')]
        for name in os.listdir(log):
            if name[:20].isdigit() and int(name[:20]) >= back or name == "_last_checkpoint":
                os.remove(os.path.join(log, name))
        gone = os.path.join(os.path.dirname(log), urllib.parse.unquote(added[0]))
    os.rename(gone, job.lake + ".kept")
    name = re.escape(os.path.basename(gone))
    faults = refused_at_files(job, rf"{name} is missing")
    for more in (["--dry-run"], []):
        run = restore(job, *more)
        faults += [] if run.code == 1 and re.search(rf"{name} is missing", run.err) else [f"restore-tables {more} exits {run.code}: {run.talk}"]
    os.rename(job.lake + ".kept", gone)
    suite.claim("a run and restore-tables refuse it by name; with the file again the run is whole", faults + ends_as_whole(job))
    job.clear()


def refused_at_files(job, pattern):
    """Other tables may be brought up before; the one with the file may not."""
    logs = sorted(glob.glob(f"{job.lake}/silver/*/_delta_log/*"))
    run = job.replay()
    faults = run.refusal_fault() + ([] if re.search(pattern, run.err) else [f"the message is not {pattern}: {run.talk}"])
    return faults + ([] if logs == sorted(glob.glob(f"{job.lake}/silver/*/_delta_log/*")) else ["the table's log was written"])


def state_ahead(suite):
    """The lake is an older copy than the state table: no row that the ledger does not have is shown as committed."""
    whole = base.make(suite, "newer")
    job = base.make(suite, "older")
    cut(job, 5)
    faults = [r.talk for r in [restore(job)] if r.code]
    said = restore(job).err + common.Result([suite.weir, "ledger", "restore-tables", job.pipeline, "--lake", job.lake, "--store", job.store]).err
    faults += [] if "state table" in said and "does not have" in said else [f"restore-tables does not mention the state table: {said}"]
    code, told = verify(job)
    faults += [] if code == 0 and any("weir state rebuild" in n for n in told["notices"]) else [f"verify exits {code}: {told}"]
    suite.claim("verify and restore-tables name the remedy", faults)

    def scan(lake):
        run = common.Result([suite.weir, "state", "scan", "users", "--pipeline", job.pipeline, "--lake", lake, "--store", job.store, "--format", "json"])
        return [json.loads(line) for line in run.out.split("\n") if line]
    with open(ledger(job, "ledger", sorted(os.listdir(ledger(job, "ledger")))[-1])) as f:
        reached = max(int(lane["to"]) for lane in json.load(f)["lanes"] if lane["lane"] != "_merge")
    older, newer = scan(job.lake), scan(whole.lake)
    faults = [] if older and all(row["_committed"] for row in newer) else ["rows of the whole ledger are not committed"]
    strange = [row for row in older if int(row["_fence"].split(":")[1]) > reached]
    faults += [] if strange and not any(row["_committed"] for row in strange) else [f"{sum(r['_committed'] for r in strange)} of {len(strange)} rows beyond the ledger are shown as committed"]
    suite.claim("rows that the ledger has not reached are shown as not committed", faults)
    run = job.replay()
    faults = run.fault() + (["it was not written again"] if '"state_rows_rebuilt":null' in run.out else [])
    suite.claim("the next run writes the state table again", faults + job.faults_against(base.job))
    job.clear()
    whole.clear()


common.Suite("tables_ahead_are_refused", 600, __doc__).run(
    ahead, beside, by_other_programs, one_vacuumed, older_tables, removed_table, damaged_log, could_not_look, killed, state_of_another_history, hole, lost,
    without_later_entries, missing_file, state_ahead, live_copies)
