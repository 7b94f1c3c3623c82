#!/usr/bin/env python3
"""Scripts/bench profile QUERY [--n N] [--tool callgrind|perf] [--top K]   where a query's time goes, by function.

callgrind (valgrind) counts instructions: the same from run to run, but slow (50 x) and blind to waiting and caches; its
threads run one at a time. Start-up, a run of 1,000 events, is taken off. Its processor has no SHA and
AVX-512 instructions: content hashes weigh more there than in truth (ask perf). perf samples the real run; in a virtual machine its hardware counters may be missing, then it
samples by the clock. Default: callgrind, or perf if there is no valgrind. Keep a table before and after each change.
"""
import argparse
import glob
import os
import re
import shutil
import subprocess

import common


def without_debug_information():
    """A copy of the binary that valgrind can read: it does not know all of the compiler's debug information. Names stay."""
    if not shutil.which("objcopy"):
        common.stop("objcopy is not installed", "Install it as root:  apt-get install binutils")
    out = f"{common.WORK}/weir-without-debug"
    done = subprocess.run(["objcopy", "--strip-debug", os.path.realpath(common.WEIR), out], capture_output=True, text=True)
    if done.returncode:
        common.stop("objcopy failed", done.stderr.strip()[-300:])
    return out


def run(query, data, under, binary=common.WEIR):
    out = f"{common.WORK}/out/profile-{query}"
    shutil.rmtree(out, ignore_errors=True)
    done = subprocess.run(common.weir_command(query, data, out), env={**os.environ, "WEIR_UNDER": under, "WEIR_BINARY": binary}, capture_output=True, text=True)
    shutil.rmtree(out, ignore_errors=True)
    if done.returncode:
        common.stop(f"{query} ended with {done.returncode} under {under.split()[0]}", done.stderr.strip()[-600:])


def readable(names):
    """Swift's names, demangled."""
    tool = shutil.which("swift-demangle")
    tool = [tool] if tool else (["swift", "demangle"] if shutil.which("swift") else None)
    if not tool:
        return names
    done = subprocess.run([*tool, "--simplified"], input="\n".join(names), capture_output=True, text=True)
    lines = done.stdout.split("\n")
    if done.returncode or len(lines) < len(names):
        return names
    names = lines[:len(names)]
    if shutil.which("c++filt"):         # the runtime is C++
        done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True)
        names = done.stdout.split("\n")[:len(names)] if done.returncode == 0 else names
    return names


def short(name):
    name = re.sub(r"^(generic specialization|function signature specialization|merged|partial apply forwarder)[^o]*? of ", r"\1: ", name)
    return name if len(name) <= 96 else name[:93] + "..."


# -- callgrind

def callgrind(query, data, n, top):
    start_own, start_all, start_total = counted(query, common.data(1000))
    own, all_in, total = counted(query, data)
    for whole, start in ((own, start_own), (all_in, start_all)):
        for name in whole:
            whole[name] -= start.get(name, 0)
    total, n = total - start_total, n - 1000
    return table(query, n, top, total, own, all_in, "instructions", f"{total / n:,.0f} instructions a record, start-up taken off", "callgrind")


def counted(query, data):
    """Instructions by function, own and inclusive, and in all."""
    files = f"{common.WORK}/callgrind-{query}.out"
    for old in glob.glob(files + "*"):
        os.remove(old)
    run(query, data, f"env LD_PRELOAD={common.compiled('sigsuspend.c')} valgrind --quiet --tool=callgrind --separate-threads=no "
        f"--callgrind-out-file={files}", without_debug_information())
    own, all_in, total = {}, {}, 0
    for inclusive, found in (("no", own), ("yes", all_in)):
        done = subprocess.run(["callgrind_annotate", f"--inclusive={inclusive}", "--threshold=100", "--auto=no", files],
                              capture_output=True, text=True)
        if done.returncode:
            common.stop("callgrind_annotate failed", done.stderr.strip()[-500:])
        for line in done.stdout.splitlines():
            # "1,234 (12.3%)  file:function [object]"; older versions leave the percentage out.
            m = re.match(r"\s*([\d,]+)(?: \([ \d.]+%\))?\s+(\S.*)$", line)
            if not m:
                continue
            cost, name = int(m[1].replace(",", "")), m[2]
            if "PROGRAM TOTALS" in name:
                total = cost
                continue
            where = re.search(r" \[([^]]*)\]$", name)
            name = re.sub(r" \[[^]]*\]$", "", name).split(":", 1)[-1]
            name = re.sub(r"'\d+$", "", name)       # a recursive call's level
            if name.startswith("0x") and where:
                name = f"{name} in {os.path.basename(where[1])}"
            found[name] = max(found.get(name, 0), cost) if inclusive == "yes" else found.get(name, 0) + cost
    if not total:
        common.stop("callgrind_annotate's output is not understood", f"Look at it:  callgrind_annotate {os.path.relpath(files, common.ROOT)}")
    return own, all_in, total


# Frames of threads, queues and the task runtime: everything is below them, which says nothing.
RUNTIME = re.compile(r"^(_dispatch|swift_job|swift_task|_ZN5swift|swift::run|__swift_run|jobInvoke|start_thread|clone|future_adapter|_?start$|main$|\(below main\))")
# The compiler's wrappers of the function in the line below them.
WRAPPER = re.compile(r"^(partial apply |thunk for |reabstraction |non_future_adapter|task_group_wait|@objc )")


def table(query, n, top, total, own, all_in, unit, per_record, tool):
    chosen = {"self": sorted(own.items(), key=lambda x: -x[1])[:top],
              "inclusive": sorted(((f, v) for f, v in all_in.items() if v <= total), key=lambda x: -x[1])[:8 * top + 40]}
    names = sorted({name for rows in chosen.values() for name, _ in rows})
    plain = dict(zip(names, readable(names)))
    chosen["inclusive"] = [(f, v) for f, v in chosen["inclusive"] if not RUNTIME.match(f) and not WRAPPER.match(plain[f])][:top]
    text, document = [f"{query}, {n:,} events: {per_record} ({tool})"], {}
    for kind, rows in chosen.items():
        each = "a record" if unit == "instructions" else "samples"
        text += ["", common.markdown([kind, each, "function"], [
            [f"{100 * v / total:.1f} %", f"{v / n:,.1f}" if unit == "instructions" else f"{v:,}", short(plain[name])] for name, v in rows])]
        document[kind] = [{"share": round(v / total, 5), unit: v, "function": plain[name]} for name, v in rows]
    print("\n".join(text))
    common.save(f"profile-{query}", {"query": query, "n": n, "total": total, "tool": tool, **document, "machine": common.machine()}, "\n".join(text))


# -- perf

def perf(query, data, n, top):
    recorded = f"{common.WORK}/perf-{query}.data"
    counts = subprocess.run(["perf", "record", "-q", "-e", "cycles", "-o", recorded, "true"], capture_output=True).returncode == 0
    run(query, data, f"perf record -q -F 2000 --call-graph fp -e {'cycles' if counts else 'cpu-clock'} -o {recorded}")
    found = {}
    for key, flag in (("own", "--no-children"), ("all", "--children")):
        done = subprocess.run(["perf", "report", "-i", recorded, "--stdio", "-g", "none", flag, "--no-demangle", "-F",
                               ("overhead" if key == "own" else "overhead_children") + ",sym", "--percent-limit", "0.05"],
                              capture_output=True, text=True)
        rows = {}
        for line in done.stdout.splitlines():
            if m := re.match(r"\s*([\d.]+)%\s+\[[.k]\]\s+(\S+)", line):
                rows[m[2]] = rows.get(m[2], 0) + round(float(m[1]) * 100)
        found[key] = rows
    if not found["own"]:
        common.stop("perf recorded nothing", "Is /proc/sys/kernel/perf_event_paranoid at most 2? Or take --tool callgrind.")
    return table(query, n, top, 10_000, found["own"], found["all"], "samples", f"sampled by {'cycles' if counts else 'the clock'}", "perf")


def main():
    parser = argparse.ArgumentParser(prog="Scripts/bench profile", description=__doc__.split("\n\n")[1])
    parser.add_argument("query", choices=common.QUERIES)
    parser.add_argument("--n", type=int, help="events; 100,000 with callgrind, 2,000,000 with perf")
    parser.add_argument("--tool", choices=("callgrind", "perf"))
    parser.add_argument("--top", type=int, default=25, help="functions a table")
    a = parser.parse_args()
    common.need_binary()
    has = {"callgrind": shutil.which("valgrind") and shutil.which("callgrind_annotate"), "perf": shutil.which("perf")}
    tool = a.tool or ("callgrind" if has["callgrind"] else "perf")
    if not has[tool]:
        common.stop(f"{'valgrind' if tool == 'callgrind' else 'perf'} is not installed",
                    "Install it as root:  apt-get install valgrind  (or linux-perf)")
    n = a.n or (100_000 if tool == "callgrind" else 2_000_000)
    data = common.data(n, layouts="one")
    common.warm(data)
    (callgrind if tool == "callgrind" else perf)(a.query, data, n, a.top)


main()
