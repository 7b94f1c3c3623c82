#!/usr/bin/env python3
"""Trouble of every kind gets a clear message and exit code 1 or 2, loses nothing, and a normal run afterwards gives equal tables."""
import contextlib
import datetime
import json
import os
import shutil
import socket
import subprocess
import sys
import threading

import common

import deltalake

N = 20_000          # lines of the stream
EPOCHS = 20


class Base:
    """The undisturbed run that all others must equal."""

    def __init__(self, suite):
        self.capture = common.synthetic(3, N)
        self.data = common.uncompressed(self.capture)
        self.job = self.make(suite, "base")
        run = self.job.replay()
        suite.claim("undisturbed: rows equal the reference", run.fault() or self.job.faults())

    def make(self, suite, name, change=None, directory=None, captures=None):
        return common.Job(suite, directory or suite.path(name), "synthetic", captures or self.capture, 3,
                          len(self.data) // EPOCHS, change)

    def resumed(self, job):
        """Faults of a normal run after the trouble."""
        return job.replay(captures=[self.capture]).fault() + job.faults_against(self.job) + job.verify_faults()

    def half(self, suite):
        """A capture of the first half, whole lines."""
        path = suite.path("half.ndjson")
        with open(path, "wb") as f:
            f.write(self.data[:self.data.index(b"\n", len(self.data) // 2) + 1])
        return path


base = None


def undisturbed(suite):
    global base
    base = Base(suite)


# -- The disk

def blocks(directory):
    return sum(os.stat(os.path.join(d, f)).st_blocks * 512 for d, _, files in os.walk(directory) for f in files)


def full_disk(suite):
    """A full disk is a clear error, and the run resumes when there is space."""
    for what in ("lake", "store"):
        job = base.make(suite, f"full-{what}")
        where = getattr(job, what)
        for share in (0.05, 0.5, 0.9) if what == "lake" else (0.05, 0.5):
            with common.tmpfs(where, max(16_384, int(blocks(getattr(base.job, what)) * share) // 4096 * 4096)) as mounted:
                if not mounted:
                    return suite.note("skipped: no right to mount a tmpfs here, so no full disk")
                run = job.replay()
                # A store may get by with less than it took the other time.
                faults = run.refusal_fault("space", "full") if run.code or what == "lake" else []
                common.remount(where, "size=1g")
                faults += [f"the first message was: {run.talk}"] if (resumed := base.resumed(job)) else []
                faults += resumed
                suite.claim(f"{what} on a disk that is full after {share:.0%}: says so, and resumes when there is space", faults)
            job.clear()


def full_beside_pipe(suite):
    """A full disk ends a run that waits for a pipe which stays open and gives nothing more."""
    capture, epoch = common.synthetic(), 4 << 20
    job = common.Job(suite, suite.path("full-pipe"), "synthetic", capture, 3, epoch)
    with common.tmpfs(job.lake, 64 << 10) as mounted:
        if not mounted:
            return suite.note("skipped: no right to mount a tmpfs here, so no full disk")
        command = job.command(captures=["-"])
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        faults = []
        try:
            with contextlib.suppress(BrokenPipeError):
                # One epoch, and blocks enough for its end to be handed on; then the reader waits.
                process.stdin.buffer.write(common.uncompressed(capture)[:epoch + (3 << 20)])
                process.stdin.buffer.flush()
            process.wait(60)
        except subprocess.TimeoutExpired:
            faults.append("not ended 60 s after the last byte")
            process.kill()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        said = process.stderr.read()
        suite.claim("lake on a full disk, and a pipe that stays open: says so and ends",
                    faults + ([] if "no space left" in said else [f"it said: {said[-300:]}"]))
    job.clear()


def read_only(suite):
    """A read-only directory is a clear error."""
    for what in ("lake", "store"):
        job = base.make(suite, f"read-only-{what}")
        with common.tmpfs(getattr(job, what), "64m") as mounted:
            if not mounted:
                return suite.note("skipped: no right to mount a tmpfs here, so no read-only directory")
            common.remount(getattr(job, what), "ro")
            faults = job.replay().refusal_fault("read-only", "read only", "writable", "permission")
            common.remount(getattr(job, what), "rw")
            suite.claim(f"{what} in a read-only directory: says so, and runs when it is writable", faults + base.resumed(job))


# -- Not the same pipeline, ledger, capture, lanes

def started(suite, name):
    """A job that has consumed the first half, its ledger open."""
    job = base.make(suite, name)
    run = job.replay("--keep-open", captures=[base.half(suite)])
    if run.fault():
        raise RuntimeError(f"a run with --keep-open: {run.fault()}")
    return job


def lake_files(job):
    return sorted((os.path.join(d, f), os.path.getsize(os.path.join(d, f)))
                  for d, _, files in os.walk(job.lake) for f in files if f.endswith((".json", ".parquet")))


def refused(suite, claim, job, run, *words):
    """A refusal that changed nothing, and a normal run afterwards."""
    suite.claim(claim, run.refusal_fault(*words) + base.resumed(job))


def keep_open(suite):
    """A capture that grows under --keep-open is read on."""
    job = started(suite, "keep-open")
    suite.claim("a capture that grew under --keep-open is read on, and the tables are those of one run", base.resumed(job))


def other_capture(suite):
    """Another capture on a started ledger is refused."""
    for name, data in [
            ("another capture", common.uncompressed(common.synthetic(4, N))),
            ("a capture with one other byte in what was consumed", bytes([base.data[0] ^ 1]) + base.data[1:]),
            ("a capture shorter than what was consumed", base.data[:len(base.data) // 5])]:
        job = started(suite, name.replace(" ", "-"))
        before, other = lake_files(job), suite.path("other.ndjson")
        with open(other, "wb") as f:
            f.write(data)
        run = job.replay(captures=[other])
        faults = [] if lake_files(job) == before else ["the lake was changed"]
        suite.claim(f"{name} on a started ledger is refused", run.refusal_fault("capture") + faults + base.resumed(job))


def grown(suite):
    """A capture that grew after the end of input is refused, naming --keep-open."""
    job = base.make(suite, "grown")
    more = suite.path("grown.ndjson")
    with open(more, "wb") as f:
        f.write(base.data + b"\n" + base.data[:base.data.index(b"\n") + 1])
    faults = job.replay().fault()
    refused(suite, "a capture that grew after the end of input is refused, naming --keep-open", job, job.replay(captures=[more]),
            "--keep-open")
    if faults:
        suite.claim("the run before it", faults)


def other_lanes(suite):
    """Another number of lanes is refused; the number is taken from the ledger."""
    job = started(suite, "lanes")
    run = job.replay(lanes=5)
    suite.claim("another number of lanes on a started ledger is refused", run.refusal_fault("lanes"))
    job.lanes = None
    suite.claim("without --lanes a resume takes the ledger's", base.resumed(job))


def changed_pipeline(suite):
    """A pipeline that means something else is refused over existing tables."""
    def window(spec):
        name = next(iter(spec["gold"]))
        spec["gold"][name]["window"] = {"tumbling": "17s"}

    def key(spec):
        spec["record"]["key"] = "kind"

    def dedup(spec):
        spec["dedup"]["within"] = "11s"

    def measure(spec):
        name = next(iter(spec["state"]))
        spec["state"][name]["measure"]["another"] = "count()"

    told = {window: "by_kind.window.size: 10 s -> 17 s", key: "record.key: user -> kind", dedup: "dedup.within: 20 s -> 11 s",
            measure: "measure.another: added (count())"}
    for change in (window, key, dedup, measure):
        job = started(suite, f"changed-{change.__name__}")
        changed = base.make(suite, f"changed-{change.__name__}-now", change)
        changed.lake, changed.store = job.lake, job.store
        before = lake_files(job)
        run = changed.replay()
        faults = [] if lake_files(job) == before else ["the lake was changed"]
        suite.claim(f"a changed {change.__name__} over existing tables is refused",
                    run.refusal_fault(told[change]) + faults + base.resumed(job))

    job = started(suite, "changed-settings")
    other = base.make(suite, "changed-settings-now", lambda spec: spec["lake"].update(
        codec="snappy", flush={"bytes": 40_000}, file_size=200_000))
    other.lake, other.store = job.lake, job.store
    suite.claim("changed settings do not change the meaning: the run resumes", base.resumed(other))


def other_ledger(suite):
    """Tables of another ledger are refused."""
    job = base.make(suite, "other-ledger")
    faults = job.replay().fault()
    other = base.make(suite, "other-ledger-now", lambda spec: spec.update(pipeline="another"))
    other.lake = job.lake
    before = [f for f in lake_files(job) if "/_weir/" not in f[0]]
    run = other.replay()
    after = [f for f in lake_files(job) if "/_weir/another/" not in f[0] and "/_weir/" not in f[0]]
    if {f for f in after if "_delta_log" in f[0]} != {f for f in before if "_delta_log" in f[0]}:
        faults.append("the tables were changed")
    suite.claim("a table of another ledger is refused", faults + run.refusal_fault("ledger") + base.resumed(job))

    job = base.make(suite, "lost-ledger")
    faults = job.replay().fault()
    shutil.rmtree(os.path.join(job.lake, "_weir"))
    run = job.replay()
    # Either it says that the tables are ahead of the ledger, or it knows them again; but no row may be there twice.
    faults += run.refusal_fault() if run.code else base.resumed(job)
    suite.claim("tables without their ledger are refused or taken up rightly", faults)

    old = base.make(suite, "old-store", captures=common.synthetic(4, 5_000))
    faults = old.replay().fault()
    job = base.make(suite, "old-store-now")
    job.store = old.store
    run = job.replay()
    faults += run.refusal_fault("store", "state") if run.code else base.resumed(job)
    suite.claim("a store that holds another ledger's rows is refused or rebuilt", faults)


def lost_store(suite):
    """weir state rebuild makes a lost store again."""
    job = base.make(suite, "lost-store")
    faults = job.replay().fault()
    shutil.rmtree(job.store)
    run = common.Result([suite.weir, "state", "rebuild", job.pipeline, "--lake", job.lake, "--store", job.store])
    suite.claim("weir state rebuild makes a lost store again", faults + run.fault() + job.faults_against(base.job))


def two_workers(suite):
    """Two workers on one ledger by mistake lose nothing."""
    for attempt in range(3):
        job = base.make(suite, f"two-{attempt}")
        both = [job.start(), job.start()]
        faults, codes = [], []
        for process in both:
            try:
                _, err = process.communicate(timeout=common.RUN_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                faults.append("a worker does not end")
                continue
            codes.append(process.returncode)
            if process.returncode not in (0, 1, 2):
                faults.append(f"a worker ended with {process.returncode}: {err[-300:]}")
            elif process.returncode and not err.strip():
                faults.append("a worker gave up without a word")
            faults += [f"crashed: {err[-300:]}" for c in common.CRASHES if c in err]
        suite.claim(f"two workers at once on one ledger: exit codes {codes}, nothing lost, nothing twice", faults + base.resumed(job))


# -- Input that is none

def bad_input(suite):
    """Missing and broken files are named."""
    job = base.make(suite, "bad")
    missing = suite.path("nowhere.ndjson")
    refused(suite, "a missing capture is named", job, job.replay(captures=[missing]), "nowhere.ndjson")
    torn = suite.path("torn.gz")
    import gzip
    with open(torn, "wb") as f:
        f.write(gzip.compress(base.data)[:-2000])
    job = base.make(suite, "torn")
    whole = gzip.compress(base.data)
    faults = job.replay(captures=[torn]).refusal_fault("torn.gz", "gzip")
    with open(torn, "wb") as f:
        f.write(whole)
    suite.claim("a truncated gzip file is named; with the complete file the run resumes", faults + base.resumed(job))


def late_records(suite):
    """Large records that come too late for hundreds of windows: each is held once, not once a window."""
    records, windows, size = 20, 300, 100_000
    here = suite.path("late")
    os.makedirs(here)
    with open(os.path.join(here, "late.yaml"), "w") as f:
        f.write(f"""pipeline: late
source: {{capture: {{stream: s}}}}
record:
  format: json
  key: k
  time: {{field: t, out_of_order: 0s, max_ahead: off}}
  fields: {{k: string!, t: timestamp_ms!, text: string}}
gold:
  own: {{by: [k], window: {{hopping: {windows}s, every: 1s}}, measure: {{rows: count()}}}}
  merged: {{by: [length(k) as n], window: {{hopping: {windows}s, every: 1s}}, measure: {{rows: count()}}}}
""")
    with open(os.path.join(here, "late.ndjson"), "w") as f:
        f.write('{"k":"on time","t":100000000000}\n')
        for i in range(records):
            f.write(json.dumps({"k": f"key-{i}", "t": 1000 * i, "text": chr(97 + i) * size}) + "\n")
    lake = os.path.join(here, "lake")
    command = [suite.weir, "replay", os.path.join(here, "late.yaml"), "--capture", os.path.join(here, "late.ndjson"), "--lake", lake,
               "--store", os.path.join(here, "store")]
    with open(os.path.join(here, "log"), "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    faults = [] if process.returncode == 0 else [f"exit code {process.returncode}: {open(log.name).read()[-300:]}"]
    # As copies it would be 600 MB a table. (What there is: up to 4,096 rows that the encoder has at once.)
    if usage.ru_maxrss > 700_000:
        faults.append(f"peak memory {usage.ru_maxrss // 1000} MB")
    # Every window of size 900 s on the grid of a second that holds the record.
    wanted = sorted((f"key-{i}", 1000 * (i + 1 - windows + j)) for i in range(records) for j in range(windows))
    for table in ("own", "merged") if not faults else ():
        rows = deltalake.DeltaTable(os.path.join(lake, "late", table)).to_pyarrow_table(columns=["key", "window_start", "window_end", "value"]).to_pylist()
        got = sorted((r["key"].decode(), round(r["window_start"].timestamp() * 1000)) for r in rows)
        if got != wanted or any(r["window_end"] - r["window_start"] != datetime.timedelta(seconds=windows) for r in rows):
            faults.append(f"late/{table}: {len(got)} rows, not the {len(wanted)} wanted")
        if any(len(r["value"]) < size for r in rows):
            faults.append(f"late/{table}: a value is not whole")
    suite.claim(f"{records} records of {size // 1000} kB that are late for {windows} windows each", faults)


def bad_pipeline(suite):
    """A wrong pipeline file is refused by `weir check` and `weir replay`, with the place and the nearest right name."""
    def gone(spec):
        spec["lookups"] = {"x": {"file": "no-such-lookup.csv", "key": "kind"}}

    def edit(path, value):
        def change(spec):
            at = spec
            for name in path[:-1]:
                at = at[name]
            at[path[-1]] = value
        return change

    cases = [
        ("an unknown key", edit(["chekcs"], []), ["checks"]),
        ("an unknown type", edit(["record", "fields", "n"], "int46"), ["int64"]),
        ("an unknown column in an expression", edit(["gold", "zz"], {
            "by": ["knd"], "window": {"tumbling": "10s"}, "measure": {"n": "count()"}}), ["kind"]),
        ("a type error", edit(["gold", "zz"], {
            "by": ["kind"], "where": "kind + 1 > 2", "window": {"tumbling": "10s"}, "measure": {"n": "count()"}}), ["string"]),
        ("an impossible window", edit(["gold", "zz"], {
            "by": ["kind"], "window": {"hopping": "10s", "every": "20s"}, "measure": {"n": "count()"}}), ["window", "every", "hopping"]),
        ("a column whose name differs from another's in case only", edit(["silver", "columns"], "*, n + 1 as KIND"), ["KIND is taken by kind"]),
        ("a source of a later issue", edit(["source"], {"lake": {"stream": "s"}}), ["not yet", "not_yet"]),
        ("a missing lookup file", gone, ["no-such-lookup.csv"]),
    ]
    for name, change, words in cases:
        job = base.make(suite, "bad-" + name.replace(" ", "-"), change)
        check = common.Result([suite.weir, "check", job.pipeline])
        run = job.replay()
        faults = check.refusal_fault(*words) + run.refusal_fault(*words)
        if name != "a missing lookup file" and not any(c in check.err for c in ("yaml:", "line")):
            faults.append(f"the place is not named: {check.talk}")
        suite.claim(f"{name} in a pipeline file is refused", faults)
    for name, text in (("text that is not YAML", "pipeline: [a\n  b: {"), ("an empty file", ""), ("a list", "- a\n- b\n")):
        path = suite.path("broken.yaml")
        with open(path, "w") as f:
            f.write(text)
        suite.claim(f"{name} as a pipeline file is refused", common.Result([suite.weir, "check", path]).refusal_fault("broken.yaml"))
    path = suite.path("no-such-pipeline.yaml")
    suite.claim("a missing pipeline file is named", common.Result([suite.weir, "check", path]).refusal_fault("no-such-pipeline.yaml"))


# -- What is said

def said(run, code, *words):
    """Why a run has not ended with a code and a message of what happened and of what to do, with all these words."""
    faults = [] if run.code == code else [f"ended with {run.code}, expected {code}: {run.talk}"]
    faults += [f"the message lacks {w!r}: {run.talk}" for w in words if w not in run.err]
    return faults + ([] if len(run.err.strip().split("\n")) > 1 or "error:" in run.err else [f"there is no advice: {run.talk}"])


def command_lines(suite):
    """A wrong command line ends with 2, and says what is wrong with it."""
    def weir(*arguments):
        return common.Result([suite.weir, *arguments])

    job, place = base.job, ["--store", base.job.store]
    for arguments in ([], ["state"], ["nosuch"], ["replay"], ["replay", job.pipeline, "--capture", job.captures[0], "--lanes", "x"],
                      ["check", job.pipeline, "--nosuch"], ["state", "scan", "users", "--format", "xml", *place]):
        suite.claim(f"a wrong command line ends with 2: weir {' '.join(a if '/' not in a else '…' for a in arguments)}",
                    said(weir(*arguments), 2, "Error: "))
    faults = [f"{a} ends with {run.code}" for a in (["--help"], ["--version"], ["state", "--help"], ["help", "state"]) if (run := weir(*a)).code]
    suite.claim("help and version end with 0", faults)
    elsewhere = ["--lake", suite.path("no-lake"), "--store", suite.path("no-store")]
    folder = suite.path("folder")
    os.makedirs(folder)
    with open(os.path.join(folder, "records.ndjson"), "w") as f:
        f.write("{}\n")
    for claim, faults in [
            ("a missing capture", said(weir("replay", job.pipeline, "--capture", "nowhere", *elsewhere), 2, "nowhere", "--capture")),
            ("a directory as a capture", said(weir("replay", job.pipeline, "--capture", folder, *elsewhere), 2, folder, "/*")),
            ("no lanes", said(job.replay(lanes=2000), 2, "--lanes must be 1 to 1024")),
            ("a directory as a pipeline file", said(weir("check", suite.directory), 2, "it is a directory")),
            ("a state table that is not there", said(weir("state", "scan", "user", *place), 2, "did you mean users?", "There are: ")),
            ("a key that is none", said(weir("state", "get", "flags", "perhaps", "view", *place), 2, "flag", "bool", "--null flag")),
            ("a key that is too short", said(weir("state", "get", "flags", *place), 2, "flag, kind", "--null")),
            ("a negative key", said(weir("state", "get", "users", "-1", *place), 2, "Unknown option '-1'", "-- -1"))]:
        suite.claim(f"{claim}: what happened, where, and what to do", faults)


def unset_variables(suite):
    """A variable of the environment that is not set stops only those who use it, with its place in the file."""
    def live(spec):
        spec["source"] = {"kafka": {"brokers": {"env": "WEIR_UNSET_BROKERS"}, "topic": "ads", "group": "g",
                                    "sasl": {"mechanism": "PLAIN", "user": {"env": "WEIR_UNSET_USER"}, "password": {"env": "WEIR_UNSET_PASSWORD"}}}}

    job = base.make(suite, "unset", live)
    place = ["--lake", job.lake, "--store", job.store]
    for name, arguments, words, absent in [
            ("weir run", ["run", job.pipeline, *place], ["sasl.password", "WEIR_UNSET_PASSWORD", "source.kafka.brokers"], None),
            ("weir run --brokers", ["run", job.pipeline, "--brokers", "127.0.0.1:9", *place], ["sasl.user", "WEIR_UNSET_USER"], "WEIR_UNSET_BROKERS"),
            ("weir capture", ["capture", job.pipeline, "--out", suite.path("unset-capture")], ["source.kafka.brokers", "WEIR_UNSET_BROKERS"], None),
            # Neither connects: they are stopped by what they miss themselves.
            ("weir ledger verify", ["ledger", "verify", job.pipeline, "--lake", job.lake], ["there is no ledger", job.lake, "--lake DIR"], "WEIR_UNSET"),
            ("weir replay", ["replay", job.pipeline, "--capture", "nowhere", *place], ["nowhere", "weir capture"], "WEIR_UNSET")]:
        run = common.Result([suite.weir, *arguments])
        faults = said(run, 2, *words) + ([f"{absent} is told: {run.talk}"] if absent and absent in run.err else [])
        suite.claim(f"variables that are not set, {name}: those that it uses are named, others are not", faults)
    run = common.Result([suite.weir, "check", job.pipeline])
    faults = [] if run.code == 0 and run.err.count("warning: source.kafka") == 3 else [f"{run.code}: {run.talk}"]
    suite.claim("weir check reports unset variables as warnings", faults)


def what_is_shown(suite):
    """Null keys can be queried and differ from empty texts; positions are the source's; reasons name their expression."""
    import csv
    import re
    path = suite.path("keys.yaml")
    with open(path, "w") as f:
        f.write("pipeline: keys\nsource: {capture: {stream: s}}\nrecord: {key: k, fields: {k: string, n: int64}}\n"
                "state: {u: {by: [k, n], measure: {c: count(), top: max(k)}}}\n")
    capture, store = suite.path("keys.ndjson"), suite.path("keys-store")
    keys = [("", -1), (None, -1), ("a,\u0301b", None), (None, None)]
    with open(capture, "w") as f:
        f.writelines(json.dumps({"k": k, "n": n}) + "\n" for k, n in keys)
    run = common.Result([suite.weir, "replay", path, "--capture", capture, "--lake", suite.path("keys-lake"), "--store", store, "--json"])
    scan = common.Result([suite.weir, "state", "scan", "u", "--store", store, "--format", "csv"])
    lines = scan.out.split("\n")
    faults = run.fault() + [f"{line!r} is not in {lines}" for line in ('"",-1,1,""', ',-1,1,', ',,1,') if line not in lines]
    if not any(row[:2] == ["a,\u0301b", ""] for row in csv.reader(lines)):
        faults.append(f"a comma under a combining mark: {lines}")
    suite.claim("state scan --format csv: null is an empty field, the empty text is in quotes", faults)
    faults = []
    for k, n in keys:
        nulls = [a for name, value in (("k", k), ("n", n)) if value is None for a in ("--null", name)]
        found = common.Result([suite.weir, "state", "get", "u", "--store", store, "--format", "json", *nulls, "--",
                               *[str(v) for v in (k, n) if v is not None]])
        row = json.loads(found.out or "{}")
        if found.code or (row.get("k"), row.get("n")) != (k, n):
            faults.append(f"{k!r}, {n!r}: {found.code}, {found.out.strip()}{found.talk}")
    suite.claim("state get finds keys with null, with the empty text, and negative ones", faults)

    shown = [int(m) for m in re.findall(r"to byte (\d+)", base.job.ledger("show").out)]
    faults = [] if shown == sorted(shown) and shown and shown[-1] == len(base.data) else [f"the positions are {shown} of {len(base.data)} bytes"]
    suite.claim("ledger show reports bytes of the capture, also where a table is merged", faults)

    import tables
    rows = tables.read_delta(base.job.lake, "quarantine/synthetic").to_pylist()
    reasons = {row["reason"] for row in rows if row["stage"] == "expression"}
    faults = [r for r in reasons if not re.match(r"(silver|gold|state)\.\w+(\.\w+)*: ", r)]
    if "silver.scaled: overflow in n * 16777216" not in reasons:
        faults.append(f"no overflow of silver.scaled among {sorted(reasons)[:5]}")
    suite.claim("the reasons of stage expression say which expression of which table", faults)


def read_beside_a_worker(suite):
    """The state table can be opened and read at any moment while a worker makes its file larger."""
    path, capture, store = suite.path("grow.yaml"), suite.path("grow.ndjson"), suite.path("grow-store")
    with open(path, "w") as f:
        f.write("pipeline: grow\nsource: {capture: {stream: s}}\nrecord: {key: k, fields: {k: string!}}\n"
                "state: {u: {by: [k], measure: {c: count(), top: max(k)}}}\nlake: {flush: {bytes: 4MiB}}\n")
    with open(capture, "w") as f:
        f.writelines('{"k":"key-%d-%s"}\n' % (i * 7919 % 400_000, "x" * 90) for i in range(400_000))
    worker = subprocess.Popen([suite.weir, "replay", path, "--capture", capture, "--lake", suite.path("grow-lake"), "--store", store],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    faults, reads = [], 0
    while worker.poll() is None:
        run = common.Result([suite.weir, "state", "scan", "u", "--limit", "1", "--store", store])
        reads += run.code == 0
        if run.code and not any(w in run.err for w in ("there is no state table", "no state table in")):
            faults.append(f"ended with {run.code}: {run.talk}")
    if worker.returncode:
        faults.append(f"the worker ended with {worker.returncode}: {worker.stderr.read()[-500:]}")
    suite.claim(f"the state table is read while a worker enlarges it ({'some' if reads else 'no'} reads)", faults or ([] if reads else ["no read"]))


def other_service(suite):
    """`weir doctor` at a port where another service listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(b"SSH-2.0-Service\r\n")
                        connection.recv(1 << 16)
        threading.Thread(target=serve, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        path = suite.path("other-service.yaml")
        with open(path, "w") as f:
            f.write(f"pipeline: p\nsource: {{kinesis: {{stream: st, app: application, start: '2099-01-01T00:00:00Z', endpoint: '{address}', lease_endpoint: '{address}'}}}}\n"
                    f"record: {{fields: {{id: string}}}}\nbronze: {{}}\nlake: {{path: '{suite.path('other-service-lake')}'}}\n")
        environment = dict(os.environ, AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="y", AWS_REGION="eu-central-1")
        run = common.Result([suite.weir, "doctor", path], environment=environment)
        server.shutdown(socket.SHUT_RDWR)
    with open(path, "w") as f:
        f.write(f"pipeline: p\nsource: {{kafka: {{brokers: '127.0.0.1:1', topic: t, group: g, start: '2099-01-01T00:00:00Z'}}}}\n"
                f"record: {{fields: {{id: string}}}}\nbronze: {{}}\nlake: {{path: '{suite.path('other-service-lake')}'}}\n")
    kafka = common.Result([suite.weir, "doctor", path], environment=environment)
    started = subprocess.Popen([suite.weir, "run", path], stderr=subprocess.PIPE, text=True, env=environment)
    lines = [next((line for line in iter(started.stderr.readline, "") if "in the future" in line), "")]
    started.kill()
    started.communicate()
    failed = [line for line in run.out.splitlines() if line.startswith("FAILED")]
    faults = [] if run.code == 1 and len(failed) == 2 else [f"ended with {run.code}: {run.out}{run.talk}"]
    faults += [line for line in failed if "the answer is not HTTP" not in line or "Allow" in line or "Nothing is lost" in line]
    faults += [] if "source.kinesis.start: 2099-01-01" in run.out and "in the future" in run.out else [f"start: {run.out}"]
    faults += [] if kafka.code == 0 and "source.kafka.start: 2099-01-01" in kafka.out and "read from their end" in kafka.out else [f"kafka: {kafka.out} {kafka.talk}"]
    faults += [] if lines and "read from their end" in lines[0] else [f"weir run: {lines}"]
    suite.claim("weir doctor says that another service listens, without advice on permissions and workers, and that a start is in the future", faults)


def large_parent(suite):
    """The peak of resident memory is that of the program itself."""
    code = ("import subprocess, sys\nheld = bytearray(600 << 20)\nfor i in range(0, len(held), 4096): held[i] = 1\n"
            "sys.exit(subprocess.call(sys.argv[1:]))")
    job = base.make(suite, "parent")
    run = common.Result([sys.executable, "-c", code, suite.weir, "replay", job.pipeline, "--capture", base.capture, "--lake", job.lake,
                         "--store", job.store, "--json"])
    peak = run.done.get("memory", {}).get("peak_resident") or 0
    suite.claim("a large parent process does not count as resident memory",
                [] if run.code == 0 and 0 < peak < 500 << 20 else [f"exit code {run.code}, peak_resident {peak}: {run.talk}"])


common.Suite("failures_are_explained", 600, __doc__).run(
    undisturbed, full_disk, full_beside_pipe, read_only, keep_open, other_capture, grown, other_lanes, changed_pipeline, other_ledger, lost_store,
    two_workers, bad_input, late_records, bad_pipeline, command_lines, unset_variables, what_is_shown, read_beside_a_worker, other_service, large_parent)
