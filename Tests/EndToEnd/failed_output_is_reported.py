#!/usr/bin/env python3
"""No command loses results without a word, and no data steers a terminal: every command, with output that fails and on a terminal."""
import concurrent.futures
import itertools
import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import time

import common
import broker

PIPELINE = """pipeline: shown
source: {capture: {stream: s}}
record: {format: json, key: k, fields: {k: string!, v: string, n: int64}}
checks: [{name: positive, that: "n > 0"}]
silver: {}
state: {last: {by: [k], measure: {c: count(), v: max(v)}}}
"""
LIVE = """pipeline: shown
source: {kafka: {brokers: "localhost:1", topic: t, group: g}}
record: {format: json, key: k, fields: {k: string!, v: string, n: int64}}
checks: [{name: positive, that: "n > 0"}]
silver: {}
state: {last: {by: [k], measure: {c: count(), v: max(v)}}}
lake: {flush: {every: 100ms}}
"""
# An escape sequence that sets a window's title, one in C1, a line's end, text from right to left, DEL.
HOSTILE = "a\x1b]0;owned\x07b\x9b31mc\nd\u202ee\u2066f\x7fg"
DANGER = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
ROWS = 20_000

files = {}
numbers = itertools.count()
WORKERS = {("run",), ("replay",), ("capture",), ("load",)}       # their work is not their output: a reader that has gone ends none


def commands(suite, path=()):
    """All commands without subcommands, as the help names them."""
    text = subprocess.run([suite.weir, *path, "--help"], capture_output=True, text=True).stdout
    below = re.findall(r"^  ([a-z][a-z-]*) (?:\(default\))? ", text.split("SUBCOMMANDS:")[1].split("See '")[0], re.M) if "SUBCOMMANDS:" in text else []
    below = [b for b in below if b != "help"]
    if not below:
        return [path]
    return [leaf for name in below for leaf in commands(suite, (*path, name))]


def fresh(suite, name):
    return suite.path(f"{name}-{next(numbers)}")


def case(suite, path, address):
    """The arguments of one run of a command that has results to show."""
    there = ["--lake", files["lake"], "--store", files["store"]]
    return {
        ("demo",): [],
        ("completion",): ["bash"],
        ("mock-kafka",): ["--topic", "x:1"],
        ("mock-kinesis",): ["--stream", "x:1"],
        ("check",): [files["pipeline"]],
        ("explain",): [files["pipeline"]],
        ("infer",): [files["capture"]],
        ("schema",): [],
        ("doctor",): [files["pipeline"], *there],
        ("generate",): ["clicks", "--count", "2000"],
        ("state", "get"): ["last", "k1", "--store", files["store"]],
        ("state", "scan"): ["last", "--store", files["store"], "--format", "csv"],
        ("state", "rebuild"): [files["pipeline"], *there],
        ("ledger", "show"): [files["pipeline"], "--lake", files["lake"]],
        ("ledger", "verify"): [files["pipeline"], *there],
        ("ledger", "restore-tables"): [files["pipeline"], "--lake", files["damaged"], "--dry-run"],
        ("replay",): [files["pipeline"], "--capture", files["capture"], "--lake", fresh(suite, "lake"), "--store", fresh(suite, "store"), "--json"],
        ("run",): [files["live"], "--brokers", address, "--lake", fresh(suite, "lake"), "--store", fresh(suite, "store"), "--json"],
        ("capture",): ["--brokers", address, "--topic", "t", "--out", fresh(suite, "capture"), "--count", "10", "--json"],
        ("load",): ["--brokers", address, "--topic", "t2", "--count", "200", "--rate", "2000", "--json"],
    }.get(path)


def prepare(suite):
    """A lake with many state rows"""
    for name, text in (("pipeline", PIPELINE), ("live", LIVE)):
        files[name] = suite.path(f"{name}.yaml")
        with open(files[name], "w") as f:
            f.write(text)
    files["capture"] = suite.path("capture.ndjson")
    with open(files["capture"], "w") as f:
        for i in range(ROWS):
            f.write(json.dumps({"k": f"k{i}", "v": "v" * 20, "n": 1}) + "\n")
    files["lake"], files["store"] = suite.path("lake"), suite.path("store")
    run = common.Result([suite.weir, "replay", files["pipeline"], "--capture", files["capture"], "--lake", files["lake"], "--store", files["store"]])
    files["damaged"] = suite.path("damaged")        # something to restore, and so to list
    shutil.copytree(files["lake"], files["damaged"])
    shutil.rmtree(os.path.join(files["damaged"], "silver", "s", "_delta_log"))
    suite.claim("a lake is made", [f"exit {run.code}: {run.talk}"] if run.code else [])


def small_file():
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))


def start(suite, path, arguments, out, err=subprocess.PIPE, before=None):
    # Test servers end with their standard input, if that is a pipe.
    process = subprocess.Popen([suite.weir, *path, *arguments], stdin=subprocess.PIPE if path[0].startswith("mock-") else subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=before)
    return process


def ended(process, path, stops):
    """(code, stderr, stdout). A live worker is asked to end, unless it should do so by itself."""
    if path == ("run",) and not stops:
        common.listens(process, signal.SIGTERM)
        time.sleep(3)
        process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    return process.returncode, (err or b"").decode(errors="replace"), (out or b"").decode(errors="replace")


def failing(suite, path, address):
    """Faults of one command: with standard output full, closed, and read by nobody; with standard error that fails; of its help."""
    full, closed, gone, quiet, helps = [], [], [], [], []
    name = " ".join(path)
    with open("/dev/full", "w") as out:
        code, err, _ = ended(start(suite, path, case(suite, path, address), out), path, True)
    if code != 1 or "cannot write to standard output: No space left on device" not in err:
        full.append(f"{name}: exit {code}: {err[-200:]}")
    code, err, _ = ended(start(suite, path, case(suite, path, address), None, before=lambda: os.close(1)), path, True)
    if code != 1 or "cannot write to standard output" not in err:
        closed.append(f"{name}: exit {code}: {err[-200:]}")
    read, write = os.pipe()
    os.close(read)
    code, err, _ = ended(start(suite, path, case(suite, path, address), write), path, False)
    os.close(write)
    if code != (0 if path in WORKERS else 141) or "cannot write" in err:
        gone.append(f"{name}: exit {code}: {err[-200:]}")
    for how, before in (("full", None), ("closed", lambda: os.close(2))):
        with open("/dev/full", "w") as err_file:
            code, _, out = ended(start(suite, path, case(suite, path, address), subprocess.PIPE, err_file, before), path, False)
        if code:
            # Its own message is lost: the next run's says why, if it fails too.
            again, err, _ = ended(start(suite, path, case(suite, path, address), subprocess.PIPE), path, False)
            quiet.append(f"{name}, standard error {how}: exit {code}: {out[-300:]!r}; once more: exit {again}: {err[-500:]}")
    with open("/dev/full", "w") as out:
        code = subprocess.run([suite.weir, *path, "--help"], stdout=out, stderr=subprocess.DEVNULL).returncode
    if code != 1:
        helps.append(f"weir {name} --help: exit {code}")
    return full, closed, gone, quiet, helps


def every_command(suite):
    """Every command, with standard output full, closed and read by nobody"""
    leaves = commands(suite)
    with broker.Broker({"t": 1, "t2": 1}) as b:
        producer = broker.Producer(b.address)
        for i in range(20):
            producer.send("t", json.dumps({"k": f"k{i}", "n": 1}).encode(), b"k")
        producer.flush()
        missing = [path for path in leaves if case(suite, path, b.address) is None]
        suite.claim(f"each of the {len(leaves)} commands has a case here", [f"no case for weir {' '.join(p)}" for p in missing])
        leaves = [path for path in leaves if path not in missing]
        # They mostly wait.
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda path: failing(suite, path, b.address), leaves))
    full, closed, gone, quiet, helps = ([fault for f in found for fault in f[i]] for i in range(5))
    suite.claim("a full disk behind standard output: exit 1 and a message, for every command", full)
    suite.claim("a closed standard output: the same", closed)
    suite.claim("a reader that has gone: exit 141 without a word; workers go on and end with 0", gone)
    suite.claim("a standard error that is full or closed changes no exit code", quiet)
    suite.claim("help that cannot be written: exit 1", helps)


def partial(suite):
    """Results that are written in part are told: a file that may hold 4,096 bytes"""
    faults = []
    for path, more in ((("state", "scan"), []), (("generate",), []), (("ledger", "show"), ["--json"])):
        out = suite.path("partial")
        with open(out, "wb") as f:
            code, err, _ = ended(start(suite, path, case(suite, path, "") + more, f, before=small_file), path, True)
        if os.path.getsize(out) == 0 and path != ("ledger", "show"):
            faults.append(f"{path}: nothing was written: the case shows nothing")
        if code != 1 or "cannot write to standard output: File too large" not in err:
            faults.append(f"{' '.join(path)}: exit {code}: {err[-200:]}")
    suite.claim(partial.__doc__, faults)


def stuck_errors(suite):
    """A standard error that nobody reads does not hold a command up"""
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 65536)
    except BlockingIOError:
        os.set_blocking(write, True)
    process = start(suite, ("replay",), case(suite, ("replay",), "")[:-1], subprocess.PIPE, write)
    out, _ = process.communicate(timeout=60)
    os.close(read)
    suite.claim(stuck_errors.__doc__, [] if process.returncode == 0 and b"records" in out else [f"exit {process.returncode}: {out[-200:]}"])


def hangup(suite):
    """SIGHUP and SIGQUIT drain a worker as SIGTERM does; under nohup SIGHUP is ignored"""
    faults = []
    for number, ignored in ((signal.SIGHUP, False), (signal.SIGHUP, True), (signal.SIGQUIT, False)):
        # One for each: the broker lets a group that was left wait for its session.
        with broker.Broker({"t": 1}) as b:
            producer = broker.Producer(b.address)
            for i in range(50):
                producer.send("t", json.dumps({"k": f"k{i}", "n": 1}).encode(), b"k")
            producer.flush()
            out = suite.path(f"hangup-{number}-{ignored}.out")
            # The tests themselves may run under nohup.
            state = signal.SIG_IGN if ignored else signal.SIG_DFL
            with open(out, "w") as f:
                process = start(suite, ("run",), case(suite, ("run",), b.address), f, before=lambda: signal.signal(signal.SIGHUP, state))
            broker.wait("it reads", lambda: "committed" in open(out).read() or process.poll() is not None, 60)
            process.send_signal(number)
            if ignored:
                try:
                    process.wait(3)
                    faults.append("the hang-up ended it although it was to be ignored")
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
            last = json.loads(open(out).read().strip().split("\n")[-1])
            if process.returncode or last.get("event") != "done" or last.get("records") != 50:
                faults.append(f"{number.name}: exit {process.returncode}, last line {last}, {err[-200:]}")
    suite.claim(hangup.__doc__, faults)


# -- Terminals

def on_terminal(command):
    """What a terminal would get: (standard output and error together, exit code)."""
    fd, other = pty.openpty()
    process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other)
    os.close(other)
    data = b""
    while True:
        try:
            chunk = os.read(fd, 65536)
        except OSError:
            break
        if not chunk:
            break
        data += chunk
    os.close(fd)
    return data.decode(errors="replace"), process.wait()


def dangerous(text):
    """Characters that steer a terminal, other than our own line ends, the progress line and coloured words."""
    text = re.sub(r"\x1b\[3[123]m( error: | warning: |PASS|FAIL)\x1b\[0m", r"\1", text)
    return DANGER.findall(text.replace("\r\n", "\n").replace("\r\x1b[2K", ""))


def terminal(suite):
    """No character of data steers a terminal: every command that shows data"""
    where = suite.path("hostile")
    os.makedirs(where)
    name = HOSTILE.replace("\n", "")
    lookup = os.path.join(where, "lookup.csv")
    with open(lookup, "w") as f:
        f.write(f"k,x\n1,{name}\n1,b\n")
    pipeline = os.path.join(where, "shown.yaml")
    with open(pipeline, "w") as f:
        f.write(PIPELINE)
    capture = os.path.join(where, "capture.ndjson")
    with open(capture, "w", encoding="utf-8") as f:
        for i in range(5):
            f.write(json.dumps({"k": HOSTILE + str(i), "v": HOSTILE, "n": 1}) + "\n")
        f.write(f'{{"k": "x", "n": "{name}"}}\n')
        f.write('{"k": "x", "' + name.replace("\x1b", "").replace("\x07", "").replace("\x7f", "") + '": 1, }\n')
    lake, store = os.path.join(where, "lake"), os.path.join(where, "store")
    bad = os.path.join(where, "bad.yaml")
    with open(bad, "w") as f:
        f.write(PIPELINE.replace("pipeline: shown", 'pipeline: "a\\e]0;x\\a\\x9b\\u202eb"'))
    with open(os.path.join(where, "bad-lookup.yaml"), "w") as f:
        f.write(PIPELINE + "lookups: {l: {file: lookup.csv, key: k}}\n")
    text = os.path.join(where, "expression.yaml")
    with open(text, "w") as f:
        f.write(PIPELINE.replace('"n > 0"', '"v <> \'a\\e]0;x\\a\\x9b\\u202eb\'"'))
    w = suite.weir
    shown = {
        "replay": [w, "replay", pipeline, "--capture", capture, "--lake", lake, "--store", store],
        "replay of a file that is not there": [w, "replay", pipeline, "--capture", name, "--lake", lake],
        "state scan": [w, "state", "scan", "last", "--store", store],
        "state scan csv": [w, "state", "scan", "last", "--store", store, "--format", "csv"],
        "state scan json": [w, "state", "scan", "last", "--store", store, "--format", "json"],
        "state get": [w, "state", "get", "last", HOSTILE + "1", "--store", store],
        "state get of a table that is not there": [w, "state", "get", name, "x", "--store", store],
        "ledger show": [w, "ledger", "show", pipeline, "--lake", lake],
        "ledger show --json": [w, "ledger", "show", pipeline, "--lake", lake, "--json"],
        "ledger verify": [w, "ledger", "verify", pipeline, "--lake", lake, "--store", store],
        "check": [w, "check", bad], "check --json": [w, "check", bad, "--json"],
        "check of a lookup": [w, "check", os.path.join(where, "bad-lookup.yaml")],
        "check of a file that is not there": [w, "check", name],
        "explain": [w, "explain", text], "explain --json": [w, "explain", text, "--json"],
        "an unknown option": [w, "check", "--" + name],
        "capture": [w, "capture", "--brokers", name, "--topic", name, "--out", where + "/c"],
        "load": [w, "load", "--brokers", "localhost:1", "--topic", "t", "--plan", name],
        "generate": [w, "generate", name],
    }
    faults, spoken = [], {}
    for what, command in shown.items():
        out, code = on_terminal(command)
        spoken[what] = out
        if found := dangerous(out):
            faults.append(f"{what}: {sorted({hex(ord(c)) for c in found})} in {out[-300:]!r}")
        if code < 0:
            faults.append(f"{what}: ended by signal {-code}")
    for what in ("state scan", "state scan csv", "state scan json", "state get"):
        if "\\u001b]0;owned\\u0007b\\u009b31m" not in spoken[what]:
            faults.append(f"{what} shows no escaped value: {spoken[what][-300:]!r}")
    suite.claim(f"{terminal.__doc__} ({len(shown)})", faults)
    raw = subprocess.run(shown["state scan csv"], capture_output=True, text=True).stdout
    table = subprocess.run(shown["state scan"], capture_output=True, text=True).stdout
    lines = subprocess.run(shown["state scan json"], capture_output=True, text=True).stdout
    faults = [] if HOSTILE in raw else ["CSV for a program is not the value itself"]
    faults += [] if {json.loads(line)["v"] for line in lines.splitlines()} >= {HOSTILE} else ["JSON for a program is not the value itself"]
    faults += [f"the table for people holds {dangerous(table)}"] if dangerous(table) else []
    faults += [] if all(line.startswith(("a\\u", "x", "k ", "─")) for line in table.splitlines()) else ["a line end of the data breaks the table"]
    suite.claim("programs get CSV and JSON values as they are; tables are escaped everywhere", faults)


def live_log(suite):
    """No character of a record's reason, key or topic steers a terminal through a live worker's log"""
    with broker.Broker({"t": 1}) as b:
        producer = broker.Producer(b.address)
        producer.send("t", json.dumps({"k": "fine", "n": 1}).encode(), b"k")     # a run that can use nothing stops
        producer.send("t", json.dumps({"k": HOSTILE, "n": HOSTILE}).encode(), HOSTILE.encode())
        producer.send("t", ('{"k": "x", "n": "' + HOSTILE + '"').encode(), b"k")
        producer.send("t", HOSTILE.encode(), b"k", headers=[("traceparent", HOSTILE.encode())])
        producer.flush()
        faults = []
        for form in ("text", "json"):
            out, err = suite.path(f"log-{form}.out"), suite.path(f"log-{form}.err")
            with open(out, "w") as f, open(err, "w") as g:
                process = start(suite, ("run",), case(suite, ("run",), b.address) + ["--log-format", form], f, g)
            broker.wait("records are rejected", lambda: "quarantined" in open(err).read() or process.poll() is not None, 60)
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            for path in (out, err):
                with open(path, encoding="utf-8", errors="replace", newline="") as f:
                    text = f.read()
                faults += [f"{form}: {sorted({hex(ord(c)) for c in dangerous(text)})}: {text[-400:]!r}"] if dangerous(text) else []
            with open(err) as f:
                faults += [] if "quarantined" in f.read() else [f"{form}: no record was rejected"]
    suite.claim(live_log.__doc__, faults)


def main():
    suite = common.Suite("failed_output_is_reported", 400, __doc__)
    prepare(suite)
    suite.run(every_command, hangup, live_log, partial, stuck_errors, terminal, together=4)


if __name__ == "__main__":
    main()
