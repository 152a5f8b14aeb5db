"""
The HTTP server of an endpoint: one thread for a connection, on a free port of 127.0.0.1.

Its threads are daemons, and its sockets are closed on exec and in forked children: it ends with its process.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from functools import partial

from airflow_ephemeral_secrets.live.conversation import Conversation, turn_away
from airflow_ephemeral_secrets.live.face import Doors

MOST_CONNECTIONS = 256
BACKLOG = 1024
ROOM = 10.0
"""Seconds that a client waits for others to be done."""
PAUSE = 0.05
NAME = "airflow-ephemeral-endpoint"


class Server:
    """
    Listen, and give each client a thread.

    Who finds no room waits for it. A client between two requests makes room at once, whoever has been so longest first.

    :param endpoint: knows who may ask what
    :param most: clients at a time
    """

    def __init__(self, endpoint: Doors, most: int = MOST_CONNECTIONS) -> None:
        self._endpoint = endpoint
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port = int(self._listener.getsockname()[1])
        self._room = threading.Semaphore(most)
        self._mutex = threading.Lock()
        self._clients: set[socket.socket] = set()
        self._idle: OrderedDict[socket.socket, None] = OrderedDict()
        self._full_since: float | None = None
        self._thread = threading.Thread(target=self._accept, name=NAME, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while self._listener.fileno() >= 0:
            try:
                client, _ = self._listener.accept()
            except OSError:  # the end, or no descriptor is left at this moment
                time.sleep(PAUSE)
                continue
            room = self._make_room()
            with self._mutex:
                self._clients.add(client)
            try:
                serve = self._serve if room else self._turn_away
                threading.Thread(target=serve, args=(client,), name=NAME, daemon=True).start()
            except RuntimeError:  # no thread is left at this moment
                self._close(client)
                if room:
                    self._room.release()

    def _make_room(self) -> bool:
        while not self._room.acquire(blocking=False):
            self._full_since = self._full_since or time.monotonic()
            if time.monotonic() > self._full_since + ROOM:
                return False
            with self._mutex:
                if client := next(filter(_silent, self._idle), None):
                    del self._idle[client]
                    _shut(client)
            if self._room.acquire(timeout=PAUSE):
                break
        self._full_since = None
        return True

    def _serve(self, client: socket.socket) -> None:
        try:
            Conversation(self._endpoint, client, self.port, partial(self._idles, client)).hold()
        finally:
            self._idles(client, False)
            self._close(client)
            self._room.release()

    def _turn_away(self, client: socket.socket) -> None:
        turn_away(client)
        self._close(client)

    def _close(self, client: socket.socket) -> None:
        with self._mutex:
            self._clients.discard(client)
        client.close()

    def _idles(self, client: socket.socket, idle: bool) -> None:
        with self._mutex:
            if idle:
                self._idle[client] = None
            else:
                self._idle.pop(client, None)

    def stop(self) -> None:
        """Stop listening and hang up."""
        _shut(self._listener)
        self._listener.close()
        with self._mutex:
            for client in self._clients:
                _shut(client)
        self._thread.join(1.0)

    def forked(self) -> None:
        """Let go of what is the parent's."""
        for one in (self._listener, *self._clients):
            with suppress(OSError):
                one.close()


def _silent(client: socket.socket) -> bool:
    """Say whether a client has sent nothing that we have not read."""
    poll = select.poll()
    poll.register(client, select.POLLIN)
    return not poll.poll(0)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
