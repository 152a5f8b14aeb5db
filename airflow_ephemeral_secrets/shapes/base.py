"""What a shape is, and what it makes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.masking import Masks, forms
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.live import LiveFace, Route

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

Filled = Annotated[
    str, Meta(max_length=65_536, description="text in which the credential's fields may stand, such as {token}")
]


class ConnectionSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    The fields of an Airflow Connection.

    :param extra: a JSON object; the same bytes as long as the credential lives
    :param secrets: every form of a secret in it, to be masked; not part of the Connection
    :param until: when its credential dies, by the boot clock; not part of the Connection
    """

    conn_type: str
    host: str | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = None
    port: int | None = None
    extra: str | None = None
    secrets: tuple[str, ...] = ()
    until: float = float("inf")

    def masks(self) -> Masks:
        """Say what to mask, and what Airflow masks by itself: extra as a whole, and values in it that hold a secret."""
        inside = json.loads(self.extra).values() if self.extra else ()
        holding = [text for text in inside if isinstance(text, str) and any(one in text for one in self.secrets)]
        also = [text for text in (self.extra, *holding) if text and text not in self.secrets]
        return Masks(self.secrets, tuple(also), self.until)

    def fields(self) -> dict[str, Any]:
        """List what the Connection class takes, beside ``conn_id``."""
        return {
            "conn_type": self.conn_type,
            "host": self.host,
            "schema": self.schema,
            "login": self.login,
            "password": self.password,
            "port": self.port,
            "extra": self.extra,
        }

    def __repr__(self) -> str:
        return f"ConnectionSpec(conn_type={self.conn_type!r}, host={self.host!r})"


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Who may use a recipe: whoever matches one pattern of every list given.

    :param dags: patterns of Dag ids
    :param tasks: patterns of task ids
    :param teams: patterns of team names
    :param run_types: patterns of types of Dag runs: ``scheduled``, ``manual``, ``backfill``, ``asset_triggered``
    :param owners: patterns of the owners of tasks
    """

    dags: list[str] | None = None
    tasks: list[str] | None = None
    teams: list[str] | None = None
    run_types: list[str] | None = None
    owners: list[str] | None = None


class Shape(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="shape"):
    """
    Turn a credential into connection fields.

    A shape is its own configuration, like a source; ``source`` and ``allow`` are the rest of the recipe.

    :param source: the name of the source that mints
    :param allow: who may use it; everyone where it is missing
    """

    accepts: ClassVar[tuple[type[Credential], ...]] = ()
    cautions: ClassVar[tuple[str, ...]] = ()
    """What :meth:`notes` says of every connection of this shape."""
    why_static: ClassVar[str] = "its hook takes the credential from the connection, and asks nobody for the next one"
    """Why it has no live form, where it has none."""

    source: str
    allow: Rule | None = None

    def accepted(self) -> tuple[type[Credential], ...]:
        """List the kinds of credential that go with these fields."""
        return self.accepts

    @classmethod
    def has_live_form(cls) -> bool:
        """Say whether it can be live, or always is."""
        return "live" in cls.__struct_fields__ or cls.face is not Shape.face

    def problems(self) -> list[str]:
        """Say what is wrong with the fields together, one ``field: message`` each."""
        return []

    def companions(self) -> Mapping[str, tuple[str, str]]:
        """Name the connections that the hook asks for besides, with their shapes, by the field that names each."""
        return {}

    def notes(self) -> Sequence[str]:
        """Say what whoever uses the stock classes of this connection should know, one line each, for ``explain``."""
        return self.cautions

    def texts(self) -> Mapping[str, str]:
        """List the fields, by path, in which placeholders may stand."""
        return {}

    def face(self) -> LiveFace | None:
        """Say what a live form needs in the asking process; None for a static one, which holds the credential."""
        return None

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        """
        Make the fields of a live form, which hold no credential.

        :param route: to what :meth:`face` asked for
        :param secret: reads a secret reference
        """
        raise NotImplementedError

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        """
        Make the fields.

        :param credential: of a kind that is ``accepted``
        :param secret: reads a secret reference
        """
        raise NotImplementedError


class VariableShape(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Turn a credential into the value of an Airflow Variable.

    :param source: the name of the source that mints
    :param value: text in which the credential's fields may stand
    :param allow: who may use it; everyone where it is missing
    """

    source: str
    value: Filled
    allow: Rule | None = None

    def texts(self) -> Mapping[str, str]:
        return {"value": self.value}


def fill(text: str, credential: Credential) -> str:
    """
    Replace the placeholders of a text by the credential's fields.

    :param text: checked at load: it holds only placeholders that this kind of credential fills
    """
    if "{" not in text:
        return text
    return PLACEHOLDER.sub(
        lambda match: _field(credential, match[1]) if match[1] in credential.placeholders else match[0], text
    )


def _field(credential: Credential, name: str) -> str:
    value = getattr(credential, name)
    if name == "expires_at":
        return "" if value is None else datetime.fromtimestamp(value, timezone.utc).isoformat(timespec="seconds")
    return value or ""


def dump(extra: Mapping[str, Any]) -> str | None:
    """Extra as JSON, or None where there is none."""
    return json.dumps(extra) if extra else None


def spec(credential: Credential | None, *, secrets: tuple[str, ...] = (), **fields: Any) -> ConnectionSpec:
    """
    Put fields together with all that must be masked.

    :param credential: None in a live form
    :param secrets: strings to mask beyond the credential's own
    """
    own = credential.masked() if credential else ()
    masked = forms((*own, *secrets), login=fields.get("login"), password=fields.get("password"))
    return ConnectionSpec(**fields, secrets=masked)
