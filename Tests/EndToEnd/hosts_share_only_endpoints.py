#!/usr/bin/env python3
"""Hosts that share an object store and a key-value store, and nothing else, lose nothing and double nothing: live
workers that are killed, sleep, have wrong clocks and are cut off, and other programs that append to their tables."""
import collections
import concurrent.futures
import contextlib
import json
import os
import random
import time

import common
import aws
import broker
import compare
import live
import live_workers_equal_reference as kafka
import namespaces
import pyarrow as pa
import redis_server
import remote
import wrong_clock
from aws_faults import FaultProxy, Plan
from broker import Broker
from captures_are_exact import Capture
from deltalake import DeltaTable

TOPIC = f"hosts-{os.getpid()}"
CLOCK = 2_400       # seconds that clocks are wrong by
SESSION = 6         # seconds: after them the group gives a silent worker's partitions to others


def hosted(topic, every="1s"):
    def change(spec):
        kafka.live(topic, options={})(spec)
        spec["lake"]["flush"] = {"every": every, "bytes": "256KiB"}
        spec["store"] = {**spec["store"], "flush": "500ms"}
    return change


class Hosts:
    """Three workers on hosts of their own: directories, and with wires network namespaces."""

    def __init__(self, suite, job, address, wires=()):
        self.suite, self.address, self.faults = suite, address, []
        self.hosts, self.wires = [job.host(f"host{i}") for i in range(3)], wires
        for host, wire in zip(self.hosts, wires):
            host.suite = wire.program(suite)
        # One clock is right, one is ahead and one is slow.
        for host, seconds in zip(self.hosts, (0, CLOCK, -CLOCK)):
            host.environment |= wrong_clock.environment(host.directory, seconds) or {}
        self.workers = [broker.Worker(host, address) for host in self.hosts]
        self.done = dict.fromkeys(("killed", "slept", "cut off"), 0)

    def restart(self):
        """Those that have ended; a worker may end only if the endpoints failed it."""
        for i, worker in enumerate(self.workers):
            if worker.is_running:
                continue
            if worker.process.returncode not in (-9, 1) or any(crash in worker.talk for crash in common.CRASHES):
                self.faults.append(f"worker {worker.number} ended with {worker.process.returncode}: {worker.talk}")
            elif worker.process.returncode == 1:
                self.suite.note(f"worker {worker.number} ended by itself: {worker.talk[-300:]}")
            self.workers[i] = broker.Worker(self.hosts[i], self.address)

    def kill(self):
        self.suite.random.choice(self.workers).kill()
        self.done["killed"] += 1

    def sleep(self, meanwhile):
        """One sleeps for longer than its session; the others take its lanes."""
        worker = self.suite.random.choice(self.workers)
        worker.pause()
        began = time.monotonic()
        meanwhile()
        time.sleep(max(0, SESSION + 3 - (time.monotonic() - began)))
        worker.wake()
        self.done["slept"] += 1

    def partition(self, meanwhile):
        """A host loses its network for longer than its worker's session; the others take its lanes."""
        wire = self.suite.random.choice(self.wires)
        wire.cut(True)
        began = time.monotonic()
        meanwhile()
        time.sleep(max(0, 2 * SESSION - (time.monotonic() - began)))
        wire.cut(False)
        self.done["cut off"] += 1

    def outage(self, proxy, service):
        """A service cannot be reached, for longer than a request is repeated."""
        proxy.away = service
        time.sleep(15)
        proxy.away = None
        self.done["cut off"] += 1

    def strangers(self):
        """What they left on their hosts, apart from what the test itself put there."""
        kept = {".yaml", ".out", ".err", ".c", ".so"}
        return [f"left on a host: {os.path.join(d, name)}" for host in self.hosts for d, _, names in os.walk(host.directory) for name in names
                if os.path.splitext(name)[1] not in kept]


def together(suite, name, store=None, apart=False):
    """Three workers that are killed, sleep and wake; then the capture of their topic, replayed into a directory.

    apart: each in a network namespace, which reaches the endpoints over a wire of its own.
    """
    topic, n = f"{TOPIC}-{name}", 6_000 if suite.quick else 30_000
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(remote.running(aws.ministack, suite))
        b = stack.enter_context(Broker({topic: kafka.PARTITIONS}))
        plan = Plan(suite.arguments.seed, 1, often=0.05, seldom=0.01)
        proxy = FaultProxy(server, plan, checks_clocks=True)
        stack.callback(proxy.close)
        job = remote.RemoteJob(suite, name, "synthetic", [], server, proxy, change=hosted(topic))
        if store:
            job.store = stack.enter_context(store).place()
        stream, out = kafka.Stream(suite, job, b.address, topic, n), suite.path(f"{name}-capture")
        capture = Capture(suite, out, b.address, topic)
        wires = []
        for i in range(3 if apart else 0):
            ports = [proxy.url.rsplit(":", 1)[1], *(a.rsplit(":", 1)[1] for a in b.address.split(","))]
            wires.append(namespaces.Namespace(i, ports))
            stack.callback(wires[-1].close)
        hosts = Hosts(suite, job, b.address, wires)
        stream.send(500)
        broker.wait("each worker has partitions", lambda: all(kafka.held(w) for w in hosts.workers), 180)
        rounds = (1 if store else 2) if suite.quick else 12
        for i in range(rounds):
            stream.land(job, n // (rounds + 1), 180)
            if apart and i % 2 == 1:
                hosts.partition(lambda: stream.send(200))
            elif i % 4 == 1:
                hosts.sleep(lambda: stream.send(200))
            elif i % 4 == 3:
                hosts.outage(proxy, "items" if i % 8 == 3 and not store else "objects")
            else:
                hosts.kill()
            hosts.restart()
        stream.send()
        # Until then a worker may end because the endpoints failed it.
        broker.wait("all records are committed", lambda: hosts.restart() or broker.committed(job) >= len(stream.records), 240)
        plan.is_on = False
        hosts.restart()
        faults = kafka.finish(job, stream, hosts.workers)
        capture.wait_for(len(stream.records))
        faults += capture.stop() + hosts.faults + hosts.strangers() + ([] if proxy.wrong_clocks else ["no clock was wrong"])
        suite.claim(f"{name}: three workers on hosts of their own, {hosts.done}, lose nothing and double nothing", faults)
        suite.note(f"{plan.report()}; {proxy.wrong_clocks} requests with a wrong time were refused")
        again = common.Job(suite, suite.path(f"{name}-replay"), job.pipeline, out)
        run = again.replay("--keep-open")
        rows = common.flat(compare.compare_lakes(job.pipeline, (job.local(), job.store), (again.lake, again.store), suite.weir, ["_run_id"]))
        suite.claim(f"{name}: the capture of the topic, replayed into a directory and LMDB, has the same rows", run.fault() + rows)


def with_dynamodb(suite):
    """DynamoDB"""
    together(suite, "dynamodb")


def with_redis(suite):
    """Redis"""
    together(suite, "redis", redis_server.Server(suite.path("redis")))


def in_namespaces(suite):
    """Three network namespaces; a wire is cut for longer than a session"""
    # It takes long, and needs root: only by its name.
    if suite.arguments.only != "in_namespaces":
        return suite.note("not shown: workers in network namespaces (--only in_namespaces)")
    if why := "the broker is another's" if os.environ.get("WEIR_TEST_KAFKA") else namespaces.missing():
        return suite.note(f"not shown: workers in network namespaces ({why})")
    together(suite, "namespaces", apart=True)


def twice(suite):
    """Two deployments of one pipeline with groups of their own, by mistake: the ledger fences them, and each record counts once"""
    topic = f"{TOPIC}-twice"
    with remote.running(aws.ministack, suite) as server, Broker({topic: kafka.PARTITIONS}) as b:
        proxy = FaultProxy(server, Plan(suite.arguments.seed, 1, often=0.05, seldom=0.01))
        job = remote.RemoteJob(suite, "twice", "synthetic", [], server, proxy, change=hosted(topic))
        other = job.host("other")
        with open(other.pipeline) as f:
            spec = common.yaml.safe_load(f)
        spec["source"]["kafka"]["group"] = "another"
        with open(other.pipeline, "w") as f:
            common.yaml.safe_dump(spec, f, sort_keys=False, allow_unicode=True)
        stream = kafka.Stream(suite, job, b.address, topic, 6_000)
        stream.send(1000)
        workers, ended, faults = [broker.Worker(j, b.address).begin() for j in (job, other)], [], []
        while not stream.is_done:
            stream.send(200)
            time.sleep(0.3)
            for i, worker in enumerate(workers):
                if not worker.is_running:
                    ended.append(worker)
                    workers[i] = broker.Worker(worker.job, b.address)
        for worker in workers[1:]:
            faults += worker.stop() if worker.is_running else []
        faults += kafka.finish(job, stream, workers[:1])
        proxy.close()
        faults += [f"worker {w.number} ended: {w.talk}" for w in ended if "another worker committed" not in w.talk]
        fenced = len(ended) + sum(e["code"] in ("fenced", "state_fenced") for w in workers for e in w.saw("trouble"))
        suite.claim(f"{twice.__doc__} (fenced {fenced} times)", faults + ([] if fenced else ["no worker was fenced"]))


# -- Other programs

APPENDERS = 4


def append(lake, table, options, worker, times):
    """Appends rows with a partition of their own, as often as it is asked. (how many were acknowledged, what was wrong)"""
    import deltalake
    address, done, wrong, pause = f"{lake}/{table}", 0, [], random.Random(worker)
    rows = deltalake.DeltaTable(address, storage_options=options).to_pyarrow_table().slice(0, 3)
    for i in range(times):
        mine = rows.set_column(rows.schema.get_field_index("kind"), rows.schema.field("kind"), pa.array([f"appender-{worker}"] * 3, rows.schema.field("kind").type))
        mine = mine.set_column(mine.schema.get_field_index("id"), mine.schema.field("id"), pa.array([f"{i}-{j}" for j in range(3)], mine.schema.field("id").type))
        try:
            deltalake.write_deltalake(address, mine, mode="append", partition_by=["kind"], storage_options=options)
            done += 1
            time.sleep(pause.random() * 0.5)
        except Exception as e:
            wrong.append(f"{type(e).__name__}: {str(e)[:200]}")
    return done, wrong


def appended(suite):
    """Four programs that append by delta-rs to the table of a running worker: they lose nothing, and neither does it"""
    topic = f"{TOPIC}-appended"
    times = 8 if suite.quick else 20
    with remote.running(aws.ministack, suite) as server, Broker({topic: kafka.PARTITIONS}) as b:
        job = remote.RemoteJob(suite, "appended", "synthetic", [], server, change=hosted(topic, every="200ms"))
        stream = kafka.Stream(suite, job, b.address, topic, 6_000)
        worker = broker.Worker(job, b.address)
        stream.land(job, 1000, 180)
        options = remote.storage_options(server)
        broker.wait("the table has rows", lambda: "silver/synthetic" in common.tables.delta_tables(job.local())
                    and DeltaTable(f"{job.lake}/silver/synthetic", storage_options=options).to_pyarrow_table().num_rows > 3)
        with concurrent.futures.ThreadPoolExecutor(APPENDERS) as pool:
            running = [pool.submit(append, job.lake, "silver/synthetic", options, i, times) for i in range(APPENDERS)]
            while not all(r.done() for r in running) and not stream.is_done:
                stream.send(100)
                time.sleep(0.3)
            done = [r.result() for r in running]
        stream.send()
        stream.close_windows()
        broker.wait("all records committed", lambda: broker.committed(job) >= len(stream.records) or not worker.is_running, 240)
        faults = worker.stop() if worker.is_running else [f"the worker ended: {worker.talk}"]
        faults += job.verify_faults()
        copy = job.local()
        table = DeltaTable(os.path.join(copy, "silver/synthetic"))
        found = table.to_pyarrow_table(filters=[("kind", "in", [f"appender-{i}" for i in range(APPENDERS)])])
        ids = collections.Counter(zip(found["kind"].to_pylist(), found["id"].to_pylist()))
        if max(ids.values(), default=0) > 1:
            faults.append(f"rows are there twice: {ids.most_common(3)}")
        acknowledged = sum(n for n, _ in done)
        if found.num_rows < 3 * acknowledged or (found.num_rows > 3 * acknowledged and not any(w for _, w in done)):
            faults.append(f"{found.num_rows} rows of {acknowledged} appends")
        for _, wrong in done:
            faults += wrong
        table.delete("kind like 'appender-%'")
        faults += common.flat(compare.compare(live.compute(job.pipeline, stream.records), job.pipeline, copy, job.store, suite.weir))
        commits = [json.loads(line)["commitInfo"] for name in sorted(os.listdir(os.path.join(copy, "silver/synthetic/_delta_log"))) if name.endswith(".json")
                   for line in open(os.path.join(copy, "silver/synthetic/_delta_log", name)) if "commitInfo" in line]
        writers = "".join("d" if "delta-rs" in str(c) else "w" for c in commits)
        suite.claim(f"{appended.__doc__} ({acknowledged} appends)", faults)
        suite.note(f"order of the commits (w: Weir): {writers}")


if __name__ == "__main__":
    common.Suite("hosts_share_only_endpoints", 240, __doc__).run(
        with_dynamodb, with_redis, in_namespaces, twice, appended, together=3)
