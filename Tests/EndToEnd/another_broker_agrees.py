#!/usr/bin/env python3
"""On a second broker, Tansu, with a group coordinator of its own: live runs equal the reference, with Debian's librdkafka and with a newer one."""
import copy
import datetime
import itertools
import json
import os
import time

import boto3
import confluent_kafka as ck

import common
import aws
import broker
import captures_are_exact as captures
import live_capture
import live_workers_equal_reference as kafka
import newer_librdkafka
import other_tools_agree as sinks
import recreated_topics_are_refused as recreated
import tansu
from broker import Worker
from live_workers_equal_reference import PARTITIONS, held

RECORDS, RECORDS_QUICK = 20_000, 3_000
STATIC_SESSION = 30         # seconds in which a static member may come back
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


class World:
    """A Tansu, and the librdkafka that Weir's processes load: the linked one through a proxy, or a newer one directly."""

    def __init__(self, suite, is_newer=False, name=None, **more):
        name = name or ("newer" if is_newer else "linked")
        self.suite, self.environment, version = suite, dict(os.environ), "as linked"
        if is_newer:
            version, self.environment = newer_librdkafka.environment(suite.path("newer-librdkafka"))
        self.librdkafka = f"librdkafka {version}"
        self.server = tansu.Tansu(suite, f"tansu-{name}", is_direct=is_newer, **more)
        self.address = self.server.address

    def topic(self, name, partitions=PARTITIONS):
        name = f"{name}-{os.getpid()}"
        self.server.create(name, partitions)
        return name

    def job(self, topic, name=None, change=None, **more):
        """The pipeline `synthetic` over a topic; more: of its source."""
        def edit(spec):
            kafka.live(topic, **{"options": {}, **more})(spec)
            if change:
                change(spec)
        job = common.Job(self.suite, self.suite.path(name or topic), "synthetic", [], change=edit)
        job.stream, job.environment = "synthetic", self.environment
        return job

    def stream(self, job, topic, count=None):
        return Stream(self.suite, job, self.address, topic, count or (RECORDS_QUICK if self.suite.quick else RECORDS))

    def close(self):
        self.server.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def worlds(suite, quick):
    return [quick] if suite.quick else [LINKED, NEWER]


class Stream(kafka.Stream):
    """Ends what it sends with a batch of one record in each partition: the broker states the end of a longer last batch too low."""
    partitions = PARTITIONS

    def send(self, count=None):
        super().send(count)
        self.each_partition(f"tail{self.at}", 1, self.partitions)
        return self


def finish(job, stream, workers, **more):
    """As of the other driver, where one more worker brings the tables up; it joins a group of its own. Tansu may keep a member that has left as
    the leader of a group whose members leave together, and then no other member gets an answer."""
    with open(job.pipeline) as f:
        spec = common.yaml.safe_load(f)
    spec["source"]["kafka"] |= {"group": f"last-{spec['source']['kafka']['group']}", "session": "6s"}
    spec["source"]["kafka"].pop("instance", None)
    last = copy.copy(job)
    last.directory = os.path.join(job.directory, "last")
    os.makedirs(last.directory)
    last.pipeline = os.path.join(last.directory, "synthetic.yaml")
    with open(last.pipeline, "w") as f:
        common.yaml.safe_dump(spec, f, sort_keys=False, allow_unicode=True)
    return kafka.finish(job, stream, workers, last=last, **more)


def moved(worker, since):
    """What was taken from a worker since it had this number of events."""
    return [shard for e in worker.events[since:] if e["event"] == "revoked" for shard in e["shards"]]


def spread(workers):
    """Whether these workers read all partitions, and each at least one."""
    lanes = [held(w) for w in workers]
    return all(lanes) and len(set().union(*lanes)) == sum(map(len, lanes)) == PARTITIONS


def wait_spread(workers, others=()):
    broker.wait(f"{len(workers)} workers have all partitions", lambda: spread(workers) or not all(w.is_running for w in workers), 180)


# -- Groups

def members(suite, world, assignment):
    """One worker reads, a second joins, the first leaves in order, a third joins, one is killed: all equals the reference."""
    topic = world.topic(f"members-{assignment}")
    job = world.job(topic, assignment=assignment)
    stream = world.stream(job, topic)
    part = len(stream.lines) // 5
    workers = [Worker(job, world.address).begin()]
    wait_spread(workers)
    stream.land(job, part, workers=workers)
    since = len(workers[0].events)
    workers.append(Worker(job, world.address).begin())
    wait_spread(workers)
    stayed = set(held(workers[0])) - set(moved(workers[0], since))
    is_lost = any(e["lost"] for e in workers[0].saw("revoked"))
    stream.land(job, part, workers=workers)
    faults = workers.pop(0).stop()
    stream.land(job, part, 180, workers)
    wait_spread(workers)
    workers.append(Worker(job, world.address).begin())
    wait_spread(workers)
    stream.land(job, part, workers=workers)
    workers.pop(0).kill()
    faults += finish(job, stream, [*workers, Worker(job, world.address)])
    suite.claim(f"{assignment}, {world.librdkafka}: workers join, leave and are killed, and all equals the reference", faults)
    if assignment == "cooperative" and is_lost:
        suite.note("the first worker lost its session on this busy machine: whether it keeps partitions while another joins is not shown")
    elif assignment == "cooperative":
        suite.claim("a cooperative worker keeps reading the partitions that stay with it while another joins",
                    [] if len(stayed) == PARTITIONS // 2 else [f"{sorted(stayed)} stayed"])


def static_members(suite, world, assignment):
    """A static member that is killed and comes back within the session takes its own partitions, and the other one loses none."""
    topic = world.topic(f"static-{assignment}")
    job = world.job(topic, assignment=assignment, instance={"env": "INSTANCE"}, session=f"{STATIC_SESSION}s")
    stream = world.stream(job, topic)
    part = len(stream.lines) // 3

    def member(name):
        return Worker(job, world.address, environment={**world.environment, "INSTANCE": name})
    names = ["first", "second"]
    workers = [member(n) for n in names]
    wait_spread(workers)
    stream.land(job, part, workers=workers)
    own, since = held(workers[1]), len(workers[0].events)
    faults, comes_back = [], []
    for how in ("kill", "stop"):
        went = time.monotonic()
        workers[1].kill() if how == "kill" else faults.extend(workers[1].stop())
        workers[1] = member(names[1])
        broker.wait("it is back", lambda: held(workers[1]) or not workers[1].is_running, 180)
        # Its last heartbeat may be some seconds older.
        if time.monotonic() - went > STATIC_SESSION - 4:
            suite.note(f"the member was away for {time.monotonic() - went:.0f} s, its session has {STATIC_SESSION} s: whether it keeps its partitions is not shown")
            wait_spread(workers)
            own, since = held(workers[1]), len(workers[0].events)
        else:
            comes_back += [] if held(workers[1]) == own else [f"{how}: it had {own}, and has {held(workers[1])}"]
            comes_back += [f"{how}: the other one lost {moved(workers[0], since)}"] if moved(workers[0], since) else []
        stream.land(job, part, workers=workers)
    faults += finish(job, stream, workers)
    suite.claim(f"static members, {assignment}, {world.librdkafka}: one is killed and restarted, and stopped and restarted, and all equals the reference", faults)
    suite.claim(f"static members, {assignment}: one that comes back within its session has the partitions that it had, and the other loses none", comes_back)


def eager(suite):
    """Eager members"""
    members(suite, LINKED, "eager")


def eager_static(suite):
    """Eager static members"""
    static_members(suite, LINKED, "eager")


def cooperative(suite):
    """Cooperative members"""
    members(suite, NEWER, "cooperative")


def cooperative_static(suite):
    """Cooperative static members"""
    static_members(suite, NEWER, "cooperative")


# -- Where it begins

def start_at_a_time(suite):
    """A start at a time begins in each partition where the broker's answer to another client says, and a later worker reads on from there"""
    for world in worlds(suite, LINKED):
        topic = world.topic(f"at-{world.server.address[-5:]}")
        before = world.job(topic, name=f"{topic}-before")
        stream = world.stream(before, topic, 2000)
        # The broker goes by when it stored a batch, and not by the records' timestamps.
        for _ in range(3):
            stream.send(300)
        time.sleep(2)
        now = time.time()
        time.sleep(2)
        stream.send(300)
        first = offsets_at(world, topic, now)
        job = world.job(topic, start=datetime.datetime.fromtimestamp(now, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
        faults = Worker(job, world.address).begin().stop()
        stream.send()
        stream.close_windows()
        count = len(stream.records)
        stream.producer.records = [r for r in stream.records if r.offset >= first[r.partition]]
        worker = Worker(job, world.address).begin()
        faults += finish(job, stream, [worker], closing=False)
        faults += [] if 600 < count - len(stream.records) < 1200 else [f"{count - len(stream.records)} of {count} records are skipped: nothing is shown"]
        suite.claim(f"{start_at_a_time.__doc__} ({world.librdkafka})", faults)
        suite.note(f"it begins at {sorted(first.values())}, {count - len(stream.records)} of {count} records are skipped")


def offsets_at(world, topic, seconds):
    """The broker's first offsets of a time, by partition."""
    consumer = ck.Consumer({"bootstrap.servers": world.address, "group.id": "looker", "log_level": 2})
    try:
        return {p.partition: p.offset for p in consumer.offsets_for_times(
            [ck.TopicPartition(topic, p, int(seconds * 1000)) for p in range(PARTITIONS)], timeout=tansu.SECONDS)}
    finally:
        consumer.close()


def start_at_the_end(suite):
    """A start at the latest records begins at the ends, and a later worker reads on from there"""
    world = LINKED
    topic = world.topic("latest")
    job = world.job(topic, start="latest")
    stream = world.stream(job, topic, 1000)
    stream.send(500)
    ends = len(stream.records)
    faults = Worker(job, world.address).begin().stop()
    stream.send(500)
    stream.close_windows()
    stream.producer.records = stream.records[ends:]
    suite.claim(start_at_the_end.__doc__, faults + finish(job, stream, [Worker(job, world.address).begin()], closing=False))


def late_topics(suite):
    """Topics that match a pattern and come later are spread over two workers and read; a capture has their records too"""
    world, prefix = NEWER, f"late{os.getpid()}"
    topic = recreated.Topic(suite, world.server, prefix, subscribed=f"^{prefix}-.*", misplaced="merge")
    topic.environment = world.environment
    topics = [topic.topic, *(f"{prefix}-{n}" for n in ("second", "third", "fourth"))]
    sent = []

    def create(name):
        world.server.create(name, 2)
        for partition in range(2):
            more = topic.records(len(sent), 100)
            world.server.send(name, map(recreated.encoded, more), partition)
            sent.extend(more)
    create(topics[0])
    out = suite.path("late-capture")
    capture = captures.Capture(suite, out, world.address, f"^{prefix}-.*", environment=world.environment)
    workers = [topic.worker().begin(), topic.worker().begin()]
    # Each comes while the group spreads the partitions of the one before, so that members join again before they have begun to read.
    for name in topics[1:]:
        create(name)
        topic.until(len(sent))
    broker.wait("each has partitions of the last topic", lambda: all(any(s.startswith(topics[-1] + "/") for s in held(w)) for w in workers)
                or not all(w.is_running for w in workers))
    faults = [fault for worker in workers for fault in worker.stop()] + topic.faults(sent)
    capture.wait_for(len(sent))
    faults += capture.stop()
    captured = sorted(r.value for r in live_capture.records(out))
    faults += [] if captured == sorted(map(recreated.encoded, sent)) else [f"{len(captured)} records are captured, {len(sent)} were sent"]
    suite.claim(late_topics.__doc__, faults)


# -- What producers may write

def compressed(suite):
    """Records of every codec, from idempotent producers and others, in one topic: all equals the reference, and a capture has each"""
    for world in worlds(suite, NEWER):
        topic = world.topic(f"codecs-{world.server.address[-5:]}")
        job = world.job(topic)
        stream = world.stream(job, topic)
        out = suite.path(f"{topic}-capture")
        capture = captures.Capture(suite, out, world.address, topic, environment=world.environment)
        worker = Worker(job, world.address)
        ways = list(itertools.product(CODECS, (True, False)))
        faults = []
        for codec, is_idempotent in ways:
            producer = Compressing(world.address, codec, is_idempotent)
            stream.producer.client = producer.client
            stream.send(len(stream.lines) // len(ways) + 1)
            faults += producer.faults()
        faults += finish(job, stream, [worker])
        capture.wait_for(len(stream.records))
        suite.claim(f"{compressed.__doc__} ({len(ways)} ways, {world.librdkafka})", faults + capture.stop() + captures.faults_of(out, stream.records))


class Compressing:
    """A producer that knows how many bytes it sent for how many bytes of records."""

    def __init__(self, address, codec, is_idempotent):
        self.codec, self.statistics = codec, []
        # Without idempotence a repeated request would store its records twice: then an error, and no repetition.
        options = {"enable.idempotence": True} if is_idempotent else {"enable.idempotence": False, "retries": 0}
        self.client = broker.Producer(address, **options, **{
            "compression.type": codec, "linger.ms": 100, "statistics.interval.ms": 100,
            "stats_cb": lambda text: self.statistics.append(json.loads(text))}).client

    def faults(self):
        count = len(self.statistics)
        broker.wait("the producer counts", lambda: self.client.poll(0.1) is None or len(self.statistics) > count + 1)
        last = self.statistics[-1]
        sent = sum(b["txbytes"] for b in last["brokers"].values())
        is_smaller = sent < last["txmsg_bytes"]
        return [] if is_smaller == (self.codec != "none") else [f"{self.codec}: {sent} bytes sent for {last['txmsg_bytes']} of records"]


# -- What is written

def decided(suite):
    """Two workers and a capture of what they read: the capture is what was sent, its replay has the rows of the live run"""
    world = LINKED
    topic = world.topic("decided")
    job = world.job(topic)
    out = suite.path("decided-capture")
    stream = world.stream(job, topic)
    capture = captures.Capture(suite, out, world.address, topic, "--roll-bytes", "100KiB", environment=world.environment)
    workers = [Worker(job, world.address).begin(), Worker(job, world.address).begin()]
    wait_spread(workers)
    while not stream.is_done:
        stream.land(job, len(stream.lines) // 4 + 1, workers=workers)
    faults = finish(job, stream, workers)
    capture.wait_for(len(stream.records))
    faults += capture.stop() + captures.faults_of(out, stream.records)
    again, run = captures.replay(job, suite.path("decided-replay"), out, "--keep-open")
    suite.claim(decided.__doc__, faults + run.fault() + captures.rows_differ(job, again) + broker.faults(again, stream.records))
    captures.decisions(suite, "two workers", job, out)


def published(suite):
    """Gold rows, late rows and dead letters that a worker publishes through a kill are in the topics, each once by the headers"""
    for world in worlds(suite, LINKED):
        part = f"published-{world.server.address[-5:]}"
        source = world.topic(part)
        for topic, partitions in sinks.sink_topics(part).items():
            world.server.create(topic, partitions)
        # One record a batch, so that the broker states the topics' ends right.
        change = sinks.sinks(part, compression="zstd", options={"batch.num.messages": "1"})
        job = world.job(source, change=change)
        stream = world.stream(job, source, 1000)
        worker = Worker(job, world.address).begin()
        stream.land(job, 500, workers=[worker])
        worker.kill()
        worker = Worker(job, world.address).begin()
        stream.send()
        stream.close_windows()
        # A worker that is stopped leaves to the next one what the broker does not acknowledge soon.
        broker.wait("all is committed and published", lambda: not worker.is_running or broker.committed(job) >= len(stream.records)
                    and published_rows(world, part) >= table_rows(job), 240)
        faults = finish(job, stream, [worker], closing=False)
        found, repeats, rows = sinks.sink_faults(job, part, world.address)
        suite.claim(f"{published.__doc__} ({world.librdkafka})", faults + found + ([] if rows > 100 else [f"{rows} rows: nothing is shown"]))
        suite.note(f"{rows} rows, {repeats} repeats")


def published_rows(world, part):
    """The sum of the ends of the topics."""
    return sum(world.server.stated_end(topic, p) for topic, partitions in sinks.sink_topics(part).items() for p in range(partitions))


def table_rows(job):
    names = [f"quarantine/{job.stream}" if t == "quarantine" else t for t in sinks.TABLES]
    return sum(common.tables.read_delta(job.lake, n).num_rows for n in names if common.tables.is_table(os.path.join(job.lake, n)))


# -- A broker that restarts

def restarted(suite):
    """The broker is killed under two workers and comes back with its data, in a bucket: they continue by themselves, and all equals the reference"""
    store = aws.moto(suite)
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1"}
    client = boto3.client("s3", endpoint_url=store.url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1")
    client.create_bucket(Bucket="tansu")
    environment = {**os.environ, **keys, "AWS_ENDPOINT": store.url, "AWS_ALLOW_HTTP": "true"}
    try:
        with World(suite, name="bucket", storage="s3://tansu/", environment=environment) as world:
            topic = world.topic("restarted")
            job = world.job(topic, session="10s")
            stream = world.stream(job, topic, 2000)
            stream.send(500)
            workers = [Worker(job, world.address).begin(), Worker(job, world.address).begin()]
            broker.wait("they commit", lambda: broker.committed(job) > 0 or not all(w.is_running for w in workers))
            for _ in range(1 if suite.quick else 2):
                world.server.kill()
                time.sleep(2)
                world.server.start()
                stream.land(job, 500, 180, workers)
            stream.send()
            suite.claim(restarted.__doc__, finish(job, stream, workers))
    finally:
        store.close()


def emptied(suite):
    """A broker that comes back without its data"""
    with World(suite, name="memory") as world:
        topic = recreated.Topic(suite, world.server, "emptied").create()
        faults = topic.read(recreated.OLD)
        world.server.kill()
        world.server.start()
        missing = common.Result([suite.weir, "run", topic.pipeline, "--lake", topic.lake, "--store", topic.store])
        suite.claim("a broker that lost its data: a worker that starts names the missing topic", faults + missing.refusal_fault(topic.topic))
        topic.new = topic.records(recreated.OLD // 2, recreated.NEW)
        world.server.create(topic.topic)
        world.server.send(topic.topic, map(recreated.encoded, topic.new))
        suite.claim("the topic with other records is refused, with what to do", topic.refused(words=("--accept-recreated " + topic.topic,)))
        faults = topic.read(recreated.OLD + recreated.NEW, "--accept-recreated", topic.topic)
        suite.claim("accepted, each record counts once", faults + topic.faults(topic.old + topic.new))


def emptied_under_a_worker(suite):
    """A broker that loses its data under a worker"""
    with World(suite, name="memory-under") as world:
        topic = recreated.Topic(suite, world.server, "emptied-under").create()
        worker = topic.worker().begin()
        topic.until(recreated.OLD)
        world.server.kill()
        world.server.start()
        broker.wait("the worker ends by itself", lambda: not worker.is_running, 180)
        faults = [] if worker.process.returncode == 1 and topic.topic in worker.talk else [f"it ended with {worker.process.returncode}: {worker.talk}"]
        suite.claim("a broker that loses its data under a worker ends it, and it names the topic", faults)
        topic.new = topic.records(recreated.OLD // 2, recreated.NEW)
        world.server.create(topic.topic)
        world.server.send(topic.topic, map(recreated.encoded, topic.new))
        suite.claim("and no later worker reads on", topic.refused())
        faults = topic.read(recreated.OLD + recreated.NEW, "--accept-recreated", topic.topic)
        suite.claim("accepted, each record of it counts once", faults + topic.faults(topic.old + topic.new))


if __name__ == "__main__":
    suite = common.Suite("another_broker_agrees", 600, __doc__)
    LINKED, NEWER = World(suite), World(suite, is_newer=True)
    try:
        # The longest first.
        suite.run(restarted, eager, cooperative, eager_static, cooperative_static, decided, compressed, published, late_topics, start_at_a_time,
                  emptied_under_a_worker, emptied, start_at_the_end, together=6)
    finally:
        LINKED.close()
        NEWER.close()
