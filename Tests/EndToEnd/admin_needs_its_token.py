#!/usr/bin/env python3
"""The admin server answers those who may ask: hosts, the token, and probes while hundreds of connections are held open."""
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import threading
import time

import common
import broker

TOKEN = "correct-horse-battery-staple"
PIPELINE = """pipeline: access
source: {kafka: {brokers: "localhost:1", topic: t, group: access}}
record: {format: json, key: k, fields: {k: string!, n: int64}}
silver: {}
state: {last: {by: [k], measure: {c: count()}}}
lake: {flush: {every: 100ms}}
"""
OPEN = ["/live", "/ready", "/started"]
GUARDED = ["/", "/lanes", "/scale", "/state/last/k1", "/drain", "/nothing"]
HELD = 1000         # connections that are held open
PROBES = 40


class Server:
    """A worker with an admin server on a free port."""

    def __init__(self, suite, b, name, admin, listen="0.0.0.0:0"):
        self.pipeline = suite.path(f"{name}.yaml")
        with open(self.pipeline, "w") as f:
            f.write(PIPELINE + f"admin: {admin}\n")
        self.err = suite.path(f"{name}.err")
        with open(self.err, "w") as err:
            self.process = subprocess.Popen(
                [suite.weir, "run", self.pipeline, "--brokers", b.address, "--lake", suite.path(f"{name}-lake"), "--store", suite.path(f"{name}-store"),
                 "--admin", listen, "--log-format", "json"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
                env={**os.environ, "WEIR_ADMIN_TOKEN": TOKEN})
        broker.wait("the admin server", lambda: self.port or self.process.poll() is not None, 60)
        if self.process.poll() is not None:
            raise RuntimeError(f"the worker ended with {self.process.returncode}: {open(self.err).read()[-300:]}")
        broker.wait("it is ready", lambda: self.ask("/ready")[0] == 200, 60)

    @property
    def port(self):
        for line in open(self.err):
            if line.endswith("\n") and json.loads(line).get("event") == "admin":
                return int(json.loads(line)["address"].rsplit(":", 1)[1])
        return None

    def ask(self, path, method="GET", timeout=common.PATIENCE, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, headers={k.title(): v for k, v in headers.items()})
            answer = connection.getresponse()
            answer.read()
            return answer.status, dict(answer.getheaders())
        except OSError as e:
            return 0, str(e)
        finally:
            connection.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def guarded(suite):
    """Other machines' address: hosts, the token, and what needs neither"""
    with broker.Broker({"t": 1}) as b:
        server = Server(suite, b, "guarded", "{token: {env: WEIR_ADMIN_TOKEN}, hosts: [weir.example]}")
        faults = []
        for path in OPEN + ["/metrics"] + GUARDED:
            status, headers = server.ask(path)
            wanted = 200 if path not in GUARDED else 401
            if status != wanted or (status == 401 and headers.get("Www-Authenticate", headers.get("WWW-Authenticate")) != "Bearer"):
                faults.append(f"{path} without a token: {status} {headers}")
            status, _ = server.ask(path, authorization=f"Bearer {TOKEN}x")
            faults += [] if status == wanted else [f"{path} with a wrong token: {status}"]
            status, _ = server.ask(path, authorization=f"Bearer {TOKEN}")
            faults += [f"{path} with the token: {status}"] if status in (0, 401, 421) else []
            status, _ = server.ask(path, host="evil.example", authorization=f"Bearer {TOKEN}")
            faults += [] if status == 421 else [f"{path} as evil.example: {status}"]
            status, _ = server.ask(path, host="WEIR.example:80")
            faults += [] if status == wanted else [f"{path} as weir.example: {status}"]
        status, _ = server.ask("/drain", "POST")
        faults += [] if status == 401 and server.process.poll() is None else [f"POST /drain without a token: {status}"]
        faults += hosts(server)
        with open(server.err) as f:
            faults += ["the token is in the log"] if TOKEN in f.read() else []
        suite.claim(guarded.__doc__, faults)
        starved(suite, server)
        status, _ = server.ask("/drain", "POST", authorization=f"Bearer {TOKEN}")
        code = server.process.wait(60)
        suite.claim("POST /drain with the token drains", [] if (status, code) == (202, 0) else [f"{status}, exit {code}"])


def raw(server, request, answers=None):
    """The status of the answer to these bytes, and whether the server closes its side after it; waits for so many answers, or for that."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=common.PATIENCE) as s:
        s.sendall(request)
        got = b""
        try:
            while more := s.recv(1 << 16):
                got += more
                if answers and got.count(b"HTTP/1.1 ") >= answers:
                    s.settimeout(1)         # it might close still
            closed = True
        except TimeoutError:
            closed = False
        except ConnectionResetError:
            closed = True
        return int(got.split(b" ")[1]) if got.count(b" ") > 1 else 0, closed, got.count(b"HTTP/1.1 ")


def hosts(server):
    """The Host rule over the wire: the target and the version are seen, and a connection that is not kept alive is closed."""
    faults = []
    one = b"Host: localhost\r\n"
    for line, headers, wanted in (
            (b"/live HTTP/1.0", b"", 200), (b"/live HTTP/1.0", b"Connection: keep-alive\r\n", 200), (b"/live HTTP/1.0", b"Host: evil.example\r\n", 421),
            (b"/live HTTP/1.1", b"Connection: Close\r\n" + one, 200), (b"/live HTTP/1.1", b"Connection: close\r\n", 400),
            (b"/live HTTP/1.1", b"Connection: close\r\n" + one + one, 400), (b"/live HTTP/1.1", b"Connection: close\r\nHost: [::1].evil.com\r\n", 400),
            (b"/live HTTP/1.1", b"Connection: close\r\nHost: 127.0.0.1:abc\r\n", 400), (b"http://evil.example/live HTTP/1.1", b"Connection: close\r\n" + one, 421),
            (b"http://localhost/live HTTP/1.1", b"Connection: close\r\nHost: evil.example\r\n", 200),
            (b"/live HTTP/1.1", b"Connection: close\r\nHost: evil.example\r\nweir-request-target: http://localhost/live\r\n", 421),
            (b"/live HTTP/1.1", b"Connection: close\r\nweir-request-version: 1.0\r\n", 400)):
        status, closed, _ = raw(server, b"GET " + line + b"\r\n" + headers + b"\r\n")
        faults += [] if (status, closed) == (wanted, True) else [f"{line} with {headers}: {status}, {'closed' if closed else 'left open'}"]
    token = b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"
    for headers in (token + b"Authorization: Bearer other\r\n", b"Authorization: Bearer other\r\n" + token, token + token,
                    b"Content-Length: 9223372036854775808\r\n", b"Content-Length: 65537\r\n", b"Content-Length: 10\r\nContent-Length: 10\r\n"):
        status, closed, _ = raw(server, b"GET /live HTTP/1.1\r\n" + one + headers + b"\r\n")
        faults += [] if (status, closed) == (400, True) else [f"{headers}: {status}, {'closed' if closed else 'left open'}"]
    status, closed, _ = raw(server, b"GET /live HTTP/1.1\r\nConnection: close\r\n" + one + b"Content-Length: 4\r\n\r\nbody")
    faults += [] if (status, closed) == (200, True) else [f"a short body: {status} {closed}"]
    status, closed, answers = raw(server, (b"GET /live HTTP/1.1\r\n" + one + b"\r\n") * 2, answers=2)
    faults += [] if (status, closed, answers) == (200, False, 2) else [f"two requests on a connection: {status} {closed} {answers}"]
    # Hundreds of requests for metrics that are sent at once must not keep probes waiting.
    status, closed, answers = raw(server, (b"GET /metrics HTTP/1.1\r\n" + one + b"\r\n") * 3)
    faults += [] if (status, closed, answers) == (200, True, 1) else [f"three requests for metrics on a connection: {status} {closed} {answers}"]
    return faults


def starved(suite, server):
    """Probes are answered"""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    for what, first in (("idle", b""), ("sending headers byte by byte", b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "),
                        ("not reading answers", b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 200),
                        ("keeping alive", b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")):
        held, ended = [], threading.Event()

        def trickle():
            while not ended.wait(0.2):
                for s in list(held):
                    try:
                        s.send(b"x")
                    except OSError:
                        pass
        faults, opened = [], 0
        slow = threading.Thread(target=trickle, daemon=True)
        if "byte" in what:
            slow.start()
        for i in range(HELD):
            try:
                s = socket.create_connection(("127.0.0.1", server.port), timeout=common.PATIENCE)
                s.setblocking(False)
                if first:
                    s.send(first)
                held.append(s)
                opened += 1
            except OSError as e:
                faults.append(f"connection {i}: {e}")
                break
            if i % (HELD // PROBES) == 0:
                status, why = server.ask(("/live", "/ready", "/started")[i % 3])
                faults += [] if status == 200 else [f"a probe with {i} connections: {status} {why}"]
        files = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        for _ in range(5):
            status, why = server.ask("/live")
            faults += [] if status == 200 else [f"a probe at the end: {status} {why}"]
            time.sleep(0.1)
        faults += [] if opened == HELD else [f"only {opened} connections were made"]
        faults += [] if files < 300 else [f"the worker holds {files} descriptors"]
        ended.set()
        for s in held:
            s.close()
        suite.claim(f"probes are answered while {HELD} connections are {what}; the worker holds few of them", faults)


def wide(suite):
    """An address that other machines reach, without a token: refused by check and run, unless it is called insecure"""
    faults = []
    path = suite.path("wide.yaml")
    for admin, listen, wanted in (("{}", "0.0.0.0:0", 2), ("{}", "[::]:0", 2), ("{hosts: [a]}", "0.0.0.0:0", 2), ("{insecure: false}", "0.0.0.0:0", 2)):
        with open(path, "w") as f:
            f.write(PIPELINE + f"admin: {admin}\n")
        run = common.Result([suite.weir, "run", path, "--admin", listen, "--lake", suite.path("l"), "--store", suite.path("s")])
        faults += [] if run.code == wanted and "insecure" in run.err and "token" in run.err else [f"run with {admin} on {listen}: {run.code} {run.talk}"]
    for admin, wanted in (("{listen: 0.0.0.0:9464}", 2), ("{listen: 0.0.0.0:9464, insecure: true}", 0), ("{listen: 0.0.0.0:9464, token: {env: WEIR_ADMIN_TOKEN}}", 0),
                          ("{listen: 127.0.0.1:9464}", 0), ("{token: abc}", 2), ("{metrics_token: true}", 2), ("{hosts: ['a b']}", 2)):
        with open(path, "w") as f:
            f.write(PIPELINE + f"admin: {admin}\n")
        run = common.Result([suite.weir, "check", path])
        faults += [] if run.code == wanted else [f"check of {admin}: {run.code} {run.talk}"]
    suite.claim(wide.__doc__, faults)
    with broker.Broker({"t": 1}) as b:
        server = Server(suite, b, "insecure", "{insecure: true}")
        status = [server.ask(path)[0] for path in ("/live", "/metrics", "/lanes")] + [server.ask("/live", host="evil.example")[0]]
        server.stop()
        suite.claim("insecure: no token is asked for, the Host still counts", [] if status == [200, 200, 200, 421] else [f"{status}"])


def main():
    suite = common.Suite("admin_needs_its_token", 240, __doc__)
    suite.run(guarded, wide, together=2)


if __name__ == "__main__":
    main()
