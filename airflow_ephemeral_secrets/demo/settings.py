"""The ``airflow.cfg`` of a small, quick and silent Airflow."""

from __future__ import annotations

import base64
import configparser
import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

Options = Mapping[str, Mapping[str, str]]

LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"


def base_options(database: str, port: int, dags: Iterable[Path], parallelism: int) -> Options:
    """Return the options under which Airflow starts fast, tells nobody and finds only the given Dags."""
    url = f"http://127.0.0.1:{port}"
    bundles = [
        {"name": f"dags-{number}", "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(path)}}
        for number, path in enumerate(dags)
    ]
    return {
        "core": {
            "executor": "LocalExecutor",
            "parallelism": str(parallelism),
            "load_examples": "False",
            "dags_are_paused_at_creation": "False",
            "simple_auth_manager_all_admins": "True",
            "execution_api_server_url": f"{url}/execution/",
            "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        },
        "database": {
            "sql_alchemy_conn": database,
            "load_default_connections": "False",
        },
        "api": {
            "host": "127.0.0.1",
            "port": str(port),
            "base_url": url,
            "workers": "1",
            "secret_key": secrets.token_urlsafe(48),
        },
        "api_auth": {"jwt_secret": secrets.token_urlsafe(48)},
        "dag_processor": {
            "dag_bundle_config_list": json.dumps(bundles),
            "refresh_interval": "5",
            "bundle_refresh_check_interval": "1",
        },
        "scheduler": {"scheduler_heartbeat_sec": "1", "scheduler_idle_sleep_time": "0.2"},
        # on a busy machine a task that waits five seconds for the API server would be taken for lost
        "workers": {"execution_api_timeout": "60"},
        "usage_data_collection": {"enabled": "False"},
    }


def write(path: Path, *layers: Options) -> None:
    """Write the options as a configuration file, later layers winning; only its owner may read it."""
    parser = configparser.RawConfigParser()
    for layer in layers:
        for section, values in layer.items():
            if not parser.has_section(section):
                parser.add_section(section)
            for option, value in values.items():
                parser.set(section, option, value.replace("%", "%%"))
    path.touch(mode=0o600)
    with path.open("w") as file:
        parser.write(file)
