"""A Redis server for the drivers, and a client written by hand: an independent reader of the state table's documented layout."""
import atexit
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import time

import common


def program(directory):
    """The server's path. Debian's redis-tools has it as redis-check-rdb: the program looks at its own name."""
    for path in (os.path.join(common.ROOT, ".build", "tools", "redis-server"), shutil.which("redis-server")):
        if path and os.access(path, os.X_OK):
            return path
    checker = shutil.which("redis-check-rdb")
    if not checker:
        raise RuntimeError("there is no Redis server: run Scripts/setup --tests")
    link = os.path.join(directory, "redis-server")
    if not os.path.lexists(link):
        os.symlink(checker, link)
    return link


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Error(Exception):
    """What the server replied."""


class Client:
    """One connection, one request at a time. Replies: bytes, int, None, list; a raised Error."""

    def __init__(self, port, password=None):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.file = self.socket.makefile("rb")
        if password:
            self("AUTH", password)

    def __call__(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self.reply()

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise Error(rest.decode())
        if kind == b":":
            return int(rest)
        n = int(rest)
        if kind == b"$":
            return None if n < 0 else self.file.read(n + 2)[:n]
        return None if n < 0 else [self.reply() for _ in range(n)]

    def close(self):
        self.file.close()
        self.socket.close()


class Server:
    """A server process on loopback."""

    everybody = []

    def __init__(self, directory, *options, appendfsync=None, password=None):
        os.makedirs(directory, exist_ok=True)
        self.directory, self.password = directory, password
        self.port = free_port()
        self.options = ["--bind", "127.0.0.1", "--save", "", "--dir", directory, "--loglevel", "warning",
                        *(["--appendonly", "yes", "--appendfsync", appendfsync] if appendfsync else []),
                        *(["--requirepass", password] if password else []), *options]
        Server.everybody.append(self)
        self.start()

    def start(self):
        with open(os.path.join(self.directory, "log"), "a") as log:
            self.process = subprocess.Popen([program(self.directory), "--port", str(self.port), *self.options],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + common.PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError, Error):
                self.client().close()
                return self
            time.sleep(0.05)
        with open(os.path.join(self.directory, "log")) as f:
            raise RuntimeError(f"the Redis server did not start: {f.read()[-300:]}")

    def client(self):
        client = Client(self.port, self.password)
        client("PING")
        return client

    def kill(self):
        self.process.kill()
        self.process.wait()

    def place(self, *parameters, scheme="redis", port=None):
        return f"{scheme}://127.0.0.1:{port or self.port}/0" + ("?" + "&".join(parameters) if parameters else "")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()


@atexit.register
def _none_stays():
    for server in Server.everybody:
        if hasattr(server, "process") and server.process.poll() is None:
            server.kill()


# -- The documented layout

def rows(client, table, prefix="weir"):
    """{key: (generation, position, lane, value)} in the order of the index; a tombstone has no value."""
    found = {}
    for key in client("ZRANGEBYLEX", f"{{{prefix}}}:keys:{table}", "-", "+"):
        row = client("HGET", f"{{{prefix}}}:rows:{table}", key)
        generation, position, kind, length = struct.unpack(">qqBH", row[:19])
        found[key] = (generation, position, row[19:19 + length].decode(), row[19 + length:] if kind else None)
    return found


def text_key(key):
    """The text of a key of one text column."""
    assert key.endswith(b"\0\1"), key
    return key[:-2].replace(b"\0\xff", b"\0").decode()


def values(encoded):
    """The measures of a row."""
    assert encoded[0] == 1, encoded
    out, at = [], 1

    def take(form):
        nonlocal at
        size = struct.calcsize("<" + form)
        at += size
        return struct.unpack("<" + form, encoded[at - size:at])

    while at < len(encoded):
        kind, = take("B")
        if kind == 0:
            out.append(None)
        elif kind == 1:
            out.append(bool(take("B")[0]))
        elif kind in (2, 7):
            out.append(take("q")[0])
        elif kind == 3:
            out.append(take("d")[0])
        elif kind == 4:
            _, scale, low, high = take("BBQq")
            out.append((high << 64 | low, scale))
        else:
            n, = take("I")
            out.append(encoded[at:at + n])
            at += n
    return out
