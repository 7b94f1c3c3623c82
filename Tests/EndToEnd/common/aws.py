"""What the drivers of the AWS client share: the probe, servers of AWS's interfaces, and one that answers as a test says."""
import http.server
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


class Scripted:
    """An HTTP server whose answers are functions of (handler, number of the request to this path, body): it returns (status, headers,
    body), or None when it has answered by itself. Each path has one; `/x` is used for `/x/anything` too."""

    def __init__(self, routes, context=None):
        outer = self
        self.routes, self.seen, self.lock = routes, [], threading.Lock()
        self.connections = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                with outer.lock:
                    outer.connections += 1

            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.split("?")[0]
                name = max((r for r in outer.routes if path == r or path.startswith(r.rstrip("/") + "/")), key=len, default=None)
                with outer.lock:
                    number = sum(seen[0] == name for seen in outer.seen)
                    outer.seen.append((name, self.command, self.path, dict(self.headers), body))
                answer = outer.routes[name](self, number, body) if name else (404, {}, b"")
                if answer is None:
                    return
                status, headers, content = answer
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def count(self, route):
        with self.lock:
            return sum(seen[0] == route for seen in self.seen)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


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
