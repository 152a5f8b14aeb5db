"""What kind of process this is, and who asks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from airflow.sdk.definitions._internal import contextmanager
from airflow.sdk.execution_time import task_runner

from airflow_ephemeral_secrets import _airflow
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.masking import Masks, forms

FACTS = {"dag_id": "d", "task_id": "t", "run_id": "r", "try_number": 2, "map_index": 3}
ENVIRONMENT = {
    "AIRFLOW_CTX_DAG_ID": "d",
    "AIRFLOW_CTX_TASK_ID": "t",
    "AIRFLOW_CTX_DAG_RUN_ID": "r",
    "AIRFLOW_CTX_TRY_NUMBER": "2",
}


class CommsDecoder:
    """Stands where a task has its link to the supervisor."""


class TriggerCommsDecoder:
    """Stands where the triggerer has its link."""


@pytest.fixture(autouse=True)
def _no_context() -> Iterator[None]:
    """Start without structlog variables, and leave none behind."""
    structlog.contextvars.clear_contextvars()
    yield
    structlog.contextvars.clear_contextvars()


def supervised(monkeypatch: pytest.MonkeyPatch, link: type = CommsDecoder) -> None:
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", link(), raising=False)


def test_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a supervisor and without a mark, it is a plain script, and the caller is unknown."""
    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)
    assert _airflow.caller() == Caller(process="script")


def test_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """API server, scheduler and the CLI mark themselves."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    assert _airflow.process() == "server"


def test_supervisor_decides_before_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """A LocalExecutor task inherits the scheduler's mark, and is a task all the same."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    supervised(monkeypatch)
    structlog.contextvars.bind_contextvars(ti_id="1", **FACTS)
    assert _airflow.process() == "task"


def test_parsing_decides_before_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Dag file asking while it is imported is parsing, in the Dag processor and in the task's own process alike."""
    supervised(monkeypatch)
    structlog.contextvars.bind_contextvars(ti_id="1", **FACTS)
    monkeypatch.setattr(contextmanager.DagContext, "current_autoregister_module_name", "a_dag_file")
    assert _airflow.caller() == Caller(process="parse")


def test_trigger(monkeypatch: pytest.MonkeyPatch) -> None:
    """The triggerer binds the facts of each trigger's task."""
    supervised(monkeypatch, TriggerCommsDecoder)
    structlog.contextvars.bind_contextvars(trigger_id=7, ti_id="1", **FACTS)
    assert _airflow.caller() == Caller(process="trigger", **FACTS)


def test_callback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervised process without a task is running callbacks."""
    supervised(monkeypatch)
    assert _airflow.caller() == Caller(process="callback")


@pytest.mark.parametrize("way", ["structlog", "context", "environment"])
def test_facts_of_a_task(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A task's facts are found in structlog, in the current context (other threads) or in AIRFLOW_CTX_* variables."""
    supervised(monkeypatch)
    expected: dict[str, Any] = dict(FACTS)
    if way == "structlog":
        structlog.contextvars.bind_contextvars(ti_id="1", **FACTS)
    elif way == "context":
        context = {"ti": SimpleNamespace(**FACTS), "dag_run": SimpleNamespace(team_name="red")}
        monkeypatch.setattr(contextmanager, "_CURRENT_CONTEXT", [context])
        expected["team"] = "red"
    else:
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        expected["map_index"] = None
    assert _airflow.caller() == Caller(process="task", **expected)


def test_team_that_airflow_names_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """A team passed by Airflow is proven; whatever the worker finds itself is claimed."""
    supervised(monkeypatch)
    assert _airflow.caller("red").proven == ("team",)
    assert _airflow.caller().proven == ()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"SECRETS__BACKEND": "x.Y", "SECRETS__BACKEND_KWARGS": '{"a": 1}'}, ("secrets", "x.Y", {"a": 1}, False)),
        (
            {
                "SECRETS__BACKEND": "x.Y",
                "WORKERS__SECRETS_BACKEND": "airflow_ephemeral_secrets.EphemeralSecretsBackend",
                "WORKERS__SECRETS_BACKEND_KWARGS": "not json",
                "WORKERS__SECRETS_BACKEND_KWARG__CONFIG_FILE": "/a",
            },
            ("workers", "airflow_ephemeral_secrets.EphemeralSecretsBackend", {"config_file": "/a"}, True),
        ),
    ],
)
def test_worker_setting(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: tuple[Any, ...] | None
) -> None:
    """The workers' setting wins over the servers'; bad JSON and per-key variables are read as Airflow reads them."""
    for name, value in environment.items():
        monkeypatch.setenv(f"AIRFLOW__{name}", value)
    setting = _airflow.worker_setting()
    assert setting == (_airflow.Setting(*expected) if expected else None)


def test_remote_log_conn_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remote-logging connection counts only where remote logging is on."""
    monkeypatch.setenv("AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID", "logs")
    assert _airflow.remote_log_conn_id() is None
    monkeypatch.setenv("AIRFLOW__LOGGING__REMOTE_LOGGING", "True")
    assert _airflow.remote_log_conn_id() == "logs"


def test_component_log_gets_airflows_mask_once() -> None:
    """A process that writes logs of its own gets Airflow's masking processor in front, once."""
    from airflow.sdk.log import mask_logs

    before = structlog.get_config()["processors"]
    try:
        structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
        for _ in range(2):
            _airflow.mask_component_log()
        processors = structlog.get_config()["processors"]
    finally:
        structlog.configure(processors=before)
    assert processors[0] is mask_logs
    assert processors.count(mask_logs) == 1


@pytest.fixture
def masker() -> Iterator[Any]:
    """The task SDK's own masker, empty before and after."""
    from airflow.sdk._shared.secrets_masker import _secrets_masker

    _secrets_masker().reset_masker()
    yield _secrets_masker()
    _secrets_masker().reset_masker()


class Supervisor:
    """Stands at the other end of a task's link, and keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)

    async def asend(self, message: Any) -> None:
        self.sent.append(message)


LONG = "A" * 600 + "/b+" + "C" * 600
MASKS = Masks(forms([LONG, "short-secret"]), (f'{{"token": "{LONG}"}}',))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_masks_reach_both_maskers(monkeypatch: pytest.MonkeyPatch, masker: Any, asynchronous: bool) -> None:
    """Every form is masked in this process, and sent in one message to the supervisor, which writes the log."""
    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    if asynchronous:
        asyncio.run(_airflow.amask(MASKS))
    else:
        _airflow.mask(MASKS)
    (message,) = supervisor.sent
    assert message.value == list(MASKS.forms)
    for text in (*MASKS.forms, *MASKS.also):
        assert masker.redact(f"<{text}>") == "<***>"
        assert masker.redact(f"{text} and {text}") == "*** and ***"


def test_airflows_own_masking_finds_its_work_done(masker: Any) -> None:
    """What Airflow masks by itself for a Connection is registered before, so that it compiles nothing anew."""
    _airflow.mask(MASKS)
    replacer = masker.replacer
    masker.add_mask(MASKS.also[0])
    masker.add_mask({"token": LONG})
    assert masker.replacer is replacer


def test_dead_masks_are_taken_out(masker: Any) -> None:
    """Forgetting takes out the patterns of the dead, and leaves all others."""
    masker.add_mask("somebody-elses-secret")
    _airflow.mask(MASKS)
    _airflow.unmask([*MASKS.forms, *MASKS.also])
    assert masker.redact(f"somebody-elses-secret {LONG}") == f"*** {LONG}"
    assert len(masker.patterns) == 1


def test_unknown_masker_gets_the_ordinary_call(monkeypatch: pytest.MonkeyPatch, masker: Any) -> None:
    """Where Airflow's masker is not what we know, or has an adapter of its own, it is asked the ordinary way."""
    monkeypatch.setattr(masker, "secret_mask_adapter", lambda secret: [secret.upper()])
    _airflow.mask(Masks(("short-secret",)))
    assert masker.redact("short-secret SHORT-SECRET") == "*** ***"


class Link(Supervisor):
    """A task's link to its supervisor, with the parts by which it is judged."""

    def __init__(self, loop: int | None = None) -> None:
        super().__init__()
        self._thread_lock = object()
        self._loop_thread_id = loop


class TriggerLink(Supervisor):
    """That of the triggerer, whose answers one task reads."""

    _pending: dict[int, object] = {}


class TriggerLinkOfOld(Supervisor):
    """That of a triggerer in which each asker reads its own answer."""


@pytest.mark.parametrize(
    ("link", "told"), [(Link(), True), (Link(7), False), (TriggerLink(), True), (TriggerLinkOfOld(), False)]
)
def test_masks_from_another_thread(monkeypatch: pytest.MonkeyPatch, masker: Any, link: Supervisor, told: bool) -> None:
    """A thread of ours masks in this process, and tells the supervisor where that disturbs nobody."""
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", link, raising=False)
    _airflow.mask_aside(MASKS)

    assert [message.value for message in link.sent] == ([list(MASKS.forms)] if told else [])
    assert masker.redact(f"<{LONG}>") == "<***>"


def test_nobody_waits_for_the_supervisor(monkeypatch: pytest.MonkeyPatch, masker: Any) -> None:
    """A link that is busy, as an event loop that waits for us, holds our thread up for a moment only."""
    monkeypatch.setattr(_airflow, "TELLING", 0.01)
    busy, link = threading.Event(), TriggerLink()
    monkeypatch.setattr(link, "send", lambda _: busy.wait(10))
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", link, raising=False)
    began = time.monotonic()
    _airflow.mask_aside(MASKS)
    busy.set()

    assert time.monotonic() - began < 5
    assert masker.redact("short-secret") == "***"


def test_masks_from_many_threads(masker: Any) -> None:
    """Threads that mask and forget at once lose nothing that is to be kept."""
    kept = [Masks((f"kept-secret-{number}",)) for number in range(40)]

    def work(masks: Masks) -> None:
        for number in range(20):
            _airflow.mask_aside(Masks((f"{masks.forms[0]}-{number}",)))
            _airflow.unmask([f"{masks.forms[0]}-{number}"])
        _airflow.mask_aside(masks)

    threads = [threading.Thread(target=work, args=(masks,)) for masks in kept]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert masker.redact(" ".join(masks.forms[0] for masks in kept)) == " ".join(["***"] * 40)
