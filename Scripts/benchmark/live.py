#!/usr/bin/env python3
"""The engine of a live worker on shards whose records are in memory: query 1 with ledger and tables, no client and no broker.

A test broker keeps 5 MB of a partition, so a single busy partition cannot be measured through it.   live.py [--n N] [--shards N]
"""
import argparse
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import common
import kafka


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=8_000_000)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--binary", default=os.path.join(common.ROOT, ".build", "release", "weir-livebench"))
    a = parser.parse_args()
    if not os.access(a.binary, os.X_OK):
        common.stop("there is no weir-livebench", "Build it:  swift build -c release --product weir-livebench")
    data, out = common.data(a.n, "one"), os.path.join(common.WORK, "live")
    for run in range(a.runs):
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(out)
        # Each shard has the same records, whose keys belong to one of them.
        file = kafka.pipeline(data, out, ", misplaced: merge" if a.shards > 1 else "")
        done = subprocess.run([a.binary, "--pipeline", file, "--events", f"{data}/one/events.ndjson", "--lake", f"{out}/lake", "--shards",
                               str(a.shards)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            common.stop(f"weir-livebench ended with {done.returncode}", done.stdout[-300:])
        said = json.loads(done.stdout.strip().splitlines()[-1])
        print(f"{a.shards} shard(s), run {run + 1}: {said['records'] / 1e6:.1f} M records in {said['seconds']:.2f} s, "
              f"{said['records_per_second'] / 1e6:.2f} M/s, CPU {said['cpu_seconds_per_million']:.2f} s a million")


if __name__ == "__main__":
    main()
