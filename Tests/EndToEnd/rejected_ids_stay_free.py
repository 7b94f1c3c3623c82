#!/usr/bin/env python3
"""A record that an expression's error sends to quarantine uses up no dedup id: its corrected re-send reaches every table, and a failing
re-send of an accepted id is quarantined. So for any number of lanes, and across kills and resumes."""
import json
import os
import random
import signal
import subprocess

import common
import tables

LANES = (1, 3, 64)
# An error where n is 7, in each place that a pipeline may have an expression; each is harmless elsewhere.
ERROR = "cast(case when n = 7 then 'x' else '1' end as int64)"
PLACES = {
    "silver": {"silver": {"columns": f"*, {ERROR} as one"}},
    "gold.where": {"gold": {"g": {"where": f"{ERROR} = 1", "by": ["k"], "window": {"tumbling": "10s"}, "measure": {"rows": "count()"}}}},
    "gold.by": {"gold": {"g": {"by": ["k", f"{ERROR} as one"], "window": {"tumbling": "10s"}, "measure": {"rows": "count()"}}}},
    "gold.measure": {"gold": {"g": {"by": ["kind"], "window": {"tumbling": "10s"}, "measure": {"ones": f"sum({ERROR})"}}}},
    "state.where": {"state": {"s": {"where": f"{ERROR} = 1", "by": ["k"], "measure": {"rows": "count()"}}}},
    "state.by": {"state": {"s": {"by": ["kind", f"{ERROR} as one"], "measure": {"rows": "count()"}}}},
    "state.measure": {"state": {"s": {"by": ["k"], "measure": {"ones": f"sum({ERROR})"}}}},
    "lookup": {"silver": {"columns": f"*, kinds.weight * {ERROR} as weighed"}},
}


def pipeline(suite, name, part):
    """A pipeline that has, beside `part`, a table of every kind without errors."""
    spec = {
        "pipeline": "ids", "source": {"capture": {"stream": "s"}},
        "record": {"format": "json", "key": "k", "time": {"field": "t", "out_of_order": "2s"},
                   "fields": {"id": "string!", "k": "string!", "kind": "string", "n": "int64", "t": "timestamp_ms!"}},
        "checks": [{"name": "positive", "that": "n >= 0"}],
        "dedup": {"id": "id", "within": "1h"},
        "lookups": {"kinds": {"file": "kinds.csv", "key": "kind", "columns": {"weight": "int64"}}},
        "bronze": {}, "silver": {"columns": "*"},
        "gold": {"all": {"by": ["kind"], "window": {"tumbling": "10s"}, "measure": {"rows": "count()", "total": "sum(n)"}}},
        "state": {"keys": {"by": ["k"], "measure": {"rows": "count()", "last": "max(t)"}}},
        "lake": {"path": "./lake"}, "store": {"lmdb": "./state"},
    }
    for section, tables_ in part.items():
        spec[section] = tables_ if section == "silver" else spec[section] | tables_
    os.makedirs(suite.path(name), exist_ok=True)
    with open(suite.path(name, "kinds.csv"), "w") as f:
        f.write("kind,weight\na,2\nb,3\n")
    path = suite.path(name, "ids.yaml")
    with open(path, "w") as f:
        json.dump(spec, f)
    return path


def capture(suite, name, records):
    path = suite.path(name)
    with open(path, "w") as f:
        for record in records:
            f.write(json.dumps(record) + "\n")
    return path


def record(number, key, n, time):
    return {"id": f"e{number}", "k": key, "kind": "ab"[number % 2], "n": n, "t": time}


def stories(count):
    """Records, and what must become of each id: (ids in silver, positions of (id, n) in quarantine, duplicates)."""
    r = random.Random(7)
    records, accepted, quarantined, duplicates, time = [], [], [], 0, 1_700_000_000_000
    for number in range(count):
        key = f"k{r.randrange(40)}"
        story = r.choice(["good", "good", "error, corrected", "accepted, error", "error twice, corrected, again", "check, corrected", "error only"])
        steps = {"good": "g", "error, corrected": "eg", "accepted, error": "ge", "error twice, corrected, again": "eeggeg",
                 "check, corrected": "cg", "error only": "e"}[story]
        seen = False
        for step in steps:
            time += r.randrange(30)
            records.append(record(number, key, {"g": 1, "e": 7, "c": -1}[step], time))
            if step != "g":
                quarantined.append((f"e{number}", records[-1]["n"]))
            elif seen:
                duplicates += 1
            else:
                accepted.append(f"e{number}")
                seen = True
    return records, accepted, quarantined, duplicates


def own_faults(job, accepted, quarantined, duplicates):
    """Against what the stories say, which the reference does not know."""
    faults = []
    done = job.replay().done
    wanted = {"accepted": len(accepted), "quarantined": len(quarantined), "duplicate": duplicates, "filtered": 0}
    faults += [f"{name}: {done.get(name)}, expected {n}" for name, n in wanted.items() if done.get(name) != n]
    silver = tables.read_delta(job.lake, "silver/s")["id"].to_pylist()
    if sorted(silver) != sorted(accepted):
        faults.append(f"silver has other ids: {sorted(set(silver) ^ set(accepted))[:5]}")
    bad = [json.loads(v) for v in tables.read_delta(job.lake, "quarantine/s")["value"].to_pylist()]
    if sorted((b["id"], b["n"]) for b in bad) != sorted(quarantined):
        faults.append("quarantine has other records")
    return faults


def places(suite):
    records, *wanted = stories(60 if suite.quick else 400)
    for name, part in PLACES.items():
        for lanes in LANES:
            path = pipeline(suite, f"{name}-{lanes}", part)
            job = common.Job(suite, suite.path(f"{name}-{lanes}", "run"), path, capture(suite, "places.ndjson", records), lanes)
            run = job.replay()
            faults = run.fault() or job.faults() + own_faults(job, *wanted) + job.verify_faults()
            suite.claim(f"{name}: errors use up no id, {lanes} lanes", faults)


def resumes(suite):
    """The error is in one run and the corrected record in the next, behind a snapshot of the lane's ids."""
    records, *wanted = stories(300)
    whole = capture(suite, "resumes.ndjson", records)
    for lanes in LANES:
        path = pipeline(suite, f"resumes-{lanes}", PLACES["silver"] | PLACES["state.measure"])
        job = common.Job(suite, suite.path(f"resumes-{lanes}", "run"), path, whole, lanes, flush=2000)
        faults = []
        for part in (1, 3, 8):
            short = capture(suite, f"resumes-{lanes}.ndjson", records[:len(records) * part // 8])
            run = job.replay("--keep-open", captures=[short])
            faults += run.fault()
        run = job.replay(captures=[suite.path(f"resumes-{lanes}.ndjson")])
        faults += run.fault() or job.faults() + own_faults(job, *wanted) + job.verify_faults()
        suite.claim(f"errors use up no id across resumes, {lanes} lanes", faults)


def kills(suite):
    records, *wanted = stories(400)
    whole = capture(suite, "kills.ndjson", records)
    for lanes in LANES:
        path = pipeline(suite, f"kills-{lanes}", PLACES["silver"])
        job = common.Job(suite, suite.path(f"kills-{lanes}", "run"), path, whole, lanes, flush=1000)
        killed = 0
        for _ in range(2 if suite.quick else 6):
            process = job.start()
            try:
                process.communicate(timeout=0.05 + suite.random.random() * 0.4)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                killed += 1
        run = job.replay()
        faults = run.fault() or job.faults() + own_faults(job, *wanted) + job.verify_faults()
        suite.claim(f"errors use up no id across {killed} kills, {lanes} lanes", faults)


common.Suite("rejected_ids_stay_free", 600, __doc__).run(places, resumes, kills)
