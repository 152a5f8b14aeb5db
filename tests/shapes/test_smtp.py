"""The ``smtp`` connection."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
import trustme

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken
from airflow_ephemeral_secrets.shapes.smtp import Smtp
from tests.peers.installed import provider, wheel
from tests.peers.tls import serving
from tests.shapes.conformance import ShapeConformance, secret
from tests.shapes.worker import SECRETS, Seen, work

LOGIN = BasicCredential(username="a-login", password="a-password")
TOKEN = BearerToken(token="a-token")


FILLED_IN = (
    "access_token",
    "auth_type",
    "disable_ssl",
    "disable_tls",
)
ANOTHER_IDENTITY = (
    "client_id",
    "client_secret",
    "tenant_id",
    "scope",
)


class TestPassword(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Smtp:
        return Smtp(source="s", host="mail.test", port=465, login="airflow", disable_ssl=False, disable_tls=True)


class TestToken(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Smtp:
        return Smtp(
            source="s", host="mail.test", login="a@b.test", auth_type="oauth2", extra={"from_email": "a@b.test"}
        )


STARTTLS = {"disable_ssl": True, "disable_tls": False}


@pytest.mark.parametrize(
    ("fields", "credential", "expected", "extra"),
    [
        ({}, LOGIN, {"login": "a-login", "password": "a-password"}, {"auth_type": "basic", **STARTTLS}),
        (
            {"login": "a"},
            TOKEN,
            {"login": "a", "password": "a-token"},
            {"auth_type": "basic", **STARTTLS},
        ),
        (
            {"login": "a@b.test", "auth_type": "oauth2", "extra": {"timeout": 5}},
            TOKEN,
            {"login": "a@b.test"},
            {"timeout": 5, "auth_type": "oauth2", "access_token": "a-token", **STARTTLS},
        ),
        (
            {"disable_ssl": False, "disable_tls": True, "port": 465},
            LOGIN,
            {"login": "a-login", "password": "a-password", "port": 465},
            {"auth_type": "basic", "disable_ssl": False, "disable_tls": True},
        ),
    ],
)
def test_fields(
    fields: dict[str, Any], credential: BasicCredential | BearerToken, expected: dict[str, Any], extra: dict[str, Any]
) -> None:
    """A password is the password; a token stands in the extra, or where the file says so is the password."""
    made = Smtp(source="s", host="mail.test", **fields).render(credential, secret).fields()

    assert json.loads(made.pop("extra")) == extra
    assert {name: value for name, value in made.items() if value is not None} == {
        "conn_type": "smtp",
        "host": "mail.test",
        "port": 587,
        **expected,
    }


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"disable_ssl": False}, "disable_tls"),
        ({"disable_ssl": False, "disable_tls": True, "auth_type": "oauth2"}, "disable_tls"),
        ({"disable_ssl": True, "disable_tls": True}, "disable_tls"),
        ({"host": "127.0.0.1.example.com", "disable_tls": True}, "disable_tls"),
        ({"host": "localhost", "disable_tls": True, "auth_type": "oauth2"}, "disable_tls"),
        *(({"extra": {key: "x"}}, f"extra.{key}") for key in (*FILLED_IN, *ANOTHER_IDENTITY)),
    ],
)
def test_problems(fields: dict[str, Any], path: str) -> None:
    """What the hook cannot do, would do without TLS, or would do as another, is a problem at load."""
    shape = Smtp(source="s", **{"host": "mail.test", **fields})

    assert [text.partition(":")[0] for text in shape.problems()] == [path]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"host": "127.0.0.1", "disable_tls": True},
        {"disable_ssl": False, "disable_tls": True},
        {"auth_type": "oauth2"},
    ],
)
def test_no_problems(fields: dict[str, Any]) -> None:
    """STARTTLS, TLS from the start, and no TLS on this very host are fine."""
    assert Smtp(source="s", **{"host": "mail.test", **fields}).problems() == []


def test_oauth2_needs_a_token() -> None:
    """A login and password cannot prove themselves by XOAUTH2: that is found at load."""
    assert Smtp(source="s", host="h", auth_type="oauth2").texts() == {"login": "{username}", "auth_type": "{token}"}
    assert Smtp(source="s", host="h", login="a").texts() == {"login": "a"}


class Ran(NamedTuple):
    """What hooks found, and what mail arrived."""

    seen: Seen
    mail: dict[str, str | None]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run the hooks once."""
    provider("smtp")
    wheel("aiosmtpd")
    from tests.peers.mail import LOGIN as SENDER
    from tests.peers.mail import MailServer

    home = tmp_path_factory.mktemp("worker")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(home / "ca.pem"))
    right = SECRETS["PASSWORD"], SECRETS["TOKEN"]
    with (
        MailServer(*right, tls=serving(authority)) as starttls,
        MailServer(*right, tls=serving(authority), implicit=True) as implicit,
    ):
        begins = {"shape": "smtp", "host": "127.0.0.1", "login": SENDER, "port": starttls.port}
        within = {**begins, "port": implicit.port, "disable_ssl": False, "disable_tls": True}
        oauth2 = {"auth_type": "oauth2", "access_token": "{token}", "disable_tls": True}
        early = {"shape": "fields", "conn_type": "smtp", "host": "127.0.0.1", "port": implicit.port, "login": SENDER}
        seen = work(
            "smtp",
            {
                "password": {"source": "password", **begins},
                "token": {"source": "token", **begins, "auth_type": "oauth2"},
                "token_as_password": {"source": "app", **begins},
                "implicit": {"source": "password", **within},
                "too_early": {"source": "token", **early, "extra": oauth2},
                "wrong": {"source": "wrong", **begins},
                "wrong_token": {"source": "expired", **begins, "auth_type": "oauth2"},
                "wrong_implicit": {"source": "wrong", **within},
            },
            given={"app": SECRETS["PASSWORD"]},
            home=home,
            SSL_CERT_FILE=str(home / "ca.pem"),
        )
        return Ran(seen, dict(starttls.mail + implicit.mail))


@pytest.mark.parametrize(
    ("conn_id", "proof"),
    [("password", "password"), ("token", "token"), ("token_as_password", "password"), ("implicit", "password")],
)
def test_hook(ran: Ran, conn_id: str, proof: str) -> None:
    """The stock hook sends mail that the server takes for what its sender has proven."""
    assert ran.seen[conn_id] is None
    assert ran.mail[conn_id] == proof


def test_operator(ran: Ran) -> None:
    """The stock operator sends mail by a token."""
    assert ran.mail["operator"] == "token"


@pytest.mark.parametrize("conn_id", ["wrong", "wrong_token", "wrong_implicit"])
def test_another_credential_is_refused(ran: Ran, conn_id: str) -> None:
    """The server looks at the password and at the token."""
    assert ran.seen[conn_id]["error"] == "SMTPAuthenticationError"
    assert conn_id not in ran.mail


def test_oauth2_with_tls_from_the_start_proves_nothing(ran: Ran) -> None:
    """The hook takes the server's refusal for success, and sends mail as nobody: hence the problem at load."""
    assert ran.seen["too_early"] is None
    assert ran.mail["too_early"] is None


def test_asynchronous_hook(ran: Ran) -> None:
    """It sends mail over TLS from the start; with STARTTLS, which it asks for twice, it never gets to log in."""
    assert ran.seen["async implicit"] is None
    assert ran.mail["async implicit"] == "password"
    assert ran.seen["async password"]["error"] == ran.seen["async token"]["error"] == "SMTPException"


def test_hook_reads_once_per_session(ran: Ran) -> None:
    """A hook asks for its connection whenever it logs in."""
    assert ran.seen["reads"] == 1


def test_nothing_leaks(ran: Ran) -> None:
    """No logger writes a secret, however talkative, and no error tells one."""
    assert ran.seen.leaks() == []
