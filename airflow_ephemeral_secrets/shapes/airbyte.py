"""The ``airbyte`` connection of the airbyte provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, dump, spec
from airflow_ephemeral_secrets.shapes.extra import Url
from airflow_ephemeral_secrets.shapes.live import AT_HAND, CLIENT_ID, LiveFace, Route, TokenFace
from airflow_ephemeral_secrets.shapes.server import extra_problems, words


class Airbyte(Shape, frozen=True, kw_only=True, tag="airbyte"):
    """
    The Airbyte API, whose client fetches its tokens by a client id and secret, and keeps each for the whole process.

    It is live by nature: the client fetches them from this process. It asks for another 60 seconds before one ends.

    :param host: the API's base URL, such as ``https://api.airbyte.com/v1/``
    :param extra: ``timeout``, in seconds, and ``proxies``, a mapping of ``https`` to the URL of a proxy
    """

    accepts = (BearerToken,)
    cautions = (AT_HAND,)

    host: Url
    extra: dict[str, Any] = {}

    def problems(self) -> list[str]:
        return [*extra_problems(self.extra, words("proxies timeout"), {}), *self._proxy_problems()]

    def _proxy_problems(self) -> Iterator[str]:
        proxies = self.extra.get("proxies", {})
        if not isinstance(proxies, Mapping) or proxies.keys() - {"https"}:
            yield "extra.proxies: expected a mapping of https to a URL; another would stand before 127.0.0.1"

    def face(self) -> LiveFace:
        return TokenFace(margin=60.0, kept=True)

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        return spec(
            None,
            secrets=(route.capability,),
            conn_type="airbyte",
            host=self.host,
            login=CLIENT_ID,
            password=route.capability,
            schema=route.url,
            extra=dump(self.extra),
        )

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        raise TypeError("airbyte has no static form")
