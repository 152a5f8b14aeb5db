"""
The page in a real Airflow, in a real browser, for users who log in.

``WRITE_SCREENSHOTS=1`` in the environment takes the pictures of the documentation anew.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.airflow.conftest import AUDIT, Run
from tests.peers.browser import browser

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(420)]

DOCS = Path(__file__).parents[2] / "docs"
PATIENCE = 60
NASTY = "<img src=x onerror=document.title='owned'>"


class Screen:
    """
    A browser in which a user of Airflow has logged in.

    :param page: the browser
    """

    def __init__(self, page: Any, run: Run, user: str) -> None:
        self.page = page
        self._url = run.airflow.url
        page.get(f"{self._url}/")
        for name, text in (("username", user), ("password", run.passwords[user])):
            self.until(lambda name=name: self.find(f"input[name={name}]"))[0].send_keys(text)
        self.find("button[type=submit]")[0].click()
        self.until(lambda: "/login" not in page.current_url)

    def until(self, found: Callable[[], Any]) -> Any:
        """Wait until something is there, and give it."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.page, PATIENCE).until(lambda _: found())

    def find(self, selector: str) -> list[Any]:
        found: list[Any] = self.page.find_elements("css selector", selector)
        return found

    def open(self, path: str) -> None:
        """Open a page of Airflow's, and go into the frame that holds ours."""
        self.page.get(f"{self._url}{path}")
        self.enter()

    def enter(self) -> None:
        self.page.switch_to.frame(self.until(lambda: self.find("iframe"))[0])

    def leave(self) -> None:
        self.page.switch_to.default_content()

    def rows(self, section: str) -> list[list[str]]:
        """Read a table, once it is filled."""
        self.until(lambda: self.find("body[aria-busy=false]"))
        script = "return [...document.querySelectorAll(arguments[0])].map(r => [...r.cells].map(c => c.innerText))"
        found: list[list[str]] = self.page.execute_script(script, f"#{section} tbody tr")
        return found

    def filter(self, **values: str) -> None:
        """Fill the form in and send it."""
        for name, value in values.items():
            self.find(f"#filters [name={name}]")[0].send_keys(value)
        self.find("#filters [type=submit]")[0].click()
        self.until(lambda: self.page.execute_script("return location.search"))

    def picture(self, name: str) -> None:
        """Take a picture for the documentation where that is asked for."""
        if os.environ.get("WRITE_SCREENSHOTS"):
            self.page.save_screenshot(str(DOCS / name))


@pytest.fixture(scope="module")
def screen(run: Run) -> Iterator[Screen]:
    """The browser of somebody who may read connections."""
    with browser() as page:
        yield Screen(page, run, "oskar")


def dag_run(run: Run) -> str:
    """Find the page of the Dag run."""
    (folder,) = run.airflow.logs.glob("dag_id=orders_sync/run_id=*")
    run_id = folder.name.removeprefix("run_id=")
    return f"/dags/orders_sync/runs/{quote(run_id, safe='')}"


def task(run: Run, task_id: str) -> str:
    """Find the page of a task instance."""
    return f"{dag_run(run)}/tasks/{task_id}"


def seconds(shown: str) -> int:
    """Read a countdown."""
    return reduce(lambda total, part: 60 * total + int(part), shown.split(":"), 0)


@pytest.mark.parametrize("task_id", ["extract", "load"])
def test_tasks_hold_leases(run: Run, task_id: str) -> None:
    """What the page is to show has happened."""
    states = [
        one.state for one in run.airflow.metadata.tasks() if (one.dag_id, one.task_id) == ("orders_sync", task_id)
    ]
    assert set(states) == {"success"}, run.airflow.task_log("orders_sync", task_id)


def test_leases_count_down(screen: Screen) -> None:
    """Under Browse stand this host's leases, and the time that each has left goes by."""
    screen.open("/plugin/credentials")
    leases = screen.rows("leases")
    assert {row[2]: row[1] for row in leases} == {
        "orders": "airflow",
        "lake-reader": "assumed-role/lake-reader/granted",
    }
    assert all(re.fullmatch(r"\d+:\d\d(:\d\d)?", row[0]) for row in leases)
    screen.until(lambda: seconds(screen.rows("leases")[0][0]) < seconds(leases[0][0]))


def test_timeline_can_be_filtered(screen: Screen) -> None:
    """The timeline has what was granted, denied and failed; the form finds some of it, and an address of its own."""
    screen.open("/plugin/credentials")
    assert {row[1].split()[0] for row in screen.rows("events")} >= {"grant", "deny", "fail"}
    screen.picture("ui-credentials.png")
    screen.filter(dag_id="fail_closed", outcome="deny")
    denied = screen.rows("events")
    assert {row[1].split()[0] for row in denied} == {"deny"}
    assert {row[2] for row in denied} >= {"case_policy", "case_unfilled", "case_remote_logging"}
    assert screen.page.execute_script("return location.search") == "?dag_id=fail_closed&outcome=deny"


def test_task_leads_to_its_credentials(screen: Screen, run: Run) -> None:
    """A tab of a mapped task instance shows what this very one was granted, and nothing of its siblings."""
    screen.page.get(f"{screen._url}{task(run, 'extract')}/mapped/1")
    screen.until(lambda: screen.find("a[href$='plugin/credentials_task_instance']"))[0].click()
    screen.enter()
    written = map(json.loads, (run.airflow.home / AUDIT).read_text().splitlines())
    own = [one for one in written if (one.get("conn_id"), (one.get("caller") or {}).get("map_index")) == ("orders", 1)]
    rows = screen.rows("events")
    assert [(row[1], row[2]) for row in rows] == [("grant", "orders")] * len(own)
    assert own
    assert [lease[2] for lease in screen.rows("leases")] == ["orders"]
    screen.leave()
    screen.picture("ui-task.png")


@pytest.mark.parametrize("destination", ["dag", "dag_run"])
def test_dag_and_run_lead_to_theirs(screen: Screen, run: Run, destination: str) -> None:
    """A tab of a Dag, and of a Dag run, shows what all of its tasks were granted, and nothing of another Dag's."""
    screen.page.get(screen._url + ("/dags/orders_sync" if destination == "dag" else dag_run(run)))
    screen.until(lambda: screen.find(f"a[href$='plugin/credentials_{destination}']"))[0].click()
    screen.enter()
    assert {row[2] for row in screen.rows("events")} == {"orders", "lake"}
    screen.leave()


def test_task_that_is_not_mapped(screen: Screen, run: Run) -> None:
    """Airflow leaves the map index in braces where there is none, and the tab shows the task all the same."""
    screen.open(f"{task(run, 'load')}/plugin/credentials_task_instance")
    assert {row[2] for row in screen.rows("events")} == {"lake"}


def test_markup_stays_text(screen: Screen, run: Run) -> None:
    """What somebody writes into the audit file is shown as it is, and does nothing."""
    audit = run.airflow.home / AUDIT
    line = json.loads(audit.read_text().splitlines()[-1])
    with audit.open("a") as file:
        file.write(json.dumps({**line, "conn_id": NASTY, "caller": {"dag_id": NASTY, "process": "task"}}) + "\n")
    screen.open("/plugin/credentials")
    assert NASTY in {row[2] for row in screen.rows("events")}
    assert screen.find("img") == []
    assert screen.page.execute_script("return document.title") == "Credentials"


def test_it_follows_airflows_theme(screen: Screen) -> None:
    """Dark in a dark Airflow, light in a light one, whatever the browser would choose."""
    screen.open("/plugin/credentials")
    script = "return getComputedStyle(document.body).backgroundColor"
    seen = []
    for theme in ("light", "dark"):
        screen.leave()
        screen.page.execute_script("document.documentElement.className = arguments[0]", theme)
        screen.enter()
        screen.until(lambda theme=theme: screen.find(f":root[data-theme={theme}]"))
        seen.append(screen.page.execute_script(script))
    assert seen == ["rgb(255, 255, 255)", "rgb(18, 22, 29)"]


def test_the_browser_had_nothing_to_say(screen: Screen) -> None:
    """Nothing that the page does is against its own policy, and nothing of it fails to load."""
    screen.open("/plugin/credentials")
    screen.rows("events")
    told = [entry["message"] for entry in screen.page.get_log("browser") if entry["level"] == "SEVERE"]
    assert [message for message in told if "/ephemeral/" in message] == []


def test_viewer_sees_nothing(run: Run) -> None:
    """Whoever may not read connections is told so in the place of the page."""
    with browser() as page:
        screen = Screen(page, run, "vera")
        screen.open("/plugin/credentials")
        body = screen.until(lambda: screen.find("body"))[0]
        assert body.text == "This page is for those who may read connections."
