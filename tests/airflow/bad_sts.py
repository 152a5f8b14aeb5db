"""A token service that refuses, hangs or talks nonsense, by the path it is asked at."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CANARY = "canary-of-a-response-body"
REFUSAL = f"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>{CANARY}</Message></Error><RequestId>request-1234</RequestId></ErrorResponse>"""


@contextmanager
def bad_sts() -> Iterator[str]:
    """Serve for the length of a block, at a base URL plus ``/refused``, ``/timed_out`` or ``/garbage``."""
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path.startswith("/timed_out"):
                released.wait(60)
                return
            refused = self.path.startswith("/refused")
            body = (REFUSAL if refused else f"<html>{CANARY}</html>").encode()
            self.send_response(403 if refused else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        released.set()
        server.shutdown()
        server.server_close()
