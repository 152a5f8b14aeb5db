"""What goes wrong on the way, as a file says; mitmproxy runs this in its own environment."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader
from mitmproxy.http import HTTPFlow, Response


def load(loader: Loader) -> None:
    loader.add_option("faults", str, "", "The file that says what goes wrong.")


async def request(flow: HTTPFlow) -> None:
    fault = _fault()
    await asyncio.sleep(fault.get("delay", 0))
    if fault.get("kill"):
        flow.kill()
    elif status := fault.get("status"):
        flow.response = Response.make(status, b"{}", {"Content-Type": "application/json"})


def response(flow: HTTPFlow) -> None:
    """Break off: announce the whole answer, and send its beginning."""
    after = _fault().get("cut")
    if after is not None and flow.response is not None:
        whole = flow.response.raw_content or b""
        flow.response.raw_content = whole[:after]
        flow.response.headers["Content-Length"] = str(len(whole))
        flow.response.headers["Connection"] = "close"


def _fault() -> dict[str, Any]:
    return dict(json.loads(Path(ctx.options.faults).read_text()))
