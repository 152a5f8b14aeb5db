"""Small Postman collections, and an API that shows in its answer what it was sent."""

from __future__ import annotations

import json
from typing import Any

from tests.peers.rogue import Peer, response

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
HOLDS = "pm.test('answers', () => pm.response.to.have.status(200));"
BREAKS = "pm.test('has orders', () => pm.expect(pm.response.json().orders).to.be.an('array'));"


def collection(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Make a collection."""
    return {"info": {"name": "orders", "schema": SCHEMA}, "item": list(items), **more}


def request(name: str, url: str, test: str = HOLDS, before: str = "", **more: Any) -> dict[str, Any]:
    """Make a request with a script after it, and one before."""
    scripts = {"test": test, "prerequest": before}
    events = [{"listen": when, "script": {"exec": text.splitlines()}} for when, text in scripts.items() if text]
    return {"name": name, "event": events, "request": {"method": "GET", "url": url, **more}}


def bearer(value: str) -> dict[str, Any]:
    """Make what stands under ``auth``."""
    return {"type": "bearer", "bearer": [{"key": "token", "value": value, "type": "string"}]}


def echo(peer: Peer) -> None:
    """Answer with the headers of the request."""
    headers = dict(peer.read().headers.items())
    peer.send(response(json.dumps({"headers": headers}).encode(), Content_Type="application/json"))
