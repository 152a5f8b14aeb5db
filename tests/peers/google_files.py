"""Credentials files as Google and its tools write them, and the keys that stand in them."""

from __future__ import annotations

from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

TOKEN_URL = "https://oauth2.googleapis.com/token"
POOL = "//iam.googleapis.com/projects/7/locations/global/workloadIdentityPools/airflow/providers/other"
DOMAIN = "a-project.iam.gserviceaccount.com"
WORKER, READER, MIDDLE = f"worker@{DOMAIN}", f"reader@{DOMAIN}", f"middle@{DOMAIN}"
USER = {"client_id": "an-app.apps.googleusercontent.com", "client_secret": "GOCSPX-an-app", "refresh_token": "1//user"}
AWS_KEY = ("AKIAFEDERATED", "federated/secret+key")
AWS_SESSION = "federated+session=="


@cache
def private_key(of: str) -> rsa.RSAPrivateKey:
    """Make the key of an account, once."""
    return rsa.generate_private_key(65_537, 2_048)


def key_file(email: str = WORKER, **members: Any) -> dict[str, Any]:
    """Write a service account's key as Google does."""
    pem = private_key(email).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "type": "service_account",
        "project_id": "a-project",
        "private_key_id": "0123456789abcdef",
        "private_key": pem,
        "client_email": email,
        "client_id": "1234",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": TOKEN_URL,
        "universe_domain": "googleapis.com",
        **members,
    }


def federation(source: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Write a workload identity federation as ``gcloud iam workload-identity-pools create-cred-config`` does."""
    aws = "environment_id" in source
    return {
        "type": "external_account",
        "audience": POOL,
        "subject_token_type": "urn:ietf:params:" + ("aws:token-type:aws4_request" if aws else "oauth:token-type:jwt"),
        "token_url": "https://sts.googleapis.com/v1/token",
        "token_info_url": "https://sts.googleapis.com/v1/introspect",
        "credential_source": source,
        **members,
    }
