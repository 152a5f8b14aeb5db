"""The ``kubernetes`` connection of the cncf.kubernetes provider."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, dump, spec
from airflow_ephemeral_secrets.shapes.extra import HostName, Url, taken
from airflow_ephemeral_secrets.shapes.live import CommandFace, LiveFace, Route

Pem = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/=]{40,65536}(?!\n)$", description="a PEM certificate in base64")]

OURS = ("kube_config", "namespace", "cluster_context")
OTHERS = ("in_cluster", "kube_config_path")
NAME = "airflow"
V1 = "client.authentication.k8s.io/v1"
LIVE_CAUTIONS = (
    "the client starts airflow-ephemeral exec-credential when it needs a token; it mints where store.host is off",
    "the asynchronous client starts it for each request",
)
BEGINS = b"-----BEGIN CERTIFICATE-----"


class Kubernetes(Shape, frozen=True, kw_only=True, tag="kubernetes"):
    """
    A cluster, and a user's Bearer token in its kubeconfig, or a command that fetches one.

    The hook reads it once. Unless live, the token is neither read again nor refreshed, in the triggerer too, and a
    deferrable ``KubernetesPodOperator`` copies it into the trigger's row in the metadata database.

    :param server: the URL of the API server
    :param certificate_authority_data: the cluster's authority, as PEM in base64, as in a kubeconfig
    :param tls_server_name: the name in the server's certificate, where it is not that of ``server``
    :param namespace: the namespace where an operator does not name it
    :param live: instead of a token, give the command ``airflow-ephemeral exec-credential``, which the client starts
        whenever it needs one
    :param extra: further keys of the hook, such as ``disable_tcp_keepalive``
    """

    accepts = (BearerToken,)
    cautions = (
        "the hook keeps the token: a task may run until it ends",
        "a deferrable KubernetesPodOperator writes the token to the metadata database, in the row of its trigger",
    )

    server: Url
    certificate_authority_data: Pem | None = None
    tls_server_name: HostName | None = None
    namespace: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,63}(?!\n)$", description="a namespace")] | None = None
    live: bool = False
    extra: dict[str, Any] = {}

    def problems(self) -> list[str]:
        found = taken("kubernetes", self.extra, ours=OURS, others=OTHERS)
        if self.certificate_authority_data and not _is_pem(self.certificate_authority_data):
            found.append("certificate_authority_data: holds no PEM certificate in base64")
        return found

    def notes(self) -> Sequence[str]:
        return LIVE_CAUTIONS if self.live else self.cautions

    def face(self) -> LiveFace | None:
        return CommandFace(verb="exec-credential") if self.live else None

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        program, *arguments = route.command
        starts = {"apiVersion": V1, "command": program, "args": arguments, "interactiveMode": "Never"}
        return spec(None, conn_type="kubernetes", extra=dump(self._extra(self._kube_config({"exec": starts}))))

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, BearerToken)
        kube_config = self._kube_config({"token": credential.token})
        escaped = json.dumps(credential.token)[1:-1]
        made = spec(credential, secrets=(escaped,), conn_type="kubernetes", extra=dump(self._extra(kube_config)))
        whole = (kube_config, json.dumps(kube_config)[1:-1])
        return msgspec.structs.replace(made, secrets=(*made.secrets, *whole))

    def _extra(self, kube_config: str) -> dict[str, Any]:
        return {
            **self.extra,
            "kube_config": kube_config,
            **({"namespace": self.namespace} if self.namespace else {}),
        }

    def _kube_config(self, user: dict[str, Any]) -> str:
        cluster = {
            "server": self.server,
            "certificate-authority-data": self.certificate_authority_data,
            "tls-server-name": self.tls_server_name,
        }
        context = {"cluster": NAME, "user": NAME, "namespace": self.namespace}
        whole = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": NAME,
            "clusters": [{"name": NAME, "cluster": {key: value for key, value in cluster.items() if value}}],
            "users": [{"name": NAME, "user": user}],
            "contexts": [{"name": NAME, "context": {key: value for key, value in context.items() if value}}],
        }
        return msgspec.json.encode(whole).decode()


def _is_pem(data: str) -> bool:
    try:
        return BEGINS in base64.b64decode(data, validate=True)
    except binascii.Error:
        return False
