"""Four gateways on loopback that enforce what the real ones enforce, and answer as they do."""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping
from contextlib import ExitStack

from airflow_ephemeral_secrets.demo.gateway import Asked, Gateway, Issuer, Reply
from airflow_ephemeral_secrets.demo.limits import Bucket, Limit, Pause, Window
from airflow_ephemeral_secrets.demo.signatures import Keys, fault


class ApiGateway(Gateway):
    """
    Amazon API Gateway: IAM signatures, and a usage plan that says 429 and not when.

    :param keys: the session credentials that are known, by access key id
    :param plan: throttles
    """

    def __init__(self, keys: Keys, plan: Limit) -> None:
        super().__init__()
        self._keys = keys
        self._plan = plan

    def refusal(self, asked: Asked) -> Reply | None:
        if code := fault(asked.method, self.url, asked.target, asked.headers, asked.body, self._keys):
            return _amazon(403, code, "Forbidden")
        return _amazon(429, "TooManyRequestsException", "Too Many Requests") if self._plan.wait() else None


class Apigee(Issuer):
    """
    Apigee: ``OAuthV2``, ``SpikeArrest`` and ``Quota``.

    :param spikes: arrests
    :param quota: counts
    """

    def __init__(self, client_secret: str, spikes: Limit, quota: Limit) -> None:
        super().__init__(client_secret)
        self._spikes = spikes
        self._quota = quota

    def refusal(self, asked: Asked) -> Reply | None:
        if not self.known(asked):
            return _apigee(401, "Invalid Access Token", "keymanagement.service.invalid_access_token")
        if self._spikes.wait():
            return _apigee(429, "Spike arrest violation", "policies.ratelimit.SpikeArrestViolation")
        if seconds := self._quota.wait():
            fault = _apigee(429, "Rate limit quota violation", "policies.ratelimit.QuotaViolation")
            return fault._replace(headers={"X-RateLimit-Reset": str(math.ceil(seconds))})
        return None


class ApiManagement(Issuer):
    """
    Azure API Management: a subscription key and a token, ``rate-limit`` and ``quota``.

    :param subscription_key: the one that it accepts
    """

    def __init__(self, client_secret: str, subscription_key: str, rate: Limit, quota: Limit) -> None:
        super().__init__(client_secret)
        self._key = subscription_key
        self._rate = rate
        self._quota = quota

    def refusal(self, asked: Asked) -> Reply | None:
        given = asked.headers.get("ocp-apim-subscription-key", "")
        if not hmac.compare_digest(given.encode("latin-1", "replace"), self._key.encode()):
            return _azure(401, "Access denied due to missing or invalid subscription key.")
        if not self.known(asked):
            return _azure(401, "Unauthorized. Access token is missing or invalid.")
        if seconds := math.ceil(self._rate.wait()):
            refused = _azure(429, f"Rate limit is exceeded. Try again in {seconds} seconds.")
            return refused._replace(headers={"Retry-After": str(seconds)})
        if seconds := math.ceil(self._quota.wait()):
            when = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
            return _azure(403, f"Out of call volume quota. Quota will be replenished in {when}.")
        return None


class ProtectedApi(Issuer):
    """
    An API behind an identity provider such as Okta (RFC 6750): tokens, and 429 with ``Retry-After``.

    :param rate: limits
    """

    def __init__(self, client_secret: str, rate: Limit) -> None:
        super().__init__(client_secret)
        self._rate = rate

    def refusal(self, asked: Asked) -> Reply | None:
        if not self.known(asked):
            return Reply(401, {"error": "invalid_token"}, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        if seconds := self._rate.wait():
            return Reply(429, {"errorCode": "E0000047"}, {"Retry-After": str(math.ceil(seconds))})
        return None


def _amazon(status: int, code: str, message: str) -> Reply:
    return Reply(status, {"message": message}, {"x-amzn-ErrorType": code})


def _apigee(status: int, sentence: str, code: str) -> Reply:
    return Reply(status, {"fault": {"faultstring": sentence, "detail": {"errorcode": code}}})


def _azure(status: int, message: str) -> Reply:
    return Reply(status, {"statusCode": status, "message": message})


class Gateways:
    """
    All four, with limits that the example Dags meet.

    :param client_secret: with which tokens are asked for
    :param keys: finds the session credentials that AWS knows
    """

    def __init__(self, client_secret: str, subscription_key: str, keys: Keys) -> None:
        self.client_secret = client_secret
        self.subscription_key = subscription_key
        self.issuers: Mapping[str, Issuer] = {
            "apigee": Apigee(client_secret, Bucket(2, 1), Window(100, 60.0)),
            "api_management": ApiManagement(client_secret, subscription_key, Window(100, 1.0), Pause(3.0)),
            "okta": ProtectedApi(client_secret, Pause(3.0)),
        }
        self.by_name: Mapping[str, Gateway] = {"api_gateway": ApiGateway(keys, Pause(1.0)), **self.issuers}
        self._running = ExitStack()

    def __enter__(self) -> Gateways:
        for gateway in self.by_name.values():
            self._running.enter_context(gateway)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def issued(self) -> dict[str, str]:
        """Name every token that was issued."""
        return {
            f"token {number} of {name}": token
            for name, issuer in self.issuers.items()
            for number, token in enumerate(issuer.issued)
        }
