"""Whatever the worker's own AWS configuration says: how it changes who asks and where, and how it fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from airflow_ephemeral_secrets.demo.cloud import REGION
from airflow_ephemeral_secrets.errors import SourceFailed, SourceUnavailable
from airflow_ephemeral_secrets.sources.aws import AwsAssumeRole, AwsSession
from airflow_ephemeral_secrets.sources.base import Network, Source
from airflow_ephemeral_secrets.sources.secret_refs import AwsSecretsManagerReference
from tests.peers.rogue import Rogue, reply, tunnel
from tests.peers.sts import granted, refused
from tests.peers.tls import serving
from tests.sources.asking import ROLE, ask, assume, failure, read, story
from tests.sources.conftest import KEY_ID, SECRET_KEY

CANARY = "canary-of-a-worker"


def configured(monkeypatch: pytest.MonkeyPatch, path: Path, text: str) -> None:
    """Give the worker an AWS configuration file."""
    path.joinpath("aws-config").write_bytes(text.encode("latin-1"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path / "aws-config"))


def process(**printed: str) -> str:
    """Write a profile whose identity a program prints."""
    return f"[default]\ncredential_process = echo '{json.dumps({'Version': 1, **printed})}'\n"


KEYS = {"AccessKeyId": "AKIAPROCESS", "SecretAccessKey": CANARY}

FAULTY_FILES = {
    "no sections": f"{CANARY} [[[\n",
    "not UTF-8": f"[default]\nregion = {CANARY}é\n",
    "program fails": "[default]\ncredential_process = false\n",
    "program is missing": "[default]\ncredential_process = /nowhere/program\n",
    "program prints text": f"[default]\ncredential_process = echo {CANARY}\n",
    "program prints half a key": process(AccessKeyId=CANARY),
    "program prints dead keys": process(**KEYS, SessionToken=CANARY, Expiration="2001-01-01T00:00:00Z"),
    "source profile is missing": f"[default]\nrole_arn = {ROLE}\nsource_profile = missing\n",
    "source profile is itself": f"[default]\nrole_arn = {ROLE}\nsource_profile = default\n",
    "credential source is unknown": f"[default]\nrole_arn = {ROLE}\ncredential_source = {CANARY}\n",
    "token file is missing": f"[default]\nrole_arn = {ROLE}\nweb_identity_token_file = /nowhere/token\n",
    "half a key": "[default]\naws_access_key_id = AKIAHALF\n",
    "sso is half": "[default]\nsso_session = missing\nsso_account_id = 1\nsso_role_name = x\n",
}


@pytest.mark.parametrize("text", FAULTY_FILES.values(), ids=FAULTY_FILES)
@pytest.mark.parametrize("source", [assume("https://sts.test"), AwsSession(region=REGION)], ids=["role", "session"])
def test_faulty_configuration(source: Source, text: str, nobody: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """However a worker's AWS configuration is broken, it lacks a prerequisite: the source did not even try."""
    configured(nobody, tmp_path, text)

    error = failure(source)

    assert isinstance(error, SourceUnavailable)
    assert error.code in {"no_identity", "aws_configuration"}
    assert CANARY not in str(error)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_PROFILE", "missing"),
        ("AWS_RETRY_MODE", "nonsense"),
        ("AWS_DEFAULTS_MODE", "nonsense"),
    ],
)
def test_faulty_environment(name: str, value: str, worker: pytest.MonkeyPatch) -> None:
    """The same holds for the AWS variables of a worker, even where it has an identity."""
    worker.setenv(name, value)

    assert isinstance(failure(assume("https://sts.test")), SourceUnavailable)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.1.1/"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/proc/self/mem"),
    ],
)
def test_faulty_identity(name: str, value: str, nobody: pytest.MonkeyPatch) -> None:
    """An identity that the environment announces and does not give is none."""
    nobody.setenv("AWS_ROLE_ARN", ROLE)
    nobody.setenv(name, value)

    assert isinstance(failure(assume("https://sts.test")), SourceUnavailable)


def test_half_a_key(nobody: pytest.MonkeyPatch) -> None:
    """A key without its secret is no identity."""
    nobody.setenv("AWS_ACCESS_KEY_ID", KEY_ID)

    assert failure(assume("https://sts.test")).code == "no_identity"


@pytest.mark.usefixtures("worker")
def test_missing_profile_is_named() -> None:
    """A profile that the configuration names and the worker lacks is named."""
    error = failure(assume("https://sts.test", profile="team"))

    assert (type(error), error.code) == (SourceUnavailable, "aws_configuration")
    assert "profile team" in str(error)


def test_identity_that_sts_refuses(
    nobody: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker whose profile is a role that it may not assume has no identity; what STS said of it is not told."""
    keys = f"[profile keys]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET_KEY}\n"
    configured(nobody, tmp_path, f"[default]\nregion = {REGION}\nrole_arn = {ROLE}\nsource_profile = keys\n{keys}")
    with Rogue(reply(refused("AccessDenied", CANARY), status=403)) as sts:
        nobody.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        error = failure(assume(sts.url))

    assert (type(error), error.code) == (SourceUnavailable, "no_identity")
    assert CANARY not in story(error) + caplog.text


@pytest.mark.parametrize(
    "asking",
    [
        lambda token: ask(assume("https://sts.test")),
        lambda token: ask(assume("https://sts.test", web_identity_token_file=token)),
        lambda token: ask(AwsSession(region=REGION)),
        lambda token: read(AwsSecretsManagerReference(secret_id="a", region=REGION)),
    ],
    ids=["role", "web identity", "session", "secret"],
)
def test_missing_package(asking: Callable[[str], object], worker: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without boto3 the error names the extra that brings it."""
    (tmp_path / "token").write_text("a token")
    worker.setitem(sys.modules, "boto3", None)

    with pytest.raises(SourceUnavailable) as caught:
        asking(str(tmp_path / "token"))

    assert caught.value.code == "package_missing"
    assert str(caught.value).endswith("try: pip install 'airflow-ephemeral-secrets[aws]'")


# Where it asks


def test_asks_the_regional_endpoint_that_it_announces(worker: pytest.MonkeyPatch) -> None:
    """A worker's setting of old sends no request to the global endpoint, whose tokens some regions do not take."""
    worker.setenv("AWS_STS_REGIONAL_ENDPOINTS", "legacy")
    source = AwsAssumeRole(role_arn=ROLE, region=REGION)
    with Rogue(reply(status=502)) as proxy:
        failure(source, network=Network(proxy=proxy.url))

    assert [f"https://{request.target}" for request in proxy.requests] == [f"{source.endpoints()[0]}:443"]


def test_asks_a_private_endpoint_of_the_worker(worker: pytest.MonkeyPatch) -> None:
    """The endpoint that AWS's own variables name is asked, and is a fact of the request."""
    source = AwsAssumeRole(role_arn=ROLE, region=REGION)
    before = source.ambient()
    with Rogue(reply(granted())) as sts:
        worker.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        ask(source)

    assert sts.connections == 1
    assert source.ambient() != before


def test_asks_nobody_in_the_clear(worker: pytest.MonkeyPatch) -> None:
    """Not even AWS's own variables send what proves the worker over plain http to another host."""
    worker.setenv("AWS_ENDPOINT_URL_STS", "http://sts.test")
    with Rogue(reply(granted())) as proxy:
        error = failure(AwsAssumeRole(role_arn=ROLE, region=REGION), network=Network(proxy=proxy.url))

    assert isinstance(error, (SourceFailed, SourceUnavailable))
    assert proxy.requests == []


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_environment_does_not_steer(
    tls: bool, worker: pytest.MonkeyPatch, authority: trustme.CA, ca_file: str, tmp_path: Path
) -> None:
    """Proxies, logins and certificates that the environment names change nothing of the request to STS."""
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login airflow password {CANARY}\n")
    with Rogue(reply()) as other, Rogue(reply(granted()), tls=serving(authority) if tls else None) as sts:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            worker.setenv(name, other.url)
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"):
            worker.setenv(name, "/nowhere")
        worker.setenv("NETRC", str(tmp_path / "netrc"))
        worker.setenv("AWS_USE_FIPS_ENDPOINT", "true")
        ask(assume(sts.url), network=Network(ca_file=ca_file))

    assert (sts.connections, other.connections) == (1, 0)
    assert sts.requests[0].headers["Authorization"].startswith("AWS4-HMAC-SHA256 ")


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"])
def test_environment_adds_no_trust(name: str, worker: pytest.MonkeyPatch, authority: trustme.CA, ca_file: str) -> None:
    """Only ``network.ca_file`` says whom to trust; an untrusted STS gets nothing."""
    with Rogue(reply(granted()), tls=serving(authority)) as sts:
        worker.setenv(name, ca_file)
        error = failure(assume(sts.url))

    assert (type(error), error.code, error.hint) == (SourceFailed, "tls", "network.ca_file")
    assert sts.requests == []


@pytest.mark.usefixtures("worker")
def test_asks_through_the_configured_proxy(authority: trustme.CA, ca_file: str) -> None:
    """``network.proxy`` carries the request to STS."""
    with Rogue(tunnel) as proxy, Rogue(reply(granted()), tls=serving(authority)) as sts:
        ask(assume(sts.url), network=Network(proxy=proxy.url, ca_file=ca_file))

    assert (proxy.connections, sts.connections) == (1, 1)


def test_web_identity_needs_no_other(nobody: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who proves itself by a token file is not asked for another identity, nor stopped by one that is broken."""
    configured(nobody, tmp_path, FAULTY_FILES["program prints text"])
    (tmp_path / "token").write_text("a token")
    with Rogue(reply(granted(action="AssumeRoleWithWebIdentity"))) as sts:
        assert ask(assume(sts.url, web_identity_token_file=str(tmp_path / "token")))
