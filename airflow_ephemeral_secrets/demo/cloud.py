"""AWS on loopback: moto with signatures, session tokens and permissions enforced, and a witness of what STS issued."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs

ACCOUNT = "123456789012"
REGION = "eu-west-1"
BUCKET = "demo-lake"
SECRET_ID = "demo/orders-api"  # noqa: S105  # the name of a secret, not one
WORKER = "airflow-worker"
POLL_SECONDS = 0.05

OBJECTS = {
    "landing/orders.json": b'[{"id": 1001}, {"id": 1002}, {"id": 1003}]',
    "landing/customers.json": b'["acme", "globex", "initech"]',
    "landing/manifest.json": b'{"files": 2}',
}

_BUCKET_ARN = f"arn:aws:s3:::{BUCKET}"
_LIST = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": _BUCKET_ARN}
_READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{_BUCKET_ARN}/*"}
_INVOKE = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
_WRITE_REPORTS = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"{_BUCKET_ARN}/reports/*"}

ROLES: Mapping[str, list[dict[str, str]]] = {
    "airflow-example_api_gateway": [_INVOKE],
    "airflow-lake_copy": [_LIST, _READ, _WRITE_REPORTS],
    "airflow-lake_inventory": [_LIST, _READ],
}


@dataclass(frozen=True)
class Issued:
    """One credential that STS really issued."""

    role: str
    session_name: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)


class Cloud:
    """
    Serve IAM, STS, S3 and Secrets Manager on a free loopback port while the block lasts.

    :param api_token: what Secrets Manager holds under ``SECRET_ID``
    :param more: what else it holds, by id
    """

    def __init__(self, api_token: str, more: Mapping[str, str] | None = None) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        self.calls: Counter[str] = Counter()
        self._secrets = {SECRET_ID: api_token, **(more or {})}
        self._lock = Lock()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=_quiet_handler())

    def __enter__(self) -> Cloud:
        Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), name="cloud", daemon=True).start()
        self._control("reset", "")
        self._control("reset-auth", "inf")
        self._set_up()
        self._control("reset-auth", "0")
        self.calls.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._control("reset-auth", "inf")
        self._control("reset", "")
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def worker_environment(self) -> dict[str, str]:
        """What a worker starts with: the identity of ``airflow-worker`` and nothing of this machine's own."""
        return {
            "AWS_ACCESS_KEY_ID": self._worker["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": self._worker["SecretAccessKey"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NETRC": os.devnull,
        }

    def issued(self) -> list[Issued]:
        """List the credentials of all AssumeRole calls that STS granted, from moto's own memory."""
        from moto.sts.models import sts_backends

        return [
            Issued(
                role=role.role_arn.rpartition("/")[2],
                session_name=role.session_name,
                access_key_id=role.access_key_id,
                secret_access_key=role.secret_access_key,
                session_token=role.session_token,
            )
            for role in sts_backends[ACCOUNT]["aws"].assumed_roles
        ]

    def key(self, access_key_id: str) -> Issued | None:
        """Find a credential that STS issued."""
        return next((one for one in self.issued() if one.access_key_id == access_key_id), None)

    def client(self, service: str, access_key_id: str, secret_access_key: str, session_token: str | None = None) -> Any:
        """Return a boto3 client of this cloud that acts as the given identity, and tries once."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            aws_session_token=session_token,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def worker_client(self, service: str) -> Any:
        """Return a client that acts as the worker itself."""
        return self.client(service, self._worker["AccessKeyId"], self._worker["SecretAccessKey"])

    def _set_up(self) -> None:
        iam, s3, secrets = (self.client(name, "set-up", "set-up") for name in ("iam", "s3", "secretsmanager"))
        user = iam.create_user(UserName=WORKER)["User"]["Arn"]
        self._worker = iam.create_access_key(UserName=WORKER)["AccessKey"]
        iam.put_user_policy(UserName=WORKER, PolicyName="worker", PolicyDocument=_policy(_worker_statements()))
        trust = _policy([{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": user}}])
        for role, statements in ROLES.items():
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)
            iam.put_role_policy(RoleName=role, PolicyName="lake", PolicyDocument=_policy(statements))
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        for key, body in OBJECTS.items():
            s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        for name, value in self._secrets.items():
            secrets.create_secret(Name=name, SecretString=value)

    def _control(self, path: str, body: str) -> None:
        with closing(HTTPConnection("127.0.0.1", self._server.server_port, timeout=10)) as connection:
            connection.request("POST", f"/moto-api/{path}", body, {"Content-Type": "text/plain"})
            connection.getresponse().read()

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Count what is asked, by operation, before moto decides on it."""
        if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            operation = parse_qs(body.decode("latin-1")).get("Action", [""])[0]
        else:
            operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        with self._lock:
            self.calls[operation] += 1
        answer: Iterable[bytes] = self._moto(environ, start_response)
        return answer


def _worker_statements() -> list[dict[str, Any]]:
    return [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Resource": [f"arn:aws:iam::{ACCOUNT}:role/{role}" for role in ROLES],
        },
        {"Effect": "Allow", "Action": ["sts:GetCallerIdentity", "secretsmanager:GetSecretValue"], "Resource": "*"},
    ]


def _policy(statements: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _quiet_handler() -> Any:
    from werkzeug.serving import WSGIRequestHandler

    class Handler(WSGIRequestHandler):
        def log(self, *_: object) -> None:
            """Keep the terminal for the story."""

    return Handler
