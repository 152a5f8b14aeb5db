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

    :param retry_boot: when to ask again while a lease still serves: attempts back off
    :param shared_boot: until when those without a lease get this error instead of asking: 1 to 5 s
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
    shared_boot: float
    attempts: int

    def pending(self, now: Instant, *, living: bool) -> bool:
        """Say whether it is too early to ask again, for one who has a living lease or for one who has none."""
        return self.failed_boot <= now.boot < (self.retry_boot if living else self.shared_boot)

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


def record(error: MintError, *, now: Instant, attempts: int, random: Random) -> Failure:
    """
    Remember a failed mint.

    :param attempts: failures in a row, this one included
    """
    shortest, longest = BACK_OFF
    asked = min(error.retry_after or 0.0, LONGEST_WAIT)
    back_off = min(longest, shortest * 2.0 ** min(attempts - 1, 10)) * random.uniform(0.5, 1.0)
    return Failure(
        kind=next((base.__name__ for base in type(error).__mro__ if base.__name__ in KINDS), SourceFailed.__name__),
        message=error.message,
        code=error.code,
        hint=error.hint,
        source=error.source,
        retry_after=error.retry_after,
        request_id=error.request_id,
        failed_boot=now.boot,
        retry_boot=now.boot + max(back_off, asked),
        shared_boot=now.boot + max(random.uniform(*REMEMBERED), asked),
        attempts=attempts,
    )
