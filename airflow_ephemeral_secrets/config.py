"""The configuration: a document read into recipes and settings, or every reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from airflow_ephemeral_secrets import document
from airflow_ephemeral_secrets.clock import seconds
from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.errors import ConfigError
from airflow_ephemeral_secrets.fit import misfit, no_live_form
from airflow_ephemeral_secrets.leases.lease import LONGEST_LIFE
from airflow_ephemeral_secrets.reading import Problems, known, struct
from airflow_ephemeral_secrets.recipe import Book, Recipe, secret_names
from airflow_ephemeral_secrets.settings import SETTINGS, AuditSettings, ParseSettings, PolicySettings, StoreSettings
from airflow_ephemeral_secrets.shapes.base import PLACEHOLDER, Rule, Shape, VariableShape
from airflow_ephemeral_secrets.shapes.kinds import SHAPES
from airflow_ephemeral_secrets.sources.base import Network, SecretReference, Source
from airflow_ephemeral_secrets.sources.kinds import REFERENCES, SOURCES, NotAKind, added, load_kind

INLINE = "inline config"
BASES: Mapping[str, type[Struct]] = {"secrets": SecretReference, "sources": Source, "connections": Shape}
SECTIONS = ("version", "secrets", "sources", "connections", "variables", *SETTINGS)


class Config(Struct, frozen=True, kw_only=True):
    """
    A configuration without problems.

    :param where: the file, or ``inline config``
    """

    where: str
    connections: Book[Recipe]
    variables: Book[Recipe]
    secrets: Mapping[str, SecretReference]
    sources: Mapping[str, Source]
    audit: AuditSettings = AuditSettings()
    store: StoreSettings = StoreSettings()
    network: Network = Network()
    parse: ParseSettings = ParseSettings()
    policy: PolicySettings = PolicySettings()


class Owned(Struct, frozen=True):
    """The names a configuration with problems still claims; where they cannot be read, it claims all."""

    connections: Book[str]
    variables: Book[str]


EVERY_NAME: Book[str] = Book([("*", "*")])
EVERYTHING = Owned(EVERY_NAME, EVERY_NAME)


def read_file(path: str) -> Config:
    """
    Read a configuration file.

    :raises ConfigError: with every problem; ``owned`` tells which names it still claims
    """
    return from_document(document.read(path), path)


def from_document(raw: Any, where: str) -> Config:
    """
    Read a configuration from plain values.

    :raises ConfigError: with every problem
    """
    problems = Problems()
    try:
        document.bound(raw)
    except document.Unreadable as error:
        raise ConfigError(where, [f"file: {error}"]) from None
    config = _config(raw, where, problems)
    if config is None:
        raise ConfigError(where, problems)
    return config


def owned(raw: Any) -> Owned:
    """
    Read the names that a configuration claims, however broken the rest is.

    A section that is missing beside a key nobody knows may be that key, misspelt: then every name is claimed.

    :param raw: plain values
    """
    if not isinstance(raw, Mapping):
        return EVERYTHING
    misspelt = any(key not in SECTIONS for key in raw)

    def names(section: str) -> Book[str]:
        found = raw.get(section)
        if found is None and not misspelt:
            return Book([])
        return Book((str(name), str(name)) for name in found) if isinstance(found, Mapping) else EVERY_NAME

    return Owned(names("connections"), names("variables"))


def _config(raw: Any, where: str, problems: Problems) -> Config | None:
    if not isinstance(raw, Mapping):
        problems.add("file", "expected a mapping with version, sources and connections")
        return None
    for key in raw:
        if key not in SECTIONS:
            problems.add(str(key), f"unknown key; {known(str(key), SECTIONS)}")
    if raw.get("version") != 1 or isinstance(raw.get("version"), bool):
        problems.add("version", "required; the only version is 1")
    secrets = _kinds(raw, "secrets", "from", REFERENCES, problems)
    sources = _kinds(raw, "sources", "kind", SOURCES, problems)
    shapes = _kinds(raw, "connections", "shape", SHAPES, problems)
    variables = _variables(raw, problems)
    for name, source in sources.items():
        _check_source(name, source, secrets, raw, problems)
    for section in ("connections", "variables"):
        _check_sources_exist(raw, section, problems)
    _check_companions(shapes, raw, problems)
    recipes = [
        [
            (name, recipe)
            for name, shape in found.items()
            if (recipe := _recipe(f"{section}.{name}", name, shape, sources, secrets, raw, problems))
        ]
        for section, found in (("connections", shapes), ("variables", variables))
    ]
    settings: dict[str, Any] = {
        name: struct(cls, raw[name], name, problems) for name, cls in SETTINGS.items() if raw.get(name) is not None
    }
    _check_network(settings.get("network"), problems)
    if problems:
        return None
    return Config(
        where=where,
        connections=Book(recipes[0]),
        variables=Book(recipes[1]),
        secrets=secrets,
        sources=sources,
        **settings,
    )


def _section(raw: Mapping[str, Any], name: str, problems: Problems) -> Mapping[str, Any]:
    section = raw.get(name)
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        problems.add(name, "expected a mapping of names")
        return {}
    for key in section:
        if not key or len(key) > 250:
            problems.add(f"{name}.{key[:20]}", "a name has 1 to 250 characters")
    return section


def _kinds(
    raw: Mapping[str, Any], section: str, tag: str, kinds: Mapping[str, str], problems: Problems
) -> dict[str, Any]:
    """Read the entries of a section, each by the type that its tag names."""
    found = {}
    for name, entry in _section(raw, section, problems).items():
        path = f"{section}.{name}"
        kind = entry.get(tag) if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping):
            problems.add(path, "expected a mapping")
            continue
        if not isinstance(kind, str):
            problems.add(f"{path}.{tag}", f"required; {known('', kinds)}")
            continue
        if kind not in kinds:
            kinds = {**added(section), **kinds}
        if kind not in kinds:
            problems.add(f"{path}.{tag}", f"unknown {kind[:60]!r}; {known(kind, kinds)}")
            continue
        try:
            cls = load_kind(kind, kinds[kind], BASES[section])
        except NotAKind as error:
            problems.add(f"{path}.{tag}", str(error))
            continue
        not_live = no_live_form(cls, kind) if "live" in entry else None
        if not_live:
            problems.add(f"{path}.live", not_live)
        value = struct(cls, entry, path, problems, ignore=(tag, "live") if not_live else (tag,))
        if value is not None:
            found[name] = value
    return found


def _variables(raw: Mapping[str, Any], problems: Problems) -> dict[str, VariableShape]:
    entries = _section(raw, "variables", problems).items()
    read = {name: struct(VariableShape, entry, f"variables.{name}", problems) for name, entry in entries}
    return {name: shape for name, shape in read.items() if shape is not None}


def _check_source(
    name: str, source: Source, secrets: Mapping[str, Any], raw: Mapping[str, Any], problems: Problems
) -> None:
    path = f"sources.{name}"
    found = source.problems()
    if not seconds(source.ttl) and not any(problem.startswith("ttl:") for problem in found):
        found.append("ttl: must not be zero")
    if seconds(source.ttl) > LONGEST_LIFE:
        found.append(f"ttl: at most {LONGEST_LIFE / 3600:g}h")
    problems.extend(f"{path}.{problem}" for problem in found)
    _check_names(path, secret_names(source), secrets, raw, problems)


def _check_names(
    path: str, names: Mapping[str, str], secrets: Mapping[str, Any], raw: Mapping[str, Any], problems: Problems
) -> None:
    """
    Every secret referred to exists; one that stands in the file but has problems of its own is not missing.

    The name is not shown: it may be a secret in the place of its name.
    """
    written = raw.get("secrets")
    existing = set(secrets) | (set(written) if isinstance(written, Mapping) else set())
    for field, name in names.items():
        if name not in existing:
            problems.add(f"{path}.{field}", f"no secret of that name under secrets; {known(name, existing)}")


def _check_sources_exist(raw: Mapping[str, Any], section: str, problems: Problems) -> None:
    written, entries = raw.get("sources"), raw.get(section)
    existing = set(written) if isinstance(written, Mapping) else set()
    for name, entry in entries.items() if isinstance(entries, Mapping) else ():
        source = entry.get("source") if isinstance(entry, Mapping) else None
        if isinstance(source, str) and source not in existing:
            problems.add(f"{section}.{name}.source", f"no source {source!r} under sources; {known(source, existing)}")


def _check_companions(shapes: Mapping[str, Shape], raw: Mapping[str, Any], problems: Problems) -> None:
    """Every connection that a hook asks for besides is owned by a recipe of the right shape, with the same source."""
    written = raw.get("connections")
    names = Book((str(name), str(name)) for name in written) if isinstance(written, Mapping) else Book([])
    for name, shape in shapes.items():
        for field, (conn_id, kind) in shape.companions().items():
            owner = names.match(conn_id)
            if owner is None:
                problems.add(
                    f"connections.{name}.{field}", f"no recipe owns {conn_id!r}; {known(conn_id, written or ())}"
                )
            elif owner in shapes and shapes[owner].__struct_config__.tag != kind:
                problems.add(f"connections.{name}.{field}", f"{conn_id!r} is not of shape {kind!r}")
            elif owner in shapes and shapes[owner].source != shape.source:
                problems.add(f"connections.{name}.source", f"is not that of {conn_id!r}, whose keys the hook uses")


def _recipe(
    path: str,
    name: str,
    shape: Shape | VariableShape,
    sources: Mapping[str, Source],
    secrets: Mapping[str, SecretReference],
    raw: Mapping[str, Any],
    problems: Problems,
) -> Recipe | None:
    if isinstance(shape, Shape):
        for problem in shape.problems():
            problems.append(f"{path}.{problem}")
        _check_names(path, secret_names(shape), secrets, raw, problems)
    if shape.allow == Rule():
        problems.add(f"{path}.allow", "names nobody; give dags, tasks, teams, run_types or owners, or leave it out")
    source = sources.get(shape.source)
    if source is None:
        return None
    if isinstance(shape, Shape) and (why := misfit(shape, source)):
        problems.add(f"{path}.shape", why)
        return None
    _check_placeholders(path, shape, source, source.yields(), problems)
    proofs = sorted(set(secret_names(source).values()))
    names = {*proofs, *(secret_names(shape).values() if isinstance(shape, Shape) else ())}
    return Recipe(
        pattern=name,
        source_name=shape.source,
        source=source,
        shape=shape,
        references={key: secrets[key] for key in names if key in secrets},
        proofs=tuple(secrets[key] for key in proofs if key in secrets),
    )


def _check_placeholders(
    path: str, shape: Shape | VariableShape, source: Source, credential: type[Credential], problems: Problems
) -> None:
    for field, text in shape.texts().items():
        for name in PLACEHOLDER.findall(text):
            if name not in credential.placeholders:
                fills = ", ".join(f"{{{known_name}}}" for known_name in sorted(credential.placeholders))
                problems.add(
                    f"{path}.{field}", f"{{{name}}} cannot be filled by source kind {source.kind!r}; it fills {fills}"
                )


def _check_network(network: Network | None, problems: Problems) -> None:
    if network and not 1 <= seconds(network.deadline) <= 300:
        problems.add("network.deadline", "expected 1s to 5m")
