"""Everywhere that something of a run of Airflow may be written: what the leak tests search."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg2
from cryptography.fernet import Fernet

from airflow_ephemeral_secrets.demo.airflow import Airflow
from airflow_ephemeral_secrets.demo.leaks import Finding, Search
from airflow_ephemeral_secrets.demo.metadata import Metadata
from tests.peers.postgresql import Database

SAMPLED_EVERY = 0.02
LARGEST_PACKET = 65_536
FERNET, ZLIB = b"gAAAAA", b"x"
WITNESS = """
CREATE TABLE witness (cell text);
CREATE FUNCTION keep_trigger() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO witness VALUES (NEW.kwargs), (NEW.classpath); RETURN NULL; END';
CREATE FUNCTION keep_waiting() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO witness VALUES (NEW.next_kwargs::text); RETURN NULL; END';
CREATE TRIGGER witness AFTER INSERT OR UPDATE ON trigger FOR EACH ROW EXECUTE FUNCTION keep_trigger();
CREATE TRIGGER witness AFTER INSERT OR UPDATE ON task_instance FOR EACH ROW
    WHEN (NEW.next_kwargs IS NOT NULL) EXECUTE FUNCTION keep_waiting();
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"


class PostgresMetadata(Metadata):
    """
    Ask Airflow's database in PostgreSQL.

    :param database: the database, and whose it is
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def url(self) -> str:
        return self._database.url

    def witness(self) -> None:
        """Keep what is stored for the time of waiting, which Airflow removes when a task goes on."""
        with closing(psycopg2.connect(self._database.dsn)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(WITNESS)

    def waited_with(self, fernet_key: str) -> list[str]:
        """List what was stored for the time of waiting, decrypted."""
        cells = [cell for (cell,) in self._rows("SELECT cell FROM witness")]
        return [Fernet(fernet_key).decrypt(cell).decode() if cell.startswith("gAAAAA") else cell for cell in cells]

    def cells(self, fernet_key: str) -> Iterator[tuple[str, bytes]]:
        """Give the content of every cell of every table, decrypted and unpacked where it is Airflow's own doing."""
        for (table,) in self._rows(TABLES):
            for row in self._rows(f'SELECT row_to_json(t)::text, t.* FROM "{table}" t'):
                for cell in row:
                    content = _bytes(cell)
                    yield table, content
                    with suppress(Exception):
                        yield f"{table} (decrypted)", Fernet(fernet_key).decrypt(content)
                    with suppress(zlib.error):
                        yield f"{table} (unpacked)", zlib.decompress(content)

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self._database.dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()


def _bytes(cell: Any) -> bytes:
    if isinstance(cell, (bytes, memoryview)):
        return bytes(cell)
    return (cell if isinstance(cell, str) else json.dumps(cell, default=str)).encode()


class Listening:
    """Collect what Airflow sends: OpenLineage events by HTTP, StatsD packets by UDP."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.packets: list[bytes] = []
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._stack = ExitStack()

    def __enter__(self) -> Listening:
        for run in (self._http.serve_forever, self._listen):
            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            self._stack.callback(thread.join)
        self._stack.callback(self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def statsd_port(self) -> int:
        return int(self._udp.getsockname()[1])

    @property
    def options(self) -> Mapping[str, Mapping[str, str]]:
        """Tell Airflow where to send."""
        transport = {"type": "http", "url": f"http://127.0.0.1:{self._http.server_port}", "compression": None}
        return {
            "metrics": {"statsd_on": "True", "statsd_host": "127.0.0.1", "statsd_port": str(self.statsd_port)},
            "openlineage": {"transport": json.dumps(transport), "namespace": "leaks"},
        }

    def _end(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.statsd_port))

    def _listen(self) -> None:
        with self._udp:
            while packet := self._udp.recv(LARGEST_PACKET):
                self.packets.append(packet)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        events = self.events

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                events.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


class Sampling:
    """Look at the environment and command line of every process of an Airflow, again and again, while a block lasts."""

    def __init__(self, airflow: Airflow) -> None:
        self._airflow = airflow
        self.seen: dict[str, set[bytes]] = {"environ": set(), "cmdline": set()}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Sampling:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLED_EVERY):
            for process in self._airflow.processes():
                for name, seen in self.seen.items():
                    with suppress(OSError):
                        seen.add(Path(f"/proc/{process.pid}/{name}").read_bytes())


def written_since(root: Path, moment: float, *, besides: tuple[Path, ...]) -> Iterator[Path]:
    """List the regular files below a folder that were written since a moment, but for some folders and files."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if Path(folder, name) not in besides]
        for path in (Path(folder, name) for name in names):
            with suppress(OSError):
                status = path.lstat()
                if path not in besides and stat.S_ISREG(status.st_mode) and status.st_mtime >= moment:
                    yield path


def search_files(search: Search, root: Path, moment: float, besides: tuple[Path, ...]) -> set[Finding]:
    """Search what was written below a folder, but for files that are gone meanwhile, and those that nobody may read."""
    found: set[Finding] = set()
    for path in written_since(root, moment, besides=besides):
        with suppress(FileNotFoundError, PermissionError):
            found |= search.file(path, str(path))
    return found
