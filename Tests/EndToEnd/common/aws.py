"""What the drivers of the AWS client share: the probe, servers of AWS's interfaces, and one that answers as a test says."""
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request

import common
from loopback import Loopback

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
# The probe's signature of this request shows which keys it found.
FIXED_SECONDS = 1_700_000_000


def environment(suite, **variables):
    """Of a machine without anything of AWS. `None` removes a variable."""
    home = suite.path("home")
    os.makedirs(home, exist_ok=True)
    mine = {"PATH": os.environ["PATH"], "HOME": home, "AWS_EC2_METADATA_DISABLED": "true", "SWIFT_BACKTRACE": "enable=no", **variables}
    return {name: value for name, value in mine.items() if value is not None}


def ask(suite, lines, variables, limit=common.PATIENCE):
    """The probe's answers to some requests."""
    done = subprocess.run([suite.weir], input="".join(json.dumps(line) + "\n" for line in lines), env=variables, capture_output=True, text=True,
                          timeout=limit)
    if done.returncode:
        raise RuntimeError(f"the probe: exit {done.returncode}: {done.stderr[-300:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server of AWS's interfaces, as a process."""

    def __init__(self, suite, name, command, variables=None, path="/", scheme="http", context=None):
        self.port = port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.log = open(suite.path(f"{name}.log"), "wb")
        self.process = subprocess.Popen([part.format(port=self.port) for part in command], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, cwd=suite.directory,
                                        env={**os.environ, **{k: v.format(port=self.port) for k, v in (variables or {}).items()}})
        end = time.monotonic() + common.PATIENCE
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(self.url + path, timeout=2, context=context).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        self.close()
        raise RuntimeError(f"{name} did not start")

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def moto(suite, **variables):
    return Server(suite, "moto", [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"], variables, "/moto-api/data.json")


def ministack(suite):
    binary = os.path.join(os.path.dirname(sys.executable), "ministack")
    return Server(suite, "ministack", [binary], {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": "{port}"})


class Scripted(Loopback):
    """An HTTP server whose answers are functions of (handler, number of the request to this path, body): it returns (status, headers,
    body), or None when it has answered by itself. Each path has one; `/x` is used for `/x/anything` too."""

    def __init__(self, routes, context=None):
        self.routes, self.seen, self.lock = routes, [], threading.Lock()
        self.connections = 0
        super().__init__(context)

    def connected(self):
        with self.lock:
            self.connections += 1

    def handle(self, handler, body):
        path = handler.path.split("?")[0]
        name = max((r for r in self.routes if path == r or path.startswith(r.rstrip("/") + "/")), key=len, default=None)
        with self.lock:
            number = sum(seen[0] == name for seen in self.seen)
            self.seen.append((name, handler.command, handler.path, dict(handler.headers), body))
        answer = self.routes[name](handler, number, body) if name else (404, {}, b"")
        if answer is not None:
            status, headers, content = answer
            self.reply(handler, status, headers.items(), content)

    def count(self, route):
        with self.lock:
            return sum(seen[0] == route for seen in self.seen)


class Silent:
    """An endpoint that takes connections and reads requests, and never answers."""

    def __init__(self):
        self.connections, self.gave_up = 0, threading.Event()     # gave_up: a client closed a connection
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._hold, args=(connection,), daemon=True).start()

    def _hold(self, connection):
        with connection:
            try:
                while connection.recv(65536):
                    pass
            except OSError:
                pass
            self.gave_up.set()

    def close(self):
        # Ends the accept of the other thread.
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def drop(handler):
    """Ends the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def reset(handler):
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def error(code, message="m"):
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
