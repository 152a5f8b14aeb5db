"""A set-up in which nothing is wrong, for tests of the doctor to break."""

from __future__ import annotations

import json
from contextlib import ExitStack
from email.utils import formatdate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK
from tests.peers.rogue import Peer, Rogue, response

BACKEND = "airflow_ephemeral_secrets.EphemeralSecretsBackend"
ROLE = "arn:aws:iam::111122223333:role/reader"
SECRET = "canary-secret"


class Provider(Rogue):
    """A provider that answers anything, and dates its answers by a clock of its own."""

    def __init__(self) -> None:
        self.ahead = 0.0
        super().__init__(self._answer)

    def _answer(self, peer: Peer) -> None:
        peer.read()
        date = formatdate(SYSTEM_CLOCK.now().wall + self.ahead, usegmt=True)
        peer.send(response(status=404, Date=date))


class Setup:
    """
    A worker's files, settings and configuration.

    :param folder: gets the files
    :param ram: gets the store
    :param provider: is asked
    :param stack: ends what a fault starts
    """

    def __init__(self, folder: Path, ram: Path, provider: Provider, stack: ExitStack) -> None:
        self.folder = folder
        self.ram = ram
        self.provider = provider
        self.stack = stack
        self.file = folder / "ephemeral.json"
        self.secret = folder / "secret"
        self.secret.write_text(SECRET)
        self.secret.chmod(0o600)
        self.audit = folder / "audit.jsonl"
        self.arguments: list[str] = []
        self.environment = {
            "A_TOKEN": SECRET,
            "AIRFLOW__SECRETS__BACKEND": BACKEND,
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"config_file": str(self.file)}),
        }
        self.config: dict[str, Any] = {
            "version": 1,
            "secrets": {
                "token": {"from": "env", "name": "A_TOKEN"},
                "key": {"from": "file", "path": str(self.secret)},
            },
            "sources": {
                "api": {"kind": "static", "token": {"secret": "token"}},
                "keyed": {"kind": "static", "token": {"secret": "key"}},
                "lake": {
                    "kind": "aws_assume_role",
                    "role_arn": ROLE,
                    "region": "eu-west-1",
                    "endpoint_url": provider.url,
                },
            },
            "connections": {
                "api": {"source": "api", "shape": "http", "host": "https://api.example.com"},
                "keyed_*": {"source": "keyed", "shape": "http", "host": "https://api.example.com"},
                "lake": {"source": "lake", "shape": "aws", "allow": {"dags": ["etl_*"]}},
            },
            "variables": {"API_TOKEN": {"source": "api", "value": "{token}"}},
            "store": {"host": str(ram / "store")},
            "audit": {"file": str(self.audit)},
        }

    def public(self) -> Path:
        """Make a folder that every user may enter, which those of pytest are not."""
        folder = Path(self.stack.enter_context(TemporaryDirectory(dir="/dev/shm")))
        folder.chmod(0o755)
        return folder

    def write(self) -> None:
        """Write the configuration, unless a fault has put something in its place."""
        if not self.file.exists():
            self.file.write_text(json.dumps(self.config))
            self.file.chmod(0o644)

    @property
    def source(self) -> dict[str, Any]:
        """The source that asks the provider."""
        lake: dict[str, Any] = self.config["sources"]["lake"]
        return lake

    @property
    def store(self) -> Path:
        """Where the store is made."""
        return self.ram / "store"
