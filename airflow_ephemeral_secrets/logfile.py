"""
A file with a gateway's access log: a call on each line, a JSON array of calls, or a debug session of Apigee's.

Lines are read one at a time; what is one JSON document is read whole, up to a size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from io import BufferedIOBase
from typing import Any

import msgspec

from airflow_ephemeral_secrets.archive import BROKEN
from airflow_ephemeral_secrets.gatewaylog import LONGEST_LINE, Entry, entry

LARGEST_DOCUMENT = 64 << 20
HEADERS = ("traceparent", "x-correlation-id", "x-request-id", "x-ms-client-request-id", "x-amzn-trace-id")
"""Headers of a debug session that are looked at; the others may hold secrets."""


def entries(file: BufferedIOBase, gateway: str) -> Iterator[Entry | None]:
    """
    Read a log.

    :param file: one that can go back to its beginning
    :param gateway: its name, for the timeline
    :return: None for what is no call, and where a compressed file breaks off
    """
    try:
        documents = _documents(file)
        if documents is not None:
            yield from (_of_document(one, gateway) for one in documents)
            return
        file.seek(0)
        yield from (_of_line(line, gateway) for line in _lines(file))
    except BROKEN:
        yield None


def _documents(file: BufferedIOBase) -> list[Any] | None:
    """Read a file that is one JSON document, unless a line of it is one already."""
    first = next(_lines(file), b"")
    if first.lstrip()[:1] not in (b"[", b"{") or isinstance(_decode(first), Mapping):
        return None
    file.seek(0)
    try:
        content = file.read(LARGEST_DOCUMENT + 1)
    except BROKEN:
        return None
    found = _decode(content) if len(content) <= LARGEST_DOCUMENT else None
    return found if isinstance(found, list) else None if found is None else [found]


def _lines(file: BufferedIOBase) -> Iterator[bytes]:
    """Give lines that are not empty; of one that is too long, only so much that it is not taken for a call."""
    while line := file.readline(LONGEST_LINE + 1):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(LONGEST_LINE)
        if line.strip():
            yield line


def _of_line(line: bytes, gateway: str) -> Entry | None:
    found = _decode(line) if b'"point"' in line else None
    return _of_document(found, gateway) if found is not None else entry(line.decode(errors="replace"), gateway)


def _of_document(document: Any, gateway: str) -> Entry | None:
    if not isinstance(document, Mapping):
        return None
    facts = _transaction(document["point"]) if isinstance(document.get("point"), list) else document
    return entry(msgspec.json.encode(facts).decode(), gateway)


def _decode(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _transaction(points: list[Any]) -> dict[str, Any]:
    """Find the facts of one transaction of a debug session (``GoogleCloudApigeeV1DebugSessionTransaction``)."""
    results = [
        result
        for point in points
        if isinstance(point, Mapping) and isinstance(point.get("results"), list)
        for result in point["results"]
        if isinstance(result, Mapping)
    ]
    asked = next((one for one in results if one.get("ActionResult") == "RequestMessage"), {})
    answers = [one for one in results if one.get("ActionResult") == "ResponseMessage"]
    listed = asked.get("headers")
    headers = {
        str(header.get("name")).lower(): header.get("value")
        for header in (listed if isinstance(listed, list) else ())
        if isinstance(header, Mapping)
    }
    return {
        "time": next((_moment(one["timestamp"]) for one in results if "timestamp" in one), None),
        "verb": asked.get("verb"),
        "uri": asked.get("uRI"),
        "status": answers[-1].get("statusCode") if answers else None,
        "headers": {name: headers[name] for name in HEADERS if name in headers},
        "client_id": _property(results, "client_id"),
    }


def _property(results: list[Mapping[str, Any]], name: str) -> Any:
    for result in results:
        properties = result.get("properties")
        listed = properties.get("property") if isinstance(properties, Mapping) else None
        for one in listed if isinstance(listed, list) else ():
            if isinstance(one, Mapping) and one.get("name") == name:
                return one.get("value")
    return None


def _moment(text: Any) -> float | None:
    """Read ``15-01-27 08:00:00:123``, which is in UTC."""
    try:
        return datetime.strptime(str(text), "%d-%m-%y %H:%M:%S:%f").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
