"""The ``kubernetes`` connection of the cncf.kubernetes provider."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, dump, spec
from airflow_ephemeral_secrets.shapes.extra import HostName, Url, taken

Pem = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/=]{40,65536}(?!\n)$", description="a PEM certificate in base64")]

OURS = ("kube_config", "namespace", "cluster_context")
OTHERS = ("in_cluster", "kube_config_path")
NAME = "airflow"
BEGINS = b"-----BEGIN CERTIFICATE-----"


class Kubernetes(Shape, frozen=True, kw_only=True, tag="kubernetes"):
    """
    A cluster, and a user's Bearer token in its kubeconfig.

    The hook reads it once. The token is neither read again nor refreshed, in the triggerer too. A deferrable
    ``KubernetesPodOperator`` copies it into the trigger's row in the metadata database.

    :param server: the URL of the API server
    :param certificate_authority_data: the cluster's authority, as PEM in base64, as in a kubeconfig
    :param tls_server_name: the name in the server's certificate, where it is not that of ``server``
    :param namespace: the namespace where an operator does not name it
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
    extra: dict[str, Any] = {}

    def problems(self) -> list[str]:
        found = taken("kubernetes", self.extra, ours=OURS, others=OTHERS)
        if self.certificate_authority_data and not _is_pem(self.certificate_authority_data):
            found.append("certificate_authority_data: holds no PEM certificate in base64")
        return found

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, BearerToken)
        kube_config = msgspec.json.encode(self._kube_config(credential.token)).decode()
        extra = {**self.extra, "kube_config": kube_config}
        if self.namespace:
            extra["namespace"] = self.namespace
        escaped = json.dumps(credential.token)[1:-1]
        made = spec(credential, secrets=(escaped,), conn_type="kubernetes", extra=dump(extra))
        whole = (kube_config, json.dumps(kube_config)[1:-1])
        return msgspec.structs.replace(made, secrets=(*made.secrets, *whole))

    def _kube_config(self, token: str) -> dict[str, Any]:
        cluster = {
            "server": self.server,
            "certificate-authority-data": self.certificate_authority_data,
            "tls-server-name": self.tls_server_name,
        }
        context = {"cluster": NAME, "user": NAME, "namespace": self.namespace}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": NAME,
            "clusters": [{"name": NAME, "cluster": {key: value for key, value in cluster.items() if value}}],
            "users": [{"name": NAME, "user": {"token": token}}],
            "contexts": [{"name": NAME, "context": {key: value for key, value in context.items() if value}}],
        }


def _is_pem(data: str) -> bool:
    try:
        return BEGINS in base64.b64decode(data, validate=True)
    except binascii.Error:
        return False
