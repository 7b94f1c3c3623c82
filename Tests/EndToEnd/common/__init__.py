"""What the end-to-end drivers share: captures, derived pipelines, runs of the binary, claims and the summary line.

Each driver is a program:  DRIVER [--quick] [--weir BINARY] [--seed N] [--limit SECONDS] [--keep]
It works in a directory of its own, .build/endtoend/<driver>-<something>, so any number of drivers run at the same time, also the same one
twice; what they share is made once (oracle/once.py), and ports are the kernel's choice. It prints one line a claim, ends with `N passed, N failed`, and exits with 1 if one failed.
"""
import argparse
import atexit
import contextlib
import fcntl
import gzip
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

verdict = []                # the exit code of a driver that has ended


@atexit.register
def leave():
    """Registered first, so it runs last. Threads of the libraries that read tables can end a program with a signal while it is taken down."""
    if verdict:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(verdict[0])


HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
# The helpers, and the reference. Drivers import this package first.
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "oracle")]

try:
    import yaml
    import compare
    import once
    import reference
    import tables
except ModuleNotFoundError as e:
    sys.exit(f"{e.name} is missing. Run Scripts/setup --tests, and this with .build/venv/bin/python.")

PIPELINES = os.path.join(ROOT, "Deploy", "Pipelines")
WORK = os.environ.get("WEIR_TEST_WORK") or os.path.join(ROOT, ".build", "endtoend")
INPUTS = os.path.join(WORK, "inputs")
WIKIPEDIA = os.path.join(ROOT, "..", "shared", "data", "wikipedia-edits.ndjson.gz")
RUN_LIMIT = 1200            # seconds that one run of the binary may take
# Limits are there for what hangs. They are no claims about speed: a machine with other load needs several times as long.
PATIENCE = 120              # seconds that something may take that is done at once on a quiet machine
BUSY = 4                    # times that a whole driver may take longer than on a quiet machine
FAULTS_SHOWN = 12           # lines a claim
# What a program that crashed leaves on standard error.
CRASHES = ("Fatal error", "Program crashed", "Stack dump", "Segmentation fault", "Illegal instruction")


class TooLong(Exception):
    """The driver's own limit of time."""


def own_directory(name):
    """A directory that no other run has, and the lock that says so while this process lives. Directories of ended runs are removed."""
    os.makedirs(WORK, exist_ok=True)
    with once.locked(os.path.join(WORK, f".{name}.directories")):
        for old in os.listdir(WORK):
            if not re.fullmatch(re.escape(name) + r"-[a-z0-9_]{8}", old):
                continue
            path = os.path.join(WORK, old)
            with open(f"{path}.lock", "a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue            # of a run that continues
                unmount(path)
                shutil.rmtree(path, ignore_errors=True)
                os.remove(f"{path}.lock")
        directory = tempfile.mkdtemp(prefix=f"{name}-", dir=WORK)
        lock = open(f"{directory}.lock", "a")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return directory, lock


def unmount(directory):
    """What a driver that was killed has left mounted: its directory could not be emptied."""
    with open("/proc/mounts") as f:
        for line in f:
            if line.split()[1].startswith(os.path.realpath(directory) + "/"):
                subprocess.run(["umount", "-l", line.split()[1]], check=False)


class Suite:
    """Collects claims."""

    def __init__(self, name, limit, doc, add=None):
        arguments = argparse.ArgumentParser(description=(doc or "").strip().split("\n")[0])
        arguments.add_argument("--quick", action="store_true", help="what Scripts/test runs: fewer combinations")
        arguments.add_argument("--weir", default=os.path.join(ROOT, ".build", "release", "weir"), help="the binary")
        arguments.add_argument("--seed", type=int, default=1)
        arguments.add_argument("--limit", type=int, default=limit * BUSY, help="seconds after which the driver gives up")
        arguments.add_argument("--only", help="some parts, by their functions' names, with commas")
        arguments.add_argument("--keep", action="store_true", help="keeps the files in .build/endtoend")
        if add:
            add(arguments)
        self.arguments = a = arguments.parse_args()
        if not os.access(a.weir, os.X_OK):
            sys.exit(f"there is no binary {a.weir}: build it with  swift build -c release --product weir")
        self.name, self.quick, self.weir = name, a.quick, os.path.abspath(a.weir)
        self.random = random.Random(a.seed)
        self.passed = self.failed = 0
        self.start = time.monotonic()
        self.directory, self.lock = own_directory(name)
        signal.signal(signal.SIGALRM, self._too_long)
        signal.alarm(a.limit)
        print(f"-- {name} (seed {a.seed}{', quick' if a.quick else ''})", flush=True)

    def _too_long(self, *_):
        raise TooLong(f"not done after {self.arguments.limit} s")

    def claim(self, text, faults=()):
        """One claim; it holds if there are no faults."""
        faults = [faults] if isinstance(faults, str) else list(faults)
        if faults:
            self.failed += 1
        else:
            self.passed += 1
        print(f"{'FAILED' if faults else 'ok    '} {text}", flush=True)
        for fault in faults[:FAULTS_SHOWN]:
            print(f"       {fault[:600]}", flush=True)
        if len(faults) > FAULTS_SHOWN:
            print(f"       ... {len(faults) - FAULTS_SHOWN} more lines")
        return not faults

    def note(self, text):
        print(f"       {text}", flush=True)

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def _make(self, make):
        try:
            make(self)
        except TooLong:
            raise
        except Exception as e:
            where = traceback.extract_tb(e.__traceback__)[-1]
            self.claim(getattr(make, "__doc__", None) or make.__name__,
                       f"{type(e).__name__}: {e} ({os.path.basename(where.filename)}:{where.lineno})")

    def run(self, *claims, together=1):
        """Runs functions that make claims (those of --only, if given), that number at a time; an exception in one is a failed claim.
        Ends the program."""
        names = [claim.__name__ for claim in claims]
        only = self.arguments.only.split(",") if self.arguments.only else names
        if strange := set(only) - set(names):
            sys.exit(f"--only: there is no {', '.join(sorted(strange))}; there are: {', '.join(names)}")
        waiting = [claim for claim in reversed(claims) if claim.__name__ in only]

        def work():
            while waiting:
                self._make(waiting.pop())
        threads = [threading.Thread(target=work, daemon=True) for _ in range(together - 1)]
        try:
            for thread in threads:
                thread.start()
            work()
            for thread in threads:
                thread.join()
        except TooLong as e:
            self.claim(f"{self.name} ends in time", str(e))
        signal.alarm(0)
        if not self.failed and not self.arguments.keep:
            shutil.rmtree(self.directory, ignore_errors=True)
            os.remove(f"{self.directory}.lock")
        elif self.failed:
            self.note(f"the files are in {self.directory}")
        print(f"{self.name}: {time.monotonic() - self.start:.0f} s")
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        verdict.append(1 if self.failed else 0)
        sys.exit(verdict[0])


# -- Signals

def listens(process, signal_number):
    """Waits until a program has a handler for a signal, or has ended: before that the signal itself ends it. False: it has none."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        try:
            with open(f"/proc/{process.pid}/status") as f:
                masks = {line.split()[0]: int(line.split()[1], 16) for line in f if line.startswith(("SigCgt:", "SigBlk:"))}
        except (FileNotFoundError, ProcessLookupError):
            return False
        if any(mask >> (signal_number - 1) & 1 for mask in masks.values()):
            return True
        time.sleep(0.02)
    return False


# -- Captures

def flights(limit=None):
    """The capture of the flights, or of the first `limit` of them."""
    out = os.path.join(ROOT, ".build", "demo", "flights.ndjson")
    subprocess.run([sys.executable, os.path.join(ROOT, "Scripts", "flights_capture.py"), "--out", out], check=True)
    if not limit:
        return out

    def make(part):
        with open(out, "rb") as f, open(part, "wb") as g:
            for _ in range(limit):
                g.write(f.readline())
    return once.made(INPUTS, f"flights-{limit}", ".ndjson", [], [limit], make)


def wikipedia():
    """The capture of Wikipedia's edits, or None where it does not exist."""
    return os.path.normpath(WIKIPEDIA) if os.path.exists(WIKIPEDIA) else None


def synthetic(seed=1, n=50_000, even=False):
    script = os.path.join(ROOT, "Scripts", "make_synthetic.py")
    arguments = ["--seed", str(seed), "--n", str(n), *(["--even"] if even else [])]

    def make(part):
        subprocess.run([sys.executable, script, *arguments, "--out", part], check=True)
    return once.made(INPUTS, f"synthetic-{seed}-{n}", ".ndjson", [script], arguments, make)


def uncompressed(path):
    with open(path, "rb") as f:
        data = f.read()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


# -- Runs

class Lake:
    """What workers write, in the directory `lake`, of the pipeline `name`."""
    environment = None      # of its runs; None: this process's

    def local(self):
        """The lake as a directory."""
        return self.lake

    def read_entry(self, number):
        """An entry of the ledger, or None."""
        try:
            with open(os.path.join(self.lake, "_weir", self.name, "ledger", f"{number:020}.json")) as f:
                return json.load(f)
        except FileNotFoundError:
            return None


class Job(Lake):
    """A pipeline, derived from one of Deploy/Pipelines, with its own lake and store below `directory`."""

    def __init__(self, suite, directory, pipeline, captures, lanes=None, flush=None, change=None):
        """flush: input bytes an epoch. change: a function that edits the parsed pipeline file."""
        self.suite, self.directory = suite, directory
        self.captures = [captures] if isinstance(captures, str) else list(captures)
        self.lanes = lanes
        os.makedirs(directory, exist_ok=True)
        self.lake, self.store = os.path.join(directory, "lake"), os.path.join(directory, "store")
        self.pipeline = derive(pipeline, directory, flush, change)
        with open(self.pipeline) as f:
            self.name = yaml.safe_load(f)["pipeline"]

    def command(self, *more, captures=None, lanes=None):
        lanes = lanes or self.lanes
        return [self.suite.weir, "replay", self.pipeline, "--capture", *(captures or self.captures), "--lake", self.lake,
                "--store", self.store, "--json", *(["--lanes", str(lanes)] if lanes else []), *more]

    def replay(self, *more, stdin=None, captures=None, lanes=None):
        return Result(self.command(*more, captures=captures, lanes=lanes), stdin=stdin, environment=self.environment)

    def start(self, *more):
        return subprocess.Popen(self.command(*more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, errors="replace", env=self.environment)

    def ledger(self, what, *more):
        return Result([self.suite.weir, "ledger", what, self.pipeline, "--lake", self.lake, "--store", self.store, *more],
                      environment=self.environment)

    def entries(self):
        return tables.entries(self.lake, self.name)

    def reference(self):
        return reference.cached(self.pipeline, self.captures, os.path.join(WORK, "references"))

    def faults(self):
        """How the tables differ from the reference."""
        return flat(compare.compare(self.reference(), self.pipeline, self.local(), self.store, self.suite.weir))

    def faults_against(self, other):
        """How the tables differ from another run's."""
        return flat(compare.compare_lakes(self.pipeline, (self.local(), self.store), (other.local(), other.store), self.suite.weir))

    def verify_faults(self):
        run = self.ledger("verify")
        return [] if run.code == 0 else [f"weir ledger verify ends with {run.code}: {run.talk}"]

    def clear(self):
        shutil.rmtree(self.lake, ignore_errors=True)
        shutil.rmtree(self.store, ignore_errors=True)


def flat(findings):
    return [f"{name}: {fault}" for name, _, faults in findings for fault in faults]


def derive(pipeline, directory, flush=None, change=None):
    """A copy of a pipeline file in `directory`, with its lookups' files, changed. Its path."""
    source = pipeline if os.path.sep in pipeline else os.path.join(PIPELINES, f"{pipeline}.yaml")
    with open(source) as f:
        spec = yaml.safe_load(f)
    for lookup in (spec.get("lookups") or {}).values():
        found = os.path.join(os.path.dirname(source), lookup["file"])
        if os.path.exists(found):       # the benchmark's is made by its generator, and named by `change`
            shutil.copy(found, directory)
            lookup["file"] = os.path.basename(lookup["file"])
    if flush:
        spec.setdefault("lake", {}).setdefault("flush", {})["bytes"] = flush
    if change:
        change(spec)
    path = os.path.join(directory, os.path.basename(source))
    with open(path, "w") as f:
        yaml.safe_dump(spec, f, sort_keys=False, allow_unicode=True, width=1000)
    return path


class Result:
    """A finished run of the binary."""

    def __init__(self, command, stdin=None, limit=RUN_LIMIT, environment=None):
        self.command = command
        start = time.monotonic()
        with contextlib.ExitStack() as stack:
            feed = stack.enter_context(open(stdin, "rb")) if stdin else subprocess.DEVNULL
            try:
                run = subprocess.run(command, stdin=feed, capture_output=True, text=True, errors="replace", timeout=limit, env=environment)
            except subprocess.TimeoutExpired as e:
                raise RuntimeError(f"{' '.join(command)}: not done after {limit} s; {str(e.stderr)[-500:]}") from None
        self.seconds = time.monotonic() - start
        self.code, self.out, self.err = run.returncode, run.stdout, run.stderr

    @property
    def talk(self):
        return self.err.strip()[-800:] or "(nothing on standard error)"

    @property
    def done(self):
        """The last JSON line of a replay, if it is one that says `done`."""
        lines = self.out.strip().split("\n")
        try:
            last = json.loads(lines[-1])
        except ValueError:
            last = {}
        return last if isinstance(last, dict) and last.get("event") == "done" else {}

    def fault(self):
        """Why a run that should have succeeded has not."""
        if self.code:
            return [f"ended with {self.code}: {self.talk}"]
        if "replay" in self.command and not self.done:
            return [f"the last line does not say done: {self.out.strip()[-300:]!r}"]
        return []

    def refusal_fault(self, *words):
        """Why this is not a clear refusal: exit code 1 or 2, and a message on standard error that has one of the words."""
        faults = []
        if self.code not in (1, 2):
            faults.append(f"ended with {self.code} instead of 1 or 2: {self.talk}")
        if crash := [c for c in CRASHES if c in self.err]:
            faults.append(f"crashed ({crash[0]}): {self.talk}")
        if words and not any(w.lower() in self.err.lower() for w in words):
            faults.append(f"the message has none of {words}: {self.talk}")
        return faults


def count_faults(done, reference):
    """Where a done line does not agree with the reference."""
    wanted = {"records": reference.records, **reference.buckets}
    return [f"{name} is {done.get(name)}, expected {n}" for name, n in wanted.items() if done.get(name) != n]


# -- Small file systems

@contextlib.contextmanager
def tmpfs(path, size):
    """A small file system, or None where this process may not mount one."""
    os.makedirs(path, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], capture_output=True).returncode == 0
    try:
        yield path if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", path], check=False)


def remount(path, options):
    subprocess.run(["mount", "-o", f"remount,{options}", path], check=True)
