"""The ``slack`` and ``slackwebhook`` connections."""

from __future__ import annotations

import json

import pytest

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.shapes.slack import Slack, SlackWebhook
from tests.peers.installed import provider
from tests.peers.internet import Internet
from tests.peers.rogue import Request, response
from tests.shapes.conformance import ShapeConformance, secret
from tests.shapes.worker import Seen, work

TOKEN = "xoxe.xoxp-1-of-an-installation"
HOOK = "T00000000/B00000000/of-a-webhook-000000000000"


class TestSlack(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Slack:
        return Slack(source="s", base_url="https://slack.example.com/api/", extra={"timeout": 5})


class TestSlackWebhook(ShapeConformance):
    @pytest.fixture
    def shape(self) -> SlackWebhook:
        return SlackWebhook(source="s", host="https://hooks.example.com/services", extra={"timeout": 5})


def test_token_is_the_password() -> None:
    """Where nothing else is said, the connection holds the token and nothing else."""
    for made in (
        shape.render(BearerToken(token=TOKEN), secret) for shape in (Slack(source="s"), SlackWebhook(source="s"))
    ):
        fields = {name: value for name, value in made.fields().items() if value is not None}

        assert fields == {"conn_type": made.conn_type, "password": TOKEN}


def test_fields() -> None:
    """The base URL stands where each hook looks for it, beside the hook's own keys."""
    api = Slack(source="s", base_url="https://slack.example.com/api/", extra={"proxy": "http://proxy.test:3128"})
    hook = SlackWebhook(source="s", host="https://hooks.example.com/services", extra={"timeout": 5})
    made = api.render(BearerToken(token=TOKEN), secret), hook.render(BearerToken(token=HOOK), secret)

    assert json.loads(made[0].extra or "") == {
        "proxy": "http://proxy.test:3128",
        "base_url": "https://slack.example.com/api/",
    }
    assert (made[1].host, json.loads(made[1].extra or "")) == ("https://hooks.example.com/services", {"timeout": 5})


@pytest.mark.parametrize("key", ["base_url", "extra__slack__base_url"])
def test_no_key_twice(key: str) -> None:
    """What a field says does not stand in the extra too."""
    assert Slack(source="s", extra={key: "x"}).problems() == [f"extra.{key}: is filled in by this shape"]


def answer(host: str, request: Request) -> bytes:
    """Be Slack."""
    if host == "hooks.slack.com":
        right = request.target == f"/services/{HOOK}"
        return response(b"ok" if right else b"invalid_token", status=200 if right else 403)
    right = host.endswith("slack.com") and request.headers["Authorization"] == f"Bearer {TOKEN}"
    told = {"ok": True, "user": "airflow"} if right else {"ok": False, "error": "invalid_auth"}
    return response(json.dumps(told).encode(), Content_Type="application/json")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the hooks once."""
    provider("slack")
    home = tmp_path_factory.mktemp("worker")
    with Internet(answer, ca_file=home / "ca.pem") as internet:
        return work(
            "slack",
            {
                "api": {"source": "right", "shape": "slack"},
                "api_wrong": {"source": "expired", "shape": "slack"},
                "hook": {"source": "hook", "shape": "slackwebhook"},
                "hook_wrong": {"source": "expired", "shape": "slackwebhook"},
                "hook_by_url": {"source": "url", "shape": "slackwebhook"},
            },
            given={"right": TOKEN, "hook": HOOK, "url": f"https://hooks.slack.com/services/{HOOK}"},
            home=home,
            **internet.environment,
        )


def test_slack_hook(seen: Seen) -> None:
    """The stock hook and its operator act as whom the token is of, the asynchronous client too."""
    assert (seen["api"], seen["asynchronous"]) == ("airflow", "airflow")
    assert seen["operator"]["user"] == "airflow"


def test_slack_webhook_hook(seen: Seen) -> None:
    """The stock hook posts to the URL that the token is a part of, or to the URL that is the token."""
    assert (seen["hook"], seen["hook_asynchronous"], seen["hook_by_url"]) == ("ok", "ok", "ok")


def test_another_token_is_refused(seen: Seen) -> None:
    """The server looks at the token."""
    assert (seen["wrong"]["error"], seen["hook_wrong"]["error"]) == ("SlackApiError", "AirflowException")


def test_what_hooks_keep(seen: Seen) -> None:
    """A hook keeps its client; each asynchronous call asks for the connection anew."""
    assert (seen["reads"], seen["asynchronous_reads"]) == (0, 1)


def test_rows_and_errors_hold_no_secret(seen: Seen) -> None:
    """No error tells a secret."""
    assert seen.leaks() == []
