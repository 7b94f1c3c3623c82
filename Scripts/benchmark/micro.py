#!/usr/bin/env python3
"""Scripts/bench micro [--quick] [--runs K]   the engine's parts alone, each compared with the machine's limit.

Builds and runs weir-microbench (Sources/weir-microbench): decode, expressions, dedup, windows, Parquet, LMDB; memcpy,
newline scan, zstd, random access, fsync. Where g++ and libsimdjson-dev are installed, simdjson on the same text too.
The part with the smallest share of its limit that takes many nanoseconds a record is the one to work on.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess

import common


def simdjson(data, runs):
    """Bytes/s of simdjson, or why there is none."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        return None, "no C++ compiler"
    source, out = f"{common.HERE}/simdjson_scan.cpp", f"{common.WORK}/simdjson_scan"
    if not os.path.exists(out) or os.path.getmtime(out) < os.path.getmtime(source):
        done = subprocess.run([compiler, "-O3", "-std=c++17", source, "-o", out, "-lsimdjson"], capture_output=True, text=True)
        if done.returncode:
            missing = "simdjson.h" in done.stderr or "-lsimdjson" in done.stderr
            return None, "libsimdjson-dev is not installed" if missing else done.stderr.strip()[:200]
    done = subprocess.run([out, f"{data}/one/events.ndjson", str(runs)], capture_output=True, text=True)
    if done.returncode:
        return None, f"it ended with {done.returncode}: {done.stderr.strip()[:200]}"
    return statistics.median(float(v) for v in done.stdout.split()), None


def main():
    parser = argparse.ArgumentParser(prog="Scripts/bench micro", description=__doc__.split("\n\n")[1])
    parser.add_argument("--quick", action="store_true", help="less data, 3 runs: some seconds")
    parser.add_argument("--runs", type=int, help="runs of each, of which the median counts; default: 7")
    parser.add_argument("--no-build", action="store_true", help="take .build/release/weir-microbench as it is")
    a = parser.parse_args()
    runs = a.runs or (3 if a.quick else 7)
    binary = os.path.join(common.ROOT, ".build", "release", "weir-microbench")
    if not a.no_build:
        done = subprocess.run(["swift", "build", "-c", "release", "--product", "weir-microbench"], cwd=common.ROOT, stdout=2)
        if done.returncode:
            common.stop("weir-microbench does not build", "The compiler's message is above.")
    if not os.access(binary, os.X_OK):
        common.stop("there is no weir-microbench", "Build it:  swift build -c release --product weir-microbench")
    data = common.data(500_000, layouts="one")
    work, found = f"{common.WORK}/micro", f"{common.WORK}/micro.part"
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    done = subprocess.run([binary, "--data", data, "--directory", work, "--runs", str(runs), "--json", found,
                           *(["--quick"] if a.quick else [])], stdout=subprocess.PIPE, text=True)
    shutil.rmtree(work, ignore_errors=True)
    if done.returncode:
        common.stop(f"weir-microbench ended with {done.returncode}", "What it said is above.")
    document = json.loads(common.read(found))
    os.remove(found)
    text = done.stdout.strip()
    speed, why = simdjson(data, runs)
    if speed:
        decode = next(line for line in document["lines"] if "that q1 uses" in line["what"])
        document["simdjson_bytes_per_second"] = speed
        text += f"\nsimdjson, the same 6 fields, one thread: {speed / 1e9:.2f} GB/s; our decode reaches {100 * decode['rate'] / speed:.0f} % of it"
    else:
        text += f"\nsimdjson: not measured ({why})"
    machine = common.machine()
    text += "\n" + " | ".join(common.machine_lines(machine))
    print(text)
    common.save("micro", {**document, "machine": machine}, text)


main()
