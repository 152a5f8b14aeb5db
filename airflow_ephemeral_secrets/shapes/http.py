"""The ``http`` connection of the http provider."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import PLACEHOLDER, ConnectionSpec, Filled, Shape, dump, fill, spec
from airflow_ephemeral_secrets.shapes.fields import Port
from airflow_ephemeral_secrets.shapes.live import CAPABILITY, LED, BearerFace, LiveFace, Route

Header = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}(?!\n)$", description="a header name (RFC 9110)")
]

HOOK_KEYS = frozenset(
    {
        "allow_redirects",
        "cert",
        "check_response",
        "max_redirects",
        "proxies",
        "proxy",
        "srv_lookup",
        "stream",
        "timeout",
        "trust_env",
        "verify",
        "verify_ssl",
    }
)
"""Keys of extra that the hook reads; all others leave as headers."""

STORED = "a deferrable HttpOperator writes the answer's body, headers and cookies to the metadata database"
NOT_LIVE = {
    "proxies": "network.proxy is for what goes on from here",
    "proxy": "network.proxy is for what goes on from here",
    "verify": "network.ca_file is for what goes on from here",
    "verify_ssl": "network.ca_file is for what goes on from here",
    "cert": "the request that goes on from here presents none",
    "trust_env": "it is always false, for loopback",
}

_PORT = re.compile(r":[0-9]+$")
_LOOPBACK = re.compile(r"(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?(/.*)?")


class Http(Shape, frozen=True, kw_only=True, tag="http"):
    """
    An HTTP connection whose token travels in a header, or in login and password for a Basic credential.

    The hook reads it anew for each request of ``HttpHook.run``; ``HttpAsyncHook`` keeps it. Every key of ``extra``
    that the hook does not know leaves as a header.

    :param host: the API's base URL, or its host name
    :param port: where ``host`` does not name it
    :param schema: ``https`` unless said otherwise
    :param header: the header that carries the token
    :param prefix: what stands before the token in it
    :param headers: further headers, as text or by secret reference
    :param extra: further keys of the hook, such as ``timeout`` or ``proxies``
    :param live: lead the hook through this process, which adds a fresh token to each request
    """

    accepts = (BearerToken, BasicCredential)
    cautions = (
        "HttpHook.run reads the connection anew for each request; HttpAsyncHook, and so every trigger, keeps the token",
        STORED,
    )

    host: Annotated[str, Meta(min_length=1, max_length=2048)]
    port: Port | None = None
    schema: Literal["https", "http"] = "https"
    header: Header = "Authorization"
    prefix: str = "Bearer "
    headers: dict[Header, SecretName | Filled] = {}
    extra: dict[str, Any] = {}
    live: bool = False

    def problems(self) -> list[str]:
        found = [*self._host_problems(), *self._header_problems(), *self._extra_problems()]
        return found if not self.live else [*found, *self._live_problems()]

    def _host_problems(self) -> Iterator[str]:
        scheme, separator, rest = self.host.rpartition("://")
        if separator and scheme not in ("https", "http"):
            yield f"host: expected an http or https URL, got {scheme!r}"
        elif (scheme if separator else self.schema) == "http" and not _LOOPBACK.fullmatch(rest):
            yield "host: http is accepted for loopback hosts only; use https"
        elif not rest.strip("/") or not rest.isprintable() or "@" in rest or PLACEHOLDER.search(rest):
            yield "host: expected a host name, without a login or placeholders"
        if self.port and ("/" in rest or _PORT.search(rest)):
            yield "port: goes into host, which names a path or port already"

    def _header_problems(self) -> Iterator[str]:
        paths = ["header", *(f"headers.{name}" for name in self.headers), *(f"extra.{name}" for name in self.extra)]
        names = [name.lower() for name in (self.header, *self.headers, *self.extra)]
        yield from (f"{path}: stands twice" for at, path in enumerate(paths) if names[at] in names[:at])
        for path, text in {"prefix": self.prefix, **self.texts()}.items():
            if not text.isprintable():
                yield f"{path}: holds a character that a header cannot"

    def _extra_problems(self) -> Iterator[str]:
        for name, value in self.extra.items():
            if name in HOOK_KEYS:
                continue
            if not isinstance(value, str) or not value.isprintable():
                yield f"extra.{name}: leaves as a header, so it must be plain text"
            elif PLACEHOLDER.search(value):
                yield f"extra.{name}: placeholders stand in headers only"

    def notes(self) -> Sequence[str]:
        return [LED, STORED] if self.live else self.cautions

    def _live_problems(self) -> Iterator[str]:
        yield from (f"extra.{key}: does not go with live; {use}" for key, use in NOT_LIVE.items() if key in self.extra)
        for path, text in self.texts().items():
            if PLACEHOLDER.search(text):
                yield f"{path}: would be frozen at the first lookup; with live, header and prefix carry the token"

    def texts(self) -> Mapping[str, str]:
        return {f"headers.{name}": value for name, value in self.headers.items() if isinstance(value, str)}

    def face(self) -> LiveFace | None:
        if not self.live:
            return None
        where = self.host if "://" in self.host else f"{self.schema}://{self.host}"
        upstream = f"{where}:{self.port}" if self.port else where
        return BearerFace(upstream=upstream, header=self.header, prefix=self.prefix)

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        return live_http(route, self.headers, self.extra, secret)

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        read = {name: secret(value) for name, value in self.headers.items() if isinstance(value, SecretName)}
        texts = {name: fill(value, credential) for name, value in self.headers.items() if isinstance(value, str)}
        extra = {**self.extra, **texts, **read}
        login = password = None
        if isinstance(credential, BasicCredential):
            login, password = credential.username, credential.password
        else:
            assert isinstance(credential, BearerToken)
            extra[self.header] = self.prefix + credential.token
            if "trust_env" not in extra and _netrc_would_win(self.host):
                extra["trust_env"] = False
        return spec(
            credential,
            secrets=tuple(read.values()),
            conn_type="http",
            host=self.host,
            schema=None if "://" in self.host else self.schema,
            port=self.port,
            login=login,
            password=password,
            extra=dump(extra),
        )


def live_http(
    route: Route,
    headers: Mapping[str, SecretName | str],
    extra: Mapping[str, Any],
    secret: Callable[[SecretName], str],
) -> ConnectionSpec:
    """
    Make a connection to a route, for the http hook.

    No proxy of the environment may stand before loopback, and no ``.netrc`` may speak for us: hence ``trust_env``.
    """
    read = {name: secret(value) for name, value in headers.items() if isinstance(value, SecretName)}
    texts = {name: value for name, value in headers.items() if isinstance(value, str)}
    whole = {**extra, **texts, **read, CAPABILITY: route.capability, "trust_env": False}
    return spec(None, secrets=(route.capability, *read.values()), conn_type="http", host=route.url, extra=dump(whole))


def _netrc_would_win(host: str) -> bool:
    """Say whether requests finds an entry for a host in a ``.netrc``, which then replaces an Authorization header."""
    home = os.environ.get("HOME") or str(Path.home())
    for path in [os.environ.get("NETRC")] if os.environ.get("NETRC") else [f"{home}/.netrc", f"{home}/_netrc"]:
        if path and os.path.exists(path):
            import netrc

            try:
                entries, place = netrc.netrc(path), host.rpartition("://")[2].partition("/")[0]
                asked = (urlsplit(f"//{place}").hostname or "", _PORT.sub("", place))  # as requests does, and as it did
            except (netrc.NetrcParseError, OSError, ValueError):
                return True
            return any(entries.authenticators(name) for name in asked)
    return False
