"""HTTP servers on loopback: what the test servers and proxies of the drivers share."""
import http.client
import http.server
import threading

# Headers of an answer that are not passed on: the proxy's own connection has others.
HOP = {"transfer-encoding", "connection", "content-length", "date", "server", "expect"}


class Loopback:
    """HTTP/1.1 on a port of the kernel's choice. Each request is a call of `handle(handler, body)`, on a thread of its own connection."""

    def __init__(self, context=None):
        """context: of TLS."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                outer.connected()

            def do(self):
                outer.handle(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

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

    def connected(self):
        """A connection was opened."""

    def handle(self, handler, body):
        """Answers a request, with `reply` or by itself."""
        raise NotImplementedError

    def reply(self, handler, status, headers, content):
        """headers: pairs, without the length."""
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)

    def end(self, handler):
        """Ends the connection without an answer."""
        handler.close_connection = True
        handler.connection.close()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def forwarded(host, method, path, headers, body):
    """What a server answers to a request as it is: (status, headers, content). host: with its port."""
    upstream = http.client.HTTPConnection(host, timeout=60)
    try:
        upstream.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if name.lower() != "expect":
                upstream.putheader(name, value)
        upstream.endheaders(body)
        answer = upstream.getresponse()
        content = answer.read()
        return answer.status, [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP], content
    finally:
        upstream.close()
