#!/usr/bin/env python3
"""A TLS and SASL server before a Kafka broker that has neither: the test broker (weir mock-kafka).

It finishes the TLS handshake (with client certificates, if asked), authenticates with PLAIN, SCRAM or Amazon's tokens, and then passes requests on. Answers
with broker addresses get the address of the front, so that clients come through it with each connection. Front(...) starts it as a process.
"""
import base64
import calendar
import contextlib
import hashlib
import hmac
import json
import os
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.parse

API_METADATA, API_FIND_COORDINATOR, API_SASL_HANDSHAKE, API_VERSIONS, API_SASL_AUTHENTICATE = 3, 10, 17, 18, 36
OWN_APIS = ((API_SASL_HANDSHAKE, 0, 1), (API_SASL_AUTHENTICATE, 0, 1))       # of the versions without tagged fields
UNSUPPORTED_MECHANISM, FAILED = 33, 58
FRAME_MAX = 1 << 26
ITERATIONS = 4096
SECONDS = 60                # that a connection may be in the middle of a frame or a handshake
LINGER_SECONDS = 2


class Front:
    """A running front. Each connection that passes is a line in `log`."""

    def __init__(self, directory, name, upstream, certificate=None, authority=None, users=None, mechanisms=None):
        """upstream: the broker's address. certificate: (certificate, key) of the server; none: no TLS. authority: whose client certificates it
        demands. users: {user: password}; none: no SASL."""
        self.log = os.path.join(directory, f"{name}.connections")
        self.settings = {"upstream": upstream, "certificate": certificate, "authority": authority, "users": users,
                         "mechanisms": mechanisms or ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], "log": self.log}
        open(self.log, "w").close()
        self.errors = open(os.path.join(directory, f"{name}.errors"), "wb")
        # The settings go by a pipe: passwords in arguments are visible to other users.
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.process.stdin.write(json.dumps(self.settings))
        self.process.stdin.close()
        port = self.process.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"the front {name} did not start: see {self.errors.name}")
        self.address = f"127.0.0.1:{port}"

    def connections(self):
        """What is known of each connection that was accepted, or refused by SASL: tls, certificate, mechanism, user, refused."""
        with open(self.log) as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# -- SASL

class Refused(Exception):
    pass


class Plain:
    """RFC 4616: one message with user and password."""

    def __init__(self, users):
        self.users = users

    def answer(self, message):
        """(the answer, the user if it is done)"""
        _, user, password = message.decode().split("\0")
        if not hmac.compare_digest(self.users.get(user, "").encode(), password.encode()) or user not in self.users:
            raise Refused("Authentication failed: Invalid username or password")
        return b"", user


class Scram:
    """RFC 5802, without channel binding: the password is proved and not sent."""

    def __init__(self, users, name):
        self.users, self.name = users, name
        self.hash = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}[name]
        self.user = None

    def answer(self, message):
        return self._final(message) if self.user else (self._first(message), None)

    def _first(self, message):
        _, _, self.bare = message.split(b",", 2)
        values = self._values(self.bare)
        # A comma and an equals sign are written as =2C and =3D in names.
        self.user = values["n"].replace("=2C", ",").replace("=3D", "=")
        self.salt = os.urandom(16)
        self.nonce = values["r"] + base64.b64encode(os.urandom(18)).decode()
        self.first = f"r={self.nonce},s={base64.b64encode(self.salt).decode()},i={ITERATIONS}".encode()
        return self.first

    def _final(self, message):
        values = self._values(message)
        signed = b",".join((self.bare, self.first, message[:message.rindex(b",p=")]))
        # An unknown user costs as much as a known one.
        salted = hashlib.pbkdf2_hmac(self.hash, self.users.get(self.user, "").encode(), self.salt, ITERATIONS)
        client_key = self._hmac(salted, b"Client Key")
        signature = self._hmac(hashlib.new(self.hash, client_key).digest(), signed)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        # Like Kafka's own server: librdkafka before 2.8 sends its part of the nonce twice.
        is_ours = values["r"].endswith(self.nonce)
        if self.user not in self.users or not is_ours or not hmac.compare_digest(base64.b64decode(values["p"]), proof):
            raise Refused(f"Authentication failed during authentication due to invalid credentials with SASL mechanism {self.name}")
        return b"v=" + base64.b64encode(self._hmac(self._hmac(salted, b"Server Key"), signed)), self.user

    def _hmac(self, key, message):
        return hmac.new(key, message, self.hash).digest()

    @staticmethod
    def _values(message):
        return dict(part.split("=", 1) for part in message.decode().split(","))


class AmazonIAM:
    """OAUTHBEARER with a token of Amazon MSK: a signed address of kafka-cluster:Connect (AWS, "Create a signed AWS API request"), computed
    here with the standard library. Users are access keys and their secrets."""

    def __init__(self, users, now=time.time):
        self.users, self.now = users, now

    def answer(self, message):
        token = message.decode().split("auth=Bearer ")[1].split("\x01")[0]
        address = urllib.parse.urlsplit(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
        query = dict(urllib.parse.parse_qsl(address.query, strict_parsing=True))
        signature, agent = query.pop("X-Amz-Signature"), query.pop("User-Agent")
        key, day, region, service, end = query["X-Amz-Credential"].split("/")
        made = calendar.timegm(time.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
        wanted = (address.scheme, address.hostname, query["Action"], service, end, query["X-Amz-SignedHeaders"], agent != "")
        if wanted != ("https", f"kafka.{region}.amazonaws.com", "kafka-cluster:Connect", "kafka-cluster", "aws4_request", "host", True):
            raise Refused(f"not a token of the cluster: {wanted}")
        if not made - 300 <= self.now() <= made + int(query["X-Amz-Expires"]) or key not in self.users:
            raise Refused("Access denied")
        quoted = "&".join(f"{urllib.parse.quote(n, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}" for n, v in sorted(query.items()))
        canonical = f"GET\n/\n{quoted}\nhost:{address.hostname}\n\nhost\n{hashlib.sha256(b'').hexdigest()}"
        text = f"AWS4-HMAC-SHA256\n{query['X-Amz-Date']}\n{day}/{region}/{service}/{end}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        secret = f"AWS4{self.users[key]}".encode()
        for part in (day, region, service, end, text):
            secret = hmac.new(secret, part.encode(), "sha256").digest()
        if not hmac.compare_digest(secret.hex(), signature):
            raise Refused("Access denied: the signature is wrong")
        return b"", key


def mechanism(name, users):
    return Plain(users) if name == "PLAIN" else AmazonIAM(users) if name == "OAUTHBEARER" else Scram(users, name)


# -- Frames of the protocol

class Peer:
    """One side of a connection: its socket, and the bytes that are not a whole frame yet."""

    def __init__(self, connected):
        self.socket, self.bytes = connected, b""
        connected.settimeout(SECONDS)

    def frame(self):
        """The next frame; waits for it."""
        while (found := self._take()) is None:
            self._receive()
        return found

    def frames(self):
        """The frames that are there after one read: of TLS, everything that is decrypted already."""
        self._receive()
        while getattr(self.socket, "pending", int)():
            self._receive()
        while (found := self._take()) is not None:
            yield found

    def _receive(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise Closed
        self.bytes += data

    def _take(self):
        if len(self.bytes) < 4:
            return None
        length, = struct.unpack(">i", self.bytes[:4])
        if not 0 <= length <= FRAME_MAX:
            raise Closed            # no frame of the protocol, such as the first bytes of a TLS client
        if len(self.bytes) < 4 + length:
            return None
        found, self.bytes = self.bytes[4:4 + length], self.bytes[4 + length:]
        return found

    def send(self, frame):
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)

    def close(self):
        """Closes after the other side has: a reset would take what was sent last, an alert of TLS, away from it."""
        with contextlib.suppress(OSError):
            os.set_blocking(self.socket.fileno(), True)
            socket.socket.shutdown(self.socket, socket.SHUT_WR)
            end = time.monotonic() + LINGER_SECONDS
            while (left := end - time.monotonic()) > 0 and select.select([self.socket.fileno()], [], [], left)[0] and os.read(self.socket.fileno(), 1 << 16):
                pass
        self.socket.close()


class Closed(Exception):
    """One side has closed, or must be."""


def header(frame):
    """(api, version, correlation, where the body begins) of a request whose header has no tagged fields."""
    api, version, correlation, client = struct.unpack(">hhih", frame[:10])
    return api, version, correlation, 10 + max(client, 0)


def with_own_apis(version, answer):
    """An answer to ApiVersions with the two requests of SASL added: correlation, error, array of (api, least, most), and more after it."""
    if answer[4:6] != b"\0\0":
        return answer               # the broker does not support this version
    if version >= 3:
        count = answer[6]           # and one more
        assert count + len(OWN_APIS) < 128, "the array's length takes two bytes"
        end = 7 + 7 * (count - 1)
        return answer[:6] + bytes([count + len(OWN_APIS)]) + answer[7:end] + b"".join(struct.pack(">hhhB", *a, 0) for a in OWN_APIS) + answer[end:]
    count, = struct.unpack(">i", answer[6:10])
    end = 10 + 6 * count
    return answer[:6] + struct.pack(">i", count + len(OWN_APIS)) + answer[10:end] + b"".join(struct.pack(">hhh", *a) for a in OWN_APIS) + answer[end:]


class Connection:
    def __init__(self, server, accepted):
        self.server, self.accepted = server, accepted
        self.waiting = {}           # correlation: (api, version) of requests whose answers are changed
        self.known = {}             # what the log says of this connection

    def serve(self):
        if self.server.context:
            self.accepted.settimeout(SECONDS)
            # Without a wrapped socket that closes itself, so that its alert arrives.
            self.accepted = self.server.context.wrap_socket(self.accepted, server_side=True, do_handshake_on_connect=False)
        self.client, self.broker = Peer(self.accepted), None
        try:
            if self.server.context:
                self.accepted.do_handshake()
                self.known["tls"] = self.accepted.version()
                if peer := self.accepted.getpeercert():
                    self.known["certificate"] = peer["subject"][-1][0][1]
            self.broker = Peer(socket.create_connection(self.server.upstream))
            if self.is_authenticated():
                self.server.write_log(self.known)
                self.pass_on()
        except (OSError, Closed) as e:
            # A client that has given up in the middle is not refused.
            if isinstance(e, ssl.SSLError) and not isinstance(e, ssl.SSLEOFError):
                self.server.write_log({**self.known, "refused": str(e)})
        finally:
            self.client.close()
            if self.broker:
                self.broker.close()

    def is_authenticated(self):
        """Passes ApiVersions on and answers the requests of SASL, until the client is authenticated. False: it is refused."""
        users = self.server.settings["users"]
        running = None
        while users is not None:
            frame = self.client.frame()
            api, version, correlation, body = header(frame)
            if api == API_VERSIONS:
                self.broker.send(frame)
                self.client.send(with_own_apis(version, self.broker.frame()))
            elif api == API_SASL_HANDSHAKE:
                length, = struct.unpack(">h", frame[body:body + 2])
                name = frame[body + 2:body + 2 + length].decode()
                offered = self.server.settings["mechanisms"]
                self.known["mechanism"] = name
                running = mechanism(name, users) if name in offered else None
                self.client.send(struct.pack(">ihi", correlation, 0 if running else UNSUPPORTED_MECHANISM, len(offered))
                                 + b"".join(struct.pack(">h", len(o)) + o.encode() for o in offered))
                if not running:
                    return self.refuse(f"mechanism {name}")
            elif api == API_SASL_AUTHENTICATE and running:
                length, = struct.unpack(">i", frame[body:body + 4])
                lifetime = struct.pack(">q", 0) if version >= 1 else b""
                try:
                    answer, user = running.answer(frame[body + 4:body + 4 + length])
                except Refused as e:
                    message = str(e).encode()
                    self.client.send(struct.pack(">ihh", correlation, FAILED, len(message)) + message + struct.pack(">i", 0) + lifetime)
                    return self.refuse(str(e))
                self.client.send(struct.pack(">ihhi", correlation, 0, -1, len(answer)) + answer + lifetime)
                if user:
                    self.known["user"] = user
                    return True
            else:
                # A request before authentication: brokers cut the connection.
                return self.refuse(f"request {api} before authentication")
        return True

    def refuse(self, reason):
        self.server.write_log({**self.known, "refused": reason})
        return False

    def pass_on(self):
        """Both directions on one thread: a TLS socket must not be used by two."""
        while True:
            ready = select.select([self.client.socket, self.broker.socket], [], [])[0]
            if self.client.socket in ready:
                for frame in self.client.frames():
                    self.request(frame)
            if self.broker.socket in ready:
                for frame in self.broker.frames():
                    self.answer(frame)

    def request(self, frame):
        api, version, correlation, _ = header(frame)
        if api in (API_METADATA, API_FIND_COORDINATOR, API_VERSIONS):
            self.waiting[correlation] = api, version
        self.broker.send(frame)

    def answer(self, frame):
        api, version = self.waiting.pop(struct.unpack(">i", frame[:4])[0], (None, None))
        if api == API_VERSIONS and self.server.settings["users"] is not None:
            frame = with_own_apis(version, frame)
        elif api is not None:
            # A host is followed by its port in all versions. Both addresses have the same length.
            frame = frame.replace(self.server.theirs, self.server.own)
        self.client.send(frame)


class Server:
    def __init__(self, settings):
        self.settings = settings
        host, _, port = settings["upstream"].rpartition(":")
        self.upstream = host, int(port)
        self.log, self.lock = open(settings["log"], "a", buffering=1), threading.Lock()
        self.context = None
        if settings["certificate"]:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*settings["certificate"])
            if settings["authority"]:
                self.context.verify_mode = ssl.CERT_REQUIRED
                self.context.load_verify_locations(settings["authority"])

    def write_log(self, line):
        with self.lock:
            self.log.write(json.dumps(line) + "\n")

    def run(self):
        with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
            port = server.getsockname()[1]
            self.theirs, self.own = (b"127.0.0.1" + struct.pack(">i", p) for p in (self.upstream[1], port))
            print(port, flush=True)
            while True:
                accepted, _ = server.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=Connection(self, accepted).serve, daemon=True).start()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        Server(json.load(sys.stdin)).run()
