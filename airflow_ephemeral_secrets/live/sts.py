"""
The STS desk: the hook's own AssumeRole is answered here, with the lease.

The hook signs that request with the capability, which so never crosses the wire. What its task asks STS with the keys
that it was given then, such as GetCallerIdentity, goes on to STS.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from html import escape
from urllib.parse import parse_qs

from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK, Clock
from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.errors import AccessDenied, EphemeralSecretsError, MintError, SourceFailed
from airflow_ephemeral_secrets.leases.lease import Lease
from airflow_ephemeral_secrets.live.body import TooLarge
from airflow_ephemeral_secrets.live.face import Answered, Asked
from airflow_ephemeral_secrets.live.origin import SigningOrigin, Supplying
from airflow_ephemeral_secrets.live.signed import NotSigned, verify
from airflow_ephemeral_secrets.shapes.live import STS_LOGIN
from airflow_ephemeral_secrets.sources import aws_role
from airflow_ephemeral_secrets.sources.base import Network

LARGEST = 64 * 1024
REMEMBERED = 8
NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


class StsDesk:
    """
    Answer the AssumeRole of a connection that holds the capability.

    :param capability: the secret key that AssumeRole is signed with
    :param upstream: where STS is, if not at the regional endpoint
    :param clock: its wall clock judges the date of a signature
    """

    def __init__(
        self,
        capability: str,
        supply: Supplying,
        network: Network,
        *,
        upstream: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._capability = capability
        self._supply = supply
        self._network = network
        self._upstream = upstream
        self._clock = clock
        self._given: dict[str, str] = {}
        self._mutex = threading.Lock()

    def answer(self, asked: Asked) -> Answered:
        """Answer one request."""
        try:
            asked.body.hold(LARGEST)
            keys = {**self._given, STS_LOGIN: self._capability}
            signer = verify(asked, keys, service="sts", now=self._clock.now().wall)
            if signer.key_id != STS_LOGIN:
                return self._pass_on(asked, signer.region)
            return self._assume(parse_qs(b"".join(asked.body.pieces()).decode("latin-1")))
        except TooLarge:
            return _error(413, "RequestEntityTooLarge", f"a request has at most {LARGEST} bytes here")
        except NotSigned as refusal:
            return _error(403, refusal.code, f"{refusal}: ask with the connection that Airflow gave")
        except EphemeralSecretsError as error:
            return _not_granted(error)

    def _assume(self, form: Mapping[str, list[str]]) -> Answered:
        if form.get("Action") != ["AssumeRole"]:
            return _error(400, "InvalidAction", "the key of the connection is for AssumeRole only")
        lease = self._supply.lease()
        credential = lease.credential
        assert isinstance(credential, AwsCredential)
        self._remember(credential)
        return _granted(lease, credential, form.get("RoleSessionName", [""])[0])

    def _remember(self, credential: AwsCredential) -> None:
        """Keep the keys that were given last, to know them again."""
        with self._mutex:
            given = {**self._given, credential.access_key_id: credential.secret_access_key}
            self._given = dict(list(given.items())[-REMEMBERED:])

    def _pass_on(self, asked: Asked, region: str) -> Answered:
        """Let STS answer, as the lease asks."""
        upstream = self._upstream or aws_role.endpoint(region)
        headers = [(name, value) for name, value in asked.headers if name.lower() in ("content-type", "content-length")]
        origin = SigningOrigin(upstream, self._supply, self._network, service="sts", region=region)
        return origin.answer(asked._replace(target="/", headers=headers))


def _granted(lease: Lease, credential: AwsCredential, session: str) -> Answered:
    ends = datetime.fromtimestamp(int(lease.expires_at), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = {
        "AccessKeyId": credential.access_key_id,
        "SecretAccessKey": credential.secret_access_key,
        "SessionToken": credential.session_token,
        "Expiration": ends,
    }
    user = {"AssumedRoleId": f"{lease.lease_id}:{session}", "Arn": credential.principal}
    members = f"<AssumedRoleUser>{_members(user)}</AssumedRoleUser><Credentials>{_members(keys)}</Credentials>"
    body = f"<AssumeRoleResult>{members}</AssumeRoleResult>{_request(credential.request_id or lease.lease_id)}"
    return _xml(200, f'<AssumeRoleResponse xmlns="{NAMESPACE}">{body}</AssumeRoleResponse>')


def _not_granted(error: EphemeralSecretsError) -> Answered:
    """Say why there is no lease, so that a client tries again only if that may help."""
    source = f"source {error.source!r}: " if isinstance(error, MintError) and error.source else ""
    refused = isinstance(error, (AccessDenied, MintError)) and not isinstance(error, SourceFailed)
    return _error(*((403, "AccessDenied") if refused else (503, "ServiceUnavailable")), f"{source}{error}")


def _error(status: int, code: str, why: str) -> Answered:
    told = {
        "Type": "Sender" if status < 500 else "Receiver",
        "Code": code,
        "Message": f"airflow-ephemeral-secrets: {why}",
    }
    body = f"<Error>{_members(told)}</Error><RequestId>none</RequestId>"
    return _xml(status, f'<ErrorResponse xmlns="{NAMESPACE}">{body}</ErrorResponse>')


def _request(request_id: str) -> str:
    return f"<ResponseMetadata>{_members({'RequestId': request_id})}</ResponseMetadata>"


def _members(values: Mapping[str, str | None]) -> str:
    told = {name: escape(value, quote=False) for name, value in values.items() if value is not None}
    return "".join(f"<{name}>{text}</{name}>" for name, text in told.items())


def _xml(status: int, text: str) -> Answered:
    body = text.encode()
    return Answered(status, [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))], iter([body]))
