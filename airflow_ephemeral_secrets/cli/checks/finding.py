"""What the doctor says."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """
    Something to mend.

    :param check: which check found it
    :param what: what is wrong
    :param why: why it matters
    :param mend: the line to change, or the command to run
    """

    check: str
    what: str
    why: str
    mend: str
