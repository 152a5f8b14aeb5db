"""The ``kubernetes`` connection."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import trustme

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.shapes.kubernetes import Kubernetes
from tests.peers.installed import provider
from tests.peers.rogue import Peer, Rogue
from tests.peers.tls import serving
from tests.shapes.conformance import ShapeConformance, secret
from tests.shapes.worker import Seen, answer, proven, work

PEM = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n").decode()
SERVER = "https://ABCDEF.gr7.eu-west-1.eks.amazonaws.com"
TOKEN = BearerToken(token="k8s-aws-v1.a-token")


FILLED_IN = (
    "kube_config",
    "namespace",
    "cluster_context",
)
ANOTHER_IDENTITY = (
    "in_cluster",
    "kube_config_path",
)


class TestKubernetes(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Kubernetes:
        return Kubernetes(
            source="s",
            server=SERVER,
            certificate_authority_data=PEM,
            tls_server_name="cluster.test",
            namespace="work",
            extra={"disable_tcp_keepalive": True},
        )


def rendered(shape: Kubernetes) -> dict[str, Any]:
    fields = shape.render(TOKEN, secret).fields()
    assert {name for name, value in fields.items() if value is not None} == {"conn_type", "extra"}
    extra = json.loads(fields["extra"])
    return {**extra, "kube_config": json.loads(extra["kube_config"])}


def test_fields() -> None:
    """The extra holds a kubeconfig as text, of one cluster, one user and one context, beside the hook's own keys."""
    shape = Kubernetes(
        source="s",
        server=SERVER,
        certificate_authority_data=PEM,
        tls_server_name="cluster.test",
        namespace="work",
        extra={"disable_tcp_keepalive": True},
    )
    cluster = {"server": SERVER, "certificate-authority-data": PEM, "tls-server-name": "cluster.test"}

    assert rendered(shape) == {
        "disable_tcp_keepalive": True,
        "namespace": "work",
        "kube_config": {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "airflow",
            "clusters": [{"name": "airflow", "cluster": cluster}],
            "users": [{"name": "airflow", "user": {"token": TOKEN.token}}],
            "contexts": [
                {"name": "airflow", "context": {"cluster": "airflow", "user": "airflow", "namespace": "work"}}
            ],
        },
    }


def test_what_is_not_said_is_not_there() -> None:
    """A field that is left out leaves no key, whose emptiness a client might take for a value."""
    found = rendered(Kubernetes(source="s", server=SERVER))

    assert found.keys() == {"kube_config"}
    assert found["kube_config"]["clusters"][0]["cluster"] == {"server": SERVER}
    assert found["kube_config"]["contexts"][0]["context"] == {"cluster": "airflow", "user": "airflow"}


def test_kubeconfig_is_masked_as_a_whole_and_in_part() -> None:
    """Airflow masks keys by name, and ``kube_config`` is none of them: the whole text is masked, and the token."""
    made = Kubernetes(source="s", server=SERVER).render(BearerToken(token='a "quoted" token'), secret)
    kube_config = json.loads(made.extra or "")["kube_config"]

    assert {kube_config, json.dumps(kube_config)[1:-1], 'a "quoted" token', r"a \"quoted\" token"} <= set(made.secrets)
    assert r"a \\\"quoted\\\" token" in made.secrets
    assert r"a \\\"quoted\\\" token" in (made.extra or "")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        *(({"extra": {key: "x"}}, f"extra.{key}") for key in (*FILLED_IN, *ANOTHER_IDENTITY)),
        *(
            ({"extra": {f"extra__kubernetes__{key}": "x"}}, f"extra.extra__kubernetes__{key}")
            for key in ANOTHER_IDENTITY
        ),
        ({"certificate_authority_data": "x" * 41}, "certificate_authority_data"),
        (
            {"certificate_authority_data": base64.b64encode(b"no certificate" * 4).decode()},
            "certificate_authority_data",
        ),
    ],
)
def test_problems(fields: dict[str, Any], path: str) -> None:
    """What stands twice, another identity, and an authority that is none are problems at load."""
    shape = Kubernetes(source="s", server=SERVER, **fields)

    assert [problem.partition(":")[0] for problem in shape.problems()] == [path]


def cluster(peer: Peer) -> None:
    """Be an API server."""
    request = peer.read()
    if proven(request) != "Bearer":
        peer.send(answer({"kind": "Status", "status": "Failure", "reason": "Unauthorized", "code": 401}, 401))
    elif "/jobs/" in request.target:
        peer.send(answer({"kind": "Status", "status": "Success"}))
    elif request.target.partition("?")[0].endswith("/pods/a-pod"):
        name = {"name": "a-pod", "namespace": "work"}
        peer.send(
            answer({"kind": "Pod", "metadata": name, "spec": {"containers": []}, "status": {"phase": "Succeeded"}})
        )
    else:
        peer.send(answer({"kind": "List", "metadata": {}, "items": []}))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the worker may write to."""
    home = tmp_path_factory.mktemp("worker")
    (home / "tmp").mkdir()
    return home


@pytest.fixture(scope="module")
def seen(home: Path) -> Seen:
    """Run the hooks once."""
    provider("cncf.kubernetes")
    authority, another = trustme.CA(), trustme.CA()
    with Rogue(cluster, tls=serving(authority)) as server:

        def recipe(source: str, authority: trustme.CA) -> dict[str, Any]:
            pem = base64.b64encode(authority.cert_pem.bytes()).decode()
            found = {"shape": "kubernetes", "source": source, "server": server.url, "namespace": "work"}
            return {**found, "certificate_authority_data": pem}

        return work(
            "kubernetes",
            {
                "cluster": recipe("token", authority),
                "wrong": recipe("expired", authority),
                "stranger": recipe("token", another),
            },
            home=home,
            TMPDIR=str(home / "tmp"),
        )


def test_hooks(seen: Seen) -> None:
    """The stock hook reads a pod by the token, in the namespace of the file; so does the asynchronous one."""
    assert (seen["phase"], seen["asynchronous"], seen["namespace"]) == ("Succeeded", "Succeeded", "work")


def test_operator(seen: Seen) -> None:
    """A stock operator does what the token may do."""
    assert seen["operator"] is None


def test_another_token_is_refused(seen: Seen) -> None:
    """The server looks at the token."""
    assert "401" in seen["wrong"]["told"]
    assert "401" in seen["async_wrong"]["told"]


def test_server_is_verified(seen: Seen) -> None:
    """A server that another authority signed for gets no token."""
    assert "CERTIFICATE_VERIFY_FAILED" in seen["stranger"]["told"]


def test_the_hook_keeps_what_it_read(seen: Seen) -> None:
    """A hook asks for its connection once."""
    assert seen["reads"] == 0


def test_nothing_stays_on_disk(seen: Seen, home: Path) -> None:
    """The hook writes files for its library to read; when the task ends, none of them is left."""
    assert seen["folder"] == str(home / "tmp")
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_deferred_pod_operator(seen: Seen) -> None:
    """Its trigger, made from its row as the triggerer does, sees the pod end."""
    assert seen["deferred"]["event"]["status"] == "success"


def test_deferred_pod_operator_writes_the_token(seen: Seen) -> None:
    """It copies the connection's extra into the row of its trigger, as the documentation warns; no logger writes it."""
    assert "'connection_extras': {" in seen["deferred"]["row"]
    assert seen.leaks() == ["TOKEN"]
    assert Seen({}, seen.log, seen.secrets).leaks() == []
