#!/usr/bin/env python3
"""Replays with ledger and lake in a bucket and state in DynamoDB lose nothing and double nothing: killed at any write, with whatever may
happen to a request and its answer; other programs read what they wrote.

Once with moto and once with ministack.
"""
import contextlib
import json
import os
import random
import subprocess
import sys

import common
import aws
import compare
import duckdb
import polars
import remote
from aws_faults import FaultProxy, Plan, Trap
from deltalake import DeltaTable

KILLS, KILLS_QUICK = 50, 3
# Of one lake; then it is finished, and compared.
KILLS_A_LAKE = 10
RECORDS, RECORDS_QUICK = 12_000, 1_500
WRITES = ("entry", "Delta commit", "blob", "data file", "PutItem", "TransactWriteItems")
RUNS_MAX = 8


class Kills:
    """Replays that are killed at writes."""

    def __init__(self, suite, proxy, job):
        self.suite, self.proxy, self.job, self.hit, self.faults = suite, proxy, job, 0, []

    def end(self, process):
        """Waits for a process that nothing kills, or that a trap kills."""
        try:
            _, said = process.communicate(timeout=common.PATIENCE * 4)
        except subprocess.TimeoutExpired:
            process.kill()
            self.faults.append(f"it hangs: {process.communicate()[1][-500:]}")
            return
        if process.returncode not in (0, 1, -9) or any(crash in said for crash in common.CRASHES):
            self.faults.append(f"exit {process.returncode}: {said[-500:]}")

    def kill(self, kinds):
        """Kills a run at one of its next writes; in some of them two run at the same time, by mistake."""
        rng = self.suite.random
        processes = [self.job.start() for _ in range(2 if rng.random() < 0.3 else 1)]
        victim = processes[0]
        self.proxy.arm(Trap(rng.choice(kinds), rng.randrange(1, 6), rng.random() < 0.5, victim.kill))
        for process in processes:
            self.end(process)
        self.proxy.arm(None)
        self.hit += victim.returncode == -9
        return victim.returncode == -9

    def finish(self):
        """Runs until one ends well."""
        for _ in range(RUNS_MAX):
            run = self.job.replay()
            if run.code != 1:
                break
            self.faults += [f"{crash}: {run.talk}" for crash in common.CRASHES if crash in run.err]
        self.faults += run.fault()
        self.proxy.plan.is_on = False
        self.faults += self.job.faults() + self.job.verify_faults()
        again = self.job.replay()
        self.faults += again.fault() + ([] if again.done.get("end") == "unchanged" else [f"one more run: {again.done or again.talk}"])
        self.proxy.plan.is_on = True
        return self.faults

    def rebuild(self):
        """Rebuilds of the state table that are killed, sometimes two at a time; then one that is not."""
        command = [self.suite.weir, "state", "rebuild", self.job.pipeline, "--lake", self.job.lake, "--store", self.job.store]
        rng, hit = self.suite.random, 0
        for _ in range(2 if self.suite.quick else 6):
            processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=self.job.environment)
                         for _ in range(2 if rng.random() < 0.3 else 1)]
            self.proxy.arm(Trap(rng.choice(["PutItem", "TransactWriteItems"]), rng.randrange(1, 20), rng.random() < 0.5, processes[0].kill))
            for process in processes:
                self.end(process)
            self.proxy.arm(None)
            hit += processes[0].returncode == -9
        for _ in range(RUNS_MAX):
            run = common.Result(command, environment=self.job.environment)
            if run.code != 1:
                break
        self.proxy.plan.is_on = False
        self.faults += run.fault() + self.job.faults() + self.job.verify_faults()
        self.proxy.plan.is_on = True
        return hit


def killed(suite, make):
    """Replays of hard records through faults of all kinds, killed at writes."""
    name = make.__name__
    with remote.running(make, suite) as server:
        plan = Plan(suite.arguments.seed, 1 if suite.quick else 4, often=0.5 if suite.quick else 0.3)
        # moto's conditional writes and transactions are atomic only one at a time.
        proxy = FaultProxy(server, plan, is_serial=make is aws.moto)
        faults, kills, lakes = [], KILLS_QUICK if suite.quick else KILLS, 0
        hit = tries = 0
        capture = common.synthetic(suite.arguments.seed, RECORDS_QUICK if suite.quick else RECORDS)
        while hit < kills and tries < 3 * kills:
            lakes += 1
            job = remote.RemoteJob(suite, f"{name}-{lakes}", "synthetic", capture, server, proxy, lanes=2, flush="48KiB", change=small)
            work = Kills(suite, proxy, job)
            for _ in range(min(KILLS_A_LAKE, kills - hit)):
                tries += 1
                work.kill(WRITES)
                if work.hit >= min(KILLS_A_LAKE, kills - hit):
                    break
            faults += [f"lake {lakes}: {fault}" for fault in work.finish()]
            hit += work.hit
        before = len(work.faults)
        rebuilt = work.rebuild()
        suite.claim(f"{name}: rebuilds of the state table, {rebuilt} of them killed, leave its rows", work.faults[before:])
        # What is left of the faults, without kills.
        for _ in range(3):
            if not (left := plan.missing([*WRITES, *([] if suite.quick else ["UpdateItem"])])):
                break
            lakes += 1
            job = remote.RemoteJob(suite, f"{name}-{lakes}", "synthetic", capture, server, proxy, lanes=2, flush="48KiB", change=small)
            plan.often = 0.6
            faults += [f"lake {lakes}: {fault}" for fault in Kills(suite, proxy, job).finish()]
        proxy.close()
        suite.claim(f"{name}: {hit} kills at writes, and each fault on each kind of write, lose nothing and double nothing ({lakes} lakes)", faults + left)
        suite.note(plan.report())
        suite.note(str(dict(proxy.seen)))


def small(spec):
    spec["store"] = {**spec["store"], "flush": "100ms", "share": "90%"}


def on_moto(suite):
    """moto"""
    killed(suite, aws.moto)


def on_ministack(suite):
    """ministack"""
    killed(suite, aws.ministack)


# -- Uploads in parts

WIDE = """
pipeline: wide
source: {capture: {stream: wide}}
record: {format: json, key: id, time: {field: at, out_of_order: 5s}, fields: {id: string!, at: timestamp_ms!, note: string!}}
dedup: {id: id, within: 10s}
bronze: {}
silver: {}
state: {last: {by: [id], measure: {rows: count()}}}
lake: {path: ./lake, flush: {bytes: 20MiB}, codec: none}
store: {lmdb: ./state, flush: 1s}
"""


def large(suite):
    """Files that are sent in parts: kills and faults at each step of an upload"""
    pipeline, capture, rng = suite.path("wide.yaml"), suite.path("wide.ndjson"), random.Random(suite.arguments.seed)
    with open(pipeline, "w") as f:
        f.write(WIDE)
    # Notes that no codec and no dictionary makes smaller; few keys.
    with open(capture, "w") as f:
        for i in range(5_000 if suite.quick else 16_000):
            f.write(f'{{"id":"r{i % 40}","at":{1767225600000 + i // 40 * 20_000},"note":"{rng.randbytes(4000).hex()}"}}\n')
    kinds = ("begin upload", "upload part", "end upload")
    with remote.running(aws.ministack, suite) as server:
        plan = Plan(suite.arguments.seed, 1 if suite.quick else 3, often=0.5, kinds=kinds)
        proxy = FaultProxy(server, plan)
        job = remote.RemoteJob(suite, "wide", pipeline, capture, server, proxy, lanes=1)
        work = Kills(suite, proxy, job)
        for _ in range(2 if suite.quick else 6):
            work.kill(kinds)
        faults = work.finish()
        proxy.close()
        uploads = proxy.seen["end upload"]
        suite.claim(f"{large.__doc__} ({work.hit} kills, {uploads} uploads ended)", faults + ([] if uploads else ["nothing was sent in parts"]))
        suite.note(plan.report())


def read_by_others(suite):
    """Other programs list and read what Weir wrote"""
    with remote.running(aws.ministack, suite) as server:
        job = remote.RemoteJob(suite, "others", "synthetic", common.synthetic(suite.arguments.seed, 2_000), server, lanes=2, change=small)
        suite.claim("a replay into a bucket and a table of DynamoDB equals the reference", job.replay().fault() + job.faults())
        copy = job.local()
        files = {os.path.relpath(os.path.join(d, name), copy) for d, _, names in os.walk(copy) for name in names}
        suite.claim("awscli lists and copies the lake as boto3 does, and reads the state table", by_awscli(suite, job, copy, files))
        faults = []
        options = remote.storage_options(server)
        for name in common.tables.delta_tables(copy):
            wanted = common.tables.read_delta(copy, name)
            address = f"{job.lake}/{name}"
            dataset = DeltaTable(address, storage_options=options).to_pyarrow_dataset()
            for reader, read in (("deltalake", lambda: DeltaTable(address, storage_options=options).to_pyarrow_table()),
                                 ("pyarrow", dataset.to_table),
                                 ("polars", lambda: polars.read_delta(address, storage_options=options).to_arrow()),
                                 ("DuckDB", lambda: duckdb.from_arrow(dataset).to_arrow_table())):
                rows = read()
                if set(rows.column_names) != set(wanted.column_names):
                    faults.append(f"{name} by {reader}: columns {rows.column_names}")
                    continue
                faults += [f"{name} by {reader}: {fault}" for fault in compare.row_faults(wanted, rows.select(wanted.column_names))]
        suite.claim("deltalake, pyarrow, polars and DuckDB open each table in the bucket, with equal rows", faults)


def by_awscli(suite, job, copy, files):
    program = os.path.join(os.path.dirname(sys.executable), "aws")

    def say(*words):
        run = common.Result([program, "--endpoint-url", job.server.url, *words], environment={**job.environment, "AWS_DEFAULT_REGION": remote.REGION})
        if run.code:
            raise RuntimeError(f"aws {' '.join(words)}: {run.talk}")
        return run.out
    faults = []
    listed = say("s3", "ls", "--recursive", job.lake + "/")
    found = {line.split(maxsplit=3)[3].removeprefix(job.prefix + "/") for line in listed.splitlines() if line}
    faults += [] if found == files else [f"listed {len(found)} objects of {len(files)}: {sorted(found ^ files)[:3]}"]
    other = suite.path("awscli-copy")
    say("s3", "cp", "--recursive", "--quiet", job.lake, other)
    for name in sorted(files):
        with open(os.path.join(copy, name), "rb") as f, open(os.path.join(other, name), "rb") as g:
            faults += [] if f.read() == g.read() else [f"{name} differs"]
    scan = say("dynamodb", "scan", "--consistent-read", "--table-name", "weir-others", "--filter-expression", "begins_with(pk, :p) and attribute_exists(measures)",
                "--expression-attribute-values", '{":p": {"S": "row#users#"}}', "--select", "COUNT", "--output", "json")
    rows = len(common.tables.scan_lines(suite.weir, "users", job.store))
    count = json.loads(scan)["Count"]
    return faults + ([] if count == rows and rows else [f"awscli counts {count} rows, weir {rows}"])


LOOKING = """
pipeline: looking
source: {capture: {stream: s}}
record: {format: json, key: k, time: {field: at, out_of_order: 5s}, fields: {k: string!, at: timestamp_ms!}}
lookups: {names: {file: "s3://BUCKET/names.ndjson", key: k, columns: {name: string, rank: int64}}}
silver: {columns: "*, names.name, names.rank"}
state: {last: {by: [k], measure: {n: count()}}}
lake: {path: "s3://BUCKET/looking"}
store: {dynamodb: {table: weir-looking, region: REGION, endpoint: "ITEMS"}}
"""


def looking(suite):
    """Commands that only look"""
    pipeline, capture = suite.path("looking.yaml"), suite.path("looking.ndjson")
    with open(capture, "w") as f:
        f.writelines(f'{{"k":"k{i % 7}","at":{1767225600000 + i}}}\n' for i in range(300))

    def write(items):
        with open(pipeline, "w") as f:
            f.write(LOOKING.replace("BUCKET", remote.BUCKET).replace("REGION", remote.REGION).replace("ITEMS", items))

    with remote.running(aws.ministack, suite) as server, contextlib.closing(aws.Silent()) as silent:
        objects = remote.client("s3", server)
        variables = aws.environment(suite, **aws.KEYS, AWS_REGION=remote.REGION, AWS_ENDPOINT_URL_S3=server.url)
        write(server.url)

        def weir(*words, **more):
            return common.Result([suite.weir, *words], environment={**variables, **more})
        # `rank` is declared, and no object has it.
        objects.put_object(Bucket=remote.BUCKET, Key="names.ndjson", Body=b'{"k":"k1","name":"one"}\n')
        faults = weir("replay", pipeline, "--capture", capture, "--json").fault()
        silver = DeltaTable(f"s3://{remote.BUCKET}/looking/silver/s", storage_options=remote.storage_options(server)).to_pyarrow_table().to_pylist()
        faults += [f"{row}" for row in silver if row["rank"] is not None][:1]
        faults += [] if sum(row["name"] == "one" for row in silver) == 43 else [f"{silver[:2]}"]
        suite.claim("a column of a lookup that is declared, and that no object has, is null", faults)
        suite.claim(f"{looking.__doc__} name an endpoint that never answers, and ask it once", unanswered(suite, weir, pipeline, write, server, silent))
        write(server.url)
        objects.delete_object(Bucket=remote.BUCKET, Key="names.ndjson")
        faults = []
        for words, shown in ((("ledger", "show", pipeline), "total"), (("state", "scan", "last", "--pipeline", pipeline), "k1"),
                             (("state", "get", "last", "k1", "--pipeline", pipeline), "k1"), (("ledger", "verify", pipeline), "all agree"),
                             (("doctor", pipeline), "the state table can be read")):
            run = weir(*words)
            faults += [] if run.code == 0 and shown in run.out else [f"{words[0]} {words[1]}: exit {run.code}: {run.out[-200:]} {run.talk}"]
        missing = weir("check", pipeline)
        faults += [] if missing.code == 2 and "[no_file]" in missing.err else [f"check: {missing.talk}"]
        suite.claim(f"{looking.__doc__} at ledger and state need no object of a lookup", faults)


def unanswered(suite, weir, pipeline, write, server, silent):
    """Faults of commands whose objects, or items, are at an endpoint that never answers."""
    faults = []

    def expect(what, run, code, *words, connections=1):
        nonlocal seen
        said = run.out + run.err
        asked, seen = silent.connections - seen, silent.connections
        faults.extend(f"{what}: no {word} in {said[-400:]}" for word in (silent.url, *words) if word not in said)
        faults.extend([] if run.code == code else [f"{what}: exit {run.code}: {run.talk}"])
        faults.extend([] if asked <= connections else [f"{what}: {asked} connections"])
        faults.extend([f"{what}: {said[-300:]}"] if "resumes" in said else [])
    seen = silent.connections
    objects = {"AWS_ENDPOINT_URL_S3": silent.url}
    for command in ("check", "explain"):
        expect(command, weir(command, pipeline, **objects), 2, "[unavailable]", "names.ndjson")
    expect("ledger show", weir("ledger", "show", pipeline, **objects), 1)
    bad = weir("doctor", pipeline, **objects)
    expect("doctor", bad, 1)
    failed = [line for line in bad.out.splitlines() if line.startswith("FAILED")]
    faults += [] if len(failed) == 1 and "the state table can be read" in bad.out else [f"doctor: {bad.out}"]
    write(silent.url)
    expect("state scan", weir("state", "scan", "last", "--pipeline", pipeline), 1)
    # What is known is shown at once: here while the state table's endpoint is still waited for. Where the cores are busy the other
    # answers can take as long as that wait, so one of three runs has to show it; a doctor that waits for all answers never does.
    for _ in range(3):
        late, wrong = doctor_waits(suite, pipeline, server, silent)
        if wrong or not late:
            break
    faults += wrong + (["doctor: its first line came after the last answer, three times"] if late else [])
    return faults


def doctor_waits(suite, pipeline, server, silent):
    """Whether the doctor's first line came after it had given up, and what is wrong with its output."""
    silent.gave_up.clear()
    doctor = subprocess.Popen([suite.weir, "doctor", pipeline], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=aws.environment(suite, **aws.KEYS, AWS_REGION=remote.REGION, AWS_ENDPOINT_URL_S3=server.url))
    first = doctor.stdout.readline()
    late = silent.gave_up.is_set()
    rest, err = doctor.communicate(timeout=common.PATIENCE)
    failed = [line for line in rest.splitlines() if line.startswith("FAILED")]
    is_wrong = not first.startswith("ok") or doctor.returncode != 1 or len(failed) != 1 or silent.url not in failed[0]
    return late, [f"doctor: exit {doctor.returncode}: {first} {rest} {err}"] if is_wrong else []


if __name__ == "__main__":
    common.Suite("endpoints_fail_anywhere", 120, __doc__).run(on_moto, on_ministack, large, looking, read_by_others, together=3)
