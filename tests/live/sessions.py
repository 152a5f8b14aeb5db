"""An AWS whose sessions live a few seconds: its STS issues them, and its services refuse those that are dead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from airflow_ephemeral_secrets.credential import AwsCredential
from tests.live.gateways import Answer, Seen, Signatures
from tests.peers.aws_services import at
from tests.peers.clocks import LEEWAY
from tests.peers.sts import REQUEST_ID, STS, granted

WORKER = AwsCredential(
    access_key_id="AKIAWORKER", secret_access_key="worker/secret+key", session_token="worker+session=="
)
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": WORKER.access_key_id,
    "AWS_SECRET_ACCESS_KEY": WORKER.secret_access_key,
    "AWS_SESSION_TOKEN": str(WORKER.session_token),
    "AWS_EC2_METADATA_DISABLED": "true",
}
REGION = "eu-west-1"
ACCOUNT = "111122223333"
IDENTITY = (
    f'<GetCallerIdentityResponse xmlns="{STS}"><GetCallerIdentityResult><Account>{ACCOUNT}</Account>'
    "<UserId>AROA:x</UserId><Arn>arn:aws:sts::111122223333:assumed-role/reader/x</Arn></GetCallerIdentityResult>"
    f"<ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
).encode()
ROLE = "arn:aws:iam::111122223333:role/reader"


class Sessions:
    """
    Judge requests to STS and to the services behind it, all signatures included.

    :param service: what the service is called in a signature
    :param serve: answers what it lets in
    :param lives: seconds
    """

    def __init__(self, service: str, serve: Callable[[Seen], Answer | None], *, lives: int = 3) -> None:
        self.lives = lives
        self.issued: dict[str, AwsCredential] = {}
        self.used: list[str] = []
        self.refused: list[Seen] = []
        self.revoked: set[str] = set()
        self._serve = serve
        self._ends: dict[str, float] = {}
        self._worker = Signatures({WORKER.access_key_id: WORKER}, f"{REGION}/sts")
        self._sessions = {name: Signatures(self.issued, f"{REGION}/{name}") for name in ("sts", service)}
        self._mutex = threading.Lock()

    def __call__(self, seen: Seen) -> Answer | None:
        if b"Action=AssumeRole" in seen.body:
            return self._worker(seen) or (200, {}, self._issue())
        key_id, _, _, service, _ = seen.headers["authorization"].partition("Credential=")[2].split("/", 4)
        judge = self._sessions[service]
        judge.expired = self.dead()
        if refused := judge(seen):
            self.refused.append(seen)
            return refused
        self.used.append(key_id)
        return (200, {}, IDENTITY) if service == "sts" else self._serve(seen)

    def dead(self) -> set[str]:
        """List the sessions that have ended, or were ended."""
        now = time.time()
        return {key_id for key_id, end in self._ends.items() if end + LEEWAY <= now} | self.revoked

    def source(self, url: str) -> dict[str, str]:
        """Write the source that assumes a role here."""
        return {"kind": "aws_assume_role", "role_arn": ROLE, "region": REGION, "ttl": "15m", "endpoint_url": url}

    def _issue(self) -> bytes:
        with self._mutex:
            number = len(self.issued) + 1
            ends = at(self.lives)
            made = AwsCredential(
                access_key_id=f"ASIASESSION{number}",
                secret_access_key=f"secret/of+session{number}",
                session_token=f"token/of+session{number}==",
            )
            self._ends[made.access_key_id] = time.time() + self.lives
            self.issued[made.access_key_id] = made
        keys = (made.access_key_id, made.secret_access_key, made.session_token)
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
        return granted(Expiration=ends, **dict(zip(names, keys, strict=True)))
