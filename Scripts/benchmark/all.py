#!/usr/bin/env python3
"""Scripts/bench [--quick] [--with-peers] ...   the table: our queries and the peers', in the same run, each result verified.

Runs are dealt in rounds (every engine once, then every engine again), so that a busy moment of the machine does not hit
one of them alone; the best of the rounds counts.
"""
import argparse
import glob
import importlib.metadata
import os
import shutil
import subprocess
import sys

import common

# -- Engines

PEERS = os.path.join(common.WORK, "peers")
QUERIES_OF_PEERS = os.path.join(common.HERE, "peers")
PACKAGES = {"bytewax": ["bytewax==0.21.1", "orjson==3.13.0"], "flink": ["apache-flink==2.3.0"]}


class Engine:
    """Something that answers queries. `missing`: why it cannot, or None."""
    name, title, queries, missing = "", "", (), None

    def version(self):
        return ""

    def command(self, query, data, out):
        raise NotImplementedError

    def environment(self, data):
        return {}

    def prepare(self, data):
        """Its inputs other than the stream, made before anything is measured."""


class Weir(Engine):
    name, queries = "weir", common.QUERIES
    title = "Weir: ledger, fsync, exactly once"

    def version(self):
        return common.first_line([common.WEIR, "--version"])

    def command(self, query, data, out):
        return common.weir_command(query, data, out)


class Before(Weir):
    """Another binary of ours, such as that of the commit before."""
    name, title = "before", "Weir, the binary of --before"

    def __init__(self, binary):
        self.binary = os.path.abspath(binary)
        if not os.access(self.binary, os.X_OK):
            sys.exit(f"bench: --before {binary} is not an executable file")

    def version(self):
        return common.first_line([self.binary, "--version"])

    def environment(self, data):
        return {"WEIR_BINARY": self.binary}


class Script(Engine):
    """A Python program of peers/, run by an environment that has its packages."""

    def __init__(self, name, title, queries, package, python=sys.executable, script=None):
        self.name, self.title, self.queries, self.package, self.python = name, title, queries, package, python
        self.script = f"{QUERIES_OF_PEERS}/{script or name}_q.py"
        if python == sys.executable:
            self.missing = None if self._has(package) else "not installed: Scripts/setup --tests"
        elif not os.path.exists(os.path.join(PEERS, name, "installed")):
            self.missing = "not installed: Scripts/bench --with-peers"

    @staticmethod
    def _has(package):
        try:
            return bool(importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            return False

    def version(self):
        return common.first_line([self.python, "-c", f"import importlib.metadata as m; print(m.version('{self.package}'))"])

    def command(self, query, data, out):
        return [self.python, self.script, query, data, out]

    def prepare(self, data):
        if self.name.startswith("polars"):
            common.clean_lines(data)


class PolarsDelta(Script):
    def command(self, query, data, out):
        return super().command("q4delta", data, out)


class Flink(Engine):
    name, queries = "flink", ("q1", "q2", "q3")
    title = "Flink DataStream, Java, no checkpoints"

    def __init__(self):
        found = glob.glob(f"{PEERS}/flink/lib/python3*/site-packages/pyflink/lib")
        self.jars = found[0] if found else None
        self.classes = f"{PEERS}/flink/classes"
        if not os.path.exists(f"{PEERS}/flink/installed") or not self.jars:
            self.missing = "not installed: Scripts/bench --with-peers"
        elif not shutil.which("java") or not shutil.which("javac"):
            self.missing = "needs a Java development kit (java and javac, 17 or later) in PATH"

    def version(self):
        found = glob.glob(f"{self.jars}/flink-dist-*.jar")
        return os.path.basename(found[0])[len("flink-dist-"):-4] if found else ""

    def prepare(self, data):
        source, done = f"{QUERIES_OF_PEERS}/FlinkQueries.java", f"{self.classes}/FlinkQueries.class"
        if os.path.exists(done) and os.path.getmtime(done) > os.path.getmtime(source):
            return
        os.makedirs(self.classes, exist_ok=True)
        run = subprocess.run(["javac", "-nowarn", "-cp", f"{self.jars}/*", "-d", self.classes, source], capture_output=True, text=True)
        if run.returncode:
            self.missing = f"its queries do not compile: {run.stderr.strip()[:300]}"

    def command(self, query, data, out):
        opens = [f"--add-opens=java.base/java.{p}=ALL-UNNAMED" for p in ("util", "lang")]
        temporary = f"{common.WORK}/tmp"
        os.makedirs(temporary, exist_ok=True)
        return ["java", "-Xmx8g", *opens, f"-Djava.io.tmpdir={temporary}", "-cp", f"{self.classes}:{self.jars}/*", "FlinkQueries",
                query, data, out]


def engines():
    own = lambda name: f"{PEERS}/{name}/bin/python"
    return [
        Weir(),
        Script("duckdb", "DuckDB, batch SQL, no guarantees; q4, q5 plain Parquet", ("q1", "q2", "q3", "q4", "q5"), "duckdb"),
        Script("polars", "polars, batch; q4 plain Parquet", ("q1", "q2", "q3", "q4"), "polars"),
        PolarsDelta("polars-delta", "polars, batch, into Delta", ("q4",), "polars", script="polars"),
        Script("bytewax", "Bytewax, one worker", ("q1", "q2", "q3"), "bytewax", own("bytewax")),
        Flink(),
    ]


def install_peers():
    """Bytewax and Flink in environments of their own below .build/bench/peers. DuckDB and polars are in .build/venv."""
    for name, packages in PACKAGES.items():
        place = f"{PEERS}/{name}"
        if os.path.exists(f"{place}/installed"):
            continue
        common.say(f"installing {' '.join(packages)} into .build/bench/peers/{name}")
        shutil.rmtree(place, ignore_errors=True)
        run = subprocess.run([sys.executable, "-m", "venv", place])
        if run.returncode == 0:
            run = subprocess.run([f"{place}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
                                 stdin=subprocess.DEVNULL)
        if run.returncode:
            common.say(f"{name} could not be installed and is left out; pip's message is above (is the Python package index in reach?)")
            continue
        with open(f"{place}/installed", "w") as f:
            f.write("\n".join(packages) + "\n")
    if not shutil.which("javac"):
        common.say("Flink needs a Java development kit (java and javac, 17 or later), which this does not install: Flink is left out")


def is_disturbed(run):
    """Other programs had more than a tenth of the machine meanwhile: the wall time says little."""
    return run["others_cpu"] > 0.1 * run["wall"] * len(os.sched_getaffinity(0)) + 0.1


# -- Targets: (what, query, the least or most, how it is found)

def targets(best, n):
    """[(target, wanted, found, met)] of those whose engines have run."""
    lines = []

    def rate(engine, query):
        run = best.get((engine, query))
        return n / run["wall"] if run and run["ok"] else None

    def add(what, wanted, found, unit, least=True, digits=2, timed=()):
        """timed: the runs whose wall time counts."""
        if found is not None:
            doubt = ", but the machine was busy" if any(is_disturbed(best[run]) for run in timed) else ""
            lines.append((what, f"{'at least' if least else 'at most'} {wanted:g}{unit}", f"{found:.{digits}f}{unit}",
                          ("met" if (found >= wanted if least else found <= wanted) else "missed") + doubt))

    def ratio(a, b):
        return a / b if a and b else None

    for query, least in (("q1", 1.5), ("q2", 1.0), ("q3", 1.5)):
        add(f"{query}: records/s, to DuckDB's", least, ratio(rate("weir", query), rate("duckdb", query)), " x",
            timed=[("weir", query), ("duckdb", query)])
    add("q4 into Delta: records/s, to polars' plain Parquet", 1.0, ratio(rate("weir", "q4"), rate("polars", "q4")), " x",
        timed=[("weir", "q4"), ("polars", "q4")])
    sizes = [best[e, "q4"]["bytes"] if (e, "q4") in best and best[e, "q4"]["ok"] else None for e in ("weir", "polars")]
    add("q4: bytes, to polars'", 1.1, ratio(*sizes), " x", least=False)
    add("q5, all five outputs: records/s, to DuckDB's", 1.5, ratio(rate("weir", "q5"), rate("duckdb", "q5")), " x",
        timed=[("weir", "q5"), ("duckdb", "q5")])
    # CPU time says the same on a busy machine, where the wall time does not.
    for query, most in (("q1", 0.6), ("q5", 0.75)):
        cpu = [best[e, query]["cpu"] if (e, query) in best and best[e, query]["ok"] else None for e in ("weir", "duckdb")]
        add(f"{query}: CPU seconds, to DuckDB's", most, ratio(*cpu), " x", least=False)
    for query in common.QUERIES:
        cpu = [best[e, query]["cpu"] if (e, query) in best and best[e, query]["ok"] else None for e in ("weir", "before")]
        add(f"{query}: CPU seconds, to those of --before", 1.03, ratio(*cpu), " x", least=False, digits=3)
    own = {q: best["weir", q] for q in common.QUERIES if ("weir", q) in best and best["weir", q]["ok"]}
    for query, most in (("q1", 300), ("q2", 300), ("q3", 300), ("q4", 500), ("q5", 500)):
        if query in own:
            add(f"{query}: peak memory", most, own[query]["rss_mb"], " MB", least=False, digits=0)
    return lines


# -- The run

def run_once(engine, query, data, limit):
    out, log = f"{common.WORK}/out/{engine.name}-{query}", f"{common.WORK}/logs/{engine.name}-{query}.log"
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(os.path.dirname(out), exist_ok=True)
    run = common.measure(engine.command(query, data, out), log, limit, engine.environment(data))
    bad = common.trouble(run, log)
    run["verdict"] = f"FAILED {bad}" if bad else common.verify(query, data, out)
    run["ok"] = run["verdict"].startswith("OK")
    run["bytes"] = common.bytes_below(f"{out}/lake/silver" if isinstance(engine, Weir) else out) if query == "q4" else None
    shutil.rmtree(out, ignore_errors=True)
    return run


def main():
    parser = argparse.ArgumentParser(prog="Scripts/bench", description="Our queries and the peers', in the same run, each result verified.",
                                     epilog="Also: Scripts/bench query | scale | micro | allocations | profile (see Scripts/bench help).")
    parser.add_argument("--quick", action="store_true", help="500,000 events, one run each: about a minute")
    parser.add_argument("--with-peers", action="store_true", help="install DuckDB, polars, Bytewax and Flink below .build first")
    parser.add_argument("--n", type=int, help="number of events; default: 5,000,000")
    parser.add_argument("--best-of", type=int, help="runs of each; default: 3")
    parser.add_argument("--queries", default=",".join(common.QUERIES), help="some of q1,...,q5")
    parser.add_argument("--only", help="engines, by their short names")
    parser.add_argument("--before", metavar="FILE", help="another weir binary, such as that of the commit before, as one more engine")
    parser.add_argument("--limit", type=int, default=600, help="seconds that one run may take")
    parser.add_argument("--no-build", action="store_true", help="take .build/release/weir as it is")
    a = parser.parse_args()
    n = a.n or (500_000 if a.quick else 5_000_000)
    rounds = a.best_of or (1 if a.quick else 3)
    if a.with_peers:
        install_peers()
    common.need_binary()
    known = engines() + ([Before(a.before)] if a.before else [])
    chosen = a.only.split(",") + (["before"] if a.before else []) if a.only else [e.name for e in known]
    queries = a.queries.split(",")
    if strange := [c for c in chosen if c not in {e.name for e in known}] + [q for q in queries if q not in common.QUERIES]:
        parser.error(f"there is no {', '.join(strange)}; engines: {', '.join(e.name for e in known)}; queries: {', '.join(common.QUERIES)}")
    data = common.data(n)
    small = common.data(1000)
    present = []
    for engine in (e for e in known if e.name in chosen):
        if not engine.missing:
            for directory in (data, small):
                engine.prepare(directory)
        if engine.missing:
            common.say(f"{engine.name} is left out: {engine.missing}")
        else:
            present.append(engine)
    versions = {e.name: e.version() for e in present}
    common.warm(data)

    runs, best, start = [], {}, {}
    for query in queries:
        takers = [e for e in present if query in e.queries]
        for engine in takers:       # start-up: the run at n = 1000
            start[engine.name, query] = run_once(engine, query, small, a.limit)
        for number in range(rounds):
            for engine in takers:
                run = run_once(engine, query, data, a.limit)
                runs.append({"engine": engine.name, "query": query, "round": number + 1, **run})
                key = engine.name, query
                if key not in best or (run["ok"], -run["wall"]) > (best[key]["ok"], -best[key]["wall"]):
                    best[key] = run
                common.say(f"{query} {engine.name:<12} {run['wall']:7.2f} s  {common.rate(n / run['wall']):>7}/s  {run['cpu']:6.2f} CPU s  "
                           f"{run['rss_mb']:5} MB  others {run['others_cpu']:.1f} CPU s  {run['verdict'][:100]}")
    report(a, n, rounds, present, versions, queries, runs, best, start, {e.name: e.missing for e in known if e.missing})
    if wrong := sorted({f"{r['engine']} {r['query']}: {r['verdict'][:300]}" for r in runs if not r["ok"]}):
        print("\nFAILED " + "\nFAILED ".join(wrong))
        print("  What the programs said is in .build/bench/logs.")
        sys.exit(1)


def report(a, n, rounds, present, versions, queries, runs, best, start, left_out):
    machine = common.machine()
    rows = []
    for query in queries:
        own = best.get(("weir", query))
        for engine in present:
            if (run := best.get((engine.name, query))) is None:
                continue
            first = start[engine.name, query]
            net = run["wall"] - first["wall"]
            rows.append([
                query, f"{engine.title} {versions[engine.name]}", common.rate(n / run["wall"]), f"{run['wall']:.2f}",
                common.rate(n / net) if net > 0 else "-", f"{run['cpu'] / n * 1e6:.2f}", run["rss_mb"], f"{run['others_cpu']:.1f}",
                f"{run['wall'] / own['wall']:.2f} x" if own and engine.name != "weir" and own["ok"] and run["ok"] else "",
                "yes" if run["ok"] else "NO"])
    table = common.markdown(["", "engine", "records/s", "wall s", "records/s without start-up", "CPU s a million", "peak MB",
                             "others' CPU s", "Weir is faster", "correct"], rows)
    goals = targets(best, n)
    text = [table, "", f"{n:,} events, best of {rounds}. " + " | ".join(common.machine_lines(machine)),
            "`others' CPU s`: what other programs used during the best run; distrust its wall time where it is large."]
    if goals:
        text += ["", common.markdown(["target", "wanted", "found", ""], goals)]
        if n != 5_000_000:
            text += ["The targets are about 5,000,000 events: on fewer, start-up weighs more than it should."]
    if left_out:
        text += ["", "Left out: " + "; ".join(f"{k} ({v})" for k, v in left_out.items())]
    print("\n".join(text))
    # Only the whole table is called results.
    whole = n == 5_000_000 and rounds >= 3 and not a.only and queries == list(common.QUERIES)
    common.save("results" if whole else "quick" if a.quick else "partial", {
        "n": n, "best_of": rounds, "machine": machine, "versions": versions, "left_out": left_out, "runs": runs,
        "start_up": [{"engine": e, "query": q, **r} for (e, q), r in start.items()],
        "best": [{"engine": e, "query": q, "records_per_second": round(n / r["wall"]), **r} for (e, q), r in best.items()],
        "targets": [dict(zip(("target", "wanted", "found", "verdict"), g)) for g in goals],
    }, "\n".join(text))


if __name__ == "__main__":
    main()
