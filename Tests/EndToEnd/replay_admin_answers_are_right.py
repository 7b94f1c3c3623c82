#!/usr/bin/env python3
"""A replay that is watched: probes, metrics, stalls and drain of `weir replay --admin`, of a plain capture and of one of a live stream."""
import http.client
import json
import os
import subprocess
import time

import common
from readings import by, compare, samples, settled

from deltalake import DeltaTable

# More than the first MiB, by which a pipe is known again.
BATCH = 8000
PIPELINE = {
    "pipeline": "watched", "source": {"capture": {"stream": "s"}}, "worker": {"stall": "1s", "dead": "2s"},
    "record": {"format": "json", "key": "k", "fields": {"n": "int64!", "k": "string!"}},
    "checks": [{"name": "even", "that": "n % 10 <> 3"}], "quarantine": {"halt_above": "90%"}, "silver": {},
    "state": {"own": {"by": ["k"], "measure": {"c": "count()"}}}, "lake": {"flush": {"bytes": 300_000}},
}


def lines(first, count):
    return "".join(json.dumps({"n": n, "k": f"key-{n % 50}", "pad": "x" * 150}) + "\n" for n in range(first, first + count)).encode()


class Replay:
    """A replay of a pipe, with an admin server on a free port."""

    def __init__(self, suite, name, *more):
        self.suite, self.directory = suite, suite.path(name)
        os.makedirs(self.directory, exist_ok=True)
        self.pipeline = self.file("p.yaml")
        with open(self.pipeline, "w") as f:
            json.dump(PIPELINE, f)                                                          # JSON is YAML
        self.more = more
        self.begin()

    def file(self, name):
        return os.path.join(self.directory, name)

    def begin(self):
        seen = len(self.said("admin server on http://127.0.0.1:"))
        self.err = open(self.file("err"), "a+")
        self.process = subprocess.Popen(
            [self.suite.weir, "replay", self.pipeline, "--capture", "-", "--lake", self.file("lake"), "--store", self.file("store"),
             "--lanes", "3", "--json", "--admin", "127.0.0.1:0", *self.more],
            stdin=subprocess.PIPE, stdout=open(self.file("out"), "a"), stderr=self.err)
        end = time.monotonic() + common.PATIENCE
        while len(self.said("admin server on http://127.0.0.1:")) == seen and time.monotonic() < end and self.process.poll() is None:
            time.sleep(0.02)
        self.port = int(self.said("admin server on http://127.0.0.1:")[-1].rsplit(":", 1)[1])

    def said(self, words):
        if not os.path.exists(self.file("err")):
            return []
        with open(self.file("err")) as f:
            return [line.strip() for line in f if words in line]

    def give(self, first, count):
        self.process.stdin.write(lines(first, count))
        self.process.stdin.flush()

    def ask(self, path, method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=common.PATIENCE)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def metrics(self):
        return samples(self.ask("/metrics")[1])

    def value(self, name):
        return sum(self.metrics().get(name, {}).values())


def buckets(count):
    bad = sum(1 for n in range(count) if n % 10 == 3)
    return {"accepted": count - bad, "quarantined": bad, "duplicate": 0, "filtered": 0}


def watched(suite):
    replay = Replay(suite, "watched")
    replay.give(0, BATCH)
    # It reads whole blocks: what came after the last of them waits for more.
    faults = settled("records read", lambda: [] if replay.value("weir_input_records_total") > BATCH / 4 else [str(replay.value("weir_input_records_total"))])
    for path in ("/ready", "/live", "/started"):
        if replay.ask(path)[0] != 200:
            faults.append(f"{path}: {replay.ask(path)}")
    suite.claim("a replay that reads is ready, live and started, and counts what it read", faults)

    # What is committed is not all that was read: the last epoch is not full.
    settled("a commit", lambda: [] if replay.value("weir_records_committed_total") == replay.value("weir_input_records_total") else ["not yet"], 5)
    committed = {k: int(v) for k, v in by(replay.metrics(), "weir_records_committed_total", "bucket").items()}
    number = sum(committed.values())
    faults = compare(committed, buckets(number)) if number else ["nothing is committed"]
    faults += compare({"silver/s": by(replay.metrics(), "weir_output_rows_total", "table").get("silver/s")}, {"silver/s": committed.get("accepted")})
    suite.claim(f"the buckets and rows of the metrics are those of the first {number} records", faults)

    status, body = replay.ask("/lanes")
    lanes = json.loads(body)["lanes"] if status == 200 else []
    seen = int(replay.value("weir_input_records_total"))
    wanted = [{"consumed": len(lines(0, seen)), "committed": len(lines(0, number))} | buckets(number)]
    got = [{name: lane.get(name) for name in wanted[0]} for lane in lanes if lane["held"]]
    suite.claim("/lanes names the bytes that the replay has consumed and committed, and the buckets of all lanes",
                [] if got == wanted else [f"{status} {got}, expected {wanted}"])

    faults = settled("a stall", lambda: [] if replay.said("stalled:") else ["no line says so"], common.PATIENCE)
    words = replay.said("stalled:")[:1]
    if words and "delivers no more records and does not end" not in words[0]:
        faults.append(words[0])
    time.sleep(2.5)                                                                         # longer than `dead`
    if replay.ask("/live")[0] != 200:
        faults.append(f"/live: {replay.ask('/live')}")
    suite.claim("a pipe that gives nothing is reported once as what the replay waits for, and is no reason to kill it", faults)

    replay.give(BATCH, BATCH)
    suite.claim("it says when it makes progress again",
                settled("progress", lambda: [] if replay.said("makes progress again") else ["no line says so"], common.PATIENCE))
    status, body = replay.ask("/drain", "POST")
    code = replay.process.wait(common.PATIENCE)
    faults = [] if (status, code) == (202, 143) else [f"/drain: {status} {body}, exit code {code}"]
    if replay.ask("/live")[0] != 0:
        faults.append("the admin server outlives the replay")
    suite.claim("/drain ends a replay after a commit, as SIGTERM does", faults)

    replay.begin()
    replay.give(0, 3 * BATCH)
    replay.process.stdin.close()
    code = replay.process.wait(common.PATIENCE)
    got = sorted(DeltaTable(replay.file("lake/silver/s")).to_pyarrow_table().column("n").to_pylist())
    wanted = [n for n in range(3 * BATCH) if n % 10 != 3]
    suite.claim("the next run of the pipe finishes it, and every row is there once",
                ([] if code == 0 else [f"exit code {code}: {replay.said('')[-3:]}"]) + ([] if got == wanted else [f"{len(got)} rows of {len(wanted)}"]))


def refused(suite):
    directory = suite.path("refused")
    os.makedirs(directory)
    pipeline, capture = os.path.join(directory, "p.yaml"), os.path.join(directory, "c.ndjson")
    with open(pipeline, "w") as f:
        json.dump(PIPELINE, f)
    with open(capture, "wb") as f:
        f.write(lines(0, 10))
    faults = []
    for address in ("nowhere", "127.0.0.1:99999", "0.0.0.0:0"):
        run = common.Result([suite.weir, "replay", pipeline, "--capture", capture, "--lake", os.path.join(directory, "lake"), "--store",
                             os.path.join(directory, "store"), "--admin", address])
        if run.code != 2 or os.path.exists(os.path.join(directory, "lake", "_weir")):
            faults.append(f"{address}: exit code {run.code}: {run.talk[-200:]}")
    suite.claim("an address that cannot be used, or that other machines reach without a token, is refused before anything is read", faults)


common.Suite("replay_admin_answers_are_right", 300, __doc__).run(watched, refused)
