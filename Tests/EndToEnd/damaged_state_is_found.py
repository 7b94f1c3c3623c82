#!/usr/bin/env python3
"""A damaged state table is never read as a sound one: every command gives the right rows or the error `corrupt`, and none ends by
a signal; `ledger verify` finds every damage that changes a row; `state rebuild` repairs it without reading it."""
import json
import os
import re
import shutil
import subprocess

import common

PIPELINE = """
pipeline: damage
source: {capture: {stream: damage}}
record:
  format: json
  key: user
  time: {field: at, out_of_order: 0s}
  fields: {user: string!, place: string!, at: timestamp_ms!, n: int64!}
silver: {}
state:
  users: {by: [user], measure: {events: count(), total: sum(n), last: max(at)}}
  places: {by: [place], measure: {events: count(), total: sum(n)}}
store: {flush: 10ms}
"""
PAGE = 4096


class Table:
    def __init__(self, suite):
        self.suite, self.weir = suite, suite.weir
        self.file, self.capture = suite.path("damage.yaml"), suite.path("damage.ndjson")
        self.lake, self.store = suite.path("lake"), suite.path("state")
        with open(self.file, "w") as f:
            f.write(PIPELINE)
        with open(self.capture, "w") as f:
            for i in range(600 if suite.quick else 3000):
                user = f"user-{suite.random.randrange(250)}"
                f.write(json.dumps({"user": user, "place": f"place-{i % 40}", "at": 1767225600000 + i, "n": i}) + "\n")

    def run(self, *arguments, store=None, lake=True):
        command = [self.weir, *arguments] + (["--lake", self.lake] if lake else []) + ["--store", store or self.store]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def replay(self, store=None):
        return self.run("replay", self.file, "--capture", self.capture, store=store)

    def scan(self, table, store=None):
        """Without fences: a rebuild writes all rows at the ledger's position."""
        done = self.run("state", "scan", table, "--format", "json", store=store, lake=False)
        done.stdout = re.sub(r',?"_fence":"[^"]*"', "", done.stdout)
        return done

    def copy(self, name, change):
        """A copy of the store whose data.mdb is changed."""
        path = self.suite.path(name)
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.store, path)
        with open(os.path.join(path, "data.mdb"), "r+b") as f:
            change(f)
        return path


def flip(at, bit):
    def change(f):
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1 << bit]))
    return change


def ended(done, name):
    """Faults of how a command ended: by a signal or a crash."""
    if done.returncode < 0 or done.returncode >= 128 or any(word in done.stderr for word in common.CRASHES):
        return [f"{name}: exit {done.returncode}: {done.stderr[-300:]}"]
    return []


def damage(suite):
    table = Table(suite)
    done = table.replay()
    if not suite.claim("a state table is written", [] if done.returncode == 0 else done.stderr):
        return
    sound = {name: table.scan(name).stdout for name in ("users", "places")}
    suite.claim("its rows are read", [] if all(sound.values()) else "no rows")
    verified = table.run("ledger", "verify", table.file, "--json")
    suite.claim("verify finds nothing wrong with a sound table",
                [] if verified.returncode == 0 and not json.loads(verified.stdout)["problems"] else verified.stdout + verified.stderr)
    suite.claim("verify compared it", [note for note in json.loads(verified.stdout)["notices"] if "not compared" in note])
    size = os.path.getsize(os.path.join(table.store, "data.mdb"))
    tries = [(f"byte {at} bit {bit}", flip(at, bit)) for at, bit in
             [(suite.random.randrange(160) + suite.random.randrange(2) * PAGE, suite.random.randrange(8)) for _ in range(8 if suite.quick else 60)]
             + [(suite.random.randrange(size), suite.random.randrange(8)) for _ in range(10 if suite.quick else 150)]]
    tries += [(f"cut to {count} bytes", lambda f, count=count: f.truncate(count))
              for count in (0, 100, PAGE, 2 * PAGE, 3 * PAGE, size // 2, size - PAGE, size - 1)]
    faults = {"read": [], "verify": [], "resume": [], "rebuild": []}
    corrupt = 0
    for name, change in tries:
        store = table.copy("damaged", change)
        changed = False
        for table_name, expected in sound.items():
            scanned = table.scan(table_name, store)
            faults["read"] += ended(scanned, f"{name}: scan")
            if scanned.returncode == 0 and scanned.stdout != expected:
                faults["read"].append(f"{name}: scan {table_name} gives other rows")
            if scanned.returncode != 0 and "is damaged" not in scanned.stderr:
                faults["read"].append(f"{name}: scan: {scanned.stderr[-300:]}")
            changed |= scanned.stdout != expected
        corrupt += changed
        checked = table.run("ledger", "verify", table.file, store=store)
        faults["verify"] += ended(checked, f"{name}: verify")
        if changed and checked.returncode == 0:
            faults["verify"].append(f"{name}: {checked.stdout}{checked.stderr}")
        resumed = table.replay(store)
        faults["resume"] += ended(resumed, f"{name}: replay")
        if resumed.returncode == 0:
            if any(table.scan(n, store).stdout != rows for n, rows in sound.items()):
                faults["resume"].append(f"{name}: replay passes, and rows are wrong")
        elif "weir state rebuild" not in resumed.stderr:
            faults["resume"].append(f"{name}: {resumed.stderr[-300:]}")
        else:
            rebuilt = table.run("state", "rebuild", table.file, store=store)
            if rebuilt.returncode != 0 or any(table.scan(n, store).stdout != rows for n, rows in sound.items()):
                faults["rebuild"].append(f"{name}: exit {rebuilt.returncode}: {rebuilt.stderr[-300:]}")
    suite.claim(f"in {len(tries)} tries every read gives the right rows, or says that the table is damaged", faults["read"])
    suite.claim("verify finds every damage that changes a row", faults["verify"])
    suite.claim("a worker refuses a damaged table, and names the command that rebuilds it", faults["resume"])
    suite.claim("rebuild repairs it without reading it", faults["rebuild"])
    suite.note(f"{corrupt} of {len(tries)} tries changed what is read")


def read_only(suite):
    """`state get` and `state scan` need no right to write."""
    table = Table(suite)
    table.replay()
    expected = table.scan("users").stdout
    store = suite.path("readable")
    # The driver's own directory is closed to others.
    os.chmod(suite.directory, 0o755)
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(table.store, store)
    faults = []
    if os.geteuid() != 0:
        suite.note("not root: another user's directory cannot be made")
    for lock in (True, False):
        if not lock:
            os.remove(os.path.join(store, "lock.mdb"))
        before = sorted(os.listdir(store))
        for name in before:
            os.chmod(os.path.join(store, name), 0o444)
        os.chmod(store, 0o555)
        # A user that owns nothing here.
        done = subprocess.run([suite.weir, "state", "scan", "users", "--format", "json", "--store", store], capture_output=True, text=True, timeout=60,
                              user=65534 if os.geteuid() == 0 else None, group=65534 if os.geteuid() == 0 else None)
        if done.returncode != 0 or re.sub(r',?"_fence":"[^"]*"', "", done.stdout) != expected:
            faults.append(f"lock file {lock}: exit {done.returncode}: {done.stderr[-300:]}")
        if sorted(os.listdir(store)) != before:
            faults.append(f"lock file {lock}: the directory has {sorted(os.listdir(store))}")
        os.chmod(store, 0o755)
    suite.claim("a user without the right to write reads the state table", faults)
    # A table that cannot be opened is no damage, and the lake is verified all the same.
    faults = []
    a_file = suite.path("a-file")
    with open(a_file, "w") as f:
        f.write("x")
    few = subprocess.run(["bash", "-c", 'ulimit -v 300000; exec "$0" "$@"', suite.weir, "state", "get", "users", "u", "--store", store], capture_output=True, text=True)
    if few.returncode != 0 and "rebuild" in few.stderr:
        faults.append(f"without address space: {few.stderr}")
    for arguments in ((), ("--json",)):
        done = table.run("ledger", "verify", table.file, *arguments, store=a_file)
        said = json.loads(done.stdout)["unread"] if arguments and done.stdout else done.stderr
        if done.returncode != 2 or "the state table" not in str(said) or (not arguments and "1 could not be read" not in done.stdout):
            faults.append(f"verify {arguments}: exit {done.returncode}: {done.stdout} {done.stderr}")
    suite.claim("a state table that cannot be opened is not called damaged, and the lake is verified", faults)


def other_values(suite):
    """Rows that are sound and not the ledger's, missing rows, and rows of no lane: verify tells them apart."""
    table = Table(suite)
    table.replay()
    lines = open(table.capture).read().splitlines()
    other = suite.path("other.ndjson")
    with open(other, "w") as f:
        f.write("\n".join(line.replace('"user-1"', '"user-9999"') for line in lines) + "\n")
    lake, store = suite.path("other-lake"), suite.path("other-state")
    done = subprocess.run([suite.weir, "replay", table.file, "--capture", other, "--lake", lake, "--store", store], capture_output=True,
                          text=True, timeout=60)
    foreign = table.run("ledger", "verify", table.file, store=store)
    restored = table.run("ledger", "restore-tables", table.file, store=store)
    faults = [restored.stderr] if restored.returncode or "weir state rebuild" in restored.stderr else []
    suite.claim("restore-tables does not advise to rebuild it: that is refused", faults)
    suite.claim("another ledger's table is not compared", [] if done.returncode == 0 and "not compared" in foreign.stderr else foreign.stderr)


def beside_rebuilds(suite):
    """While the table is rebuilt again and again, readers see all its rows, and verify finds no damage."""
    table = Table(suite)
    table.replay()
    expected = table.scan("users").stdout
    # A second table's rows are written after the first one's: a reader of half a rebuild sees one of them only.
    faults, looks = [], 0
    for _ in range(15 if suite.quick else 60):
        rebuild = subprocess.Popen([suite.weir, "state", "rebuild", table.file, "--lake", table.lake, "--store", table.store],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while rebuild.poll() is None:
            looks += 1
            verified = table.run("ledger", "verify", table.file)
            if verified.returncode != 0 or "not compared" in verified.stderr:
                faults.append(f"verify: exit {verified.returncode}: {verified.stderr[-300:]}")
            scanned = table.scan("users")
            if scanned.returncode != 0 or scanned.stdout != expected:
                faults.append(f"scan: exit {scanned.returncode}, {scanned.stdout.count(chr(10))} rows: {scanned.stderr[-300:]}")
        if rebuild.wait() != 0:
            faults.append(f"rebuild: exit {rebuild.returncode}: {rebuild.stderr.read()[-300:]}")
    suite.claim(f"{beside_rebuilds.__doc__[:-1]} ({looks} looks)", faults)


common.Suite("damaged_state_is_found", 400, __doc__).run(damage, read_only, other_values, beside_rebuilds)
