"""Which sources can fill which shapes, and which of these have a live form."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.shapes.base import Shape
from airflow_ephemeral_secrets.shapes.kinds import SHAPES
from airflow_ephemeral_secrets.sources.base import Source
from airflow_ephemeral_secrets.sources.kinds import load


def misfit(shape: Shape, source: Source) -> str | None:
    """Say why a source cannot fill a shape, and what could; None where it can."""
    credential = source.yields()
    if credential in shape.accepted():
        return None
    kind = str(shape.__struct_config__.tag)
    fitting = [name for name, place in SHAPES.items() if credential in load(place).accepts]
    return (
        f"{kind!r} cannot be filled from a source of kind {source.kind!r}, which mints {_words(credential)}; "
        f"it takes {' or '.join(map(_words, shape.accepted()))}{_other_form(shape, credential)}; "
        f"shapes that fit this source: {', '.join(sorted(fitting))}"
    )


def no_live_form(cls: type[Struct], kind: str) -> str | None:
    """Say why ``live`` does not go with a shape, and with which it goes; None where it does, or that is no shape."""
    if not issubclass(cls, Shape) or "live" in cls.__struct_fields__:
        return None
    if cls.has_live_form():
        return f"shape {kind!r} is always live; leave it out"
    live = [name for name, place in SHAPES.items() if load(place).has_live_form()]
    return f"shape {kind!r} has no live form: {cls.why_static}; those that have one: {', '.join(live)}"


def _other_form(shape: Shape, credential: type[Credential]) -> str:
    """Name the other form of a shape, live or not, if a credential fits that one."""
    live = getattr(shape, "live", None)
    if live is None or credential not in msgspec.structs.replace(shape, live=not live).accepted():
        return ""
    return f" (with live: {str(not live).lower()} {_words(credential)})"


def _words(credential: type[Credential]) -> str:
    return {"aws": "AWS keys", "bearer": "a token", "basic": "a login and password"}[
        str(credential.__struct_config__.tag)
    ]
