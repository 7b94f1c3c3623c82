#!/usr/bin/env python3
"""One wrong clock makes no other record late, and a long silence locks nothing out: captures with both, against the reference."""
import json
import os
import random
import signal
import subprocess
import time

import common

START_MS, DAY_MS, FAR_MS = 1_700_000_000_000, 86_400_000, 4_102_444_800_000
PIPELINE = """pipeline: clocks
source: {capture: {stream: s}}
record:
  format: json
  key: k
  time: {field: t, out_of_order: 5s%s}
  fields: {id: string!, k: string!, t: timestamp_ms!}
dedup: {id: id, within: 1m}
bronze: {}
silver: {}
gold: {per_minute: {by: [k], window: {tumbling: 1m}, measure: {rows: count()}}}
state: {last: {by: [k], measure: {rows: count(), last: max(t)}}}
lake: {flush: {bytes: 16KiB}, codec: none}
"""


def capture(suite, name, seed, count):
    """Records in order with disorder, silences of days, wrong clocks alone and in bursts, one of them first and one last. Its path and
    how many clocks are wrong."""
    r, now, lines, wrong, burst = random.Random(seed), START_MS, [], 0, 0
    for i in range(count):
        now += r.randrange(400)
        if r.random() < 5 / count:
            now += r.randrange(1, 9) * DAY_MS
        if r.random() < 8 / count:
            burst = r.choice([1, 1, 2, 30, 300])
        far = burst > 0 or i in (0, count - 1)
        burst -= burst > 0
        wrong += far
        event_time = r.choice([FAR_MS, now + 40 * DAY_MS]) if far else now - r.randrange(6000)
        lines.append(json.dumps({"id": f"e{i}", "k": f"k{r.randrange(9)}", "t": event_time}))
        if r.random() < 0.03:
            lines.append(lines[-r.randrange(1, min(len(lines), 200) + 1)])      # sent again
        if r.random() < 0.01:
            lines.append('{"id": "bad"}')
    path = suite.path(f"{name}.ndjson")
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")
    return path, wrong


def pipeline(suite, name, max_ahead):
    path = suite.path(f"{name}.yaml")
    with open(path, "w") as f:
        f.write(PIPELINE % max_ahead)
    return path


def job(suite, name, max_ahead, path, lanes=None):
    return common.Job(suite, suite.path(name), pipeline(suite, name, max_ahead), path, lanes=lanes)


def judged(suite):
    """Wrong clocks and silences: rows equal the reference for any number of lanes, with and without max_ahead"""
    for seed in range(1, 3 if suite.quick else 12):
        path, wrong = capture(suite, f"in-{seed}", seed, 4_000)
        for words, max_ahead in (("max_ahead", ", max_ahead: 2h"), ("no max_ahead", "")):
            for lanes in (1, 5):
                case = job(suite, f"judged-{seed}-{lanes}-{'set' if max_ahead else 'unset'}", max_ahead, path, lanes)
                run = case.replay()
                faults = case.faults() if run.code == 0 else [run.talk]
                done = json.loads(run.out.strip().split("\n")[-1]) if run.code == 0 else {}
                if max_ahead == "" and done.get("quarantined") != sum(1 for line in open(path) if "bad" in line):
                    faults.append(f"quarantined: {done.get('quarantined')}")
                if max_ahead == "" and not done.get("far_ahead"):
                    faults.append("the summary does not count the records that are far ahead")
                if late := [t for t in done.get("tables", []) if t["table"] == "late/per_minute" and t["rows"] > 200]:
                    faults.append(f"wrong clocks made others late: {late}")
                suite.claim(f"seed {seed}, {wrong} wrong clocks, {words}, {lanes} lanes: as the reference has it", faults)


def killed(suite):
    """Killed and resumed, the verdicts are the same, although they depend on records after a cut"""
    path, _ = capture(suite, "in-killed", 77, 6_000)
    whole = job(suite, "whole", ", max_ahead: 2h", path)
    whole.replay()
    case, kills = job(suite, "killed", ", max_ahead: 2h", path), 0
    for _ in range(12):
        run = case.start("--pace", "8000/s")
        time.sleep(suite.random.uniform(0.05, 0.4))         # the moment of the kill; nothing is judged by it
        run.send_signal(signal.SIGKILL)
        run.communicate()
        kills += 1
    run = case.replay()
    suite.claim(killed.__doc__, (case.faults() if run.code == 0 else [run.talk]) + (case.faults_against(whole) if run.code == 0 else []))


def paused(suite):
    """A pipe that pauses right after a suspicious record commits nothing that depends on what comes"""
    path, _ = capture(suite, "in-paused", 5, 600)
    case = job(suite, "paused", ", max_ahead: 2h", "-")
    lines = open(path, "rb").read().splitlines(keepends=True)
    far = next(i for i, line in enumerate(lines) if i > 300 and json.loads(line).get("t", 0) >= FAR_MS)
    run = subprocess.Popen(case.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run.stdin.write(b"".join(lines[:far + 1]))
    run.stdin.flush()
    time.sleep(0.5)                                         # the pause itself
    _, talk = run.communicate(b"".join(lines[far + 1:]))
    whole = job(suite, "unpaused", ", max_ahead: 2h", path)
    whole.replay()
    suite.claim(paused.__doc__, case.faults_against(whole) if run.returncode == 0 else [talk.decode()])


def off(suite):
    """max_ahead: off trusts every record, as the reference does"""
    path, _ = capture(suite, "in-off", 9, 1_000)
    case = job(suite, "off", ", max_ahead: off", path)
    run = case.replay()
    suite.claim(off.__doc__, case.faults() if run.code == 0 else [run.talk])


def lines_of(suite, name, times):
    """A capture of records with these event times."""
    path = suite.path(f"{name}.ndjson")
    with open(path, "w") as f:
        f.writelines(json.dumps({"id": f"e{i}", "k": f"k{i % 9}", "t": t}) + "\n" for i, t in enumerate(times))
    return path


def quiet(suite):
    """A quiet stream, a silence after a wrong clock, and ladders: few records are late"""
    hour, r = DAY_MS // 24, random.Random(5)
    till = [START_MS + d * DAY_MS + i * 30_000 + (3 * hour if r.randrange(10) == 0 else 0) for d in range(10) for i in range(1_440)]
    closed = [START_MS + i * 30_000 + (3 * DAY_MS if i > 5_000 else 0) + (2 * DAY_MS if r.randrange(20) == 0 else 0) for i in range(6_440)]

    def ladder(points, step):
        return [START_MS + i * 1_000 for i in range(5_000)] + [START_MS + 5_000_000 + (i + 1) * step for i in range(points)] + [
            START_MS + i * 1_000 for i in range(5_000, 8_000)]
    for name, times, max_ahead, most in (
            ("till", till, ", max_ahead: 1h", 60), ("closed", closed, "", 60), ("ladder", ladder(48, hour * 5 // 6), ", max_ahead: 1h", 60),
            ("ladder-day", ladder(30, 23 * hour), "", 60)):
        case = job(suite, f"quiet-{name}", max_ahead, lines_of(suite, name, times), 3)
        run = case.replay()
        faults = case.faults() if run.code == 0 else [run.talk]
        late = sum(t["rows"] for t in run.done.get("tables", []) if t["table"] == "late/per_minute")
        if late > most:
            faults.append(f"{late} of {len(times)} records are late")
        suite.claim(f"{name}: as the reference has it, and at most {most} records are late", faults)


def parts(suite):
    """A capture that is read in parts with --keep-open has the rows of one that is read at once"""
    for seed in range(3 if suite.quick else 20):
        r = random.Random(seed)
        count = r.randrange(300, 3_000)
        jump = r.choice([0, 30 * DAY_MS])
        times = [START_MS + i * 100 + (jump if i > count // 2 else 0) + (r.choice([2, 3]) * DAY_MS if i > 20 and r.random() < 0.1 else 0)
                 for i in range(count)]
        path = lines_of(suite, f"parts-{seed}", times)
        lines = open(path, "rb").read().splitlines(keepends=True)
        max_ahead = r.choice([", max_ahead: 1h", ""])
        whole = job(suite, f"parts-whole-{seed}", max_ahead, path, 2)
        case = job(suite, f"parts-{seed}", max_ahead, suite.path(f"part-{seed}.ndjson"), 2)
        faults, waited = whole.replay().fault(), 0
        for cut in sorted(r.randrange(10, count) for _ in range(4)) + [count]:
            with open(case.captures[0], "wb") as f:
                f.write(b"".join(lines[:cut]))
            run = case.replay(*(["--keep-open"] if cut < count else []))
            faults += run.fault()
            waited += run.done.get("waits_from") is not None
        suite.claim(f"seed {seed}, {waited} parts that waited: the rows of one run", faults or case.faults() + whole.faults() + case.verify_faults())


def long(suite):
    """Records of 300 KiB to 5 MiB pass within a small memory budget, a silence between them too"""
    for size, count in ((300 << 10, 300), (1 << 20, 100)) if suite.quick else ((300 << 10, 600), (1 << 20, 200), (5 << 20, 40)):
        for memory in ("256MiB",) if size > 1 << 20 else ("64MiB", "256MiB"):
            file = suite.path(f"long-{size}-{memory}.yaml")
            with open(file, "w") as f:
                f.write("pipeline: long\nsource: {capture: {stream: s}}\nrecord:\n  format: json\n  key: id\n  time: {field: t, out_of_order: 2s}\n"
                        f"  fields: {{id: string!, t: timestamp_ms!}}\nbronze: {{}}\nsilver: {{}}\nworker: {{memory: {memory}}}\n")
            path = suite.path(f"long-{size}.ndjson")
            with open(path, "w") as f:
                for i in range(count):
                    f.write(json.dumps({"id": str(i), "t": START_MS + i + (3 * DAY_MS if i > count // 2 else 0), "x": "y" * size}) + "\n")
            case = common.Job(suite, suite.path(f"long-{size}-{memory}"), file, path)
            run = case.replay()
            faults = run.fault()
            if not faults and run.done.get("accepted") != count:
                faults.append(f"accepted {run.done.get('accepted')} of {count}")
            suite.claim(f"{count} records of {size >> 10} KiB within {memory}", faults)
            case.clear()
        os.remove(path)


if __name__ == "__main__":
    common.Suite("wrong_clocks_lose_nothing", 600, __doc__).run(judged, quiet, parts, long, killed, paused, off)
