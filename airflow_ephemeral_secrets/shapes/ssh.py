"""The ``ssh`` and ``sftp`` connections of their providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Filled, Shape, dump, fill, spec
from airflow_ephemeral_secrets.shapes.extra import HostName, taken
from airflow_ephemeral_secrets.shapes.fields import Port

Itself = Annotated[
    str, Meta(pattern=r"^\{(token|password)\}(?!\n)$", description="`{token}` or `{password}`, or a reference")
]
HostKey = Annotated[
    str,
    Meta(
        pattern=r"^((ssh-rsa|ssh-ed25519|ecdsa-sha2-nistp(256|384|521)) )?[A-Za-z0-9+/=]{40,2000}(?!\n)$",
        description="a public key: its type (ssh-rsa if missing) and its base64",
    ),
]

OURS = (
    "host_key",
    "ignore_hostkey_verification",
    "no_host_key_check",
    "passphrase",
    "private_key",
    "private_key_passphrase",
)
OTHERS = ("key_file",)


class Ssh(Shape, frozen=True, kw_only=True, tag="ssh"):
    """
    A host to log in to, by a password or a private key.

    The hook reads it once. A session that is open stays open when the credential ends.

    :param host: the host
    :param port: its port
    :param login: the user name; for a token, whom it is for
    :param private_key: a key to try before the password; ``{token}`` or ``{password}`` where the credential is the key
    :param private_key_passphrase: what the key is encrypted with
    :param host_key: the host's public key, as ``ssh-ed25519 AAAA…``; else the worker's known hosts are asked
    :param no_host_key_check: whether any host may answer
    :param extra: further keys of the hook, such as ``conn_timeout``; ``look_for_keys`` is false, so that no key of the
        worker is tried first
    """

    accepts = (BasicCredential, BearerToken)
    cautions = (
        "SSHHook and SFTPHook read the connection once; a session stays open when the credential ends",
        "keys of the worker's SSH agent, and in asynchronous hooks those of ~/.ssh, are tried before a password",
    )

    host: HostName
    port: Port = 22
    login: Filled = "{username}"
    private_key: SecretName | Itself | None = None
    private_key_passphrase: SecretName | None = None
    host_key: HostKey | None = None
    no_host_key_check: bool = False
    extra: dict[str, Any] = {}

    def problems(self) -> list[str]:
        found = taken(self.conn_type, self.extra, ours=OURS, others=OTHERS)
        if self.host_key and self.no_host_key_check:
            found.append("no_host_key_check: the hook takes either this or host_key")
        if self.private_key_passphrase and not self.private_key:
            found.append("private_key_passphrase: goes with private_key")
        return found

    @property
    def conn_type(self) -> str:
        return str(self.__struct_config__.tag)

    def texts(self) -> Mapping[str, str]:
        key = {"private_key": self.private_key} if isinstance(self.private_key, str) else {}
        return {"login": self.login, **key}

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        (password,) = credential.secrets()
        key = secret(self.private_key) if isinstance(self.private_key, SecretName) else self.private_key and password
        passphrase = secret(self.private_key_passphrase) if self.private_key_passphrase else None
        ours = {"host_key": self.host_key, "private_key": key, "private_key_passphrase": passphrase}
        extra = {
            "look_for_keys": False,
            **self.extra,
            "no_host_key_check": self.no_host_key_check,
            **{name: value for name, value in ours.items() if value},
        }
        return spec(
            credential,
            secrets=tuple(filter(None, (key, passphrase))),
            conn_type=self.conn_type,
            host=self.host,
            port=self.port,
            login=fill(self.login, credential),
            password=None if isinstance(self.private_key, str) else password,
            extra=dump(extra),
        )


class Sftp(Ssh, frozen=True, kw_only=True, tag="sftp"):
    """
    A host to exchange files with, as ``ssh``.

    The synchronous hook reads it once, the asynchronous one again for each connection.
    """
