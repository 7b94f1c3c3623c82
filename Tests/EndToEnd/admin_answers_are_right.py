#!/usr/bin/env python3
"""A worker that can be lived with: probes, metrics, questions, drain, logs; each answer against a reading that is not weir's own."""
import contextlib
import ctypes
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

import yaml

import common
import broker
import confluent_kafka
import deploy
import live_workers_equal_reference as drivers
import live
from readings import by, compare, samples, settled
from broker import Broker, Worker

RECORDS, RECORDS_QUICK = 30_000, 8_000
PARTITIONS = 4
TOPIC = f"admin-{os.getpid()}"
SECRET = "correct-horse-battery-staple"
SPAN = "00f067aa0ba902b7"


def trace(number):
    return f"4bf92f3577b34da6{number + 1:016x}"


class Watched(Worker):
    """A worker with an admin server on a free port."""

    def __init__(self, job, address, *more, environment=None):
        super().__init__(job, address, "--admin", "127.0.0.1:0", "--log-format", "json", *more, environment=environment)
        broker.wait("the admin server", lambda: self.port or not self.is_running, 60)
        if not self.is_running:
            raise RuntimeError(f"the worker ended: {self.talk}")

    @property
    def lines(self):
        """The log's lines; a line that is not a JSON object is a fault."""
        with open(self.err) as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    @property
    def text(self):
        with open(self.err) as f, open(self.out) as g:
            return f.read() + g.read()

    @property
    def port(self):
        said = [e["address"] for e in self.lines if e.get("event") == "admin"]
        return int(said[0].rsplit(":", 1)[1]) if said else None

    def ask(self, path, method="GET", headers=None):
        """(status, body); status 0 if there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=common.PATIENCE)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def get(self, path):
        status, body = self.ask(path)
        return status, json.loads(body) if body else None

    def metrics(self):
        return samples(self.ask("/metrics")[1])


def positions(job):
    """By shard, from the ledger's files."""
    found = {}
    for entry in job.entries():
        for lane in entry["lanes"]:
            if lane["lane"] != "_merge":
                found[lane["lane"]] = lane
    return found


def ends(address):
    """By shard, asked of the broker by another client."""
    client = confluent_kafka.Consumer({"bootstrap.servers": address, "group.id": "lag-tool"})
    try:
        return {f"{TOPIC}/{p}": client.get_watermark_offsets(confluent_kafka.TopicPartition(TOPIC, p), 10)[1] for p in range(PARTITIONS)}
    finally:
        client.close()


def expected_lag(job, address):
    there, now = positions(job), ends(address)
    return {s: end - int(there[s]["to"]) if s in there else end for s, end in now.items()}


class TracedStream(drivers.Stream):
    """The synthetic events, with traces; every fifth one is none."""

    def send(self, count=None):
        end = len(self.lines) if count is None else min(len(self.lines), self.at + count)
        for i in range(self.at, end):
            line = self.lines[i]
            headers = [("traceparent", f"00-{trace(i)}-{SPAN}-01".encode()), ("other", b"x")] if i % 5 else [("traceparent", b"00-no-trace-01")]
            self.producer.send(self.topic, line, self.key(line), timestamp=max(1, i * 20 - 300_000), headers=headers)
        self.at = end
        self.producer.flush()
        return self


def change(every, **worker):
    def edit(spec):
        drivers.live(TOPIC)(spec)
        del spec["source"]["kafka"]["options"]
        spec["lake"]["flush"] = {"every": every, "bytes": "64MiB"}
        spec["worker"] = {"drain": "30s", "stall": "2s", "dead": "5s", **worker}
    return edit


def make(suite, name, every="300ms", **worker):
    return common.Job(suite, suite.path(name), "synthetic", [], change=change(every, **worker))


def begin(job, address):
    """A worker that reads: one that waits for its group in vain is replaced, see broker.Worker.begin."""
    worker = Watched(job, address)
    for _ in range(3):
        with contextlib.suppress(RuntimeError):
            broker.wait("ready", lambda: worker.ask("/ready")[0] == 200 or not worker.is_running, 60)
            return worker
        print(f"       worker {worker.number} got no answer from its group, and is replaced", flush=True)
        worker.kill()
        worker = Watched(job, address)
    raise RuntimeError("no worker gets an answer from its group")


# -- Claims

def starting(suite):
    """While it starts: live, not started, not ready; no secret shows"""
    job = make(suite, "starting")
    with open(job.pipeline) as f:
        spec = yaml.safe_load(f)
    spec["source"]["kafka"]["sasl"] = {"mechanism": "PLAIN", "user": {"env": "WEIR_TEST_USER"}, "password": {"env": "WEIR_TEST_SECRET"}}
    spec["source"]["kafka"]["options"] = {"debug": "security,broker,conf"}
    with open(job.pipeline, "w") as f:
        yaml.safe_dump(spec, f)
    os.environ |= {"WEIR_TEST_USER": "somebody", "WEIR_TEST_SECRET": SECRET}
    # A server that takes connections and says nothing: the client waits for it.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        worker = Watched(job, f"127.0.0.1:{silent.getsockname()[1]}", "--log-level", "debug")
        wanted = {"/live": 200, "/started": 503, "/ready": 503, "/metrics": 200, "/lanes": 200, "/scale": 503, "/state/users/x": 404,
                  "/drain": 405, "/nothing": 404, "/%zz": 400, "/": 200}
        answers = {path: worker.ask(path) for path in wanted}
        faults = [f"{p} answers {a[0]}, expected {wanted[p]}: {a[1][:200]}" for p, a in answers.items() if a[0] != wanted[p]]
        faults += [] if by(worker.metrics(), "weir_worker_phase", "phase").get("starting") == 1 else ["weir_worker_phase is not starting"]
        settled("", lambda: [] if '"event":"kafka"' in worker.text else ["no line of the client yet"])
        worker.kill()
    said = worker.text + "".join(a[1] for a in answers.values())
    suite.claim(starting.__doc__, faults + (["the password shows"] if SECRET in said else []) + ([] if '"event":"kafka"' in said else ["the client logged nothing, so nothing is shown"]))


def wrong(suite):
    """What is set wrongly is refused by name, and a port in use too"""
    job, faults = make(suite, "wrong"), []

    def run(*more, edit=None):
        path = job.pipeline
        if edit:
            path = common.derive(job.pipeline, suite.path("wrong", "edited"), change=edit) if os.makedirs(
                suite.path("wrong", "edited"), exist_ok=True) is None else None
        return common.Result([suite.weir, "run", path, "--brokers", "127.0.0.1:1", "--lake", job.lake, "--store", job.store, *more])

    for address in ("nonsense", "127.0.0.1:99999", "1.2.3.4:x", "a b:1"):
        faults += [f"--admin {address!r}: {f}" for f in run("--admin", address).refusal_fault("HOST:PORT", "listen")]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        faults += run("--admin", f"127.0.0.1:{port}").refusal_fault(f"127.0.0.1:{port}")
    sections = [({"admin": {"listen": "1.2.3.4:x"}}, "admin.listen"), ({"admin": {"port": 1}}, "unknown key"),
                ({"worker": {"stall": "10s", "dead": "1s"}}, "worker.dead"), ({"worker": {"drain": "soon"}}, "worker.drain")]
    for section, words in sections:
        result = run(edit=lambda spec: spec.update(section))
        faults += [f"{section}: {f}" for f in result.refusal_fault(words)] + ([] if result.code == 2 else [f"{section}: ended with {result.code}"])
    log = run("--log-format", "json", "--admin", "1.2.3.4:x")
    with contextlib.suppress(ValueError):
        line = json.loads(log.err)
        faults += [] if line["level"] == "error" and line["code"] == "config" and log.code == 2 else [f"as JSON: {line}"]
        log = None
    suite.claim(wrong.__doc__, faults + ([f"no JSON line: {log.talk}"] if log else []))


def readings(suite):
    """The readings of a running worker"""
    with Broker({TOPIC: PARTITIONS}) as b:
        job = make(suite, "readings")
        stream = TracedStream(suite, job, b.address, TOPIC, RECORDS_QUICK if suite.quick else RECORDS)
        stream.send(len(stream.lines) // 2)
        worker = begin(job, b.address)
        stream.send()
        stream.close_windows(PARTITIONS)
        broker.wait("all committed", lambda: broker.committed(job) >= len(stream.records) or not worker.is_running, 120)
        reference = live.compute(job.pipeline, stream.records)
        counted(suite, job, worker, stream, reference, b.address)
        rows(suite, job, worker, reference)
        texts(suite, worker)
        logged(suite, worker, stream)
        behind(suite, job, worker, stream, b.address)
        drained(suite, job, worker, stream)


def counted(suite, job, worker, stream, reference, address):
    sent = {f"{TOPIC}/{p}": 0 for p in range(PARTITIONS)}
    for record in stream.records:
        sent[record.shard] += 1
    out = {t: t_rows.rows.num_rows for t, t_rows in reference.tables.items()
           if t_rows.rows.num_rows and not t.startswith("state/")}

    def faults():
        m = worker.metrics()
        lanes = positions(job)
        watermarks = {s: lane["watermark"] / 1e6 for s, lane in lanes.items() if isinstance(lane["watermark"], int)}
        late = sum(by(m, "weir_records_late_total", "table").values())
        total = common.tables.totals(job.entries())
        return (compare(by(m, "weir_input_records_total", "shard"), sent)
                + compare(by(m, "weir_records_committed_total", "bucket"), reference.buckets)
                + compare({k: v for k, v in by(m, "weir_output_rows_total", "table").items() if v}, out)
                + compare(by(m, "weir_watermark_timestamp_seconds", "shard"), watermarks)
                + compare(by(m, "weir_lag_records", "shard"), dict.fromkeys(sent, 0))
                + compare({"dlq": sum(by(m, "weir_records_quarantined_total", "stage").values())}, {"dlq": reference.buckets["quarantined"]})
                + compare({"late": late}, {"late": sum(w["late"] for w in total[1].values())})
                + compare({"lanes": m["weir_lanes_owned"][()], "ledger": m["weir_ledger_entry_number"][()], "lag": m["weir_pipeline_lag_records"][()]},
                          {"lanes": PARTITIONS, "ledger": job.entries()[-1]["number"], "lag": 0})
                + compare({"latency": by(m, "weir_end_to_end_latency_seconds_count", "to")["ledger"]}, {"latency": len(stream.records)}))
    suite.claim("metrics: records, buckets, rows, watermarks, lag, late rows and latency counts equal the reference's", settled("", faults))

    def listed():
        status, body = worker.get("/lanes")
        ledger = positions(job)
        got = {lane["shard"]: (lane["committed"], lane["end"], lane["lag"], lane["epoch"], lane["held"]) for lane in body["lanes"]}
        now = ends(address)
        wanted = {s: (int(lane["to"]), now[s], now[s] - int(lane["to"]), lane["epoch"], True) for s, lane in ledger.items()}
        sums = {b: sum(lane[b] for lane in body["lanes"]) for b in reference.buckets}
        return compare(got, wanted) + compare(sums, reference.buckets) + ([] if status == 200 else [f"status {status}"])
    suite.claim("/lanes: positions, epochs and buckets are those of the ledger's files, ends those that another client sees", settled("", listed))


def state_rows(suite, job):
    return common.tables.scan_lines(suite.weir, "flags", job.store), common.tables.scan_lines(suite.weir, "users", job.store)


def rows(suite, job, worker, reference):
    flags, users = state_rows(suite, job)
    faults = []
    wanted = {r["user"]: r for r in reference.tables["state/users"].rows.to_pylist()}
    for row in users[:40]:
        path = "/state/users" + ("?null=user" if row["user"] is None else "/" + urllib.parse.quote(row["user"], safe=""))
        status, got = worker.get(path)
        if status != 200:
            faults.append(f"{path} answers {status}: {got}")
            continue
        own = {k: v for k, v in row.items() if not k.startswith("_")}
        shown = {**got["key"], **got["row"]}
        shown = {k: common.tables.decimal.Decimal(str(v)) if isinstance(own[k], common.tables.decimal.Decimal) else v for k, v in shown.items()}
        fence = f"{got['fence']['generation']}:{got['fence']['position']}"
        faults += compare(shown, own) + compare({"fence": fence, "committed": got["committed"]}, {"fence": row["_fence"], "committed": row["_committed"]})
        if wanted[row["user"]]["rows"] != got["row"]["rows"]:
            faults.append(f"{row['user']}: rows {got['row']['rows']}, the reference has {wanted[row['user']]['rows']}")
    for row in flags[:10]:
        flag = "?null=flag" if row["flag"] is None else ""
        path = "/state/flags" + ("" if row["flag"] is None else f"/{str(row['flag']).lower()}") + f"/{row['kind']}" + flag
        status, got = worker.get(path)
        faults += [] if status == 200 and got["row"]["rows"] == row["rows"] else [f"{path} answers {status}: {got}"]
    wrong = {"/state/users/nobody-such": "no_row", "/state/user/x": "did you mean users", "/state/flags/x/view": "is bool, and 'x' is not",
             "/state/users": "needed", "/state/users/a/b": "needed"}
    for path, words in wrong.items():
        status, body = worker.ask(path)
        faults += [] if status == 404 and words in body else [f"{path} answers {status}: {body[:200]}"]
    suite.claim(f"/state: {min(40, len(users)) + min(10, len(flags))} rows with keys of all kinds equal `weir state scan`; wrong names are reported",
                faults + ([] if len(users) > 20 else ["there is hardly a row"]))


def loaded_librdkafka(pid):
    """The version of the library that a process has mapped."""
    with open(f"/proc/{pid}/maps") as f:
        path = next(line.split()[-1] for line in f if "librdkafka" in line)
    library = ctypes.CDLL(path)
    library.rd_kafka_version_str.restype = ctypes.c_char_p
    return library.rd_kafka_version_str().decode()


def texts(suite, worker):
    status, text = worker.ask("/metrics")
    suite.claim("promtool finds no fault in /metrics", deploy.promtool(suite, "check", "metrics", stdin=text))
    suite.claim("every metric is in Operations.md, and the other way round", deploy.documented(text))
    suite.claim("rules and dashboard name only metrics and labels that exist", deploy.names(text))
    suite.claim("/metrics?names=old has the old names that Operations.md lists, with as many samples as the new ones",
                deploy.renamed(text, worker.ask("/metrics?names=old")[1]))
    version = subprocess.run([suite.weir, "--version"], capture_output=True, text=True).stdout.split()[0]
    shown = dict(re.findall(r'(\w+)="([^"]*)"', re.search(r"^weir_build_info\{(.*)\} 1$", text, re.M)[1]))
    suite.claim("weir_build_info shows the pipeline, the version, and the librdkafka that the worker has loaded",
                compare(shown, {"pipeline": yaml.safe_load(open(worker.job.pipeline))["pipeline"], "version": version, "librdkafka": loaded_librdkafka(worker.process.pid)}))
    command = deploy.health_command()
    probe = {"live": subprocess.run(command, env={**os.environ, "WEIR_ADMIN_PORT": str(worker.port)}, capture_output=True).returncode,
             "nobody": subprocess.run(command, env={**os.environ, "WEIR_ADMIN_PORT": "1"}, capture_output=True).returncode and 1}
    suite.claim("the image's health check distinguishes a live worker from none", compare(probe, {"live": 0, "nobody": 1}))
    head = worker.ask("/metrics", "HEAD")
    post = worker.ask("/live", "POST")
    suite.claim("other methods are refused", compare({"head": head, "post": post[0]}, {"head": (200, ""), "post": 405}))


def logged(suite, worker, stream):
    told = [e for e in worker.lines if e.get("event") == "quarantined"]
    faults = [] if told else ["no quarantined record is in the log"]
    sent = {(r.shard, r.offset): re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01", r.headers[0][1].decode()) for r in stream.records if r.headers}
    for e in told:
        wanted = sent.get((e["shard"], e["position"]))
        faults += compare({"trace": e.get("trace_id"), "span": e.get("span_id")},
                          {"trace": wanted and wanted[1], "span": wanted and wanted[2]})
    faults += [] if [e for e in told if "trace_id" in e] else [f"none of {len(told)} lines has a trace"]
    faults += [f"more than the minutes' lines: {len(told)}"] if len(told) > 60 * 6 else []
    for e in told:
        faults += [] if {"time", "level", "message", "pipeline", "shard", "position", "stage", "reason"} <= set(e) else [f"incomplete: {e}"]
        faults += [f"a trace in {e}"] if ("trace_id" in e) != ("(trace" in e["message"]) else []
    rejected = {(r["_shard"], r["_position"]) for r in common.tables.read_delta(worker.job.lake, "quarantine/synthetic").select(["_shard", "_position"]).to_pylist()}
    faults += [f"{e['shard']} {e['position']} is not in quarantine" for e in told if (e["shard"], e["position"]) not in rejected]
    suite.claim("the log is JSON; it names quarantined records, where they are, and the traces of their headers", faults)


def behind(suite, job, worker, stream, address):
    """Lag: the worker sleeps while records come."""
    worker.pause()
    extra = [json.dumps({"id": f"extra-{i}", "user": f"u{i % 50}", "t": drivers.CLOSING_MS + 1, "kind": "view", "amount": 1}).encode() for i in range(4000)]
    for line in extra:
        stream.producer.send(TOPIC, line, json.loads(line)["user"].encode(), timestamp=drivers.CLOSING_MS)
    stream.producer.flush()
    wanted = expected_lag(job, address)
    worker.wake()
    broker.wait("it catches up", lambda: broker.committed(job) >= len(stream.records) or not worker.is_running, 60)
    suite.claim("what came while it slept is committed", [] if sum(wanted.values()) == 4000 else [f"{wanted}"])


def drained(suite, job, worker, stream):
    faults = [] if worker.ask("/drain")[0] == 405 else ["GET /drain is no 405"]
    faults += [] if worker.ask("/drain", "POST", {"Origin": "http://example.com"})[0] == 403 else ["a page may drain the worker"]
    faults += [] if worker.ask("/ready")[0] == 200 else ["not ready before"]
    status, body = worker.ask("/drain", "POST")
    faults += [] if status == 202 else [f"POST /drain answers {status} {body}"]
    status, body = worker.ask("/ready")
    faults += [] if status == 0 or (status == 503 and "draining" in body) else [f"/ready answers {status} {body} while it drains"]
    try:
        code = worker.process.wait(60)
        faults += [] if code == 0 else [f"ended with {code}: {worker.talk}"]
    except subprocess.TimeoutExpired:
        faults.append("not ended 60 s after /drain")
    events = [e.get("event") for e in worker.lines]
    faults += [] if worker.saw("done") and "draining" in events else [f"the log ends with {events[-3:]}"]
    suite.claim("/drain hands over and ends in order; /ready says so; rows and state equal the reference",
                faults + broker.faults(job, stream.records) + job.verify_faults())


def uncommitted(suite):
    """Before a commit: lag and /scale count what is not in the ledger, and /state says that a row is ahead of it"""
    with Broker({TOPIC: PARTITIONS}) as b:
        job = make(suite, "uncommitted", every="10m", stall="20m", dead="30m")
        worker = begin(job, b.address)
        stream = TracedStream(suite, job, b.address, TOPIC, 3000).send()

        def lag():
            m, wanted = worker.metrics(), expected_lag(job, b.address)
            status, scale = worker.get("/scale")
            return (compare(by(m, "weir_lag_records", "shard"), wanted)
                    + compare({"lag": scale["lag"], "most": scale["workers_max"]}, {"lag": sum(wanted.values()), "most": PARTITIONS})
                    + ([] if sum(wanted.values()) == len(stream.records) else ["something was committed"])
                    + compare(by(m, "weir_input_records_total", "shard"), {s: end for s, end in ends(b.address).items()}))
        faults = settled("", lag)
        users = common.tables.scan_lines(suite.weir, "users", job.store)
        seen = [worker.get("/state/users/" + urllib.parse.quote(r["user"], safe=""))[1] for r in users if r["user"]][:5]
        faults += [f"a row that is not committed says {r}" for r in seen if r.get("committed") is not False]
        faults += [] if seen else ["no row is in the state table"]
        suite.claim(uncommitted.__doc__, faults)
        stopped = worker.stop()
        users = common.tables.scan_lines(suite.weir, "users", job.store)
        suite.claim("SIGTERM commits them", stopped + ([] if broker.committed(job) == len(stream.records) else ["not all are committed"])
                    + [f"{r}" for r in users if r["_committed"] is not True])


def small_budget(suite):
    """A budget of 64 MiB under load: epochs are cut for memory, the process keeps the budget, metrics say so, and no row is lost"""
    with Broker({TOPIC: PARTITIONS}) as b:
        job = make(suite, "small", every="10m", stall="20m", dead="30m", memory="64MiB")
        worker = begin(job, b.address)
        stream = TracedStream(suite, job, b.address, TOPIC, 20_000 if suite.quick else 50_000).send()
        peak = 0

        def is_read():
            nonlocal peak
            with open(f"/proc/{worker.process.pid}/status") as f:
                peak = max([peak] + [int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:")])
            return not worker.is_running or sum(by(worker.metrics(), "weir_input_records_total", "shard").values()) >= len(stream.records)
        broker.wait("everything is read", is_read, 120)
        m = worker.metrics()
        cuts, told = by(m, "weir_cuts_total", "reason"), m["weir_memory_peak_bytes"].get((), 0)
        budget = m["weir_memory_budget_bytes"].get((), 0)
        suite.note(f"{peak >> 20} MiB, {cuts.get('memory', 0):.0f} cuts for memory")
        faults = [] if budget == 64 << 20 else [f"the budget is told as {budget}"]
        faults += [] if cuts.get("memory", 0) >= 3 else [f"cuts: {cuts}"]
        faults += [] if 0 < max(peak, told) <= budget else [f"{peak >> 20} MiB, told as {told / (1 << 20):.0f}"]
        stream.close_windows(PARTITIONS)
        broker.wait("the last records are read", is_read, 60)
        suite.claim(small_budget.__doc__, faults + stream.producer.trimmed(job) + worker.stop() + broker.faults(job, stream.records)
                    + job.verify_faults())


def stalled(suite):
    """A worker that waits for its group in vain: the log says what it waits for, /live fails after worker.dead; it continues when the broker is back"""
    with Broker({TOPIC: PARTITIONS}) as b:
        if not b.process:
            return suite.note("not shown on a real cluster: its broker cannot be put to sleep")
        job = make(suite, "stalled")
        worker = Watched(job, b.address)
        broker.wait("joined", lambda: worker.saw("joined") or not worker.is_running, 60)
        b.process.send_signal(signal.SIGSTOP)
        faults = []
        try:
            if not worker.saw("assigned"):
                broker.wait("a line about the stall", lambda: [e for e in worker.lines if e.get("event") == "stalled"], 40)
                told = [e for e in worker.lines if e.get("event") == "stalled"][0]
                faults += [] if "group" in told["waits_for"] and told["seconds"] >= 2 else [f"{told}"]
                broker.wait("/live fails", lambda: worker.ask("/live")[0] == 503, 40)
                faults += [] if "group" in worker.ask("/live")[1] else [worker.ask("/live")[1]]
                faults += [] if worker.metrics()["weir_stall_seconds"][()] >= 2 else ["weir_stall_seconds is 0"]
            else:
                suite.note("the group was quicker than the signal: the stall is not shown in this run")
        finally:
            b.process.send_signal(signal.SIGCONT)
        broker.wait("ready", lambda: worker.ask("/ready")[0] == 200 or not worker.is_running, 90)
        faults += settled("/live after it", lambda: [] if worker.ask("/live")[0] == 200 else [worker.ask("/live")[1]])
        suite.claim(stalled.__doc__, faults + worker.stop())


def deadline(suite):
    """SIGTERM while the broker hangs: the end comes at worker.drain at the latest; a second signal ends at once; nothing is lost"""
    with Broker({TOPIC: PARTITIONS}) as b:
        if not b.process:
            return suite.note("not shown on a real cluster: its broker cannot be put to sleep")
        job, faults = make(suite, "deadline", drain="3s"), []
        stream = TracedStream(suite, job, b.address, TOPIC, 3000).send()
        for signals in (1, 2):
            worker = begin(job, b.address)
            broker.wait("a commit", lambda: broker.committed(job) >= len(stream.records) or not worker.is_running, 60)
            b.process.send_signal(signal.SIGSTOP)
            for _ in range(signals):
                worker.process.send_signal(signal.SIGTERM)
                time.sleep(0.3)
            try:
                code = worker.process.wait(common.PATIENCE)
                faults += [] if code in (0, 143) else [f"{signals} signals: ended with {code}: {worker.talk}"]
                # With a deadline the log says why it exited without a commit.
                if code == 143 and signals == 1 and not [e for e in worker.lines if e.get("event") == "drain_timeout"]:
                    faults.append(f"the log does not say why it ended: {worker.talk}")
            except subprocess.TimeoutExpired:
                worker.kill()
                faults.append(f"{signals} signals: not ended within {common.PATIENCE} s")
            b.process.send_signal(signal.SIGCONT)
        stream.close_windows(PARTITIONS)
        worker = begin(job, b.address)
        broker.wait("all committed", lambda: broker.committed(job) >= len(stream.records) or not worker.is_running, 60)
        suite.claim(deadline.__doc__, faults + worker.stop() + broker.faults(job, stream.records) + job.verify_faults())


def doubled(suite):
    """Two SIGTERMs at the same moment, as `timeout` sends them, are one request: the worker drains and exits with 0"""
    with Broker({TOPIC: PARTITIONS}) as b:
        job, faults = make(suite, "doubled"), []
        stream = TracedStream(suite, job, b.address, TOPIC, 2000).send()
        for pause in (0, 0.02, 0.1):
            worker = begin(job, b.address)
            broker.wait("all committed", lambda: broker.committed(job) >= len(stream.records) or not worker.is_running, 60)
            worker.process.send_signal(signal.SIGTERM)
            time.sleep(pause)
            worker.process.send_signal(signal.SIGTERM)
            code = worker.process.wait(common.PATIENCE)
            faults += [] if code == 0 else [f"{pause} s apart: ended with {code}: {worker.talk[-300:]}"]
        suite.claim(doubled.__doc__, faults)


def full_disk(suite):
    """A full disk ends the worker with a clear error in the log; restarted with free space it continues, and nothing is lost"""
    with Broker({TOPIC: PARTITIONS}) as b:
        job = make(suite, "full")
        stream = TracedStream(suite, job, b.address, TOPIC, 6000)
        with common.tmpfs(job.lake, 400_000 // 4096 * 4096) as mounted:
            if not mounted:
                return suite.note("skipped: no right to mount a tmpfs here, so no full disk")
            worker = begin(job, b.address)
            stream.send()
            faults = []
            try:
                code = worker.process.wait(60)
                last = worker.lines[-1]
                # The disk may be full between an entry's bytes and the proof that they are durable: then the outcome is unknown.
                isClear = last["code"] == "full_disk" or last["code"] == "unknown" and "Check space" in last["advice"]
                faults += [] if code == 1 and last["level"] == "error" and isClear else [f"ended with {code}: {last}"]
            except subprocess.TimeoutExpired:
                faults.append(f"continues with a full disk: {worker.talk}; /live {worker.ask('/live')}")
                worker.kill()
            common.remount(job.lake, "size=1g")
            worker = begin(job, b.address)
            stream.close_windows(PARTITIONS)
            broker.wait("all committed", lambda: broker.committed(job) >= len(stream.records) or not worker.is_running, 60)
            suite.claim(full_disk.__doc__, faults + worker.stop() + broker.faults(job, stream.records) + job.verify_faults())


def files(suite):
    """Deploy"""
    suite.claim("promtool takes the rules and the configuration of Prometheus", deploy.rules(suite))
    suite.claim("the unit tests of the rules pass, show when each alert fires and when not, and fail for alerts that do not wait", deploy.unit_tests(suite))
    suite.claim("each alert has a runbook and a panel that links to it, and all links lead to one", deploy.runbooks())
    suite.claim("dashboard: valid queries, filtered by its variables, ten lines at most; thresholds are those of the rules", deploy.dashboard(suite))
    suite.claim("rules, scrape configurations and deployments agree on the job, on memory and on health checks", deploy.agreement())
    suite.claim("the Kubernetes manifests fit their schemas, and what names each other is there", deploy.manifests())
    suite.claim("compose.yaml names files that exist, options that weir has, no image without a version", deploy.compose(suite))
    suite.claim("the live pipelines of Deploy pass `weir check`", deploy.pipelines(suite))


if __name__ == "__main__":
    common.Suite("admin_answers_are_right", 600, __doc__).run(files, wrong, starting, readings, uncommitted, small_budget, stalled, deadline, doubled, full_disk)
