#!/usr/bin/env python3
"""Makes the benchmark's stream of ad events, the same for the same seed, and the exact answers to its queries.

  gen.py --n 5000000 --seed 42 --out DIR [--layouts one,two,chunks] [--users N] [--skew SHARE]

DIR/one/events.ndjson      the whole stream, arrival order
DIR/two/p{0,1}.ndjson      the same stream dealt round-robin over 2 'partitions'
DIR/chunks/c00000.ndjson   the same stream cut in pieces of --chunk lines (rising mtime)
DIR/campaigns.ndjson       ad_id -> campaign_id (1000 ads, 100 campaigns); also campaigns.csv
DIR/ref/q1.csv q2.csv q3.csv q4.csv meta.json   the truth, from the arrays, before any JSON is written
DIR/ref/q5-users.csv q5-hours.csv               as q2 and q4, without the re-sends

--layouts leaves out what is not needed; --users sets the number of keys; --skew gives one user (u0) that share of the
records. Without the last two the bytes are the same in every version of this program.

Event time of the i-th first occurrence is T0 + i/10 ms - lateness, lateness < 2000 ms, so a first
occurrence is never more than 2 s behind the largest event time seen. A duplicate is a byte-identical
re-send 1..50,000 records later (<= 5 s). Malformed: 60 % cut short, 20 % garbage text, 20 % a broken number.
"""
import argparse, json, os, time
import numpy as np

T0 = 1_767_225_600_000 - 50_000          # 50 s before 2026-01-01T00:00:00Z: the run crosses an hour
ADS, CAMPS = 1000, 100
TYPES = ["banner", "modal", "sponsored-search", "mail", "mobile"]
EVENTS = ["view", "click", "purchase"]

def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--n", type=int, default=5_000_000)
    ap.add_argument("--seed", type=int, default=42)
    ap.add_argument("--chunk", type=int, default=125_000)
    ap.add_argument("--out", required=True)
    ap.add_argument("--layouts", default="one,two,chunks", help="which of one, two, chunks to write")
    ap.add_argument("--users", type=int, default=100_000)
    ap.add_argument("--skew", type=float, default=0, help="share of the records that one user has")
    a = ap.parse_args()
    layouts = a.layouts.split(",")
    if set(layouts) - {"one", "two", "chunks"}: ap.error("--layouts takes one, two and chunks")
    USERS = a.users
    t_start = time.time()
    rng = np.random.default_rng(a.seed)
    n_bad = round(a.n * 0.001); n_dup = round(a.n * 0.02); m = a.n - n_bad - n_dup
    i = np.arange(m)
    late = np.where(rng.random(m) < 0.3, rng.integers(0, 2000, m), rng.integers(0, 50, m))
    ts = T0 + i // 10 - late
    ad = rng.integers(0, ADS, m)
    adtype = rng.integers(0, len(TYPES), m)
    ev = rng.integers(0, 3, m)
    user = np.where(rng.random(m) < 0.2, rng.integers(0, 1000, m), rng.integers(0, USERS, m))
    # Drawn from a generator of its own: the stream's other values stay as they are.
    if a.skew: user = np.where(np.random.default_rng([a.seed, 1]).random(m) < a.skew, 0, user)
    cents = rng.integers(0, 10_000, m)
    ip = rng.integers(0, 1 << 32, m)
    camp_of_ad = rng.permutation(np.arange(ADS) % CAMPS)
    dup_of = rng.choice(m, n_dup, replace=False) if n_dup else np.empty(0, int)
    key = np.concatenate([i.astype(float), dup_of + rng.integers(1, 50_000, n_dup) + 0.5, rng.random(n_bad) * m])
    src = np.concatenate([i, dup_of, rng.integers(0, m, n_bad)])
    kind = np.concatenate([np.zeros(m + n_dup, np.int8), 1 + (rng.random(n_bad) * 5).astype(np.int8)])  # 0 ok, 1-3 cut, 4 garbage, 5 number
    order = np.argsort(key, kind="stable")
    src, kind = src[order], kind[order]
    cutf = rng.random(a.n)
    uid = rng.bytes(16 * m)

    for d in (*layouts, "ref"):
        os.makedirs(f"{a.out}/{d}", exist_ok=True)
    with open(f"{a.out}/campaigns.ndjson", "w") as f, open(f"{a.out}/campaigns.csv", "w") as g:
        g.write("ad_id,campaign_id\n")
        for k in range(ADS):
            f.write(json.dumps({"ad_id": f"ad{k:04d}", "campaign_id": f"c{camp_of_ad[k]:03d}"}, separators=(",", ":")) + "\n")
            g.write(f"ad{k:04d},c{camp_of_ad[k]:03d}\n")

    # ---- lines
    f1 = open(f"{a.out}/one/events.ndjson", "w", buffering=1 << 20) if "one" in layouts else None
    f2 = [open(f"{a.out}/two/p{k}.ndjson", "w", buffering=1 << 20) for k in (0, 1)] if "two" in layouts else []
    size = 0
    adn = [f"ad{k:04d}" for k in range(ADS)]
    B = a.chunk
    now = time.time() - 100_000
    for c, lo in enumerate(range(0, a.n, B)):
        s = src[lo:lo + B]; k = kind[lo:lo + B]; cf = cutf[lo:lo + B]
        lines = []
        ipv = ip[s]
        o1, o2, o3, o4 = (ipv >> 24).tolist(), ((ipv >> 16) & 255).tolist(), ((ipv >> 8) & 255).tolist(), (ipv & 255).tolist()
        cts = cents[s]
        for sj, u, d, ty, e, t, w, x, y, z, q, r in zip(s.tolist(), user[s].tolist(), ad[s].tolist(), adtype[s].tolist(),
                ev[s].tolist(), ts[s].tolist(), o1, o2, o3, o4, (cts // 100).tolist(), (cts % 100).tolist()):
            h = uid[16 * sj:16 * sj + 16].hex()
            lines.append(f'{{"event_id":"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}","user_id":"u{u}","ad_id":"{adn[d]}",'
                         f'"ad_type":"{TYPES[ty]}","event_type":"{EVENTS[e]}","event_time":{t},'
                         f'"ip_address":"{w}.{x}.{y}.{z}","amount":{q}.{r:02d}}}\n')
        for j in np.nonzero(k)[0].tolist():
            L = lines[j][:-1]
            if k[j] <= 3: lines[j] = L[:1 + int(cf[j] * (len(L) - 2))] + "\n"
            elif k[j] == 4: lines[j] = "#### connection reset by peer ####\n"
            else: lines[j] = L[:-1] + ".7}\n"
        whole = "".join(lines)
        size += len(whole)          # the stream is ASCII
        if f1: f1.write(whole)
        if f2:
            p = lo & 1
            f2[p].write("".join(lines[0::2])); f2[1 - p].write("".join(lines[1::2]))
        if "chunks" not in layouts: continue
        fn = f"{a.out}/chunks/c{c:05d}.ndjson"
        with open(fn, "w", buffering=1 << 20) as f3: f3.write(whole)
        os.utime(fn, (now + c * 10, now + c * 10))
    for f in [f1, *f2]:
        if f: f.close()

    # ---- truth
    view = ev == 0
    camp = camp_of_ad[ad]
    def panes(width):
        w0 = (ts[view] // width); base = w0.min(); nb = int(w0.max() - base) + 1
        idx = camp[view] * nb + (w0 - base)
        return base, nb, np.bincount(idx, minlength=CAMPS * nb).reshape(CAMPS, nb), \
            np.bincount(idx, weights=cents[view], minlength=CAMPS * nb).reshape(CAMPS, nb)
    def dump(path, starts, cnt, sm):
        with open(path, "w") as f:
            f.write("campaign_id,window_start,cnt,total\n")
            for c in range(cnt.shape[0]):
                for b in np.nonzero(cnt[c])[0].tolist():
                    f.write(f"c{c:03d},{int(starts[b])},{int(cnt[c, b])},{int(round(sm[c, b])) / 100}\n")
    base, nb, cnt, sm = panes(10_000)
    dump(f"{a.out}/ref/q1.csv", (base + np.arange(nb)) * 10_000, cnt, sm)
    base, nb, cnt, sm = panes(1000)
    pad = lambda x: np.concatenate([np.zeros((CAMPS, 60)), np.cumsum(np.concatenate([x, np.zeros((CAMPS, 60))], 1), 1)], 1)
    pc, ps = pad(cnt), pad(sm)               # window starting at pane s covers panes s..s+59
    st = np.arange(-59, nb)
    hc = pc[:, st + 60 + 59] - pc[:, st + 59]
    hs = ps[:, st + 60 + 59] - ps[:, st + 59]
    dump(f"{a.out}/ref/q3.csv", (base + st) * 1000, hc, hs)
    def users(path, so):
        uc = np.bincount(user[so], minlength=USERS); us = np.bincount(user[so], weights=cents[so], minlength=USERS)
        ul = np.zeros(USERS, np.int64); np.maximum.at(ul, user[so], ts[so])
        with open(path, "w") as f:
            f.write("user_id,cnt,total,last_ms\n")
            for u in np.nonzero(uc)[0].tolist(): f.write(f"u{u},{uc[u]},{int(round(us[u])) / 100},{ul[u]}\n")
    def hours(path, so):
        hr = ts[so] // 3_600_000
        with open(path, "w") as f:
            f.write("event_hour_ms,rows,total,sum_event_time_mod\n")
            for h in np.unique(hr).tolist():
                s = so[hr == h]
                f.write(f"{h * 3_600_000},{len(s)},{int(cents[s].sum()) / 100},{int((ts[s] - T0).sum())}\n")
    so = src[kind == 0]
    users(f"{a.out}/ref/q2.csv", so); hours(f"{a.out}/ref/q4.csv", so)
    users(f"{a.out}/ref/q5-users.csv", i); hours(f"{a.out}/ref/q5-hours.csv", i)
    meta = dict(n=a.n, seed=a.seed, first=m, duplicates=n_dup, malformed=n_bad, wellformed=m + n_dup, views=int(view.sum()),
                bytes=size, gen_s=round(time.time() - t_start, 1), t0=T0)
    json.dump(meta, open(f"{a.out}/ref/meta.json", "w"))
    print(json.dumps(meta))
main()
