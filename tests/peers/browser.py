"""
A real Chromium without a screen.

.. code-block:: python

    with browser() as page:
        page.get("http://127.0.0.1:8080/")
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.peers import installed

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-device-scale-factor=1",
)
SIZE = (1440, 1000)


@contextmanager
def browser() -> Iterator[Any]:
    """Run it for the length of a block, with an empty profile."""
    program, driver = installed.chromium()
    installed.wheel("selenium")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(prefix="airflow-ephemeral-browser-") as folder:
        for flag in (*FLAGS, f"--user-data-dir={Path(folder) / 'profile'}", f"--window-size={SIZE[0]},{SIZE[1]}"):
            options.add_argument(flag)
        page = Chrome(options=options, service=ChromeService(driver))
        try:
            yield page
        finally:
            page.quit()
