"""Airflow's own settings, as far as they concern this backend."""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any, NamedTuple

BACKEND = "airflow_ephemeral_secrets.EphemeralSecretsBackend"
NEAR = 0.8
AS_LIBRARY = "_AIRFLOW__AS_LIBRARY"
CONNECTION_VARIABLE = "AIRFLOW_CONN_"


class Setting(NamedTuple):
    """
    A secrets backend as Airflow's settings name it.

    :param section: ``workers`` or ``secrets``
    :param path: the class
    :param kwargs: what it is built with; empty where they could not be parsed
    :param faulty: whether they could not
    """

    section: str
    path: str
    kwargs: Mapping[str, Any]
    faulty: bool

    @property
    def ours(self) -> bool:
        return self.path.startswith("airflow_ephemeral_secrets.")

    @property
    def near(self) -> bool:
        """Whether it is ours but for a slip of the pen."""
        return SequenceMatcher(None, self.path, BACKEND).ratio() > NEAR

    @property
    def key(self) -> str:
        """The option that names it."""
        return "secrets_backend" if self.section == "workers" else "backend"


def load() -> Any:
    """
    Load Airflow's settings.

    A process that has not imported Airflow gets these alone, without the database and the logging that importing it
    sets up: half the time.
    """
    if "airflow" not in sys.modules:
        os.environ[AS_LIBRARY] = "1"
        try:
            import airflow.configuration  # noqa: F401  # what it leaves out stays out
        finally:
            del os.environ[AS_LIBRARY]
    from airflow.sdk.configuration import conf

    return conf


def fault() -> str | None:
    """Say why Airflow cannot be imported, as where it finds no backend under the name that it is told; else None."""
    try:
        load()
    except Exception as error:
        told = f": {' '.join(str(error).split())}" if type(error).__name__ == "AirflowConfigException" else ""
        return type(error).__name__ + told
    return None


def option(section: str, key: str) -> str | None:
    """Read one of Airflow's settings."""
    value: str | None = load().get(section, key, fallback=None)
    return value


def server() -> Setting | None:
    """Read ``[secrets] backend``."""
    return _setting("secrets", "backend", "backend_kwargs")


def worker() -> Setting | None:
    """Read ``[workers] secrets_backend``, or what a worker uses where it is not set."""
    return _setting("workers", "secrets_backend", "secrets_backend_kwargs") or server()


def _setting(section: str, key: str, kwargs_key: str) -> Setting | None:
    conf = load()
    path = conf.get(section, key, fallback=None)
    if not path:
        return None
    try:
        kwargs = json.loads(conf.get(section, kwargs_key, fallback=None) or "{}")
    except ValueError:
        kwargs = None
    faulty = not isinstance(kwargs, dict)
    prefix = f"AIRFLOW__{section}__{kwargs_key.removesuffix('s')}__".upper()
    overrides = {name[len(prefix) :].lower(): value for name, value in os.environ.items() if name.startswith(prefix)}
    return Setting(section, path, {**({} if faulty else kwargs), **overrides}, faulty)


def importable(path: str) -> bool:
    """Say whether there is a class of this name."""
    from airflow.sdk._shared.module_loading import import_string

    try:
        import_string(path)
    except (ImportError, AttributeError):
        return False
    return True


def next_answer(conn_id: str) -> str:
    """Say who would answer for a conn_id on a worker if this backend did not: Airflow asks them in this order."""
    setting = worker()
    asked = [f"{setting.path} of [{setting.section}]"] if setting and not setting.ours else []
    variable = CONNECTION_VARIABLE + conn_id.upper()
    if variable in os.environ:
        return f"{_first(asked)}the environment variable {variable}, which is set here"
    own = server()
    remote = [f"its {own.path} of [secrets]"] if own and not own.ours else []
    return f"{_first(asked)}the API server: {', '.join([*remote, 'its environment'])} and the metadata database"


def _first(asked: list[str]) -> str:
    return f"{asked[0]}, then " if asked else ""


def user() -> str:
    """Name the user of this process, by number where the host knows no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
