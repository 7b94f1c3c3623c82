"""DuckDB, batch SQL, two threads.   duckdb_q.py QUERY DATA OUT"""
import os
import sys

import duckdb

query, data, out = sys.argv[1:4]
os.makedirs(out, exist_ok=True)
db = duckdb.connect()
db.execute("set threads = 2; set preserve_insertion_order = false")

# A malformed line becomes a row of nulls, or is left out: both are no event.
db.execute(f"""
  create view events as
  select * from read_json('{data}/one/events.ndjson', format = 'newline_delimited', ignore_errors = true, columns = {{
    event_id: 'VARCHAR', user_id: 'VARCHAR', ad_id: 'VARCHAR', ad_type: 'VARCHAR', event_type: 'VARCHAR',
    event_time: 'BIGINT', ip_address: 'VARCHAR', amount: 'DOUBLE'}})
  where event_id is not null and event_time is not null and amount is not null""")
db.execute(f"create view campaigns as select * from read_csv('{data}/campaigns.csv', header = true)")

# One row an id (a re-send is equal in all columns), then the views, then their campaigns.
db.execute("""
  create view views as
  select campaign_id, event_time, amount
  from (select event_id, any_value(ad_id) as ad_id, any_value(event_type) as event_type,
          any_value(event_time) as event_time, any_value(amount) as amount
        from events group by event_id)
  join campaigns using (ad_id)
  where event_type = 'view'""")

ANSWERS = {
    "q1": """select campaign_id, event_time // 10000 * 10000 as window_start, count(*) as cnt, sum(amount) as total
             from views group by all""",
    "q2": "select user_id, count(*) as cnt, sum(amount) as total, max(event_time) as last_ms from events group by all",
    # Panes of a second first; a pane lies in 60 windows.
    "q3": """with panes as (select campaign_id, event_time // 1000 * 1000 as pane, count(*) as cnt, sum(amount) as total
                            from views group by all)
             select campaign_id, window_start, sum(cnt)::bigint as cnt, sum(total) as total
             from (select *, unnest(range(pane - 59000, pane + 1, 1000)) as window_start from panes) group by all""",
}
def everything():
    """q5: what a lake would hold of the same stream, each a COPY: every line as it came, lines that are no event, events once with their
    campaign, windows, and the users' state. Lines are read once into memory for the first two; DuckDB's own reader parses the events."""
    os.makedirs(f"{out}/lake", exist_ok=True)
    parquet = "format parquet, compression zstd"
    for table in ("bronze", "quarantine", "silver", "gold"):
        os.makedirs(f"{out}/lake/{table}/table", exist_ok=True)
    db.execute(f"""create temp table lines as select * from read_csv('{data}/one/events.ndjson', header = false, auto_detect = false,
                   delim = chr(1), quote = '', escape = '', columns = {{line: 'VARCHAR'}}, max_line_size = 1000000)""")
    db.execute(f"copy lines to '{out}/lake/bronze/table/part.parquet' ({parquet})")
    db.execute(f"copy (select line from lines where not json_valid(line)) to '{out}/lake/quarantine/table/part.parquet' ({parquet})")
    db.execute("drop table lines")
    db.execute("""create temp table silver as
                  select * exclude (campaign_id), campaign_id, event_time // 3600000 as event_hour
                  from (select event_id, any_value(columns(* exclude (event_id))) from events where event_type in ('view', 'click', 'purchase')
                        group by event_id) left join campaigns using (ad_id)""")
    db.execute(f"""copy (select * exclude (event_time), epoch_ms(event_time) as event_time from silver) to '{out}/lake/silver/table'
                   ({parquet}, partition_by (event_hour), overwrite_or_ignore)""")
    db.execute(f"""copy (select campaign_id, epoch_ms(event_time // 10000 * 10000) as window_start, count(*) as cnt, sum(amount) as total
                         from silver where event_type = 'view' group by all) to '{out}/lake/gold/table/part.parquet' ({parquet})""")
    db.execute(f"""copy (select user_id, count(*) as cnt, sum(amount) as total, max(event_time) as last_ms from silver group by all)
                   to '{out}/state.csv' (header)""")


if query == "q4":
    db.execute(f"""copy (select *, strftime(epoch_ms(event_time), '%Y-%m-%d-%H') as event_hour from events)
                   to '{out}' (format parquet, compression zstd, partition_by (event_hour), overwrite_or_ignore)""")
elif query == "q5":
    everything()
else:
    db.execute(f"copy ({ANSWERS[query]}) to '{out}/result.csv' (header)")
