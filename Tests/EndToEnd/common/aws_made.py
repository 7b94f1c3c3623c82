"""The AWS calls that a binary really makes, against moto, compared with the table of calls."""
import contextlib
import http.client
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time

import aws_calls
import aws_proxy
import common

CALLS_PIPELINE = """pipeline: calls
source: {capture: {stream: calls}}
record: {format: json, key: k, time: {field: t, out_of_order: 2s}, fields: {k: string!, t: timestamp_ms!}}
silver: {}
gold: {per_key: {by: [k], window: {tumbling: 10s}, measure: {n: count()}}}
state: {totals: {by: [k], measure: {n: count()}}}
lake: {path: LAKE, flush: {bytes: 64KiB}}
store: STORE
"""


def made(suite):
    """The calls that a replay, ledger verify and doctor really make are those of the table"""
    if not importlib.util.find_spec("moto"):
        suite.note("moto is not installed: no calls are made")
        return
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    proxy = aws_proxy.CountingProxy(port)
    try:
        end = time.monotonic() + common.PATIENCE
        while time.monotonic() < end and server.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.2)
        for feature, lake, store, more, beside in (
                ("lake", "s3://calls-lake/p", "{lmdb: state}", "", ()), ("state", "lake", "{dynamodb: calls-state}", "", ()),
                ("catalog", "s3://calls-lake/c", "{lmdb: state}", "catalog: {glue: calls}\n", ("lake",)),
                ("secret_values", "lake", "{lmdb: state}", "admin: {token: {secretsmanager: calls-token}}\n", ()),
                ("parameters", "lake", "{lmdb: state}", "admin: {token: {ssm: /calls/token}}\n", ())):
            calls_of(suite, proxy, port, feature, CALLS_PIPELINE.replace("LAKE", lake).replace("STORE", store) + more, beside)
    finally:
        proxy.close()
        server.terminate()
        server.wait(60)


def calls_of(suite, proxy, port, feature, text, beside=()):
    """Runs a pipeline with the feature, and compares the calls of its runs with the table; those of the features `beside` may be made, too."""
    directory = suite.path(f"calls-{feature}")
    os.makedirs(directory)
    with open(os.path.join(directory, "p.yaml"), "w") as f:
        f.write(text)
    with open(os.path.join(directory, "c.ndjson"), "w") as f:
        f.writelines(json.dumps({"k": f"k{i % 50}", "t": 1_700_000_000_000 + i * 50}) + "\n" for i in range(8000))
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": proxy.url}
    weir = lambda *a: subprocess.run([suite.weir, *a], cwd=directory, env=environment, capture_output=True, text=True, timeout=common.RUN_LIMIT)
    if weir("check", "p.yaml").returncode:
        suite.note(f"this weir does not have the feature {feature}: no calls are made")
        return
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("PUT", "/calls-lake", headers={"Host": "127.0.0.1"})
    connection.getresponse().read()
    proxy.calls.clear()
    runs = [weir("replay", "p.yaml", "--capture", "c.ndjson"), weir("ledger", "verify", "p.yaml")]
    # moto may let two writers of one upload win, which doctor reports.
    weir("doctor", "p.yaml")
    faults = [f"exit {run.returncode}: {run.stderr[-300:]}" for run in runs if run.returncode]
    names = [name for name in aws_calls.features() if name == feature or name.startswith(f"{feature}_")] + ["doctor"] * (feature in ("lake", "catalog"))
    faults += aws_calls.unlisted(proxy.calls, *names, *beside) + ([] if proxy.calls else ["no calls were made"])
    if left := [fault.split()[0] for fault in aws_calls.unused(proxy.calls, *names)]:
        suite.note(f"{feature}: not made: {', '.join(left)}")
    suite.claim(f"{feature}: {made.__doc__} ({', '.join(f'{n} {call}' for call, n in sorted(proxy.calls.items()))})", faults)
