"""
What can go wrong.

::

    EphemeralSecretsError(code, hint)
    ├── ConfigError             .problems: all of them, each with its path
    ├── AccessDenied            policy said no; .reason
    ├── MintError               .source  .retry_after  .request_id  .proof_rejected
    │   ├── SourceUnavailable   did not try: no identity here, metadata endpoint absent, package missing
    │   ├── SourceRefused       the provider said no
    │   └── SourceFailed        timeout, 5xx, nonsense; a living lease still serves
    └── StoreError              the host store is unsafe or unusable; memory serves instead

Messages say what was asked, of whom, what came back and what to try. They are one line, lower case, without a full
stop, and never hold a secret or any part of a response body.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

PROBLEMS_SHOWN = 3


class EphemeralSecretsError(Exception):
    """
    Tell the person on call what happened and what to try.

    :param message: what was asked, of whom, and what came back
    :param code: a stable word for machines, or the provider's own error code
    :param hint: the likeliest fixes
    """

    default_code: ClassVar[str] = "error"

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; try: {self.hint}" if self.hint else self.message


class ConfigError(EphemeralSecretsError):
    """
    Report every problem of a configuration at once.

    :param where: the file, or ``inline config``
    :param problems: one ``path: message`` each
    """

    default_code = "config"

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.where = where
        self.problems = tuple(problems)
        shown = "; ".join(self.problems[:PROBLEMS_SHOWN])
        more = len(self.problems) - PROBLEMS_SHOWN
        super().__init__(
            f"configuration {where} is not usable: {shown}" + (f"; and {more} more" if more > 0 else ""),
            hint="airflow-ephemeral doctor",
        )


class AccessDenied(EphemeralSecretsError):
    """Say that policy refused the caller, and why (``reason``)."""

    default_code = "denied"

    @property
    def reason(self) -> str:
        return self.message


class MintError(EphemeralSecretsError):
    """
    Say that a source gave no credential.

    :param source: the name of the source in the configuration, filled in by the flow
    :param retry_after: seconds the provider asked us to wait
    :param request_id: the provider's id of the failed request
    :param proof_rejected: whether what proves us was wrong or had expired: it may have been rotated meanwhile
    """

    default_code = "mint"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        source: str | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        proof_rejected: bool = False,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.source = source
        self.retry_after = retry_after
        self.request_id = request_id
        self.proof_rejected = proof_rejected

    def __str__(self) -> str:
        request = f" (request id {self.request_id})" if self.request_id else ""
        hint = f"; try: {self.hint}" if self.hint else ""
        return f"{self.message}{request}{hint}"


class SourceUnavailable(MintError):
    """Say that the source did not try: a prerequisite is missing on this worker."""

    default_code = "unavailable"


class SourceRefused(MintError):
    """Say that the provider was asked and said no."""

    default_code = "refused"


class SourceFailed(MintError):
    """Say that the provider did not answer in time, or not with sense."""

    default_code = "failed"


class StoreError(EphemeralSecretsError):
    """Say that the host store cannot be used safely."""

    default_code = "store"
