"""The simulator, and clients that talk to it, for every test of the API client."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator

import pytest
import trustme
from client_testing import QUICK, TOKEN

from airflow_provider_wolkvox.api import WolkvoxClient, transport
from airflow_provider_wolkvox.simulator import Simulator


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    """No proxy, CA bundle or .netrc of the machine that runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(tokens=[TOKEN]) as simulator:
        yield simulator


@pytest.fixture
def connect():
    """Make clients to a simulator, a raw server or an address; they are closed at the end."""
    with contextlib.ExitStack() as clients:

        def make(target, token: str = TOKEN, **options) -> WolkvoxClient:
            address = target if isinstance(target, str) else target.base_url
            options = {"connect_timeout": 30.0, "total_timeout": 60.0, "resend": QUICK, **options}
            return clients.enter_context(WolkvoxClient("0042", token, base_url=address, **options))

        yield make


class Clock:
    """A monotonic clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """The clock that tells an exchange how much of its time is left."""
    clock = Clock()
    monkeypatch.setattr(transport, "time", clock)
    return clock


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority):
    """Make a server's TLS context with a certificate for the given names."""

    def make(*names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)
        return context

    return make


@pytest.fixture
def trusted(authority, monkeypatch, tmp_path):
    """Let this process trust the tests' authority, as a company's own would be: through the environment."""
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
