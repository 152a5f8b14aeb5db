"""The ``redis`` connection."""

from __future__ import annotations

from airflow_ephemeral_secrets.shapes.fields import Port
from airflow_ephemeral_secrets.shapes.server import FILLED, Account, because, words


class Redis(Account, frozen=True, kw_only=True, tag="redis"):
    """
    A Redis or Valkey connection whose password is the secret.

    The hook keeps the client that it first made, which proves itself again for each socket it opens. ``ssl`` is on
    unless ``extra`` says otherwise; the hook alone would leave it off.

    :param login: the ACL user; for a token name it here, ``default`` if there is none
    :param extra: keys of the hook: ``db``, ``cluster``, ``startup_nodes``, ``ssl`` and ``ssl_…``
    """

    cautions = ("the hook keeps its first client, which proves itself anew for each socket",)
    keys = words("cluster db ssl ssl_ca_certs ssl_cert_reqs ssl_certfile ssl_check_hostname ssl_keyfile startup_nodes")
    refused = because(FILLED, "host password port username")
    defaults = {"ssl": True}

    port: Port = 6379
