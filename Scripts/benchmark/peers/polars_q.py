"""polars, batch, streaming engine, two threads.   polars_q.py QUERY DATA OUT

QUERY: q1 to q4, or q4delta (into a Delta table). Reads DATA/clean: polars cannot skip a malformed line.
"""
import os
import sys

os.environ["POLARS_MAX_THREADS"] = "2"
import polars as pl
from polars import col

query, data, out = sys.argv[1:4]
os.makedirs(out, exist_ok=True)

SCHEMA = {"event_id": pl.String, "user_id": pl.String, "ad_id": pl.String, "ad_type": pl.String, "event_type": pl.String,
          "event_time": pl.Int64, "ip_address": pl.String, "amount": pl.Float64}
events = pl.scan_ndjson(f"{data}/clean/events.ndjson", schema=SCHEMA, ignore_errors=True).filter(
    col("event_id").is_not_null() & col("event_time").is_not_null() & col("amount").is_not_null())
views = (events.unique("event_id", keep="any").filter(col("event_type") == "view")
         .join(pl.scan_csv(f"{data}/campaigns.csv"), on="ad_id").select("campaign_id", "event_time", "amount"))


def sums(frame, *keys):
    return frame.group_by(*keys).agg(cnt=pl.len(), total=col("amount").sum())


def floor(milliseconds, name):
    return (col("event_time") // milliseconds * milliseconds).alias(name)


if query.startswith("q4"):
    rows = events.with_columns(event_hour=pl.from_epoch("event_time", time_unit="ms").dt.strftime("%Y-%m-%d-%H"))
    if query == "q4":
        rows.sink_parquet(pl.PartitionBy(out, key="event_hour"), compression="zstd", compression_level=1, mkdir=True, engine="streaming")
    else:
        rows.collect(engine="streaming").write_delta(out, mode="append", delta_write_options={"partition_by": ["event_hour"]})
    sys.exit()

if query == "q1":
    answer = sums(views, "campaign_id", floor(10_000, "window_start"))
elif query == "q2":
    answer = events.group_by("user_id").agg(cnt=pl.len(), total=col("amount").sum(), last_ms=col("event_time").max())
elif query == "q3":     # panes of a second first; a pane lies in 60 windows
    panes = sums(views, "campaign_id", floor(1_000, "pane"))
    answer = (panes.with_columns(window_start=pl.int_ranges(col("pane") - 59_000, col("pane") + 1, 1_000)).explode("window_start")
              .group_by("campaign_id", "window_start").agg(cnt=col("cnt").sum(), total=col("total").sum()))
else:
    sys.exit(f"no such query: {query}")
answer.collect(engine="streaming").write_csv(f"{out}/result.csv")
