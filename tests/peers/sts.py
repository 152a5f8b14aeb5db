"""What AWS services say, word by word, for the servers of this folder to say."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

STS = "https://sts.amazonaws.com/doc/2011-06-15/"
PRINCIPAL = "arn:aws:sts::111122223333:assumed-role/reader/a_dag.a_run"
REQUEST_ID = "c6104cbe-af31-11e0-8154-cbc7ccf896c7"
LATER = "2099-12-31T23:59:59Z"
KEYS = {"AccessKeyId": "ASIAMINTED", "SecretAccessKey": "minted/secret", "SessionToken": "minted+session=="}


def granted(*, action: str = "AssumeRole", principal: str = PRINCIPAL, **credentials: str | None) -> bytes:
    """
    Grant credentials.

    :param credentials: members as XML, None to leave one out
    """
    members = {**KEYS, "Expiration": LATER, **credentials}
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in members.items() if value is not None)
    return (
        f'<{action}Response xmlns="{STS}"><{action}Result>'
        f"<AssumedRoleUser><AssumedRoleId>AROA:x</AssumedRoleId><Arn>{principal}</Arn></AssumedRoleUser>"
        f"<Credentials>{inside}</Credentials></{action}Result>"
        f"<ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata></{action}Response>"
    ).encode()


def refused(code: str, message: str = "") -> bytes:
    """Refuse, as the services with an XML protocol do."""
    return (
        f'<ErrorResponse xmlns="{STS}"><Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}'
        f"</Message></Error><RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"
    ).encode()


def refused_in_json(code: str, message: str = "") -> bytes:
    """Refuse, as the services with a JSON protocol do."""
    return json.dumps({"__type": code, "message": message}).encode()
