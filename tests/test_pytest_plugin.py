"""The pytest plugin, in a pytest of its own: as it is where this package is installed and nothing of these tests is."""

from __future__ import annotations

import argparse
import http.client
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_wolkvox.simulator import FaultKind, Simulator

pytest_plugins = ["pytester"]

CHECKOUT = Path(__file__).resolve().parents[1]
RING = """
    def ring(simulator, phone, token=None):
        from airflow_provider_wolkvox.api import WolkvoxClient

        with WolkvoxClient("0042", token or simulator.token, base_url=simulator.base_url) as wolkvox:
            wolkvox.aux_call("10001", phone)
"""


@pytest.fixture
def plain(pytester, monkeypatch):
    """A folder for tests, and an environment that knows nothing of our own tests' Airflow."""
    for name in list(os.environ):
        if name.startswith(("AIRFLOW_", "_AIRFLOW_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AIRFLOW_HOME", str(pytester.path / "airflow"))
    # Its own settings would be taken for the tests' root.
    pytester.makeini("[pytest]\n")
    return pytester


def run(plain, *arguments):
    return plain.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def test_each_test_has_a_simulator_of_its_own(plain):
    plain.makepyfile(
        RING
        + """
    import socket
    import pytest

    ports = []

    @pytest.mark.parametrize("number", [1, 2])
    def test_ring(wolkvox_simulator, number):
        assert not wolkvox_simulator.rings
        ring(wolkvox_simulator, f"300555010{number}")
        assert wolkvox_simulator.rings == {f"300555010{number}": 1}
        ports.append(wolkvox_simulator.port)

    def test_it_is_stopped_afterwards():
        assert len(ports) == 2
        for port in ports:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=60)
    """
    )
    run(plain).assert_outcomes(passed=3)


def test_the_connection_leads_to_the_simulator_without_airflows_database(plain):
    plain.makepyfile(
        """
    from pathlib import Path
    import os

    def test_hook(wolkvox_simulator, wolkvox_connection):
        from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook

        assert wolkvox_connection == "wolkvox_default"
        WolkvoxHook().aux_call("10001", "3005550101")
        assert wolkvox_simulator.rings == {"3005550101": 1}
        assert not list(Path(os.environ["AIRFLOW_HOME"]).glob("*.db"))
    """
    )
    run(plain).assert_outcomes(passed=1)


def test_the_environment_is_as_before_after_each_test(plain, monkeypatch):
    mine = '{"conn_type": "wolkvox", "host": "0099", "password": "of-the-developer"}'
    monkeypatch.setenv("AIRFLOW_CONN_WOLKVOX_DEFAULT", mine)
    monkeypatch.setenv("no_proxy", "intranet")
    plain.makepyfile(
        f"""
    import os
    import socket

    real = socket.getaddrinfo

    def test_replaced(wolkvox_connection, wolkvox_connect):
        wolkvox_connect("wolkvox_north")
        assert "AIRFLOW_CONN_WOLKVOX_NORTH" in os.environ
        assert "of-the-developer" not in os.environ["AIRFLOW_CONN_WOLKVOX_DEFAULT"]
        assert os.environ["no_proxy"].split(",")[0] == "intranet"

    def test_restored():
        assert os.environ["AIRFLOW_CONN_WOLKVOX_DEFAULT"] == {mine!r}
        assert "AIRFLOW_CONN_WOLKVOX_NORTH" not in os.environ
        assert (os.environ["no_proxy"], socket.getaddrinfo) == ("intranet", real)
    """
    )
    run(plain).assert_outcomes(passed=2)


def test_connections_have_a_token_each_and_the_extras_that_are_given(plain):
    plain.makepyfile(
        """
    import json
    import os

    def connection(conn_id):
        return json.loads(os.environ["AIRFLOW_CONN_" + conn_id.upper()])

    def test_tokens(wolkvox_simulator, wolkvox_connection, wolkvox_connect):
        assert connection(wolkvox_connection)["password"] == wolkvox_simulator.token
        north = wolkvox_connect("wolkvox_north", country="CO", total_timeout=2)
        first, second = wolkvox_simulator.tokens
        assert (north, connection(north)["password"]) == ("wolkvox_north", second)
        assert connection(north)["extra"] == {
            "base_url": wolkvox_simulator.base_url, "country": "CO", "total_timeout": 2
        }
        wolkvox_connect("wolkvox_north")
        assert connection(north)["password"] == second
        wolkvox_connect("wolkvox_south", token=first)
        assert connection("wolkvox_south")["password"] == first
    """
    )
    run(plain).assert_outcomes(passed=1)


def test_options_are_for_a_suite_a_module_a_class_or_one_test(plain):
    plain.makeconftest(
        """
    import pytest

    @pytest.fixture
    def wolkvox_simulator_options():
        return {"agents": ["20001"]}
    """
    )
    plain.makepyfile(
        """
    import pytest

    def agents(simulator):
        return [agent.agent_id for agent in simulator.agents]

    def test_suite(wolkvox_simulator):
        assert agents(wolkvox_simulator) == ["20001"]

    @pytest.mark.parametrize("wolkvox_simulator_options", [{"agents": ["30001"], "latency": 0.01}])
    def test_one(wolkvox_simulator):
        assert (agents(wolkvox_simulator), wolkvox_simulator.latency) == (["30001"], 0.01)

    class TestClass:
        @pytest.fixture
        def wolkvox_simulator_options(self, wolkvox_simulator_options):
            return {**wolkvox_simulator_options, "tokens": ["demo-mine"]}

        def test_class(self, wolkvox_simulator):
            assert (agents(wolkvox_simulator), wolkvox_simulator.token) == (["20001"], "demo-mine")
    """
    )
    run(plain).assert_outcomes(passed=3)


@pytest.mark.parametrize("names", ["http_proxy", "HTTP_PROXY", "all_proxy"])
@pytest.mark.parametrize("exceptions", [None, "intranet", "*"])
def test_no_proxy_stands_before_the_simulator(plain, monkeypatch, names, exceptions):
    # Nobody listens at this one.
    monkeypatch.setenv(names, "http://127.0.0.1:1")
    if exceptions is not None:
        monkeypatch.setenv("no_proxy", exceptions)
    plain.makepyfile(
        RING
        + """
    def test_ring(wolkvox_simulator):
        ring(wolkvox_simulator, "3005550101")
        assert wolkvox_simulator.rings == {"3005550101": 1}
    """
    )
    run(plain).assert_outcomes(passed=1)


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:1"])
def test_a_connection_to_the_real_wolkvox_rings_nobody_and_fails_the_test(plain, monkeypatch, proxy):
    if proxy:
        monkeypatch.setenv("https_proxy", proxy)
    plain.makepyfile(
        """
    import pytest

    # There is no such server, should the plugin let it be asked.
    def test_forgotten(wolkvox_simulator, monkeypatch):
        from airflow_provider_wolkvox.api import NotSent, Resend, WolkvoxClient

        monkeypatch.setattr(Resend, "wait_after", lambda self, attempt: 0.01)
        with pytest.raises(NotSent, match="name could not be resolved"), WolkvoxClient("9999", "a-token") as wolkvox:
            wolkvox.aux_call("10001", "3005550101")
    """
    )
    result = run(plain)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*tried to reach wv9999.wolkvox.com, the real wolkvox. No request was sent.*"])


def test_other_names_are_resolved_as_ever(plain):
    plain.makepyfile(
        """
    import socket

    def test_others(wolkvox_simulator):
        assert socket.getaddrinfo("localhost", 80)
        assert socket.getaddrinfo(b"localhost", None, type=socket.SOCK_STREAM)
    """
    )
    run(plain).assert_outcomes(passed=1)


def test_pytests_start_imports_nothing_more_than_the_plugin(plain):
    plain.makepyfile(
        """
    import sys

    def test_start(pytestconfig):
        assert pytestconfig.pluginmanager.hasplugin("wolkvox")
        ours = {name for name in sys.modules if name.split(".")[0] == "airflow_provider_wolkvox"}
        assert ours == {"airflow_provider_wolkvox", "airflow_provider_wolkvox.pytest_plugin"}
        assert "airflow" not in sys.modules
    """
    )
    run(plain).assert_outcomes(passed=1)


def test_the_plugin_imports_nothing_that_pytest_has_not():
    known = "import pytest, sys; before = set(sys.modules); import airflow_provider_wolkvox.pytest_plugin"
    told = "print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", f"{known}; {told}"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["airflow_provider_wolkvox", "airflow_provider_wolkvox.pytest_plugin"]


def test_the_simulator_brings_no_airflow_and_no_library(plain):
    plain.makepyfile(
        """
    import sys

    def test_modules(wolkvox_simulator):
        assert {"airflow", "requests", "pendulum"}.isdisjoint(sys.modules)
    """
    )
    run(plain).assert_outcomes(passed=1)


def test_it_can_be_switched_off(plain):
    plain.makepyfile("def test_none(wolkvox_simulator): pass")
    result = run(plain, "-p", "no:wolkvox")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'wolkvox_simulator' not found*"])


def test_two_processes_at_once_do_not_see_each_other(plain):
    """What pytest-xdist's workers are to each other."""
    plain.makepyfile(
        RING
        + """
    import pytest

    @pytest.mark.parametrize("number", range(20))
    def test_ring(wolkvox_simulator, wolkvox_connection, number):
        for _ in range(3):
            ring(wolkvox_simulator, "3005550101")
        assert wolkvox_simulator.rings == {"3005550101": 3}
        assert wolkvox_simulator.stats().greatest_simultaneous == 1
    """
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    both = [subprocess.Popen(command, cwd=plain.path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        said, _ = process.communicate(timeout=600)
        assert (process.returncode, "20 passed" in said) == (0, True), said


EXAMPLES = CHECKOUT / "docs" / "examples" / "testing"


@pytest.mark.timeout(900)
def test_the_tests_on_the_documentations_page_pass_where_a_user_has_them(plain, monkeypatch):
    """A project of its own, with DAGs, tests and an Airflow that has nothing yet."""
    monkeypatch.delenv("AIRFLOW_HOME")
    for source, place in ((EXAMPLES, "tests"), (CHECKOUT / "example_dags", "dags")):
        folder = plain.mkdir(place)
        for file in source.glob("*.py"):
            (folder / file.name).write_text(file.read_text())
    result = run(plain, "tests")
    tests = sum(file.read_text().count("\ndef test_") for file in EXAMPLES.glob("test_*.py"))
    assert tests > 4
    result.assert_outcomes(passed=tests)


# The page

PAGE = CHECKOUT / "docs" / "testing.md"


def test_python_on_the_page_is_taken_from_the_files_that_were_run_above():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) > 5
    for block in blocks:
        [(file, section)] = re.findall(r'^--8<-- "docs/examples/testing/(\w+\.py):(\w+)"\n$', block)
        text = (EXAMPLES / file).read_text()
        assert all(f"# --8<-- [{marker}:{section}]\n" in text for marker in ("start", "end"))


def test_the_pages_table_names_every_fault():
    [table] = re.findall(r"\| fault \|.*?\n\n", PAGE.read_text(), re.DOTALL)
    named = [name for row in table.strip().splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(kind.value for kind in FaultKind)


@pytest.fixture
def curl():
    """Do what a curl command of the page says, to a simulator on another port."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("-X", dest="method", default="GET")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="body")
    parser.add_argument("address")

    def send(simulator: Simulator, command: str) -> int:
        given = parser.parse_args(shlex.split(command)[1:])
        host, target = given.address.removeprefix("http://").split("/", 1)
        assert host == "127.0.0.1:8099"
        connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=60)
        headers = dict(header.split(": ", 1) for header in given.headers)
        connection.request(given.method, f"/{target}", given.body, headers)
        status = connection.getresponse().status
        connection.close()
        return status

    return send


def test_every_curl_command_of_the_page_does_what_it_says(curl):
    commands = re.findall(r"^curl .*$", PAGE.read_text(), re.MULTILINE)
    assert len(commands) > 10
    with Simulator(tokens=["demo-token"]) as simulator:
        seen = []
        for command in commands:
            assert curl(simulator, command) == 200, command
            seen.append(
                (
                    simulator.rings["573005550101"],
                    len(simulator.faults),
                    simulator.agents[2].logged_in,
                    len(simulator.calls),
                )
            )
    assert seen[0] == (1, 0, True, 1)
    assert (1, 1, True, 1) in seen
    assert (1, 0, False, 1) in seen
    # The last one forgets all but the agents.
    assert seen[-1] == (0, 0, False, 0)
