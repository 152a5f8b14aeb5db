"""The package is there at no cost."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_ephemeral_secrets import gateway
from airflow_ephemeral_secrets.demo.environment import allowed

SCRIPT = """
import sys
import airflow_ephemeral_secrets.gateway
heavy = {"airflow", "requests", "aiohttp", "jsonschema", "msgspec"}
print(sorted({name.partition(".")[0] for name in sys.modules} & heavy))
"""


def test_import_is_free() -> None:
    """Importing the package imports none of what it stands on."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=allowed(), capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_unknown_name() -> None:
    """A name that is not there is an ordinary AttributeError."""
    with pytest.raises(AttributeError, match="has no attribute 'Gateway'"):
        _ = gateway.Gateway
