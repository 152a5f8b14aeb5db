"""The documentation: ``sphinx-build -W -n -b html docs docs/_build/html``."""

from __future__ import annotations

import sys
from pathlib import Path

from airflow_ephemeral_secrets import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "airflow-ephemeral-secrets"
version = release = __version__
copyright = "the authors of airflow-ephemeral-secrets"

extensions = ["myst_parser", "generated"]
exclude_patterns = ["_build", "_ext", "examples"]
nitpicky = True

myst_heading_anchors = 3
smartquotes = False

html_theme = "furo"
html_title = f"airflow-ephemeral-secrets {version}"
