"""Rendering a shape, of every kind that the documentation has an example of."""

from __future__ import annotations

import json
import statistics
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from airflow.sdk import Connection

from airflow_ephemeral_secrets.config import Config, read_file
from airflow_ephemeral_secrets.credential import AwsCredential, BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape
from airflow_ephemeral_secrets.shapes.live import Route
from benchmarks.figure import Figure, in_turn

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
END = 1_900_000_000.0
BASE64 = b64encode(b"".join(sha256(bytes([number])).digest() for number in range(30))).decode()
CREDENTIALS: dict[type[Credential], Credential] = {
    AwsCredential: AwsCredential(
        access_key_id="ASIAEXAMPLEEXAMPLE00", secret_access_key="s" * 40, session_token=BASE64, expires_at=END
    ),
    BearerToken: BearerToken(token="t" * 1_200, expires_at=END),
    BasicCredential: BasicCredential(username="reader", password=BASE64[:300], expires_at=END),
}
ROUTE = Route("http://127.0.0.1:4711", "c" * 43)


def figures() -> Iterator[Figure]:
    found = {
        str(recipe.shape.__struct_config__.tag): (recipe.shape, CREDENTIALS[recipe.source.yields()])
        for config in _examples()
        for recipe in config.connections
    }
    slowest = max((_render(kind, *given) for kind, given in found.items()), key=lambda one: one[1])
    kind, mine, other, ratio = slowest
    yield Figure(
        f"rendering a shape, the slowest of {len(found)} kinds ({kind}), against reading the same Connection from JSON",
        f"{mine:.0f} µs ({ratio:.2f}x of {other:.0f} µs)",
        "under 30 µs at the median",
        mine < 30,
    )
    times = statistics.median(_render(kind, *given)[1] for kind, given in found.items())
    yield Figure("rendering a shape, the median of all kinds", f"{times:.0f} µs", "under 30 µs", times < 30)


def _examples() -> Iterator[Config]:
    yield from (read_file(str(path)) for path in sorted(EXAMPLES.glob("*.yaml")))


def _render(kind: str, shape: object, credential: Credential) -> tuple[str, float, float, float]:
    assert isinstance(shape, Shape)

    def ours() -> ConnectionSpec:
        if shape.face():
            return shape.render_live(ROUTE, lambda name: name.secret)
        return shape.render(credential, lambda name: name.secret)

    text = json.dumps({name: value for name, value in ours().fields().items() if value is not None})
    mine, other, ratio = in_turn(ours, lambda: Connection.from_json(text, conn_id="c"))
    return kind, mine, other, ratio
