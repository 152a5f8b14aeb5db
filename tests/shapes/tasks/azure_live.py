"""What long tasks do with the microsoft.azure provider: each hook is made once, and outlives its tokens."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from airflow.providers.microsoft.azure.hooks.base_azure import AzureBaseHook
from airflow.providers.microsoft.azure.hooks.compute import AzureComputeHook
from airflow.providers.microsoft.azure.hooks.container_instance import (
    AzureContainerInstanceAsyncHook,
    AzureContainerInstanceHook,
)
from airflow.providers.microsoft.azure.hooks.data_factory import AzureDataFactoryHook
from airflow.providers.microsoft.azure.hooks.data_lake import AzureDataLakeHook, AzureDataLakeStorageV2Hook
from airflow.providers.microsoft.azure.hooks.synapse import AzureSynapseHook
from airflow.providers.microsoft.azure.hooks.wasb import WasbAsyncHook, WasbHook
from airflow.providers.microsoft.azure.triggers.compute import AzureVirtualMachineStateTrigger
from airflow.providers.microsoft.azure.triggers.data_factory import ADFPipelineRunStatusSensorTrigger
from airflow.providers.microsoft.azure.triggers.wasb import WasbBlobSensorTrigger
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

from tests.shapes.tasks.asking import asked, attempt, fired, tell

LASTS = float(os.environ["LASTS"])
PAUSE = 0.4
GROUP = "a-group"


def synapse(conn_id: str) -> Callable[[], Any]:
    hook = AzureSynapseHook(conn_id)
    hook.job_id = 7
    return hook.get_job_run_status


def data_lake(conn_id: str) -> Callable[[], Any]:
    hook = AzureDataLakeHook(conn_id)
    return lambda: hook.get_conn().ls("/", invalidate_cache=True)


def base(conn_id: str) -> Callable[[], Any]:
    credential = AzureBaseHook(conn_id=conn_id).get_credential()

    def lives() -> bool:
        began = time.time()
        return credential.get_token("https://management.azure.com/.default").expires_on > began

    return lives


def repeat(do: Callable[[], Any]) -> list[Any]:
    """Do it for as long as the task lasts, and say what came of it, each kind once."""
    end, seen = time.monotonic() + LASTS, []
    while time.monotonic() < end:
        seen.append(attempt(do))
        time.sleep(PAUSE)
    return [one for at, one in enumerate(seen) if one not in seen[:at]]


async def arepeat(do: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Do the same in an event loop."""
    end, seen = time.monotonic() + LASTS, []
    while time.monotonic() < end:
        try:
            seen.append(await do())
        except Exception as error:
            seen.append(f"{type(error).__name__}: {error}")
        await asyncio.sleep(PAUSE)
    return [one for at, one in enumerate(seen) if one not in seen[:at]]


def named(do: Callable[..., Any], *given: str) -> Callable[[], Any]:
    return lambda: do(*given).name


KEPT: dict[str, Callable[[str], Callable[[], Any]]] = {
    "azure": base,
    "azure_compute": lambda it: partial(AzureComputeHook(it).get_power_state, GROUP, "a-machine"),
    "azure_container_instance": lambda it: named(AzureContainerInstanceHook(it).get_state, GROUP, "a-container"),
    "azure_data_factory": lambda it: named(AzureDataFactoryHook(it).get_factory, GROUP, "a-factory"),
    "azure_data_lake": data_lake,
    "azure_synapse": synapse,
    "wasb": lambda it: partial(WasbHook(it).check_for_blob, "a-container", "a-blob"),
    "adls": lambda it: partial(AzureDataLakeStorageV2Hook(it).list_files_directory, "a-system", "a-folder"),
}


async def asynchronous() -> dict[str, Any]:
    blobs, containers = WasbAsyncHook("wasb"), AzureContainerInstanceAsyncHook("azure_container_instance")

    async def state() -> Any:
        return (await containers.get_state(GROUP, "a-container")).name

    async with await blobs.get_async_conn():
        found = await asyncio.gather(
            arepeat(lambda: blobs.check_for_blob_async("a-container", "a-blob")),
            arepeat(state),
        )
    return dict(zip(("wasb", "azure_container_instance"), found, strict=True))


def ambient() -> dict[str, Any]:
    """Ask as hooks do that have no connection of ours: by this worker's own identity."""
    return {
        "default": attempt(lambda: DefaultAzureCredential().get_token("https://vault.azure.net/.default").token),
        "named": attempt(
            lambda: ManagedIdentityCredential(client_id="another").get_token("https://vault.azure.net/.default").token
        ),
    }


before = ambient()
with ThreadPoolExecutor(len(KEPT) + 1) as pool:
    tasks = {name: pool.submit(repeat, make(name)) for name, make in KEPT.items()}
    loop = pool.submit(lambda: asyncio.run(asynchronous()))
    hooks, ahooks = {name: task.result() for name, task in tasks.items()}, loop.result()
lookups = {name: asked.count(name) for name in KEPT}
tell(
    hooks=hooks,
    asynchronous=ahooks,
    lookups=lookups,
    triggers={
        "wasb": attempt(lambda: fired(WasbBlobSensorTrigger("a-container", "a-blob", "wasb"))),
        "azure_data_factory": attempt(
            lambda: fired(ADFPipelineRunStatusSensorTrigger("a-run", "azure_data_factory", 1.0, GROUP, "a-factory"))
        ),
        "azure_compute": attempt(
            lambda: fired(AzureVirtualMachineStateTrigger(GROUP, "a-machine", "running", "azure_compute"))
        ),
    },
    forbidden=attempt(lambda: AzureBaseHook(conn_id="azure").get_token("https://vault.azure.net/.default")),
    before=before,
    after=ambient(),
)
