"""Servers with certificates, good and bad."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone

import trustme


def serving(authority: trustme.CA, *names: str, expired: bool = False) -> ssl.SSLContext:
    """
    Make what a server presents.

    :param authority: signs its certificate
    :param names: whom the certificate names; 127.0.0.1 unless said otherwise
    """
    ended = datetime.now(timezone.utc) - timedelta(days=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("127.0.0.1",)), not_after=ended if expired else None).configure_cert(context)
    return context
