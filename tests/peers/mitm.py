"""
mitmproxy in front of another server: it answers with the wrong certificate, late, with an error, or breaks off.

.. code-block:: python

    with MitmProxy(oidc.https, oidc.authority, certificate=Certificate.EXPIRED) as proxy:
        ...  # nobody who trusts oidc.ca_file talks to proxy.url
    with MitmProxy(oidc.https, oidc.authority) as proxy:
        proxy.fault = {"cut": 20}  # or {"status": 503}, {"delay": 3.0}, {"kill": True}; {} is none
        ...  # whoever talks to proxy.url gets the first 20 bytes of the answer's body, and then nothing
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any

import trustme

from tests.peers.installed import mitmdump
from tests.peers.process import Process

ADDON = Path(__file__).with_name("mitm_addon.py")
READY = r"listening at 127\.0\.0\.1:(\d+)"
UNBUFFERED = {"PYTHONUNBUFFERED": "1"}


class Certificate(Enum):
    """What the proxy presents: the right one, the same but expired, or one of an authority that nobody knows."""

    RIGHT = "right"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class MitmProxy:
    """
    Stand in front of a server while the block lasts.

    :param target: the URL of that server
    :param authority: signed its certificate, and signs ours
    """

    def __init__(self, target: str, authority: trustme.CA, *, certificate: Certificate = Certificate.RIGHT) -> None:
        self._target = target
        self._authority = authority
        self._certificate = certificate
        self._fault: Mapping[str, Any] = {}
        self._stack = ExitStack()

    def __enter__(self) -> MitmProxy:
        program = mitmdump()
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airflow-ephemeral-peer-")))
            self.fault = {}
            ca_file = str(self._folder / "ca.pem")
            self._authority.cert_pem.write_to_path(ca_file)
            options = {
                "confdir": self._folder,
                "faults": self._folder / "fault.json",
                "http2": "false",
                "ssl_verify_upstream_trusted_ca": ca_file,
                **self._certified(),
            }
            command = [program, "--mode", f"reverse:{self._target}@127.0.0.1:0", "--scripts", str(ADDON)]
            command += [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
            self.process = stack.enter_context(Process(command, ready=READY, environment=UNBUFFERED))
            self.url = f"https://127.0.0.1:{self.process.said[1]}"
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def fault(self) -> Mapping[str, Any]:
        """What goes wrong with each request from now on."""
        return self._fault

    @fault.setter
    def fault(self, fault: Mapping[str, Any]) -> None:
        self._fault = fault
        (self._folder / "fault.json").write_text(json.dumps(fault))

    def _certified(self) -> dict[str, str]:
        if self._certificate is Certificate.UNKNOWN:  # mitmproxy makes its own
            return {}
        ended = datetime.now(timezone.utc) - timedelta(days=1) if self._certificate is Certificate.EXPIRED else None
        pem = str(self._folder / "proxy.pem")
        self._authority.issue_cert("127.0.0.1", not_after=ended).private_key_and_cert_chain_pem.write_to_path(pem)
        return {"certs": pem}
