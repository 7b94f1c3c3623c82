#!/usr/bin/env python3
"""The command line for people: `weir demo` and its sums, suggestions for unknown names, completion in bash, progress and colours on a
terminal, the test broker as a command, and `weir load`'s report with limits and comparison."""
import fcntl
import json
import os
import pty
import re
import resource
import select
import struct
import subprocess
import termios
import time

import common
import broker
import tables

PARTS = ("accepted", "duplicate", "filtered", "quarantined")


def run(suite, *arguments, **more):
    return subprocess.run([suite.weir, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=common.PATIENCE, **more)


def number(text):
    return int(text.replace(",", ""))


def buckets(out):
    """What the demo prints: {bucket: records}."""
    return {name: number(n) for name, n in re.findall(r"^  (\w+) +([\d,]+)  ", out, re.M)}


def demo(suite):
    """weir demo: the buckets add up, no file is left, and no network is used"""
    scratch = suite.path("tmp")
    os.makedirs(scratch)
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    # A network namespace without any network; not for users who may not make one.
    alone = ["unshare", "-n"] if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0 else []
    done = subprocess.run([*alone, suite.weir, "demo"], capture_output=True, text=True, cwd=scratch, env={**os.environ, "TMPDIR": scratch})
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = buckets(done.stdout)
    faults = [] if done.returncode == 0 else [f"exit {done.returncode}: {done.stderr}"]
    faults += [] if found.get("sum") == 20_000 == sum(found.get(p, 0) for p in PARTS) else [f"buckets: {found}"]
    faults += [f"no {p}" for p in PARTS if not found.get(p)]
    faults += [f"left: {os.listdir(scratch)}"] if os.listdir(scratch) else []
    windows = re.search(r"^([\d,]+) orders in windows \+ ([\d,]+) too late .* = ([\d,]+) accepted$", done.stdout, re.M)
    faults += [] if windows and number(windows[2]) > 0 and number(windows[1]) + number(windows[2]) == number(windows[3]) == found["accepted"] \
        else [f"windows: {windows and windows[0]}"]
    faults += [] if re.search(r"^customer_id +orders +spent", done.stdout, re.M) else ["no state table"]
    suite.claim(demo.__doc__ + ("" if alone else " (not shown: network)"), faults)
    # The time on the clock depends on the machine's other work.
    suite.claim("the demo needs less than half a CPU second", [] if cpu < 0.5 else [f"{cpu:.2f} s"])
    suite.note(f"it took {took:.2f} s, {cpu:.2f} CPU seconds, at load {os.getloadavg()[0]:.1f}")

    def scratches():
        return {os.path.join(d, n) for d in ("/tmp", "/dev/shm") if os.path.isdir(d) for n in os.listdir(d) if n.startswith("weir-demo-")}
    before = scratches()
    own = subprocess.run([suite.weir, "demo"], capture_output=True, text=True, env={k: v for k, v in os.environ.items() if k != "TMPDIR"})
    # Another driver may run the demo at this moment: its files go away.
    left, until = scratches() - before, time.monotonic() + 30
    while left and time.monotonic() < until:
        time.sleep(0.2)
        left &= scratches()
    suite.claim("without TMPDIR: the same result, and no file is left", ([] if own.returncode == 0 and buckets(own.stdout) == found else [own.stderr])
                + sorted(left))

    kept = suite.path("kept")
    again = run(suite, "demo", "--keep", kept)
    rows = {os.path.basename(os.path.dirname(t)): tables.read_delta(os.path.join(kept, "lake"), t) for t in tables.delta_tables(os.path.join(kept, "lake"))}
    gold = sum(rows["gold"].column("orders").to_pylist()) if "gold" in rows else None
    want = {"bronze": 20_000, "silver": found["accepted"], "quarantine": found["quarantined"], "late": number(windows[2]) if windows else None}
    faults = [f"exit {again.returncode}: {again.stderr}"] if again.returncode else []
    faults += [f"{name}: {rows[name].num_rows if name in rows else 'missing'} rows, printed {count}" for name, count in want.items()
               if name not in rows or rows[name].num_rows != count]
    faults += [] if windows and gold == number(windows[1]) else [f"gold counts {gold} orders"]
    suite.claim("an independent reader finds in the tables of --keep what the demo printed", faults)
    faults = [] if run(suite, "ledger", "verify", os.path.join(kept, "orders.yaml")).returncode == 0 else ["weir ledger verify fails"]
    faults += [] if run(suite, "demo", "--keep", kept).returncode == 2 else ["a directory that is not empty is used"]
    suite.claim("what --keep leaves can be verified, and is not overwritten", faults)


def pipeline(suite):
    """weir demo --show-pipeline prints a pipeline that passes `weir check`, and the commands in it give the demo's numbers"""
    shown = run(suite, "demo", "--show-pipeline")
    place = suite.path("own")
    os.makedirs(place)
    with open(os.path.join(place, "orders.yaml"), "w") as f:
        f.write(shown.stdout)
    commands = [line[1:].strip() for line in shown.stdout.split("\n") if line.startswith("#   weir ") and "demo" not in line]
    faults = [] if len(commands) == 3 and shown.returncode == 0 else [f"commands: {commands}"]
    out = ""
    for command in commands:
        one = subprocess.run([suite.weir, *command.split()[1:]], capture_output=True, text=True, cwd=place)
        out += one.stdout
        faults += [f"{command}: exit {one.returncode}: {one.stderr}"] if one.returncode or "warning" in one.stderr else []
    counts = {name: number(n) for name, n in re.findall(r"^  (\w+) +([\d,]+)$", out, re.M)}
    printed = buckets(run(suite, "demo").stdout)
    faults += [f"{counts} and the demo {printed}"] if counts != {p: printed.get(p) for p in PARTS} else []
    suite.claim(pipeline.__doc__, faults)


# Arguments, and what the message must have.
UNKNOWN = [
    (["rnu", "x.yaml"], "Unknown command 'rnu'. Did you mean 'run'?"),
    (["replya", "--help"], "Did you mean 'replay'?"),
    (["help", "ledgr"], "Did you mean 'ledger'?"),
    (["state", "sacn", "t"], "Did you mean 'scan'?"),
    (["ledger", "vreify", "x"], "Did you mean 'verify'?"),
    (["frobnicate"], "Commands of weir: demo, run, replay,"),
    (["replay", "x.yaml", "--captre", "y"], "Unknown option '--captre'. Did you mean '--capture'?"),
    (["run", "x.yaml", "--accept-partition", "t"], "Did you mean '--accept-partitions'?"),
    (["load", "--brokrs=x:1"], "Did you mean '--brokers'?"),
    (["check", "x.yaml", "--frobnicate"], "Unknown option '--frobnicate'"),
    (["completion", "tcsh"], "tcsh"),
    (["generate", "orders", "--count", "-1"], "needs an equals sign: --count=-1"),
    (["generate", "orders", "--skew=-1", "--count=1"], "--skew must be from 0 to 1"),
    (["mock-kafka", "--topic", "a:10001"], "from 1 to 10000"),
    (["mock-kafka", "--topic", "a:99999999999"], "from 1 to 10000"),
    (["mock-kafka", "--brokers", "0"], "--brokers must be from 1 to 100"),
    (["mock-kafka", "--brokers", "999999999"], "--brokers must be from 1 to 100"),
    (["mock-kafka", "--delay", "99999999999"], "--delay must be from 0 to 60000"),
]


def names(suite):
    """Unknown commands, options and values: exit code 2, and the nearest name or the bounds"""
    faults = []
    for arguments, words in UNKNOWN:
        one = run(suite, *arguments)
        if one.returncode != 2 or words not in one.stderr or one.stdout:
            faults.append(f"weir {' '.join(arguments)}: exit {one.returncode}: {one.stderr} {one.stdout[:100]}")
        if "frobnicate" in " ".join(arguments) and "Did you mean" in one.stderr:
            faults.append(f"weir {' '.join(arguments)}: a name that is not near: {one.stderr}")
    for arguments in (["help", "ledger"], ["state", "--help"], ["--version"], ["help", "state", "get"]):
        one = run(suite, *arguments)
        faults += [f"weir {' '.join(arguments)}: exit {one.returncode}"] if one.returncode or not one.stdout else []
    suite.claim(names.__doc__, faults)


def versions(suite):
    """weir --version prints one line, and with --json the versions of the libraries that are loaded; the log of a worker begins with its client's"""
    plain, one = run(suite, "--version"), run(suite, "--json", "--version")
    faults = [] if plain.returncode == 0 and len(plain.stdout.splitlines()) == 1 else [f"exit {plain.returncode}: {plain.stdout}"]
    try:
        found = json.loads(one.stdout)
        faults += [] if found.pop("version") == plain.stdout.strip() and set(found) == {"librdkafka", "lmdb", "libcurl"} else [str(found)]
        faults += [f"{name}: {text}" for name, text in found.items() if not re.fullmatch(r"\d+\.\d+\.\d+.*", text)]
    except ValueError:
        return suite.claim(versions.__doc__, [f"exit {one.returncode}: {one.stdout}{one.stderr}"])
    out = suite.path("versions")
    os.makedirs(out)
    with open(f"{out}/p.yaml", "w") as f:
        f.write("pipeline: p\nsource: {kafka: {brokers: 'b:1', topic: t, group: g, session: 6s}}\n"
                "record: {key: user, time: {field: at}, fields: {user: string!, at: timestamp_s!}}\nbronze: {}\n")
    def lines():
        with open(f"{out}/err") as f:
            return f.read().splitlines()

    with broker.Broker({"t": 1}) as b, open(f"{out}/err", "w") as err:
        worker = subprocess.Popen([suite.weir, "run", f"{out}/p.yaml", "--brokers", b.address, "--lake", f"{out}/lake", "--log-format", "json"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err)
        ends = time.monotonic() + common.PATIENCE
        while time.monotonic() < ends and not lines():
            time.sleep(0.05)
        worker.terminate()
        worker.wait(common.PATIENCE)
    first = json.loads(lines()[0])
    faults += [] if first.get("event") == "starting" and first.get("librdkafka") == found["librdkafka"] else [str(first)]
    suite.claim(versions.__doc__, faults)


# Words of a command line of which the last is completed, and what must be and must not be among the completions.
COMPLETE = [
    (["weir", "re"], {"replay"}, {"run"}),
    (["weir", "ledger", ""], {"show", "verify", "restore-tables"}, {"run"}),
    (["weir", "mo"], {"mock-kafka", "mock-kinesis"}, set()),
    (["weir", "replay", "--l"], {"--lake", "--lanes"}, {"--capture"}),
    (["weir", "check", "ord"], {"orders.yaml", "ordered.yml"}, {"orders.ndjson"}),
    (["weir", "replay", "orders.yaml", "--capture", "ord"], {"orders.ndjson", "orders.yaml"}, set()),
    (["weir", "replay", "orders.yaml", "--lake", "la"], {"lake"}, {"late.txt"}),
    (["weir", "state", "scan", "t", "--format", ""], {"table", "csv", "json"}, set()),
    (["weir", "generate", ""], {"ad-events", "orders", "sensors"}, set()),
    (["weir", "completion", ""], {"bash", "zsh", "fish"}, set()),
    (["weir", "load", "--max"], {"--max-p99", "--max-lost"}, set()),
]
# Asks bash's completion function, as readline does.
ASK = """
source ./weir.bash
words=("$@") ; COMP_WORDS=("$@") ; COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
COMP_LINE="${COMP_WORDS[*]}" ; COMP_POINT=${#COMP_LINE} ; COMP_TYPE=9 ; COMPREPLY=()
spec=$(complete -p weir) ; function=${spec#*-F } ; function=${function%% *}
compopt() { :; }
"$function" weir "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completion(suite):
    """weir completion: bash's function offers commands, options, values and file names of the right kind; zsh and fish get scripts"""
    place = suite.path("completion")
    os.makedirs(os.path.join(place, "lake"))
    for name in ("orders.yaml", "ordered.yml", "orders.ndjson", "late.txt"):
        open(os.path.join(place, name), "w").close()
    script = run(suite, "completion", "bash")
    with open(os.path.join(place, "weir.bash"), "w") as f:
        f.write(script.stdout)
    faults = [] if script.returncode == 0 else [f"exit {script.returncode}: {script.stderr}"]
    for words, wanted, unwanted in COMPLETE:
        one = subprocess.run(["bash", "--norc", "-c", ASK, "bash", *words], capture_output=True, text=True, cwd=place,
                             env={**os.environ, "PATH": os.path.dirname(suite.weir) + os.pathsep + os.environ["PATH"]})
        offered = {line.strip().rstrip("/") for line in one.stdout.split("\n")}
        if not wanted <= offered or unwanted & offered:
            faults.append(f"{words}: offered {sorted(offered)}, wanted {sorted(wanted)} {one.stderr[-200:]}")
    for shell, start in (("zsh", "#compdef weir"), ("fish", "function")):
        one = run(suite, "completion", shell)
        faults += [f"{shell}: exit {one.returncode}: {one.stdout[:80]}"] if one.returncode or start not in one.stdout or "replay" not in one.stdout else []
    suite.claim(completion.__doc__, faults)


def on_terminal(suite, arguments, columns, **environment):
    """(everything that a terminal of this width shows, exit code)"""
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([suite.weir, *arguments], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
                               env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm", **environment})
    os.close(theirs)
    seen = b""
    while True:
        ready, _, _ = select.select([mine], [], [], common.PATIENCE)
        try:
            part = os.read(mine, 65536) if ready else b""
        except OSError:         # all ends of the terminal are closed
            part = b""
        if not part:
            break
        seen += part
    os.close(mine)
    return seen.decode(errors="replace"), process.wait(common.PATIENCE)


def terminal(suite):
    """Progress is cut to the terminal's width; colours on a terminal only, and not with NO_COLOR or a dumb one"""
    place = suite.path("terminal")
    run(suite, "demo", "--keep", place)
    faults = []
    for columns in (40, 200):
        seen, code = on_terminal(suite, ["replay", f"{place}/orders.yaml", "--capture", f"{place}/orders.ndjson", "--pace", "15000/s",
                                         "--lake", f"{place}/lake{columns}", "--store", f"{place}/state{columns}"], columns)
        lines = [line for line in re.findall(r"\x1b\[2K([^\r\n]+)", seen) if "░" in line]
        faults += [f"exit {code}: {seen[-300:]}"] if code else []
        faults += [] if lines else [f"no progress: {seen[:300]!r}"]
        faults += [f"{columns} columns: {len(line)}: {line}" for line in lines if len(line) > columns - 1]
        faults += [f"200 columns: cut: {line}" for line in lines if columns == 200 and "…" in line]
    suite.claim("a progress line is cut to the terminal's width, and whole where it fits", faults)
    faults = []
    for environment, wanted in (({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)):
        seen, _ = on_terminal(suite, ["demo"], 100, **environment)
        faults += [f"{environment}: colours: {not wanted}"] if ("\x1b[1m" in seen) != wanted else []
    faults += ["colours in a pipe"] if "\x1b" in run(suite, "demo", env={**os.environ, "TERM": "xterm"}).stdout else []
    wrong = suite.path("wrong.yaml")
    with open(wrong, "w") as f:
        f.write("pipeline: \x1b[31m x\nnonsense: 1\n")
    seen, _ = on_terminal(suite, ["check", wrong], 100)
    faults += [f"an error has no colour: {seen!r}"] if "\x1b[31m error: \x1b[0m" not in seen else []
    suite.claim("colours on a terminal only, and not with NO_COLOR or TERM=dumb", faults)


def mock(suite):
    """weir mock-kafka: a broker that ends with its stdin, refuses wrong commands, and serves topics"""
    faults = []
    with broker.Broker({"t": 3}) as b:
        count = len(broker.confluent_kafka.admin.AdminClient({"bootstrap.servers": b.address}).list_topics(timeout=30).topics["t"].partitions)
        faults += [] if count == 3 else [f"{count} partitions"]
    faults += [] if not b.process or b.process.returncode == 0 else [f"exit {b.process.returncode} after its stdin was closed"]
    one = subprocess.run([suite.weir, "mock-kafka"], input="fly\n", capture_output=True, text=True, timeout=common.PATIENCE)
    faults += [] if one.returncode == 2 and "fly is not a command" in one.stderr else [f"fly: exit {one.returncode}: {one.stderr}"]
    one = run(suite, "mock-kafka", "--topic", "orders")
    faults += [] if one.returncode == 2 and "orders:4" in one.stderr else [f"--topic orders: exit {one.returncode}: {one.stderr}"]
    suite.claim(mock.__doc__, faults)


def report(suite):
    """weir load: PASS first, facts that repeat the run without secrets, and an earlier report for comparison, from JSON and from HTML"""
    faults = []
    with broker.Broker({"loaded": 2}) as b:
        base = ["load", "--brokers", b.address, "--topic", "loaded", "--stream", "orders", "--count", "2000", "--rate", "4000/s"]
        page, early = suite.path("early.html"), suite.path("early.json")
        one = run(suite, *base, "--json", "--html", page, "--option", "client.id=hunter2", "--option=client.rack=hunter3")
        with open(early, "w") as f:
            f.write(one.stdout)
        done = json.loads(one.stdout)
        facts = done["run"]
        faults += [] if one.returncode == 0 and done["verdict"] == "PASS" and done["faults"] == [] else [f"exit {one.returncode}: {done}"]
        faults += [] if facts["command"].startswith("weir load --brokers ") and "client.id=…" in facts["command"] and facts["seed"] == "42" \
            and facts["version"] == run(suite, "--version").stdout.strip() and os.uname().nodename in facts["host"] else [str(facts)]
        with open(page) as f:
            html = f.read()
        faults += [f"{word} is missing in the page" for word in (">PASS</strong>", "prefers-color-scheme:dark", "width=device-width", "seed</th>") if word not in html]
        faults += ["a secret is in the report"] if "hunter" in html + one.stdout else []
        for earlier in (page, early):
            other = run(suite, *base, "--seed", "7", "--compare", earlier)
            faults += [] if other.returncode == 0 and other.stdout.startswith("PASS ") and re.search(r"^  rate +[\d,]+ +[\d,]+ /s", other.stdout, re.M) \
                and "seed: 42 → 7" in other.stdout else [f"--compare {earlier}: exit {other.returncode}: {other.stdout} {other.stderr}"]
        for options, words in ((["--compare", suite.path("none")], "--compare"), (["--max-p99", "1s"], "--verify"), (["--max-lost", "-1"], "--max-lost"),
                               (["--compare", os.path.abspath(__file__)], "not a report")):
            wrong = run(suite, *base, *options)
            faults += [] if wrong.returncode == 2 and words in wrong.stderr and not wrong.stdout else [f"{options}: exit {wrong.returncode}: {wrong.stderr}"]
    suite.claim(report.__doc__, faults)


def main():
    suite = common.Suite("command_line_helps", 120, __doc__)
    suite.run(demo, pipeline, names, versions, completion, terminal, mock, report)


if __name__ == "__main__":
    main()
