#!/usr/bin/env python3
"""Sample streams in public shapes give the tables, counts and rejections that are expected of them.

The streams are in ../shared/cases, each with expected tables by a naive fold that knows nothing of Weir. A case has a pipeline here if Weir
can read it; of the others, and of tables that Weir cannot compute yet, the page Cookbook has a list.
"""
import csv
import datetime
import decimal
import os
import re

import common
from common import tables

CASES = os.path.join(common.ROOT, "..", "shared", "cases")
# By case: pipeline, input, tables (ours, and the expected one's name), stream, the ending of the names of counts and rejections.
RUNS = [
    ("01-cloudtrail", "cloudtrail", "input", {"silver/cloudtrail": "silver", "gold/failed_per_user": "failed_per_user"}, "cloudtrail", ""),
    ("02-gharchive", "code-host-events", "input.json",
     {"silver/events": "events", "silver/commits": "commits", "gold/events_per_type": "events_per_type"}, "code-host", ""),
    ("04-nginx", "access-log", "input.log", {"silver/access": "silver", "gold/status_per_minute": "status_per_minute"}, "access", ""),
    ("06-csv-sensors", "sensors-csv", "input-comma.csv", {"silver/readings": "silver"}, "readings", ""),
    ("06-csv-sensors", "sensors-semicolon", "input-semicolon.csv", {"silver/readings": "silver"}, "readings", ""),
    ("07-orders-text-numbers", "orders-as-text", "input.json", {"silver/orders": "silver", "gold/revenue": "revenue"}, "orders", ""),
    ("08-clicks-sessions", "clicks", "input.json", {"silver/clicks": "silver"}, "clicks", ""),
    ("10-kinesis-ticker", "ticker", "input.json", {"silver/ticks": "silver", "gold/sector_minute": "sector_minute"}, "ticks", ""),
    ("12-cloudevents", "cloud-events", "input.json",
     {"silver/created": "silver_created", "silver/paid": "silver_paid", "gold/created": "created"}, "order-events", ""),
    ("14-iot-nested", "devices", "input.json", {"silver/devices": "silver"}, "devices", ""),
    ("03-debezium", "database-changes", "input.json", {"gold/ops": "ops"}, "changes", ""),
    ("03-debezium", "document-changes", "input-flat.json", {"gold/ops_flat": "ops_flat"}, "changes", "_flat"),
]
# Columns whose expected values are rounded to this number of digits.
ROUNDED = {"change_avg": 6}
# How a kind of rejection is recognised in our reasons.
KINDS = [("check", r".*", None), ("time", r".* ahead", "too far ahead"), ("decode", r"required field", "required field missing"), ("decode", r"wrong number of columns", "wrong number of columns"),
         ("decode", r"the line does not match", "not a log line"), ("decode", r"field [^ :]+: ", "wrong type"), ("decode", r"", "not JSON")]


def expected(case, name):
    with open(os.path.join(CASES, case, "expected", f"{name}.csv"), newline="") as f:
        return list(csv.DictReader(f))


def cell(value):
    """A value of ours as the expected tables write it, numbers without zeros at the end."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        text = value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return text.replace(".000000Z", "Z")
    return str(value)


def same(text):
    """Numbers compare as numbers, times without zeros at the end."""
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return decimal.Decimal(text)
    return text.replace(".000000Z", "Z")


def rounded(column, text):
    """Half away from zero."""
    if column not in ROUNDED or not text:
        return text
    return str(decimal.Decimal(text).quantize(decimal.Decimal(1).scaleb(-ROUNDED[column]), decimal.ROUND_HALF_UP))


def table_fault(lake, ours, want):
    found = tables.read_delta(lake, ours).to_pylist()
    if not want:
        return [f"{ours}: no rows are expected"]
    columns = list(want[0])
    rows = sorted([tuple(str(same(rounded(c, cell(row.get(c))))) for c in columns) for row in found])
    wanted = sorted([tuple(str(same(row[c])) for c in columns) for row in want])
    if rows == wanted:
        return []
    only, missing = [r for r in rows if r not in wanted], [w for w in wanted if w not in rows]
    return [f"{ours}: {len(rows)} rows, {len(wanted)} expected; ours {only[:2]}, expected {missing[:2]}"]


def count_faults(case, done, ending):
    want = {row["bucket"]: int(row["count"]) for row in expected(case, f"counts{ending}")}
    found = {"in": done.get("records", done.get("in")), "accepted": done.get("accepted"), "duplicate": done.get("duplicate"), "filtered": done.get("filtered"),
             "quarantined": done.get("quarantined")}
    return [f"{name}: {found.get(name)}, {count} expected" for name, count in want.items() if found.get(name) != count]


def rejection_faults(case, lake, stream, ending):
    want = {(row["stage"], row["kind"]): int(row["count"]) for row in expected(case, f"quarantine{ending}")}
    found = {}
    for row in tables.read_delta(lake, f"quarantine/{stream}").to_pylist():
        stage, reason = row["stage"], row["reason"]
        kind = next(kind for s, pattern, kind in KINDS if s == stage and re.match(pattern, reason))
        if kind is None:
            kind = next((k for s, k in want if s == "check" and k in reason), reason)
        found[stage, kind] = found.get((stage, kind), 0) + 1
    return [] if found == want else [f"quarantine: {found}, {want} expected"]


def late_faults(case, lake, ending):
    faults = []
    for row in expected(case, f"late{ending}"):
        table = f"late/{row['table']}"
        if os.path.isdir(os.path.join(lake, "gold", row["table"])):
            rows = tables.read_delta(lake, table).num_rows if os.path.isdir(os.path.join(lake, table)) else 0
            faults += [] if rows == int(row["late_rows"]) else [f"{table}: {rows} rows, {row['late_rows']} expected"]
    return faults


def cases(suite):
    for case, pipeline, file, mapped, stream, ending in RUNS:
        path = os.path.join(CASES, case, file)
        files = [os.path.join(path, name) for name in sorted(os.listdir(path))] if os.path.isdir(path) else [path]
        for lanes in (1, 2):
            lake = suite.path(f"{pipeline}-{lanes}")
            run = common.Result([suite.weir, "replay", os.path.join(common.PIPELINES, f"{pipeline}.yaml"), "--capture", *files, "--lake", lake,
                                 "--store", f"{lake}-store", "--lanes", str(lanes), "--json"])
            faults = run.fault()
            if not faults:
                for ours, name in mapped.items():
                    faults += table_fault(lake, ours, expected(case, name))
                faults += count_faults(case, run.done, ending) + rejection_faults(case, lake, stream, ending) + late_faults(case, lake, ending)
            suite.claim(f"{case}, {pipeline}, {lanes} lanes: {', '.join(mapped.values())}, counts, rejections and late rows are as expected", faults)


suite = common.Suite("cases_equal_expected", 120, __doc__)
suite.run(cases)
