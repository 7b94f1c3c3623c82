#!/usr/bin/env python3
"""Scripts/bench scale [--quick] [--only records,lanes,keys,skew] ...   how the cost grows as work grows.

records: 5, 20 and 100 million (q1; wanted: records/s within 10 %). lanes: 1, 16 and 256 (q1; within 25 %). keys: 1
thousand, 1 and 10 million users (q2, 20 million events). skew: one user with 90 % of the records (q1 and q2; at most
2 x the even stream). Start-up, the run at n = 1000 with the same lanes, is taken off. Every result is verified.

In full this makes streams of 20 GB: it needs 45 GB of disk, 16 GB of memory and an hour. A stream of more than 5 million
events is deleted when it was measured, unless --keep-data.
"""
import argparse
import os
import shutil
import sys

import common

FULL = {"records": [5_000_000, 20_000_000, 100_000_000], "lanes": [1, 16, 256], "keys": [1_000, 1_000_000, 10_000_000],
        "n": 5_000_000, "keys_n": 20_000_000}
QUICK = {"records": [200_000, 800_000, 2_000_000], "lanes": [1, 16, 256], "keys": [1_000, 100_000, 1_000_000],
         "n": 800_000, "keys_n": 800_000}


class Scale:
    def __init__(self, rounds, limit, keep):
        self.rounds, self.limit, self.keep = rounds, limit, keep
        self.small = common.data(1000, layouts="one")
        self.start = {}
        self.rows, self.document, self.wrong = [], [], []

    def once(self, query, data, lanes):
        out, log = f"{common.WORK}/out/scale", f"{common.WORK}/logs/scale-{query}.log"
        shutil.rmtree(out, ignore_errors=True)
        run = common.measure(common.weir_command(query, data, out, lanes), log, self.limit)
        bad = common.trouble(run, log)
        run["verdict"] = f"FAILED {bad}" if bad else common.verify(query, data, out)
        run["ok"] = run["verdict"].startswith("OK")
        shutil.rmtree(out, ignore_errors=True)
        return run

    def measure(self, study, what, query, n, lanes=None, first=None, **options):
        """A line of the table; `first`: the line that it is compared with."""
        if (query, lanes) not in self.start:
            self.start[query, lanes] = min((self.once(query, self.small, lanes) for _ in range(3)), key=lambda r: r["wall"])
        start = self.start[query, lanes]
        data = common.data(n, layouts="one", **options)
        common.warm(data)
        runs = [self.once(query, data, lanes) for _ in range(self.rounds)]
        best = min(runs, key=lambda r: (not r["ok"], r["wall"]))
        wall, cpu = best["wall"] - start["wall"], best["cpu"] - start["cpu"]
        line = {"study": study, "what": what, "query": query, "n": n, "lanes": lanes, **options, "start_up": start["wall"],
                "records_per_second": round(n / wall) if wall > 0 else None, "cpu_per_million": round(cpu / n * 1e6, 3), **best}
        line["ratio"] = round(line["records_per_second"] / first["records_per_second"], 3) if first and wall > 0 else None
        # CPU time is what other programs disturb least.
        line["cpu_ratio"] = round(line["cpu_per_million"] / first["cpu_per_million"], 3) if first and first["cpu_per_million"] > 0 else None
        self.rows.append([study, what, query, f"{n:,}", f"{best['wall']:.2f}", f"{start['wall']:.2f}", common.rate(line["records_per_second"]),
                          "" if not line["ratio"] else f"{line['ratio']:.2f}", f"{line['cpu_per_million']:.2f}",
                          "" if not line["cpu_ratio"] else f"{line['cpu_ratio']:.2f}", best["rss_mb"], f"{best['others_cpu']:.1f}",
                          "yes" if best["ok"] else "NO"])
        self.document.append(line)
        common.say("  ".join(str(c) for c in self.rows[-1]))
        if not best["ok"]:
            self.wrong.append(f"{study} {what} {query}: {best['verdict'][:300]}")
        return line

    def drop(self, n, **options):
        if n > 5_000_000 and not self.keep:
            shutil.rmtree(common.data(n, layouts="one", **options), ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(prog="Scripts/bench scale", description=__doc__.split("\n\n", 1)[1],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, one run each: about a minute; says little")
    parser.add_argument("--only", default="records,lanes,keys,skew", help="some of records,lanes,keys,skew")
    parser.add_argument("--records", help="sizes instead of 5, 20 and 100 million, with commas")
    parser.add_argument("--best-of", type=int, help="runs of each; default: 3")
    parser.add_argument("--limit", type=int, default=3600, help="seconds that one run may take")
    parser.add_argument("--keep-data", action="store_true", help="keep the large streams")
    a = parser.parse_args()
    common.need_binary()
    sizes = dict(QUICK if a.quick else FULL)
    if a.records:
        sizes["records"] = [int(v.replace("_", "")) for v in a.records.split(",")]
    studies = a.only.split(",")
    if strange := set(studies) - {"records", "lanes", "keys", "skew"}:
        parser.error(f"there is no {', '.join(strange)}; there are: records, lanes, keys, skew")
    os.makedirs(f"{common.WORK}/data", exist_ok=True)
    largest = max(sizes["records"] if "records" in studies else [0])
    needed, free = largest * 420 / 1e9, shutil.disk_usage(common.WORK).free / 1e9        # the stream, and what is made of it
    if needed > free:
        common.stop(f"{needed:.0f} GB of disk are needed below .build/bench, {free:.0f} GB are free",
                    "Free some, or name smaller sizes:  --records 5000000,20000000")
    scale = Scale(a.best_of or (1 if a.quick else 3), a.limit, a.keep_data)

    if "records" in studies:
        first = None
        for n in sizes["records"]:
            line = scale.measure("records", f"{n:,} events", "q1", n, first=first)
            first = first or line
            scale.drop(n)
    if "lanes" in studies:
        first = None
        for lanes in sizes["lanes"]:
            line = scale.measure("lanes", f"{lanes} lanes", "q1", sizes["n"], lanes=lanes, first=first)
            first = first or line
    if "keys" in studies:
        first = None
        for users in sizes["keys"]:
            line = scale.measure("keys", f"{users:,} users", "q2", sizes["keys_n"], first=first, users=users)
            first = first or line
            scale.drop(sizes["keys_n"], users=users)
    if "skew" in studies:
        for query in ("q1", "q2"):
            even = scale.measure("skew", "even", query, sizes["n"])
            scale.measure("skew", "one user has 90 %", query, sizes["n"], first=even, skew=0.9)

    machine = common.machine()
    text = "\n".join([
        common.markdown(["", "what", "query", "events", "wall s", "start-up s", "records/s", "to the first", "CPU s a million",
                         "to the first", "peak MB", "others' CPU s", "correct"], scale.rows), "",
        f"Best of {scale.rounds}; start-up (the run at n = 1000) taken off records/s and CPU. " + " | ".join(common.machine_lines(machine)),
        "Wanted: records within 10 %, lanes within 25 %, skew at least 0.5 to the even stream; keys: a curve with its knees explained."])
    print(text)
    common.save("scale-quick" if a.quick else "scale", {"machine": machine, "lines": scale.document}, text)
    if scale.wrong:
        print("FAILED " + "\nFAILED ".join(scale.wrong))
        sys.exit(1)


main()
