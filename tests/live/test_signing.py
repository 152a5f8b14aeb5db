"""Signed requests, against AWS's published cases and a verifier of its own that agrees with them."""

from __future__ import annotations

import json
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from airflow_ephemeral_secrets.live.routes import open_route
from airflow_ephemeral_secrets.shapes.http_sigv4 import HttpSigV4
from airflow_ephemeral_secrets.shapes.live import CAPABILITY
from tests.live.asking import Keys
from tests.live.gateways import Gateway, Seen, Signatures
from tests.live.sigv4 import canonical_path, canonical_query, signature
from tests.resolving import CALLER, resolver

REGION = "eu-west-1"
SUITE = json.loads((Path(__file__).parent / "sigv4_cases.json").read_text())
CASES = pytest.mark.parametrize("case", SUITE["cases"], ids=lambda case: case["name"])


def joined(headers: list[list[str]]) -> dict[str, str]:
    """Name each header once, in lower case."""
    found: dict[str, str] = {}
    for name, value in headers:
        found[name.lower()] = f"{found[name.lower()]},{value}" if name.lower() in found else value
    return found


def send(method: str, target: str, headers: list[list[str]], body: str, *, service: str, stage: str = "") -> Seen:
    """Send a request through the signing origin, byte by byte as it stands there, and say how it arrived."""
    keys = Keys()
    with Gateway(Signatures(keys.known, f"{REGION}/{service}")) as gateway:
        shape = HttpSigV4(source="fake", host=f"{gateway.url}{stage}", region=REGION, service=service)
        spec = resolver(source=keys, shape=shape, open_route=open_route).connection("api", CALLER)
        assert spec
        client = HTTPConnection(urlsplit(spec.host or "").netloc, timeout=10)
        client.putrequest(method, target)
        for name, value in [*headers, [CAPABILITY, json.loads(spec.extra or "")[CAPABILITY]]]:
            client.putheader(name, value)
        client.endheaders(body.encode() or None)
        answer = client.getresponse()
        answer.read()
        client.close()
        assert answer.status == 200, gateway.refused
    (seen,) = gateway.granted
    return seen


@CASES
def test_verifier_agrees_with_aws(case: dict[str, Any]) -> None:
    """What judges us in these tests makes the very signature that AWS publishes for a request."""
    made = signature(
        case["method"],
        case["target"],
        joined(case["headers"]),
        case["signed"],
        sha256(case["body"].encode()).hexdigest(),
        key=SUITE["key"],
        scope=SUITE["scope"],
        normalize=case["normalize"],
    )

    assert made == case["signature"]


OURS = ("host", "x-amz-date", "x-amz-security-token", "content-length")


@CASES
def test_published_requests_pass(case: dict[str, Any]) -> None:
    """Each published request is signed, sent and read by AWS's rules: the path and query are those published."""
    headers = [[name, " ".join(value.split())] for name, value in case["headers"] if name.lower() not in OURS]
    if case["body"]:
        headers.append(["Content-Length", str(len(case["body"]))])
    path, mark, query = case["target"].partition("?")
    target = f"{quote(path)}{mark}{quote(query, safe='=&%')}"
    seen = send(case["method"], target, headers, case["body"], service="execute-api" if case["normalize"] else "s3")
    sent, _, asked = seen.target.partition("?")

    assert canonical_query(asked) == case["query"]
    if case["normalize"]:
        assert canonical_path(sent, normalize=True) == quote(case["path"], safe="/-_.~")
    elif "/." not in case["path"]:
        assert sent == case["path"]


ODD = [
    "/a%20b/c+d/e%2Ff/%C3%BC/~x/-_.",
    "/a//b/",
    "//a",
    "/a/./b/../c",
    "/a/%2e%2e/b",
    "/a%2520b",
    "/%e1%88%b4",
    "/$metadata/(x)/a;b=c,d@e:f!g'h*",
    "/?b=2&a=1&a=0&c",
    "/?a-=1&a=2&a.b=3",
    "/?q=x+y&r=x%20y&s=x%2By&t=%2F&u=%c3%bc",
    "/?empty=&bare&=nameless&&",
    "/?a=b=c&d=e%3Df&x=*'()!,;:@$/?",
    "/?X-Amz-Date=1&x-id=Get",
    "/caf%E9/%ff?name=M%FCller+%80",
]


@pytest.mark.parametrize("service", ["execute-api", "es", "aoss", "lambda", "s3"])
@pytest.mark.parametrize("target", ODD)
def test_odd_requests_pass(target: str, service: str) -> None:
    """Whatever stands in a path and query, what is signed is what is sent, by the rules of each service."""
    headers = [["Content-Type", "text/plain"], ["Content-Length", "5"]]
    seen = send("POST", target, headers, "a b+c", service=service, stage="/prod")

    assert (seen.target[:5], seen.body) == ("/prod", b"a b+c")
    signed = seen.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {"content-type", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"} <= set(signed)


def test_keys_of_s3_stay_as_they_are() -> None:
    """S3 knows no normal form: slashes that stand twice are part of a key, and each byte is encoded once."""
    assert send("GET", "/b//a%2Fb/c%20d+e", [], "", service="s3").target == "/b//a%2Fb/c%20d%2Be"


def test_bytes_stay_as_they_are() -> None:
    """What is percent-encoded need not be UTF-8: each byte arrives as it was sent."""
    assert send("GET", "/caf%E9?name=M%FCller", [], "", service="execute-api").target == "/caf%E9?name=M%FCller"


def test_headers_that_stand_twice_are_signed_as_one() -> None:
    """Values of a header that stands more than once are signed in the order in which they are sent."""
    headers = [["X-Amz-Meta-A", "b"], ["x-amz-meta-a", "a   c"]]

    assert send("GET", "/", headers, "", service="s3").headers["x-amz-meta-a"] == "b,a   c"
