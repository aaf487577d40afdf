"""Fixtures for the tests of your own DAGs: a wolkvox whose phones count their rings, and connections to it.

pytest finds them by itself where this package is installed. They need no Airflow database, and nothing but pytest
is imported before a test asks for one of them. Each test has a simulator of its own, on a port of its own.

```python
def test_the_customer_is_rung_once(wolkvox_simulator, wolkvox_connection):
    callbacks.test()  # a DAG whose tasks use the connection `wolkvox_default`
    assert wolkvox_simulator.rings == {"3005550101": 1}
```
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_wolkvox.simulator import Simulator

SERVER = "0042"
"""The server code of the connections; nothing is ever sent there."""


@pytest.fixture
def wolkvox_simulator_options() -> Mapping[str, Any]:
    """Return the arguments of `wolkvox_simulator`, as `Simulator` takes them; by default none.

    Define a fixture of this name in a conftest.py, a module or a class to change them for its tests.
    """
    return {}


@pytest.fixture
def wolkvox_simulator(
    wolkvox_simulator_options: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Simulator]:
    """Run a `Simulator` for one test, with the arguments of `wolkvox_simulator_options`.

    While it runs no proxy stands before it, and this process cannot reach the real wolkvox: a test that tries to,
    since one of its connections was not replaced, rings nobody and fails. `monkeypatch` sees to both.
    """
    from airflow_provider_wolkvox.simulator import Simulator

    wanted = _forbid_wolkvox(monkeypatch)
    with Simulator(**wolkvox_simulator_options) as running:
        yield running
    if wanted:
        pytest.fail(
            f"The test tried to reach {', '.join(sorted(wanted))}, the real wolkvox. No request was sent. Let the "
            "connection that leads there lead to the simulator: wolkvox_connect(conn_id).",
            pytrace=False,
        )


class ConnectWolkvox:
    """Makes connections to the simulator. The fixture `wolkvox_connect` is one.

    :param simulator: where the connections lead
    :param monkeypatch: takes them away after the test
    """

    def __init__(self, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
        self._simulator = simulator
        self._monkeypatch = monkeypatch
        self._free_tokens = iter(simulator.tokens)
        self._tokens: dict[str, str] = {}

    def __call__(self, conn_id: str = "wolkvox_default", *, token: str | None = None, **extra: object) -> str:
        """Make a connection for the rest of the test, or replace one, and return its id.

        It stands in the environment, which Airflow reads before its database.

        :param conn_id: its id; default `wolkvox_default`
        :param token: its token; by default one of the simulator's that no other connection of this test has, the
            first one first
        :param extra: its extras beside `base_url`, such as `country="CO"` or `total_timeout=2`
        """
        given = token or self._tokens.get(conn_id) or next(self._free_tokens, None) or self._simulator.add_token()
        self._tokens[conn_id] = given
        fields = {
            "conn_type": "wolkvox",
            "host": SERVER,
            "password": given,
            "extra": {"base_url": self._simulator.base_url, **extra},
        }
        self._monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
        return conn_id


@pytest.fixture
def wolkvox_connect(wolkvox_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> ConnectWolkvox:
    """Return what makes connections to `wolkvox_simulator`: `wolkvox_connect("wolkvox_north", country="CO")`.

    `monkeypatch` takes them away after the test. What it is called with: `ConnectWolkvox`.
    """
    return ConnectWolkvox(wolkvox_simulator, monkeypatch)


@pytest.fixture
def wolkvox_connection(wolkvox_connect: ConnectWolkvox) -> str:
    """Let the connection `wolkvox_default` lead to `wolkvox_simulator`, as `wolkvox_connect` does; return its id."""
    return wolkvox_connect()


def _forbid_wolkvox(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Let no name of wolkvox's servers be resolved any more, and return those that were to be.

    The simulator has an address, so it is reached all the same. A name is resolved in this process only if no proxy
    does it, so none may.
    """
    for name in ("no_proxy", "NO_PROXY"):
        given = os.environ.get(name, "")
        if given != "*":
            monkeypatch.setenv(name, ",".join(filter(None, (given, "127.0.0.1", ".wolkvox.com"))))
    resolve, wanted = socket.getaddrinfo, set[str]()

    def resolve_others(host: Any, *arguments: Any, **options: Any) -> Any:
        name = (host.decode(errors="replace") if isinstance(host, bytes) else str(host)).lower().rstrip(".")
        if name.endswith(".wolkvox.com"):
            wanted.add(name)
            raise socket.gaierror(socket.EAI_NONAME, f"{name} cannot be reached from a test with wolkvox_simulator")
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_others)
    return wanted
