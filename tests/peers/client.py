"""The plain HTTP client that tests talk to servers with, where ours is not what is tested."""

from __future__ import annotations

from typing import Any

import urllib3

PATIENCE = 10.0


def ask(
    method: str, url: str, *, ca_file: str | None = None, cert_file: str | None = None, **given: Any
) -> urllib3.BaseHTTPResponse:
    """
    Send one request and read the whole answer.

    :param ca_file: authorities to trust, as PEM
    :param cert_file: our certificate and its key, as PEM
    :param given: of ``urllib3.PoolManager.request``
    """
    with urllib3.PoolManager(ca_certs=ca_file, cert_file=cert_file, retries=False, timeout=PATIENCE) as pool:
        return pool.request(method, url, **given)


def post(url: str, form: dict[str, str], *, auth: str | None = None, **given: Any) -> urllib3.BaseHTTPResponse:
    """
    Post a form.

    :param auth: login and password, joined by a colon, as they go into Basic
    :param given: of :func:`ask`
    """
    headers = urllib3.make_headers(basic_auth=auth) if auth else {}
    return ask("POST", url, fields=form, encode_multipart=False, headers=headers, **given)
