"""Everything that differs between Airflow versions and kinds of processes, in one place."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from airflow_ephemeral_secrets.caller import Caller, Process
from airflow_ephemeral_secrets.masking import Masks, compact

DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
FORBIDDEN = "airflow-db-not-allowed:"
TELLING = 0.5
_compacted: dict[str, str] = {}
_patterns = threading.Lock()


def _forked() -> None:
    global _patterns  # noqa: PLW0603  # another thread of the parent may have held the old one while it forked
    _patterns = threading.Lock()


os.register_at_fork(after_in_child=_forked)


def home() -> str:
    """``AIRFLOW_HOME``, as Airflow itself finds it."""
    return os.path.abspath(os.path.expanduser(os.path.expandvars(os.environ.get("AIRFLOW_HOME") or "~/airflow")))


def remote_log_conn_id() -> str | None:
    """Find the connection of remote logging, where it is switched on."""
    conf = _settings()
    if not conf.getboolean("logging", "remote_logging", fallback=False):
        return None
    return conf.get("logging", "remote_log_conn_id", fallback=None) or None


class Setting(NamedTuple):
    """
    A secrets backend as Airflow's settings name it.

    :param section: ``workers`` or ``secrets``
    :param path: the class
    :param kwargs: what it is built with; empty where they could not be parsed
    :param faulty: whether they could not
    """

    section: str
    path: str
    kwargs: Mapping[str, Any]
    faulty: bool

    @property
    def ours(self) -> bool:
        return self.path.startswith("airflow_ephemeral_secrets.")


def option(section: str, key: str) -> str | None:
    """Read one of Airflow's settings."""
    value: str | None = _settings().get(section, key, fallback=None)
    return value


def _settings() -> Any:
    """
    Load Airflow's settings.

    A program that a task starts inherits a database URL that keeps Airflow from being imported: it gets a harmless one.
    """
    if "airflow" not in sys.modules and os.environ.get(DATABASE, "").startswith(FORBIDDEN):
        os.environ[DATABASE] = "sqlite://"
    from airflow.sdk.configuration import conf

    return conf


def server_setting() -> Setting | None:
    """Read ``[secrets] backend``."""
    return _setting("secrets", "backend", "backend_kwargs")


def worker_setting() -> Setting | None:
    """Read ``[workers] secrets_backend``, or what a worker uses where it is not set."""
    return _setting("workers", "secrets_backend", "secrets_backend_kwargs") or server_setting()


def _setting(section: str, key: str, kwargs_key: str) -> Setting | None:
    conf = _settings()
    path = conf.get(section, key, fallback=None)
    if not path:
        return None
    try:
        kwargs = json.loads(conf.get(section, kwargs_key, fallback=None) or "{}")
    except ValueError:
        kwargs = None
    faulty = not isinstance(kwargs, dict)
    prefix = f"AIRFLOW__{section}__{kwargs_key.removesuffix('s')}__".upper()
    overrides = {name[len(prefix) :].lower(): value for name, value in os.environ.items() if name.startswith(prefix)}
    return Setting(section, path, {**({} if faulty else kwargs), **overrides}, faulty)


def mask(masks: Masks) -> None:
    """Register secrets with Airflow's masker, here and in the supervisor that writes the task log."""
    from airflow.sdk.log import mask_secret

    if not _add_patterns(masks):
        mask_secret(list(masks.forms))
    elif comms := _comms():
        with suppress(Exception):
            comms.send(_message(masks))


async def amask(masks: Masks) -> None:
    """Do the same from an event loop, where a synchronous message to the supervisor could deadlock."""
    from airflow.sdk import log

    if not _add_patterns(masks):
        if hasattr(log, "amask_secret"):  # since Airflow 3.3
            await log.amask_secret(list(masks.forms))
        else:
            log.mask_secret(list(masks.forms))
    elif comms := _comms():
        with suppress(Exception):
            await comms.asend(_message(masks))


def mask_aside(masks: Masks) -> None:
    """
    Do the same from a thread of ours that nobody waits for: here at once, and in the supervisor if that is safe.

    It waits half a second at most: the event loop that passes the message on may itself be waiting for that thread.
    """
    comms, known = _comms(), _add_patterns(masks)
    if known and not _takes_messages_aside(comms):
        return

    def tell() -> None:
        with suppress(Exception):
            if known:
                comms.send(_message(masks))
            else:
                from airflow.sdk.log import mask_secret

                mask_secret(list(masks.forms))

    thread = threading.Thread(target=tell, name="airflow-ephemeral-mask", daemon=True)
    thread.start()
    thread.join(TELLING)


def _takes_messages_aside(comms: Any) -> bool:
    """
    Say whether a message from another thread disturbs nobody.

    The triggerer's link must have one reader of all answers. That of a task has a lock, and whoever finds it taken in
    an event loop gets an error that ends the task; so there must be no loop that uses it.
    """
    if type(comms).__name__.startswith("Trigger"):
        return hasattr(comms, "_pending")
    return hasattr(comms, "_thread_lock") and getattr(comms, "_loop_thread_id", None) is None


def unmask(texts: list[str]) -> None:
    """Take the patterns of dead secrets out of the masker of this process."""
    masker = _masker()
    if masker is not None:
        with _patterns:
            masker.patterns.difference_update(map(re.escape, texts))
            _compile(masker)


def _add_patterns(masks: Masks) -> bool:
    """
    Add patterns to the masker of this process as its ``add_mask`` would, but compile them once and cheaply.

    :return: whether Airflow's masker has the shape we know
    """
    masker = _masker()
    if masker is None:
        return False
    long_enough = [text for text in (*masks.forms, *masks.also) if len(text) >= masker.min_length_to_mask]
    with _patterns:
        _compacted.update((re.escape(text), compact(text)) for text in long_enough)
        masker.patterns.update(map(re.escape, long_enough))
        _compile(masker)
    return True


def _compile(masker: Any) -> None:
    for pattern in _compacted.keys() - masker.patterns:
        del _compacted[pattern]
    masker.replacer = _Replacer(masker.patterns) if masker.patterns else None


class _Replacer:
    """An expression of all patterns that is compiled when a text is first masked; most tasks never come to it."""

    def __init__(self, patterns: Iterable[str]) -> None:
        longest_first = sorted(patterns, key=len, reverse=True)
        self._expression = "|".join(_compacted.get(pattern, pattern) for pattern in longest_first)
        self._compiled: re.Pattern[str] | None = None

    def sub(self, replacement: str, text: str) -> str:
        """Mask a text, as ``re.Pattern.sub`` does."""
        if self._compiled is None:
            self._compiled = re.compile(self._expression)
        return self._compiled.sub(replacement, text)


def _masker() -> Any:
    """Find the task SDK's masker, if it is what we know; where an adapter is set, its own way is the right one."""
    try:
        from airflow.sdk._shared.secrets_masker import _secrets_masker

        masker = _secrets_masker()
    except ImportError:
        return None
    known = isinstance(getattr(masker, "patterns", None), set) and hasattr(masker, "replacer")
    return masker if known and getattr(masker, "secret_mask_adapter", None) is None else None


def _comms() -> Any:
    return _module_attribute("airflow.sdk.execution_time.task_runner", "SUPERVISOR_COMMS")


def _message(masks: Masks) -> Any:
    from airflow.sdk.execution_time.comms import MaskSecret

    return MaskSecret(value=list(masks.forms))


def mask_component_log() -> None:
    """
    Put Airflow's masking processor into the log of this process, where Airflow leaves it out.

    A LocalExecutor supervisor copies the log of its task to the scheduler's output, and no mask stands in between. A
    process with a supervisor needs none: the supervisor masks what it is sent.
    """
    import structlog
    from airflow.sdk.log import mask_logs

    if process() in ("server", "script") and structlog.is_configured():
        processors = structlog.get_config()["processors"]
        if mask_logs not in processors:
            structlog.configure(processors=[mask_logs, *processors])


def process() -> Process:
    """
    Say what kind of process this is.

    A live link to a supervisor decides first: a LocalExecutor task inherits the scheduler's
    ``_AIRFLOW_PROCESS_CONTEXT=server``.
    """
    comms = _comms()
    if comms is None:
        return "server" if os.environ.get("_AIRFLOW_PROCESS_CONTEXT") == "server" else "script"
    dag_context = _module_attribute("airflow.sdk.definitions._internal.contextmanager", "DagContext")
    if getattr(dag_context, "current_autoregister_module_name", None) is not None:
        return "parse"
    if type(comms).__name__.startswith("Trigger"):
        return "trigger"
    if _bound().get("ti_id") or _task_instance() is not None or "AIRFLOW_CTX_TASK_ID" in os.environ:
        return "task"
    return "callback"


def caller(team_name: str | None = None) -> Caller:
    """
    Find out who asks: structlog's context variables, then the task SDK's current context, then ``AIRFLOW_CTX_*``.

    :param team_name: the team, where Airflow names it
    """
    kind = process()
    if kind in ("server", "script", "parse"):
        return Caller(process=kind, team=team_name, proven=("team",) if team_name else ())
    bound, instance, environ = _bound(), _task_instance(), os.environ

    def fact(name: str, variable: str) -> Any:
        value = bound.get(name)
        if value is None:
            value = getattr(instance, name, None)
        return value if value is not None else environ.get(variable)

    return Caller(
        process=kind,
        dag_id=_text(fact("dag_id", "AIRFLOW_CTX_DAG_ID")),
        task_id=_text(fact("task_id", "AIRFLOW_CTX_TASK_ID")),
        run_id=_text(fact("run_id", "AIRFLOW_CTX_DAG_RUN_ID")),
        try_number=_number(fact("try_number", "AIRFLOW_CTX_TRY_NUMBER")),
        map_index=_number(fact("map_index", "AIRFLOW_CTX_MAP_INDEX")),
        team=team_name or _team(),
        proven=("team",) if team_name else (),
    )


def _module_attribute(module: str, name: str) -> Any:
    """Read an attribute of a module that is only worth asking where it is loaded already."""
    return getattr(sys.modules.get(module), name, None)


def _bound() -> Mapping[str, Any]:
    import structlog

    return structlog.contextvars.get_contextvars()


def _current_context() -> Any:
    contexts = _module_attribute("airflow.sdk.definitions._internal.contextmanager", "_CURRENT_CONTEXT")
    return contexts[-1] if contexts else None


def _task_instance() -> Any:
    context = _current_context()
    return context.get("ti") if context else None


def _team() -> str | None:
    context = _current_context()
    run = context.get("dag_run") if context else None
    return _text(getattr(run, "team_name", None) or os.environ.get("AIRFLOW_CTX_TEAM_NAME"))


def _text(value: Any) -> str | None:
    return str(value) if value not in (None, "") else None


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
