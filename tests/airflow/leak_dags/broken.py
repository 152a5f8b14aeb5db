"""A Dag file that does not parse, and shows a secret while it fails."""

from __future__ import annotations

from airflow.sdk import dag  # noqa: F401
from leaking import canary

raise ValueError(canary("metadata import error"))
