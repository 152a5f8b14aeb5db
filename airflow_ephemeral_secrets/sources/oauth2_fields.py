"""What may stand in the fields of a token request."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

_FACT = r"\{(?:dag_id|task_id|run_id|team)\}"

ClientId = Annotated[
    str, Meta(pattern=r"^[ -~]{1,1000}(?!\n)$", description="an id of 1 to 1000 printable ASCII characters")
]
Scope = Annotated[
    str,
    Meta(
        pattern=rf"^([!#-\[\]-z|~]|{_FACT}){{1,1000}}(?!\n)$",
        description="one scope, without spaces, in which {dag_id} and the like may stand",
    ),
]
Audience = Annotated[
    str,
    Meta(
        pattern=rf"^([!-z|~]|{_FACT}){{1,2000}}(?!\n)$",
        description="an audience without spaces, in which {dag_id} and the like may stand",
    ),
]
TokenType = Annotated[
    str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,200}(?!\n)$", description="a URI that names a type of token")
]
Parameter = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,100}(?!\n)$", description="the name of a parameter: letters, digits and _.-")
]

RESERVED = frozenset(
    {"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope", "audience"}
    | {"resource", "assertion", "subject_token", "subject_token_type", "requested_token_type", "actor_token"}
    | {"username", "password", "code", "refresh_token"}
)
"""Parameters that have a field of their own, and those that are secret or belong to other grants."""

RESOURCE = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:([!\"$-z|~]|{_FACT}){{1,2000}}")
"""An absolute URI without a fragment (RFC 8707 section 2), in which the caller's facts may stand."""
