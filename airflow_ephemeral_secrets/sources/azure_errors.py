"""What Entra ID, the metadata services of Azure and Key Vault say when they do not do as asked, in our words."""

from __future__ import annotations

from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.sources.exchange import Answer
from airflow_ephemeral_secrets.sources.token_answer import OAUTH, Codes, members, refusal

_SCOPE = "scope: the Application ID URI of the API with /.default, and the API's registration in this tenant"
_FEDERATED = "the federated credential of the app or identity: its issuer, subject and audience as the token has them"
_AZURE = "a worker on Azure with a managed identity, or another identity for the source"

ENTRA = OAUTH.with_(
    {
        "invalid_client": "the client secret or certificate (expired or rotated?), client_id and tenant_id",
        "invalid_grant": "the federated credential, its token, and this host's clock",
        "invalid_scope": "scope: one that ends in /.default",
        "invalid_target": _SCOPE,
        "AADSTS50001": _SCOPE,
        "AADSTS500011": _SCOPE,
        "AADSTS1002012": "scope: ending in /.default, the only one that a client itself is granted",
        "AADSTS70011": "scope: one that ends in /.default",
        "invalid_resource": _SCOPE,
        "AADSTS50034": "client_id and tenant_id: the account is not of this tenant",
        "AADSTS53003": "the Conditional Access policies for workload identities",
        "AADSTS700016": "client_id and tenant_id: the app is not in this tenant; a new one takes minutes to be known",
        "AADSTS7000112": "enabling the app's service principal",
        "AADSTS7000215": "the client secret: its value, not its id",
        "AADSTS7000222": "a new client secret: this one has expired",
        "AADSTS700024": "this host's clock; the federated token or the client assertion has expired",
        "AADSTS700027": "the certificate: uploaded to the app, not expired",
        "AADSTS70021": _FEDERATED,
        "AADSTS700211": _FEDERATED,
        "AADSTS700212": _FEDERATED,
        "AADSTS700213": _FEDERATED,
        "AADSTS90002": "tenant_id and authority: this cloud has no such tenant",
        "AADSTS90033": "waiting: Entra ID has trouble",
        "AADSTS90055": "waiting, and fewer requests: the tenant is throttled",
        "AADSTS50196": "waiting, and what makes the same request over and over",
    },
    transient=("AADSTS90033", "AADSTS90055", "AADSTS50196"),
    proof=("AADSTS7000215", "AADSTS7000222", "AADSTS700024", "AADSTS700027"),
)
"""https://learn.microsoft.com/entra/identity-platform/reference-error-codes"""

METADATA = Codes(
    hints={
        **dict.fromkeys(("AADSTS50001", "AADSTS500011", "invalid_resource"), _SCOPE),
        "invalid_client": f"{_AZURE}; on Azure Arc, a worker whose user is in the group himds",
    },
    transient=ENTRA.transient,
)
"""https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token"""

VAULT = Codes(
    hints={
        "Forbidden": "the role Key Vault Secrets User for this identity, or an access policy, and the vault's firewall",
        "ForbiddenByRbac": "the role Key Vault Secrets User for this identity; a new assignment takes minutes",
        "ForbiddenByPolicy": "an access policy of the vault that lets this identity get secrets",
        "AccessDenied": "an access policy of the vault that lets this identity get secrets",
        "ForbiddenByFirewall": "the vault's firewall: this worker's address, or a private endpoint",
        "ForbiddenByConnection": "the vault's firewall: this worker's network, or a private endpoint",
        "SecretDisabled": "enabling the secret, or another version",
        "Unauthorized": "the tenant of the vault and that of the identity, which must be the same",
        "HTTP 401": "the tenant of the vault and that of the identity, which must be the same",
    }
)
"""https://learn.microsoft.com/azure/key-vault/general/rest-error-codes"""

_ABSENT = frozenset({"invalid_request", "identity_not_found"})
_LATER = frozenset({404, 410})
_STRANGE = frozenset({400, 401, 403, 405})
_IDENTITY = "an identity assigned to this host or app, and client_id if it is user-assigned"


def by_entra(answer: Answer, what: str, sent: tuple[str, ...]) -> MintError:
    """
    Say what Entra ID answered instead of a token.

    :param what: the request, of whom
    :param sent: secrets of the request
    """
    return refusal(answer, what, ENTRA, sent=sent)


def by_metadata(answer: Answer, what: str, sent: tuple[str, ...]) -> MintError:
    """
    Say what the metadata service answered instead of a token.

    Where it has no such identity, nobody was asked. It is being updated where it answers 404 or 410.

    :param what: the request, of whom
    :param sent: secrets of the request
    """
    error = refusal(answer, what, METADATA, sent=sent)
    if answer.status in _LATER:
        return retold(error, as_=SourceFailed, hint=f"waiting: the metadata service is being updated; or {_AZURE}")
    if answer.status == 400 and (error.code in _ABSENT or "statusCode" in (members(answer.body) or {})):
        return retold(error, as_=SourceUnavailable, hint=_IDENTITY)
    return error if error.hint else retold(error, hint=_AZURE if answer.status in _STRANGE else None)


def by_vault(answer: Answer, what: str, sent: tuple[str, ...]) -> MintError:
    """
    Say what Key Vault answered instead of a secret.

    :param what: the request, of whom
    :param sent: secrets of the request
    """
    error = refusal(answer, what, VAULT, sent=sent)
    if answer.status == 404 and isinstance(error, SourceRefused):
        return SourceUnavailable(
            error.message, code="secret_missing", hint="its name and version", request_id=error.request_id
        )
    if inner := _inner(answer):
        error.message += f" ({inner})"
        return retold(error, code=inner, hint=VAULT.hints[inner])
    return error


def no_identity(error: MintError) -> MintError:
    """
    Say that this worker has no metadata service.

    :param error: what kept it from being asked
    """
    return SourceUnavailable(
        f"this worker has no managed identity: {error.message}",
        code="no_identity",
        hint=_AZURE,
    )


def retold(
    error: MintError,
    what: str = "",
    *,
    as_: type[MintError] | None = None,
    code: str | None = None,
    hint: str | None = None,
) -> MintError:
    """
    Make the same error anew, without the stack and the errors behind it.

    :param what: what to say first
    :param as_: its kind, where that is another
    """
    return (as_ or type(error))(
        f"{what}: {error.message}" if what else error.message,
        code=code or error.code,
        hint=hint or error.hint,
        retry_after=error.retry_after,
        request_id=error.request_id,
        proof_rejected=error.proof_rejected,
    )


def _inner(answer: Answer) -> str | None:
    """Find the reason that Key Vault gives for a refusal, if it is one we know."""
    error = (members(answer.body) or {}).get("error")
    inner = error.get("innererror") if isinstance(error, dict) else None
    code = inner.get("code") if isinstance(inner, dict) else None
    return code if isinstance(code, str) and code in VAULT.hints else None
