"""The demo from beginning to end: peers, a real Airflow, the Dags, and what can be proven afterwards."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airflow_ephemeral_secrets.demo import config, gateway_proofs, lookups, proofs
from airflow_ephemeral_secrets.demo.airflow import Airflow
from airflow_ephemeral_secrets.demo.api import OrdersApi
from airflow_ephemeral_secrets.demo.cloud import Cloud
from airflow_ephemeral_secrets.demo.environment import scrubbed
from airflow_ephemeral_secrets.demo.gateways import Gateways
from airflow_ephemeral_secrets.demo.lookups import Lookups
from airflow_ephemeral_secrets.demo.processes import interruptible
from airflow_ephemeral_secrets.demo.progress import Progress
from airflow_ephemeral_secrets.demo.proofs import Proof

DAGS = (Path(__file__).parent / "dags", Path(__file__).parent.parent / "gateway" / "example_dags")
DAG_IDS = sorted(path.stem for folder in DAGS for path in folder.glob("[!_]*.py"))
RAM = "/dev/shm"  # noqa: S108  # the demo makes a private directory in it


@dataclass(frozen=True)
class Story:
    """What happened."""

    home: Path
    lookups: list[Lookups]
    proofs: list[Proof]
    seconds: float

    @property
    def held(self) -> bool:
        return all(proof.held for proof in self.proofs)


@dataclass(frozen=True)
class Stage:
    """Everything that runs while the story is told."""

    token: str
    cloud: Cloud
    api: OrdersApi
    gateways: Gateways
    store: Path
    airflow: Airflow


def tell(progress: Progress, *, keep: bool, timeout: float) -> Story:
    """
    Run the demo.

    :param progress: told what is being waited for
    :param keep: leave AIRFLOW_HOME behind
    :param timeout: seconds until the Dags must be done
    :raises AirflowFailed: when a part of Airflow dies or time runs out
    """
    progress("starting the cloud and the API")
    with _stage(progress, keep) as stage:
        airflow = stage.airflow
        urls = {name: one.url for name, one in stage.gateways.by_name.items()}
        cloud, api = stage.cloud.endpoint_url, stage.api.url
        file = config.write(airflow.home, cloud=cloud, api=api, gateways=urls, store=stage.store)
        airflow.start(config.options(file), timeout - progress.elapsed)
        airflow.wait(DAG_IDS, timeout - progress.elapsed)
        running = airflow.survivors()
        airflow.stop()
        progress("looking for leaks")
        proven = [*_proofs(stage), proofs.nothing_left_running(running, airflow.survivors())]
        return Story(airflow.home, lookups.read(config.audit_file(airflow.home)), proven, progress.elapsed)


@contextmanager
def _stage(progress: Progress, keep: bool) -> Iterator[Stage]:
    token, client, key = (secrets.token_urlsafe(32) for _ in range(3))
    more = {config.GATEWAYS_SECRET_ID: json.dumps({"client": client, "subscription_key": key})}
    with (
        interruptible(),
        scrubbed(),
        Cloud(token, more) as cloud,
        OrdersApi(token) as api,
        Gateways(client, key, cloud.key) as gateways,
        _folder_in_ram() as store,
        Airflow(DAGS, environment=cloud.worker_environment, triggerer=True, keep=keep, progress=progress) as airflow,
    ):
        yield Stage(token, cloud, api, gateways, store, airflow)


@contextmanager
def _folder_in_ram() -> Iterator[Path]:
    """Give the demo a host store of its own, so that it neither sees nor leaves leases of this user."""
    store = tempfile.mkdtemp(prefix="airflow-ephemeral-demo-", dir=RAM)
    try:
        yield Path(store)
    finally:
        shutil.rmtree(store)


def _proofs(stage: Stage) -> Iterator[Proof]:
    airflow, cloud, issued = stage.airflow, stage.cloud, stage.cloud.issued()
    tasks = airflow.metadata.tasks()
    gateways = stage.gateways
    minted = {**proofs.minted_secrets(issued), **gateways.issued()}
    long_lived = {
        "bearer token of the API": stage.token,
        "client secret of the gateways": gateways.client_secret,
        "subscription key": gateways.subscription_key,
        "secret access key of the worker": cloud.worker_environment["AWS_SECRET_ACCESS_KEY"],
    }
    yield proofs.every_task_succeeded(airflow, DAG_IDS)
    yield proofs.one_mint_per_dag(issued, cloud.calls["AssumeRole"], tasks)
    yield proofs.api_served_only_the_token(stage.api, tasks)
    yield from gateway_proofs.respected(gateways, tasks)
    yield gateway_proofs.one_id_joins(gateways, config.audit_file(airflow.home), airflow.home / "traces")
    yield proofs.worker_alone_is_denied(cloud)
    yield proofs.audit_names_every_mint(issued, config.audit_file(airflow.home))
    yield from proofs.nothing_leaked(airflow, {**minted, **long_lived}, control=tasks[0].run_id)
    yield proofs.nothing_stored_encrypted(airflow)
    yield proofs.store_holds_only_minted(stage.store, minted, long_lived)
