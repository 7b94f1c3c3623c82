#!/usr/bin/env python3
"""TLS and SASL: workers, captures and loads authenticate with each mechanism, and errors name what is wrong and what to do, without a secret anywhere;
with Debian's librdkafka and with a newer one."""
import concurrent.futures
import os
import re
import threading

import common
import broker
import live_capture
import newer_librdkafka
from admin_answers_are_right import Watched
from broker import Broker
from certificates import Authority
from live_workers_equal_reference import Stream, live
from kafka_front import Front

PARTITIONS = 2
RECORDS, RECORDS_QUICK = 6_000, 1_500
USER, PASSWORD, WRONG_PASSWORD, KEY_PASSWORD = "canary-user", "canary-password-right", "canary-password-wrong", "canary-password-of-the-key"
AWS_KEY, AWS_SECRET = "AKIACANARY0000000000", "canary-secret-of-the-aws-key-00000000000"
COMMANDS_AT_A_TIME = 6
# Paths of the admin server that show settings, errors or readings.
SHOWN = ("/", "/live", "/started", "/ready", "/metrics", "/metrics?names=old", "/lanes", "/scale")


class World:
    """Authorities, certificates, secrets in files; a broker, and fronts before it."""

    def __init__(self, suite, topics, environment=None):
        """environment: of the commands and the broker: the mock of librdkafka 2.0 answers newer clients with wrong offsets."""
        self.suite, self.environment = suite, environment
        self.secrets = suite.path("secrets", next(iter(topics)))
        os.makedirs(self.secrets, exist_ok=True)
        self.authority = Authority(self.secrets, "authority")
        self.other = Authority(self.secrets, "other-authority")
        self.server = self.authority.sign("broker")
        self.client = self.authority.sign("worker", password=KEY_PASSWORD)
        for name, value in {"user": USER, "password": PASSWORD, "wrong": WRONG_PASSWORD, "key-password": KEY_PASSWORD}.items():
            with open(os.path.join(self.secrets, name), "w") as f:
                f.write(value + "\n")
        self.broker = Broker(topics, environment)
        self.fronts = {}

    def file(self, name):
        return {"file": os.path.join(self.secrets, name)}

    def front(self, name, **settings):
        if name not in self.fronts:
            self.fronts[name] = Front(self.secrets, f"front-{name}", self.broker.address, **settings)
        return self.fronts[name]

    def tls(self, certificate=None, password=None, **more):
        """The section `tls`; certificate: (certificate, key) of the client."""
        section = {"ca": self.authority.certificate, **more}
        if certificate:
            section |= {"certificate": certificate[0], "key": {"file": certificate[1]}}
        return section | ({"key_password": self.file(password)} if password else {})

    def sasl(self, mechanism, password="password"):
        return {"mechanism": mechanism, "user": self.file("user"), "password": self.file(password)}

    def own_secrets(self):
        """Texts that no output may have: passwords, the user, and a line of each private key."""
        found = [USER, PASSWORD, WRONG_PASSWORD, KEY_PASSWORD, AWS_SECRET]
        for name in os.listdir(self.secrets):
            if name.endswith(".key"):
                with open(os.path.join(self.secrets, name)) as f:
                    found.append(f.read().split("\n")[2])
        return [s.encode() for s in found]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for front in self.fronts.values():
            front.close()
        self.broker.close()


def job(world, name, topic, tls=None, sasl=None):
    identity = {**({"tls": tls} if tls is not None else {}), **({"sasl": sasl} if sasl else {})}
    # Everything that the client can log: a secret would show.
    made = common.Job(world.suite, world.suite.path(name), "synthetic", [], change=live(topic, options={"debug": "all"}, group=name, **identity))
    made.stream = "synthetic"
    return made


# -- What is right

def accepted(suite):
    """Identities: TLS, mutual TLS, PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and tokens of Amazon MSK"""
    each_way(suite, "accepted", ["tls", "mutual", "plain", "scram-256", "scram-512", "scram-512-mutual", "scram-256-without-tls", "msk"])


def accepted_by_newer(suite):
    """The same with the librdkafka of confluent-kafka's wheel"""
    version, environment = newer_librdkafka.environment(suite.path("newer-librdkafka"))
    each_way(suite, "accepted_by_newer", ["plain", "scram-512-mutual"], environment, version)


def each_way(suite, part, ways, environment=None, version=None):
    os.environ.update(AWS_ACCESS_KEY_ID=AWS_KEY, AWS_SECRET_ACCESS_KEY=AWS_SECRET, AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE="/dev/null",
                      AWS_SHARED_CREDENTIALS_FILE="/dev/null")
    users = {"users": {USER: PASSWORD}}
    part_topics = [f"{part}-{way}-{os.getpid()}" for way in ways]
    topics = {t: PARTITIONS for t in part_topics} | {f"loaded-{t}": PARTITIONS for t in part_topics}
    with World(suite, topics, environment) as world:
        secured = {"certificate": world.server}
        mutual = {**secured, "authority": world.authority.certificate}
        own = world.tls(world.client, "key-password")
        wanted = {
            "tls": (world.front("tls", **secured), {"tls": world.tls()}, {"tls": "TLSv1.3"}),
            "mutual": (world.front("mutual", **mutual), {"tls": own}, {"tls": "TLSv1.3", "certificate": "worker"}),
            "plain": (world.front("users", **secured, **users), {"tls": world.tls(), "sasl": world.sasl("PLAIN")}, {"tls": "TLSv1.3", "mechanism": "PLAIN", "user": USER}),
            "scram-256": (world.front("users-256", **secured, **users), {"tls": world.tls(), "sasl": world.sasl("SCRAM-SHA-256")},
                          {"tls": "TLSv1.3", "mechanism": "SCRAM-SHA-256", "user": USER}),
            "scram-512": (world.front("users-512", **secured, **users), {"tls": world.tls(), "sasl": world.sasl("SCRAM-SHA-512")},
                          {"tls": "TLSv1.3", "mechanism": "SCRAM-SHA-512", "user": USER}),
            "scram-512-mutual": (world.front("users-mutual", **mutual, **users), {"tls": own, "sasl": world.sasl("SCRAM-SHA-512")},
                                 {"tls": "TLSv1.3", "certificate": "worker", "mechanism": "SCRAM-SHA-512", "user": USER}),
            "scram-256-without-tls": (world.front("users-open", **users), {"sasl": world.sasl("SCRAM-SHA-256")}, {"mechanism": "SCRAM-SHA-256", "user": USER}),
            "msk": (world.front("iam", **secured, users={AWS_KEY: AWS_SECRET}, mechanisms=["OAUTHBEARER"]),
                    {"tls": world.tls(), "sasl": {"mechanism": "AWS_MSK_IAM", "region": "eu-central-1"}},
                    {"tls": "TLSv1.3", "mechanism": "OAUTHBEARER", "user": AWS_KEY}),
        }
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            running = [pool.submit(one_way, world, f"{part}-{way}", way, *wanted[way], version) for way in ways]
            for result in running:
                suite.claim(*result.result())
        leaks(suite, world, part)


def one_way(world, name, way, front, identity, connection, version):
    """(claim, faults): an exact live run, a capture and a load through a front."""
    suite, topic = world.suite, f"{name}-{os.getpid()}"
    text = f"{way}{f', librdkafka {version}' if version else ''}: a live run equals the reference, a capture has every record, a load arrives; each connection is authenticated so"
    made = job(world, name, topic, **identity)
    stream = Stream(suite, made, world.broker.address, topic, RECORDS_QUICK if suite.quick else RECORDS)
    worker = Watched(made, front.address, "--log-level", "debug", environment=world.environment)
    stream.send()
    stream.close_windows(PARTITIONS)
    broker.wait("all committed", lambda: broker.committed(made) >= len(stream.records) or not worker.is_running)
    answers = {path: worker.ask(path) for path in SHOWN}
    with open(os.path.join(made.directory, "answers"), "w") as f:
        print(answers, file=f)
    loaded = re.search(r'librdkafka="([^"]*)"', answers["/metrics"][1])
    faults = [f"the worker runs with librdkafka {loaded and loaded[1]}"] if version and (not loaded or loaded[1] != version) else []
    faults += worker.stop() + broker.faults(made, stream.records) + made.verify_faults()
    out = suite.path(f"{name}-capture")
    capture = run(world, name, "capture", made.pipeline, "--brokers", front.address, "--out", out, "--count", str(len(stream.records)))
    faults += [] if capture.code == 0 else [f"capture ended with {capture.code}: {capture.talk}"]
    captured = {(r.shard, r.offset): r.value for r in live_capture.records(out)} if capture.code == 0 else {}
    faults += [] if captured == {(r.shard, r.offset): r.value for r in stream.records} else [f"{len(captured)} of {len(stream.records)} records captured"]
    target = f"loaded-{topic}"
    load = run(world, name, "load", "--verify", loader(made, target), "--brokers", front.address, "--count", "200", "--settle", "1s", "--json",
               "--lake", made.lake, "--store", made.store)
    sent = sum(counts(world.broker.address, target))
    # The pipeline does not read this topic, so that only the sending can succeed.
    faults += [] if sent == 200 else [f"{sent} of 200 records arrived, load ended with {load.code}: {load.talk}"]
    seen = front.connections()
    faults += [f"a connection was {c}, expected {connection}" for c in seen if c != connection][:1] + ([] if len(seen) >= 3 else [f"only {len(seen)} connections"])
    return text, faults


def loader(made, topic):
    """The pipeline with another topic."""
    path = os.path.join(made.directory, "load.yaml")
    with open(made.pipeline) as f:
        spec = common.yaml.safe_load(f)
    spec["source"]["kafka"]["topic"] = topic
    with open(path, "w") as f:
        common.yaml.safe_dump(spec, f)
    return path


def counts(address, topic):
    """Records of each partition, asked of the broker directly."""
    client = broker.confluent_kafka.Consumer({"bootstrap.servers": address, "group.id": "counter", "log_level": 2})
    try:
        ends = [client.get_watermark_offsets(broker.confluent_kafka.TopicPartition(topic, p), 30) for p in range(PARTITIONS)]
        return [high - low for low, high in ends]
    finally:
        client.close()


def run(world, name, command, *arguments):
    """A finished command, whose output is kept in a file for the search for secrets."""
    result = common.Result([world.suite.weir, command, *arguments], limit=4 * common.PATIENCE, environment=world.environment)
    with open(world.suite.path(f"{name}-{command}.output"), "a") as f:
        f.write(result.out + result.err)
    return result


# -- What is wrong

def refused(suite):
    """Wrong settings: each command exits with a code, and names the cause and what to do"""
    each_mistake(suite, "refused", ("run", "capture", "load"))


def refused_by_newer(suite):
    """The same with the librdkafka of confluent-kafka's wheel"""
    version, environment = newer_librdkafka.environment(suite.path("newer-librdkafka"))
    each_mistake(suite, "refused_by_newer", ("capture",), environment, f", librdkafka {version}")


def each_mistake(suite, part, commands, environment=None, version=""):
    topic = f"{part}-{os.getpid()}"
    with World(suite, {topic: PARTITIONS}, environment) as world:
        users = {"users": {USER: PASSWORD}}
        secured = {"certificate": world.server}
        fronts = {
            "open": {}, "tls": secured, "mutual": {**secured, "authority": world.authority.certificate}, "users": {**secured, **users},
            "scram-only": {**secured, **users, "mechanisms": ["SCRAM-SHA-512"]}, "users-open": users,
            "expired": {"certificate": world.authority.sign("expired", days=-1)},
            "other-name": {"certificate": world.authority.sign("other-name", names="DNS:kafka.example")},
        }
        expired, stranger = world.authority.sign("expired-worker", days=-1), world.other.sign("stranger")
        wrong_authority = {"ca": world.other.certificate}
        # name: (front, tls, sasl, exit code, words of the cause, words of what to do)
        cases = {
            "wrong-authority": ("tls", wrong_authority, None, 1, "not signed by a trusted authority", wrong_authority["ca"]),
            "authorities-of-the-system": ("tls", {}, None, 1, "not signed by a trusted authority", "Set tls.ca"),
            "expired-broker": ("expired", world.tls(), None, 1, "its certificate has expired", "Renew the broker's certificate"),
            "wrong-host-name": ("other-name", world.tls(), None, 1, "for another host name", "host name of the certificate"),
            "no-client-certificate": ("mutual", world.tls(), None, 1, "requires a client certificate", "Set tls.certificate and tls.key"),
            "client-of-another-authority": ("mutual", world.tls(stranger), None, 1, "does not accept this client's certificate: unknown ca", "authority that the brokers trust"),
            "expired-client": ("mutual", world.tls(expired), None, 1, "does not accept this client's certificate: certificate expired", "must be valid now"),
            "key-of-another-certificate": ("mutual", world.tls((world.client[0], stranger[1])), None, 2, "tls.key", "belong together"),
            "wrong-key-password": ("mutual", world.tls(world.client, "wrong"), None, 2, "tls.key", "belong together"),
            "wrong-password-plain": ("users", world.tls(), world.sasl("PLAIN", "wrong"), 1, "does not accept this user and password", "Check sasl.user and sasl.password"),
            "wrong-password-scram-256": ("users", world.tls(), world.sasl("SCRAM-SHA-256", "wrong"), 1, "does not accept this user and password", "Check sasl.user and sasl.password"),
            "wrong-password-scram-512": ("users", world.tls(), world.sasl("SCRAM-SHA-512", "wrong"), 1, "does not accept this user and password", "Check sasl.user and sasl.password"),
            "wrong-password-without-tls": ("users-open", None, world.sasl("PLAIN", "wrong"), 1, "does not accept this user and password", "Check sasl.user and sasl.password"),
            "wrong-mechanism": ("scram-only", world.tls(), world.sasl("PLAIN"), 1, "only SCRAM-SHA-512", "Set sasl.mechanism"),
            "user-where-none-is-needed": ("tls", world.tls(), world.sasl("PLAIN"), 1, "does not use SASL", "Remove sasl"),
            "no-user": ("users", world.tls(), None, 1, "as brokers that require SASL do", "set sasl"),
            "no-tls": ("tls", None, None, 1, "as brokers that require TLS do", "set tls"),
            "tls-where-there-is-none": ("open", world.tls(), None, 1, "as brokers without TLS do", "remove tls"),
        }
        for name, settings in fronts.items():
            world.front(name, **settings)
        lock, results = threading.Lock(), {}

        def one(name, command):
            front, tls, sasl, code, cause, advice = cases[name]
            made = job(world, f"{part}-{name}-{command}", topic, tls, sasl)
            arguments = {
                "run": [made.pipeline, "--lake", made.lake, "--store", made.store],
                "capture": [made.pipeline, "--out", os.path.join(made.directory, "capture"), "--for", "60s"],
                "load": ["--verify", made.pipeline, "--count", "10", "--lake", made.lake, "--store", made.store],
            }[command]
            result = run(world, f"{part}-{name}", command, *arguments, "--brokers", world.fronts[front].address)
            error = result.err[result.err.rfind("\nweir: ") + 1:]
            faults = [] if result.code == code else [f"ended with {result.code}, expected {code}"]
            faults += [f"the error does not name {words!r}: {error[-500:]}" for words in (cause, advice) if words not in error]
            faults += [f"crashed: {c}" for c in common.CRASHES if c in result.err]
            faults += ["the ledger has entries"] if os.path.isdir(made.lake) and made.entries() else []
            faults += ["records were captured"] if command == "capture" and live_capture_is_there(made) else []
            with lock:
                results.setdefault(name, []).extend(f"{command}: {f}" for f in faults)
                seconds[command] = max(seconds.get(command, 0), result.seconds)
        seconds = {}
        with concurrent.futures.ThreadPoolExecutor(COMMANDS_AT_A_TIME) as pool:
            list(pool.map(lambda pair: one(*pair), [(name, command) for name in cases for command in commands]))
        for name, (_, _, _, code, cause, advice) in cases.items():
            # A path in the advice is that of the file that tls.ca names.
            advice = "the file of tls.ca" if advice.startswith("/") else f'"{advice}"'
            suite.claim(f'{name}{version}: {", ".join(commands)}: exit code {code}, "{cause}", {advice}', results[name])
        suite.note(f"longest: {', '.join(f'{c} {s:.0f} s' for c, s in seconds.items())}")
        attempts = [c for c in world.fronts["users"].connections() if "refused" in c and "invalid" in c["refused"].lower()]
        suite.note(f"{len(attempts)} attempts with a wrong password by {3 * len(commands)} commands")
        leaks(suite, world, part)


def live_capture_is_there(made):
    try:
        return bool(live_capture.records(os.path.join(made.directory, "capture")))
    except (FileNotFoundError, IndexError, ValueError):
        return False


def leaks(suite, world, part):
    """Searches everything that was written by the commands."""
    found, searched = [], 0
    secrets = world.own_secrets()
    for directory, _, files in os.walk(suite.directory):
        # Keys, passwords and logs of the fronts: the test's own.
        if directory.startswith(suite.path("secrets")):
            continue
        for name in files:
            searched += 1
            with open(os.path.join(directory, name), "rb") as f:
                data = f.read()
            found += [f"{os.path.relpath(os.path.join(directory, name), suite.directory)} has {s.decode()[:20]}..." for s in secrets if s in data]
    talk = [f for d, _, files in os.walk(suite.directory) for f in files if f.endswith((".err", ".output"))]
    suite.claim(f"{part}: no user, password or key in any log, output, answer of the admin server, ledger, table or capture ({searched} files), with all of the client's debug messages",
                found + ([] if talk else ["no log was found, so this shows nothing"]))


def main():
    suite = common.Suite("tls_and_sasl_authenticate", 400, __doc__)
    if os.environ.get("WEIR_TEST_KAFKA"):
        suite.note("not run on an external cluster: it has TLS and users of its own")
        suite.run()
    suite.run(accepted, accepted_by_newer, refused, refused_by_newer)


if __name__ == "__main__":
    main()
