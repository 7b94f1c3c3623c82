#!/usr/bin/env python3
"""The schema of pipeline files, `weir schema`, accepts every valid pipeline and refuses wrong ones, as read by check-jsonschema and jsonschema."""
import concurrent.futures
import copy
import glob
import json
import os
import random
import subprocess
import sys

import common
import page_blocks
import yaml
from jsonschema import Draft202012Validator

SCHEMA = os.path.join(common.PIPELINES, "pipeline.schema.json")
PAGES = os.path.join(common.ROOT, "Sources", "WeirCommands", "Weir.docc")
LINE = "# yaml-language-server: $schema="
# Problems of a file's form, which the schema must find as well.
OF_FORM = {"unknown_key", "missing_key", "bad_duration", "bad_size"}

KAFKA = """
pipeline: p
source: {kafka: {brokers: {env: BROKERS}, topic: t, group: g, tls: {ca: ca.pem}, sasl: {mechanism: PLAIN, user: {env: U}, password: {file: F}}}}
record:
  key: user
  time: {field: at, out_of_order: 2s, max_ahead: off}
  fields: {user: string!, at: timestamp_ms!, n: {type: int64, path: a.n, coerce: true}, m: "decimal(12,2)!", l: "list<struct<a:int64>>"}
checks: [{name: c, that: n > 0, else: drop}]
quarantine: {halt_above: 5%}
dedup: {id: n, within: 1h}
bronze: {}
silver: {columns: ["*"], partition_by: day(at)}
gold: {g: {by: [user], window: {hopping: 1m, every: 10s, lateness: 1s}, measure: {rows: count()}}}
state: {u: {by: [user], measure: {rows: count()}, ttl: 7d}}
lake: {path: ./lake, flush: {every: 10s, bytes: 64MiB}, file_size: 1000, codec: zstd, format: delta}
store: {lmdb: ./state, flush: 100ms, share: 10%}
admin: {listen: "127.0.0.1:0", hosts: [h], metrics_token: true, token: {env: T}}
worker: {drain: 25s, memory: 2GiB, cloudwatch: {namespace: W, every: 1m}}
sinks: {kafka: {topics: {gold/g: gold}, compression: zstd}}
"""
CAPTURE = """
pipeline: p
source: {capture: {stream: s, deal: md5}}
record: {format: {csv: {header: true, "null": ["", "-"], columns: [user, n]}}, coerce: true, blank_lines: skip, fields: {user: string!, n: int64}}
silver: {tables: {a: {where: n > 0}, b: }}
store: {redis: {url: "redis://h:1/0", password: {env: P}}}
"""
KINESIS = """
pipeline: p
source: {kinesis: {stream: t, app: app-1, start: latest, read: polling, create: false}}
record: {framing: {each: Records}, fields: {user: string!}}
silver: {}
lake: {path: "s3://bucket/lake", s3: {region: eu-west-1, sse: "aws:kms", kms_key: k, path_style: true}}
store: {dynamodb: {table: weir-state, create: false}, flush: 10s}
catalog: {glue: {database: d}}
"""
ARRAYS = """
pipeline: p
source: {capture: {stream: s}}
record: {format: {json: {framing: array}}, fields: {user: string!}}
silver: {}
"""
# What is wrong, a valid pipeline, the place and the value; None: it is taken out.
WRONG = [
    ("an unknown section", KAFKA, ["silvr"], {}), ("no name", KAFKA, ["pipeline"], None), ("no record", KAFKA, ["record"], None),
    ("no source", KAFKA, ["source"], None), ("a list for a section", KAFKA, ["record"], []), ("a bad name", KAFKA, ["pipeline"], "a/b"),
    ("a name that begins with _", KAFKA, ["pipeline"], "_p"), ("two sources", KAFKA, ["source", "capture"], {"stream": "s"}),
    ("no source within source", KAFKA, ["source"], {}), ("topic and topics", KAFKA, ["source", "kafka", "topics"], ["a"]),
    ("no topic", KAFKA, ["source", "kafka", "topic"], None), ("no group", KAFKA, ["source", "kafka", "group"], None),
    ("an unknown key of kafka", KAFKA, ["source", "kafka", "topick"], "t"), ("a wrong word", KAFKA, ["source", "kafka", "misplaced"], "stop"),
    ("a duration without a unit", KAFKA, ["source", "kafka", "session"], 10), ("a duration with a wrong unit", KAFKA, ["record", "time", "out_of_order"], "2 sec"),
    ("a size that is none", KAFKA, ["source", "kafka", "queue"], "1 GB/s"), ("a secret in the file", KAFKA, ["source", "kafka", "sasl", "password"], "hunter2"),
    ("a secret at two places", KAFKA, ["admin", "token"], {"env": "T", "file": "F"}), ("a secret at none", KAFKA, ["admin", "token"], {}),
    ("a certificate without its key", KAFKA, ["source", "kafka", "tls", "certificate"], "c.pem"), ("no mechanism", KAFKA, ["source", "kafka", "sasl", "mechanism"], None),
    ("protobuf without a descriptor", KAFKA, ["record", "format"], "protobuf"), ("a wrong framing of protobuf", KAFKA, ["record", "format"], {"protobuf": {"descriptor": "d", "message": "m", "framing": "lines"}}),
    ("an unknown envelope", KAFKA, ["record", "envelope"], "debezium"), ("an unknown word for tombstones", KAFKA, ["record", "tombstones"], "keep"), ("no fields", KAFKA, ["record", "fields"], None),
    ("a type that is none", KAFKA, ["record", "fields", "n"], "integer!!"), ("a field without a type", KAFKA, ["record", "fields", "n"], {"path": "a"}),
    ("an unknown key of a field", KAFKA, ["record", "fields", "n", "paths"], "a"), ("a time without a field", KAFKA, ["record", "time", "field"], None),
    ("a truth value that is none", KAFKA, ["record", "coerce"], "ja"), ("checks that are no list", KAFKA, ["checks"], {"c": "n > 0"}),
    ("a check without a condition", KAFKA, ["checks"], [{"name": "c"}]), ("a wrong else", KAFKA, ["checks"], [{"name": "c", "that": "n > 0", "else": "skip"}]),
    ("a share without a percent sign", KAFKA, ["quarantine", "halt_above"], 5), ("no id", KAFKA, ["dedup", "id"], None),
    ("a window of a later version", KAFKA, ["gold", "g", "window"], {"session": "5m"}), ("no window", KAFKA, ["gold", "g", "window"], None),
    ("two kinds of windows", KAFKA, ["gold", "g", "window", "tumbling"], "1m"), ("a hopping window without its step", KAFKA, ["gold", "g", "window", "every"], None),
    ("no measures", KAFKA, ["gold", "g", "measure"], None), ("no groups", KAFKA, ["state", "u", "by"], None), ("a table with a bad name", KAFKA, ["gold", "a b"], {"by": []}),
    ("a key of gold in state", KAFKA, ["state", "u", "window"], {"tumbling": "1m"}), ("a wrong codec", KAFKA, ["lake", "codec"], "gzip"),
    ("a lake format of a later version", KAFKA, ["lake", "format"], "iceberg"), ("an unknown key of lake", KAFKA, ["lake", "flush", "size"], "1MiB"),
    ("two state tables", KAFKA, ["store", "redis"], "redis://h:1/0"), ("sinks without topics", KAFKA, ["sinks", "kafka", "topics"], None),
    ("an unknown sink", KAFKA, ["sinks", "s3"], {}), ("an unknown key of admin", KAFKA, ["admin", "port"], 80), ("an unknown key of worker", KAFKA, ["worker", "threads"], 2),
    ("a capture without a stream", CAPTURE, ["source", "capture", "stream"], None), ("a wrong deal", CAPTURE, ["source", "capture", "deal"], "sha1"),
    ("two formats", CAPTURE, ["record", "format", "tsv"], {}), ("an unknown key of CSV", CAPTURE, ["record", "format", "csv", "separator"], ";"),
    ("a header that is no truth value", CAPTURE, ["record", "format", "csv", "header"], 1), ("tables and columns of silver", CAPTURE, ["silver", "columns"], "*"),
    ("an unknown key of a silver table", CAPTURE, ["silver", "tables", "a", "by"], "n"), ("text without a pattern", CAPTURE, ["record", "format"], "text"),
    ("settings of a format without any", CAPTURE, ["record", "format"], {"raw": {}}), ("inputs and source", CAPTURE, ["inputs"], {}),
    ("a lookup without a key", CAPTURE, ["lookups"], {"l": {"file": "f.csv"}}), ("a lookup of two files", CAPTURE, ["lookups"], {"l": {"file": "f.csv", "path": "f", "key": "n"}}),
    ("no app", KINESIS, ["source", "kinesis", "app"], None), ("a wrong framing", ARRAYS, ["record", "format", "json", "framing"], "blocks"),
    ("framing without each", KINESIS, ["record", "framing"], {}), ("an unknown key of s3", KINESIS, ["lake", "s3", "bucket"], "b"),
    ("a wrong encryption", KINESIS, ["lake", "s3", "sse"], "AES"), ("a DynamoDB table without a name", KINESIS, ["store", "dynamodb", "table"], None),
    ("a catalog without a database", KINESIS, ["catalog", "glue", "database"], None), ("a registry without an address", KINESIS, ["record", "registry"], {"user": {"env": "U"}}),
]


def changed(text, path, value):
    out = yaml.safe_load(text)
    at = out
    for step in path[:-1]:
        if not isinstance(at[step], dict):
            at[step] = {"type": at[step]}
        at = at[step]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return out


def check(suite, path):
    """The codes of the problems that `weir check` finds; empty: it is valid."""
    done = subprocess.run([suite.weir, "check", path, "--json"], capture_output=True, text=True, timeout=common.PATIENCE)
    problems = [json.loads(line) for line in done.stdout.splitlines()]
    # That windows need a time is no matter of a file's form.
    codes = ["meaning" if "needs record.time" in p["message"] else p["code"] for p in problems if p["severity"] == "error"]
    if done.returncode not in (0, 2) or bool(codes) != (done.returncode == 2):
        raise RuntimeError(f"weir check {path}: exit {done.returncode}: {done.stderr[:300]}")
    return codes


def checker(*arguments):
    """check-jsonschema, another program than the one that wrote the schema."""
    return subprocess.run([os.path.join(os.path.dirname(sys.executable), "check-jsonschema"), *arguments], capture_output=True, text=True,
                          timeout=common.PATIENCE)


def write(suite, name, document):
    path = suite.path(f"{name}.yaml")
    with open(path, "w") as f:
        f.write(document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    return path


def printed(suite):
    """weir schema prints the file beside the examples, which is a JSON schema"""
    done = subprocess.run([suite.weir, "schema"], capture_output=True, timeout=common.PATIENCE)
    with open(SCHEMA, "rb") as f:
        faults = [] if done.returncode == 0 and done.stdout == f.read() else ["run: weir schema > Deploy/Pipelines/pipeline.schema.json"]
    meta = checker("--check-metaschema", SCHEMA)
    suite.claim(printed.__doc__, faults + ([meta.stdout] if meta.returncode else []))


def page_pipelines(suite):
    """[(name, path)] of the pipelines that the pages show as whole ones."""
    found = []
    for page in sorted(glob.glob(os.path.join(PAGES, "*.md"))):
        with open(page) as f:
            blocks, _ = page_blocks.split(f.read())
        texts = {}
        for block in blocks:
            if block.language != "yaml" or "pipeline" not in block.values:
                continue
            text = block.text
            if base := block.values.get("from"):
                text = yaml.safe_dump({**yaml.safe_load(texts[base]), **yaml.safe_load(text)}, sort_keys=False, allow_unicode=True)
            texts[block.values["pipeline"]] = text
            name = f"{os.path.basename(page)[:-3]}-{block.values['pipeline']}"
            found.append((name, write(suite, name, text)))
    return found


def valid(suite):
    """check-jsonschema accepts all pipelines in Deploy/Pipelines and on the pages, and each of Deploy/Pipelines names the schema"""
    own = sorted(glob.glob(os.path.join(common.PIPELINES, "*.yaml")))
    faults = []
    for path in own:
        with open(path) as f:
            first = f.readline().rstrip("\n")
        there = os.path.normpath(os.path.join(os.path.dirname(path), first.removeprefix(LINE)))
        if not first.startswith(LINE) or there != SCHEMA:
            faults.append(f"{os.path.basename(path)} begins with {first!r}, and not with {LINE}pipeline.schema.json")
    pages = page_pipelines(suite)
    made = [(n, write(suite, n, t)) for n, t in (("kafka", KAFKA), ("capture", CAPTURE), ("kinesis", KINESIS), ("arrays", ARRAYS))]
    done = checker("--schemafile", SCHEMA, *own, *(path for _, path in pages + made))
    faults += [f"check-jsonschema exits with {done.returncode}: {done.stdout[:3000]}"] if done.returncode else []
    faults += [f"{name}: weir check finds {codes}" for name, path in made if (codes := check(suite, path))]
    faults += [] if len(pages) > 15 else [f"only {len(pages)} pipelines on pages"]
    suite.claim(f"{valid.__doc__} ({len(own)} and {len(pages)})", faults)


def wrong(suite):
    """Wrong pipelines are refused by check-jsonschema, and by weir check"""
    with open(SCHEMA) as f:
        validator = Draft202012Validator(json.load(f))
    paths = [write(suite, f"wrong-{n}", changed(text, path, value)) for n, (_, text, path, value) in enumerate(WRONG)]
    done = checker("--schemafile", SCHEMA, "-o", "json", *paths)
    refused = {os.path.basename(e["filename"]) for e in json.loads(done.stdout)["errors"]}
    faults = []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(lambda path: check(suite, path), paths))
    for (what, *_), path, found in zip(WRONG, paths, codes):
        faults += [] if os.path.basename(path) in refused else [f"{what}: check-jsonschema accepts it: {path}"]
        faults += [] if found else [f"{what}: weir check accepts it: {path}"]
        with open(path) as f:
            if os.path.basename(path) in refused and validator.is_valid(yaml.safe_load(f)):
                faults.append(f"{what}: jsonschema accepts it")
    suite.claim(f"{wrong.__doc__} ({len(WRONG)})", faults)


def places(node, path=()):
    yield path
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, child in children:
        yield from places(child, path + (step,))


def mutated(document, r):
    """A copy with one or two changes: keys added, taken out, with another letter, and values of another kind."""
    out = copy.deepcopy(document)
    for _ in range(r.choice([1, 1, 2])):
        path = r.choice([p for p in places(out) if p])
        at = out
        for step in path[:-1]:
            at = at[step]
        step, value = path[-1], at[path[-1]]
        kind = r.randrange(5)
        if kind == 0 and isinstance(value, dict):
            value[r.choice(["colour", "where", "path", "topic", "format", "key", "every"])] = r.choice(["red", 5, True, [], {}, "5s"])
        elif kind == 1:
            at.pop(step)
        elif kind == 2 and isinstance(at, dict):
            at[str(step)[:-1] + r.choice("aez")] = at.pop(step)
        elif kind == 3:
            at[step] = r.choice(["10s", "5%", "1MiB", "x", 7, 2.5, True, [], ["a"], {}, {"env": "X"}, "string!", "true", "ten seconds"])
        else:
            other = r.choice([p for p in places(out) if p])
            source = out
            for name in other:
                source = source[name]
            # Where a text is needed, Weir reads null as one.
            if source is not None:
                at[step] = copy.deepcopy(source)
    return out


def mutations(suite):
    """Of changed pipelines the schema refuses only what weir check refuses, and all that weir check refuses for a file's form"""
    with open(SCHEMA) as f:
        validator = Draft202012Validator(json.load(f))
    documents = [yaml.safe_load(text) for text in (KAFKA, KAFKA, CAPTURE, KINESIS, ARRAYS)]
    for path in sorted(glob.glob(os.path.join(common.PIPELINES, "*.yaml"))):
        with open(path) as f:
            documents.append(yaml.safe_load(f))
    count, base = (150, suite.arguments.seed * 100_000) if suite.quick else (4000, suite.arguments.seed * 100_000)
    directory = suite.path("mutations")
    os.makedirs(directory)

    def one(number):
        r = random.Random(base + number)
        document = mutated(r.choice(documents), r)
        path = os.path.join(directory, f"{number}.yaml")
        with open(path, "w") as f:
            yaml.safe_dump(document, f, sort_keys=False)
        codes, errors = check(suite, path), [e.message[:200] for e in validator.iter_errors(document)]
        if errors and not codes:
            return f"{path}: weir check accepts it, and the schema does not: {errors}"
        if OF_FORM & set(codes) and not errors:
            return f"{path}: the schema accepts it, and weir check finds {codes}"
        if not errors:
            os.remove(path)
        return bool(errors)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(pool.map(one, range(count)))
    suite.note(f"{count} changed pipelines; the schema refuses {sum(f is True for f in found)}")
    suite.claim(mutations.__doc__, [f for f in found if isinstance(f, str)] + ([] if sum(f is True for f in found) > count / 4 else ["too few are wrong"]))


suite = common.Suite("schema_agrees_with_check", 300, __doc__)
suite.run(printed, valid, wrong, mutations)
