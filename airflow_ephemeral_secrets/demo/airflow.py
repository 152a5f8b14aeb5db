"""A real Airflow of this virtual environment, in a home of its own, for as long as a block lasts."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.request import urlopen

import psutil

from airflow_ephemeral_secrets.demo import settings
from airflow_ephemeral_secrets.demo.environment import allowed
from airflow_ephemeral_secrets.demo.metadata import FINISHED, Metadata
from airflow_ephemeral_secrets.demo.processes import Component, interruptible, stop, survivors, uninterrupted

GRACE_SECONDS = 6.0
POLL_SECONDS = 0.2


class AirflowFailed(Exception):
    """Say which part of Airflow failed, with its own last words."""


class Airflow:
    """
    Run API server, Dag processor and scheduler with LocalExecutor; leave neither process nor file behind.

    Between entering the block and :meth:`start` the home exists and may be filled.

    :param dags: folders with Dag files
    :param environment: variables of all components, besides the few inherited ones
    :param options: ``{section: {option: value}}`` on top of :func:`settings.base_options`
    :param metadata: its database; a SQLite file in its home unless said otherwise
    :param triggerer: run one too
    :param parallelism: tasks at a time
    :param keep: leave the home behind
    :param progress: told what is being waited for
    """

    def __init__(
        self,
        dags: Iterable[Path],
        *,
        environment: Mapping[str, str] | None = None,
        options: settings.Options | None = None,
        metadata: Metadata | None = None,
        triggerer: bool = False,
        parallelism: int = 3,
        keep: bool = False,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.dags = list(dags)
        self.parallelism = parallelism
        self._given = dict(environment or {})
        self._options = options or {}
        self._metadata = metadata
        self._triggerer = triggerer
        self._keep = keep
        self._progress = progress
        self._components: list[Component] = []
        self._signals = ExitStack()

    def __enter__(self) -> Airflow:
        self._signals.enter_context(interruptible())
        self.home = Path(tempfile.mkdtemp(prefix="airflow-ephemeral-"))
        self.logs = self.home / "logs"
        self.logs.mkdir()
        self.metadata = self._metadata or Metadata(self.home / "airflow.db")
        return self

    def __exit__(self, *_: object) -> None:
        with self._signals, uninterrupted():
            self.stop()
            if not self._keep:
                shutil.rmtree(self.home)

    @property
    def environment(self) -> dict[str, str]:
        """All variables of a component."""
        return {**allowed(), **self._given, "AIRFLOW_HOME": str(self.home)}

    def start(self, options: settings.Options | None = None, timeout: float = 120) -> None:
        """
        Create the database and start the components.

        :param options: more options, known only now that the home exists
        :param timeout: seconds until the API server must answer
        """
        deadline = time.monotonic() + timeout
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        base = settings.base_options(self.metadata.url, port, self.dags, self.parallelism)
        settings.write(self.home / "airflow.cfg", base, self._options, options or {})
        migration = self._spawn("db", "migrate")
        self._until("creating the metadata database", lambda: migration.exit_code() is not None, deadline)
        self._spawn("api-server")
        self._spawn("dag-processor")
        if self._triggerer:
            self._spawn("triggerer", "--skip-serve-logs")
        self._until("starting API server and Dag processor", lambda: _answers(port), deadline)
        self._spawn("scheduler", "--skip-serve-logs")

    def run(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run one ``airflow`` command to its end, in this home."""
        return subprocess.run(
            _airflow(*arguments),
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def wait(self, dag_ids: Iterable[str], timeout: float, *, parsed: bool = True) -> dict[str, str]:
        """
        Wait until the latest run of each Dag has finished, and return how it ended.

        :param parsed: whether every Dag file must parse
        """
        wanted = set(dag_ids)
        self._until("running the Dags", lambda: self._finished(wanted, parsed), time.monotonic() + timeout)
        return {dag_id: state for dag_id, state in self.metadata.runs().items() if dag_id in wanted}

    def task_log(self, dag_id: str, task_id: str) -> str:
        """Return what the log files of a task hold, over all runs and attempts."""
        files = self.logs.glob(f"dag_id={dag_id}/run_id=*/task_id={task_id}/**/*.log")
        return "".join(path.read_text(errors="replace") for path in sorted(files))

    def task_error(self, dag_id: str, task_id: str) -> str:
        """Return the last exception in the log of a task, in one line."""
        for line in reversed(self.task_log(dag_id, task_id).splitlines()):
            with suppress(json.JSONDecodeError):
                for error in json.loads(line).get("error_detail", ())[-1:]:
                    return f"{error['exc_type']}: {error['exc_value']}"
        return "no exception in its log"

    def stop(self) -> None:
        """End all components and all their descendants."""
        if self.survivors():
            self._progress("stopping Airflow")
        stop(self._sessions, GRACE_SECONDS)
        for component in self._components:
            with suppress(subprocess.TimeoutExpired):
                component.wait(GRACE_SECONDS)  # its threads may outlive what looks like its end

    def survivors(self) -> int:
        """Count the processes of this Airflow that are alive."""
        return len(self.processes())

    def processes(self) -> list[psutil.Process]:
        """List the processes of this Airflow that are alive."""
        return survivors(self._sessions)

    @property
    def _sessions(self) -> set[int]:
        return {component.session for component in self._components}

    def _spawn(self, *arguments: str) -> Component:
        name = arguments[0]
        with uninterrupted():
            component = Component(name, _airflow(*arguments), self.environment, self.logs / f"{name}.out")
            self._components.append(component)
        return component

    def _finished(self, wanted: set[str], parsed: bool) -> bool:
        if parsed and (errors := self.metadata.import_errors()):
            raise AirflowFailed("\n".join([*errors, "a Dag file does not parse"]))
        states = {dag_id: state for dag_id, state in self.metadata.runs().items() if dag_id in wanted}
        finished = sum(state in FINISHED for state in states.values())
        tasks = sum(task.state == "success" for task in self.metadata.tasks())
        self._doing = f"running the Dags: {tasks} tasks done, {finished} of {len(wanted)} runs finished"
        return finished == len(wanted)

    def _until(self, doing: str, done: Callable[[], bool], deadline: float) -> None:
        self._doing = doing
        while not done():
            self._progress(self._doing)
            self._check()
            if time.monotonic() > deadline:
                raise AirflowFailed(f"{self._last_words(self._components)}\nno time left while {self._doing}")
            time.sleep(POLL_SECONDS)
        self._check()

    def _check(self) -> None:
        """Raise if a component has died; only the creation of the database may end, and only well."""
        dead = [one for one in self._components if one.exit_code() not in (None, 0 if one.name == "db" else None)]
        if dead:
            names = ", ".join(f"{one.name} (exit code {one.exit_code()})" for one in dead)
            raise AirflowFailed(f"{self._last_words(dead)}\nended unexpectedly while {self._doing}: {names}")

    def _last_words(self, components: Iterable[Component]) -> str:
        return "\n".join(f"--- last lines of {one.output}:\n{one.tail()}" for one in components)


def _airflow(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow", *arguments]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/api/v2/version", timeout=5):
            return True
    except OSError:
        return False
