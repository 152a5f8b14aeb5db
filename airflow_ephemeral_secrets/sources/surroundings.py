"""The environment of this process as it was, whatever a live connection has put there for the hooks of others."""

from __future__ import annotations

import os


class Surroundings:
    """Change variables of the environment for libraries that know no other way, and keep what they were."""

    def __init__(self) -> None:
        self._was: dict[str, str | None] = {}

    def get(self, name: str) -> str | None:
        """Read a variable as this worker was given it."""
        return self._was[name] if name in self._was else os.environ.get(name)

    def lead(self, **variables: str) -> None:
        """Set variables, for all of this process and what it starts."""
        for name, value in variables.items():
            self._was.setdefault(name, os.environ.get(name))
            os.environ[name] = value

    def restore(self) -> None:
        """Set all back: a forked child has nothing of what its parent's variables lead to."""
        for name, value in self._was.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._was.clear()


SURROUNDINGS = Surroundings()
"""That of this process."""

os.register_at_fork(after_in_child=SURROUNDINGS.restore)
