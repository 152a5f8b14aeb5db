"""A worker on Azure, as far as its environment tells; and one that trusts the authorities of test servers."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache

import pytest

from airflow_ephemeral_secrets.sources import exchange

SCOPE = "api://crm/.default"
PREFIXES = ("AZURE_", "IDENTITY_", "IMDS_", "MSI_", "MSAL_")


def nowhere(patch: pytest.MonkeyPatch) -> None:
    """Take away what in the environment could give a worker an identity."""
    for name in [name for name in os.environ if name.startswith(PREFIXES) or name.lower().endswith("_proxy")]:
        patch.delenv(name)


def trusting(patch: pytest.MonkeyPatch, ca_file: str) -> None:
    """Let an authority be one of this host's own."""
    paths = ssl.get_default_verify_paths()._replace(openssl_cafile=ca_file)
    patch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    patch.setattr(exchange, "_tls", lru_cache(exchange._tls.__wrapped__))
