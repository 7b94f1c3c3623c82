#!/usr/bin/env python3
"""Plain captures as users have them: files without a last line end, byte order marks, blank lines, files of other formats, files that
change while they are read, paths that are no paths; and hostile numbers, which end no command with a signal."""
import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile

import common
import pyarrow as pa
import pyarrow.parquet
import tables

PIPELINE = """pipeline: files
source: {capture: {stream: s}}
record: {key: k, time: {field: t, out_of_order: 1s}, fields: {k: string!, n: int64!, t: timestamp_ms!}%s}
dedup: {id: n, within: 1h}
bronze: {}
silver: {columns: "k, n"}
gold: {g: {by: [n], window: {tumbling: 10s}, measure: {c: count()}}}
state: {last: {by: [k], measure: {c: count(), m: max(n), d: sum(n)}}}
%s"""


def pipeline(suite, name, record="", more=""):
    path = suite.path(name)
    with open(path, "w") as f:
        f.write(PIPELINE % (record, more))
    return path


def record(n):
    return json.dumps({"k": f"k{n % 7}", "n": n, "t": 1_700_000_000_000 + 1000 * n}).encode()


def write(suite, name, data):
    path = suite.path(name)
    with open(path, "wb") as f:
        f.write(data)
    return path


def weir(suite, *arguments, stdin=None, cwd=None, env=None):
    run = subprocess.run([suite.weir, *arguments], capture_output=True, input=stdin, timeout=common.RUN_LIMIT, cwd=cwd,
                         env={**os.environ, **(env or {})}, **({} if stdin is not None else {"stdin": subprocess.DEVNULL}))
    run.talk = run.stderr.decode(errors="replace")
    return run


def replay(suite, file, lake, files, *more, stdin=None):
    run = weir(suite, "replay", file, "--capture", *files, "--lake", suite.path(lake), "--store", suite.path(lake + ".store"), "--json", *more,
               stdin=stdin)
    done = [json.loads(line) for line in run.stdout.decode().splitlines() if line.startswith('{"event":"done"')]
    run.done = done[0] if done else {}
    return run


def numbers(suite, lake, table="silver/s"):
    if not os.path.exists(suite.path(lake, table)):
        return []
    return sorted(tables.read_delta(suite.path(lake), table)["n"].to_pylist())


def expect(what, got, wanted):
    return [] if got == wanted else [f"{what}: {str(got)[:300]}, not {str(wanted)[:300]}"]


# -- Seams

def seams(suite):
    file = pipeline(suite, "seams.yaml")
    parts = [record(0) + b"\n" + record(1), record(2) + b"\n", b"", record(3) + b"\r\n" + record(4) + b"\r", b"\n" + record(5),
             b"\xef\xbb\xbf" + record(6) + b"\n \t\n\r\n" + record(7)]
    files = [write(suite, f"part-{i}", part) for i, part in enumerate(parts)]
    faults = []
    for lanes in ("1", "4"):
        run = replay(suite, file, f"seams-{lanes}", files, "--lanes", lanes)
        faults += expect("exit", run.returncode, 0) + expect("rows", numbers(suite, f"seams-{lanes}"), list(range(8)))
        faults += expect("in", run.done.get("in"), 8) + expect("blank", run.done.get("blank_lines"), 3) + expect(
            "quarantined", run.done.get("quarantined"), 0)
    rows = tables.read_delta(suite.path("seams-1"), "bronze/s").to_pylist()
    whole = b"".join(parts)
    at = {int(row["_position"]): row["value"] for row in rows}
    wanted = {}
    position = 0
    for part in parts:
        for line in part.splitlines(keepends=True):
            if b"{" in line:
                wanted[position] = line.removesuffix(b"\n")
            position += len(line)
    got = {p: v if isinstance(v, bytes) else v.encode() for p, v in at.items()}
    # A lone carriage return is white space behind a record, not a line end.
    faults += expect("bronze by position", sorted(got), sorted(wanted)) + [
        f"position {p}: {got[p]!r} is not at it" for p in got if whole[p:p + len(got[p])] != got[p]]
    suite.claim("the end of a file ends a record; byte order marks and blank lines cost no record; positions are bytes of the files", faults)

    entries = tables.entries(suite.path("seams-1"), "files")
    blank = sum(lane["counts"].get("blankLines", 0) for entry in entries for lane in entry["lanes"])
    suite.claim("entry 0 records how files end, and the entries count blank lines in no sum",
                expect("fileEnds", entries[0]["genesis"].get("fileEnds"), "record") + expect("blank lines", blank, 3)
                + expect("records", tables.totals(entries)[2] if tables.totals(entries) else None, 8))

    run = replay(suite, file, "seams-1", [write(suite, "joined", whole)])
    suite.claim("the same bytes in other files are refused where their records would differ",
                expect("exit", run.returncode, 1) + ([] if "other files end in them" in run.talk else [run.talk]))

    # Killed between cuts, it resumes with the same files.
    small = pipeline(suite, "small.yaml", more="lake: {flush: {bytes: 100}}\n")
    many = [write(suite, f"many-{i}", record(2 * i) + b"\n" + record(2 * i + 1)) for i in range(40)]
    for count in (5, 17, 40):
        run = replay(suite, small, "grows", many[:count], *(["--keep-open"] if count < 40 else []))
        faults = expect("exit", run.returncode, 0)
    replay(suite, small, "at-once", many)
    suite.claim("with --keep-open only the last file's unfinished line waits, and a capture that grows by files has the rows of one run",
                faults + expect("rows", numbers(suite, "grows"), list(range(80))) + expect("rows at once", numbers(suite, "at-once"), list(range(80))))


def join(suite):
    file = pipeline(suite, "join.yaml")
    whole = b"\n".join(record(n) for n in range(300))
    parts = [write(suite, f"split-{i:03}", whole[at:at + 101]) for i, at in enumerate(range(0, len(whole), 101))]
    run = replay(suite, file, "join", parts[:50], "--join", "--keep-open")
    faults = expect("exit", run.returncode, 0)
    # The rule of the ledger holds without the option.
    run = replay(suite, file, "join", parts)
    faults += expect("exit", run.returncode, 0) + expect("rows", numbers(suite, "join"), list(range(300)))
    faults += expect("fileEnds", tables.entries(suite.path("join"), "files")[0]["genesis"]["fileEnds"], "join")
    replay(suite, file, "apart", parts)
    faults += expect("without it, rows", len(numbers(suite, "apart")) < 300, True)
    run = replay(suite, file, "apart", parts, "--join")
    faults += expect("exit of another rule", run.returncode, 1)
    suite.claim("--join continues a line in the next file, and its ledger keeps the rule", faults)


def old_ledger(suite):
    file = pipeline(suite, "old.yaml")
    empty = write(suite, "nothing", b"")
    replay(suite, file, "old", [empty], "--keep-open")
    path = suite.path("old", "_weir", "files", "ledger")
    found = sorted(os.path.join(d, n) for d, _, names in os.walk(path) for n in names if n.endswith(".json"))
    for extra in found[1:]:
        os.remove(extra)
    for name in ("snapshots", "pointers"):
        shutil.rmtree(suite.path("old", "_weir", "files", name))
    with open(found[0]) as f:
        entry = json.load(f)
    del entry["genesis"]["fileEnds"]
    with open(found[0], "wb") as f:
        f.write(sealed(entry))
    parts = [write(suite, "old-0", record(0) + b"\n" + record(1)[:20]), write(suite, "old-1", record(1)[20:] + b"\n\n" + record(2) + b"\n")]
    run = replay(suite, file, "old", parts)
    suite.claim("a ledger from before file ends were recorded joins files and counts blank lines as records, as it did",
                expect("exit", run.returncode, 0) + expect("rows", numbers(suite, "old"), [0, 1, 2]) + expect(
                    "quarantined", run.done.get("quarantined"), 1) + expect("blank", run.done.get("blank_lines"), 0))


def blank_lines(suite):
    file = pipeline(suite, "blank.yaml", record=", blank_lines: quarantine")
    capture = write(suite, "blank", record(0) + b"\n\n \r\n" + record(1) + b"\n")
    run = replay(suite, file, "blank-kept", [capture])
    faults = expect("exit", run.returncode, 0) + expect("quarantined", run.done.get("quarantined"), 2) + expect("blank", run.done.get("blank_lines"), 0)
    skip = pipeline(suite, "skip.yaml", record=", blank_lines: skip")
    run = replay(suite, skip, "blank-skip", [write(suite, "only-blank", b"\n" * (3 << 20) + record(0) + b"\n")])
    faults += expect("exit", run.returncode, 0) + expect("blank", run.done.get("blank_lines"), 3 << 20) + expect("rows", numbers(suite, "blank-skip"), [0])
    run = replay(suite, pipeline(suite, "default.yaml"), "blank-skip", [suite.path("only-blank")])
    faults += expect("exit with the default written out", run.returncode, 0)
    suite.claim("blank_lines: quarantine rejects them, and skip is the default", faults)
    mark = suite.path("bom.yaml")
    with open(mark, "w", encoding="utf-8-sig") as f:
        f.write(PIPELINE % ("", ""))
    suite.claim("a pipeline file may begin with a byte order mark", expect("check", weir(suite, "check", mark).returncode, 0))


# -- Files of other formats

def formats(suite):
    file = pipeline(suite, "formats.yaml")
    text = b"".join(record(n) + b"\n" for n in range(100))
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        info = tarfile.TarInfo("a.ndjson")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    parquet = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"n": [1]}), parquet)
    others = {"xz": lzma.compress(text), "bzip2": bz2.compress(text), "tar": tar.getvalue(), "tar.gz": gzip.compress(tar.getvalue()),
              "Parquet": parquet.getvalue(), "UTF-16": text.decode().encode("utf-16"), "UTF-16 ": text.decode().encode("utf-16-le"),
              "UTF-32": text.decode().encode("utf-32"), "UTF-32 ": text.decode().encode("utf-32-le"), "UTF-32  ": text.decode().encode("utf-32-be")}
    faults = []
    for name, data in others.items():
        for where in ("file", "stdin"):
            run = replay(suite, file, "formats", [write(suite, "other", data)] if where == "file" else ["-"], stdin=data if where == "stdin" else None)
            word = name.strip().removesuffix(".gz")
            if run.returncode != 2 or "not JSON lines" not in run.talk or word not in run.talk:
                faults.append(f"{name} from {where}: exit {run.returncode}: {run.talk}")
        if os.path.exists(suite.path("formats")):
            faults.append(f"{name}: a lake was made")
    suite.claim("files of other formats are refused by name, before a lake is made", faults)
    faults = []
    for name, fields, data in (("csv", "format: csv, fields: {a: string!, b: int64!}", "%s,1\n"), ("text", "format: {text: {pattern: '(?<a>.*)'}}, fields: {a: string!}", "%s is a word\n")):
        own = suite.path(f"words-{name}.yaml")
        with open(own, "w") as f:
            f.write(f"pipeline: words\nsource: {{capture: {{stream: s}}}}\nrecord: {{{fields}}}\nbronze: {{}}\nsilver: {{}}\n")
        for word in ("PAR1", "ORC", "ARROW1", "WEIRCAP1"):
            run = replay(suite, own, f"words-{name}-{word}", [write(suite, "words", (data % word * 3).encode())])
            rows = tables.read_delta(suite.path(f"words-{name}-{word}"), "silver/s") if not run.returncode else None
            if rows is None or rows.num_rows != 3 or not rows.column("a")[0].as_py().startswith(word):
                faults.append(f"{name}, {word}: exit {run.returncode}: {run.talk}")
        run = replay(suite, own, f"words-{name}", [write(suite, "other", parquet.getvalue())])
        if run.returncode != 2 or f"is Parquet, and not records of format {name}" not in run.talk or "JSON" in run.talk:
            faults.append(f"{name}, Parquet: exit {run.returncode}: {run.talk}")
    suite.claim("text that begins like another format is read as the format of the pipeline, and a real file of another format is refused with that format", faults)
    # A table of a lake.
    replay(suite, file, "source", [write(suite, "text", text)])
    faults = []
    for place, word in (("source/bronze/s", "Delta table"), ("source", "lake"), ("source/bronze/s/_delta_log", "Delta table"),
                        ("source/bronze", "Delta tables"), ("source/_weir", "ledger")):
        run = replay(suite, file, "again", [suite.path(place)])
        if run.returncode != 2 or word not in run.talk:
            faults.append(f"{place}: exit {run.returncode}: {run.talk}")
    suite.claim("a table and a lake are refused as captures, with what to do", faults)


# -- Changes

def changes(suite):
    """A named pipe holds the program at a known place: nothing here depends on how fast it is."""
    file = pipeline(suite, "changes.yaml", more="lake: {flush: {bytes: 64KiB}}\n")
    text = b"".join(record(n) + b"\n" for n in range(30_000))       # more than the first MiB, which names the run
    pipe = suite.path("pipe")
    os.mkfifo(pipe)
    faults = []
    for name, pipe_first, size in (("read-and-truncated", False, len(text) // 2), ("read-and-emptied", False, 0), ("waiting-and-truncated", True, len(text) // 2)):
        path = write(suite, name, text)
        run = subprocess.Popen([suite.weir, "replay", file, "--capture", *([pipe, path] if pipe_first else [path, pipe]), "--lake",
                                suite.path(name + ".lake"), "--store", suite.path(name + ".store"), "--json"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # It opens the pipe when it has read what is before it.
        with open(pipe, "wb") as f:
            if pipe_first:      # far more than a look ahead and the pipe itself hold: the run has begun
                f.write(text * 3)
                f.flush()
            os.truncate(path, size)
        _, err = run.communicate(timeout=common.RUN_LIMIT)
        ended = any(d["kind"] == "endOfInput" for e in tables.entries(suite.path(name + ".lake"), "files") for lane in e["lanes"] for d in lane["decisions"])
        if run.returncode != 1 or b"changed while it was read" not in err or path.encode() not in err or ended:
            faults.append(f"{name}: exit {run.returncode}, end recorded {ended}: {err.decode()[:400]}")
    suite.claim("a capture that is truncated during a run is an error that names it, and no end of input is committed", faults)


# -- Paths

def paths(suite):
    capture = write(suite, "paths.ndjson", record(0) + b"\n")
    file = pipeline(suite, "paths.yaml")
    home = suite.path("home")
    os.makedirs(home)
    bad = ["s3://bucket/lake", "S3A://bucket/lake", "file:///tmp/lake", "file:/tmp/lake", "", " ", "~", "~/lake", "~root/lake", "$HOME/lake", "${HOME}/lake"]
    faults = []

    def refused(what, run):
        if run.returncode != 2 or os.listdir(home):
            faults.append(f"{what}: exit {run.returncode}, left {os.listdir(home)}: {run.talk.strip()[:200]}")
            for name in os.listdir(home):
                shutil.rmtree(os.path.join(home, name), ignore_errors=True)
    for path in bad:
        good = suite.path("good")
        for option, command in [
            ("--lake", ["replay", file, "--capture", capture, "--store", good]), ("--store", ["replay", file, "--capture", capture, "--lake", good]),
            ("--lake", ["ledger", "show", file]), ("--store", ["ledger", "verify", file]), ("--lake", ["state", "rebuild", file, "--store", good]),
            ("--store", ["state", "get", "last", "k"]), ("--store", ["state", "scan", "last"]), ("--out", ["generate", "clicks", "--count", "1"]),
            ("--out", ["capture", "--brokers", "localhost:1", "--topic", "t"]), ("--capture", ["replay", file, "--lake", good, "--store", good]),
            ("--html", ["load", "--brokers", "localhost:1", "--topic", "t"]),
        ]:
            if option == "--lake" and path.startswith("s3://"):     # the place of a lake
                continue
            refused(f"{' '.join(command[:2])} {option} {path!r}", weir(suite, *command, option, path, cwd=home))
        refused(f"check {path!r}", weir(suite, "check", path, cwd=home))
        for setting in (f"lake: {{path: {json.dumps(path)}}}\n", f"store: {{lmdb: {json.dumps(path)}}}\n",
                        f"lookups: {{l: {{file: {json.dumps(path)}, key: k}}}}\n"):
            if setting.startswith("lake") and path.startswith("s3://"):
                continue
            spec = pipeline(suite, "bad.yaml", more=setting)
            refused(setting, weir(suite, "check", spec, cwd=home))
            refused(setting, weir(suite, "replay", spec, "--capture", capture, cwd=home))
    suite.claim("no option and no setting takes an address, an empty text, ~ or an unexpanded variable for a path", faults)
    run = weir(suite, "replay", file, "--capture", capture, "--lake", "./~", "--store", "./s3:", cwd=home)
    suite.claim("a directory with such a name is named with ./", expect("exit", run.returncode, 0) + expect("made", sorted(os.listdir(home)), ["s3:", "~"]))


# -- Numbers

HUGE = [0, 1, -1, 2**31, 2**53, 2**56 + 1, 2**62, 2**63 - 1, -2**63, 10**30, 1e308, 0.5]


def sealed(entry):
    """The bytes of an entry, with the hash that they have."""
    entry["hash"] = ""
    data = json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    entry["hash"] = hashlib.sha256(data).hexdigest()
    return json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def places(value, path=()):
    """Paths of all numbers in a document, those in texts too (positions)."""
    if isinstance(value, dict):
        return [p for k, v in value.items() if k not in ("plan", "format") for p in places(v, (*path, k))]
    if isinstance(value, list):
        return [p for i, v in enumerate(value[:2]) for p in places(v, (*path, i))]
    if isinstance(value, bool):
        return []
    return [path] if isinstance(value, int) or isinstance(value, str) and (value.isdigit() or value == "max") else []


def replaced(value, path, number):
    copy = json.loads(json.dumps(value))
    at = copy
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = str(number) if isinstance(at[path[-1]], str) and number != "max" else number
    return copy


def ledgers(suite):
    """Numbers in the last entry of a ledger, in entry 0 and in a snapshot, under a valid hash."""
    file = pipeline(suite, "ledgers.yaml", more="lake: {flush: {bytes: 2KiB}}\n")
    capture = write(suite, "ledgers.ndjson", b"".join(record(n) + b"\n" for n in range(200)))
    replay(suite, file, "ledgers", [capture], "--keep-open")
    more = write(suite, "more.ndjson", b"".join(record(n) + b"\n" for n in range(200, 300)))
    root = suite.path("ledgers")
    found = [os.path.join(d, n) for d, _, names in os.walk(os.path.join(root, "_weir")) for n in names if n.endswith(".json")]
    ledger = sorted(f for f in found if "/ledger/" in f)
    documents = [ledger[-1], ledger[0]] + [f for f in found if "snapshot" in os.path.dirname(f) and os.path.getsize(f) > 2]
    cases = []
    for document in documents:
        with open(document) as f:
            entry = json.load(f)
        cases += [(document, entry, path, number) for path in places(entry) for number in HUGE]
    suite.random.shuffle(cases)
    cases = cases[:60 if suite.quick else 100_000]
    faults = []
    for document, entry, path, number in cases:
        lake = suite.path("hostile")
        shutil.rmtree(lake, ignore_errors=True)
        shutil.rmtree(lake + ".store", ignore_errors=True)
        shutil.copytree(root, lake)
        if "/ledger/" in document:      # else the snapshot is read, and not the entry
            for name in ("snapshots", "pointers"):
                shutil.rmtree(os.path.join(lake, "_weir", "files", name))
        with open(os.path.join(lake, os.path.relpath(document, root)), "wb") as f:
            f.write(sealed(replaced(entry, path, number)))
        for command in (["ledger", "show", file, "--lake", lake], ["ledger", "verify", file, "--lake", lake, "--store", lake + ".store"],
                        ["replay", file, "--capture", capture, more, "--lake", lake, "--store", lake + ".store"]):
            run = weir(suite, *command)
            if run.returncode < 0 or run.returncode > 3 or any(c in run.talk for c in common.CRASHES):
                faults.append(f"{os.path.basename(document)} {path} = {number}: {command[0]} {command[1] if command[0] == 'ledger' else ''}: {run.returncode}: {run.talk[:200]}")
    suite.claim(f"a hostile number in a ledger entry or snapshot with a valid hash ends no command with a signal ({len(cases)} tried)", faults)


def settings(suite):
    capture = write(suite, "settings.ndjson", record(0) + b"\n")
    values = ["0", "-1", "9223372036854775807", "1e400", "nan", "99999999999d", "9e18", "36500d", "1024TiB", "1125899906842624", "1us", "100%"]
    faults = []
    for setting in ("record: {time: {out_of_order: %s}}", "lake: {flush: {every: %s}}", "lake: {flush: {bytes: %s}}", "lake: {file_size: %s}",
                    "lake: {ledger_keep: %s}", "store: {flush: %s}", "store: {share: %s}", "quarantine: {halt_above: %s}", "worker: {drain: %s}"):
        for value in values[2:8:2] if suite.quick else values:
            path = suite.path("setting.yaml")
            text = PIPELINE % ("", setting % value + "\n") if not setting.startswith("record") else (PIPELINE % ("", "")).replace("1s", value)
            with open(path, "w") as f:
                f.write(text)
            shutil.rmtree(suite.path("st"), ignore_errors=True)
            run = weir(suite, "replay", path, "--capture", capture, "--lake", suite.path("st"), "--store", suite.path("st", "store"))
            if run.returncode < 0 or any(c in run.talk for c in common.CRASHES):
                faults.append(f"{setting % value}: {run.returncode}: {run.talk[:200]}")
    suite.claim("no number in a pipeline file ends a command with a signal", faults)


def command_line(suite):
    file = pipeline(suite, "options.yaml")
    capture = write(suite, "options.ndjson", record(0) + b"\n")
    replay(suite, file, "o0", [capture])
    there = ["--brokers", "127.0.0.1:1", "--topic", "t"]
    values = ["0", "-1", "99999999", "9223372036854775807", "-9223372036854775808", "1e400", "nan", "99999999999d", "9e18"]
    if suite.quick:
        values = ["-1", "9223372036854775807", "99999999999d"]
    out = suite.path("c")
    forms = [["replay", file, "--capture", capture, "--lake", suite.path("o"), "--store", suite.path("os"), "--lanes=%s"],
             ["replay", file, "--capture", capture, "--lake", suite.path("p"), "--store", suite.path("ps"), "--pace=%s/s"]]
    forms += [["generate", "clicks", "--count=1", f"--{o}=%s"] for o in ("rate", "seed", "late", "skew", "duplicates", "malformed", "disorder")]
    forms += [["capture", *there, "--out", out, "--for=10ms", f"--{o}=%s"] for o in ("count", "roll-bytes", "roll-every", "flush", "level")]
    forms += [["load", *there, f"--{o}=%s"] for o in ("for", "rate", "count", "templates", "linger", "settle", "speed")]
    forms += [["capture", *there, "--out", out, "--for=%s", "--count=1"], ["load", *there, "--plan=ramp:1..%s/s,%s"],
              ["state", "scan", "last", "--store", suite.path("o0.store"), "--limit=%s"]]
    faults = []
    for form in forms:
        for value in values:
            command = [part.replace("%s", value) for part in form]
            try:
                run = subprocess.run([suite.weir, *command], capture_output=True, timeout=1.5 if command[0] in ("capture", "load") else 60,
                                     stdin=subprocess.DEVNULL)
            except subprocess.TimeoutExpired:
                continue        # it waits for brokers
            if run.returncode < 0 or any(c.encode() in run.stderr for c in common.CRASHES):
                faults.append(f"{' '.join(command)}: {run.returncode}: {run.stderr[:200]!r}")
    suite.claim("no number of an option ends a command with a signal", faults)


if __name__ == "__main__":
    common.Suite("plain_captures_are_read", 900, __doc__).run(
        seams, join, old_ledger, blank_lines, formats, changes, paths, ledgers, settings, command_line)
