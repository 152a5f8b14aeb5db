"""Postman collections as tasks, run by Newman with credentials of connections."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseHook, BaseOperator
from airflow.sdk.exceptions import AirflowException

from airflow_ephemeral_secrets import _airflow
from airflow_ephemeral_secrets.gateway import postman_api
from airflow_ephemeral_secrets.gateway.collection import LARGEST, Collection
from airflow_ephemeral_secrets.gateway.correlation import Correlation
from airflow_ephemeral_secrets.gateway.newman import NOT_A_PLACE, Newman, Run
from airflow_ephemeral_secrets.gateway.report import Report, failures
from airflow_ephemeral_secrets.gateway.trace import Trace
from airflow_ephemeral_secrets.gateway.variables import FIELDS, Given, given

LARGEST_RESPONSE = 16 << 20
LOGGED = 1_000
"""Requests that are told in the task log; the trace has all."""
SPAN = "{span}"
"""Where ``runner.cjs`` puts the id of each request."""


class CollectionFailed(AirflowException):
    """
    Say what failed in a run that came to its end.

    :param failures: assertions, scripts and requests by name
    """

    def __init__(self, message: str, failed: list[str]) -> None:
        super().__init__(message)
        self.failures = failed


class PostmanCollectionOperator(BaseOperator):
    """
    Run a Postman collection.

    A collection in a file is looked at when the Dag is parsed; none of its scripts runs then. The task fails when an
    assertion, a script or a request fails, and returns what was asserted.

    :param collection: a file of format 2.0 or 2.1, relative to that of the Dag; with ``postman_conn_id``, an id
    :param conn_ids: ``{"orders": "orders_api"}`` gives the variables ``orders_host``, ``orders_token``,
        ``orders_login``, ``orders_password`` and ``orders_header_NAME``, and requests to that host the headers of the
        connection that they do not bring themselves
    :param variables: further ones, which are not secret
    :param postman_conn_id: the http connection by which the collection is fetched from the Postman API
    :param folder: the folder or request to run, by name or id
    :param trace: where one secret-free file for each request goes, as ``ObjectStoragePath`` has it
    :param timeout: for the whole run
    :raises CollectionError: when the collection cannot be run, with the reasons
    :raises CollectionFailed: when something in it failed
    :raises NewmanError: when Newman is missing, or the run did not come to its end
    """

    template_fields = ("collection", "conn_ids", "variables", "folder", "trace")

    def __init__(
        self,
        *,
        collection: str,
        conn_ids: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        postman_conn_id: str | None = None,
        folder: str | None = None,
        trace: str | None = None,
        timeout: timedelta = timedelta(minutes=30),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection = collection
        self.conn_ids = {} if conn_ids is None else conn_ids
        self.variables = {} if variables is None else variables
        self.postman_conn_id = postman_conn_id
        self.folder = folder
        self.trace = trace
        self.timeout = timeout
        self._run: Run | None = None
        if self._known_now():
            filled = [*self.variables, *(f"{prefix}_{name}" for prefix in self.conn_ids for name in FIELDS)]
            Collection.read(self._path()).require(filled, [f"{name}_header_" for name in self.conn_ids], self.folder)

    def execute(self, context: Any) -> dict[str, Any]:
        """Run it, and give what was asserted."""
        newman = Newman.find()
        collection = self._collection()
        connections = [given(prefix, BaseHook.get_connection(conn_id)) for prefix, conn_id in self.conn_ids.items()]
        values = {name: str(value) for name, value in self.variables.items()}
        values.update({name: value for one in connections for name, value in one.values.items()})
        collection.require(values, folder=self.folder)
        correlation = Correlation(_airflow.caller())
        document = {
            "collection": collection.raw,
            "values": [{"key": name, "value": value} for name, value in values.items()],
            "secrets": [secret for one in connections for secret in one.secrets],
            "hosts": [_host(one, correlation) for one in connections if one.host],
            "folder": self.folder,
            "working_dir": NOT_A_PLACE if self.postman_conn_id else os.path.dirname(self._path()),
            "largest_response": LARGEST_RESPONSE,
        }
        self._run = Run(newman, document, self.timeout.total_seconds())
        return self._finish(collection.name, self._run, correlation)

    def on_kill(self) -> None:
        """End the run at once."""
        if self._run:
            self._run.kill()

    def _finish(self, name: str, run: Run, correlation: Correlation) -> dict[str, Any]:
        report, trace = Report(name), Trace(self.trace) if self.trace else None
        for number, told in enumerate(run.lines()):
            report.add(told)
            if number < LOGGED:
                self._tell(told)
            if trace:
                facts = {key: value for key, value in told.items() if key != "console"}
                trace.write(
                    f"{correlation.id}-{number:05}", {"collection": name, "correlation_id": correlation.id, **facts}
                )
        if complaint := report.complaint():
            raise CollectionFailed(complaint, report.failures)
        return report.summary()

    def _tell(self, told: Mapping[str, Any]) -> None:
        for request in told["requests"]:
            came = request.get("error") or f"{request['status']} in {request['ms']} ms, {request['bytes']} bytes"
            self.log.info("%s: %s %s%s: %s", told["item"], request["method"], request["host"], request["path"], came)
        for message in told["console"]:
            self.log.info("%s: console.%s: %s", told["item"], message["level"], message["text"])
        for failure in failures(told):
            self.log.error("%s", failure)

    def _collection(self) -> Collection:
        if self.postman_conn_id is None:
            return Collection.read(self._path())
        where = postman_api.path("collections", self.collection)
        return Collection(postman_api.ask(self.postman_conn_id, "GET", where, LARGEST), self.collection)

    def _path(self) -> str:
        folder = os.path.dirname(self.dag.fileloc) if self.has_dag() else ""
        return os.path.abspath(os.path.join(folder, self.collection))

    def _known_now(self) -> bool:
        """Say whether all that the collection gets is known while the Dag is parsed."""
        return (
            self.postman_conn_id is None
            and all(isinstance(text, str) and "{{" not in text for text in (self.collection, self.folder or ""))
            and isinstance(self.conn_ids, Mapping)
            and isinstance(self.variables, Mapping)
        )


def _host(given: Given, correlation: Correlation) -> dict[str, Any]:
    """Say what requests to the host of a connection bring: its headers, and those that name the request."""
    assert given.host
    named = correlation.headers(given.host.origin.partition("://")[2].partition(":")[0], SPAN)
    return {
        "origin": given.host.origin,
        "base": given.host.path,
        "headers": given.host.headers,
        "named": list(named.items()),
        "live": given.host.live,
    }
