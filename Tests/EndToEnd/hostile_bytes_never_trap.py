#!/usr/bin/env python3
"""Parsers of outside bytes on hostile inputs: no trap, no hang, bounded memory, and agreement with an oracle where there is one.

Each target of `weir-fuzz` runs in a process of its own. Inputs that failed once are in Tests/Fuzz/TARGET and run first, always. Then the
mutator changes valid inputs, the same way in each run; --quick takes a few targets, which change with the commit. With --libfuzzer the
binary is a build with libFuzzer and AddressSanitizer, and coverage leads the mutations (`Scripts/prove fuzz` makes that build).
"""
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys

import common

REGRESSIONS = os.path.join(common.ROOT, "Tests", "Fuzz")
FOUND = os.path.join(common.ROOT, ".build", "fuzz")
TARGETS_QUICK, SECONDS_QUICK, RUNS_QUICK = 9, 4, 20_000
SECONDS = 60
# Of one input. libFuzzer's default is 1200.
INPUT_SECONDS = 30
# With AddressSanitizer's own memory.
MEGABYTES = 4096


def options(arguments):
    arguments.set_defaults(weir=os.path.join(common.ROOT, ".build", "release", "weir-fuzz"))
    arguments.add_argument("--target", help="some targets, with commas; `weir-fuzz list` has them")
    arguments.add_argument("--seconds", type=int, default=SECONDS, help=f"for each target; default: {SECONDS}")
    arguments.add_argument("--libfuzzer", action="store_true", help="the binary of --weir is a build with libFuzzer")


def environment():
    # Symbols of a trap take seconds to a minute each, and the input says more.
    return os.environ | {"SWIFT_BACKTRACE": "enable=no", "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
                         "SWIFT_DETERMINISTIC_HASHING": "1"}


def commit():
    found = subprocess.run(["git", "-C", common.ROOT, "rev-parse", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() or "none"


def chosen(suite):
    every = subprocess.run([suite.weir, "list"], capture_output=True, text=True, check=True).stdout.split()
    if suite.arguments.target:
        wanted = suite.arguments.target.split(",")
        unknown = [w for w in wanted if w not in every]
        if unknown:
            sys.exit(f"fuzz: there is no target {unknown[0]}; there are: {' '.join(every)}")
        return every, wanted
    if not suite.quick:
        return every, every
    now = commit()
    return every, sorted(every, key=lambda name: hashlib.sha256(f"{now} {name}".encode()).digest())[:TARGETS_QUICK]


def ended(result):
    """Why a process ended, in words."""
    last = [line for line in result.stderr.strip().split("\n") if line][-12:]
    how = f"signal {-result.returncode}" if result.returncode < 0 else f"exit code {result.returncode}"
    return [f"{how}{' (no end within its time)' if result.returncode == -14 else ''}", *last]


def keep(target, name, content):
    os.makedirs(os.path.join(FOUND, target), exist_ok=True)
    path = os.path.join(FOUND, target, name)
    with open(path, "wb") as f:
        f.write(content)
    return f"the input is in {os.path.relpath(path, common.ROOT)}; when it is fixed, add it to Tests/Fuzz/{target}"


def replay(suite, target):
    directory = os.path.join(REGRESSIONS, target)
    if not os.path.isdir(directory):
        return
    result = subprocess.run([suite.weir, "replay", target, directory], capture_output=True, text=True, errors="replace", env=environment())
    suite.claim(f"{target}: {len(os.listdir(directory))} inputs that failed once", ended(result) if result.returncode else [])


def mutate(suite, target, corpus):
    current = suite.path(f"{target}.current")
    seconds, runs = (SECONDS_QUICK, RUNS_QUICK) if suite.quick else (suite.arguments.seconds, 10**12)
    command = [suite.weir, "mutate", target, "--seed", str(suite.arguments.seed), "--seconds", str(seconds), "--runs", str(runs),
               "--current", current, *corpus]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment())
    faults = []
    if result.returncode:
        faults = ended(result)
        with open(current, "rb") as f:
            size, content = struct.unpack("<Q", f.read(8))[0], f.read()
        content = content[:size]
        faults.append(keep(target, "mutated-" + hashlib.sha256(content).hexdigest()[:12], content))
    suite.claim(result.stdout.strip() if not faults else target, faults)


def explore(suite, target, corpus):
    seeds, grown, found = suite.path(f"{target}-seeds"), suite.path(f"{target}-corpus"), os.path.join(FOUND, target)
    for directory in (seeds, grown, found):
        os.makedirs(directory, exist_ok=True)
    subprocess.run([suite.weir, "seeds", target, seeds], check=True, env=environment())
    seconds = 5 if suite.quick else suite.arguments.seconds
    command = [suite.weir, "libfuzzer", target, f"-max_total_time={seconds}", f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEGABYTES}",
               "-max_len=65536", f"-seed={suite.arguments.seed}", "-print_final_stats=1", f"-artifact_prefix={found}/", grown, seeds, *corpus]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment())
    runs = re.search(r"number_of_executed_units: (\d+)", result.stderr)
    cover = re.findall(r"cov: (\d+)", result.stderr)
    faults = []
    if result.returncode:
        faults = [line for line in result.stderr.split("\n") if re.search(r"ERROR|oracle|Fatal|SUMMARY|artifact_prefix|#\d .*weir|Test unit", line)][:24]
        faults.append(f"inputs are in {os.path.relpath(found, common.ROOT)}; when it is fixed, add one to Tests/Fuzz/{target}")
    suite.claim(f"{target}: {int(runs[1]) if runs else 0:,} inputs in {seconds} s, {cover[-1] if cover else 0} places covered", faults)
    shutil.rmtree(seeds)


def corpus(suite, target):
    """Files of other writers, where the environment can make them."""
    if target not in ("parquet", "delta-table") or suite.quick:
        return []
    directory = suite.path("parquet")
    if not os.path.isdir(directory):
        script = os.path.join(common.ROOT, "Tests", "EndToEnd", "oracle", "parquet_make.py")
        os.makedirs(directory)
        subprocess.run([sys.executable, script, directory], check=True, capture_output=True)
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            if not name.endswith(".parquet") or os.path.getsize(path) > 20_000:
                os.remove(path)
    return [directory] if target == "parquet" else []


def fuzz(suite):
    every, targets = chosen(suite)
    if not suite.arguments.libfuzzer:
        for target in every:
            replay(suite, target)
    if len(targets) < len(every):
        suite.note(f"targets of commit {commit()[:9]}: {' '.join(targets)}")
    for target in targets:
        (explore if suite.arguments.libfuzzer else mutate)(suite, target, corpus(suite, target))


common.Suite("hostile_bytes_never_trap", 24 * 3600, __doc__, options).run(fuzz)
