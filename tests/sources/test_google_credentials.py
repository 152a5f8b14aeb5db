"""Whatever a credentials file holds, names or leads to: what is asked of whom, and that nothing of it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.google import Google
from airflow_ephemeral_secrets.sources.google_credentials import identity
from airflow_ephemeral_secrets.sources.google_iam import Impersonated
from tests.peers.google_files import AWS_KEY, AWS_SESSION, DOMAIN, POOL, READER, USER, federation, key_file
from tests.peers.google_stubs import GoogleStub
from tests.peers.rogue import Rogue, Script, deaf, reply
from tests.sources.asking import failure, story
from tests.sources.bad_files import CANARY, FAULTS
from tests.sources.googling import (
    AWS_SOURCE,
    SUBJECT_TOKEN,
    Write,
    denial,
    files,
    google,
    impersonation_url,
    mint,
    network,
    nobody,
    write,
)

__all__ = ["files", "google", "network", "nobody", "write"]

# What it holds


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("make", FAULTS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("configured", [True, False])
def test_file_that_cannot_be_read(
    make: Callable[[Path], None], configured: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is missing, endless, a pipe or no text is never waited for and none of it is told."""
    path = tmp_path / "credentials.json"
    make(path)
    if not configured:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))

    error = failure(Google(credentials_file=str(path) if configured else None))

    assert (type(error), error.code) == (SourceUnavailable, "file_unusable")
    assert FAULTS[make] in str(error)
    assert CANARY not in story(error)


PEM = f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"
EVIL = "https://evil.test"
ACTING = "service_account_impersonation_url"
EXECUTABLE = {"executable": {"command": "/bin/sh -c true", "timeout_millis": 5_000}}
FILE = {"file": "/proc/self/cmdline"}


def acting_user(**members: Any) -> dict[str, Any]:
    every = {
        "type": "impersonated_service_account",
        "source_credentials": {"type": "authorized_user", **USER},
        "service_account_impersonation_url": impersonation_url(),
        **members,
    }
    return {name: value for name, value in every.items() if value is not None}


def aws(name: str, url: str | None) -> dict[str, Any]:
    return federation({**AWS_SOURCE, name: url})


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        f'"{CANARY}"',
        f'["{CANARY}"]',
        f'{{"type": "service_account", "private_key": "{CANARY}"',
        f'{{"type": "service_account", "type": "{CANARY}"}}',
        '{"a":' * 5_000,
        *map(
            json.dumps,
            [
                {},
                {"type": None},
                {"type": CANARY},
                {"type": ["service_account"]},
                {"type": "external_account_authorized_user"},
                {"type": "gdch_service_account"},
                {"type": "service_account"},
                key_file(private_key=CANARY),
                key_file(private_key=PEM),
                key_file(private_key=""),
                key_file(private_key=[CANARY]),
                key_file(client_email=f"{CANARY}\nforged"),
                key_file(token_uri=None),
                key_file(universe_domain="universe.test"),
                {"type": "authorized_user", **USER, "refresh_token": ""},
                {"type": "authorized_user", **USER, "client_secret": None},
                {"type": "authorized_user", **USER, "client_id": f"{CANARY}\nforged"},
                federation(FILE, audience=f"{CANARY}\nforged"),
                federation(FILE, subject_token_type=7),
                federation({}),
                {**federation({}), "credential_source": [CANARY]},
                federation(EXECUTABLE),
                federation({**FILE, **EXECUTABLE}),
                federation({"certificate": {"use_default_certificate_config": True}}),
                federation({**AWS_SOURCE, "environment_id": "azure1"}),
                federation({**FILE, "format": {"type": CANARY}}),
                federation({**FILE, "format": {"type": "json"}}),
                federation({**FILE, "format": {"type": "json", "subject_token_field_name": "x"}}),
                federation({**FILE, "format": CANARY}),
                federation(FILE, workforce_pool_user_project=CANARY),
                acting_user(source_credentials=None),
                acting_user(source_credentials=CANARY),
                acting_user(source_credentials=acting_user()),
                acting_user(source_credentials={"type": CANARY}),
                acting_user(delegates=CANARY),
                acting_user(delegates=[CANARY]),
                acting_user(delegates=[7]),
            ],
        ),
    ],
)
def test_file_that_makes_no_sense(text: str, tmp_path: Path) -> None:
    """Whatever else a file holds than a known form, whole, it is unusable: nothing of it is asked, run or told."""
    path = tmp_path / "credentials.json"
    path.write_text(text)

    error = failure(Google(credentials_file=str(path)))

    assert (type(error), error.code) == (SourceUnavailable, "credentials_unusable")
    assert str(path) in str(error)
    assert not [hidden for hidden in (CANARY, *USER.values(), "PRIVATE KEY") if hidden in story(error)]
    assert (error.__cause__, error.__context__) == (None, None)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    ("info", "named"),
    [
        (key_file(token_uri=f"{EVIL}/token"), "token_uri"),
        (key_file(token_uri="http://oauth2.googleapis.com/token"), "token_uri"),
        (key_file(token_uri="https://oauth2.googleapis.com.evil.test/token"), "token_uri"),
        (key_file(token_uri="https://oauth2.googleapis.com@evil.test/token"), "token_uri"),
        (key_file(token_uri="https://storage.googleapis.com/token"), "token_uri"),
        (key_file(token_uri="https://oauth2.googleapis.com/token\n"), "token_uri"),
        (key_file(token_uri="file:///etc/passwd"), "token_uri"),
        (federation(FILE, token_url=f"{EVIL}/v1/token"), "token_url"),
        (federation(FILE, token_url="https://evil.test/sts.googleapis.com/v1/token"), "token_url"),
        (federation(FILE, token_url="https://storage.googleapis.com/v1/token"), "token_url"),
        (federation(FILE, token_url="https://sts.storage.googleapis.com/v1/token"), "token_url"),
        (federation(FILE, token_url="https://a-bucket-sts.storage.googleapis.com/v1/token"), "token_url"),
        (federation(FILE, token_info_url=f"{EVIL}/v1/introspect"), "token_info_url"),
        (federation(FILE, **{ACTING: impersonation_url().replace("google", "evil")}), ACTING),
        (federation(FILE, **{ACTING: f"{EVIL}/{READER}:generateAccessToken"}), ACTING),
        (federation(FILE, **{ACTING: impersonation_url("../x")}), ACTING),
        (federation({"url": f"{EVIL}/token"}), "credential_source.url"),
        (federation({"url": "http://169.254.169.254/latest/meta-data/"}), "credential_source.url"),
        (federation({"url": "http://metadata.google.internal/computeMetadata/v1/"}), "credential_source.url"),
        (federation({"url": "http://127.0.0.1/token"}), "credential_source.url"),
        (federation({"url": 7}), "credential_source.url"),
        (aws("url", f"{EVIL}/x"), "credential_source.url"),
        (aws("region_url", f"{EVIL}/x"), "credential_source.region_url"),
        (aws("imdsv2_session_token_url", f"{EVIL}/x"), "credential_source.imdsv2_session_token_url"),
        (aws("regional_cred_verification_url", f"{EVIL}/"), "credential_source.regional_cred_verification_url"),
        (aws("regional_cred_verification_url", None), "credential_source.regional_cred_verification_url"),
        (acting_user(**{ACTING: f"{EVIL}/x"}), ACTING),
        (acting_user(**{ACTING: None}), ACTING),
        (acting_user(source_credentials=key_file(token_uri=f"{EVIL}/token")), "token_uri"),
    ],
)
def test_file_that_names_other_endpoints(info: dict[str, Any], named: str, tmp_path: Path) -> None:
    """A file cannot send what proves the worker, or the worker itself, elsewhere; the field is named."""
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps(info))

    error = failure(Google(credentials_file=str(path)))

    assert (type(error), error.code) == (SourceUnavailable, "endpoint_not_allowed")
    assert f"{named} of credentials file {path}" in str(error)
    assert "network.allow_endpoints" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "https://oauth2.googleapis.com/token",
        "https://www.googleapis.com/oauth2/v4/token",
        "https://accounts.google.com/o/oauth2/token",
    ],
)
def test_google_has_had_other_token_endpoints(nobody: pytest.MonkeyPatch, write: Write, url: str) -> None:
    """Keys of old name endpoints that are Google's too: they are asked."""
    with Rogue(reply(status=502)) as proxy:
        failure(Google(credentials_file=write(key_file(token_uri=url))), network=Network(proxy=proxy.url))

    assert [request.target for request in proxy.requests] == [f"{url.split('/')[2]}:443"]


@pytest.mark.parametrize("account", [f"x@{DOMAIN}", "1-compute@developer.gserviceaccount.com"])
@pytest.mark.parametrize(
    "host",
    ["sts.googleapis.com", "us-east1-sts.googleapis.com", "sts.us-east1.rep.googleapis.com", "sts-x.p.googleapis.com"],
)
def test_google_has_regional_endpoints(
    write: Write, tmp_path: Path, host: str, account: str, nobody: pytest.MonkeyPatch
) -> None:
    """A federation may name Google's regional endpoints."""
    (tmp_path / "token").write_text("x")
    info = federation(
        {"file": str(tmp_path / "token")},
        token_url=f"https://{host}/v1/token",
        service_account_impersonation_url=impersonation_url(account),
    )
    with Rogue(reply(status=502)) as proxy:
        failure(Google(credentials_file=write(info)), network=Network(proxy=proxy.url))

    assert [request.target for request in proxy.requests] == [f"{host}:443"]


@pytest.mark.parametrize(
    "source",
    [
        {
            "url": "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=api://google",
            "headers": {"Metadata": "True"},
            "format": {"type": "json", "subject_token_field_name": "access_token"},
        },
        AWS_SOURCE,
        {name: AWS_SOURCE[name] for name in ("environment_id", "regional_cred_verification_url")},
    ],
)
def test_google_documents_metadata_of_other_clouds(write: Write, source: dict[str, Any]) -> None:
    """The sources that Google's tools write for workers on Azure and AWS need no listing."""
    assert identity(write(federation(source)), Network())


# Subject tokens


def test_subject_token_of_a_url(google: GoogleStub, network: Network, write: Write) -> None:
    """A listed endpoint gives a subject token, in text or JSON, and gets the headers that the file names."""
    google.subjects["from-a-url"] = "other"
    asking = {"headers": {"X-Ask": "why"}, "format": {"type": "json", "subject_token_field_name": "value"}}
    for format_, body in ((asking, b'{"value": "from-a-url"}'), ({}, b"from-a-url")):
        with Rogue(reply(body)) as server:
            listed = Network(proxy=network.proxy, ca_file=network.ca_file, allow_endpoints=[server.url])
            path = write(federation({"url": f"{server.url}/token?a=b", **format_}))
            assert mint(listed, credentials_file=path).principal == f"federated {POOL}"
            assert server.requests[0].headers.get("X-Ask") == format_.get("headers", {}).get("X-Ask")
            assert "x-goog-request-reason" not in server.requests[0].headers


def test_subject_token_of_aws_metadata(google: GoogleStub, network: Network, write: Write) -> None:
    """Without AWS variables the machine's role signs: AWS's metadata is asked in its second version."""
    keys = {"AccessKeyId": AWS_KEY[0], "SecretAccessKey": AWS_KEY[1], "Token": AWS_SESSION}
    answers = [b"session", b"eu-west-1b", b"session", b"role", json.dumps(keys).encode()]
    with Rogue(*map(reply, answers)) as imds:
        urls = {name: url.replace("http://169.254.169.254", imds.url) for name, url in AWS_SOURCE.items()}
        listed = Network(proxy=network.proxy, ca_file=network.ca_file, allow_endpoints=[f"{imds.url}/latest"])
        assert mint(listed, credentials_file=write(federation(urls))).principal == f"federated {POOL}"

    assert [request.method for request in imds.requests] == ["PUT", "GET", "PUT", "GET", "GET"]
    assert imds.requests[-1].target == "/latest/meta-data/iam/security-credentials/role"
    assert imds.requests[-1].headers["X-aws-ec2-metadata-token"] == "session"


@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        (reply(CANARY.encode(), status=404), SourceFailed, "HTTP 404"),
        (
            reply(f'{{"error": "invalid_request", "x": "{CANARY}"}}'.encode(), status=400),
            SourceRefused,
            "invalid_request",
        ),
        (reply(CANARY.encode(), status=503), SourceFailed, "HTTP 503"),
        (reply(b"", status=302, Location="http://127.0.0.1/"), SourceFailed, "redirect"),
        (reply(b""), SourceUnavailable, "credentials_unusable"),
        (reply(f'{{"other": "{CANARY}"}}'.encode()), SourceUnavailable, "credentials_unusable"),
        (reply(CANARY.encode()), SourceUnavailable, "credentials_unusable"),
        (reply(b"[" * 20_000), SourceUnavailable, "credentials_unusable"),
        (reply(b"\xff"), SourceUnavailable, "credentials_unusable"),
        (reply(CANARY.encode() * 10_000), SourceFailed, "too_large"),
        (deaf, SourceFailed, "timeout"),
    ],
)
def test_bad_subject_token(
    google: GoogleStub, network: Network, write: Write, script: Script, kind: type[MintError], code: str
) -> None:
    """Whatever a subject token's endpoint says instead of one is told apart, once, and Google is not asked."""
    with Rogue(script) as server:
        listed = Network(proxy=network.proxy, ca_file=network.ca_file, allow_endpoints=[server.url])
        format_ = {"format": {"type": "json", "subject_token_field_name": "value"}}
        error = denial(
            listed,
            credentials_file=write(federation({"url": server.url, **format_})),
            seconds=0.5 if script is deaf else 10.0,
        )

    assert (type(error), error.code) == (kind, code)
    assert (server.connections, google.requests) == (1, [])
    assert CANARY not in story(error)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("make", FAULTS, ids=lambda make: make.__name__)
def test_subject_token_file_that_cannot_be_read(make: Callable[[Path], None], tmp_path: Path, write: Write) -> None:
    """A subject token file, too, is never waited for, nor told."""
    make(tmp_path / "token")

    error = failure(Google(credentials_file=write(federation({"file": str(tmp_path / "token")}))))

    assert (type(error), error.code) == (SourceUnavailable, "file_unusable")
    assert CANARY not in story(error)


def test_rotation_is_seen(google: GoogleStub, network: Network, files: dict[str, str], tmp_path: Path) -> None:
    """Nothing of a file is kept: a subject token or key that was rotated is the new one at the next mint."""
    mint(network, credentials_file=files["federation"])
    (tmp_path / "subject-token").write_text("rotated")
    assert denial(network, credentials_file=files["federation"]).code == "invalid_grant"
    google.subjects["rotated"] = "other"

    assert mint(network, credentials_file=files["federation"])


def test_credentials_show_nothing(files: dict[str, str]) -> None:
    """What is made of a file can be printed."""
    found = [identity(path, Network()) for path in files.values()]
    found += [one.source for one in found if isinstance(one, Impersonated)]
    shown = "".join(f"{one!r} {list(one.__rich_repr__())!r}" for one in found)

    assert not [hidden for hidden in ("PRIVATE KEY", *USER.values(), SUBJECT_TOKEN) if hidden in shown]
