"""A mail server, aiosmtpd's, that takes a password or a token (XOAUTH2), and remembers who proved what."""

from __future__ import annotations

import base64
import ssl
from types import TracebackType
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

LOGIN = "airflow@acme.test"


class MailServer:
    """
    Serve while the block lasts.

    :param password: of ``LOGIN``
    :param token: of ``LOGIN``
    :param tls: offered as STARTTLS, or from the start
    :param implicit: whether TLS is there from the start; then mail is taken from anyone
    """

    def __init__(self, password: str, token: str, *, tls: ssl.SSLContext, implicit: bool = False) -> None:
        self.mail: list[tuple[str, Any]] = []
        """By subject, what its sender had proven itself with."""
        self._right = (LOGIN.encode(), password.encode())
        self._bearer = f"user={LOGIN}\x01auth=Bearer {token}\x01\x01"
        self._controller = _Controller(
            self,
            hostname="127.0.0.1",
            port=0,
            ssl_context=tls if implicit else None,
            tls_context=None if implicit else tls,
            require_starttls=not implicit,
            auth_required=not implicit,
            auth_require_tls=not implicit,
            authenticator=self._allow,
        )

    def __enter__(self) -> MailServer:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._controller.stop()

    @property
    def port(self) -> int:
        return int(self._controller.port)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep a message; the name is aiosmtpd's."""
        subject = next(line for line in bytes(envelope.content or b"").splitlines() if line.startswith(b"Subject: "))
        self.mail.append((subject.decode().removeprefix("Subject: "), session.auth_data))
        return "250 OK"

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
        """Look at a token, as https://developers.google.com/workspace/gmail/imap/xoauth2-protocol says."""
        right = base64.b64decode(args[1]).decode() == self._bearer
        return AuthResult(success=right, handled=False, auth_data="token")

    def _allow(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == self._right
        return AuthResult(success=right, handled=False, auth_data="password")


class _Controller(Controller):  # type: ignore[misc]
    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()
