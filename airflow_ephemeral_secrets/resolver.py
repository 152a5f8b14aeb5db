"""
The flow: recipe, policy, lease, shape.

It neither knows Airflow nor reads its settings: whoever builds it says who asks and where leases are kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from cachetools import TTLCache
from msgspec import Struct

from airflow_ephemeral_secrets.audit import Audit
from airflow_ephemeral_secrets.audit_line import AuditEvent
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import Clock, Deadline, Instant, seconds
from airflow_ephemeral_secrets.config import Config
from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.errors import (
    AccessDenied,
    EphemeralSecretsError,
    MintError,
    SourceRefused,
    SourceUnavailable,
)
from airflow_ephemeral_secrets.leases.cache import Held, LeaseCache, within
from airflow_ephemeral_secrets.leases.lease import Lease
from airflow_ephemeral_secrets.masking import Masks, forms
from airflow_ephemeral_secrets.policy import Policy
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, VariableShape, fill
from airflow_ephemeral_secrets.shapes.live import LiveFace, Route
from airflow_ephemeral_secrets.sources.base import Minting, Network, SecretReference, Source

SECRETS_HELD = 300.0


class Value(NamedTuple):
    """The value of a variable and what to mask."""

    text: str
    masks: Masks

    def __repr__(self) -> str:
        return "Value(...)"


class Step(NamedTuple):
    """One step of an explanation."""

    name: str
    passed: bool
    reason: str


OpenRoute = Callable[["Resolver", Recipe, str, Caller, LiveFace], Route]


def no_route(*_: object) -> Route:
    """
    Open nothing.

    :raises AccessDenied: always
    """
    raise AccessDenied("it is live, which needs a process that lasts", code="not_live_here", hint="live: false")


class Resolver:
    """
    Resolve names into connections and variables.

    :param config: what is owned, and how
    :param policy: who may
    :param leases: holds and mints
    :param audit: is told everything
    :param clock: where the time comes from
    :param open_route: opens a place on loopback for a live shape
    :param mask: hides a credential that a place is given later, in a thread that nobody waits for

    Attribute ``first_end``: when the first of the leases that it granted ends, by the boot clock.
    """

    def __init__(
        self,
        config: Config,
        policy: Policy,
        leases: LeaseCache,
        audit: Audit,
        clock: Clock,
        open_route: OpenRoute = no_route,
        mask: Callable[[Masks], None] = lambda _: None,
    ) -> None:
        self.config = config
        self.policy = policy
        self.leases = leases
        self.audit = audit
        self.clock = clock
        self.first_end = float("inf")
        self._open_route = open_route
        self._mask = mask
        self._secrets: TTLCache[object, str] = TTLCache(100, SECRETS_HELD, timer=lambda: clock.now().boot)
        self._mutex = threading.Lock()

    def connection(self, conn_id: str, caller: Caller) -> ConnectionSpec | None:
        """
        Resolve a conn_id.

        :return: None when no recipe owns it
        :raises EphemeralSecretsError: when one does and there is no credential for this caller
        """
        recipe = self.config.connections.match(conn_id)
        if recipe is None:
            return None
        shape = recipe.shape
        assert isinstance(shape, Shape)
        deadline = self.deadline()

        def secret(name: SecretName) -> str:
            return self._secret(recipe, name, deadline)

        with self.audit.request(caller, conn_id, recipe) as event:
            lease = self._lease(event, deadline).lease
            if face := shape.face():
                return shape.render_live(self._open_route(self, recipe, conn_id, caller, face), secret)
            spec = shape.render(lease.credential, secret)
        return msgspec.structs.replace(spec, until=lease.issued_boot + lease.life)

    def variable(self, key: str, caller: Caller) -> Value | None:
        """
        Resolve a variable.

        :return: None when no recipe owns it
        :raises EphemeralSecretsError: when one does and there is no credential for this caller
        """
        recipe = self.config.variables.match(key)
        if recipe is None:
            return None
        shape = recipe.shape
        assert isinstance(shape, VariableShape)
        with self.audit.request(caller, key, recipe) as event:
            lease = self._lease(event, self.deadline()).lease
            text = fill(shape.value, lease.credential)
        return Value(text, Masks(forms((*lease.credential.masked(), text)), until=lease.issued_boot + lease.life))

    def lease(self, recipe: Recipe, name: str, caller: Caller, deadline: Deadline, *, known: str | None = None) -> Held:
        """
        Get the lease behind a recipe for a caller.

        :param known: the id of one that this caller was given before, which leaves no line again
        :raises EphemeralSecretsError: when there is none
        """
        with self.audit.request(caller, name, recipe) as event:
            return self._lease(event, deadline, known)

    def _lease(self, event: AuditEvent, deadline: Deadline, known: str | None = None) -> Held:
        recipe, caller = event.recipe, event.caller
        self.policy.require(caller, recipe, event.name)
        facts = recipe.facts(caller)
        key = recipe.lease_key(caller, facts)

        def mint(asked: Instant) -> Credential:
            return self._mint(recipe, caller, facts, asked, deadline, event)

        try:
            held = self.leases.acquire(key, mint, deadline=deadline, hold=recipe.source.hold)
        except MintError as error:
            error.source = error.source or recipe.source_name
            raise
        if held.lease.lease_id != known:
            event.granted(held)
        self.first_end = min(self.first_end, held.lease.issued_boot + held.lease.life)
        return held

    def mask(self, lease: Lease) -> None:
        """Hide a credential that goes to a place of ours, and not into a connection that is looked up."""
        self._mask(Masks(forms(lease.credential.masked()), until=lease.issued_boot + lease.life))

    def explain(self, conn_id: str, caller: Caller) -> list[Step]:
        """Walk the same steps and say what each decides; nothing is minted, and no network is touched."""
        recipe = self.config.connections.match(conn_id)
        if recipe is None:
            return [Step("recipe", False, "no recipe owns it: Airflow asks its next backend")]
        steps = [Step("recipe", True, f"connections.{recipe.pattern}: source {recipe.source_name}, {_shape(recipe)}")]
        decision = self.policy.decide(caller, recipe, conn_id)
        steps.append(Step("policy", decision.allowed, str(decision)))
        if not decision.allowed:
            return steps
        try:
            facts = recipe.facts(caller)
        except EphemeralSecretsError as error:
            return [*steps, Step("facts", False, str(error))]
        steps.append(Step("source", True, _source(recipe, caller, facts)))
        key = recipe.lease_key(caller, facts)
        held, now = self.leases.peek(key), self.clock.now()
        state = (
            f"{held.lease.freshness(now)} in {held.origin}, lease {held.lease.lease_id}"
            if held
            else "none held: it is minted"
        )
        steps.append(Step("lease", True, f"key {key[:12]}, {state}"))
        assert isinstance(recipe.shape, Shape)
        return [*steps, *(Step("shape", True, caution) for caution in recipe.shape.notes())]

    def invalidate(self, lease_id: str) -> list[str]:
        """
        Forget a lease if it is still held; the next lookup mints.

        :return: the ids of what was forgotten
        """
        gone = [lease_id] if self.leases.invalidate(lease_id) else []
        self.audit.invalidated(gone)
        return gone

    def flush(self) -> list[str]:
        """
        Forget every lease of this host.

        :return: their ids
        """
        gone = [lease.lease_id for lease in self.leases.leases().values()]
        self.leases.clear()
        self.audit.invalidated(gone)
        return gone

    def close(self) -> None:
        """Let go of what this process holds open."""
        self.leases.close()

    def deadline(self) -> Deadline:
        """Start the time that one lookup may take."""
        return Deadline(self.clock, seconds(self.config.network.deadline))

    def _mint(
        self,
        recipe: Recipe,
        caller: Caller,
        facts: Mapping[str, Any],
        asked: Instant,
        deadline: Deadline,
        event: AuditEvent,
    ) -> Credential:
        network = self.config.network
        read: dict[SecretReference, str] = {}

        def secret(name: SecretName) -> str:
            reference = recipe.references[name.secret]
            if reference not in read:
                read[reference] = _read(reference, network, deadline)
            return read[reference]

        minting = Minting(
            facts=facts,
            stamp=recipe.source.stamp(caller),
            asked=asked,
            deadline=deadline,
            network=network,
            secret=secret,
        )
        with self.audit.mint(event, asked) as got:
            got.append(_prove(recipe.source, minting, read))
        return got[0]

    def _secret(self, recipe: Recipe, name: SecretName, deadline: Deadline) -> str:
        """Read a secret that a shape adds; what is not at hand is remembered for five minutes, in this process only."""
        reference = recipe.references[name.secret]
        if reference.at_hand:
            return _read(reference, self.config.network, deadline)
        with self._mutex:
            value = self._secrets.get(reference)
        if value is None:
            value = within(deadline, lambda: _read(reference, self.config.network, deadline))
            with self._mutex:
                self._secrets[reference] = value
        return value


def _prove(source: Source, minting: Minting, read: dict[SecretReference, str]) -> Credential:
    """
    Mint; once more with what was read anew, where the provider rejects our secret and it has been rotated meanwhile.

    :param read: the secrets that the source has read, which it is given again
    """
    try:
        return source.mint(minting)
    except SourceRefused as error:
        refusal = error
    if not refusal.proof_rejected or not _read_anew(read, minting):
        raise refusal
    return source.mint(minting)


def _read_anew(read: dict[SecretReference, str], minting: Minting) -> bool:
    """Read secrets anew; say whether any of them has changed."""
    try:
        anew = {reference: _read(reference, minting.network, minting.deadline) for reference in read}
    except MintError:
        return False
    changed = anew != read
    read.update(anew)
    return changed


def _read(reference: SecretReference, network: Network, deadline: Deadline) -> str:
    """
    Read a secret that is text.

    :raises SourceUnavailable: when it holds what UTF-8 cannot say, at which encoders raise errors that show it
    """
    value = reference.read(network, deadline)
    if value.isascii() or len(value.encode(errors="ignore").decode()) == len(value):
        return value
    raise SourceUnavailable(
        f"what the secret reference from {reference.__struct_config__.tag} holds is not UTF-8 text",
        code="secret_unusable",
        hint="binary secrets in base64",
    )


def _shape(recipe: Recipe) -> str:
    config: Struct = recipe.shape
    return f"shape {config.__struct_config__.tag}"


def _source(recipe: Recipe, caller: Caller, facts: Mapping[str, Any]) -> str:
    source = recipe.source
    stamp = ", ".join(f"{name}={value}" for name, value in source.stamp(caller).items()) or "nobody"
    told = [f"{name}={_words(facts[name])}" for name in _configured(source) if _words(facts.get(name))]
    settings = f" ({', '.join(told)})" if told else ""
    return f"kind {source.kind}{settings}, ttl {source.ttl}, names {stamp}"


def _configured(source: Source) -> list[str]:
    """List the fields of a source's own that the configuration sets."""
    own = [field for field in msgspec.structs.fields(source) if field.name not in ("ttl", "attribution")]
    return [field.name for field in own if getattr(source, field.name) != field.default]


def _words(value: Any) -> str:
    """Write a fact in a line: text, a list of texts, or the name of a secret; else nothing."""
    if isinstance(value, SecretName):
        return f"secret {value.secret}"
    items = value if isinstance(value, (list, tuple)) else [value]
    return "+".join(items) if all(isinstance(item, str) for item in items) else ""
