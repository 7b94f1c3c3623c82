#!/usr/bin/env python3
"""The state table on a Redis server: the rows of LMDB, and whole again after workers and servers are killed and keys are lost."""
import os
import threading
import time

import common
import broker
import live_workers_equal_reference as kafka
import redis_server
from broker import Broker, Worker
from certificates import Authority
from redis_server import Server

RECORDS, RECORDS_QUICK = 50_000, 8_000
KILLS, KILLS_QUICK = 20, 3
TOPIC = f"redis-{os.getpid()}"
PASSWORD = "the-password-that-is-never-shown"


def job(suite, name, store, records=None, change=None, flush=None):
    """A replay of synthetic records into a state table."""
    capture = common.synthetic(suite.arguments.seed, records or (RECORDS_QUICK if suite.quick else RECORDS))

    def changed(spec):
        spec["store"] = {**spec.get("store", {}), "flush": "5ms", "share": "90%"}
        if change:
            change(spec)
    made = common.Job(suite, suite.path(name), "synthetic", capture, change=changed, flush=flush)
    if store:
        made.store = store
    return made


def expiring(spec):
    """Rows of users go after a while without records."""
    spec["state"]["users"]["ttl"] = "20s"


def scan(suite, table, *where):
    """Lines of a table; a fault instead of them if it cannot be read."""
    run = common.Result([suite.weir, "state", "scan", table, *where, "--format", "csv"])
    return run.out.split("\n") if run.code == 0 else [f"ended with {run.code}: {run.talk}"]


def finished(work, server=None, attempts=12):
    """Runs a replay until it is done: one that was stopped by lost rows continues when it is run again. Faults."""
    for _ in range(attempts):
        run = work.replay()
        if run.code == 0:
            return run.fault()
        if "lost" not in run.err and "no longer has" not in run.err:
            break
    return [f"ended with {run.code}: {run.talk}"]


def rows_equal_lmdb(suite):
    """The rows of a replay into Redis are those of a replay into LMDB, by scan, by get, on a replica, and as any client reads them"""
    with Server(suite.path("equal-server")) as server:
        lmdb, redis = job(suite, "lmdb", None), job(suite, "redis", server.place("prefix=shop/1"))
        faults = lmdb.replay().fault() + redis.replay().fault() + redis.faults() + redis.verify_faults()
        lines = 0
        for table in ("users", "flags"):
            a, b = (scan(suite, table, "--store", j.store) for j in (lmdb, redis))
            lines += len(a)
            if a != b:
                wrong = [pair for pair in zip(a, b) if pair[0] != pair[1]]
                faults.append(f"{table}: {len(a)} and {len(b)} lines, {wrong[:1]}")
        with Server(suite.path("replica"), "--replicaof", "127.0.0.1", str(server.port)) as replica:
            broker.wait("the replica follows", lambda: b"master_link_status:up" in replica.client()("INFO", "replication"))
            if scan(suite, "users", "--store", replica.place("prefix=shop/1")) != scan(suite, "users", "--store", redis.store):
                faults.append("a replica's rows differ")
        stored = redis_server.rows(server.client(), "users", "shop/1")
        keys = sorted(redis_server.text_key(k) for k in stored if k.endswith(b"\0\1") and b"\0" not in k[:-2])
        for key in keys[:3] + keys[-3:]:
            a, b = (common.Result([suite.weir, "state", "get", "users", key, "--store", j.store, "--format", "json"]) for j in (lmdb, redis))
            if a.code or b.code:
                faults.append(f"get {key}: {a.out or a.talk} and {b.out or b.talk}")
                continue
            lmdb_row, shown = (common.json.loads(run.out) for run in (a, b))
            # The fence is the position up to which the lane had applied records when it wrote the row: it depends on the flushes.
            if {**lmdb_row, "_fence": None} != {**shown, "_fence": None}:
                faults.append(f"get {key}: {lmdb_row} and {shown}")
            generation, position, lane, value = stored[key.encode() + b"\0\1"]
            got = redis_server.values(value)
            if (shown["_fence"], shown["rows"], shown["_committed"]) != (f"{generation}:{position}", got[0], True) or not lane:
                faults.append(f"{key}: {shown} is stored as {generation}/{position} {lane} {got}")
        suite.claim(f"{rows_equal_lmdb.__doc__} ({lines} lines)", faults)


def plans_name_it(suite):
    """A plan's own `store: {redis: …}`, with an address from the environment, is used by all commands, and its password is in none of their output"""
    with Server(suite.path("plan-server"), password=PASSWORD) as server:
        faults, said = [], ""
        environment = {**os.environ, "REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0", "REDIS_PASSWORD": PASSWORD}
        for number, redis in enumerate(({"env": "REDIS_URL"}, {"url": server.place(), "password": {"env": "REDIS_PASSWORD"}, "prefix": "b"})):
            work = job(suite, f"plan{number}", None, 2000, change=lambda spec: spec.update(store={"redis": redis, "flush": "10ms"}))
            for command in (["check", work.pipeline], ["replay", work.pipeline, "--capture", *work.captures, "--lake", work.lake],
                            ["state", "scan", "users", "--pipeline", work.pipeline, "--lake", work.lake],
                            ["ledger", "verify", work.pipeline, "--lake", work.lake],
                            ["state", "rebuild", work.pipeline, "--lake", work.lake]):
                run = common.Result([suite.weir, *command], environment=environment)
                said += run.out + run.err
                faults += [f"{' '.join(command[:2])} ended with {run.code}: {run.talk}"] if run.code else []
            for folder, _, files in os.walk(work.lake):
                for name in files:
                    with open(os.path.join(folder, name), "rb") as f:
                        said += PASSWORD if PASSWORD.encode() in f.read() else ""
            run = common.Result([suite.weir, "check", work.pipeline])
            faults += [] if "is not set" in run.err else [f"check without the variable: {run.talk}"]
        faults += ["the password is shown or stored"] if PASSWORD in said else []
        suite.claim(plans_name_it.__doc__, faults)


def doctor_judges(suite):
    """`weir doctor` reports eviction, persistence, a replica and missing permissions of the server, and leaves no key"""
    with Server(suite.path("doctor-server")) as server:
        client, faults = server.client(), []

        def doctor(what, place, code, *words):
            work = job(suite, f"doctor-{what.replace(' ', '-')}", place, 10)
            run = common.Result([suite.weir, "doctor", work.pipeline, "--lake", work.lake, "--store", place])
            if run.code != code or not all(word in run.out for word in words) or PASSWORD in run.out + run.err:
                faults.append(f"{what}: exit {run.code}: {run.out} {run.err}")
        client("CONFIG", "SET", "maxmemory-policy", "noeviction")
        client("CONFIG", "SET", "appendonly", "no")
        doctor("no file", server.place(), 0, "evicts no keys", "notice", "no append-only file", "the user may write the table")
        client("CONFIG", "SET", "appendonly", "yes")
        doctor("good", server.place(), 0, "appendonly yes")
        client("CONFIG", "SET", "maxmemory", "100mb")
        client("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        doctor("eviction", server.place(), 1, "FAILED", "allkeys-lru", "noeviction")
        client("CONFIG", "SET", "maxmemory-policy", "noeviction")
        os.environ["DOCTOR_PASSWORD"] = PASSWORD
        client("ACL", "SETUSER", "reads", "on", f">{PASSWORD}", "~*", "+@read", "+eval", "+evalsha", "+select")
        doctor("no permission", f"redis://reads@127.0.0.1:{server.port}/0?password_env=DOCTOR_PASSWORD", 1, "FAILED", "can't run this command", "INFO is not allowed")
        with Server(suite.path("doctor-replica"), "--replicaof", "127.0.0.1", str(server.port)) as replica:
            broker.wait("the replica follows", lambda: b"master_link_status:up" in replica.client()("INFO", "replication"))
            doctor("replica", replica.place(), 1, "FAILED", "is a replica")
        faults += [f"{key} is left" for key in client("KEYS", "*")]
        suite.claim(doctor_judges.__doc__, faults)


def refusals(suite):
    """A wrong password, a server that evicts, a full server, no server and a bad place end with a clear message, without the password"""
    faults = []

    def expect(what, run, *words):
        faults.extend(f"{what}: {fault}" for fault in run.refusal_fault(*words))
        if PASSWORD in run.out + run.err:
            faults.append(f"{what}: the password is shown")

    with Server(suite.path("refusing-server"), password=PASSWORD) as server:
        work = job(suite, "refused", server.place(), 2000)
        expect("no password", work.replay(), "password")
        wrong = {**os.environ, "REDIS_PASSWORD": f"{PASSWORD}-wrong"}
        work.store = server.place("password_env=REDIS_PASSWORD")
        expect("a wrong password", common.Result(work.command(), environment=wrong), "password")
        expect("a variable that is not set", work.replay(), "REDIS_PASSWORD")
        right = {**os.environ, "REDIS_PASSWORD": PASSWORD}
        client = server.client()
        client("CONFIG", "SET", "maxmemory", "100mb")
        client("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        expect("a server that evicts", common.Result(work.command(), environment=right), "noeviction")
        client("CONFIG", "SET", "maxmemory-policy", "noeviction")
        client("CONFIG", "SET", "maxmemory", "1mb")
        expect("a full server", common.Result(work.command(), environment=right), "maxmemory")
        client("CONFIG", "SET", "maxmemory", "0")
        run = common.Result(work.command(), environment=right)
        faults += run.fault()
        work.store = server.place(f"password={PASSWORD}")
        expect("an unknown parameter", work.replay(), "parameter")
        work.store = f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0"
        expect("a password in the address", work.replay(), "password_env")
    work.store = server.place()
    expect("no server", work.replay(), "reachable")
    suite.claim(refusals.__doc__, faults)


def tls_and_acl(suite):
    """TLS with an authority of one's own, and an ACL user that has only the documented permissions"""
    authority = Authority(suite.path("certificates"), "authority")
    other = Authority(suite.path("other-certificates"), "other")
    certificate, key = authority.sign("server")
    tls = redis_server.free_port()
    options = ["--tls-port", str(tls), "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", authority.certificate,
               "--tls-auth-clients", "no"]
    with Server(suite.path("tls-server"), *options) as server:
        client = server.client()
        client("ACL", "SETUSER", "weir", "on", f">{PASSWORD}", "~{weir}:*", "+select", "+info", "+eval", "+evalsha", "+del", "+unlink", "+exists",
               "+expire", "+persist", "+rename", "+get", "+set", "+@hash", "+@sortedset")
        environment = {**os.environ, "P": PASSWORD}

        def place(authority):
            return f"rediss://weir@127.0.0.1:{tls}/0?password_env=P&ca={authority.certificate}"
        work = job(suite, "tls", place(authority), 2000)
        run = common.Result(work.command(), environment=environment)
        faults = run.fault()
        faults += [] if redis_server.rows(client, "users") else ["there are no rows"]
        run = common.Result([suite.weir, "state", "rebuild", work.pipeline, "--lake", work.lake, "--store", work.store], environment=environment)
        faults += [f"rebuild: {run.talk}"] if run.code else []
        client("ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "~{weir}:*", "+select", "+eval", "+evalsha", "+@read")
        reading = common.Result([suite.weir, "state", "scan", "users", "--store", work.store.replace("weir@", "reader@")], environment=environment)
        faults += [f"a reader: {reading.talk}"] if reading.code else []
        for what, store in (("another authority", place(other)), ("no authority", f"rediss://weir@127.0.0.1:{tls}/0?password_env=P")):
            run = common.Result([suite.weir, "state", "scan", "users", "--store", store], environment=environment)
            faults += [f"{what}: {fault}" for fault in run.refusal_fault("certificate")]
        run = common.Result([suite.weir, "state", "scan", "users", "--store", f"redis://weir@127.0.0.1:{tls}/0?password_env=P"], environment=environment)
        faults += run.refusal_fault("no answer", "not of Redis")
        suite.claim(tls_and_acl.__doc__, faults)


def clusters(suite):
    """A cluster keeps a pipeline's keys in one slot, and a worker that is given another node's address follows the redirection"""
    ports = [redis_server.free_port() for _ in range(2)]
    options = [["--cluster-enabled", "yes", "--cluster-port", str(port)] for port in ports]
    with Server(suite.path("node-a"), *options[0]) as a, Server(suite.path("node-b"), *options[1]) as b:
        one, two = a.client(), b.client()
        one("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        two("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        one("CLUSTER", "MEET", "127.0.0.1", b.port, ports[1])
        broker.wait("the cluster is ready", lambda: all(b"cluster_state:ok" in c("CLUSTER", "INFO") for c in (one, two)))
        faults = []
        for prefix in ("shop", "ads"):
            work = job(suite, f"cluster-{prefix}", a.place(f"prefix={prefix}"), 2000)
            faults += work.replay().fault() + work.faults()
            faults += [] if scan(suite, "users", "--store", a.place(f"prefix={prefix}")) == \
                scan(suite, "users", "--store", b.place(f"prefix={prefix}")) else [f"{prefix}: the nodes' rows differ"]
        nodes = {client("DBSIZE") > 0 for client in (one, two)}
        suite.claim(clusters.__doc__, faults + ([] if nodes == {True} else ["all keys are on one node: nothing was redirected"]))


def workers_are_killed(suite):
    """Replays that are killed at any moment leave whole state tables after the next run, also where rows expire"""
    faults, hits = [], 0
    with Server(suite.path("kills-server")) as server:
        for n in range(KILLS_QUICK if suite.quick else KILLS):
            work = job(suite, f"kill{n}", server.place(f"prefix=kill{n}"), flush="64KiB", change=expiring if n % 2 == 0 else None)
            process = work.start()
            deadline = time.monotonic() + common.PATIENCE
            while process.poll() is None and len(work.entries()) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(suite.random.uniform(0, 0.3))
            process.kill()
            process.communicate()
            hits += process.returncode != 0
            faults += finished(work) + work.faults()
    suite.claim(f"{workers_are_killed.__doc__} ({hits} kills in time)", faults or ([] if hits else ["no kill came in time"]))


def servers_are_killed(suite):
    """A server that is killed and started again during a replay, with every write or every second on its disk, leaves whole state tables"""
    faults, kills = [], 0
    for fsync in ("always", "everysec"):
        with Server(suite.path(f"{fsync}-server"), appendfsync=fsync) as server:
            work = job(suite, f"server-{fsync}", server.place(), flush="64KiB")
            done = threading.Event()

            def disturb():
                nonlocal kills
                for _ in range(2 if suite.quick else 6):
                    if done.wait(suite.random.uniform(0.3, 1)):
                        return
                    server.kill()
                    kills += 1
                    done.wait(0.2)
                    server.start()
            thread = threading.Thread(target=disturb, daemon=True)
            thread.start()
            faults += [f"{fsync}: {fault}" for fault in finished(work, server)]
            done.set()
            thread.join()
            if server.process.poll() is not None:
                server.start()
            faults += [f"{fsync}: {fault}" for fault in finished(work) + work.faults() + work.verify_faults()]
    suite.claim(f"{servers_are_killed.__doc__} ({kills} kills)", faults)


def keys_are_lost(suite):
    """FLUSHALL, a table that is gone, and a server that goes back to an older copy, while a live worker runs: it writes all rows again"""
    with Server(suite.path("lost-server")) as server, Broker({TOPIC: kafka.PARTITIONS}) as b:
        work = common.Job(suite, suite.path("lost"), "synthetic", [], change=kafka.live(TOPIC))
        work.store = server.place()
        stream = kafka.Stream(suite, work, b.address, TOPIC, n=RECORDS_QUICK)
        client, worker = server.client(), Worker(work, b.address).begin()
        part = max(1, len(stream.lines) // 6)
        faults = []
        for what in (("FLUSHALL",), ("DEL", "{weir}:rows:users", "{weir}:keys:users"), ("DEL", "{weir}:meta"), ("DEL", "{weir}:store")):
            stream.land(work, part, workers=[worker])
            client(*what)
        stream.land(work, part, workers=[worker])
        # As after a failover to a replica that lagged: all keys go back together.
        copy = {key: client("DUMP", key) for key in client("KEYS", "*")}
        stream.land(work, part // 2, workers=[worker])
        client("EVAL", "redis.call('FLUSHALL') for i = 1, #ARGV, 2 do redis.call('RESTORE', ARGV[i], 0, ARGV[i + 1]) end", 0,
               *(part for pair in copy.items() for part in pair))
        stream.send()
        faults += kafka.finish(work, stream, [worker])
        seen = sum(e.get("code") == "state_replaced" for e in worker.saw("trouble"))
        faults += [] if seen >= 3 else [f"the worker noticed {seen} of 5 losses"]
        suite.claim(f"{keys_are_lost.__doc__} ({seen} noticed)", faults)


def a_worker_sleeps(suite):
    """A worker that sleeps while another takes its lanes changes no row when it wakes"""
    topic = f"{TOPIC}-sleep"
    with Server(suite.path("sleep-server")) as server, Broker({topic: kafka.PARTITIONS}) as b:
        work = common.Job(suite, suite.path("sleep"), "synthetic", [], change=kafka.live(topic))
        work.store = server.place()
        stream = kafka.Stream(suite, work, b.address, topic, n=RECORDS_QUICK)
        first = Worker(work, b.address).begin()
        stream.land(work, 2000, workers=[first])
        second = Worker(work, b.address)
        first.pause()
        stream.land(work, 3000, seconds=120, workers=[second])
        first.wake()
        stream.send()
        suite.claim(a_worker_sleeps.__doc__, kafka.finish(work, stream, [first, second]))


if __name__ == "__main__":
    common.Suite("redis_state_survives_kills", 600, __doc__).run(
        keys_are_lost, a_worker_sleeps, rows_equal_lmdb, plans_name_it, doctor_judges, refusals, tls_and_acl, clusters, workers_are_killed,
        servers_are_killed, together=3)
