#!/usr/bin/env python3
"""Scripts/bench s3 [--quick] [--n N] [--rounds N]   what a lake in S3 costs a worker, compared with a directory.

Replays q5, the whole pipeline, into a directory and into an object store in memory on this machine, in turn. Compared are the CPU seconds
of the worker (user and system, without the store's) and its peak memory; the least of the rounds counts. Wanted: at most 1.25 times the CPU
and 1.2 times the memory.
"""
import argparse
import os
import shutil

import common
from s3_server import Store

CPU_MAX, MEMORY_MAX = 1.25, 1.2


def main():
    parser = argparse.ArgumentParser(prog="Scripts/bench s3", description=__doc__.split("\n\n")[1])
    parser.add_argument("--quick", action="store_true", help="300,000 events, 2 rounds")
    parser.add_argument("--n", type=int, help="number of events; default: 3,000,000")
    parser.add_argument("--rounds", type=int, help="of each; default: 4")
    a = parser.parse_args()
    common.need_binary()
    n, rounds = a.n or (300_000 if a.quick else 3_000_000), a.rounds or (2 if a.quick else 4)
    directory = common.data(n, layouts="one")
    common.warm(directory)
    out = f"{common.WORK}/out/s3"
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    text = common.read(f"{common.ROOT}/Deploy/Pipelines/ads-q5.yaml")
    with open(f"{out}/pipeline.yaml", "w") as f:
        f.write(text.replace("file: campaigns.csv", f'file: "{directory}/campaigns.csv"'))
    log, store = f"{common.WORK}/logs/s3.log", Store()
    keys = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "B", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_S3": store.url}

    def replay(lake, name):
        state = f"{out}/{name}-state"
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(f"{out}/lake", ignore_errors=True)
        run = common.measure(
            [common.WEIR, "replay", f"{out}/pipeline.yaml", "--capture", f"{directory}/one/events.ndjson", "--lake", lake, "--store", state, "--json"],
            log, 600, keys)
        if bad := common.trouble(run, log):
            common.stop(f"a run failed: {bad}", f"Its output is in {log}.")
        return run

    runs = {"directory": [], "S3": []}
    for i in range(rounds):
        runs["directory"].append(replay(f"{out}/lake", "local"))
        store.clear()
        runs["S3"].append(replay(f"s3://bench/lake{i}", "s3"))
    requests, size = dict(store.requests), sum(len(o[0]) for o in store.objects.values())
    store.close()
    least = {name: {what: min(run[what] for run in all_runs) for what in ("cpu", "rss_mb")} for name, all_runs in runs.items()}
    ratio = {what: least["S3"][what] / least["directory"][what] for what in ("cpu", "rss_mb")}
    rows = [[name, f"{v['cpu']:.2f} s", f"{v['rss_mb']} MB"] for name, v in least.items()]
    rows.append(["ratio (wanted)", f"{ratio['cpu']:.2f} (at most {CPU_MAX})", f"{ratio['rss_mb']:.2f} (at most {MEMORY_MAX})"])
    m = common.machine()
    page = "\n".join([*common.machine_lines(m), "", f"{n:,} events, {rounds} rounds in turn; {size / 1e6:.0f} MB in S3, requests {requests}", "",
                      common.markdown(["q5 into", "CPU of the worker", "peak memory"], rows)])
    common.save("s3", {"machine": m, "n": n, "runs": runs, "requests": requests, "bytes": size}, page)
    print(page)
    if not a.quick and (ratio["cpu"] > CPU_MAX or ratio["rss_mb"] > MEMORY_MAX):
        common.stop("S3 costs more than is wanted")


if __name__ == "__main__":
    main()
