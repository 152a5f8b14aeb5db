"""The gateways of the demo are witnesses only if they really check, and answer as the real ones do."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.demo.api import ORDERS
from airflow_ephemeral_secrets.demo.gateway import Gateway, Issuer
from airflow_ephemeral_secrets.demo.gateways import ApiGateway, Apigee, ApiManagement, Gateways, ProtectedApi
from airflow_ephemeral_secrets.demo.limits import Bucket, Window
from airflow_ephemeral_secrets.live.signing import signature

CLIENT, KEY = "secret-of-the-client", "key-of-the-subscription"
KEYS = AwsCredential(access_key_id="ASIA1", secret_access_key="secret/of+it", session_token="token+of/it==")
OPENER = build_opener(ProxyHandler({}))
EVER = Bucket(1_000, 1_000)
SUBSCRIBED = {"Ocp-Apim-Subscription-Key": KEY}


def get(gateway: Gateway, path: str = "/orders", **headers: str) -> tuple[int, Any, dict[str, str]]:
    return send(Request(gateway.url + path, headers={name.replace("_", "-"): text for name, text in headers.items()}))


def send(request: Request) -> tuple[int, Any, dict[str, str]]:
    try:
        with OPENER.open(request, timeout=5) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


def token(issuer: Issuer, secret: str = CLIENT) -> tuple[int, Any]:
    basic = base64.b64encode(f"airflow:{secret}".encode()).decode()
    return send(Request(f"{issuer.url}/token", b"grant_type=x", {"Authorization": f"Basic {basic}"}))[:2]


def bearer(issuer: Issuer) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(issuer)[1]['access_token']}"}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def apigee(spikes: Any = EVER, quota: Any = EVER) -> Apigee:
    return Apigee(CLIENT, spikes, quota)


def azure(rate: Any = EVER, quota: Any = EVER) -> ApiManagement:
    return ApiManagement(CLIENT, KEY, rate, quota)


def signed(gateway: Gateway, path: str, key: AwsCredential = KEYS) -> dict[str, str]:
    body = sha256(b"").hexdigest()
    return signature("GET", gateway.url + path, {}, body, key, service="execute-api", region="eu-west-1")


def api_gateway(plan: Any = EVER) -> ApiGateway:
    return ApiGateway(lambda key_id: KEYS if key_id == "ASIA1" else None, plan)


@pytest.mark.parametrize("make", [apigee, azure, lambda: ProtectedApi(CLIENT, EVER)])
def test_tokens(stack: ExitStack, make: Any) -> None:
    """A token that was issued here lets through; another, an old one, or none does not; nor is one issued to anyone."""
    issuer = stack.enter_context(make())
    given = {**bearer(issuer), **SUBSCRIBED}
    assert get(issuer, **given)[:2] == (200, list(ORDERS))
    assert get(issuer, "/other", **given)[0] == 404
    for authorization in ("", "Bearer ", "Bearer other", given["Authorization"] + "x", "Basic eDp5"):
        assert get(issuer, **{**SUBSCRIBED, "Authorization": authorization})[0] == 401
    assert token(issuer, "another secret")[0] == 401
    issuer.revoke()
    assert get(issuer, **given)[0] == 401
    assert issuer.statuses() == [200, 404, *[401] * 6]


@pytest.mark.parametrize("given", [{}, {"Ocp_Apim_Subscription_Key": "other"}, {"X_Key": KEY}])
def test_subscription_key(stack: ExitStack, given: dict[str, str]) -> None:
    """API Management wants the key besides the token."""
    gateway = stack.enter_context(azure())
    assert get(gateway, **{**bearer(gateway), **given})[0] == 401


def test_signature(stack: ExitStack) -> None:
    """API Gateway lets through who signed this very request with a key that it knows."""
    gateway = stack.enter_context(api_gateway())
    headers = signed(gateway, "/orders?page=1")
    assert get(gateway, "/orders?page=1", **headers)[:2] == (200, list(ORDERS))
    other = AwsCredential(access_key_id="ASIA1", secret_access_key="other", session_token=KEYS.session_token)
    unknown = AwsCredential(access_key_id="ASIA2", secret_access_key="other", session_token="none")
    for path, given, code in (
        ("/orders", {}, "MissingAuthenticationTokenException"),
        ("/orders?page=2", headers, "InvalidSignatureException"),
        ("/orders", signed(gateway, "/orders", other), "InvalidSignatureException"),
        ("/orders", signed(gateway, "/orders", unknown), "UnrecognizedClientException"),
        ("/orders", {**headers, "X-Amz-Content-SHA256": "0" * 64}, "InvalidSignatureException"),
    ):
        status, _, answer = get(gateway, path, **given)
        assert (status, answer["x-amzn-ErrorType"]) == (403, code)


def test_throttling_of_each(stack: ExitStack) -> None:
    """Each says in its own words that it is too much, and three of four say when to come back."""
    aws = stack.enter_context(api_gateway(Bucket(1, 0)))
    arrest, quota = (stack.enter_context(one) for one in (apigee(Bucket(1, 0)), apigee(quota=Window(0, 89.5))))
    rate, volume = (stack.enter_context(one) for one in (azure(Window(0, 8.5)), azure(quota=Window(0, 3722.5))))
    okta = stack.enter_context(ProtectedApi(CLIENT, Window(0, 6.5)))

    status, document, headers = get(aws, **signed(aws, "/orders"))
    assert (status, document, headers["x-amzn-ErrorType"]) == (
        429,
        {"message": "Too Many Requests"},
        "TooManyRequestsException",
    )
    for gateway, code in ((arrest, "SpikeArrestViolation"), (quota, "QuotaViolation")):
        status, document, headers = get(gateway, **bearer(gateway))
        assert (status, document["fault"]["detail"]["errorcode"]) == (429, f"policies.ratelimit.{code}")
    assert headers["X-RateLimit-Reset"] == "90"
    status, document, headers = get(rate, **bearer(rate), **SUBSCRIBED)
    assert (status, document["message"]) == (429, "Rate limit is exceeded. Try again in 9 seconds.")
    assert headers["Retry-After"] == "9"
    status, document, _ = get(volume, **bearer(volume), **SUBSCRIBED)
    assert (status, document["message"]) == (403, "Out of call volume quota. Quota will be replenished in 01:02:03.")
    status, _, headers = get(okta, **bearer(okta))
    assert (status, headers["Retry-After"]) == (429, "7")


def test_access_log(stack: ExitStack) -> None:
    """Every call is logged with its ids; questions for tokens are not."""
    gateway = stack.enter_context(apigee())
    ids = {"x-correlation-id": "c", "traceparent": "t", "x-amzn-RequestId": "r"}
    _, _, answer = get(gateway, "/orders?page=1", **bearer(gateway), **ids)
    (line,) = gateway.log
    assert line[1:] == ("GET", "/orders", 200, "r", "c", "t")
    assert answer["x-amzn-RequestId"] == "r"


def test_all_four(stack: ExitStack) -> None:
    """They run together, each on a port of its own, and name what they issued."""
    four = stack.enter_context(Gateways(CLIENT, KEY, lambda _: SimpleNamespace()))
    assert len({gateway.url for gateway in four.by_name.values()}) == 4
    given = {name: token(issuer)[1]["access_token"] for name, issuer in four.issuers.items()}
    assert four.issued() == {f"token 0 of {name}": text for name, text in given.items()}
