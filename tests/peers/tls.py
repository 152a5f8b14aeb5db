"""Servers with certificates, good and bad."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone

import trustme


def serving(authority: trustme.CA, name: str = "127.0.0.1", *, expired: bool = False) -> ssl.SSLContext:
    """
    Make what a server presents.

    :param authority: signs its certificate
    :param name: whom the certificate names
    """
    ended = datetime.now(timezone.utc) - timedelta(days=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=ended if expired else None).configure_cert(context)
    return context
