"""
Azure's services as far as they look at who asks: Entra ID, storage, Service Bus, the resource manager and Synapse.

Answers for :class:`tests.peers.internet.Internet`.
"""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

from tests.peers.azure_stubs import granted, refused
from tests.peers.rogue import Request, response

APPLICATION = ("an-application", "secret~of-the-application")
SAS = "sv=2024-11-04&ss=b&srt=sco&sp=rl&se=2026-11-21T11%3A00%3A00Z&sig=mGvLAL2zmzVNCHhrOgSG%2FA8X%2Bxw%3D"
BUS = "SharedAccessSignature sr=acme.servicebus.windows.net&sig=Y2FuYXJ5LW9mLWJ1cw%3D%3D&se=4102444800&skn=airflow"
STORAGE = (".blob.core.windows.net", ".dfs.core.windows.net", ".file.core.windows.net")
RESOURCES = ("management.azure.com", ".dev.azuresynapse.net", ".azuredatalakestore.net")
TOKEN = "granted-by-entra"


def azure(host: str, request: Request) -> bytes:
    """Answer as Azure does."""
    if host == "login.microsoftonline.com":
        return _entra(host, request)
    return service(host, request, allowed=request.headers["Authorization"] == f"Bearer {TOKEN}")


def service(host: str, request: Request, *, allowed: bool) -> bytes:
    """
    Answer as a service of Azure does.

    :param allowed: whether the token is a right one
    """
    if host.endswith(STORAGE):
        return _storage(request) if allowed or _signed(request) else response(status=403, x_ms_error_code="NotAllowed")
    if host.endswith(".servicebus.windows.net"):
        return response(status=200 if request.headers["Authorization"] == f"Bearer {BUS}" else 401)
    if not host.endswith(RESOURCES) or not allowed:
        return response(b'{"error": {"code": "AuthenticationFailed"}}', status=401, Content_Type="application/json")
    return response(json.dumps(_resource(request)).encode(), Content_Type="application/json")


def _entra(host: str, request: Request) -> bytes:
    tenant = request.target.split("/")[1]
    if request.method == "POST":
        form = request.form
        if (form["client_id"], form["client_secret"]) == APPLICATION:
            return response(granted(TOKEN), Content_Type="application/json")
        return response(refused("AADSTS7000215"), status=401, Content_Type="application/json")
    base = f"https://{host}/{tenant}"
    document = {
        "issuer": f"{base}/v2.0",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "tenant_discovery_endpoint": f"{base}/v2.0/.well-known/openid-configuration",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }
    return response(json.dumps(document).encode(), Content_Type="application/json")


def _signed(request: Request) -> bool:
    query, right = (parse_qs(text) for text in (urlsplit(request.target).query, SAS))
    return all(query.get(name) == value for name, value in right.items())


def _storage(request: Request) -> bytes:
    if request.method == "HEAD":
        return response(length=0, x_ms_blob_type="BlockBlob", x_ms_request_id="a-request")
    return response(b'{"paths": [{"name": "a-folder/a-file"}]}', Content_Type="application/json")


def _resource(request: Request) -> dict[str, object]:
    if "livyApi" in request.target:
        return {"id": 7, "state": "running"}
    if "webhdfs" in request.target:
        return {"FileStatuses": {"FileStatus": [{"pathSuffix": "a-file", "type": "FILE"}], "continuationToken": ""}}
    name = urlsplit(request.target).path.rpartition("/")[2]
    states = {"status": "Succeeded", "statuses": [{"code": "PowerState/running"}]}
    return {"name": name, "properties": {"containers": [], "osType": "Linux"}, **states}
