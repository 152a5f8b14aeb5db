"""The shapes, each loaded when a configuration names it."""

from __future__ import annotations

SHAPES = {
    "aws": "airflow_ephemeral_secrets.shapes.aws:Aws",
    "fields": "airflow_ephemeral_secrets.shapes.fields:Fields",
    "http": "airflow_ephemeral_secrets.shapes.http:Http",
}
