#!/usr/bin/env python3
"""Scripts/bench stores [--quick] [--n N] [--rounds N]   how fast rows are flushed to LMDB, Redis and DynamoDB.

`weir state rebuild` writes the rows of one state table, each with a key of its own, from the lake into an empty state table. The peers write
rows of the same size to the same servers: `redis-benchmark` (HSET, and ZADD for the index that Weir keeps too) and boto3 (conditional
PutItem on several threads); LMDB has none. Each run has the time of the whole process. The DynamoDB server is ministack, a program in Python
on this machine: it is the limit, not the network and not AWS.
"""
import argparse
import concurrent.futures
import os
import shutil
import socket
import subprocess
import sys
import time

import common

THREADS = 16
ROW_BYTES = 80
REDIS = os.path.join(common.ROOT, ".build", "tools", "redis-server")
PIPELINE = """\
pipeline: stores
source: {capture: {stream: events}}
record:
  format: json
  key: user
  time: {field: t, out_of_order: 5s}
  fields: {user: string!, t: timestamp_ms!, amount: int64}
state:
  users: {by: [user], measure: {rows: count(), total: sum(amount), last: max(t)}}
lake: {flush: {bytes: 32MiB}}
"""


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server on loopback, until its port answers; and the CPU seconds it took."""

    def __init__(self, command, number, **variables):
        self.port = number
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env={**os.environ, **variables}, start_new_session=True)
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", number), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    common.stop(f"{os.path.basename(command[0])} did not start", "Install what is missing:  Scripts/setup --tests")
                time.sleep(0.05)

    def cpu(self):
        fields = common.read(f"/proc/{self.process.pid}/stat").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / common.HZ

    def close(self):
        self.process.kill()
        self.process.wait()


def redis(out):
    number = port()
    directory = f"{out}/redis"
    os.makedirs(directory, exist_ok=True)
    program = REDIS if os.path.exists(REDIS) else shutil.which("redis-server")
    if not program:
        common.stop("there is no redis-server", "Install what is missing:  Scripts/setup --tests --tools")
    return Server([program, "--bind", "127.0.0.1", "--port", str(number), "--save", "", "--dir", directory], number)


def ministack():
    number = port()
    program = os.path.join(os.path.dirname(sys.executable), "ministack")
    return Server([program], number, BIND_HOST="127.0.0.1", GATEWAY_PORT=str(number))


def ran(run, log, name):
    if bad := common.trouble(run, log):
        common.stop(f"{name} failed: {bad}", f"Its output is in {log}.")
    return run


def boto3_puts(url, n):
    """Seconds for n conditional PutItem of rows of the same size, on several threads."""
    import boto3
    client = boto3.session.Session().client("dynamodb", endpoint_url=url, region_name="us-east-1", aws_access_key_id="A", aws_secret_access_key="B",
                                            config=boto3.session.Config(max_pool_connections=THREADS))
    client.create_table(TableName="peer", KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
                        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}])
    value = b"v" * ROW_BYTES

    def put(i):
        client.put_item(TableName="peer", Item={"p": {"S": f"user{i:08d}"}, "f": {"B": b"%016d" % i}, "v": {"B": value}},
                        ConditionExpression="attribute_not_exists(f) OR f < :f", ExpressionAttributeValues={":f": {"B": b"%016d" % i}})

    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(put, range(n)):
            pass
    return time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(prog="Scripts/bench stores", description=__doc__.split("\n\n")[1])
    parser.add_argument("--quick", action="store_true", help="20,000 rows (2,000 for DynamoDB), 1 round")
    parser.add_argument("--n", type=int, help="rows; default: 500,000, and 20,000 for DynamoDB")
    parser.add_argument("--rounds", type=int, help="of each, in turn; the fastest counts; default: 3")
    a = parser.parse_args()
    common.need_binary()
    n, rounds = a.n or (20_000 if a.quick else 500_000), a.rounds or (1 if a.quick else 3)
    few = min(n, 2_000 if a.quick else 20_000)
    out, log = f"{common.WORK}/out/stores", f"{common.WORK}/logs/stores.log"
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    with open(f"{out}/pipeline.yaml", "w") as f:
        f.write(PIPELINE)
    for count in {n, few}:
        with open(f"{out}/{count}.ndjson", "w") as f:
            f.writelines(f'{{"user":"user{i:08d}","t":{1_700_000_000_000 + i},"amount":{i}}}\n' for i in range(count))
        ran(common.measure([common.WEIR, "replay", f"{out}/pipeline.yaml", "--capture", f"{out}/{count}.ndjson", "--lake", f"{out}/lake{count}",
                            "--store", f"{out}/first{count}"], log), log, "the replay")

    rates = {}

    def add(store, who, count, wall, cpu=None, server=None):
        best = rates.setdefault((store, who), {"rate": 0})
        if count / wall > best["rate"]:
            best.update(rate=count / wall, rows=count, cpu=cpu, server=server)

    def rebuild(count, store, variables=None):
        return ran(common.measure([common.WEIR, "state", "rebuild", f"{out}/pipeline.yaml", "--lake", f"{out}/lake{count}", "--store", store], log, 600,
                                  variables), log, "weir state rebuild")

    for _ in range(rounds):
        shutil.rmtree(f"{out}/state", ignore_errors=True)
        run = rebuild(n, f"{out}/state")
        add("LMDB", "weir state rebuild", n, run["wall"], run["cpu"])
        server = redis(out)
        run = rebuild(n, f"redis://127.0.0.1:{server.port}/0")
        add("Redis", "weir state rebuild", n, run["wall"], run["cpu"], server.cpu())
        for command in (["HSET", "rows"], ["ZADD", "keys", "0"]):
            before = server.cpu()
            words = [*command, "user__rand_int__", *(["v" * ROW_BYTES] if command[0] == "HSET" else [])]
            run = ran(common.measure(["redis-benchmark", "-p", str(server.port), "-q", "-P", "100", "-c", "1", "-n", str(n), "-r", str(n), *words], log), log,
                      "redis-benchmark")
            add("Redis", f"redis-benchmark -P 100 {command[0]}", n, run["wall"], run["cpu"], server.cpu() - before)
        server.close()
        server = ministack()
        url = f"http://127.0.0.1:{server.port}"
        keys = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "B", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": url}
        before = server.cpu()
        run = rebuild(few, "dynamodb://rows", keys)
        add("DynamoDB", "weir state rebuild", few, run["wall"], run["cpu"], server.cpu() - before)
        before = server.cpu()
        add("DynamoDB", f"boto3 put_item, {THREADS} threads", few, boto3_puts(url, few), None, server.cpu() - before)
        server.close()
    shown = lambda seconds: "" if seconds is None else f"{seconds:.2f} s"
    rows = [[store, who, f"{v['rows']:,}", f"{v['rate']:,.0f}", shown(v["cpu"]), shown(v["server"])] for (store, who), v in rates.items()]
    m = common.machine()
    page = "\n".join([*common.machine_lines(m), "", f"best of {rounds}", "",
                      common.markdown(["server", "writer", "rows", "rows/s", "CPU of the writer", "CPU of the server"], rows)])
    common.save("stores", {"machine": m, "rates": [{"store": s, "writer": w, **v} for (s, w), v in rates.items()]}, page)
    print(page)


if __name__ == "__main__":
    main()
