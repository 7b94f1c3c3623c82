#!/usr/bin/env python3
"""Places that contain each other are refused before anything is written, locally and in S3; partition directories always have valid names; files
that are not the ledger's are ignored in its directories, and lost ones are reported."""
import json
import os
import shutil
import socket

import common
import aws
import aws_proxy
import boto3
from deltalake import DeltaTable

PIPELINE = """pipeline: PIPELINE
source: {capture: {stream: rec}}
record: {format: json, key: id, fields: {id: string!, n: int64}}
bronze: {}
silver: {}
state: {per: {by: [id], measure: {rows: count()}}}
store: {lmdb: STORE}
lake: {path: "LAKE"}
"""
WAYS_ON = ("Give the lake", "Give the state table", "Give the capture", "Name a directory", "Copy the files", "Replay the capture")
BUCKET = "weir-places"


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def records(count=3):
    return "".join(json.dumps({"id": f"r{n}", "n": n}) + "\n" for n in range(count))


def tree(directory):
    """All files with their sizes."""
    return {os.path.join(top, name): os.lstat(os.path.join(top, name)).st_size for top, _, names in os.walk(directory) for name in names}


class Places:
    """A lake, its pipeline and its capture, in a directory of their own."""

    def __init__(self, suite, name):
        self.suite, self.top = suite, os.path.realpath(suite.path(name))
        os.makedirs(self.top)
        self.capture = write(self.path("rec.ndjson"), records())
        self.lake, self.store = self.path("lake"), self.path("state")
        self.pipeline = self.named(self.lake, self.store)

    def path(self, *parts):
        return os.path.join(self.top, *parts)

    def named(self, lake, store, pipeline="places", name="p.yaml"):
        return write(self.path(name), PIPELINE.replace("LAKE", lake).replace("STORE", store).replace("PIPELINE", pipeline))

    def weir(self, *command, environment=None):
        return common.Result([self.suite.weir, *command], environment=environment)

    def replay(self, lake=None, store=None, capture=None, pipeline=None, environment=None):
        return self.weir("replay", pipeline or self.pipeline, "--capture", capture or self.capture, "--lake", lake or self.lake,
                         "--store", store or self.store, "--keep-open", "--json", environment=environment)


def local(suite):
    """Every command that writes refuses a lake, a state table or a capture inside another lake or table; links, .. and slashes hide nothing"""
    places = Places(suite, "local")
    path = places.path
    faults = places.replay().fault()
    os.symlink(path("lake", "bronze", "rec"), path("link"))
    os.symlink(path("lake", "_weir", "not-there"), path("dangling"))
    before = tree(places.top)
    inner = path("lake", "silver", "rec", "inner")
    cases = [("a table", {"lake": path("lake", "bronze", "rec")}), ("in a table", {"lake": inner}), ("deep in it", {"lake": inner + "/a/b/"}),
             ("in a ledger", {"lake": path("lake", "_weir", "x")}), ("in a log", {"lake": path("lake", "bronze", "rec", "_delta_log", "x")}),
             ("in a kind of tables", {"lake": path("lake", "gold", "later")}), ("through a link", {"lake": path("link", "x")}),
             ("through .. after a link", {"lake": path("link", "..", "rec", "x")}), ("through a link to what is not there", {"lake": path("dangling")}),
             ("with slashes", {"lake": path("lake") + "//silver/./rec//inner//"}), ("the root", {"lake": "/"}), ("the root by ..", {"lake": "/tmp/.."}),
             ("the capture itself", {"lake": places.capture}), ("a ledger as capture", {"capture": path("lake", "_weir", "places", "ledger", "0" * 20 + ".json"), "lake": path("new")}),
             ("a file in a table as capture", {"capture": path("lake", "bronze", "rec", "_delta_log", "0" * 20 + ".json")}),
             ("a state table in a table", {"store": path("lake", "silver", "rec", "state")}), ("a state table in a ledger", {"store": path("lake", "_weir", "state")}),
             ("a state table in its own new lake", {"lake": path("new"), "store": path("new", "late", "state")})]
    for what, given in cases:
        run = places.replay(**given)
        if run.code != 2 or not any(way in run.err for way in WAYS_ON):
            faults.append(f"{what}: exit {run.code}: {run.talk[:300]}")
    wrong = places.named(inner, path("state"), name="wrong.yaml")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        live = write(path("live.yaml"), open(wrong).read().replace("capture: {stream: rec}", f'kafka: {{brokers: "{address}", topic: t, group: g}}'))
        for command in (["check", wrong], ["run", live], ["ledger", "restore-tables", wrong], ["state", "rebuild", wrong],
                        ["capture", "--brokers", address, "--topic", "t", "--out", inner]):
            run = places.weir(*command)
            if run.code != 2 or "is inside the Delta table" not in run.err or path("lake", "silver", "rec") not in run.err:
                faults.append(f"{command[:2]}: exit {run.code}: {run.talk[:300]}")
    run = places.weir("doctor", wrong)
    faults += [] if run.code == 1 and "FAILED" in run.out and "is inside the Delta table" in run.out else [f"doctor: {run.code} {run.out} {run.talk}"]
    after = tree(places.top)
    faults += [f"written: {sorted(set(after) ^ set(before))}"] if set(after) - set(before) - {wrong, live} or set(before) - set(after) else []
    # What only reads works, and so do places next to each other and in a lake's root.
    shutil.copytree(path("lake"), path("copy"))
    shutil.move(path("copy"), inner)
    run = places.weir("ledger", "verify", wrong)
    faults += [] if run.code == 0 else [f"verify of a lake in a wrong place: {run.code} {run.talk}"]
    for given in ({"lake": path("lake2"), "store": path("lake2", "state")}, {"lake": path("lake", "other"), "store": path("state3")}):
        faults += places.replay(**given).fault()
    other = places.named(places.lake, path("state4"), pipeline="other", name="other.yaml")
    run = places.replay(pipeline=other, store=path("state4"))
    faults += [] if run.code == 1 and "belongs to another ledger" in run.err else [f"two pipelines with one table: {run.code} {run.talk}"]
    suite.claim(f"{local.__doc__} ({len(cases)} replays)", faults)


def remote(suite):
    """A lake in S3 below its own capture, in another lake's table or ledger is refused with at most five requests, and nothing is written"""
    places, server = Places(suite, "remote"), aws.moto(suite)
    try:
        client = boto3.client("s3", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id=aws.KEYS["AWS_ACCESS_KEY_ID"],
                              aws_secret_access_key=aws.KEYS["AWS_SECRET_ACCESS_KEY"])
        client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="own/rec.ndjson", Body=records().encode())
        proxy = aws_proxy.CountingProxy(server.port)
        environment = aws.environment(suite, **aws.KEYS, AWS_REGION="us-east-1", AWS_ENDPOINT_URL=proxy.url)
        own = f"s3://{BUCKET}/own"
        keys = lambda: {item["Key"] for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])}
        faults = places.replay(lake=f"s3://{BUCKET}/lake", capture=own, environment=environment).fault()
        before = keys()
        for lake, capture, words in [
                (f"{own}/weir", own, "inside its own capture"), (own, own, "its own capture"), (f"{own}/weir", own + "/", "inside its own capture"),
                (f"s3://{BUCKET}/x", f"s3://{BUCKET}", "inside its own capture"), (f"s3://{BUCKET}/lake/bronze/rec/x", own, "is inside the Delta table"),
                (f"s3://{BUCKET}/lake/bronze/rec/x/y/z", own, "is inside the Delta table"), (f"s3://{BUCKET}/lake/_weir/x", own, "the ledgers of a lake"),
                (f"s3://{BUCKET}/lake/gold/later", own, "the tables (gold) of the lake"),
                (f"s3://{BUCKET}/lake", f"s3://{BUCKET}/lake/bronze/rec", "inside the tables (bronze)"), ("s3:/bkt/x", own, "s3://bkt/x"), ("s3//bkt", own, "s3://bkt"),
                ("s3://-no/x", own, "not the name of a bucket"), ("s3://1../x", own, "not the name of a bucket")]:
            proxy.calls.clear()
            run = places.replay(lake=lake, capture=capture, store=places.path("no-state"), environment=environment)
            asked = dict(proxy.calls)
            if run.code != 2 or words not in run.err or sum(asked.values()) > 5 or set(asked) - {"ListObjectsV2"}:
                faults.append(f"{lake} of {capture}: exit {run.code}, {asked}: {run.talk[:300]}")
        faults += [] if keys() == before and not os.path.exists(places.path("no-state")) else [f"written: {sorted(keys() ^ before)}"]
        # Next to the capture, with a name that begins in the same way.
        faults += places.replay(lake=f"s3://{BUCKET}/own-lake", capture=own, store=places.path("state5"), environment=environment).fault()
        for variables, words in [({"AWS_REGION": "us east/1"}, "a region is a name such as"), ({"AWS_ENDPOINT_URL": "http://127.0.0.1:99999"}, "a port from 1 to 65535"),
                                 ({"AWS_ENDPOINT_URL": None, "AWS_ENDPOINT_URL_S3": "http://h:0"}, "a port from 1 to 65535")]:
            run = places.replay(lake=f"s3://{BUCKET}/z", capture=own, environment=aws.environment(suite, **{**aws.KEYS, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": proxy.url, **variables}))
            faults += [] if run.code == 2 and words in run.err else [f"{variables}: {run.code} {run.talk}"]
        run = places.replay(lake="s3://No_Bkt/x", environment=aws.environment(suite, **aws.KEYS, AWS_REGION="us-east-1"))
        faults += [] if run.code == 2 and "S3 has no bucket No_Bkt" in run.err and "lower-case" in run.err else [f"No_Bkt: {run.code} {run.talk}"]
        proxy.close()
    finally:
        server.close()
    suite.claim(remote.__doc__, faults)


def partitions(suite):
    """Long names and values of partition columns have directories; names that leave no room are refused by check"""
    places, faults = Places(suite, "partitions"), []
    def pipeline(name):
        return write(places.path(f"{len(name)}.yaml"), f"""pipeline: long
source: {{capture: {{stream: rec}}}}
record: {{format: json, fields: {{v: {{type: string, path: v}}, n: int64}}}}
silver: {{columns: 'v as {name}, n', partition_by: {name}}}
lake: {{path: "{places.path('lake-' + str(len(name)))}"}}
""")
    values = ["a", "v" * 54, "v" * 55, "v" * 150, "v" * 151, "/" * 60, "/" * 70, "ü" * 75, None, "x" * 3000]
    capture = write(places.path("long.ndjson"), "".join(json.dumps({"v": value, "n": n}) + "\n" for n, value in enumerate(values)))
    for size in (50, 100, 183, 184, 228):
        name = "n" * size
        run = places.weir("replay", pipeline(name), "--capture", capture, "--json")
        faults += [f"{size}: {fault}" for fault in run.fault()]
        if run.code == 0:
            rows = DeltaTable(places.path(f"lake-{size}", "silver", "rec")).to_pyarrow_table().select([name, "n"]).to_pylist()
            found = [row[name] for row in sorted(rows, key=lambda row: row["n"])]
            faults += [] if found == values else [f"{size}: the values differ: {found}"]
            run = places.weir("ledger", "verify", pipeline(name))
            faults += [] if run.code == 0 else [f"{size}: verify: {run.talk}"]
    run = places.weir("check", pipeline("n" * 229))
    faults += [] if run.code == 2 and "at most 228" in run.err else [f"229: {run.code} {run.talk}"]
    suite.claim(partitions.__doc__, faults)


def strays(suite):
    """Files that are not the ledger's are ignored in its directories; lost entries make restore-tables exit with 1"""
    places, faults = Places(suite, "strays"), []
    faults += places.replay().fault()
    ledger = places.path("lake", "_weir", "places")
    names = (".DS_Store", "zzz.json", "0000.json.tmp", "9" * 20 + ".json.bak", "~.json")
    for directory in ("ledger", "snapshots", "pointers", "collected", "schemas", "sinks"):
        os.makedirs(os.path.join(ledger, directory), exist_ok=True)
        for name in names:
            write(os.path.join(ledger, directory, name), "{")
    def verify(words):
        run = places.weir("ledger", "verify", places.pipeline)
        return [] if run.code == 0 and words in run.err + run.out else [f"verify: {run.code} {run.talk} {run.out}"]
    faults += verify("not an entry of the ledger; ignored")
    write(places.capture, records(5))
    for command in (["ledger", "restore-tables", places.pipeline], ["ledger", "show", places.pipeline], ["state", "rebuild", places.pipeline]):
        run = places.weir(*command)
        faults += [] if run.code == 0 else [f"{command[:2]}: {run.code} {run.talk}"]
    faults += places.replay().fault() + verify("ignored")
    shutil.rmtree(os.path.join(ledger, "ledger"))
    run = places.weir("ledger", "restore-tables", places.pipeline)
    faults += [] if run.code == 1 and "has lost entries" in run.err and "all tables match the ledger\n" not in run.err else [f"restore-tables: {run.code} {run.talk}"]
    run = places.weir("ledger", "verify", places.pipeline)
    faults += [] if run.code == 1 and "missing" in run.err else [f"verify without entries: {run.code} {run.talk}"]
    # Without any file of the ledger.
    shutil.rmtree(ledger)
    for command, code, words in ((["ledger", "restore-tables", places.pipeline], 2, "there is no ledger"), (["ledger", "verify", places.pipeline], 2, "there is no ledger")):
        run = places.weir(*command)
        faults += [] if run.code == code and words in run.err else [f"{command[:2]} without a ledger: {run.code} {run.talk}"]
    run = places.replay()
    faults += [] if run.code == 1 and "belongs to another ledger" in run.err else [f"replay without a ledger: {run.code} {run.talk}"]
    suite.claim(strays.__doc__, faults)


def kinds(suite):
    """What has a file's name and is no regular file is an error that names it; a pipeline from a pipe is read; doctor leaves nothing in a lake"""
    places = Places(suite, "kinds")
    path, faults = places.path, places.replay().fault()
    ledger, log = path("lake", "_weir", "places", "ledger"), path("lake", "bronze", "rec", "_delta_log")
    entry, commit = os.path.join(ledger, sorted(os.listdir(ledger))[-1]), os.path.join(log, "0" * 19 + "1.json")
    for file in (entry, commit):
        kept = file + ".kept"
        os.rename(file, kept)
        for word, make in (("named pipe", os.mkfifo), ("directory", os.mkdir)):
            make(file)
            for command in (["ledger", "verify", places.pipeline], ["ledger", "show", places.pipeline], None):
                # The tables are not shown, and a worker needs no entry that the ledger's snapshot covers.
                if (file == commit and command and command[1] == "show") or (file == entry and not command):
                    continue
                run = places.weir(*command) if command else places.replay()
                said = run.out + run.err
                if run.code == 0 or (word == "named pipe" and not (word in said and os.path.basename(file) in said)):
                    faults.append(f"{word} {file} with {command or 'replay'}: {run.code} {run.out[-300:]} {run.talk[:300]}")
            os.rmdir(file) if word == "directory" else os.remove(file)
        os.rename(kept, file)
    os.mkfifo(path("fifo.yaml"))
    run = places.weir("check", path("fifo.yaml"))
    faults += [] if run.code == 2 and "named pipe" in run.err else [f"a FIFO as the pipeline: {run.code} {run.talk}"]
    run = common.Result(["bash", "-c", f"{suite.weir} check <(cat {places.pipeline}) && cat {places.pipeline} | {suite.weir} check /dev/stdin"])
    faults += [] if run.code == 0 else [f"a pipeline from a pipe: {run.code} {run.talk}"]
    os.symlink(path("nothing"), path("dangling"))
    for given, words in (({"store": "/"}, "root of the file system"), ({"lake": path("dangling")}, "symbolic link"), ({"store": path("dangling")}, "symbolic link"),
                         ({"lake": path("n" * 256)}, "256 bytes"), ({"lake": path(*["n" * 200] * 19)}, "too long")):
        run = places.replay(**given)
        faults += [] if run.code == 2 and words in run.err else [f"{words}: {run.code} {run.talk[:300]}"]
    run = places.weir("capture", "--brokers", "127.0.0.1:1", "--topic", "t", "--out", "/")
    faults += [] if run.code == 2 and "root of the file system" in run.err else [f"capture into the root: {run.code} {run.talk}"]
    before = sorted(os.walk(places.top))
    for lake, words in ((path("lake"), "ok"), (path("a", "b"), "not there yet")):
        run = places.weir("doctor", "--lake", lake)
        faults += [] if run.code == 0 and words in run.out else [f"doctor of {lake}: {run.code} {run.out} {run.talk}"]
    faults += [] if sorted(os.walk(places.top)) == before else ["doctor left directories"]
    run = places.weir("doctor", "--store", path("lake", "bronze", "state"))
    faults += [] if run.code == 1 and "of the lake" in run.out else [f"doctor of a state table in a table: {run.code} {run.out} {run.talk}"]
    suite.claim(kinds.__doc__, faults)


def main():
    suite = common.Suite("places_are_checked", 300, __doc__)
    suite.run(local, remote, partitions, strays, kinds)


if __name__ == "__main__":
    main()
