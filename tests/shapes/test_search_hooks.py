"""The stock hooks of Elasticsearch and OpenSearch, against stubs that verify what they are sent."""

from __future__ import annotations

from typing import Any

import pytest

from tests.peers import installed
from tests.peers.rogue import Peer, Rogue
from tests.peers.tls import serving
from tests.shapes.worker import Seen, Trust, answer, proven, readable, work

HERE = "127.0.0.1"


def engine(peer: Peer) -> None:
    """Be a search engine of either kind, that tells by what a client proved itself."""
    request = peer.read()
    scheme = proven(request)
    found = {"columns": [{"name": "how", "type": "text"}], "rows": [[scheme]], "hits": {"hits": [scheme]}}
    body, status = (found, 200) if scheme else ({"error": "security_exception"}, 401)
    peer.send(answer(body, status, X_Elastic_Product="Elasticsearch"))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the hooks once, on a worker whose ``.netrc`` has an entry for ``localhost``."""
    for name in ("elasticsearch", "opensearch"):
        installed.provider(name)
    trust, home = Trust(tmp_path_factory.mktemp("trust")), tmp_path_factory.mktemp("worker")
    netrc = home / ".netrc"
    netrc.write_text("machine localhost login netrc password netrc\n")
    with (
        Rogue(engine, tls=serving(trust.authority)) as server,
        Rogue(engine, tls=serving(trust.stranger)) as impostor,
        Rogue(engine) as plain,
    ):
        es = {"shape": "elasticsearch", "host": HERE, "port": server.port}
        es["extra"] = {"ca_certs": trust.ca_file, "max_retries": 0}
        os = {"shape": "opensearch", "host": HERE, "port": server.port}
        connections: dict[str, Any] = {
            "es": {**es, "source": "token"},
            "es_key": {**es, "source": "token", "header": "api_key"},
            "es_basic": {**es, "source": "password"},
            "es_plain": {**es, "source": "token", "schema": "http", "port": plain.port, "extra": {}},
            "es_expired": {**es, "source": "expired"},
            "es_wrong": {**es, "source": "wrong"},
            "es_impostor": {**es, "source": "token", "port": impostor.port},
            "os": {**os, "source": "token", "extra": {"headers": {"X-Team": "search"}}},
            "os_basic": {**os, "source": "password"},
            "os_plain": {**os, "source": "token", "port": plain.port, "extra": {"use_ssl": False}},
            "os_expired": {**os, "source": "expired"},
            "os_wrong": {**os, "source": "wrong"},
            "os_impostor": {**os, "source": "token", "port": impostor.port},
            "os_netrc": {
                **os,
                "source": "token",
                "host": "localhost",
                "port": plain.port,
                "extra": {"use_ssl": False},
            },
        }
        return work("search", connections, home=home, SSL_CERT_FILE=trust.ca_file)


@pytest.mark.parametrize(
    ("name", "scheme"), [("es", "Bearer"), ("es_key", "ApiKey"), ("es_basic", "Basic"), ("es_plain", "Bearer")]
)
def test_elasticsearch_hook(seen: Seen, name: str, scheme: str) -> None:
    """Elasticsearch believes a token, an API key, and a login with its password."""
    assert seen["elasticsearch"][name] == [[scheme]]


@pytest.mark.parametrize(("name", "scheme"), [("os", "Bearer"), ("os_basic", "Basic"), ("os_plain", "Bearer")])
def test_opensearch_operator(seen: Seen, name: str, scheme: str) -> None:
    """OpenSearch believes a token, and a login with its password; TLS is on even if the file is silent."""
    assert seen["opensearch"][name] == {"hits": [scheme]}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("es_expired", "AuthenticationException(401"),
        ("es_wrong", "AuthenticationException(401"),
        ("es_impostor", "TlsError"),
        ("os_expired", "AuthenticationException(401"),
        ("os_wrong", "AuthenticationException(401"),
        ("os_impostor", "certificate verify failed"),
        ("os_netrc", "AuthenticationException(401"),
    ],
)
def test_refused(seen: Seen, name: str, told: str) -> None:
    """A wrong secret and a server that cannot prove itself fail; so does a token that a ``.netrc`` of OpenSearch's
    client replaces."""
    assert told in seen["refused"][name]["told"]


def test_operator_and_trigger(seen: Seen) -> None:
    """So does the SQL operator get in, and the trigger, whose row holds the conn_id."""
    assert seen["operator"] == seen["deferred"]["event"]["results"] == [["Bearer"]]
    assert "'conn_id': 'es'" in seen["deferred"]["row"]


def test_hooks_keep_the_token(seen: Seen) -> None:
    """A hook that searches twice asks for its connection once."""
    assert seen["lookups"] == [1, 1]


def test_nothing_leaks(seen: Seen) -> None:
    """No logger writes a secret, however talkative; no error, row or event holds one. The hook of Elasticsearch
    writes its token into its URI, which is masked."""
    assert seen.leaks() == readable([seen.log, *seen["uris"]]) == []
    assert "bearer_auth=***" in seen["uris"][0]
