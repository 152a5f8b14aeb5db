"""
A proxy behind which every host is a function of ours: clients keep the URLs that they ask in earnest.

.. code-block:: python

    with Internet(lambda host, request: response(b"{}"), ca_file=tmp_path / "ca.pem") as internet:
        ...  # run a client with internet.environment: whatever it asks over https is answered here
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path

import trustme

from tests.peers.rogue import Peer, Request, Rogue
from tests.peers.tls import serving

Answer = Callable[[str, Request], bytes]
"""What a host answers to a request, as it goes over the wire."""


class Internet(Rogue):
    """
    Lead every CONNECT here while the block lasts; each host presents a certificate in its own name.

    :param ca_file: where to write the authority that signs them

    Attribute ``authority``: signs what a server beside the proxy may present too.
    """

    def __init__(self, answer: Answer, *, ca_file: Path) -> None:
        super().__init__(self._lead)
        self._answer = answer
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(str(ca_file))
        self._ca_file = str(ca_file)
        self._certified = cache(self._certify)

    @property
    def environment(self) -> dict[str, str]:
        """What makes a client of any kind come here."""
        proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), self.url)
        return {**proxies, "NO_PROXY": "", "REQUESTS_CA_BUNDLE": self._ca_file, "SSL_CERT_FILE": self._ca_file}

    def _certify(self, host: str) -> ssl.SSLContext:
        return serving(self.authority, host)

    def _lead(self, peer: Peer) -> None:
        asked = peer.read()
        if asked.method != "CONNECT":
            raise ValueError(asked.method)
        host = asked.target.rpartition(":")[0]
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        with closing(self._certified(host).wrap_socket(peer.connection, server_side=True)) as stream:
            within = Peer(stream, self)
            within.send(self._answer(host, within.read()))
