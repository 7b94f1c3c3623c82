#!/usr/bin/env python3
"""Input that does not fit the pipeline is not rejected in silence: a first try with CSV, a text log, nested fields, times without a zone,
numbers as text, pretty-printed JSON, Parquet and others does not exit 0, commits no record, and the message has the reason, a sample
with its position, and the right hint."""
import io
import json
import os
import re

import common
import broker
import pyarrow as pa
import pyarrow.parquet
import tables

N = 1500                # records of a try; more than the 1,000 that are looked at


def plan(suite, name, fields=None, **sections):
    fields = fields or {"user_id": "string!", "amount": "decimal(12,2)", "at": "timestamp!"}
    spec = {"pipeline": "first", "source": {"capture": {"stream": "s"}},
            "record": {"format": "json", "key": "user_id", "time": {"field": "at", "out_of_order": "5s"}, "fields": fields},
            "bronze": {}, "silver": {"columns": "*"},
            "gold": {"totals": {"by": ["user_id"], "window": {"tumbling": "1m"}, "measure": {"rows": "count()"}}},
            "lake": {"path": "./lake"}, "store": {"lmdb": "./state"}} | sections
    os.makedirs(suite.path(name), exist_ok=True)
    path = suite.path(name, "first.yaml")
    with open(path, "w") as f:
        json.dump(spec, f)
    return path


def job(suite, name, content, lanes=None, flush=None, **more):
    capture = suite.path(f"{name}.input")
    with open(capture, "wb") as f:
        f.write(content)
    return common.Job(suite, suite.path(name, "run"), plan(suite, name, **more), capture, lanes, flush)


def lines(rows):
    return "".join(json.dumps(r) + "\n" for r in rows).encode()


def good(i, **changes):
    return {"user_id": f"u{i % 7}", "amount": i / 4, "at": f"2026-03-01T{i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d}Z"} | changes


def without(record, *names):
    return {k: v for k, v in record.items() if k not in names}


def parquet():
    out = io.BytesIO()
    pa.parquet.write_table(pa.table({"user_id": [f"u{i}" for i in range(3000)], "amount": [i / 4 for i in range(3000)]}), out)
    return out.getvalue()


CSV = "user_id,amount,at\n" + "".join(f"u{i},{i}.5,2026-03-01T00:00:00Z\n" for i in range(N))
NGINX = "".join(f'192.0.2.{i % 250} - - [01/Mar/2026:13:00:{i % 60:02d} +0100] "GET /p/{i} HTTP/1.1" 200 {i} "-" "curl/8.0"\n' for i in range(N))
ROWS = [good(i) for i in range(N)]
# Of each try: the input, and what the message must have.
TRIES = {
    "csv": (CSV.encode(), "write format: {csv: {header: true}}"),
    "csv with semicolons": (CSV.replace(",", ";").encode(), "{csv: {header: true, delimiter: ';'}}"),
    "tsv": (CSV.replace(",", "\t").encode(), "{tsv: {header: true}}"),
    "nginx text": (NGINX.encode(), "{text: {pattern:"),
    "application log": ("".join(f"2026-03-01 10:00:{i % 60:02d} INFO [main] order {i} was paid\n" for i in range(N)).encode(), "text log"),
    "nested fields": (lines({"user": {"id": r["user_id"], "name": "x"}} | without(r, "user_id") for r in ROWS), "nested, at user.id"),
    "nested deeper": (lines({"meta": {"source": {"user_id": r["user_id"]}}} | without(r, "user_id") for r in ROWS), "nested, at meta.source.user_id"),
    "other spelling": (lines({"userId": r["user_id"]} | without(r, "user_id") for r in ROWS), "the record has userId"),
    "a typing error": (lines({"user_ids": r["user_id"]} | without(r, "user_id") for r in ROWS), "no user_id, but user_ids"),
    "times without a zone": (lines(r | {"at": r["at"][:-1]} for r in ROWS), "zone: Europe/Berlin"),
    "times as milliseconds": (lines(r | {"at": 1_772_323_200_000 + i} for i, r in enumerate(ROWS)), "timestamp_ms"),
    "numbers as text": (lines(r | {"amount": str(r["amount"])} for r in ROWS), "coerce: true"),
    "numbers with a decimal comma": (lines(r | {"amount": str(r["amount"]).replace(".", ",")} for r in ROWS), "decimal comma"),
    "pretty-printed JSON": ("".join(json.dumps(r, indent=2) + "\n" for r in ROWS).encode(), "several lines per record"),
    "one JSON array": (json.dumps(ROWS).encode(), "a JSON array"),
    "one JSON array, a record a line": (("[\n" + ",\n".join(json.dumps(r) for r in ROWS) + "\n]\n").encode(), "a JSON array"),
    "utf-16": (lines(ROWS).decode().encode("utf-16"), "UTF-16"),
    "parquet": (parquet(), "Parquet"),
    "xml": ("".join(f"<order><id>{i}</id></order>\n" for i in range(N)).encode(), "XML"),
    "a dictionary of Python": ("".join(f"{r}\n" for r in ROWS).encode(), "double quotes"),
}


def committed(job):
    """Records that an entry counts, and rows of tables."""
    return [f"entry {e['number']} has records" for e in job.entries() if any(sum(l["counts"].values()) for l in e["lanes"])] + \
        [f"{t} has rows" for t in tables.delta_tables(job.lake) if tables.read_delta(job.lake, t).num_rows]


def tries(suite):
    for number, (name, (content, hint)) in enumerate(TRIES.items()):
        one = job(suite, name.replace(" ", "-"), content, lanes=(1, 3, 64)[number % 3])
        run = one.replay()
        # Files of other formats may be refused by their first bytes before they are read.
        faults = [] if run.code in (1, 2) else [f"ended with {run.code}: {run.talk}"]
        if hint.lower() not in run.err.lower():
            faults.append(f"no word of {hint!r}: {run.talk}")
        if hint not in ("Parquet", "UTF-16") and not re.search(r"at position \d+ of s: ", run.err):
            faults.append(f"no sample with its position: {run.talk}")
        faults += [f"a control character in {run.err!r}"] if re.search(r"[\x00-\x09\x0b-\x1f\x7f]", run.err) else []
        suite.claim(f"{name}: stops, commits no record, and says: {hint}", faults + committed(one))


def beginnings(suite):
    """What counts as a beginning of which all is rejected."""
    bad = b"no JSON\n"
    cases = {
        "999 rejected records and a good one": (bad * 999 + lines([good(1)]), 3, {}, None),
        "1,000 rejected records and a good one": (bad * 1000 + lines([good(1)]), 1, {}, None),
        "1 rejected record and no more": (bad, 1, {}, None),
        "a good record and 2,000 rejected ones": (lines([good(1)]) + bad * 2000, 3, {}, None),
        "999 rejected ones in epochs of 100 bytes, and good ones": (bad * 999 + lines(good(i) for i in range(1100)), 0, {}, 100),
        "a filtered record among rejected ones": (bad * 500 + lines([good(1, amount=-1)]) + bad * 600, 3,
                                                  {"checks": [{"name": "paid", "that": "amount >= 0", "else": "drop"}]}, None),
        "a failed check in each record": (lines(good(i, amount=-1) for i in range(1100)), 1, {"checks": [{"name": "paid", "that": "amount >= 0"}]}, None),
        "halt_above: 100%": (bad * 1100, 3, {"quarantine": {"halt_above": "100%"}}, None),
        "halt_above: 100% and exit_above: 100%": (bad * 1100, 0, {"quarantine": {"halt_above": "100%", "exit_above": "100%"}}, None),
        "no record": (b"", 0, {}, None),
    }
    for name, (content, code, sections, flush) in cases.items():
        one = job(suite, re.sub(r"\W+", "-", name), content, flush=flush, **sections)
        run = one.replay()
        faults = [] if run.code == code else [f"ended with {run.code}: {run.talk}"]
        if code == 1:
            faults += committed(one)
        elif not faults:
            faults += one.faults() + one.verify_faults()
            done = run.done
            faults += [] if sum(k["count"] for k in done.get("reasons", [])) == done.get("quarantined") else [f"reasons of {done}"]
        suite.claim(f"{name}: exit code {code}", faults)


def shares(suite):
    """Exit code 3 goes by the whole ledger's records."""
    bad, rows = b"no JSON\n", [good(i) for i in range(100)]
    for share, code, setting in ((50, 0, {}), (51, 3, {}), (51, 0, {"quarantine": {"exit_above": "60%"}}), (2, 3, {"quarantine": {"exit_above": "1%"}})):
        wrong = share * 100 // (100 - share) + (share > 50)
        one = job(suite, f"share-{share}-{len(setting)}-{code}", lines(rows) + bad * wrong, **setting)
        run = one.replay()
        again = one.replay()
        faults = [f"ended with {r.code}: {r.talk}" for r in (run, again) if r.code != code]
        if code == 3 and not ("quarantine/s" in run.err and "exit code 3" in run.err):
            faults.append(f"the message: {run.talk}")
        suite.claim(f"{share} % rejected, {setting or 'no setting'}: exit code {code}, the second time too", faults)


def summary(suite):
    """The summary's words."""
    content = lines(good(i) for i in range(50)) + b'{"user_id": "\x1b[31mred"}\n' + lines(good(i, amount="1.5") for i in range(3)) + b"x,y\n" * 5
    one = job(suite, "summary", content)
    command = [a for a in one.command() if a != "--json"]
    run = common.Result(command)
    wanted = ["5 records: decode: ", "hint: this looks like a table with commas (CSV)", "3 records: decode: field amount: expected decimal(12,2), found a string",
              "1 record: decode: "]
    faults = [f"{w!r} is not in {run.out!r}" for w in wanted if w not in run.out]
    faults += ["an escape sequence reached the terminal"] if "\x1b" in run.out + run.err else []
    suite.claim("a summary has the most frequent reasons with counts, samples and hints", faults + ([] if run.code == 0 else [run.talk]))
    one = job(suite, "halt", content, quarantine={"halt_above": "5%"})
    run = one.replay()
    faults = run.refusal_fault("more than the limit of 5.0%") + [f"{w!r} is not in {run.err!r}" for w in wanted if w not in run.err]
    suite.claim("halt_above says the same", faults + committed(one))


def corrected(suite):
    """The corrected pipeline goes on with the lake of the first try."""
    os.makedirs(suite.path("corrected"), exist_ok=True)
    kinds = suite.path("corrected", "kinds.csv")
    with open(kinds, "w") as f:
        f.write("user_id,name\nu1,one\nu2,two\n")
    content = lines({"id": i % 1400, **without(r, "amount"), "sum": str(r["amount"])} for i, r in enumerate(ROWS))
    amount = "cast(sum as decimal(12,2))"
    better = {
        "fields": {"id": "int64!", "user_id": "string!", "sum": "string", "at": "timestamp!"},
        "dedup": {"id": "id", "within": "1h"}, "lookups": {"kinds": {"file": kinds, "key": "user_id"}},
        "bronze": {"partition_by": "day(_arrival)"},
        "silver": {"columns": f"*, {amount} as amount, kinds.name", "partition_by": "day(at)"},
        "gold": {"totals": {"by": ["kinds.name"], "window": {"tumbling": "10m"}, "measure": {"total": f"sum({amount})", "rows": "count()"}}},
        "state": {"users": {"by": ["user_id"], "measure": {"rows": "count()"}}},
    }
    for lanes in (1, 3, 64):
        name = f"corrected-{lanes}"
        one = job(suite, name, content, lanes, flush=20_000, fields={"user_id": "string!", "amount": "int64!", "at": "timestamp!"})
        first = one.replay()
        faults = ([] if first.code == 1 else [f"the first try ended with {first.code}: {first.talk}"]) + committed(one)
        setting = {"lake": {"path": "./lake", "flush": {"bytes": 20_000}}}
        plan(suite, os.path.join(name, "run"), **better, **setting)
        run = one.replay()
        faults += run.fault() or one.faults() + one.verify_faults()
        again = one.replay()
        faults += again.fault() + ([] if again.done.get("unchanged") else ["the second run changed something"])
        plan(suite, os.path.join(name, "run"), **better | {"dedup": {"id": "id", "within": "2h"}}, **setting)
        faults += one.replay().refusal_fault("dedup.within: 60 m -> 2 h", "dedup.within: 1 h -> 2 h")
        suite.claim(f"a first try, then the corrected pipeline in the same lake equals the reference, {lanes} lanes; later changes are refused", faults)


def replaced(suite):
    """Entries of rejected records are kept, and the new plan goes on behind them."""
    shares = {"quarantine": {"halt_above": "100%", "exit_above": "100%"}, "lake": {"path": "./lake", "flush": {"bytes": 3000}}}
    rows = [good(i) for i in range(400)]
    better = {"dedup": {"id": "amount", "within": "1h"},
              "gold": {"totals": {"by": ["amount"], "window": {"tumbling": "1h"}, "measure": {"most": "max(at)"}}},
              "state": {"users": {"by": ["user_id"], "measure": {"rows": "count()", "total": "sum(amount)"}}}}
    for lanes in (1, 3, 64):
        name = f"replaced-{lanes}"
        one = job(suite, name, lines(rows[:200]), lanes, checks=[{"name": "none", "that": "amount < 0"}], **shares)
        faults = one.replay("--keep-open").fault()
        entries = len(one.entries())
        with open(suite.path(f"{name}.input"), "wb") as f:
            f.write(lines(rows))
        plan(suite, os.path.join(name, "run"), **better, **shares)
        faults += one.replay().fault() + one.verify_faults()
        silver = sorted(float(v) for v in tables.read_delta(one.lake, "silver/s")["amount"].to_pylist())
        quarantine = sorted(json.loads(v)["amount"] for v in tables.read_delta(one.lake, "quarantine/s")["value"].to_pylist())
        gold = tables.read_delta(one.lake, "gold/totals")
        decisions = [e["number"] for e in one.entries() if any(d["kind"] == "plan" for l in e["lanes"] for d in l["decisions"])]
        faults += [] if entries > 5 else [f"the first plan has {entries} entries only"]
        faults += [] if silver == [r["amount"] for r in rows[200:]] else [f"silver has {len(silver)} rows"]
        faults += [] if quarantine == [r["amount"] for r in rows[:200]] else [f"quarantine has {len(quarantine)} rows"]
        faults += [] if gold.num_rows == 200 and "most" in gold.column_names else [f"gold has {gold.num_rows} rows of {gold.column_names}"]
        faults += [] if tables.read_delta(one.lake, "bronze/s").num_rows == 400 else ["bronze has other rows"]
        faults += [] if decisions == [entries] else [f"entries with a decision about the plan: {decisions}, expected {entries}"]
        suite.claim(f"a plan that rejected all is replaced; what it rejected stays in quarantine, {lanes} lanes", faults)


def live(suite):
    """A worker, and a replay of what it read: few rejected records are committed to quarantine, the thousandth stops it."""
    topic = f"newcomers-{os.getpid()}"
    with broker.Broker({topic: 1}) as b:
        one = job(suite, "live", b"", source={"kafka": {"brokers": b.address, "topic": topic, "stream": "s", "group": topic, "session": "6s", "misplaced": "merge"}},
                  lake={"path": "./lake", "flush": {"every": "200ms"}})
        one.name = "first"
        sent = broker.Producer(b.address)
        sent.send(topic, b"no JSON", b"k")
        sent.flush()
        worker = broker.Worker(one, b.address)
        broker.wait("a rejected record is committed", lambda: broker.committed(one) == 1 or not worker.is_running)
        faults = worker.stop()
        faults += [] if "quarantined: the record at position 0" in worker.talk else [f"no warning: {worker.talk}"]
        faults += [] if tables.read_delta(one.lake, "quarantine/s").num_rows == 1 else ["the record is not in quarantine"]
        suite.claim("a worker commits a single rejected record to quarantine, with a warning, and continues", faults)
        recorded = suite.path("live-capture")
        capture = common.Result([suite.weir, "capture", one.pipeline, "--out", recorded, "--brokers", b.address, "--count", "1"])
        run = common.Result([suite.weir, "replay", one.pipeline, "--capture", recorded, "--lake", suite.path("again"), "--store", suite.path("again-state")])
        faults = capture.fault() + ([] if run.code == 3 else [f"ended with {run.code}: {run.talk}"])
        faults += [] if tables.read_delta(suite.path("again"), "quarantine/s").num_rows == 1 else ["the record is not in quarantine"]
        suite.claim("so does a replay of its capture, with exit code 3", faults)
        for _ in range(998):
            sent.send(topic, b"no JSON", b"k")
        sent.flush()
        worker = broker.Worker(one, b.address)
        broker.wait("999 are committed", lambda: broker.committed(one) == 999 or not worker.is_running)
        sent.send(topic, b"no JSON", b"k")
        sent.flush()
        faults = []
        for _ in range(2):
            broker.wait("it ends by itself", lambda: not worker.is_running)
            faults += [] if worker.process.returncode == 1 else [f"it ended with {worker.process.returncode}"]
            faults += [f"{w!r} is not in {worker.talk!r}" for w in ("the first 1000 records were rejected", "999 of them are in quarantine, the other 1 w")
                       if w not in worker.talk]
            worker = broker.Worker(one, b.address)
        broker.wait("it ends by itself", lambda: not worker.is_running)
        faults += [] if broker.committed(one) == 999 else [f"{broker.committed(one)} records are committed"]
        suite.claim("the thousandth rejected record stops a worker before it is committed, also after restarts", faults)
        plan(suite, os.path.join("live", "run"), fields={"user_id": "string!", "at": "timestamp!"},
             source={"kafka": {"brokers": b.address, "topic": topic, "stream": "s", "group": topic, "session": "6s", "misplaced": "merge"}},
             lake={"path": "./lake", "flush": {"every": "200ms"}})
        for i in range(5):
            sent.send(topic, json.dumps(good(i)).encode(), b"k")
        sent.flush()
        worker = broker.Worker(one, b.address)
        broker.wait("the corrected pipeline continues", lambda: broker.committed(one) == 1005 or not worker.is_running)
        faults = worker.stop() + one.verify_faults()
        found = tables.read_delta(one.lake, "silver/s").num_rows, tables.read_delta(one.lake, "quarantine/s").num_rows
        faults += [] if found == (5, 1000) else [f"silver and quarantine have {found} rows"]
        suite.claim("a corrected pipeline continues with the same ledger; what was rejected stays in quarantine", faults)


common.Suite("first_runs_get_hints", 300, __doc__).run(tries, beginnings, shares, summary, corrected, replaced, live)
