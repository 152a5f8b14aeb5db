"""What a task does with the microsoft.azure provider."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from airflow.providers.microsoft.azure.hooks.asb import AdminClientHook
from airflow.providers.microsoft.azure.hooks.base_azure import AzureBaseHook
from airflow.providers.microsoft.azure.hooks.compute import AzureComputeHook
from airflow.providers.microsoft.azure.hooks.container_instance import (
    AzureContainerInstanceAsyncHook,
    AzureContainerInstanceHook,
)
from airflow.providers.microsoft.azure.hooks.container_registry import AzureContainerRegistryHook
from airflow.providers.microsoft.azure.hooks.data_factory import AzureDataFactoryHook
from airflow.providers.microsoft.azure.hooks.data_lake import AzureDataLakeHook, AzureDataLakeStorageV2Hook
from airflow.providers.microsoft.azure.hooks.fileshare import AzureFileShareHook
from airflow.providers.microsoft.azure.hooks.synapse import AzureSynapseHook
from airflow.providers.microsoft.azure.hooks.wasb import WasbHook
from airflow.providers.microsoft.azure.triggers.compute import AzureVirtualMachineStateTrigger
from airflow.providers.microsoft.azure.triggers.data_factory import ADFPipelineRunStatusSensorTrigger
from airflow.providers.microsoft.azure.triggers.wasb import WasbBlobSensorTrigger

from tests.shapes.tasks.asking import attempt, fired, lookups, tell

GROUP = "a-group"


def synapse(conn_id: str) -> Any:
    hook = AzureSynapseHook(conn_id)
    hook.job_id = 7
    return hook.get_job_run_status()


def registry(conn_id: str) -> list[Any]:
    held = AzureContainerRegistryHook(conn_id).connection
    return [held.server, held.username, bool(held.password)]


KEPT: dict[str, Callable[[str], Callable[[], Any]]] = {
    "wasb_sas": lambda it: partial(WasbHook(it).check_for_blob, "a-container", "a-blob"),
    "adls_sas": lambda it: partial(AzureDataLakeStorageV2Hook(it).list_files_directory, "a-system", "a-folder"),
    "azure_fileshare": lambda it: AzureFileShareHook("a-share", None, "a-folder", it).check_for_directory,
    "azure_service_bus": lambda it: partial(AdminClientHook(it).delete_queue, "a-queue"),
    "azure_data_factory": lambda it: partial(AzureDataFactoryHook(it).get_factory, GROUP, "a-factory"),
}
"""What is done twice with one hook."""


def reads(conn_id: str) -> int:
    do = KEPT[conn_id](conn_id)
    return lookups(conn_id, lambda: [do(), do()])


DO: dict[str, Callable[[str], Any]] = {
    "adls": lambda it: AzureDataLakeStorageV2Hook(it).list_files_directory("a-system", "a-folder"),
    "azure": lambda it: AzureBaseHook(conn_id=it).get_token("https://management.azure.com/.default").expires_on > 0,
    "azure_compute": lambda it: AzureComputeHook(it).get_power_state(GROUP, "a-machine"),
    "azure_container_instance": lambda it: AzureContainerInstanceHook(it).get_state(GROUP, "a-container").name,
    "azure_data_factory": lambda it: AzureDataFactoryHook(it).get_factory(GROUP, "a-factory").name,
    "azure_data_lake": lambda it: AzureDataLakeHook(it).get_conn().ls("/"),
    "azure_fileshare": lambda it: AzureFileShareHook("a-share", None, "a-folder", it).check_for_directory(),
    "azure_service_bus": lambda it: AdminClientHook(it).delete_queue("a-queue"),
    "azure_synapse": synapse,
    "wasb": lambda it: WasbHook(it).check_for_blob("a-container", "a-blob"),
    "wasb_sas": lambda it: WasbHook(it).check_for_blob("a-container", "a-blob"),
    "adls_sas": lambda it: AzureDataLakeStorageV2Hook(it).list_files_directory("a-system", "a-folder"),
}
DEFERRED: dict[str, Callable[[str], Any]] = {
    "wasb": lambda it: fired(WasbBlobSensorTrigger("a-container", "a-blob", it)),
    "wasb_sas": lambda it: fired(WasbBlobSensorTrigger("a-container", "a-blob", it)),
    "azure_data_factory": lambda it: fired(ADFPipelineRunStatusSensorTrigger("a-run", it, 1.0, GROUP, "a-factory")),
    "azure_compute": lambda it: fired(AzureVirtualMachineStateTrigger(GROUP, "a-machine", "running", it)),
    "azure_container_instance": lambda it: (
        asyncio.run(AzureContainerInstanceAsyncHook(it).get_state(GROUP, "a-container")).name
    ),
}

tell(
    **{name: attempt(lambda do=do, name=name: do(name)) for name, do in DO.items()},  # type: ignore[misc]
    **{f"{name} deferred": attempt(lambda do=do, name=name: do(name)) for name, do in DEFERRED.items()},  # type: ignore[misc]
    **{
        f"{name} refused": attempt(lambda do=do, name=name: do(f"{name}_wrong"))  # type: ignore[misc]
        for name, do in DO.items()
    },
    registry=registry("azure_container_registry"),
    reads={name: reads(name) for name in KEPT},
)
