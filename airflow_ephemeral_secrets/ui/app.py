"""
The app behind the page: its three files, and the two answers that it asks for.

Only the API server loads this module. Whoever may read connections may see the page, and of the timeline the lines of
those Dags whose audit log is theirs to read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Annotated, Any

import msgspec
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_connection
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from starlette.responses import PlainTextResponse, Response

from airflow_ephemeral_secrets.ui import told
from airflow_ephemeral_secrets.ui.permitted import may_read
from airflow_ephemeral_secrets.ui.told import LONGEST_WINDOW, MOST_LINES, Asked

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
REFUSALS = {401: "Log in to Airflow first.", 403: "This page is for those who may read connections."}
FILES = {"": "text/html", "page.js": "text/javascript", "page.css": "text/css"}

Name = Annotated[str | None, Query(max_length=250)]

router = APIRouter(dependencies=[Depends(requires_access_connection("GET"))])


def make() -> FastAPI:
    """Make the app."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(router)
    app.middleware("http")(_guard)
    app.exception_handler(HTTPException)(_refuse)
    return app


@router.get("/leases")
def leases() -> Response:
    """Tell which leases this host holds."""
    return _json(told.leases())


@router.get("/events")
def events(
    user: GetUserDep,
    dag_id: Name = None,
    run_id: Name = None,
    task_id: Name = None,
    map_index: Annotated[int | None, Query(ge=-1)] = None,
    conn_id: Name = None,
    lease_id: Name = None,
    outcome: Name = None,
    hours: Annotated[float | None, Query(gt=0, le=LONGEST_WINDOW)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LINES)] = MOST_LINES,
) -> Response:
    """Tell what the audit has of the last hours: a day, where no run and no lease is named."""
    asked = Asked(
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        map_index=map_index,
        conn_id=conn_id,
        lease_id=lease_id,
        outcome=outcome,
        since=told.since(hours, narrow=bool(run_id or lease_id)),
        may_read=may_read(user),
    )
    return _json(told.events(asked, limit))


@router.get("/{name:path}")
def file(name: str) -> Response:
    """Give a file of the page."""
    if name not in FILES:
        raise HTTPException(404, "There is no such page.")
    content = files(__package__).joinpath(name or "page.html").read_bytes()
    return Response(content, media_type=FILES[name])


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Have browsers load nothing from elsewhere, show the page to no other site, and keep nothing."""
    response = await call_next(request)
    response.headers.update(HEADERS)
    return response


def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(REFUSALS.get(error.status_code, str(error.detail)), error.status_code)


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
