"""WireMock answers as scripted, and stock clients believe that it is Azure's instance metadata service."""

from __future__ import annotations

import pytest
from urllib3 import BaseHTTPResponse

from tests.peers.client import ask
from tests.peers.wiremock import GONE, GRANTED, NOT_FOUND, THROTTLED, TOKEN, UNAVAILABLE, Stub, WireMock, imds

TOKENS = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net"


def metadata(wiremock: WireMock, query: str = "") -> BaseHTTPResponse:
    return ask("GET", f"{wiremock.url}{TOKENS}{query}", headers={"Metadata": "true"})


@pytest.mark.parametrize(
    ("answers", "statuses"),
    [
        ([GRANTED], [200, 200, 200]),
        ([NOT_FOUND], [400, 400, 400]),
        ([THROTTLED, GRANTED], [429, 200, 200]),
        ([GONE, GONE, GRANTED], [410, 410, 200]),
        ([UNAVAILABLE], [503, 503, 503]),
    ],
    ids=["granted", "not found", "throttled", "gone", "unavailable"],
)
def test_answers_in_turn(wiremock: WireMock, answers: list[Stub], statuses: list[int]) -> None:
    """Answers come in the order of the script, the last again and again."""
    wiremock.script(imds(*answers))

    assert [metadata(wiremock).status for _ in statuses] == statuses


def test_tells_identities_apart(wiremock: WireMock) -> None:
    """One identity's script does not answer for another, nor without the header that shows a deliberate request."""
    wiremock.script(imds(GRANTED, query={"client_id": {"equalTo": "mine"}}))

    assert [metadata(wiremock, query).status for query in ("&client_id=mine", "&client_id=other", "")] == [
        200,
        404,
        404,
    ]
    assert ask("GET", f"{wiremock.url}{TOKENS}&client_id=mine").status == 404


def test_keeps_a_journal(wiremock: WireMock) -> None:
    """What was asked can be read, oldest first, and one test's requests are not another's."""
    assert wiremock.requests == []
    metadata(wiremock, "&client_id=first")
    metadata(wiremock, "&client_id=second")

    assert [request.query["client_id"] for request in wiremock.requests] == ["first", "second"]
    assert wiremock.requests[0].headers["metadata"] == "true"


def test_is_azure_to_azure_identity(wiremock: WireMock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stock managed identity credential gets its token here."""
    from azure.identity import ManagedIdentityCredential

    for name in ("IDENTITY_ENDPOINT", "MSI_ENDPOINT", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", wiremock.url)
    wiremock.script(imds(GRANTED))

    with ManagedIdentityCredential() as credential:
        assert credential.get_token("https://vault.azure.net/.default").token == TOKEN["access_token"]
