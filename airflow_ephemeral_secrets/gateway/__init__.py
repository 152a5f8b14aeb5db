"""
For Dags that call APIs behind a gateway, on top of stock classes.

Nothing is imported before it is asked for: neither Airflow nor the http provider.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {
    "GatewayHook": "hook",
    "GatewayLogsOperator": "logs",
    "GatewayOperator": "operator",
    "GatewayRetryPolicy": "retry",
    "PostmanCollectionOperator": "postman",
    "PostmanMonitorOperator": "monitor",
    "ResponseChecks": "checks",
}

__all__ = [*_PLACES]  # noqa: PLE0604  # names of strings, and all of them


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
