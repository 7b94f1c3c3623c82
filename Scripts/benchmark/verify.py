#!/usr/bin/env python3
"""verify.py QUERY REFDIR OUT   compares an engine's answer with the benchmark's; prints OK or what differs.

QUERY: q1 to q5. REFDIR: the folder `ref` that gen.py made. OUT: a folder (or file) of .csv, .json or .parquet, or Delta tables.
q5: tables OUT/lake/bronze, silver, gold and quarantine (Delta, or folders of Parquet), and the state as OUT/state.csv.
"""
import glob, os, sys
import polars as pl

def leave(code):
    """Ends with a verdict. Threads of the libraries that read files can end a program with a signal while it is taken down."""
    sys.stdout.flush()
    os._exit(code)

if len(sys.argv) != 4 or sys.argv[1][:2] not in ("q1", "q2", "q3", "q4", "q5"):
    sys.exit(__doc__.strip())
query, ref, out = sys.argv[1:4]
if not os.path.isfile(f"{ref}/meta.json"):
    sys.exit(f"verify: {ref} is not a directory of references (gen.py makes it: DIR/ref)")
def files(ext):
    if os.path.isfile(out): return [out] if out.endswith(ext) else []
    return [f for f in glob.glob(f"{out}/**/*{ext}", recursive=True) if os.path.getsize(f) and "/_" not in f[len(out):] and "/." not in f[len(out):]]
base = query[:2]
if base == "q5":
    import json
    from deltalake import DeltaTable
    meta, wrong = json.load(open(f"{ref}/meta.json")), []
    def tables(kind):
        found = sorted(glob.glob(f"{out}/lake/{kind}/*/_delta_log"))
        if found: return pl.concat([pl.from_arrow(DeltaTable(os.path.dirname(t)).to_pyarrow_table()) for t in found])
        plain = sorted(glob.glob(f"{out}/lake/{kind}/**/*.parquet", recursive=True))
        return pl.concat([pl.read_parquet(f, hive_partitioning=False) for f in plain]) if plain else sys.exit(f"NO table {kind}")
    def equal(what, got, wanted, keys):     # exact but for sums, which may differ by 0.005
        got = got.select([pl.col(c).cast(pl.Float64 if c == "total" else t) for c, t in wanted.schema.items()])
        j = wanted.join(got, on=keys, how="full", suffix="_g")
        rest = [c for c in wanted.columns if c not in keys]
        bad = j.filter(pl.any_horizontal(*[pl.col(f"{c}_g").is_null() | pl.col(c).is_null() | ((pl.col(c) - pl.col(f"{c}_g")).abs() > (0.005 if c == "total" else 0)) for c in rest])).height
        if bad or got.height != wanted.height: wrong.append(f"{what}: {bad} rows differ, {got.height} instead of {wanted.height}")
    def count(what, got, wanted):
        if got != wanted: wrong.append(f"{what}: {got} instead of {wanted}")
    gold = tables("gold").with_columns(pl.col("window_start").dt.timestamp("ms"))
    equal("gold", gold, pl.read_csv(f"{ref}/q1.csv"), ["campaign_id", "window_start"])
    count("bronze", tables("bronze").height, meta["n"])
    count("quarantine", tables("quarantine").height, meta["malformed"])
    silver = tables("silver").with_columns(pl.col("event_time").dt.timestamp("ms"))
    count("silver", silver.height, meta["first"])
    count("ids in silver", silver["event_id"].n_unique(), meta["first"])
    T0 = 1_767_225_600_000 - 50_000
    h = silver.group_by((pl.col("event_time") // 3_600_000 * 3_600_000).alias("event_hour_ms")).agg(rows=pl.len(), total=pl.col("amount").cast(pl.Float64).sum().round(2), sum_event_time_mod=(pl.col("event_time") - T0).sum())
    equal("silver by hour", h, pl.read_csv(f"{ref}/q5-hours.csv"), ["event_hour_ms"])
    equal("state", pl.read_csv(f"{out}/state.csv"), pl.read_csv(f"{ref}/q5-users.csv"), ["user_id"])
    print("WRONG " + "; ".join(wrong) if wrong else f"OK gold={gold.height} silver={silver.height} bronze={meta['n']} quarantine={meta['malformed']}")
    leave(1 if wrong else 0)
if base == "q4":
    csvs = []
    C8 = ["event_id", "user_id", "ad_id", "ad_type", "event_type", "event_time", "ip_address", "amount"]
    from deltalake import DeltaTable
    fs = []
    for t in sorted({os.path.dirname(d) for d in [f"{out}/_delta_log", *glob.glob(f"{out}/**/_delta_log", recursive=True)] if os.path.isdir(d)}):
        dt = DeltaTable(t)          # of the Delta tables below OUT, the one that holds the events
        if set(C8) <= {f.name for f in dt.schema().fields}:
            fs += [os.path.join(t, os.path.relpath(u.removeprefix("file://"), os.path.realpath(t))) if u.startswith("/") else u.removeprefix("file://") for u in dt.file_uris()]
    if fs or glob.glob(f"{out}/**/_delta_log", recursive=True): pass
    else: fs = files(".parquet")
    csvs = [] if fs else [f for f in glob.glob(f"{out}/**/part-*", recursive=True) if os.path.getsize(f)]     # Flink's CSV stand-in
    if not fs and not csvs: sys.exit("NO parquet output")
    d = pl.concat([pl.read_csv(f, has_header=False, new_columns=C8) for f in csvs]) if csvs else pl.concat([pl.read_parquet(f, hive_partitioning=False) for f in fs], how="diagonal_relaxed")
    t = d["event_time"]
    if t.dtype != pl.Int64: d = d.with_columns(pl.col("event_time").cast(pl.Datetime("ms")).dt.timestamp("ms"))
    T0 = 1_767_225_600_000 - 50_000
    for c in ("event_id", "user_id", "ad_id", "ad_type", "event_type", "ip_address"):
        if c not in d.columns: sys.exit("NO column " + c)
    g = d.group_by((pl.col("event_time") // 3_600_000 * 3_600_000).alias("event_hour_ms")).agg(rows=pl.len(), total=pl.col("amount").cast(pl.Float64).sum(), m=(pl.col("event_time") - T0).sum(), ids=pl.col("event_id").null_count()).sort("event_hour_ms")
    r = pl.read_csv(f"{ref}/q4.csv").sort("event_hour_ms")
    ok = g["event_hour_ms"].to_list() == r["event_hour_ms"].to_list() and g["rows"].to_list() == r["rows"].to_list() and g["m"].to_list() == r["sum_event_time_mod"].to_list() and all(abs(a - b) < .01 for a, b in zip(g["total"], r["total"])) and g["ids"].sum() == 0
    sz = sum(os.path.getsize(f) for f in fs + csvs)
    print(("OK" + (" (CSV, not Parquet)" if csvs else "") if ok else f"WRONG\n{g}\n{r}"), f"files={len(fs)} bytes={sz}", dict(zip(d.columns, map(str, d.dtypes)))); leave(0 if ok else 1)
cols = {"q1": ["campaign_id", "window_start", "cnt", "total"], "q3": ["campaign_id", "window_start", "cnt", "total"], "q2": ["user_id", "cnt", "total", "last_ms"]}[base]
keys = cols[:2] if base != "q2" else cols[:1]
r = pl.read_csv(f"{ref}/{base}.csv")
parts = []
for f in files(".csv"):
    h = open(f).readline()
    parts.append(pl.read_csv(f, has_header=h.lstrip('"').startswith(cols[0]), new_columns=cols))
for f in files(".json") + files(".ndjson") + files(".jsonl"): parts.append(pl.read_ndjson(f))
deltas = sorted({os.path.dirname(d) for d in [f"{out}/_delta_log", *glob.glob(f"{out}/**/_delta_log", recursive=True)] if os.path.isdir(d)})
for t in deltas:      # a Delta table: its live files only, and of several revisions of a window the last
    from deltalake import DeltaTable
    d = pl.from_arrow(DeltaTable(t).to_pyarrow_table())
    if not set(cols) <= set(d.columns): continue
    if "revision" in d.columns: d = d.sort("revision").unique(keys, keep="last", maintain_order=True)
    parts.append(d)
if not deltas:
    for f in files(".parquet"): parts.append(pl.read_parquet(f, hive_partitioning=False))
if not parts and os.path.isdir(out):   # Flink part files carry no suffix
    for f in glob.glob(f"{out}/**/part-*", recursive=True):
        if os.path.getsize(f): parts.append(pl.read_ndjson(f) if open(f).read(1) == "{" else pl.read_csv(f, has_header=False, new_columns=cols))
if not parts: sys.exit("NO output")
ints = [c for c in cols if c in ("window_start", "cnt", "last_ms")]
def ms(p, c): return pl.col(c).dt.timestamp("ms") if p[c].dtype.is_temporal() else pl.col(c).cast(pl.Int64)
d = pl.concat([p.select(cols).with_columns([ms(p, c) for c in ints] + [pl.col("total").cast(pl.Float64)]) for p in parts])
dupk = d.height - d.unique(keys).height
j = r.join(d, on=keys, how="full", suffix="_g")
miss = j.filter(pl.col("cnt_g").is_null()).height; extra = j.filter(pl.col("cnt").is_null()).height
b = j.drop_nulls()
wc = b.filter(pl.col("cnt") != pl.col("cnt_g")).height
ws = b.filter((pl.col("total") - pl.col("total_g")).abs() > 0.005).height
wl = b.filter(pl.col("last_ms") != pl.col("last_ms_g")).height if base == "q2" else 0
ok = not (dupk or miss or extra or wc or ws or wl)
print("OK" if ok else "WRONG", f"rows={d.height} ref={r.height} repeated_keys={dupk} missing={miss} extra={extra} wrong_count={wc} wrong_sum={ws} wrong_last={wl} sum_cnt={d['cnt'].sum()} ref_sum_cnt={r['cnt'].sum()}")
leave(0 if ok else 1)
