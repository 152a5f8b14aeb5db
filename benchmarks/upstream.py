"""An API in a process of its own that answers at once: ``/large`` with 100 MB, all else with a line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer

LARGE = 100_000_000
PIECE = 100_000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"


class Handler(StreamRequestHandler):
    """Talk just enough HTTP to be no part of what is measured."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        while line := self.rfile.readline():
            left = 0
            while (header := self.rfile.readline()) != b"\r\n":
                name, _, value = header.partition(b":")
                left = int(value) if name.lower() == b"content-length" else left
            while left:
                left -= len(self.rfile.read(min(left, PIECE)))
            if b" /large " in line:
                self.wfile.write(HEAD % LARGE)
                for _ in range(LARGE // PIECE):
                    self.wfile.write(b"x" * PIECE)
            else:
                self.wfile.write(HEAD % 3 + b"ok\n")


class Server(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 100


@contextmanager
def upstream() -> Iterator[str]:
    """Serve while the block lasts, at the URL that it gives."""
    command = [sys.executable, "-m", "benchmarks.upstream"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
