#!/usr/bin/env python3
"""Tables in the Glue Data Catalog, and secrets of Secrets Manager and SSM: boto3 reads the tables that a run registers and compares their columns
with those that delta-rs reads from the lake; other programs' tables stay; a Glue that fails stops nothing. A Redis password and an admin token
are replaced while a worker runs. Nothing here is AWS: the servers are moto and ministack."""
import contextlib
import http.client
import json
import os
import signal
import subprocess

import boto3
from deltalake import DeltaTable

import common
import broker
import redis_server
from common import aws

REGION = "us-east-1"
PIPELINE = """pipeline: shop
source: {capture: {stream: Shop-Events}}
record:
  format: json
  key: k
  time: {field: t, out_of_order: 2s}
  fields: {k: string!, t: timestamp_ms!, price: "decimal(10, 2)", tags: "list<string>", seen: bool}
bronze: {}
silver: {partition_by: day(t)}
gold: {per_key: {by: [k], window: {tumbling: 10s}, measure: {n: count(), spent: sum(price)}}}
lake: {path: "s3://BUCKET/lake", flush: {bytes: 64KiB}}
CATALOG
"""
LIVE = """pipeline: live
source: {kafka: {brokers: "localhost:1", topic: t, group: live}}
record: {format: json, key: k, fields: {k: string!, n: int64}}
silver: {}
state: {last: {by: [k], measure: {c: count()}}}
store: {redis: {url: "redis://127.0.0.1:PORT/0", password: {secretsmanager: prod/redis, key: password, refresh: 6s}}, flush: 50ms}
lake: {flush: {every: 100ms}}
admin: {token: {ssm: /prod/token, refresh: 1s}}
"""
FIRST, SECOND = "correct-horse-battery", "staple-and-other-words"
HIVE = {"long": "bigint", "boolean": "boolean", "double": "double", "string": "string", "binary": "binary", "timestamp": "timestamp"}


@contextlib.contextmanager
def running(make, suite):
    server = make(suite)
    try:
        yield server
    finally:
        server.close()


def client(server, service):
    return boto3.client(service, region_name=REGION, endpoint_url=server.url, aws_access_key_id=aws.KEYS["AWS_ACCESS_KEY_ID"],
                        aws_secret_access_key=aws.KEYS["AWS_SECRET_ACCESS_KEY"])


def environment(suite, server, **more):
    return aws.environment(suite, **aws.KEYS, AWS_REGION=REGION, AWS_ENDPOINT_URL=server.url, **more)


class Shop:
    """A pipeline with its lake in a bucket of its own."""

    def __init__(self, suite, server, name, catalog="catalog: {glue: shop}"):
        self.suite, self.server, self.bucket = suite, server, f"shop-{name}"
        client(server, "s3").create_bucket(Bucket=self.bucket)
        self.file, self.capture = suite.path(f"{name}.yaml"), suite.path("shop.ndjson")
        with open(self.file, "w") as f:
            f.write(PIPELINE.replace("BUCKET", self.bucket).replace("CATALOG", catalog))
        with open(self.capture, "w") as f:
            f.writelines(json.dumps({"k": f"k{i % 20}", "t": 1_700_000_000_000 + i * 100, "price": i % 900 + 0.25, "tags": ["a"], "seen": i % 2 == 0})
                         + "\n" for i in range(1500))

    def environment(self):
        return environment(self.suite, self.server)

    def replay(self, **variables):
        return common.Result([self.suite.weir, "replay", self.file, "--capture", self.capture, "--json"],
                             environment=environment(self.suite, self.server, **variables))

    def delta(self, table):
        """{column: Hive's type} as delta-rs reads them from the lake."""
        options = {"AWS_ENDPOINT_URL": self.server.url, "AWS_REGION": REGION, "AWS_ALLOW_HTTP": "true",
                   "AWS_ACCESS_KEY_ID": aws.KEYS["AWS_ACCESS_KEY_ID"], "AWS_SECRET_ACCESS_KEY": aws.KEYS["AWS_SECRET_ACCESS_KEY"]}
        fields = json.loads(DeltaTable(f"s3://{self.bucket}/lake/{table}", storage_options=options).schema().to_json())["fields"]
        return {field["name"].lower(): hive(field["type"]) for field in fields}

    def tables(self, database="shop"):
        pages = client(self.server, "glue").get_paginator("get_tables").paginate(DatabaseName=database)
        return {table["Name"]: table for page in pages for table in page["TableList"]}

    def table_faults(self, prefix=""):
        """What differs between the catalog and the lake."""
        faults, there = [], self.tables()
        for path in ("bronze/Shop-Events", "silver/Shop-Events", "gold/per_key", "quarantine/Shop-Events"):
            table = there.get(prefix + path.lower().replace("/", "_").replace("-", "_"))
            if not table:
                faults.append(f"{path} is not registered: {sorted(there)}")
                continue
            storage = table.get("StorageDescriptor", {"Columns": [], "Location": None})
            got, wanted = {c["Name"]: c["Type"] for c in storage["Columns"]}, self.delta(path)
            faults += [] if got == wanted else [f"{path}: {got}, and delta-rs reads {wanted}"]
            faults += [] if storage["Location"] == f"s3://{self.bucket}/lake/{path}/" else [f"{path} is at {storage['Location']}"]
            wanted = {"spark.sql.sources.provider": "delta", "table_type": "delta", "EXTERNAL": "TRUE", "weir.pipeline": "shop"}
            faults += [f"{path}: {name} is {table['Parameters'].get(name)}" for name in wanted if table["Parameters"].get(name) != wanted[name]]
            faults += [] if table.get("TableType") == "EXTERNAL_TABLE" and not table.get("PartitionKeys") else [f"{path}: {table.get('TableType')}"]
        return faults


def hive(kind):
    """Delta's type in Hive's words: Spark's list of both, written apart from Weir's."""
    if isinstance(kind, str):
        return HIVE.get(kind) or (kind.replace(" ", "") if kind.startswith("decimal") else kind)
    if kind["type"] == "array":
        return f"array<{hive(kind['elementType'])}>"
    if kind["type"] == "map":
        return f"map<{hive(kind['keyType'])},{hive(kind['valueType'])}>"
    return f"struct<{','.join(f['name'].lower() + ':' + hive(f['type']) for f in kind['fields'])}>"


def registered(suite):
    """boto3 finds database, tables, columns and locations as delta-rs reads the lake, and a second run changes nothing"""
    for make in (aws.moto, aws.ministack):
        with running(make, suite) as server:
            shop = Shop(suite, server, make.__name__)
            done = shop.replay()
            suite.claim(f"{make.__name__}: {registered.__doc__}", done.fault() or shop.table_faults() or again(shop))
            suite.claim(f"{make.__name__}: columns that are missing in the catalog come back, and what others added stays", grown(shop))


def again(shop):
    before = shop.tables()
    done = shop.replay()
    return done.fault() or ([] if shop.tables() == before else ["the second run changed tables"])


def looked(suite):
    """`weir doctor` looks at the database and its tables, and changes nothing; it checks a state table alone"""
    with running(aws.moto, suite) as server:
        shop = Shop(suite, server, "looked")
        calls, faults = shop.environment(), []

        def doctor(code, *words, file=shop.file):
            run = common.Result([suite.weir, "doctor", file], environment=calls)
            # moto may let two writers win, which the first lines say.
            catalog = [line for line in run.out.splitlines() if line.split()[1:2] == ["catalog:"]]
            if not all(word in "\n".join(catalog) for word in words) or (code == 1) != any(line.startswith("FAILED") for line in catalog):
                faults.append(f"{words}: exit {run.code}: {catalog} {run.err}")
        doctor(0, "not there yet: the first worker creates it")
        faults += [] if client(server, "glue").get_databases()["DatabaseList"] == [] else ["doctor made a database"]
        faults += shop.replay().fault()
        doctor(0, "the database can be read", "5 of 5 tables are registered")
        other = suite.path("looked-other.yaml")
        with open(shop.file) as f, open(other, "w") as g:
            g.write(f.read().replace("pipeline: shop", "pipeline: other"))
        doctor(1, "of the pipeline shop", file=other)
        for store, code, words in (("dynamodb://weir-none", 0, "not there yet"), ("redis://127.0.0.1:1", 1, "FAILED"), (suite.path("no-store"), 0, "not there yet"),
                                   ("redis://127.0.0.1:99999", 2, "")):
            run = common.Result([suite.weir, "doctor", "--store", store], environment=calls)
            faults += [] if run.code == code and words in run.out and "nothing to check" not in run.err else [f"{store}: {run.code} {run.out} {run.talk}"]
        suite.claim(looked.__doc__, faults)


def grown(shop):
    """A table as an older plan registered it, which another program has described."""
    glue, name = client(shop.server, "glue"), "gold_per_key"
    table = shop.tables()[name]
    kept = {key: table[key] for key in ("Name", "StorageDescriptor", "TableType", "Parameters", "PartitionKeys") if key in table}
    kept["StorageDescriptor"]["Columns"] = [c for c in kept["StorageDescriptor"]["Columns"] if c["Name"] != "spent"]
    kept["Parameters"]["team"] = "sales"
    glue.update_table(DatabaseName="shop", TableInput={**kept, "Description": "views of a shop"})
    done = shop.replay()
    table = shop.tables()[name]
    faults = done.fault() or shop.table_faults()
    faults = list(faults) + ([] if table["Parameters"].get("team") == "sales" else ["another program's parameter is gone"])
    return faults + ([] if table.get("Description") == "views of a shop" else [f"the description is {table.get('Description')}"])


def foreign(suite):
    """A table of another program stays as it is, the others are registered, and the run says so and succeeds"""
    with running(aws.moto, suite) as server:
        shop, glue = Shop(suite, server, "foreign"), client(server, "glue")
        glue.create_database(DatabaseInput={"Name": "shop"})
        glue.create_table(DatabaseName="shop", TableInput={"Name": "gold_per_key", "Parameters": {"owner": "ana"}})
        before = shop.tables()["gold_per_key"]
        done, faults = shop.replay(), []
        faults += done.fault() or []
        faults += [] if shop.tables()["gold_per_key"] == before else ["it was changed"]
        faults += [] if "gold_per_key" in done.err and "another program made it" in done.err else [done.talk]
        faults += [f for f in shop.table_faults() if not f.startswith("gold/per_key")]
        suite.claim(foreign.__doc__, faults)


def failing(suite):
    """A Glue that cannot be reached, never answers, or has no database that may be made, stops no run: the rows are there, and the log says why"""
    faults = []
    with running(aws.moto, suite) as server:
        for name, catalog, variables, words in (
                ("away", "catalog: {glue: shop}", {"AWS_ENDPOINT_URL_GLUE": f"http://127.0.0.1:{aws.port()}", "AWS_MAX_ATTEMPTS": "1"}, "not registered"),
                ("missing", "catalog: {glue: {database: shop, create: false}}", {}, "Create the database, or remove create: false")):
            shop = Shop(suite, server, name, catalog)
            done = shop.replay(**variables)
            faults += [f"{name}: {fault}" for fault in done.fault() or []]
            faults += [] if words in done.err else [f"{name}: {done.talk}"]
            faults += [] if shop.delta("gold/per_key") else [f"{name}: there is no table"]
        silent = aws.Silent()
        try:
            shop = Shop(suite, server, "silent")
            done = shop.replay(AWS_ENDPOINT_URL_GLUE=silent.url)
        finally:
            silent.close()
        faults += [f"silent: {fault}" for fault in done.fault() or []]
        faults += [f"silent: no {word}: {done.talk}" for word in ("did not answer", "gold/per_key", "not registered in the Glue database shop")
                   if word not in done.err]
        faults += [] if silent.connections else ["silent: nothing was asked"]
        suite.claim(failing.__doc__, faults)


def refusals(suite):
    """weir check refuses what cannot work, with line and column, and asks nothing of a network"""
    faults = []
    base = PIPELINE.replace("BUCKET", "lake-b")
    for catalog, lake, wanted in (("catalog: {glue: Shop}", "s3://lake-b/lake", "lower-case"), ("catalog: {glue: shop}", "./lake", "in S3"),
                                  ("catalog: {glue: {database: shop, region: 'x y'}}", "s3://lake-b/lake", "region"),
                                  ("catalog: {glue: {create: true}}", "s3://lake-b/lake", "database"),
                                  ("admin: {token: {secretsmanager: 'a b'}}", "s3://lake-b/lake", "letters"),
                                  ("admin: {token: {ssm: /a, key: x}}", "s3://lake-b/lake", "no members"),
                                  ("admin: {token: {secretsmanager: prod/x, key: t}}\ncatalog: {glue: shop}", "s3://lake-b/lake", None)):
        path = suite.path("check.yaml")
        with open(path, "w") as f:
            f.write(base.replace("CATALOG", catalog).replace("s3://lake-b/lake", lake))
        # No credentials, no region and no server: a request would fail.
        run = common.Result([suite.weir, "check", path], environment=aws.environment(suite))
        if wanted is None:
            faults += [] if run.code == 0 else [f"{catalog}: {run.talk}"]
        elif run.code != 2 or wanted not in run.err + run.out or "check.yaml:12:" not in run.err + run.out:
            faults.append(f"{catalog}: exit {run.code}: {run.talk}")
    suite.claim(refusals.__doc__, faults)


class Worker:
    """weir run with a Redis table and an admin server."""

    def __init__(self, suite, b, pipeline, environment):
        self.err = suite.path("worker.err")
        with open(self.err, "w") as err:
            self.process = subprocess.Popen(
                [suite.weir, "run", pipeline, "--brokers", b.address, "--lake", suite.path("worker-lake"), "--admin", "127.0.0.1:0", "--log-format", "json"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, env=environment)
        try:
            broker.wait("the worker is ready", lambda: self.process.poll() is not None or self.port and self.ask("/ready")[0] == 200)
        except BaseException:
            self.process.kill()
            raise
        if self.process.poll() is not None:
            raise RuntimeError(f"the worker ended: {self.text[-400:]}")

    @property
    def text(self):
        with open(self.err) as f:
            return f.read()

    @property
    def port(self):
        for line in self.text.splitlines():
            with contextlib.suppress(ValueError):
                if json.loads(line).get("event") == "admin":
                    return int(json.loads(line)["address"].rsplit(":", 1)[1])
        return None

    def ask(self, path, token=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=common.PATIENCE)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(common.PATIENCE)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


def rotated(suite):
    """A Redis password and an admin token are replaced while a worker runs: it continues with the new ones, and no value is in its log or ledger"""
    with running(aws.moto, suite) as server, broker.Broker({"t": 1}) as b, \
            redis_server.Server(suite.path("redis"), password=FIRST) as redis:
        manager, ssm = client(server, "secretsmanager"), client(server, "ssm")
        manager.create_secret(Name="prod/redis", SecretString=json.dumps({"user": "default", "password": FIRST}))
        ssm.put_parameter(Name="/prod/token", Value=FIRST, Type="SecureString")
        pipeline = suite.path("live.yaml")
        with open(pipeline, "w") as f:
            f.write(LIVE.replace("PORT", str(redis.port)))
        worker, faults = Worker(suite, b, pipeline, environment(suite, server)), []
        try:
            producer = broker.Producer(b.address)

            def count(token):
                status, body = worker.ask("/state/last/a", token)
                return json.loads(body)["row"]["c"] if status == 200 else None

            def send(n, token, what):
                producer.send("t", json.dumps({"k": "a", "n": n}).encode(), b"a")
                producer.flush()
                broker.wait(what, lambda: count(token) == n or worker.process.poll() is not None)
                return [] if worker.process.poll() is None else [f"{what}: the worker ended: {worker.text[-400:]}"]
            faults += send(1, FIRST, "the first row is in the table")
            manager.put_secret_value(SecretId="prod/redis", SecretString=json.dumps({"user": "default", "password": SECOND}))
            ssm.put_parameter(Name="/prod/token", Value=SECOND, Type="SecureString", Overwrite=True)
            admin = redis.client()
            admin("CONFIG", "SET", "requirepass", SECOND)
            # The worker's connection ends, and its next one needs the new password.
            admin("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            broker.wait("the new token is taken", lambda: worker.ask("/lanes", SECOND)[0] == 200 or worker.process.poll() is not None)
            faults += send(2, SECOND, "the second row is in the table")
            faults += [] if worker.ask("/lanes", FIRST)[0] == 401 else ["the old token is still accepted"]
        finally:
            code = worker.stop()
        faults += [] if code == 0 else [f"exit {code}: {worker.text[-400:]}"]
        suite.claim(rotated.__doc__, faults + leaks(suite))


def leaks(suite):
    """Files of the worker that hold a value."""
    found = []
    for directory in ("worker-lake",):
        for root, _, names in os.walk(suite.path(directory)):
            for name in names:
                with open(os.path.join(root, name), "rb") as f:
                    content = f.read()
                found += [f"{name} has a secret" for value in (FIRST, SECOND) if value.encode() in content]
    with open(suite.path("worker.err"), "rb") as f:
        content = f.read()
    return found + ["the log has a secret" for value in (FIRST, SECOND) if value.encode() in content]


def errors(suite):
    """A secret that is missing, has no such member, or may not be read is an error that names it, in weir run and in weir doctor, without the value"""
    with running(aws.moto, suite) as server:
        client(server, "secretsmanager").create_secret(Name="prod/redis", SecretString=json.dumps({"pass": FIRST}))
        client(server, "ssm").put_parameter(Name="/prod/token", Value=FIRST, Type="SecureString")
        denied = aws.Scripted({"/": lambda *_: (400, {"Content-Type": "application/x-amz-json-1.1"},
                                               b'{"__type":"AccessDeniedException","message":"not authorized to perform this"}')})
        faults = []
        try:
            for secret, word, more in (("{secretsmanager: prod/redis, key: password}", "has no member password", {}),
                                       ("{secretsmanager: prod/other}", "does not exist", {}), ("{ssm: /prod/other}", "does not exist", {}),
                                       ("{secretsmanager: prod/redis}", "GetSecretValue", {"AWS_ENDPOINT_URL_SECRETS_MANAGER": denied.url}),
                                       ("{ssm: /prod/token}", "GetParameter", {"AWS_ENDPOINT_URL_SSM": denied.url}),
                                       ("{secretsmanager: prod/redis, key: pass}", "ok ", {})):
                path = suite.path("errors.yaml")
                with open(path, "w") as f:
                    f.write(LIVE.replace("PORT", "1").replace("{secretsmanager: prod/redis, key: password, refresh: 6s}", secret)
                            .replace("refresh: 1s", "refresh: 5m"))
                variables = environment(suite, server, **more)
                runs = [common.Result([suite.weir, "doctor", path, "--lake", suite.path("doctor-lake")], environment=variables)]
                if word != "ok ":
                    runs.append(common.Result([suite.weir, "run", path, "--brokers", "127.0.0.1:1", "--lake", suite.path("errors-lake")], environment=variables))
                name = secret.split(": ")[1].split(",")[0].rstrip("}")
                for run in runs:
                    text = run.out + run.err
                    faults += [f"{secret}: {run.command[1]}: {text[-300:]}"] if word not in text or name not in text or FIRST in text else []
                if word != "ok ":
                    faults += [] if runs[0].code == 1 and runs[1].code in (1, 2) else [f"{secret}: exits {[run.code for run in runs]}"]
        finally:
            denied.close()
        suite.claim(errors.__doc__, faults)


if __name__ == "__main__":
    common.Suite("glue_and_secrets_work", 60, __doc__).run(refusals, registered, looked, foreign, failing, errors, rotated)
