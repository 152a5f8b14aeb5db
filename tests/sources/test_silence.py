"""SDKs kept quiet while they mint, and only then, and only they, and only here."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from airflow_ephemeral_secrets.sources.silence import silence

SECRET = "what an SDK writes down"


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


@pytest.mark.parametrize("name", ["chatty", "chatty.client", "chatty.client.pool"])
@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING, logging.CRITICAL])
def test_is_silent_in_the_block(name: str, level: int, heard: pytest.LogCaptureFixture) -> None:
    """Whatever a silenced package says, at any level and from any module, goes nowhere while the block lasts."""
    sdk = logging.getLogger(name)
    with silence("chatty", "other"):
        sdk.log(level, SECRET)
        sdk.log(level, SECRET, exc_info=ValueError(SECRET))
    assert heard.text == ""
    sdk.log(level, "afterwards")

    assert heard.messages == ["afterwards"]


def test_silences_handlers_of_its_own(heard: pytest.LogCaptureFixture) -> None:
    """A handler that someone hung on the SDK's own logger hears nothing either."""
    records: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    sdk, handler = logging.getLogger("chatty.own"), Handler()
    sdk.addHandler(handler)
    with silence("chatty"):
        sdk.error(SECRET)
    sdk.removeHandler(handler)

    assert records == []


@pytest.mark.parametrize("name", ["chatty_neighbour", "other.chatty", "airflow_ephemeral_secrets.sources", "root"])
def test_others_are_heard(name: str, heard: pytest.LogCaptureFixture) -> None:
    """Only the named packages are quiet: not one whose name begins like theirs, nor ours."""
    logger = logging.getLogger(name)
    with silence("chatty"):
        logger.debug("heard")

    assert heard.messages == ["heard"]


def test_is_heard_after_an_error(heard: pytest.LogCaptureFixture) -> None:
    """The silence ends with the block, however that ends."""
    sdk = logging.getLogger("chatty.error")
    with pytest.raises(ValueError, match="inside"), silence("chatty"):
        raise ValueError("inside")
    sdk.info("heard")

    assert heard.messages == ["heard"]


def test_blocks_may_nest(heard: pytest.LogCaptureFixture) -> None:
    """The end of an inner block does not end the outer one."""
    sdk = logging.getLogger("chatty.nested")
    with silence("chatty"):
        with silence("chatty"):
            sdk.info(SECRET)
        sdk.info(SECRET)
    sdk.info("heard")

    assert heard.messages == ["heard"]


def test_other_threads_are_heard(heard: pytest.LogCaptureFixture) -> None:
    """A task that uses the same SDK in another thread keeps its log."""
    sdk = logging.getLogger("chatty.thread")
    with silence("chatty"):
        sdk.info(SECRET)
        other = threading.Thread(target=sdk.info, args=("heard",))
        other.start()
        other.join()

    assert heard.messages == ["heard"]


def test_many_blocks_leave_one_filter() -> None:
    """A process that mints for weeks does not collect filters."""
    sdk = logging.getLogger("chatty.weeks")
    for _ in range(5):
        with silence("chatty"):
            pass

    assert len(sdk.filters) == 1
