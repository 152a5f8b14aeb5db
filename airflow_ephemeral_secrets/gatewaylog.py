"""
What a gateway's access log tells of a call, whichever gateway wrote it and however its line was laid out.

A line is JSON, nested or not, or the Common Log Format. Ids and access keys are recognised by their form, wherever they
stand; the other facts by the names that gateways give them. Queries of URLs may hold secrets, so they stay behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec
from msgspec import Struct

LONGEST_LINE = 1 << 20
LONGEST = 300
DEEPEST = 6
LATEST = 1e11
"""Epoch seconds, in the year 5138: what is later is counted in a smaller unit, or is no time."""

NAMES: dict[str, tuple[str, ...]] = {
    "time": (
        "requesttimeepoch",
        "requesttime",
        "timegenerated",
        "clientreceivedstarttimestamp",
        "timestamp",
        "time",
        "receivetimestamp",
    ),
    "method": ("httpmethod", "requestmethod", "method", "requestverb", "verb"),
    "path": ("path", "resourcepath", "requesturi", "requestpath", "requesturl", "uri", "url"),
    "status": ("status", "responsecode", "statuscode", "responsestatuscode", "responsestatus"),
    "duration_ms": ("responselatency", "totaltime", "durationms", "duration", "totalresponsetime"),
    "request_id": ("extendedrequestid", "requestid", "messageid", "correlationid", "insertid"),
    "identity": (
        "userarn",
        "caller",
        "user",
        "principalid",
        "clientid",
        "appid",
        "azp",
        "developeremail",
        "apimsubscriptionid",
        "principal",
    ),
}
"""What each fact may be called, in lower case and without anything but letters and digits; the first found is it."""

_ID = re.compile(
    r"(?<![0-9a-f])([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|1-[0-9a-f]{8}-[0-9a-f]{24})(?![0-9a-f])"
)
_ACCESS_KEY = re.compile(r"\bA(?:SIA|KIA)[A-Z0-9]{12,124}\b")
_CLF = re.compile(
    r"(?P<host>\S+) (?P<caller>\S+) (?P<user>\S+) \[(?P<time>[^\]]{1,40})\] "
    r'"(?P<method>[A-Z]{3,10}) (?P<path>\S+)[^"]*" (?P<status>[0-9]{3})\b'
)
_FRACTION = re.compile(r"\.([0-9]{1,9})")
_NOT_NAMES = re.compile(r"[^a-z0-9]")
_NOTHING = ("", "-", "null")


class Entry(Struct, frozen=True, kw_only=True):
    """
    One call, as a gateway's log has it.

    :param time: epoch seconds
    :param identity: whom the gateway took the caller for
    :param ids: what may be a correlation id, in 32 hex digits
    :param access_key_ids: of AWS
    :param words: all values, for comparison with names that are known
    """

    gateway: str
    time: float
    method: str | None = None
    path: str | None = None
    status: int | None = None
    duration_ms: float | None = None
    request_id: str | None = None
    identity: str | None = None
    ids: tuple[str, ...] = ()
    access_key_ids: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()


def entry(line: str, gateway: str, moment: float | None = None) -> Entry | None:
    """
    Read one line.

    :param gateway: its name, for the timeline
    :param moment: when it was written, in epoch seconds, for a line that does not say
    :return: None where it is no line of an access log
    """
    if len(line) > LONGEST_LINE:
        return None
    facts = _json(line) if line.lstrip().startswith("{") else _common(line)
    found = {name: next((facts[key] for key in keys if key in facts), None) for name, keys in NAMES.items()}
    at = _time(found["time"])
    at = moment if at is None else at
    status = _number(found["status"])
    if at is None or (status is None and found["method"] is None):
        return None
    path = found["path"]
    return Entry(
        gateway=gateway,
        time=at,
        method=_text(found["method"]),
        path=None if path is None else _path(str(path))[:LONGEST],
        status=None if status is None else int(status),
        duration_ms=_number(found["duration_ms"]),
        request_id=_text(found["request_id"]),
        identity=_text(found["identity"]),
        ids=tuple(dict.fromkeys(map(_hex, _ID.findall(line.lower())))),
        access_key_ids=tuple(dict.fromkeys(_ACCESS_KEY.findall(line))),
        words=frozenset(value for value in facts.values() if isinstance(value, str) and len(value) <= LONGEST),
    )


def _decode(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None


def _json(line: str) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name, value in _leaves(_decode(line), 0):
        facts.setdefault(_NOT_NAMES.sub("", name.lower()), value)
    return facts


def _leaves(raw: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """List what stands under names, from the outside to the inside; text that is JSON is looked into."""
    if not isinstance(raw, Mapping) or depth > DEEPEST:
        return
    inner = []
    for name, given in raw.items():
        value = _decode(given) if isinstance(given, str) and given.startswith("{") else given
        if isinstance(value, Mapping):
            inner.append(value)
        elif isinstance(value, (str, int, float)) and value not in _NOTHING:
            yield name, value
    for mapping in inner:
        yield from _leaves(mapping, depth + 1)


def _common(line: str) -> dict[str, Any]:
    found = _CLF.match(line)
    return {name: value for name, value in found.groupdict().items() if value not in _NOTHING} if found else {}


def _time(value: Any) -> float | None:
    """Read seconds, milliseconds or microseconds since 1970, ISO 8601, or what the Common Log Format has."""
    number = _number(value)
    if number is not None:
        return (
            next((number / unit for unit in (1, 1e3, 1e6, 1e9) if number / unit < LATEST), None) if number > 0 else None
        )
    if not isinstance(value, str):
        return None
    text = _FRACTION.sub(lambda match: f".{match[1][:6]:0<6}", value).replace("Z", "+00:00")
    for read in (datetime.fromisoformat, lambda text: datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z")):
        try:
            moment = read(text)
            at = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
            return at if 0 < at < LATEST else None
        except (ValueError, OverflowError):
            continue
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < 1e20 else None


def _path(url: str) -> str:
    """Leave the path of a URL."""
    rest = url.partition("://")[2]
    path = f"/{rest.partition('/')[2]}" if rest else url
    return path.partition("?")[0].partition("#")[0]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)[:LONGEST]


def _hex(found: str) -> str:
    """Write an id as W3C Trace Context does: a UUID without hyphens, one of X-Ray without its version."""
    return found.removeprefix("1-").replace("-", "") if len(found) in (35, 36) else found
