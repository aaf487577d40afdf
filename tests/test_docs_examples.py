"""The code on the documentation's pages, run: through Airflow's task runner, against phones that count their rings."""

from __future__ import annotations

import importlib.util
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from samples import SERVER, TOKEN

CHECKOUT = Path(__file__).resolve().parents[1]
EXAMPLES = CHECKOUT / "docs" / "examples"
sys.path.append(str(CHECKOUT / "tests" / "airflow"))

from capabilities import HAS_LEDGER, needs_task_sdk  # noqa: E402
from task_runner import Server, run_try  # noqa: E402

pytestmark = pytest.mark.usefixtures("own_sigterm")

PHONE = "3005550101"


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"docs_example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def dag_of():
    """Return a page's DAG by its file's name, as Airflow's processor finds it."""
    from airflow.providers.common.compat.sdk import DAG

    def of(name: str) -> DAG:
        module = load(name)
        # A decorated function leaves its DAG with whoever called it; calling it again does no harm.
        return getattr(module, name)()

    return of


@pytest.fixture
def http_connection(simulator, monkeypatch) -> None:
    """The connection of those who call wolkvox without the provider."""
    fields = {"conn_type": "http", "host": simulator.base_url, "password": TOKEN}
    monkeypatch.setenv("AIRFLOW_CONN_WOLKVOX_HTTP", json.dumps(fields))


def test_every_example_file_is_run_here():
    tests = Path(__file__).read_text()
    assert [file.stem for file in EXAMPLES.glob("*.py") if f'"{file.stem}"' not in tests] == []


# Moving to the provider


@pytest.mark.parametrize("name", ["before_python_task", "before_http_operator"])
def test_without_the_provider_a_lost_answer_rings_the_customer_once_more(simulator, http_connection, dag_of, name):
    simulator.fault("drop_after_ringing")
    task = dag_of(name).get_task("call_customer")

    first = run_try(lambda dag: task, Server(), retries=3)
    second = run_try(lambda dag: task, Server(), try_number=2, retries=3)

    assert (first.state, second.state) == ("up_for_retry", "success")
    assert simulator.rings == {PHONE: 2}


@pytest.mark.parametrize("name", ["before_python_task", "before_http_operator"])
def test_without_the_provider_a_cleared_task_rings_the_customer_once_more(simulator, http_connection, dag_of, name):
    task = dag_of(name).get_task("call_customer")

    for try_number in (1, 2):
        assert run_try(lambda dag: task, Server(), try_number=try_number, retries=3).state == "success"

    assert simulator.rings == {PHONE: 2}


def test_with_the_provider_a_lost_answer_rings_nobody_again_and_is_looked_up(
    simulator, wolkvox_connection, dag_of, open_hours
):
    simulator.fault("drop_after_ringing")
    task = dag_of("after_moving").get_task("call_customer")
    server = Server()

    result = run_try(lambda dag: task, server, retries=3)
    cleared = run_try(lambda dag: task, server, try_number=2, retries=3)

    [call] = simulator.calls
    assert result.state == "success"
    assert result.xcoms["conn_id"] == call.conn_id
    # What remembers the call came with 3.3; before, a second try rings nobody and says why.
    assert cleared.state == ("success" if HAS_LEDGER else "failed")
    assert cleared.xcoms.get("conn_id") == (call.conn_id if HAS_LEDGER else None)
    assert simulator.rings == {PHONE: 1}


@pytest.fixture
def open_hours(monkeypatch) -> None:
    """Hours that are open whenever the test runs."""
    from airflow_provider_wolkvox.calling import CallingHours

    hours = CallingHours.weekly({"mon-sun": "00:00-24:00"}, timezone="America/Bogota")
    monkeypatch.setattr("airflow_provider_wolkvox.hooks.wolkvox.WolkvoxHook.calling_hours", lambda *given: hours)


# Calling hours

MONDAY, SATURDAY, SUNDAY = (datetime(2026, 11, day, tzinfo=UTC) for day in (23, 28, 29))
BOGOTA = timedelta(hours=5)


@pytest.mark.parametrize(
    ("task_id", "open_at", "closed_at"),
    [
        ("law", [MONDAY.replace(hour=18)], [SUNDAY.replace(hour=10), SATURDAY.replace(hour=16)]),
        ("team", [MONDAY.replace(hour=11)], [MONDAY.replace(hour=13), datetime(2026, 12, 24, 10, tzinfo=UTC)]),
        ("both", [SATURDAY.replace(hour=12)], [MONDAY.replace(hour=7, minute=30), MONDAY.replace(hour=13)]),
        ("by_connection", [MONDAY.replace(hour=18)], [MONDAY.replace(hour=7, minute=30), SUNDAY.replace(hour=10)]),
    ],
)
def test_the_hours_of_the_page_are_open_when_it_says(simulator, set_connection, dag_of, task_id, open_at, closed_at):
    # Mexico's hours, which begin later than Colombia's, where the example relies on the connection.
    set_connection(extra={"base_url": simulator.base_url, "country": "MX", "timezone": "America/Bogota"})
    task = dag_of("calling_hours").get_task(task_id)

    assert all(task.hours.is_open(at + BOGOTA) for at in open_at)
    assert not any(task.hours.is_open(at + BOGOTA) for at in closed_at)


def test_any_time_is_any_time(simulator, wolkvox_connection, dag_of):
    task = dag_of("calling_hours").get_task("any_time")

    assert run_try(lambda dag: task, Server()).state == "success"
    assert simulator.rings == {PHONE: 1}


# Batches and lanes


class AfterThePlan(Server):
    """Airflow's API server once the task `callbacks` has returned."""

    callbacks: list[dict[str, str]]

    def _answer(self, msg):
        from airflow.sdk.execution_time import comms

        if isinstance(msg, comms.GetXCom) and msg.task_id == "callbacks":
            return comms.XComResult(key=msg.key, value=self.callbacks)
        return super()._answer(msg)


@needs_task_sdk
def test_the_batch_of_the_page_rings_each_customer_once_and_writes_its_report(
    simulator, wolkvox_connection, dag_of, tmp_path
):
    callbacks = [{"agent_id": f"1000{n}", "customer_phone": f"300555010{n}"} for n in (1, 2, 3)]
    server = AfterThePlan(variables={"reports": str(tmp_path)})
    server.callbacks = callbacks
    task = dag_of("batch").get_task("call")

    assert run_try(lambda dag: task, server, retries=3).state == "success"

    assert simulator.rings == {callback["customer_phone"]: 1 for callback in callbacks}
    [report] = tmp_path.glob("*.html")
    assert "3" in report.read_text()


def test_two_connections_with_one_token_share_the_lane_that_the_page_gives_them(simulator, set_connection, dag_of):
    dag = dag_of("own_lane")
    for name in ("sales", "service"):
        set_connection(f"wolkvox_{name}", extra={"base_url": simulator.base_url})
        task = dag.get_task(name)
        assert run_try(lambda dag, task=task: task, Server()).state == "success"
        assert task.pool == "wolkvox_token_1"

    assert simulator.rings == {"3005550101": 1, "3005550102": 1}


# The client


@pytest.mark.parametrize(
    ("fault", "said", "rings"),
    [
        (None, "The phone rings: 10001.0101.", 1),
        ("quota", "No phone rang: wolkvox refused aux_call", 0),
        ("drop_after_ringing", "Do not simply call again: The outcome of aux_call is unknown", 1),
    ],
)
def test_the_client_of_the_page_says_what_happened(simulator, capsys, fault, said, rings):
    if fault:
        simulator.fault(fault)

    load("client").call_back(TOKEN, base_url=simulator.base_url)

    assert capsys.readouterr().out.startswith(said)
    assert simulator.rings[PHONE] == rings


def test_the_page_names_the_server_that_the_samples_use():
    assert f'"{SERVER}"' in (EXAMPLES / "client.py").read_text()
