"""What Airflow is told of the page: everywhere it shows, and nothing that a task would have to load."""

from __future__ import annotations

import subprocess
import sys

from airflow_ephemeral_secrets.ui.plugin import EphemeralSecretsPlugin


def test_airflow_knows_the_plugin() -> None:
    """The entry point registers it, and Airflow takes each of its views."""
    from airflow.api_fastapi.core_api.datamodels.plugins import PluginResponse
    from airflow.plugins_manager import _get_ui_plugins, get_plugin_info

    views, _ = _get_ui_plugins()
    assert {view["destination"] for view in views} >= {"nav", "dag", "dag_run", "task_instance"}
    (ours,) = (one for one in get_plugin_info() if one["name"] == "ephemeral_secrets")
    told = PluginResponse.model_validate({**ours, "source": str(ours["source"])})
    assert [app.url_prefix for app in told.fastapi_apps] == ["/ephemeral"]


def test_its_option_is_known_to_airflow() -> None:
    """Airflow describes where the page's files are named, and has no value of its own for it."""
    from airflow.configuration import conf
    from airflow.providers_manager import ProvidersManager

    ProvidersManager().initialize_providers_configuration()
    assert "audit_files" in conf.configuration_description["ephemeral_secrets"]["options"]
    assert conf.get("ephemeral_secrets", "audit_files", fallback=None) in (None, "")


def test_addresses_are_relative() -> None:
    """A view works below any base path of Airflow's, and each has a route of its own."""
    views = EphemeralSecretsPlugin.external_views
    assert [view["href"] for view in views if not view["href"].startswith("ephemeral/")] == []
    assert len({view["url_route"] for view in views}) == len(views)


def test_a_task_loads_no_app() -> None:
    """Every task process loads the plugin, and with it neither the app nor what the app is made of."""
    script = (
        "import sys, time; import airflow.sdk.plugins_manager as manager; before = set(sys.modules);"
        "from airflow_ephemeral_secrets.ui.plugin import EphemeralSecretsPlugin as P; P();"
        "print([one for one in set(sys.modules) - before if not one.startswith('airflow_ephemeral_secrets')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_app_is_made_once() -> None:
    """Whoever asks for the app gets the same one."""
    first, second = (EphemeralSecretsPlugin().fastapi_apps[0]["app"] for _ in range(2))
    assert first is second
