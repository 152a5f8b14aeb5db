"""A token endpoint (RFC 6749) for clients that renew their tokens themselves: it grants the lease as it is by then."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from airflow_ephemeral_secrets.clock import Clock
from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import AccessDenied, EphemeralSecretsError, MintError
from airflow_ephemeral_secrets.leases.lease import Lease
from airflow_ephemeral_secrets.live.body import TooLarge
from airflow_ephemeral_secrets.live.face import Answered, Asked
from airflow_ephemeral_secrets.live.origin import Supplying
from airflow_ephemeral_secrets.shapes.live import TokenFace

LARGEST = 64 * 1024
FIELDS = 100
GRANTS = ("client_credentials", "refresh_token")
SURE = 15.0
"""Seconds beyond a client's margin: its clock is ours, but it reads it at another moment."""


class TokenDesk:
    """
    Grant tokens to a client that proves itself with the capability.

    It is the client's secret, in the header or in the body (section 2.3.1), and its refresh token where it has one.

    :param face: what is known of the client
    """

    def __init__(self, face: TokenFace, capability: str, supply: Supplying, clock: Clock) -> None:
        self._far = face.margin + SURE
        self._capability = capability.encode()
        self._supply = supply
        self._clock = clock
        self._kept: dict[object, str] | None = {} if face.kept else None

    def answer(self, asked: Asked) -> Answered:
        """Grant a token, or say why not (sections 5.1 and 5.2)."""
        try:
            self._examine(asked)
            return self._granted(self._lease(asked))
        except _Fault as fault:
            return _refused(fault.status, fault.error, str(fault))
        except AccessDenied as error:
            return _refused(403, "access_denied", str(error))
        except EphemeralSecretsError as error:
            wait = error.retry_after if isinstance(error, MintError) else None
            return _refused(503, "temporarily_unavailable", str(error), retry_after=wait)

    def _examine(self, asked: Asked) -> None:
        """
        Look at a request.

        :raises _Fault: when nothing is granted for it
        """
        if asked.method != "POST":
            raise _Fault(400, "invalid_request", "expected POST")
        headers = {name.lower(): value for name, value in asked.headers}
        form = _form(asked, headers.get("content-type", ""))
        if not self._proven(headers.get("authorization", ""), form):
            raise _Fault(401, "invalid_client", "ask with the connection that Airflow gave")
        if form.get("grant_type") not in GRANTS:
            raise _Fault(400, "unsupported_grant_type", f"expected {' or '.join(GRANTS)}")

    def _proven(self, authorization: str, form: Mapping[str, Any]) -> bool:
        proofs = [form[name] for name in ("client_secret", "refresh_token") if name in form]
        scheme, _, login = authorization.partition(" ")
        if scheme.lower() == "basic":
            proofs.append(_password(login))
        given = [str(proof).encode(errors="replace") for proof in proofs]
        return bool(given) and all(hmac.compare_digest(proof, self._capability) for proof in given)

    def _lease(self, asked: Asked) -> Lease:
        """
        Give a living lease; a new one to a client that comes back with a token far from its end.

        It has had it rejected. A client is known by its connection, for others that ask for the first time are many;
        where one client keeps a token for all of the process, there are none.
        """
        lease = self._supply.lease()
        kept = asked.kept if self._kept is None else self._kept
        rejected = kept.get(self) == lease.lease_id and self._left(lease) > self._far
        if rejected and self._supply.renew(lease, dead=False):
            lease = self._supply.lease()
        kept[self] = lease.lease_id
        return lease

    def _left(self, lease: Lease) -> float:
        return lease.life - lease.age(self._clock.now())

    def _granted(self, lease: Lease) -> Answered:
        assert isinstance(lease.credential, BearerToken)
        left = max(0, int(self._left(lease)))
        return _answer(200, {"access_token": lease.credential.token, "token_type": "Bearer", "expires_in": left})


class _Fault(Exception):
    """Say what is wrong with a request, in a word of RFC 6749 and in ours."""

    def __init__(self, status: int, error: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.error = error


def _form(asked: Asked, kind: str) -> dict[str, Any]:
    """
    Read what a client sends.

    :param kind: JSON, or else a form
    :raises _Fault: when it is not that, or too large
    """
    try:
        body = b"".join(asked.body.hold(LARGEST).pieces())
        if kind.lower().startswith("application/json"):
            return dict(json.loads(body))
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS))
    except (TooLarge, TypeError, ValueError, RecursionError):
        pass
    raise _Fault(400, "invalid_request", "expected a form, or JSON, of at most 64 KiB")


def _password(login: str) -> str:
    try:
        return b64decode(login, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _refused(status: int, error: str, why: str, *, retry_after: float | None = None) -> Answered:
    """
    Say what went wrong.

    :param why: the characters of ``error_description`` are those of ASCII without quotes and backslashes
    """
    described = why.encode("ascii", "replace").decode().replace('"', "'").replace("\\", "/")
    answered = _answer(status, {"error": error, "error_description": described})
    if status == 401:
        answered.headers.append(("WWW-Authenticate", "Basic"))
    if retry_after:
        answered.headers.append(("Retry-After", str(int(retry_after))))
    return answered


def _answer(status: int, content: Mapping[str, Any]) -> Answered:
    body = json.dumps(content).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    return Answered(status, list(headers.items()), iter([body]))
