"""
Configuration files: whole ones, and broken ones.

Each broken file has one fault, at one place, and is whole again once that place is mended: what rejects the one and
accepts the other has seen the fault and nothing else. In the tables, ``== `` begins a line of a file, in which ``___``
is the place; ``path | name``, ``- `` what is wrong and ``+ `` what is right there make a fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).parent


class Fault(NamedTuple):
    """
    A file with one fault.

    :param path: of the problem to be reported
    :param text: the broken file
    :param mended: the same file without the fault
    """

    name: str
    path: str
    text: str
    mended: str

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def _table(name: str) -> Iterator[Fault]:
    file = ""
    for block in (_HERE / name).read_text().strip().split("\n\n"):
        lines = block.split("\n")
        if lines[0].startswith("== "):
            file = "".join(f"{line[3:]}\n" for line in lines)
        else:
            (path, _, fault), bad, good = lines[0].partition(" | "), lines[1], lines[2]
            assert (len(lines), bad[0], good[0], file.count("___")) == (3, "-", "+", 1), block
            yield Fault(fault, path, file.replace("___", bad[2:]), file.replace("___", good[2:]))


def _role(field: str = "ttl: 15m", *, name: str = "s") -> str:
    role = "kind: aws_assume_role, role_arn: 'arn:aws:iam::111122223333:role/r', region: eu-west-1"
    return f"version: 1\nsources:\n  {name}: {{{role}, {field}}}\n"


def _policies(count: int) -> str:
    return _role(f"policy_arns: [{', '.join(['arn:aws:iam::aws:policy/p'] * count)}]")


def _tags(count: int) -> str:
    return _role(f"tags: {{{', '.join(f't{number}: v' for number in range(count))}}}")


def _policy(length: int) -> str:
    sid = "x" * (length - len('{"Sid":""}'))
    return _role(f"policy: {{Sid: {sid}}}")


TYPES = (
    *_table("types.txt"),
    Fault("name of 251 characters", f"sources.{'n' * 20}", _role(name="n" * 251), _role(name="n" * 250)),
    Fault("eleven policies", "sources.s.policy_arns", _policies(11), _policies(10)),
    Fault("51 tags", "sources.s.tags", _tags(51), _tags(50)),
)
"""Faults that the types alone show: the JSON Schema rejects them, and so does the loader."""

MEANING = (*_table("meaning.txt"), Fault("policy of 2049 characters", "sources.s.policy", _policy(2049), _policy(2048)))
"""Faults of meaning, mostly between several fields: the JSON Schema cannot see them, the loader does."""

WHOLE = {file.stem: file.read_text() for file in (_HERE / "whole").iterdir()}
"""Files without a fault; ``everything`` uses each kind of secret, source and shape, and each of their fields."""
