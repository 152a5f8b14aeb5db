"""Masking in a process that lives long, while its credential rotates."""

from __future__ import annotations

import base64
import json
import resource
import secrets
import time
from collections.abc import Callable, Iterator

from benchmarks.figure import Figure

ROTATIONS = 1_000
STOCK_ROTATIONS = 60


def figures() -> Iterator[Figure]:
    from airflow_ephemeral_secrets import _airflow
    from airflow_ephemeral_secrets.masking import Masker, Masks, forms
    from airflow_ephemeral_secrets.testing import FakeClock

    clock = FakeClock()
    masker = Masker(_airflow.mask, _airflow.unmask, clock)

    def ours(hidden: tuple[str, ...], extra: str) -> None:
        masker.mask(Masks(forms(hidden), (extra,), clock.now().boot + 900))
        clock.advance(600)

    seconds, grown = _rotate(ROTATIONS, ours)
    _reset()
    stock, _ = _rotate(STOCK_ROTATIONS, lambda *_: None)
    _reset()
    yield Figure(
        f"{ROTATIONS:,} rotations of AWS keys in one process: masking, Airflow's own included",
        f"{seconds:.1f} s, {grown:.0f} MB (stock masker: {stock:.1f} s for the first {STOCK_ROTATIONS}, and growing)",
        "under 2 s, under 20 MB",
        seconds < 2 and grown < 20,
    )


def _rotate(times: int, register: Callable[[tuple[str, ...], str], None]) -> tuple[float, float]:
    """Do what a lookup of a new credential does: our masking, then that of Airflow's dispatcher."""
    from airflow.sdk.log import mask_secret

    before, start = _megabytes(), time.perf_counter()
    for _ in range(times):
        token, key = (base64.b64encode(secrets.token_bytes(size)).decode() for size in (900, 30))
        extra = json.dumps({"aws_session_token": token, "region_name": "eu-west-1"})
        register((token, key), extra)
        mask_secret(key)
        mask_secret(extra)
        mask_secret(json.loads(extra))
    return time.perf_counter() - start, _megabytes() - before


def _reset() -> None:
    from airflow.sdk._shared.secrets_masker import reset_secrets_masker

    reset_secrets_masker()


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
