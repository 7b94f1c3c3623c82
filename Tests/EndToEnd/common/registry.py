"""A schema registry for the drivers: the part of Confluent's interface that serialisers and Weir use, in memory.

It can ask for a user, speak TLS, be down (503), and counts what it is asked.
"""
import base64
import http.server
import json
import re
import ssl
import subprocess
import threading
import urllib.parse
import uuid


class Registry:
    def __init__(self, user=None, password=None, tls=None):
        """tls: a directory for a certificate that signs itself."""
        self.schemas, self.subjects = {}, {}        # id: {...}, subject: [id]
        self.user, self.password, self.token = user, password, None
        self.is_down = False
        self.asked = []
        self.refused = 0
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, value):
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle_request(self, body):
                path = urllib.parse.urlparse(self.path).path
                registry.asked.append((self.command, path))
                if registry.is_down:
                    return self.answer(503, {"error_code": 50301, "message": "down"})
                if not registry.allows(self.headers.get("Authorization")):
                    registry.refused += 1
                    return self.answer(401, {"error_code": 401, "message": "who are you"})
                self.answer(*registry.reply(self.command, [urllib.parse.unquote(p) for p in path.strip("/").split("/")], body))

            def do_GET(self):
                self.handle_request(None)

            def do_POST(self):
                self.handle_request(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.ca = None
        if tls:
            self.ca, key = f"{tls}/registry.pem", f"{tls}/registry.key"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", self.ca, "-days", "2",
                            "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"], check=True, capture_output=True)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.ca, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def allows(self, authorization):
        if self.token:
            return authorization == f"Bearer {self.token}"
        if self.user is None:
            return True
        return authorization == "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def add(self, subject, schema, kind="AVRO", references=()):
        """Registers; the number of its id."""
        known = next((i for i, s in self.schemas.items() if (s["schema"], s["schemaType"]) == (schema, kind)), None)
        number = known or 100_001 + len(self.schemas)
        self.schemas[number] = {"schema": schema, "schemaType": kind, "references": list(references),
                                "guid": str(uuid.uuid5(uuid.NAMESPACE_OID, kind + schema)), "id": number}
        versions = self.subjects.setdefault(subject, [])
        if number not in versions:
            versions.append(number)
        return number

    def full(self, subject, number):
        return {**self.shown(number), "subject": subject, "version": self.subjects[subject].index(number) + 1}

    def shown(self, number):
        """Like Confluent's: no type means Avro, no list means no references."""
        s = dict(self.schemas[number])
        if s["schemaType"] == "AVRO":
            del s["schemaType"]
        if not s["references"]:
            del s["references"]
        return s

    def reply(self, command, parts, body):
        if command == "POST" and parts[0] == "subjects":
            number = self.add(parts[1], body["schema"], body.get("schemaType", "AVRO"), body.get("references", ()))
            return 200, self.full(parts[1], number)
        if parts[:2] == ["schemas", "ids"] and re.fullmatch(r"\d+", parts[2]):
            number = int(parts[2])
            return (200, self.shown(number)) if number in self.schemas else (404, {"error_code": 40403, "message": "Schema not found"})
        if parts[:2] == ["schemas", "guids"]:
            number = next((i for i, s in self.schemas.items() if s["guid"] == parts[2]), None)
            return (200, self.shown(number)) if number else (404, {"error_code": 40403, "message": "Schema not found"})
        if parts[0] == "subjects" and len(parts) == 4 and parts[1] in self.subjects:
            versions = self.subjects[parts[1]]
            at = len(versions) if parts[3] == "latest" else int(parts[3])
            if 1 <= at <= len(versions):
                return 200, self.full(parts[1], versions[at - 1])
            return 404, {"error_code": 40402, "message": "Version not found"}
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}
