"""The documentation says what the code does: its examples load and run, its links and names lead somewhere."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from msgspec import Struct

from airflow_ephemeral_secrets import config, document
from airflow_ephemeral_secrets.audit import Audit
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.cli import main
from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused
from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.policy import Policy
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.schema import json_schema
from airflow_ephemeral_secrets.shapes.kinds import SHAPES
from airflow_ephemeral_secrets.sources.base import Source
from airflow_ephemeral_secrets.sources.kinds import REFERENCES, SOURCES
from airflow_ephemeral_secrets.testing import FakeClock, assert_shape_conforms, assert_source_conforms, minting

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.yaml"))
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md"))]


def blocks(language: str) -> list[Any]:
    """Collect the code blocks of all pages in one language."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        pytest.param(match[1], id=f"{page.stem}-{number}")
        for page in PAGES
        for number, match in enumerate(fence.finditer(page.read_text()))
    ]


def accept(raw: Any) -> None:
    """Load a document and check it against the schema."""
    config.from_document(raw, "a page")
    Draft202012Validator(json_schema()).validate(raw)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_without_problems(path: Path) -> None:
    """Every example configuration loads, and the schema that editors use agrees."""
    config.read_file(str(path))
    accept(document.read(str(path)))


def test_examples_show_every_kind() -> None:
    """No source, secret reference or shape is without an example."""
    documents = [document.read(str(path)) for path in EXAMPLES]
    shown = {
        tag: {entry[tag] for raw in documents for entry in raw.get(section, {}).values()}
        for section, tag in (("sources", "kind"), ("secrets", "from"), ("connections", "shape"))
    }
    assert shown == {"kind": set(SOURCES), "from": set(REFERENCES), "shape": set(SHAPES)}


@pytest.mark.parametrize("block", blocks("yaml"))
def test_configuration_on_a_page_is_without_problems(block: str) -> None:
    """Whoever copies a whole configuration from a page has one that loads."""
    raw = document.parse(block)
    if "version" in raw:
        accept(raw)


@pytest.mark.parametrize("block", blocks("json"))
def test_json_on_a_page_is_json(block: str) -> None:
    """Whoever copies a policy from a page can paste it."""
    assert json.loads(block)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_on_a_page_compiles(block: str) -> None:
    """No Python on a page has a syntax error."""
    compile(block, "a page", "exec")


class Gateway(ThreadingHTTPServer):
    """A token endpoint that gives the next answer of a list and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _TokenRequest)
        self.answers: list[tuple[int, bytes]] = []
        self.asked: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/token"

    def grant(self, token: str) -> None:
        self.answers.append((200, json.dumps({"access_token": token, "expires_in": 900}).encode()))


class _TokenRequest(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Gateway)
        self.server.asked.append(self.rfile.read(int(self.headers["Content-Length"])))
        status, body = self.server.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the modules of docs/ be imported."""
    monkeypatch.syspath_prepend(str(DOCS / "examples"))
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))


@pytest.fixture
def source(gateway: Gateway) -> Source:
    """The example source, as its page makes it."""
    from gateway_token import GatewayToken

    return GatewayToken(token_url=gateway.url, client_id="airflow", client_secret=SecretName("gateway-client"))


def test_source_of_the_extending_page_conforms(source: Source, gateway: Gateway) -> None:
    """The example source keeps what every source promises, against a real server."""
    gateway.grant("token-of-the-gateway")
    credential = assert_source_conforms(source, minting(source, secret=lambda name: f"secret of {name.secret}"))
    assert credential.secrets() == ("token-of-the-gateway",)
    assert gateway.asked == [b"client_id=airflow&client_secret=secret+of+gateway-client"]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"{}", SourceRefused),
        (503, b"{}", SourceFailed),
        (203, b'{"access_token": "t", "expires_in": 900}', SourceFailed),
        (200, b"<html>", SourceFailed),
        (200, b"\xff", SourceFailed),
        (200, b'{"access_token": "t", "expires_in": 0}', SourceFailed),
        (200, b'{"access_token": "t", "expires_in": true}', SourceFailed),
        (200, b'{"access_token": "t", "expires_in": 1e18}', SourceFailed),
        (200, b'{"access_token": "t\\r\\nX-Evil: 1", "expires_in": 900}', SourceFailed),
        (200, b'{"access_token": "", "expires_in": 900}', SourceFailed),
        (200, b'{"expires_in": 900}', SourceFailed),
    ],
)
def test_source_of_the_extending_page_believes_only_within_reason(
    source: Source, gateway: Gateway, status: int, body: bytes, error: type[MintError]
) -> None:
    """Whoever starts from the example source starts from one that checks what it is told."""
    gateway.answers.append((status, body))
    with pytest.raises(error):
        source.mint(minting(source, secret=lambda _: "s"))


def test_shape_of_the_extending_page_conforms() -> None:
    """The example shape keeps what every shape promises, and fills the fields that the livy hook reads."""
    from livy_shape import Livy

    shape = Livy(source="gateway", host="livy.example.com", requested_by="airflow")
    made = assert_shape_conforms(shape, BearerToken(token="a-token", principal="airflow"))
    assert (made.conn_type, made.schema, made.host, made.port) == ("livy", "https", "livy.example.com", 8998)
    assert json.loads(made.extra or "") == {"Authorization": "Bearer a-token", "X-Requested-By": "airflow"}


ENTRY_POINTS = re.compile(r"```ini\n\[options.entry_points\]\n(.*?)```", re.DOTALL)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Install the examples as another package would be, with the entry points that the page shows."""
    match = ENTRY_POINTS.search((DOCS / "extending.md").read_text())
    assert match
    groups = re.sub(r"^(\S+) =$", r"[\1]", match[1], flags=re.MULTILINE)
    package = tmp_path / "gateway_token-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: gateway-token\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(groups)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("installed")
def test_another_package_adds_kinds(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its entry points a package's kinds are read, checked by the schema, minted once and shaped."""
    monkeypatch.setenv("GATEWAY_CLIENT", "s3cret")
    raw = document.parse(
        f"""
        version: 1
        secrets:
          gateway-client: {{from: env, name: GATEWAY_CLIENT}}
        sources:
          gateway:
            kind: gateway_token
            token_url: {gateway.url}
            client_id: airflow
            client_secret: {{secret: gateway-client}}
        connections:
          spark: {{source: gateway, shape: livy, host: livy.example.com}}
        """
    )
    accept(raw)
    clock = FakeClock()
    leases = LeaseCache(clock, Random(1), lambda: None)
    resolver = Resolver(config.from_document(raw, "a test"), Policy(), leases, Audit(clock), clock)
    gateway.grant("once")
    first, second = (resolver.connection("spark", Caller(process="script")) for _ in range(2))
    assert first
    assert first == second
    assert "once" in (first.extra or "")


@pytest.mark.parametrize("section", sorted({*config.SECTIONS, "allow"} - {"version"}))
def test_every_field_has_a_description(section: str) -> None:
    """The reference can be written for all that may stand in the file, and has a table on the page."""
    import config_reference

    assert "| `" in config_reference.section(section)
    assert f"```{{config-reference}} {section}\n" in (DOCS / "configuration.md").read_text()


def test_reference_stops_at_a_field_without_a_description() -> None:
    """A field that nobody described stops the build, by name."""
    from config_reference import describe

    class Half(Struct):
        """
        Half described.

        :param told: of this
        """

        told: str
        untold: str = ""

    with pytest.raises(LookupError, match="Half has no :param: for untold"):
        describe(Half)


def test_every_verb_is_documented() -> None:
    """Each verb has its line in the table of the page, and the parser's own help below it."""
    page = (DOCS / "cli.md").read_text()
    assert set(re.findall(r"^\| `([\w-]+)` \|", page.partition("## Verbs")[0], re.MULTILINE)) == set(main.VERBS)
    assert "```{cli-reference}" in page


def test_every_error_code_is_documented() -> None:
    """Whoever meets one of our codes finds it on the page about errors."""
    sources = "".join(path.read_text() for path in (ROOT / "airflow_ephemeral_secrets").rglob("*.py"))
    codes = set(re.findall(r'\bcode="([a-z_]+)"', sources)) | set(re.findall(r'default_code\b.* = "(\w+)"', sources))
    codes |= set(re.findall(r'_failed\([^\n]*?, "([a-z_]+)"[,)]', sources))
    assert len(codes) > 40
    assert codes - set(re.findall(r"`(\w+)`", (DOCS / "errors.md").read_text())) == set()


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.stem)
def test_links_of_the_repository_lead_somewhere(page: Path) -> None:
    """Every relative link of README and its neighbours leads to a file."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_named_tests_exist() -> None:
    """A promise names tests that are there."""
    named = {name for page in PAGES for name in re.findall(r"`(tests/[\w/]+(?:\.py)?)`", page.read_text())}
    assert named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_named_environments_exist() -> None:
    """A command that a page tells to type names an environment of tox."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    existing = {section.removeprefix("testenv:") for section in tox.sections()} | {"tests"}
    named = {name for page in PAGES for name in re.findall(r"\btox run (?:-q )?-e (\w+)", page.read_text())}
    assert {"demo", "tests"} <= named <= existing


def test_readme_has_the_two_commands() -> None:
    """README's two commands set themselves up, on a machine with Python and git alone."""
    readme = (ROOT / "README.md").read_text()
    for environment in ("-q -e demo", "-e tests"):
        command = f"python3 -m venv .venv && .venv/bin/pip install -q tox && .venv/bin/tox run {environment}"
        assert f"\n{command}\n" in readme
