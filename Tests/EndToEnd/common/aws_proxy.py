"""A proxy before an AWS server of the tests, which counts the calls that pass."""
import collections
import http.client
import http.server
import threading

import aws_calls

HOP = {"connection", "transfer-encoding", "content-length"}


class CountingProxy:
    """On a port of the kernel's choice, before 127.0.0.1:`port`. `calls`: how often each call was made."""

    def __init__(self, port):
        self.calls, calls = collections.Counter(), threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(handler):
                body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
                with calls:
                    self.calls[aws_calls.of_request(handler.command, handler.path, dict(handler.headers))] += 1
                self.saw(handler.headers, body)
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request(handler.command, handler.path, body, dict(handler.headers))
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                handler.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP:
                        handler.send_header(name, value)
                handler.send_header("Content-Length", str(len(content)))
                handler.end_headers()
                if handler.command != "HEAD":
                    handler.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def saw(self, headers, body):
        """For drivers that look into requests."""

    def close(self):
        self.server.shutdown()
        self.server.server_close()
