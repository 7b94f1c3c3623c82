"""An object store in memory with S3's requests, for benchmarks: it keeps objects, honours If-None-Match, and checks nothing else."""
import hashlib
import http.server
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape


class Store:
    def __init__(self):
        self.lock, self.objects, self.uploads, self.requests = threading.Lock(), {}, {}, {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16

            def serve(handler):
                body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
                url = urllib.parse.urlsplit(handler.path)
                key = urllib.parse.unquote(url.path).partition("/")[2].partition("/")[2]
                query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
                with outer.lock:
                    outer.requests[handler.command] = outer.requests.get(handler.command, 0) + 1
                    status, headers, answer = outer.answer(handler.command, key, query, handler.headers, body)
                handler.send_response(status)
                for name, value in headers.items():
                    handler.send_header(name, value)
                handler.send_header("Content-Length", str(len(answer)))
                handler.end_headers()
                if handler.command != "HEAD":
                    handler.wfile.write(answer)
                handler.wfile.flush()
            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

            def log_message(handler, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 128
        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def clear(self):
        with self.lock:
            self.objects.clear()
            self.uploads.clear()
            self.requests.clear()

    # -- Requests

    def answer(self, method, key, query, headers, body):
        if method == "GET" and not key:
            return self.listing(query)
        if "uploads" in query or "uploadId" in query or "partNumber" in query:
            return self.upload(method, key, query, headers, body)
        if method == "PUT":
            return self.put(key, headers, body)
        if method == "DELETE":
            self.objects.pop(key, None)
            return 204, {}, b""
        if key not in self.objects:
            return 404, {}, b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"
        data, etag, made, more = self.objects[key]
        said = {"ETag": etag, "Last-Modified": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(made)), **more}
        if asked := headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            end = min(int(last) + 1 if last else len(data), len(data))
            said["Content-Range"] = f"bytes {first}-{end - 1}/{len(data)}"
            return 206, said, data[int(first):end]
        return 200, said, data

    def put(self, key, headers, body):
        if headers.get("If-None-Match") == "*" and key in self.objects:
            return 412, {}, b"<Error><Code>PreconditionFailed</Code><Message>it is there</Message></Error>"
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        more = {name.lower(): value for name, value in headers.items() if name.lower().startswith("x-amz-meta-")}
        self.objects[key] = (body, etag, time.time(), more)
        return 200, {"ETag": etag}, b""

    def upload(self, method, key, query, headers, body):
        if method == "GET":
            return 200, {}, b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
        if method == "POST" and "uploads" in query:
            name = f"u{len(self.uploads)}-{time.time_ns()}"
            self.uploads[name] = ({}, headers)
            return 200, {}, f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>".encode()
        parts, begun = self.uploads.get(query["uploadId"], ({}, {}))
        if method == "PUT":
            parts[int(query["partNumber"])] = body
            return 200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, b""
        self.uploads.pop(query["uploadId"], None)
        if method == "DELETE":
            return 204, {}, b""
        status, said, _ = self.put(key, {**dict(begun), **{k: v for k, v in headers.items() if k == "If-None-Match"}},
                                   b"".join(parts[n] for n in sorted(parts)))
        if status != 200:
            return status, said, b"<Error><Code>PreconditionFailed</Code><Message>it is there</Message></Error>"
        etag = escape(said["ETag"])
        return 200, {}, f"<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>".encode()

    def listing(self, query):
        if set(query) & {"versioning", "lifecycle", "object-lock", "encryption"}:
            return 404, {}, b"<Error><Code>NoSuchLifecycleConfiguration</Code><Message>none</Message></Error>"
        if "uploads" in query:
            return self.upload("GET", "", query, {}, b"")
        after = query.get("continuation-token") or query.get("start-after", "")
        keys = sorted(k for k in self.objects if k.startswith(query.get("prefix", "")) and k > after)
        page = keys[:int(query.get("max-keys", 1000))]
        quoted = query.get("encoding-type") == "url"
        items = "".join(
            f"<Contents><Key>{urllib.parse.quote(k) if quoted else escape(k)}</Key><Size>{len(self.objects[k][0])}</Size>"
            f"<ETag>{escape(self.objects[k][1])}</ETag>"
            f"<LastModified>{time.strftime('%Y-%m-%dT%H:%M:%S.000Z', time.gmtime(self.objects[k][2]))}</LastModified></Contents>" for k in page)
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if len(page) < len(keys) else \
            "<IsTruncated>false</IsTruncated>"
        encoding = "<EncodingType>url</EncodingType>" if quoted else ""
        return 200, {}, f"<ListBucketResult>{encoding}{items}{more}</ListBucketResult>".encode()
