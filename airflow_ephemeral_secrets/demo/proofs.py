"""The claims of the demo, each decided by measurements of somebody other than the code that makes the claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_ephemeral_secrets.demo.airflow import Airflow
from airflow_ephemeral_secrets.demo.api import OrdersApi
from airflow_ephemeral_secrets.demo.cloud import BUCKET, ROLES, Cloud, Issued
from airflow_ephemeral_secrets.demo.leaks import Finding, Search
from airflow_ephemeral_secrets.demo.metadata import TaskState

FINDINGS_SHOWN = 5


@dataclass(frozen=True)
class Proof:
    """A claim, whether it held, and the numbers that say so."""

    claim: str
    held: bool
    evidence: str


def minted_secrets(issued: Sequence[Issued]) -> dict[str, str]:
    """Name every secret that STS issued, so that all are searched for."""
    keys = {f"secret access key of {one.access_key_id}": one.secret_access_key for one in issued}
    tokens = {f"session token of {one.access_key_id}": one.session_token for one in issued}
    return keys | tokens


def every_task_succeeded(airflow: Airflow, dag_ids: Collection[str]) -> Proof:
    """Ask the scheduler's own records."""
    tasks, runs = airflow.metadata.tasks(), airflow.metadata.runs()
    bad = [task for task in tasks if task.state != "success"]
    done = [dag_id for dag_id in dag_ids if runs.get(dag_id) == "success"]
    evidence = f"{len(tasks) - len(bad)} of {len(tasks)} tasks in {len(done)} of {len(dag_ids)} Dag runs"
    causes = [f"{one.dag_id}.{one.task_id} {one.state}: {airflow.task_error(one.dag_id, one.task_id)}" for one in bad]
    held = bool(tasks) and not bad and len(done) == len(dag_ids)
    return Proof("every task succeeded", held, "; ".join([evidence, *causes]))


def one_mint_per_dag(issued: Sequence[Issued], asked: int, tasks: Sequence[TaskState]) -> Proof:
    """Ask STS what it issued, and to whom."""
    users = [task for task in tasks if f"airflow-{task.dag_id}" in ROLES]
    minted = Counter(one.role for one in issued)
    held = minted == Counter(ROLES.keys()) and asked == len(issued)
    roles = ", ".join(f"{role}: {count}" for role, count in sorted(minted.items()))
    evidence = f"STS was asked {asked} times and issued {len(issued)} credentials ({roles}) for {len(users)} tasks"
    return Proof("one mint per Dag, not per task", held, evidence)


def api_served_only_the_token(api: OrdersApi, tasks: Sequence[TaskState]) -> Proof:
    """Ask the API whom it served."""
    callers = sum(task.operator == "HttpOperator" and task.state == "success" for task in tasks)
    held = api.refused == 0 and api.granted == callers > 0
    evidence = f"{api.granted} bearer calls served to {callers} tasks, {api.refused} refused"
    return Proof("the API served every task and refused nobody", held, evidence)


def worker_alone_is_denied(cloud: Cloud) -> Proof:
    """Try to read the bucket with nothing but what the worker was given."""
    from botocore.exceptions import ClientError

    claim = "the worker's own identity cannot read the bucket"
    try:
        cloud.worker_client("s3").list_objects_v2(Bucket=BUCKET)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return Proof(claim, code == "AccessDenied", f"S3 answered {code}")
    return Proof(claim, False, "S3 listed it")


def audit_names_every_mint(issued: Sequence[Issued], audit: Path) -> Proof:
    """Compare what STS issued with what our audit trail admits to."""
    trail = audit.read_text() if audit.exists() else ""
    named = sum(one.access_key_id in trail for one in issued)
    evidence = f"{named} of {len(issued)} access key ids, {len(trail.splitlines())} lines"
    return Proof("the audit trail names every credential that STS issued", named == len(issued) > 0, evidence)


def nothing_leaked(airflow: Airflow, secrets: Mapping[str, str], control: str) -> Iterator[Proof]:
    """
    Search for the secrets wherever Airflow writes.

    :param control: something harmless that is written to the same places: if it is not found, the search is blind
    """
    places: Mapping[str, Callable[[Search], set[Finding]]] = {
        "the metadata DB": lambda search: search.database(airflow.metadata.database),
        "the logs": lambda search: search.tree(airflow.logs),
        "AIRFLOW_HOME": lambda search: search.tree(airflow.home),
    }
    for place, look in places.items():
        search = Search(secrets)
        found = look(search)
        controls = look(Search({"control": control}))
        evidence = (
            f"{len(found)} found; {len(secrets)} secrets in {search.patterns} forms, "
            f"{search.bytes // 1000} kB searched; control found in {len({one.where for one in controls})} places"
        )
        shown = [f"{one.secret} ({one.encoding}) in {one.where}" for one in sorted(found)[:FINDINGS_SHOWN]]
        yield Proof(f"no token in {place}", not found and bool(controls), "; ".join([evidence, *shown]))


def nothing_stored_encrypted(airflow: Airflow) -> Proof:
    """Count the rows of the tables that Airflow encrypts, where a search would be blind."""
    rows = {table: airflow.metadata.size(table) for table in ("connection", "variable")}
    evidence = ", ".join(f"{count} in {table}" for table, count in rows.items())
    return Proof("no connection or variable in the metadata DB", not any(rows.values()), f"rows: {evidence}")


def store_holds_only_minted(store: Path, minted: Mapping[str, str], long_lived: Mapping[str, str]) -> Proof:
    """Look into the host store: the same search must find there what ends by itself, and nothing else."""
    found = {one.secret for one in Search({**minted, **long_lived}).tree(store)}
    evidence = (
        f"{len(found & minted.keys())} of {len(minted)} minted secrets, "
        f"{len(found & long_lived.keys())} of {len(long_lived)} long-lived ones"
    )
    return Proof("the store in RAM holds what was minted and nothing else", found == minted.keys(), evidence)


def nothing_left_running(started: int, left: int) -> Proof:
    """Ask the kernel for the processes of our sessions."""
    return Proof("no process left behind", started > 0 and left == 0, f"{started} were running, {left} are left")
