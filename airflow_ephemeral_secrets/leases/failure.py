"""A failed mint, remembered for seconds and shared with everyone who would have asked the same."""

from __future__ import annotations

from random import Random

from msgspec import Struct

from airflow_ephemeral_secrets.clock import Instant
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused, SourceUnavailable

KINDS: dict[str, type[MintError]] = {kind.__name__: kind for kind in (SourceUnavailable, SourceRefused, SourceFailed)}
REMEMBERED = (1.0, 5.0)
BACK_OFF = (5.0, 60.0)
LONGEST_WAIT = 300.0


class Failure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What the leader was told, until when nobody asks again, and how often that happened in a row.

    Times are of the boot clock, which all processes of a host share.
    """

    kind: str
    message: str
    code: str
    hint: str | None
    source: str | None
    retry_after: float | None
    request_id: str | None
    failed_boot: float
    retry_boot: float
    attempts: int

    def pending(self, now: Instant) -> bool:
        """Say whether it is too early to ask again."""
        return self.failed_boot <= now.boot < self.retry_boot

    def error(self) -> MintError:
        """Make the leader's error, for a follower to raise."""
        return KINDS.get(self.kind, SourceFailed)(
            self.message,
            code=self.code,
            hint=self.hint,
            source=self.source,
            retry_after=self.retry_after,
            request_id=self.request_id,
        )


def record(error: MintError, *, now: Instant, attempts: int, living: bool, random: Random) -> Failure:
    """
    Remember a failed mint.

    :param attempts: failures in a row, this one included
    :param living: whether a lease still serves: then attempts back off, else the failure is kept for 1 to 5 s
    """
    shortest, longest = BACK_OFF
    wait = (
        min(longest, shortest * 2.0 ** min(attempts - 1, 10)) * random.uniform(0.5, 1.0)
        if living
        else random.uniform(*REMEMBERED)
    )
    if error.retry_after is not None:
        wait = max(wait, min(error.retry_after, LONGEST_WAIT))
    return Failure(
        kind=type(error).__name__,
        message=error.message,
        code=error.code,
        hint=error.hint,
        source=error.source,
        retry_after=error.retry_after,
        request_id=error.request_id,
        failed_boot=now.boot,
        retry_boot=now.boot + wait,
        attempts=attempts,
    )
