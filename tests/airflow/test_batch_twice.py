"""Whoever was rung, or may have been, is rung no second time: by another spelling, another process, another try."""

from __future__ import annotations

import copy
from datetime import timedelta
from uuid import uuid4

import pytest
from capabilities import needs_ledger
from interruptions import Interruption
from task_runner import Server, run_try
from test_batch import ALL_ONCE, CALLS, PHONES, batch, states

from airflow_provider_wolkvox.api import WolkvoxClient
from airflow_provider_wolkvox.operators import aux_call_batch
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator

LOCAL = "3005550801"


@pytest.fixture
def server() -> Server:
    return Server()


def one(phone, agent_id="10001"):
    return {"agent_id": agent_id, "customer_phone": phone}


def people(simulator, digits: int = 8) -> dict[str, int]:
    """Return how often each person's phone rang, whatever way it was dialled."""
    found: dict[str, int] = {}
    for phone, rings in simulator.rings.items():
        found[phone[-digits:]] = found.get(phone[-digits:], 0) + rings
    return found


SPELLINGS = ["+57 300 555 0801", "573005550801", "300-555.0801", " (300) 5550801", 3005550801, "0573005550801"]


@pytest.mark.parametrize("other", SPELLINGS)
def test_a_number_in_two_spellings_is_one_customer_of_a_list(simulator, wolkvox_connection, server, other):
    run = run_try(batch(calls=[one(LOCAL), one(other, "10002")]), server)
    assert states(run) == ["accepted", "skipped"]
    assert people(simulator) == {LOCAL[-8:]: 1}


@needs_ledger
@pytest.mark.parametrize(
    "other",
    SPELLINGS,
)
def test_a_number_in_another_spelling_is_not_rung_again_by_a_later_run(simulator, wolkvox_connection, server, other):
    assert run_try(batch(calls=[one(LOCAL)]), server).state == "success"
    server.ti_id = uuid4()
    again = run_try(batch(calls=[one(other)]), server, try_number=2, max_tries=1)
    assert again.state == "success", again.error
    assert people(simulator) == {LOCAL[-8:]: 1}


@needs_ledger
def test_a_number_in_doubt_in_another_spelling_is_not_rung_again(simulator, wolkvox_connection, server):
    simulator.fault("drop_after_ringing", api="aux_call", times=1)
    run_try(batch(calls=[one(LOCAL)]), server)
    again = run_try(batch(calls=[one(f"+57 {LOCAL}")]), server, try_number=2, max_tries=1)
    assert states(again) == ["unknown"]
    assert people(simulator) == {LOCAL[-8:]: 1}


@pytest.mark.parametrize(
    ("national", "whole"),
    [
        ("912345678", "+56 9 1234 5678"),
        ("991234567", "0991234567"),
        ("991234567", "+593 99 123 4567"),
        ("61234567", "+507 6123-4567"),
    ],
    ids=["CL", "EC trunk", "EC", "PA"],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_short_number_with_its_countrys_code_is_the_same_customer(
    simulator, wolkvox_connection, server, national, whole, swapped
):
    spellings = [whole, national] if swapped else [national, whole]
    run = run_try(batch(calls=[one(spellings[0]), one(spellings[1], "10002")]), server)
    assert states(run) == ["accepted", "skipped"]
    assert people(simulator) == {national[-8:]: 1}


@needs_ledger
def test_an_agent_who_changed_between_two_runs_changes_nothing_for_who_was_rung(simulator, wolkvox_connection, server):
    run_try(batch(max_calls=6), server)
    changed = [{**call, "agent_id": "10005"} for call in CALLS]
    again = run_try(batch(calls=changed), server, try_number=2, max_tries=1)
    assert again.state == "success", again.error
    assert simulator.rings == ALL_ONCE


@needs_ledger
def test_a_call_in_doubt_is_looked_up_with_the_agent_it_was_asked_of(simulator, wolkvox_connection, server):
    simulator.fault("drop_after_ringing", api="aux_call", times=1)
    run_try(batch(calls=[one(LOCAL)]), server)
    again = run_try(batch(calls=[one(LOCAL, "10002")], on_unknown="look_up"), server, try_number=2, max_tries=1)
    assert again.state == "success"
    assert states(again) == ["accepted"]


@needs_ledger
def test_a_call_in_doubt_that_left_the_list_is_told_of(simulator, wolkvox_connection, server, everything_said):
    simulator.fault("drop_after_ringing", api="aux_call", times=1)
    run_try(batch(calls=CALLS[:3]), server)
    so_far = len(everything_said())
    again = run_try(batch(calls=CALLS[1:5]), server, try_number=2, max_tries=1)
    assert again.state == "success"
    assert f"***{PHONES[0][-4:]}" in everything_said()[so_far:] + str(again.xcoms)


# Two processes at once


def steps_of_a_try() -> list[str]:
    first = ["SetRenderedFields", "MaskSecret", "MaskSecret", "MaskSecret", "GetTaskStateStore"]
    first += ["GetTaskStates", "SetTaskStateStore"]
    return [*first, *4 * ["GetTaskStates", "GetVariable", "SetTaskStateStore"]]


def copies(simulator, server, at: int, when: str) -> None:
    """Run a whole second process of the same task instance at a step of the first."""
    watch = Interruption("copy", at, when, server, names=[])

    def copy_runs() -> None:
        watching = server.on_message
        server.on_message = lambda message, moment: None
        run_try(batch(calls=CALLS[:4]), server, quiet=True)
        server.on_message = watching

    watch._strike = copy_runs
    server.on_message = lambda message, moment: watch.passes(type(message).__name__, moment)
    try:
        run_try(batch(calls=CALLS[:4]), server, quiet=True)
    finally:
        server.on_message = lambda message, moment: None
    assert watch.done
    assert watch.names[:at] == steps_of_a_try()[:at]


@needs_ledger
@pytest.mark.parametrize(
    ("kind", "when"),
    [
        # What comes between the server's answer and the write is the window of docs/guarantees.md.
        ("GetTaskStateStore", "after"),
        ("GetTaskStates", "before"),
    ],
)
def test_two_processes_of_one_task_ring_nobody_twice_nor_does_a_clear(
    simulator, wolkvox_connection, server, kind, when
):
    at = steps_of_a_try().index(kind) + 1
    copies(simulator, server, at, when)
    server.ti_id = uuid4()
    again = run_try(batch(calls=CALLS[:4]), server, try_number=2, max_tries=1)
    assert again.state == "success", again.error
    assert max(simulator.rings.values()) == 1


@needs_ledger
def test_what_a_second_process_made_during_a_call_is_known_to_a_clear(
    simulator, wolkvox_connection, server, monkeypatch
):
    aux_call, ran = WolkvoxClient.aux_call, []

    def overtaken(self, agent_id, phone, **around):
        if phone == PHONES[1] and not ran:
            ran.append(True)
            run_try(batch(calls=CALLS[:5]), server, quiet=True)
        return aux_call(self, agent_id, phone, **around)

    monkeypatch.setattr(WolkvoxClient, "aux_call", overtaken)
    # What a thread would write in the very moment in which the other one does is the window of docs/guarantees.md.
    monkeypatch.setattr(aux_call_batch._World, "may_look_ahead", False)
    run_try(batch(calls=CALLS[:5]), server, quiet=True)
    assert ran
    assert max(simulator.rings.values()) == 1
    server.ti_id = uuid4()
    run_try(batch(calls=CALLS[:5]), server, try_number=2, max_tries=1)
    assert max(simulator.rings.values()) == 1


def test_the_task_can_be_copied_deeply(simulator):
    from airflow.providers.common.compat.sdk import DAG

    with DAG("copied", schedule=None) as dag:
        task = batch()(dag)
    assert copy.deepcopy(task).calls == CALLS


@needs_ledger
@pytest.mark.parametrize("gap", ["store", "task"])
def test_what_a_cleared_process_does_late_is_answered_with_no_further_ring(simulator, wolkvox_connection, server, gap):
    cleared = False

    def clear(message, moment):
        nonlocal cleared
        if sum(simulator.rings.values()) >= 4 and not cleared:
            cleared = True
            server.ti_id = uuid4()
            if gap == "task":
                server.task_state = None

    server.on_message = clear
    run = run_try(batch(), server, retries=1)
    assert run.state in ("failed", "up_for_retry")
    server.on_message = lambda message, moment: None
    again = run_try(batch(), server, try_number=2, max_tries=1)
    assert again.state == "success", again.error
    assert max(simulator.rings.values()) == 1
    assert states(again).count("unknown") <= 2


# The number as one value


@needs_ledger
@pytest.mark.parametrize(("first", "then"), [("987600001", "51987600001"), ("+51 1 456 7890", "014567890")])
def test_a_short_national_number_is_not_rung_again_with_or_without_its_country(
    simulator, wolkvox_connection, server, first, then
):
    assert run_try(batch(calls=[one(first)]), server).state == "success"
    server.ti_id = uuid4()
    again = run_try(batch(calls=[one(then)]), server, try_number=2, max_tries=1)
    assert again.state == "success", again.error
    assert sum(simulator.rings.values()) == 1


def test_a_number_that_is_left_for_the_next_batch_keeps_its_plus(simulator, wolkvox_connection, server):
    run = run_try(batch(calls=[one(LOCAL), one("+1 213 555 0123", "10002")], max_calls=1), server)
    [left] = run.xcoms["left"]
    assert left == {"agent_id": "10002", "customer_phone": "+12135550123"}
    run_try(batch(calls=run.xcoms["left"]), Server())
    assert simulator.rings == {LOCAL: 1, "12135550123": 1}


class OpenIn:
    """Hours that are open at any time in one zone, and never in another."""

    def __init__(self, zone: str, zones: frozenset[str]) -> None:
        self._zone, self._zones = zone, zones

    def in_zones(self, zones):
        return OpenIn(self._zone, frozenset(zones))

    def why_closed(self, at):
        return None if self._zones == {self._zone} else "closed there"

    def next_open(self, at):
        return at + timedelta(hours=1)


def test_a_batch_judges_a_number_by_the_clock_that_a_single_call_judges_it_by(simulator, set_connection, server):
    number = "+1 213 555 0123"
    set_connection(extra={"base_url": simulator.base_url, "country": "CO"})
    hours = {
        "calling_hours": OpenIn("America/Bogota", frozenset({"America/Bogota"})),
        "phone_zones": True,
        "outside_hours": "skip",
    }
    single = run_try(lambda dag: AuxCallOperator(task_id="task", **one(number), **hours), Server())
    many = run_try(batch(calls=[one(number), one(LOCAL, "10002")], **hours), server)
    assert single.state == "skipped", single.error
    assert states(many) == ["skipped", "accepted"]
    assert simulator.rings == {LOCAL: 1}


@pytest.mark.parametrize("number", ["3005550801.0", "3005550801 - 3005550802", "3,00555E+09"])
def test_what_cannot_be_one_number_is_skipped_with_the_reason_and_the_rest_is_called(
    simulator, wolkvox_connection, server, number
):
    run = run_try(batch(calls=[one(number), one(LOCAL, "10002")]), server)
    assert states(run) == ["skipped", "accepted"]
    assert "customer_phone (***" in run.xcoms["return_value"][0]["reason"]
    assert simulator.rings == {LOCAL: 1}
