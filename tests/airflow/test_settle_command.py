"""`airflow wolkvox settle` closes a doubt by hand; `release` and it say which map indexes there are."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime

import pytest
from capabilities import HAS_LEDGER, needs_ledger
from failed_tasks import add_instance, failed_run
from samples import AGENT, PHONE
from task_runner import Server, run_try

from airflow_provider_wolkvox.__main__ import main
from airflow_provider_wolkvox.ledger import KEY, BatchLedger, CallState, Entry
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator
from airflow_provider_wolkvox.operators.aux_call_batch import AuxCallBatchOperator

DAG_ID, RUN_ID, TASK_ID = "settled", "manual__1", "task"
NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def call(dag):
    return AuxCallOperator(task_id="task", agent_id=AGENT, customer_phone=PHONE, calling_hours=None)


def batch(dag):
    calls = [{"agent_id": AGENT, "customer_phone": phone} for phone in (PHONE, "3005550202")]
    return AuxCallBatchOperator(task_id="task", calls=calls, calling_hours=None, wait_for_agents=False)


class Stored:
    """A task instance's state store, in the database and for a running task."""

    def __init__(self) -> None:
        from airflow.state import TaskScope, get_state_backend

        self._backend = get_state_backend()
        self._scope = TaskScope(dag_id=DAG_ID, run_id=RUN_ID, task_id=TASK_ID, map_index=-1)

    def get(self, key, default=None):
        from airflow.utils.session import create_session

        with create_session() as session:
            kept = self._backend.get(self._scope, key, session=session)
        return default if kept is None else json.loads(kept)

    def set(self, key, value, *, retention=None):
        from airflow.utils.session import create_session

        with create_session() as session:
            self._backend.set(self._scope, key, json.dumps(value), session=session)

    def take(self, server: Server) -> None:
        """Keep what a try left behind."""
        for key, value in server.store.items():
            self.set(key, value)

    def give(self, server: Server) -> None:
        """Give the next try what is kept."""
        for key in server.store:
            server.store[key] = self.get(key)


@pytest.fixture
def stored(migrated_database):
    """A failed task in the database, with an empty ledger."""
    with failed_run(DAG_ID, RUN_ID, TASK_ID):
        yield Stored()


@pytest.fixture
def run(capsys):
    """Run a command about the task; return what it printed, and what it ended with (0 if all is well)."""

    def run(command: str, *arguments: str, task_id: str = TASK_ID) -> tuple[str, object]:
        capsys.readouterr()
        status: object = 0
        try:
            main([command, DAG_ID, RUN_ID, task_id, *arguments])
        except SystemExit as end:
            status = end.code
        out = capsys.readouterr().out
        assert PHONE not in f"{out}{status}"
        return out, status

    return run


@pytest.fixture
def in_doubt(stored, simulator, wolkvox_connection):
    """A server whose task's call was lost on the way: it rang, and no answer came back."""
    simulator.fault("drop_after_ringing", api="aux_call")
    server = Server()
    run_try(call, server)
    assert server.store[KEY]["state"] == "intent"
    stored.take(server)
    return server


@needs_ledger
def test_a_call_that_was_made_is_returned_by_the_next_run_which_rings_nobody(stored, in_doubt, simulator, run):
    rung = dict(simulator.rings)
    out, status = run("settle", "--conn-id", "1690000000.77")
    assert status == 0
    assert "Settled: accepted in try 1" in out
    stored.give(in_doubt)
    again = run_try(call, in_doubt, try_number=2, max_tries=1)
    assert again.state == "success"
    assert again.xcoms["conn_id"] == "1690000000.77"
    assert simulator.rings == rung


@needs_ledger
def test_a_call_that_was_not_made_is_made_by_the_next_run(stored, in_doubt, simulator, run):
    rung = simulator.rings[PHONE]
    assert run("settle", "--not-made")[1] == 0
    stored.give(in_doubt)
    assert run_try(call, in_doubt, try_number=2, max_tries=1).state == "success"
    assert simulator.rings[PHONE] == rung + 1


@needs_ledger
@pytest.mark.parametrize("how", [("--conn-id", "x1"), ("--not-made",)])
def test_who_settled_it_and_when_is_kept(stored, in_doubt, run, how):
    run("settle", *how)
    entry = Entry.from_json(stored.get(KEY))
    assert f"by {getpass.getuser()} at {datetime.now(UTC):%Y-%m-%d}" in entry.reason
    assert entry.reason.startswith("settled by hand as")
    # What it is about stays.
    assert (entry.agent_id, entry.phone, entry.reference) == (
        in_doubt.store[KEY]["agent_id"],
        in_doubt.store[KEY]["phone"],
        in_doubt.store[KEY]["reference"],
    )


@needs_ledger
@pytest.mark.parametrize("state", [CallState.ACCEPTED, CallState.REFUSED, CallState.NOT_SENT])
def test_what_is_not_in_doubt_is_not_settled(stored, run, state):
    kept = Entry(state, 1, NOW, agent_id=AGENT, phone="***0101").to_json()
    stored.set(KEY, kept)
    assert "Nothing is in doubt. Nothing was changed." in str(run("settle", "--not-made")[1])
    assert stored.get(KEY) == kept


@needs_ledger
@pytest.mark.parametrize("how", [(), ("--conn-id", "x", "--not-made")])
def test_it_is_said_which_of_the_two_it_was(stored, in_doubt, run, how):
    assert "Give either --conn-id or --not-made" in str(run("settle", *how)[1])
    assert stored.get(KEY)["state"] == "intent"


@needs_ledger
@pytest.mark.parametrize("conn_id", ["", "a b", "x\nforged", "\x1b[31m", "x" * 101])
def test_an_id_that_cannot_be_wolkvoxs_is_not_kept(stored, in_doubt, run, conn_id):
    assert "is not an id of wolkvox's" in str(run("settle", f"--conn-id={conn_id}")[1])
    assert stored.get(KEY)["state"] == "intent"


@pytest.mark.skipif(HAS_LEDGER, reason="about what is before 3.3")
def test_without_a_ledger_it_says_so(run):
    assert "There is no ledger before Airflow 3.3" in str(run("settle", "--not-made")[1])


# Of a batch


@pytest.fixture
def batch_in_doubt(stored, simulator, wolkvox_connection):
    """A server whose batch made two calls, and no answer came back."""
    simulator.fault("drop_after_ringing", api="aux_call", times=None)
    server = Server()
    run_try(batch, server)
    simulator.clear_faults()
    stored.take(server)
    return server


def states(stored) -> dict[str, str]:
    return {entry.phone: entry.state.value for entry in BatchLedger(stored, 1).read().values()}


@needs_ledger
def test_of_a_batch_one_call_has_to_be_named(stored, batch_in_doubt, run):
    out, status = run("settle", "--not-made")
    assert "2 calls in doubt fit" in str(status)
    assert "***0101" in out
    assert "***0202" in out
    assert set(states(stored).values()) == {"intent"}


@needs_ledger
def test_of_a_batch_the_named_call_alone_is_settled(stored, batch_in_doubt, simulator, run):
    before = dict(simulator.rings)
    assert run("settle", "--not-made", "--agent", AGENT, "--phone-ends", "0202")[1] == 0
    assert run("settle", "--conn-id", "1690000000.77", "--phone-ends", PHONE[-4:])[1] == 0
    assert states(stored) == {"***0101": "accepted", "***0202": "not_sent"}
    stored.give(batch_in_doubt)
    again = run_try(batch, batch_in_doubt, try_number=2, max_tries=1)
    assert again.state == "success"
    assert simulator.rings == {**before, "3005550202": before["3005550202"] + 1}


# The map index


@needs_ledger
@pytest.mark.parametrize("command", ["release", "settle"])
def test_a_forgotten_map_index_lists_those_that_there_are(stored, run, command):
    for index in range(3):
        add_instance(DAG_ID, RUN_ID, "mapped", index)
    given = ("--not-made",) if command == "settle" else ("--yes",)
    said = str(run(command, *given, task_id="mapped")[1])
    assert "the task is mapped, so give a map index: 0 (failed), 1 (failed), 2 (failed)." in said
    assert "leave the map index out" in str(run(command, "4", *given)[1])
    assert "There is no task instance settled manual__1 nosuch. Nothing" in str(
        run(command, *given, task_id="nosuch")[1]
    )


@needs_ledger
@pytest.mark.parametrize("state", [CallState.REFUSED, CallState.NOT_SENT])
def test_release_says_at_once_that_a_call_that_was_not_made_needs_none(stored, run, state):
    stored.set(KEY, Entry(state, 1, NOW, agent_id=AGENT, phone="***0101").to_json())
    assert str(run("release")[1]).startswith("Nothing needs a release")


# The message of an unknown outcome


def test_the_message_of_an_unknown_outcome_names_the_commands_ready_to_paste(simulator, wolkvox_connection):
    simulator.fault("drop_after_ringing", api="aux_call")
    said = str(run_try(call, Server()).error)
    assert f"look-up --conn-id wolkvox_default --agent {AGENT} --around '20" in said
    assert "UTC' --phone NUMBER`, where NUMBER is the customer's (***0101)" in said
    assert ("airflow wolkvox settle callbacks manual__1 task --not-made" in said) == HAS_LEDGER
