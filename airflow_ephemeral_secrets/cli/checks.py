"""What the doctor checks."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import NamedTuple

from airflow_ephemeral_secrets._airflow import Setting
from airflow_ephemeral_secrets.clock import Clock, Deadline
from airflow_ephemeral_secrets.config import Config
from airflow_ephemeral_secrets.errors import SourceFailed, SourceUnavailable, StoreError
from airflow_ephemeral_secrets.installation import Installation
from airflow_ephemeral_secrets.sources.base import SecretReference, Source
from airflow_ephemeral_secrets.sources.exchange import SKEW, exchange, skew
from airflow_ephemeral_secrets.sources.silence import silence

PACKAGES = (
    ("boto3", "aws", ("aws_",)),
    ("azure.identity", "azure", ("azure",)),
    ("azure.keyvault.secrets", "azure", ("azure_key_vault",)),
    ("google.auth", "google", ("google",)),
    ("jwt", "oauth2", ("oauth2",)),
)
"""What kinds of sources and secret references need, with the extra that brings it."""


class Finding(NamedTuple):
    """
    Something to mend.

    :param check: which check found it
    :param what: what is wrong
    :param why: why it matters
    :param mend: the line to change, or the command to run
    """

    check: str
    what: str
    why: str
    mend: str


def airflow_settings(server: Setting | None, worker: Setting | None, executor: str | None) -> Iterator[Finding]:
    """Compare what the server and the workers are told."""
    for setting in (server, worker if worker != server else None):
        if setting and setting.ours and setting.faulty:
            yield Finding(
                "settings",
                f"[{setting.section}] backend kwargs are not a JSON object",
                "Airflow then builds the backend with no kwargs, and every lookup is refused",
                '{"config_file": "/path/of/ephemeral.yaml"}',
            )
    if server and worker and server.ours and worker.ours and server.kwargs != worker.kwargs:
        yield Finding(
            "settings",
            "[secrets] and [workers] name different configurations",
            "what explain and doctor say on one side is not what tasks get on the other",
            "the same kwargs in both, or [workers] alone",
        )
    if worker and worker.ours and not (server and server.ours) and (executor or "").startswith("LocalExecutor"):
        yield Finding(
            "settings",
            "[secrets] backend is not set, and the executor is LocalExecutor",
            "it copies task logs to the scheduler's output, where Airflow masks nothing; this backend masks it if set",
            "[secrets] backend = airflow_ephemeral_secrets.EphemeralSecretsBackend, with the same kwargs",
        )
    if server and server.ours and worker and not worker.ours:
        yield Finding(
            "settings",
            f"[workers] secrets_backend is {worker.path}",
            "tasks never ask this backend, and the API server mints for nobody",
            "[workers] secrets_backend = airflow_ephemeral_secrets.EphemeralSecretsBackend",
        )


def use_cache(value: str | None) -> Iterator[Finding]:
    """Warn of Airflow's own cache, which knows no expiry."""
    if (value or "").lower() in ("true", "1", "t"):
        yield Finding(
            "settings",
            "[secrets] use_cache is on",
            "Dag parsing gets connections from a cache that keeps them past their expiry",
            "use_cache = False",
        )


def packages(config: Config) -> Iterator[Finding]:
    """Find what the configured sources and secret references need and is not installed."""
    kinds = {source.kind for source in config.sources.values()} | {
        str(reference.__struct_config__.tag) for reference in config.secrets.values()
    }
    for module, extra, prefixes in PACKAGES:
        needy = sorted(kind for kind in kinds if kind.startswith(prefixes))
        if needy and not _installed(module):
            yield Finding(
                "packages",
                f"{module} is not installed, and {', '.join(needy)} {'needs' if len(needy) == 1 else 'need'} it",
                "nothing can be minted by them",
                f"pip install 'airflow-ephemeral-secrets[{extra}]'",
            )


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def remote_logging(config: Config, conn_id: str | None) -> Iterator[Finding]:
    """Find out whether we own the connection of remote logging."""
    if conn_id and config.connections.match(conn_id):
        yield Finding(
            "settings",
            f"[logging] remote_log_conn_id {conn_id} is owned by a recipe",
            "Airflow keeps that connection for the life of a process; we refuse it rather than let it go stale",
            "remote_log_conn_id = (empty), with the worker's own identity for the log bucket",
        )


def store(found: Installation) -> Iterator[Finding]:
    """Open the host store."""
    try:
        opened = found.open_store()
    except StoreError as error:
        yield Finding(
            "store", str(error), "each process then mints for itself", error.hint or "store.host: a directory on tmpfs"
        )
    else:
        if opened:
            opened.close()


def endpoints(config: Config, clock: Clock) -> Iterator[Finding]:
    """Ask each provider for any answer at all, and compare its clock with ours."""
    asked: list[Source | SecretReference] = [*config.sources.values(), *config.secrets.values()]
    for url in sorted({url for one in asked for url in one.endpoints()}):
        try:
            with silence("airflow_ephemeral_secrets"):  # its warning is our finding
                deadline = Deadline(clock, 5.0)
                answer = exchange("GET", url, headers={}, body=None, network=config.network, deadline=deadline)
        except SourceUnavailable as error:
            yield Finding("endpoints", str(error), "nothing can be minted anywhere", "network.ca_file")
            return
        except SourceFailed as error:
            if error.code == "redirect":
                continue
            yield Finding(
                "endpoints", str(error), "nothing can be minted there", "the network, network.proxy or endpoint_url"
            )
            continue
        ahead = skew(answer.headers.get("date"), clock)
        if abs(ahead) > SKEW:
            yield Finding(
                "clock",
                f"this host's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of {url}",
                "requests are refused, and expiry is misjudged",
                "time synchronisation (NTP) on this host",
            )
