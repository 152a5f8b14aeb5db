"""The SDKs of Azure, each of whose requests is one bounded exchange that we see the end of."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import urlencode

from airflow_ephemeral_secrets.clock import Deadline
from airflow_ephemeral_secrets.errors import MintError, SourceUnavailable
from airflow_ephemeral_secrets.sources.allowed import require_allowed
from airflow_ephemeral_secrets.sources.azure_errors import no_identity, retold
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.exchange import READ, Answer, exchange
from airflow_ephemeral_secrets.sources.silence import silence
from airflow_ephemeral_secrets.sources.token_answer import nonsense, shallow

T = TypeVar("T")

CLOUDS = (
    frozenset({"login.microsoftonline.com", "login.microsoft.com", "login.windows.net"}),
    frozenset({"login.microsoftonline.us", "login.usgovcloudapi.net"}),
    frozenset({"login.partner.microsoftonline.cn", "login.chinacloudapi.cn"}),
)
"""The hosts of Entra ID by cloud: those of one cloud may name each other as their token endpoint."""

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_REQUEST_ID, _OURS = "x-ms-request-id", ("client-request-id", "x-ms-client-request-id")

_PROVING = ("authorization", "x-identity-header", "secret", "client_secret", "client_assertion")


def sdk(package: str) -> Any:
    """
    Import an SDK.

    :param package: such as ``azure.identity``
    :raises SourceUnavailable: when it is not installed
    """
    try:
        return import_module(package)
    except ModuleNotFoundError:
        raise SourceUnavailable(
            f"the package {package.replace('.', '-')} is not installed on this worker",
            code="package_missing",
            hint="pip install 'airflow-ephemeral-secrets[azure]'",
        ) from None


def entra(authority: str) -> re.Pattern[str]:
    """
    Match the URLs of Entra ID's hosts in one cloud.

    :param authority: such as ``https://login.microsoftonline.com``
    """
    name = authority.partition("://")[2]
    hosts = next((cloud for cloud in CLOUDS if name in cloud), frozenset({name}))
    return re.compile(f"https://({'|'.join(map(re.escape, sorted(hosts)))})/[^\\s#\\\\]*")


class Transport:
    """
    Carry the requests of an SDK, as an ``azure.core.pipeline.transport.HttpTransport`` does.

    :param request_id: what Azure shall call each request, where that is not left to the SDK
    :param own: matches what may be asked besides ``network.allow_endpoints``; None where no answer names an endpoint
    :param metadata: whether it leads to the metadata service of this host
    """

    def __init__(
        self,
        network: Network,
        deadline: Deadline,
        request_id: str | None = None,
        *,
        own: re.Pattern[str] | None = None,
        metadata: bool = False,
    ) -> None:
        self.seen: Answer | MintError | None = None
        self.sent: tuple[str, ...] = ()
        self._request_id = request_id
        self._network = network
        self._deadline = deadline
        self._own = own
        self._metadata = metadata

    @property
    def options(self) -> Mapping[str, Any]:
        """What an SDK is given so that it uses this transport, and never tries again by itself."""
        retries = dict.fromkeys(("retry_total", "retry_connect", "retry_read", "retry_status"), 0)
        return {"transport": self, **retries}

    def run(self, what: str, make: Callable[[], Any], use: Callable[[Any], T], judge: Callable[[Answer], object]) -> T:
        """
        Make an SDK's client and use it; what went wrong is told by what came back, for the SDKs confound it.

        Errors are raised outside of the handler, so that nothing of the SDK's error, which holds what Azure wrote,
        travels with them.

        :param what: the request, of whom, for messages
        :param make: makes a client with :attr:`options`
        :param judge: raises what a bad answer says
        """
        self._forget()
        failure = None
        try:
            with silence("azure", "msal"):
                client = make()
                with silence("azure", "msal"):  # once more, for the loggers that making it has brought
                    return use(client)
        except MintError as error:
            failure = retold(error, what)
        except Exception as error:  # the SDKs raise whatever an unexpected body or setting leads them to
            name = type(error).__name__
        if failure:
            raise failure
        if isinstance(self.seen, MintError):
            raise retold(self.seen, what)
        if self.seen is None:
            raise SourceUnavailable(
                f"{what}: could not be asked with these settings ({name})",
                code="azure_configuration",
                hint="the fields of the source, and the AZURE_* variables of this worker",
            )
        judge(self.seen)
        raise nonsense(what)

    def send(self, request: Any, **_: Any) -> Response:
        """Send one request and read one answer."""
        self.sent += _proofs(request)
        before = self._deadline.remaining()
        if self._request_id:
            request.headers.update(dict.fromkeys(_OURS, self._request_id))
        try:
            if self._own:
                require_allowed(request.url, self._own, self._network, "the token endpoint")
            answer = exchange(
                request.method,
                request.url,
                headers={**(_FORM if isinstance(request.data, Mapping) else {}), **request.headers},
                body=_bytes(request.data),
                network=self._network,
                deadline=self._deadline,
                metadata=self._metadata,
            )
        except MintError as error:
            self.seen = no_identity(error) if self._metadata and self._absent(error, before) else error
            raise self.seen from None
        ours = next((request.headers[name] for name in _OURS if name in request.headers), None)
        headers = {**({_REQUEST_ID: ours} if ours else {}), **answer.headers}
        self.seen = Answer(answer.status, headers, answer.body)
        return Response(request, self.seen)

    def _absent(self, error: MintError, before: float) -> bool:
        """Say whether nobody is there: no connection was made, or none in the time that one may take."""
        left = self._deadline.remaining()
        waited_for_connection = error.code == "timeout" and left > 0 and before - left < READ
        return waited_for_connection or (error.code == "unreachable" and error.message.endswith(": no connection"))

    def _forget(self) -> None:
        self.seen, self.sent = None, ()

    def open(self) -> None:
        """Nothing is kept open."""

    def close(self) -> None:
        """Nothing is kept open."""

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Response:
    """
    An answer as azure-core reads it (``azure.core.rest.HttpResponse``).

    All that we ask for is JSON: whatever an answer says of itself, no parser of XML is let at it.

    :param request: what was asked
    :param answer: what came back
    """

    content_type = "application/json"
    encoding = "utf-8"
    reason = ""

    def __init__(self, request: Any, answer: Answer) -> None:
        from azure.core.utils import case_insensitive_dict

        self.request = request
        self.status_code = answer.status
        self.headers = case_insensitive_dict(answer.headers)
        self.content = answer.body

    @property
    def http_request(self) -> Any:
        return self.request

    def read(self) -> bytes:
        return self.content

    body = read

    def iter_bytes(self) -> Iterator[bytes]:
        yield self.content

    def text(self, encoding: str | None = None) -> str:
        return shallow(self.content.decode("utf-8-sig"))

    def json(self) -> Any:
        return json.loads(self.text())

    def close(self) -> None:
        """Nothing is kept open."""


def _proofs(request: Any) -> tuple[str, ...]:
    """List what in a request proves who asks."""
    form = request.data if isinstance(request.data, Mapping) else {}
    given = [request.headers.get(name) for name in _PROVING] + [form.get(name) for name in _PROVING]
    return tuple(word for one in given if one for word in str(one).split())


def _bytes(content: Any) -> bytes | None:
    if isinstance(content, Mapping):
        return urlencode(content).encode()
    return content.encode() if isinstance(content, str) else content or None
