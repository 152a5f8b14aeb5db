"""The desk that answers AssumeRole: to whom, with what, and what it passes on."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import botocore.session
import msgspec
import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError

from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.errors import AccessDenied, MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.live.routes import open_route
from airflow_ephemeral_secrets.masking import Masks
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.shapes.aws import LEASED, Aws
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec
from airflow_ephemeral_secrets.sources.base import Minting
from airflow_ephemeral_secrets.testing import FakeClock
from tests.live.asking import Keys
from tests.live.gateways import Answer, Gateway, Seen, Signatures
from tests.peers.client import ask
from tests.peers.rogue import Rogue, reply
from tests.peers.sts import STS, granted
from tests.resolving import CALLER, resolver

REGION = "eu-west-1"
IDENTITY = (
    f'<GetCallerIdentityResponse xmlns="{STS}"><GetCallerIdentityResult><Account>111122223333</Account>'
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
).encode()


RIGHT = sha256(b"Action=AssumeRole").hexdigest()


class Lasting(Keys, frozen=True, kw_only=True, tag="lasting"):
    """Mint keys without a token that do not end by themselves."""

    def mint(self, minting: Minting) -> AwsCredential:
        return msgspec.structs.replace(super().mint(minting), session_token=None, expires_at=None)


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def aws(keys: Keys, clock: FakeClock) -> Resolver:
    return resolver(clock=clock, source=keys, shape=Aws(source="fake", region=REGION, live=True), open_route=open_route)


def found(at: Resolver) -> ConnectionSpec:
    spec = at.connection("api", CALLER)
    assert spec
    return spec


def url(spec: ConnectionSpec) -> str:
    return str(json.loads(spec.extra or "")["service_config"]["sts"]["endpoint_url"])


def client(at: str, key_id: str | None, key: str | None, token: str | None = None) -> Any:
    """Make a client of STS that tries once."""
    session = botocore.session.Session()
    session.set_credentials(key_id, key, token)
    once = Config(retries={"total_max_attempts": 1})
    return session.create_client("sts", region_name=REGION, endpoint_url=at, config=once)


def assume(spec: ConnectionSpec) -> Any:
    """Ask as the hook does."""
    sts = client(url(spec), spec.login, spec.password)
    return sts.assume_role(RoleArn=LEASED, RoleSessionName="Airflow_api")


def test_assume_role_gives_the_lease(aws: Resolver, keys: Keys, clock: FakeClock) -> None:
    """The hook's own AssumeRole is answered with the lease, its end and its principal; it costs no mint of its own."""
    answer = assume(found(aws))
    minted = keys.known["ASIA1"]

    assert [answer["Credentials"][name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")] == [
        minted.access_key_id,
        minted.secret_access_key,
        minted.session_token,
    ]
    assert answer["Credentials"]["Expiration"].timestamp() == int(clock.wall + 900)
    assert answer["AssumedRoleUser"]["Arn"] == "nobody"
    assert len(keys.minted) == 1


def test_keys_are_those_of_the_moment(aws: Resolver, keys: Keys, clock: FakeClock) -> None:
    """One connection, the same bytes each time, gives keys that live, through many lifetimes."""
    spec = found(aws)
    for _ in range(20):
        ends = assume(spec)["Credentials"]["Expiration"].timestamp()
        assert ends > clock.wall + 60
        clock.advance(300)

    assert 5 <= len(keys.minted) <= 10
    assert found(aws) == spec
    assert not any(secret in f"{spec.fields()}" for key in keys.known.values() for secret in key.secrets())


def test_flushed_keys_are_given_no_more(aws: Resolver) -> None:
    """After a lease was taken back, the next request of the hook has new keys."""
    spec = found(aws)
    first = assume(spec)
    aws.invalidate(first["AssumedRoleUser"]["AssumedRoleId"].partition(":")[0])

    assert assume(spec)["Credentials"]["AccessKeyId"] == "ASIA2"


def test_keys_that_last_are_asked_for_again(clock: FakeClock) -> None:
    """Keys without a token or an end are given until they are to be read anew."""
    source = Lasting(ttl="10m")
    shape = Aws(source="fake", region=REGION, live=True)
    answer = assume(found(resolver(clock=clock, source=source, shape=shape, open_route=open_route)))

    assert "SessionToken" not in answer["Credentials"]
    assert answer["Credentials"]["Expiration"].timestamp() == clock.wall + 600


def test_capability_never_crosses_the_wire(aws: Resolver) -> None:
    """What the hook sends is signed with the capability, and does not hold it."""
    spec = found(aws)
    with Rogue(reply(granted())) as wire:
        client(wire.url, spec.login, spec.password).assume_role(RoleArn=LEASED, RoleSessionName="Airflow_api")
    (seen,) = wire.requests

    assert seen.form["Action"] == "AssumeRole"
    assert spec.password
    assert spec.password not in seen.everything


def signed(
    spec: ConnectionSpec, *, service: str = "sts", body: str = "Action=AssumeRole", **headers: str
) -> AWSRequest:
    """Sign a request with the capability."""
    request = AWSRequest("POST", url(spec), data=body, headers=headers)
    SigV4Auth(ReadOnlyCredentials(spec.login, spec.password, None), service, REGION).add_auth(request)
    return request


def send(request: AWSRequest, **instead: str) -> urllib3.BaseHTTPResponse:
    headers = {name: value for name, value in {**dict(request.headers), **instead}.items() if value}
    return ask("POST", request.url, body=request.body, headers=headers)


def aged(request: AWSRequest, minutes: int) -> dict[str, str]:
    """Move the date of a signed request, and of its scope."""
    moment = (datetime.now(timezone.utc) + timedelta(minutes=minutes)).strftime("%Y%m%dT%H%M%SZ")
    proof = request.headers["Authorization"]
    return {"X-Amz-Date": moment, "Authorization": proof.replace(proof.split("/")[1], moment[:8])}


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("right", "granted"),
        ("right with a signed hash", "granted"),
        ("unsigned", "MissingAuthenticationToken"),
        ("for another service", "MissingAuthenticationToken"),
        ("without a date", "IncompleteSignature"),
        ("of an hour ago", "IncompleteSignature"),
        ("of tomorrow", "IncompleteSignature"),
        ("with a date that is none", "IncompleteSignature"),
        ("by another key", "InvalidClientTokenId"),
        ("with another signature", "SignatureDoesNotMatch"),
        ("of another moment", "SignatureDoesNotMatch"),
        ("with another body", "SignatureDoesNotMatch"),
        ("with the hash of another body", "SignatureDoesNotMatch"),
        ("for another action", "InvalidAction"),
        ("too large", "RequestEntityTooLarge"),
    ],
)
def test_who_is_let_in(aws: Resolver, keys: Keys, case: str, code: str) -> None:
    """Only what is signed with the capability, for STS, just now and as a whole is answered; with an error of STS."""
    spec = found(aws)
    request = signed(spec)
    proof = request.headers["Authorization"]
    answers = {
        "right": lambda: send(request),
        "right with a signed hash": lambda: send(signed(spec, **{"X-Amz-Content-SHA256": RIGHT})),
        "unsigned": lambda: send(request, Authorization=""),
        "for another service": lambda: send(signed(spec, service="s3")),
        "without a date": lambda: send(request, **{"X-Amz-Date": ""}),
        "of an hour ago": lambda: send(request, **aged(request, -60)),
        "of tomorrow": lambda: send(request, **aged(request, 24 * 60)),
        "with a date that is none": lambda: send(request, **{"X-Amz-Date": f"{proof.split('/')[1]}T999999Z"}),
        "by another key": lambda: send(request, Authorization=proof.replace(str(spec.login), "AKIAOTHER")),
        "with another signature": lambda: send(request, Authorization=proof[:-64] + "0" * 64),
        "of another moment": lambda: send(request, **aged(request, -1)),
        "with another body": lambda: ask("POST", request.url, body=b"Action=X", headers=dict(request.headers)),
        "with the hash of another body": lambda: send(signed(spec, **{"X-Amz-Content-SHA256": "0" * 64})),
        "for another action": lambda: send(signed(spec, body="Action=GetSessionToken")),
        "too large": lambda: send(signed(spec, body="x" * 70_000)),
    }
    answer = answers[case]()

    assert (answer.status == 200) == (code == "granted")
    assert (f"<Code>{code}</Code>".encode() in answer.data) == (code != "granted")
    assert (keys.known["ASIA1"].secret_access_key.encode() in answer.data) == (code == "granted")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AccessDenied("not for you", code="not_allowed"), "AccessDenied"),
        (SourceRefused("sts:AssumeRole: AWS answered 403 AccessDenied", code="AccessDenied"), "AccessDenied"),
        (SourceUnavailable("this worker has no AWS identity", code="no_identity"), "AccessDenied"),
        (SourceFailed("sts: no answer in time <&>", code="timeout"), "ServiceUnavailable"),
    ],
)
def test_refusal_tells_why(aws: Resolver, keys: Keys, clock: FakeClock, error: Exception, code: str) -> None:
    """When there is no credential any more, the hook's error tells why; only what may pass is worth another try."""
    spec = found(aws)
    clock.advance(3_600)
    keys.raises.append(error)
    with pytest.raises(ClientError) as caught:
        assume(spec)

    assert caught.value.response["Error"]["Code"] == code
    assert str(error) in str(caught.value)
    assert ("source 'fake'" in str(caught.value)) == isinstance(error, MintError)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == (503 if code == "ServiceUnavailable" else 403)


def test_other_calls_go_on_to_sts(keys: Keys, clock: FakeClock) -> None:
    """What a task asks STS with its keys is asked of STS, signed anew; also to assume a role of its own."""
    judge = Signatures(keys.known, f"{REGION}/sts")

    def sts(seen: Seen) -> Answer:
        return judge(seen) or (200, {}, IDENTITY if b"GetCallerIdentity" in seen.body else granted())

    with Gateway(sts) as upstream:
        shape = Aws(source="fake", region=REGION, live=True, extra={"endpoint_url": upstream.url})
        at = resolver(clock=clock, source=keys, shape=shape, open_route=open_route)
        spec = found(at)
        held = assume(spec)["Credentials"]
        clock.advance(3_600)
        task = client(url(spec), held["AccessKeyId"], held["SecretAccessKey"], held["SessionToken"])

        assert task.get_caller_identity()["Account"] == "111122223333"
        assert task.assume_role(RoleArn=LEASED, RoleSessionName="own")["Credentials"]["AccessKeyId"] == "ASIAMINTED"
    assert upstream.refused == []
    assert {seen.target for seen in upstream.granted} == {"/"}
    assert all("Credential=ASIA2/" in seen.headers["authorization"] for seen in upstream.granted)


def test_keys_of_others_do_not_go_on(aws: Resolver) -> None:
    """Only keys that were given here are passed on for."""
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        client(url(found(aws)), "AKIAOTHER", "a-secret").get_caller_identity()


def test_secrets_are_masked_before_they_are_given(keys: Keys, clock: FakeClock) -> None:
    """What reaches the task is registered with the masker, once for each lease."""
    masked: list[Masks] = []
    shape = Aws(source="fake", region=REGION, live=True)
    spec = found(resolver(clock=clock, source=keys, shape=shape, open_route=open_route, mask=masked.append))
    for _ in range(2):
        assume(spec)
    (masks,) = masked
    assert set(keys.known["ASIA1"].secrets()) <= set(masks.forms)
    clock.advance(3_600)
    assume(spec)
    assert len(masked) == 2
