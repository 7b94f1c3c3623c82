"""What the benchmark's parts share: places, data, measuring a command, verifying a result, naming the machine."""
import datetime
import json
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.path.join(ROOT, ".build", "bench")
BENCH = os.path.join(ROOT, "Scripts", "bench")
WEIR = os.path.join(ROOT, ".build", "release", "weir")
QUERIES = ("q1", "q2", "q3", "q4", "q5")


def stop(text, advice=None, code=1):
    """Ends the program with what is wrong and what to do."""
    print(f"bench: {text}" + (f"\n  {advice}" if advice else ""), file=sys.stderr)
    sys.exit(code)


def say(text):
    print(text, file=sys.stderr, flush=True)


def need_binary():
    if not os.access(WEIR, os.X_OK):
        stop("there is no release binary", "Build it:  swift build -c release --product weir")


# -- Data

def data(n, layouts="one,two", **options):
    """The directory of a generated stream, made once. Options: users, skew (see gen.py)."""
    name = "-".join([f"n{n}", *(f"{k}{v}" for k, v in sorted(options.items()))])
    out = os.path.join(WORK, "data", name)
    have = os.path.join(out, "layouts")         # written last
    if os.path.exists(have) and set(layouts.split(",")) <= set(read(have).split(",")):
        return out
    shutil.rmtree(out, ignore_errors=True)
    say(f"making {n:,} events" + (f" ({', '.join(f'{k} {v}' for k, v in options.items())})" if options else ""))
    more = [word for k, v in options.items() for word in (f"--{k}", str(v))]
    made = subprocess.run([sys.executable, f"{HERE}/gen.py", "--n", str(n), "--out", out, "--layouts", layouts, *more],
                          stdout=subprocess.DEVNULL)
    if made.returncode:
        stop(f"gen.py could not make {n:,} events in {out}", "Its message is above; is there space on the disk and in memory?")
    with open(have, "w") as f:
        f.write(layouts)
    return out


def meta(directory):
    return json.loads(read(f"{directory}/ref/meta.json"))


def clean_lines(directory):
    """polars cannot skip a malformed line: it gets a file without them (made once, outside of what is measured)."""
    out = f"{directory}/clean/events.ndjson"
    if not os.path.exists(out):
        os.makedirs(os.path.dirname(out), exist_ok=True)
        with open(f"{directory}/one/events.ndjson") as lines, open(out + ".part", "w") as kept:
            for line in lines:
                try:
                    json.loads(line)
                except ValueError:
                    continue
                kept.write(line)
        os.rename(out + ".part", out)


def warm(directory):
    """Reads the stream once, so that everyone finds it in the page cache."""
    for where, _, names in os.walk(directory):
        for name in names:
            if name.endswith(".ndjson"):
                with open(os.path.join(where, name), "rb", buffering=0) as f:
                    while f.read(1 << 24):
                        pass


def read(path):
    with open(path) as f:
        return f.read()


# -- Measuring

HZ, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def _processes():
    """pid -> (parent, CPU ticks, resident bytes) of all that run."""
    found = {}
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                text = read(f"/proc/{pid}/stat")
            except OSError:
                continue
            v = text[text.rindex(")") + 2:].split()
            found[int(pid)] = (int(v[1]), int(v[11]) + int(v[12]), int(v[21]) * PAGE)
    return found


def _tree(root):
    everyone = _processes()
    keep, grew = {root}, True
    while grew:
        grew = False
        for pid, (parent, _, _) in everyone.items():
            if pid not in keep and parent in keep:
                keep.add(pid)
                grew = True
    return {pid: everyone[pid] for pid in keep if pid in everyone}


def _machine_ticks():
    v = [int(x) for x in read("/proc/stat").split("\n", 1)[0].split()[1:9]]
    return sum(v) - v[3] - v[4]         # without idle and waiting for the disk


def measure(command, log, limit=600, environment=None):
    """Runs a command. Wall and CPU seconds and the peak of the summed resident memory of its whole process tree;
    `others_cpu`: what everybody else burnt meanwhile (distrust a wall time where it is large)."""
    os.makedirs(os.path.dirname(log), exist_ok=True)
    ticks, peak, timeout = {}, 0, False
    busy = _machine_ticks()
    with open(log, "w") as out:
        start = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
                                 env={**os.environ, **(environment or {})})
        ended = select.poll()
        handle = os.pidfd_open(child.pid)
        ended.register(handle, select.POLLIN)
        while True:
            seen = _tree(child.pid)
            for pid, (_, t, _) in seen.items():
                ticks[pid] = max(ticks.get(pid, 0), t)
            peak = max(peak, sum(r for _, _, r in seen.values()))
            passed = time.monotonic() - start
            if ended.poll(20 if passed < 1 else 100):
                wall = time.monotonic() - start
                break
            if passed > limit:
                timeout = True
                os.killpg(child.pid, signal.SIGKILL)
        os.close(handle)
        _, status, used = os.wait4(child.pid, 0)
        code = child.returncode = os.waitstatus_to_exitcode(status)
    busy = (_machine_ticks() - busy) / HZ
    # Two ways to count, each blind to something: samples miss the last moments, rusage misses children that no process waited for.
    cpu = max(sum(ticks.values()) / HZ, used.ru_utime + used.ru_stime)
    peak = max(peak, used.ru_maxrss * 1024)
    return {"wall": round(wall, 3), "cpu": round(cpu, 2), "others_cpu": round(max(0, busy - cpu), 1), "rss_mb": round(peak / 1e6),
            "code": code, "timeout": timeout}


def trouble(run, log):
    """Why a measured run does not count."""
    if run["timeout"]:
        return "not done in time"
    if run["code"]:
        lines = read(log).strip().splitlines() if os.path.exists(log) else []
        return f"ended with {run['code']}: {lines[-1][:200] if lines else 'it said nothing'}"
    return None


def verify(query, directory, out):
    """verify.py's verdict: OK ..., or what differs."""
    run = subprocess.run([sys.executable, f"{HERE}/verify.py", query, f"{directory}/ref", out], capture_output=True, text=True)
    said = (run.stdout + run.stderr).strip()
    return said[-600:] if run.returncode == 0 else f"WRONG {said[-600:]}"


def weir_command(query, directory, out, lanes=None):
    return [BENCH, "query", query, "--data", directory, "--out", out, *(["--lanes", str(lanes)] if lanes else [])]


def bytes_below(directory, suffix=".parquet"):
    return sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(directory) for f in fs if f.endswith(suffix))


def compiled(source, *options):
    """A C file of this folder as a library to preload, compiled below .build/bench."""
    out = f"{WORK}/{source.removesuffix('.c')}.so"
    if " " in out:
        stop("the repository's path holds a space, which LD_PRELOAD cannot take", "Move the repository.")
    source = f"{HERE}/{source}"
    if os.path.exists(out) and os.path.getmtime(out) > os.path.getmtime(source):
        return out
    os.makedirs(WORK, exist_ok=True)
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("clang")
    if not compiler:
        stop("there is no C compiler", "Set CC, or put cc or the toolchain's clang into PATH.")
    run = subprocess.run([compiler, "-O2", "-shared", "-fPIC", *options, "-o", out, source], capture_output=True, text=True)
    if run.returncode:
        stop(f"{os.path.basename(source)} does not compile with {compiler}", f"It is for x86-64 with glibc. {run.stderr[-500:]}")
    return out


# -- What it ran on

def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip().split("\n")[0]
    except OSError:
        return ""


def machine():
    cpu = next((l.split(":", 1)[1].strip() for l in read("/proc/cpuinfo").splitlines() if l.startswith("model name")), platform.machine())
    memory = int(read("/proc/meminfo").split()[1]) / 1e6
    changed = bool(first_line(["git", "status", "--porcelain", "--untracked-files=no"]))
    release = read("/etc/os-release") if os.path.exists("/etc/os-release") else ""
    return {
        "cpu": cpu, "cores": len(os.sched_getaffinity(0)), "memory_gb": round(memory, 1), "kernel": platform.release(),
        "system": next((l.split("=", 1)[1].strip('"') for l in release.splitlines() if l.startswith("PRETTY_NAME=")), platform.system()),
        "swift": first_line(["swift", "--version"]), "python": platform.python_version(),
        "commit": (first_line(["git", "rev-parse", "--short", "HEAD"]) or "unknown") + (" with changes" if changed else ""),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": "Scripts/bench " + " ".join(sys.argv[1:] if os.path.basename(sys.argv[0]) == "all.py" else
                                              [os.path.basename(sys.argv[0]).removesuffix(".py"), *sys.argv[1:]]),
    }


def machine_lines(m):
    return [f"{m['cpu']}, {m['cores']} cores, {m['memory_gb']} GB, {m['system']} (Linux {m['kernel']})",
            f"{m['swift']}; Python {m['python']}; commit {m['commit']}; {m['date']}", f"command: {m['command'].strip()}"]


# -- Saying it

def rate(v):
    return "-" if v is None else f"{v / 1e6:.2f} M" if v >= 1e6 else f"{v / 1e3:.0f} k" if v >= 1e3 else f"{v:.0f}"


def markdown(header, rows):
    """A table that reads well as plain text too."""
    rows = [[str(c) for c in row] for row in rows]
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]
    line = lambda cells: "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths)) + " |"
    return "\n".join([line(header), "|" + "|".join("-" * (w + 2) for w in widths) + "|", *map(line, rows)])


def save(name, document, text):
    os.makedirs(WORK, exist_ok=True)
    with open(f"{WORK}/{name}.json", "w") as f:
        json.dump(document, f, indent=1)
        f.write("\n")
    with open(f"{WORK}/{name}.md", "w") as f:
        f.write(text + "\n")
    say(f"saved in .build/bench/{name}.json and {name}.md")
