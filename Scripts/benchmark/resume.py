#!/usr/bin/env python3
"""Scripts/bench resume [--quick] [--n N] [--users N]   how long a worker takes to resume where it stopped.

Replays N events into a pipeline that remembers every id and keeps the state of every user, and leaves it open. Then the
same command again: it finds nothing new, so its time is start-up, reading the ledger, and restoring ids and state.
Wanted: under 3 s with 10 million ids and 1 million users.
"""
import argparse
import json
import os
import shutil
import subprocess

import common

PIPELINE = """pipeline: resume
source: {capture: {stream: ads}}
record:
  format: json
  key: user_id
  time: {field: event_time, out_of_order: 2s}
  fields: {event_id: string!, user_id: string!, event_time: timestamp_ms!, amount: "decimal(12,2)!"}
dedup: {id: event_id, within: 36500d}
state:
  user_totals: {by: [user_id], measure: {cnt: count(), total: sum(amount), last_ms: max(epoch_ms(event_time))}}
"""


def main():
    parser = argparse.ArgumentParser(prog="Scripts/bench resume", description=__doc__.split("\n\n")[1])
    parser.add_argument("--quick", action="store_true", help="200,000 events of 100,000 users")
    parser.add_argument("--n", type=int, help="number of events; default: 10,300,000 (10 million ids: a few are sent again)")
    parser.add_argument("--users", type=int, help="number of users; default: 1,050,000 (not all of them send)")
    a = parser.parse_args()
    common.need_binary()
    n, users = a.n or (200_000 if a.quick else 10_300_000), a.users or (100_000 if a.quick else 1_050_000)
    out = f"{common.WORK}/out/resume"
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    with open(f"{out}/pipeline.yaml", "w") as f:
        f.write(PIPELINE)

    log = f"{common.WORK}/logs/resume.log"

    def replay(directory, name):
        command = [common.WEIR, "replay", f"{out}/pipeline.yaml", "--capture", f"{directory}/one/events.ndjson", "--keep-open",
                   "--lake", f"{out}/{name}", "--store", f"{out}/{name}-state", "--json"]
        run = common.measure(command, log, 600)
        if bad := common.trouble(run, log):
            common.stop(f"a run failed: {bad}", f"Its output is in {log}.")
        return run

    small = common.data(1000, layouts="one")
    start = min(replay(small, f"small{i}")["wall"] for i in range(3))
    directory = common.data(n, layouts="one", users=users)
    common.warm(directory)
    first = replay(directory, "lake")
    again = [replay(directory, "lake") for _ in range(3)]
    keys = subprocess.run([common.WEIR, "state", "scan", "user_totals", "--store", f"{out}/lake-state", "--format", "csv"],
                          capture_output=True, text=True, check=True).stdout.count("\n") - 1
    best = min(again, key=lambda r: r["wall"])
    shutil.rmtree(out, ignore_errors=True)
    machine = common.machine()
    text = "\n".join([
        common.markdown(["", "wall s", "CPU s", "peak MB"], [
            ["a run of 1,000 events, from nothing (start-up)", f"{start:.3f}", "", ""],
            [f"{n:,} events, from nothing", f"{first['wall']:.2f}", f"{first['cpu']:.2f}", first["rss_mb"]],
            [f"resume: {keys:,} users, {common.meta(directory)['first']:,} ids", f"{best['wall']:.2f}", f"{best['cpu']:.2f}", best["rss_mb"]]]), "",
        "Best of 3. " + " | ".join(common.machine_lines(machine)),
        "Wanted: start-up under 0.1 s; resume with 10 million ids and 1 million users under 3 s."])
    print(text)
    common.save("resume-quick" if a.quick else "resume", {"machine": machine, "start_up": start, "first": first, "resume": best, "keys": keys}, text)


main()
