"""The providers: whether they answer, and what time they have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from airflow_ephemeral_secrets.cli.checks.finding import Finding
from airflow_ephemeral_secrets.clock import Clock, Deadline
from airflow_ephemeral_secrets.config import Config
from airflow_ephemeral_secrets.errors import SourceFailed, SourceUnavailable
from airflow_ephemeral_secrets.sources.base import Network, SecretReference, Source
from airflow_ephemeral_secrets.sources.exchange import SKEW, exchange, pool, skew
from airflow_ephemeral_secrets.sources.silence import silence

PATIENCE = 3.0
AT_ONCE = 8
DISCOVERY = "/.well-known/"
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
AUTHORITIES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE")


def endpoints(config: Config, clock: Clock) -> Iterator[Finding]:
    """Ask each provider for any answer at all, and compare its clock with ours."""
    asked: list[Source | SecretReference] = [*config.sources.values(), *config.secrets.values()]
    urls = sorted({url for one in asked for url in one.endpoints()})
    if not urls:
        return
    try:
        pool(config.network)
    except SourceUnavailable as error:
        yield Finding("endpoints", str(error), "nothing can be minted anywhere", "network.ca_file")
        return
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for found in threads.map(lambda url: list(_ask(url, config.network, clock)), urls):
            yield from found


def _ask(url: str, network: Network, clock: Clock) -> Iterator[Finding]:
    try:
        with silence("airflow_ephemeral_secrets"):  # its warning is our finding
            deadline = Deadline(clock, PATIENCE)
            answer = exchange("GET", url, headers={}, body=None, network=network, deadline=deadline)
    except SourceFailed as error:
        # token endpoints redirect a GET to their documentation
        if error.code != "redirect" or DISCOVERY in url:
            yield Finding("endpoints", str(error), "nothing can be minted there", _mend(error.code, network))
        return
    ahead = skew(answer.headers.get("date"), clock)
    if abs(ahead) > SKEW:
        yield Finding(
            "clock",
            f"this host's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of {url}",
            "requests are refused, and expiry is misjudged",
            "time synchronisation (NTP) on this host",
        )


def _mend(code: str, network: Network) -> str:
    if code == "redirect":
        return "issuer or token_url, at the place that it leads to"
    if code == "tls":
        return f"network.ca_file{_unused(AUTHORITIES)}"
    proxy = f"network.proxy{_unused(PROXIES)}" if not network.proxy else "network.proxy"
    return f"the network, {proxy} or endpoint_url"


def _unused(names: tuple[str, ...]) -> str:
    """Name the variables that steer other programs, and not this one."""
    found = [name for name in names if os.environ.get(name)]
    return f" ({', '.join(found)} of the environment steers no request of ours)" if found else ""
