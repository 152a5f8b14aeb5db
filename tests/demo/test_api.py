"""The API of the demo is a witness only if it really checks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from airflow_ephemeral_secrets.demo.api import ORDERS, OrdersApi

TOKEN = "the-only-token-it-accepts"
OPENER = build_opener(ProxyHandler({}))


@pytest.fixture
def api() -> Iterator[OrdersApi]:
    with OrdersApi(TOKEN) as api:
        yield api


def get(api: OrdersApi, path: str, **headers: str) -> tuple[int, object]:
    try:
        with OPENER.open(Request(api.url + path, headers=headers), timeout=5) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_answers_who_brings_the_token(api: OrdersApi) -> None:
    """The right token gets the orders and is counted as granted."""
    assert get(api, "/orders", Authorization=f"Bearer {TOKEN}") == (HTTPStatus.OK, list(ORDERS))
    assert (api.granted, api.refused) == (1, 0)


def test_filters(api: OrdersApi) -> None:
    """A status narrows the answer."""
    _, orders = get(api, "/orders?status=shipped", Authorization=f"Bearer {TOKEN}")

    assert orders == [order for order in ORDERS if order["status"] == "shipped"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer "},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": "Bearer t\xf6ken"},
        {"X-Token": f"Bearer {TOKEN}"},
    ],
    ids=str,
)
def test_refuses_everybody_else(api: OrdersApi, headers: dict[str, str]) -> None:
    """Anything but the exact token is refused and counted."""
    status, answer = get(api, "/orders", **headers)

    assert status == HTTPStatus.UNAUTHORIZED
    assert TOKEN not in str(answer)
    assert (api.granted, api.refused) == (0, 1)


def test_has_nothing_else(api: OrdersApi) -> None:
    """Another path is neither granted nor refused."""
    status, _ = get(api, "/customers", Authorization=f"Bearer {TOKEN}")

    assert status == HTTPStatus.NOT_FOUND
    assert (api.granted, api.refused) == (0, 0)
