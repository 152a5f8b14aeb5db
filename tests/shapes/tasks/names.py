"""Names of the internet that lead to this machine, for hooks that build their URLs themselves."""

from __future__ import annotations

import os
import socket
from typing import Any

_real = socket.getaddrinfo


def lead(*domains: str) -> None:
    """Let port 443 of every host of some domains be the port ``LEADS_TO`` of this machine; certificates still count."""

    def found(host: Any, port: Any, *given: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and name.endswith(domains) and port in (443, "443", "https"):
            return _real("127.0.0.1", int(os.environ["LEADS_TO"]), *given, **more)
        return _real(host, port, *given, **more)

    socket.getaddrinfo = found
