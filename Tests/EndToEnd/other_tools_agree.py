#!/usr/bin/env python3
"""Weir together with other tools: topics that it publishes, records of kcat and confluent-kafka, lag, schema registries."""
import collections
import datetime
import decimal
import json
import os
import random
import signal
import subprocess
import time

import common
import broker
import topics
import live_workers_equal_reference as drivers
from broker import Broker, Worker
from live_workers_equal_reference import Stream, live

PARTITIONS = 4
RECORDS, RECORDS_QUICK = 20_000, 6_000
TABLES = ("gold/by_kind", "gold/by_user", "late/by_kind", "late/by_user", "quarantine")


def topic(name, part):
    return f"{part}-{os.getpid()}-{name.replace('/', '-')}"


def sinks(part, address=None, **more):
    """Adds topics for all tables that can have one."""
    def change(spec):
        spec["sinks"] = {"kafka": {"topics": {t: topic(t, part) for t in TABLES}, **({"brokers": address} if address else {}), **more}}
    return change


def sink_topics(part):
    return {topic(t, part): PARTITIONS for t in TABLES}


# -- What topics must hold: the rows of the Delta tables, read by delta-rs

def text(value):
    """A value of a table as Weir's JSON has it: times as text, all else as it is."""
    if not isinstance(value, datetime.datetime):
        return value
    fraction = f".{value.microsecond:06d}".removesuffix("000") if value.microsecond else ""
    return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def gold_faults(job, table, kept):
    """Rows of a gold table against the records of its topic: the JSON, and the key by its `by` columns."""
    wanted = collections.Counter()
    for row in common.tables.read_delta(job.lake, table).to_pylist():
        wanted[tuple(sorted((k, repr(text(v))) for k, v in row.items()))] += 1
    got = collections.Counter(tuple(sorted((k, repr(v)) for k, v in row.items())) for row in parsed(kept, table, job))
    faults = differences(table, wanted, got)
    by = {"gold/by_kind": ["kind"], "gold/by_user": ["user", "kind"]}[table]
    for _, _, key, value, _, _ in kept:
        row = json.loads(value)
        cells = [row[b] for b in by]
        expected = (None if cells[0] is None else str(cells[0]).encode()) if len(by) == 1 else \
            json.dumps(cells, separators=(",", ":"), ensure_ascii=False).encode()
        if key != expected:
            faults.append(f"{table}: the key is {key!r}, expected {expected!r}")
            break
    return faults


def parsed(kept, table, job):
    """The rows as Python values of the table's types, decimals with all their digits."""
    types = {f.name: str(f.type) for f in common.tables.read_delta(job.lake, table).schema}

    def typed(name, value):
        if value is None:
            return None
        return decimal.Decimal(value) if types[name].startswith("decimal") else float(value) if types[name] == "double" else value
    for row in topics.rows(kept):
        yield {k: typed(k, v) for k, v in row.items()}


def received_faults(job, table, kept, headers=True):
    """Late rows and dead letters: key and value as received, where they come from, the original headers before ours."""
    wanted, got = collections.Counter(), collections.Counter()
    rows = common.tables.read_delta(job.lake, f"quarantine/{job.stream}" if table == "quarantine" else table).to_pylist()
    for row in rows:
        place, _, partition = row["_shard"].rpartition("/")
        original = tuple((k, v) for k, v in json.loads(row["headers"] or "[]"))
        tail = (row["stage"], row["reason"]) if table == "quarantine" else (
            "late", text(row["window_start"]), text(row["window_end"]), text(row["event_time"]))
        wanted[(row["key"], row["value"], place or partition, partition if place else None, str(row["_position"]), original, tail)] += 1
    for _, _, key, value, headers, _ in kept:
        names = ["weir-stage", "weir-reason"] if table == "quarantine" else ["weir-stage", "weir-window-start", "weir-window-end", "weir-event-time"]
        original = tuple((k, None if v is None else v.decode()) for k, v in headers if not k.startswith("weir-"))
        got[(key, value, topics.last(headers, "weir-topic"), topics.last(headers, "weir-partition"), topics.last(headers, "weir-offset"),
             original, tuple(topics.last(headers, n) for n in names))] += 1
    return differences(table, wanted, got)


def differences(table, wanted, got):
    missing, extra = wanted - got, got - wanted
    faults = []
    for what, rows in (("missing in", missing), ("not expected in", extra)):
        if rows:
            faults.append(f"{sum(rows.values())} of {sum(wanted.values())} rows are {what} the topic of {table}, such as {sorted(rows, key=repr)[0]}")
    return faults


def sink_faults(job, part, address):
    """(faults, repeats, rows) of all topics."""
    faults, repeated, total = [], 0, 0
    for table in TABLES:
        kept, repeats, wrong = topics.once(topics.read(address, topic(table, part)))
        repeated, total = repeated + repeats, total + len(kept)
        faults += wrong + (gold_faults(job, table, kept) if table.startswith("gold/") else received_faults(job, table, kept))
    return faults, repeated, total


# -- Claims

def replayed(suite):
    """A replay publishes gold rows, late rows and dead letters; over kill -9 a consumer that goes by the headers has each once"""
    part = "replayed"
    with Broker(sink_topics(part)) as b:
        job = common.Job(suite, suite.path(part), "synthetic", common.synthetic(suite.arguments.seed, RECORDS_QUICK if suite.quick else RECORDS),
                         flush="16KiB", change=sinks(part, b.address, compression="lz4"))
        job.stream = "synthetic"
        kills, struck = 5 if suite.quick else 20, 0
        for _ in range(kills):
            process = job.start()
            before = len(job.entries())
            broker.wait("the replay commits", lambda: len(job.entries()) > before + 2 or process.poll() is not None, 60)
            time.sleep(suite.random.random() * 0.1)
            struck += process.poll() is None
            process.kill()
            process.communicate()
        end = job.replay()
        faults, repeats, rows = sink_faults(job, part, b.address)
        suite.claim(f"{replayed.__doc__} ({kills} kills)", end.fault() + job.faults() + faults + ([] if struck else ["every run had ended before its kill"]))
        suite.note(f"{rows} rows, {repeats} repeats by {struck} kills")
        again = job.replay()
        faults, more, _ = sink_faults(job, part, b.address)
        suite.claim("run again it publishes nothing more", again.fault() + faults + ([f"{more - repeats} more repeats"] if more != repeats else []))


def publishing(suite, part, b, source):
    """A job that reads `source` and publishes, and the stream that goes there."""
    def change(spec):
        live(source)(spec)
        sinks(part)(spec)
    job = common.Job(suite, suite.path(part), "synthetic", [], change=change)
    job.stream = "synthetic"
    return job, Stream(suite, job, b.address, source, 6000 if suite.quick else RECORDS)


def lived(suite):
    """Live: the topics hold the rows of the tables over kill -9 of the worker; dead letters have the original headers and partitions"""
    part, source = "lived", f"lived-{os.getpid()}"
    with Broker({source: PARTITIONS, **sink_topics(part)}) as b:
        job, stream = publishing(suite, part, b, source)
        kills = 2 if suite.quick else 6
        worker = Worker(job, b.address).begin()
        for _ in range(kills):
            stream.land(job, len(stream.lines) // (kills + 1), workers=[worker])
            time.sleep(suite.random.random() * 0.5)
            worker.kill()
            worker = Worker(job, b.address).begin()
        stream.send()
        stream.close_windows()
        broker.wait("all records committed", lambda: broker.committed(job) >= len(stream.records) or not worker.is_running, 120)
        faults = worker.stop()
        found, repeats, rows = sink_faults(job, part, b.address)
        suite.claim(f"{lived.__doc__} ({kills} kills)", faults + broker.faults(job, stream.records) + found)
        suite.note(f"{rows} rows, {repeats} repeats")


def shared(suite):
    """Three workers and topics: the one that publishes is killed, the next one stopped; each row is there once by the headers"""
    part, source = "shared", f"shared-{os.getpid()}"
    with Broker({source: PARTITIONS, **sink_topics(part)}) as b:
        job, stream = publishing(suite, part, b, source)
        stream.send(500)
        workers = [Worker(job, b.address) for _ in range(3)]
        broker.wait("each worker has partitions", lambda: all(drivers.held(w) for w in workers), 90)
        faults, published = [], []
        for end in ("kill", "stop"):
            stream.land(job, len(stream.lines) // 3, 180)
            # Who has the ledger's first lane has the merge lane, and publishes.
            broker.wait("somebody has the first lane", lambda: leader(workers, source), 180)
            worker = leader(workers, source)
            published.append(worker.number)
            workers.remove(worker)
            faults += worker.stop() if end == "stop" else worker.kill() or []
        workers.append(Worker(job, b.address))
        stream.send()
        faults += drivers.finish(job, stream, workers)
        found, repeats, rows = sink_faults(job, part, b.address)
        suite.claim(shared.__doc__, faults + found + ([] if len(set(published)) == 2 else [f"the same worker published twice: {published}"]))
        suite.note(f"{rows} rows, {repeats} repeats")


def leader(workers, source):
    return next((w for w in workers if w.is_running and f"{source}/0" in drivers.held(w)), None)


def decided(suite):
    """`weir replay --decisions` of a live run that published makes its data files again, byte for byte, and publishes nothing"""
    import captures_are_exact as capture
    part, source = "decided", f"decided-{os.getpid()}"
    with Broker({source: PARTITIONS, **sink_topics(part)}) as b:
        def change(spec):
            live(source)(spec)
            sinks(part, b.address)(spec)
        job = common.Job(suite, suite.path(part), "synthetic", [], change=change)
        job.stream = "synthetic"
        out = suite.path(f"{part}-capture")
        recording = capture.Capture(suite, out, b.address, source)
        stream = Stream(suite, job, b.address, source, 4000)
        stream.send()
        faults = drivers.finish(job, stream, [Worker(job, b.address).begin()])
        recording.wait_for(len(stream.records))
        faults += recording.stop()

        def lengths():
            return {t: len(topics.read(b.address, topic(t, part))) for t in TABLES}
        found, _, rows = sink_faults(job, part, b.address)
        before = lengths()
        again, run = capture.replay(job, suite.path(f"{part}-again"), out, "--decisions", job.lake)
        faults += found + run.fault() + capture.entries_differ(job, again)
        faults += [] if capture.contents.data_files(job) == capture.contents.data_files(again) else ["data files differ"]
        faults += [] if before == lengths() and rows else [f"{before} records, then {lengths()}"]
        suite.claim(decided.__doc__, faults)


def away(suite):
    """A sink broker that hangs is waited for: the ledger stops within the bound, and nothing is missing when it is back"""
    part, behind = "away", 4
    with Broker({**sink_topics(part), **sink_topics("stopped"), **sink_topics("held")}) as b:
        if not b.process:
            return suite.note("not shown on an external cluster: a broker that hangs")
        job = common.Job(suite, suite.path(part), "synthetic", common.synthetic(suite.arguments.seed, RECORDS_QUICK),
                         flush="16KiB", change=sinks(part, b.address, behind=str(behind)))
        job.stream = "synthetic"
        b.process.send_signal(signal.SIGSTOP)
        process = job.start()
        broker.wait("the ledger begins", lambda: len(job.entries()) > behind or process.poll() is not None, 60)
        stood = len(job.entries())
        time.sleep(3)
        held = len(job.entries())
        faults = [] if process.poll() is None else [f"it ended: {process.communicate()[1][-500:]}"]
        # Entry 0, those that it may be behind, and one that was under way.
        if held > behind + 2:
            faults.append(f"{held} entries while no topic had any: more than {behind} behind")
        b.process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=120)
        faults += [f"ended with {process.returncode}: {err[-500:]}"] if process.returncode else []
        found, repeats, rows = sink_faults(job, part, b.address)
        suite.claim(away.__doc__, faults + job.faults() + found)
        suite.note(f"{stood}, after 3 s {held} entries while it hung, {len(job.entries())} at the end; {rows} rows, {repeats} repeats")
        stopped(suite, b)


def stopped(suite, b):
    """A replay that is interrupted while its topics are not complete says so by its exit code, and the next one completes them, also if
    it stood still because they were too far behind"""
    faults, rows = [], 0
    # Far from the bound of entries that a topic may be behind; and at it, where commits wait.
    for part, events, options, entries in ("stopped", 500, {}, 3), ("held", 5000, {"behind": "2"}, 4):
        job = common.Job(suite, suite.path(part), "synthetic", common.synthetic(suite.arguments.seed, events),
                         flush="16KiB" if options else None, change=sinks(part, b.address, **options))
        job.stream = "synthetic"
        b.process.send_signal(signal.SIGSTOP)
        process = job.start()
        try:
            broker.wait("the replay commits", lambda: len(job.entries()) >= entries or process.poll() is not None, 60)
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
            faults += [] if process.returncode == 130 else [f"{part}: ended with {process.returncode}: {err[-500:]}"]
        except subprocess.TimeoutExpired:
            faults.append(f"{part}: not ended 60 s after SIGINT")
            process.kill()
            process.communicate()
        b.process.send_signal(signal.SIGCONT)
        again = job.replay()
        found, _, sent = sink_faults(job, part, b.address)
        faults += again.fault() + found + ([] if sent else [f"{part}: no rows, this shows nothing"])
    suite.claim(" ".join(stopped.__doc__.split()), faults)


def foreign(suite):
    """Records of kcat and confluent-kafka (headers; gzip, snappy, lz4, zstd, none) land as they were sent, and both see no lag after"""
    import confluent_kafka as ck
    source = f"foreign-{os.getpid()}"
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    with Broker({source: 1}) as b:
        def change(spec):
            live(source, misplaced="merge")(spec)
            spec["bronze"] = {}
        job = common.Job(suite, suite.path("foreign"), "synthetic", [], change=change)
        wanted = []
        for codec in codecs:
            producer = ck.Producer({"bootstrap.servers": b.address, "compression.type": codec, "linger.ms": 50, "log_level": 2})
            for i in range(50):
                value = json.dumps({"id": f"{codec}{i}", "user": "u", "t": i, "kind": "view", "note": "x" * 200}).encode()
                headers = [("from", b"python"), ("codec", codec.encode())]
                producer.produce(source, value, b"u", partition=0, headers=headers, timestamp=i + 1)
                wanted.append((b"u", value, [[k, v.decode()] for k, v in headers]))
            producer.flush(30)
            value = json.dumps({"id": f"kcat-{codec}", "user": "k", "t": 60, "kind": "view", "note": "y" * 300})
            command = ["kcat", "-P", "-b", b.address, "-t", source, "-p", "0", "-k", "kk", "-H", "from=kcat", "-H", f"codec={codec}", "-z", codec]
            run = subprocess.run(command, input=value, capture_output=True, text=True, timeout=60)
            if run.returncode:
                return suite.claim(foreign.__doc__, f"kcat with {codec} ended with {run.returncode}: {run.stderr[-300:]}")
            wanted.append((b"kk", value.encode(), [["from", "kcat"], ["codec", codec]]))
        # Timestamps of no year that a calendar has: microseconds or nanoseconds by mistake, and what overflows as microseconds.
        odd = (253_402_300_800_000, 9_223_372_036_854_775, 9_223_372_036_854_776, 9_224_372_036_854_776, 1 << 62, (1 << 63) - 1)
        for i, timestamp in enumerate(odd):
            value = json.dumps({"id": f"odd{i}", "user": "u", "t": 55, "kind": "view"}).encode()
            producer.produce(source, value, b"u", partition=0, timestamp=timestamp)
            wanted.append((b"u", value, []))
        producer.flush(30)
        worker = Worker(job, b.address).begin()
        broker.wait("all committed", lambda: broker.committed(job) >= len(wanted) or not worker.is_running, 60)
        faults = worker.stop()
        rows = sorted(common.tables.read_delta(job.lake, "bronze/synthetic").to_pylist(), key=lambda r: r["_position"])
        got = [(r["key"], r["value"], json.loads(r["headers"] or "[]")) for r in rows]
        if got != wanted:
            at = next((i for i, (x, y) in enumerate(zip(got, wanted)) if x != y), min(len(got), len(wanted)))
            faults.append(f"{len(got)} rows, {len(wanted)} sent; the first that differs is {at}: {got[at:at + 1]} instead of {wanted[at:at + 1]}")
        told = [(r["_source"], r["_arrival"].year) for r in rows[-len(odd):]]
        suite.claim("a timestamp beyond the year 9999 does not count as an arrival: the record counts by its event time",
                    [] if told == [("event_time", 1970)] * len(odd) else f"source and year of their arrivals: {told}")
        suite.claim(foreign.__doc__.replace(", and both see no lag after", ""), faults)
        suite.claim("confluent-kafka and kcat see the right lag: none after the last commit, 7 after 7 more records", lag_faults(b, source, source))


def lag_faults(b, source, group):
    """Committed offset of the group against the topic's end, by confluent-kafka; the end also by kcat."""
    import confluent_kafka as ck

    def lag():
        consumer = ck.Consumer({"bootstrap.servers": b.address, "group.id": group, "log_level": 2})
        committed = consumer.committed([ck.TopicPartition(source, 0)], timeout=20)[0].offset
        _, end = consumer.get_watermark_offsets(ck.TopicPartition(source, 0), timeout=20)
        consumer.close()
        # The offset of the last record, from kcat's own reading.
        run = subprocess.run(["kcat", "-C", "-b", b.address, "-t", source, "-p", "0", "-o", "-1", "-c", "1", "-e", "-f", "%o"],
                             capture_output=True, text=True, timeout=60)
        return end - committed, int(run.stdout) + 1 - committed
    faults = [] if lag() == (0, 0) else [f"lag after the last commit: {lag()}"]
    producer = ck.Producer({"bootstrap.servers": b.address, "log_level": 2})
    for _ in range(7):
        producer.produce(source, b"{}", partition=0)
    producer.flush(30)
    return faults + ([] if lag() == (7, 7) else [f"after 7 records: {lag()}"])


def kcat_reads(suite):
    """kcat reads the topics: keys, JSON values, headers"""
    part = "kcat"
    with Broker(sink_topics(part)) as b:
        job = common.Job(suite, suite.path(part), "synthetic", common.synthetic(suite.arguments.seed, 2000), change=sinks(part, b.address, compression="zstd"))
        faults = job.replay().fault()
        name = topic("gold/by_kind", part)
        run = subprocess.run(["kcat", "-C", "-b", b.address, "-t", name, "-o", "beginning", "-e", "-q", "-f", "%k|%h|%s\\n"],
                             capture_output=True, text=True, timeout=60)
        seen = collections.Counter()
        for line in run.stdout.splitlines():
            key, headers, value = line.split("|", 2)
            fields = dict(h.split("=", 1) for h in headers.split(","))
            if json.loads(value)["kind"] != key or fields["weir-table"] != "gold/by_kind":
                faults.append(f"not as it should be: {line[:300]}")
            seen[int(fields["weir-entry"]), int(fields["weir-row"])] += 1
        rows = common.tables.read_delta(job.lake, "gold/by_kind").num_rows
        if len(seen) != rows or max(seen.values(), default=0) != 1:
            faults.append(f"{len(seen)} rows read, the table has {rows}; each {set(seen.values())} times")
        suite.claim(kcat_reads.__doc__, faults)


# -- Schema registries

def registry_pipeline(suite, name, source, url, form, fields, key="user", **registry):
    """A live pipeline of records with schemas: bronze and silver of all fields."""
    directory = suite.path(name)
    os.makedirs(directory, exist_ok=True)
    spec = {
        "pipeline": name, "source": {"kafka": {"brokers": "127.0.0.1:1", "topic": source, "stream": "orders", "group": source,
                                               "session": "6s", "misplaced": "merge"}},
        "record": {"format": form, "registry": {"url": url, **registry}, "key": key, "time": {"field": "t", "max_ahead": "36500d"}, "fields": fields},
        "bronze": {}, "silver": {"columns": "*"}, "lake": {"flush": {"every": "300ms"}}}
    path = os.path.join(directory, "orders.yaml")
    with open(path, "w") as f:
        common.yaml.safe_dump(spec, f, sort_keys=False)
    job = common.Job.__new__(common.Job)
    job.suite, job.directory, job.pipeline, job.name, job.stream = suite, directory, path, name, "orders"
    job.lake, job.store = os.path.join(directory, "lake"), os.path.join(directory, "store")
    return job


def landed(job):
    """(rows of silver by id, rows of quarantine in the order of their positions)"""
    silver = {r["id"]: r for r in common.tables.read_delta(job.lake, "silver/orders").to_pylist()}
    bad = sorted(common.tables.read_delta(job.lake, "quarantine/orders").to_pylist(), key=lambda r: r["_position"])
    return silver, bad


def avro(suite):
    """Avro of every type, by fastavro and by confluent-kafka's serialiser (prefix and header form), through versions of the schema"""
    import confluent_kafka as ck
    import avro_orders as orders
    from confluent_kafka.schema_registry import SchemaRegistryClient, header_schema_id_serializer
    from confluent_kafka.schema_registry.avro import AvroSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext
    from registry import Registry
    source, n = f"avro-{os.getpid()}", 400 if suite.quick else 4000
    os.environ["WEIR_TEST_REGISTRY_PASSWORD"], os.environ["WEIR_TEST_REGISTRY_USER"] = "s3cret-of-the-registry", "reader"
    with Broker({source: 1}) as b, Registry("reader", "s3cret-of-the-registry", tls=suite.directory) as r:
        job = registry_pipeline(suite, "avro", source, r.url, "avro", orders.FIELDS, user={"env": "WEIR_TEST_REGISTRY_USER"},
                                password={"env": "WEIR_TEST_REGISTRY_PASSWORD"}, tls={"ca": r.ca})
        ids = {v: r.add("orders-value", json.dumps(s)) for v, s in
               {"v1": orders.V1, "v2": orders.V2, "no_unit": orders.NO_UNIT, "no_id": orders.NO_ID, "scalar": orders.SCALAR}.items()}
        ids["json"] = r.add("other-value", '{"type": "object"}', "JSON")
        client = SchemaRegistryClient({"url": r.url, "ssl.ca.location": r.ca, "basic.auth.user.info": "reader:s3cret-of-the-registry"})
        forms = {"prefix": AvroSerializer(client, json.dumps(orders.V1)),
                 "header": AvroSerializer(client, json.dumps(orders.V1), conf={"schema.id.serializer": header_schema_id_serializer})}
        producer = ck.Producer({"bootstrap.servers": b.address, "log_level": 2})
        rng = random.Random(suite.arguments.seed)
        wanted, bad, sent = {}, [], []

        def send(value, headers=None):
            producer.produce(source, value, b"k", partition=0, headers=headers, timestamp=1)
            sent.append(value)

        def frame(version, body):
            return b"\0" + ids[version].to_bytes(4, "big") + body
        for i in range(n):
            value, way = orders.order(rng, i), rng.choice(["fastavro", "prefix", "header", "v2"])
            schema = orders.V2 if way == "v2" else orders.V1
            body = orders.encode(schema, value)
            if way in forms:
                headers = []
                send(forms[way](value, SerializationContext(source, MessageField.VALUE, headers)), headers or None)
            else:
                send(frame("v2" if way == "v2" else "v1", body))
            expected = orders.row(schema, body)
            if expected is None:
                bad.append("either")
            else:
                wanted[expected["id"]] = expected
        # One that would land: its union has a branch that the pipeline takes.
        good = next(body for i in range(n, n + 1000) if orders.row(orders.V1, body := orders.encode(orders.V1, orders.order(rng, i))) is not None)
        for value, reason in [
                (frame("v1", good[:-1]), "is cut off"), (frame("v1", good + b"x"), "after the record"),
                (b"\0\0\0\x27\x0f" + good, "schema 9999"), (good, "names no schema"), (b"", "names no schema"),
                (None, "no value"), (frame("no_unit", b"\x02a\x02"), "declare timestamp_ms"), (frame("no_id", b"\x02"), "no field id"),
                (frame("scalar", b"\x02a"), "not a record"), (frame("json", b"{}"), "type JSON"),
                (b"\x01" + bytes(16) + good, "00000000-0000-0000-0000-000000000000")]:
            send(value)
            bad.append(reason)
        # A branch of the union is reported in the order of the records: those came before.
        producer.flush(30)
        worker = Worker(job, b.address).begin()
        total = n + 11
        broker.wait("all committed", lambda: broker.committed(job) >= total or not worker.is_running, 60)
        faults = worker.stop()
        silver, rejected = landed(job)
        for i in wanted.keys() | silver.keys():
            got = {k: silver[i][k] for k in orders.FIELDS} if i in silver else None
            if got != wanted.get(i):
                differs = [k for k in orders.FIELDS if got and i in wanted and got[k] != wanted[i][k]]
                faults.append(f"{i}: {differs or 'here or there only'}: " + "; ".join(f"{k} is {got[k]!r}, expected {wanted[i][k]!r}" for k in differs[:3]))
        rows = sorted(common.tables.read_delta(job.lake, "bronze/orders").to_pylist(), key=lambda row: row["_position"])
        faults += [] if [row["value"] for row in rows] == sent else ["bronze does not hold the values as they were sent"]
        suite.claim(f"{avro.__doc__}: {len(wanted)} rows equal fastavro's", faults)
        faults = [f"{len(rejected)} dead letters, expected {len(bad)}"] if len(rejected) != len(bad) else []
        faults += [f"the reason {row['reason']!r} does not say {word!r}" for row, word in zip(rejected, bad) if word not in row["reason"]]
        suite.claim("other values are quarantined with the reason: truncated, too long, unknown id, no id, other types, branches", faults)
        everything = "".join(open(p, errors="replace").read() for p in (worker.out, worker.err))
        kept = [os.path.join(d, f) for d, _, files in os.walk(job.lake) for f in files]
        leaks = [p for p in kept if b"s3cret-of-the-registry" in open(p, "rb").read()] + (["the worker's talk"] if "s3cret" in everything else [])
        suite.claim("user and password reach the registry over TLS, and no file and no message",
                    leaks + ([] if r.asked else ["nobody asked"]) + ([f"{r.refused} requests refused"] if r.refused else []))
        asked = collections.Counter(path for method, path in r.asked if method == "GET" and path.startswith("/schemas/"))
        most = {p: c for p, c in asked.items() if c > 3}
        suite.claim("each schema is asked for once; an unknown one thrice", [f"{p} was asked {c} times" for p, c in most.items()])
        again(suite, b, job, source, r, wanted)


def again(suite, b, job, source, r, wanted):
    """Law 3: with the pinned schemas of the first lake another lake gets the same rows, without a registry"""
    import shutil
    r.is_down = True
    first = job.lake
    job.lake, job.store = first + "2", job.store + "2"
    pins = os.path.join("_weir", job.name, "schemas")
    shutil.copytree(os.path.join(first, pins), os.path.join(job.lake, pins))
    asked = len(r.asked)
    worker = Worker(job, b.address).begin()
    total = common.tables.totals(common.tables.entries(first, job.name))[2]
    broker.wait("all committed", lambda: broker.committed(job) >= total or not worker.is_running, 60)
    faults = worker.stop() + ([f"asked {r.asked[asked:][:3]}"] if len(r.asked) > asked else [])
    for table in ("silver/orders", "quarantine/orders"):
        x, y = [sorted(repr({k: v for k, v in row.items() if k != "_run_id"}) for row in common.tables.read_delta(lake, table).to_pylist())
                for lake in (first, job.lake)]
        faults += [] if x == y else [f"{table}: {len(set(x) ^ set(y))} rows differ"]
    suite.claim(again.__doc__, faults)


def json_schema(suite):
    """JSON after the id of a JSON Schema, by confluent-kafka's serialiser; if the registry is down, Weir retries and nothing is lost"""
    import confluent_kafka as ck
    from confluent_kafka.schema_registry import SchemaRegistryClient, header_schema_id_serializer
    from confluent_kafka.schema_registry.json_schema import JSONSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext
    from registry import Registry
    source = f"jsonschema-{os.getpid()}"
    schema = {"title": "Order", "type": "object", "properties": {"id": {"type": "string"}, "t": {"type": "integer"}, "amount": {"type": ["number", "null"]}}}
    token = suite.path("token")
    with open(token, "w") as f:
        f.write("first\n")
    with Broker({source: 1}) as b, Registry() as r:
        job = registry_pipeline(suite, "jsons", source, r.url, "json-schema", {"id": "string!", "t": "timestamp_ms!", "amount": "decimal(12,2)"},
                                key="id", token={"file": token})
        client = SchemaRegistryClient({"url": r.url})
        producer = ck.Producer({"bootstrap.servers": b.address, "log_level": 2})
        ways = [JSONSerializer(json.dumps(schema), client),
                JSONSerializer(json.dumps(schema), client, conf={"schema.id.serializer": header_schema_id_serializer})]
        wanted = {}
        for i in range(200):
            headers, value = [], {"id": f"o{i}", "t": i, "amount": i / 4}
            producer.produce(source, ways[i % 2](value, SerializationContext(source, MessageField.VALUE, headers)), b"k", partition=0,
                             headers=headers or None, timestamp=1)
            wanted[f"o{i}"] = (i, f"{i / 4:.2f}")
        other = r.add("bad-value", json.dumps({**schema, "properties": {"id": {"type": "string"}, "t": {"type": "string"}}}), "JSON")
        producer.produce(source, b"\0" + other.to_bytes(4, "big") + b'{"id": "bad", "t": "x"}', b"k", partition=0, timestamp=1)
        producer.flush(30)
        r.token, r.is_down = "first", True
        worker = Worker(job, b.address).begin()
        broker.wait("the registry is asked while it is down", lambda: len([a for a in r.asked if a[0] == "GET"]) > 2 or not worker.is_running, 60)
        faults = [f"{broker.committed(job)} records are committed"] if broker.committed(job) else []
        faults += [] if worker.is_running and any(e["code"] == "unavailable" for e in worker.saw("trouble")) else [f"no trouble is reported: {worker.talk}"]
        r.is_down = False
        broker.wait("all committed", lambda: broker.committed(job) >= 201 or not worker.is_running, 60)
        faults += worker.stop()
        silver, rejected = landed(job)
        got = {i: (int(row["t"].timestamp() * 1000 + 0.5), str(row["amount"])) for i, row in silver.items()}
        if got != wanted:
            faults.append(f"{len(got)} rows, {len(wanted)} expected; differ: {[i for i in wanted if got.get(i) != wanted[i]][:5]}")
        if [row["reason"] for row in rejected] != [f"schema {other}: t is string there, which cannot be read as timestamp"] or rejected[0]["stage"] != "schema":
            faults.append(f"quarantined: {[(row['stage'], row['reason']) for row in rejected]}")
        suite.claim(json_schema.__doc__, faults)
        r.token = "second"
        refused = registry_pipeline(suite, "refused", source, r.url, "json-schema", {"id": "string!", "t": "timestamp_ms!"}, key="id", token={"file": token})
        worker = Worker(refused, b.address)
        broker.wait("the worker ends", lambda: not worker.is_running, 90)
        suite.claim("a registry that refuses stops the worker with advice",
                    [] if worker.process.returncode == 1 and "token" in worker.talk and "first" not in worker.talk else [f"{worker.process.returncode}: {worker.talk}"])


def main():
    suite = common.Suite("other_tools_agree", 900, __doc__)
    suite.run(replayed, away, foreign, kcat_reads, lived, shared, decided, avro, json_schema)


if __name__ == "__main__":
    main()
