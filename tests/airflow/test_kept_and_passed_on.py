"""What a task keeps of its calls, and what an operator passes on: each line breaks if one line of the code does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from capabilities import HAS_LEDGER, NO_LEDGER
from samples import AGENT, PHONE, TOKEN

if not HAS_LEDGER:
    pytest.skip(NO_LEDGER, allow_module_level=True)

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import comms
from sdk_runner import Server, kind_of, run_try
from test_batch import CALLS, PHONES, batch, states

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator

pytestmark = pytest.mark.usefixtures("own_sigterm")

KEY = "wolkvox_call"
FIRST_CHUNK = "wolkvox_calls_0"
WEEK = timedelta(days=7)


@pytest.fixture
def server() -> Server:
    return Server()


def call(**arguments):
    given = {"agent_id": AGENT, "customer_phone": PHONE, **arguments}
    return lambda dag: AuxCallOperator(task_id="task", **given)


def kept(server) -> dict[str, str]:
    """Return each customer's state in a batch's ledger, by the masked number."""
    return {line[4]: line[0] for line in server.store[FIRST_CHUNK]["lines"].values()}


def reasons(run) -> list[str]:
    return [each["reason"] for each in run.xcoms["return_value"]]


# For how long


@pytest.mark.parametrize("make", [call, batch])
def test_the_ledger_is_kept_as_long_as_the_author_says(simulator, wolkvox_connection, server, make):
    begun = datetime.now(UTC)
    assert run_try(make(ledger_retention=WEEK), server).state == "success"
    written = [message for message in server.messages if type(message).__name__ == "SetTaskStateStore"]
    assert written
    for message in written:
        assert begun + WEEK <= message.expires_at <= datetime.now(UTC) + WEEK


# An intent that was not written


@pytest.mark.parametrize("make", [call, batch])
def test_an_intent_that_could_not_be_written_stands_nowhere(simulator, wolkvox_connection, server, make):
    failed = []

    def on_message(message, when) -> None:
        is_write = when == "before" and kind_of(message).startswith("SetTaskStateStore")
        holds_intent = is_write and "intent" in str(message.value)
        if holds_intent and not failed:
            failed.append(message)
            raise AirflowRuntimeError(comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={}))

    server.on_message = on_message
    run = run_try(make(), server, retries=2)
    assert failed
    assert run.state == "up_for_retry"
    assert simulator.rings == {}
    assert "'intent'" not in str(server.store)
    server.ti_id = uuid4()
    again = run_try(make(), server, try_number=2, retries=2)
    assert again.state == "success", again.error


class OpenUntil:
    """Hours that close once so many phones have rung."""

    def __init__(self, simulator, rings: int, opens: datetime) -> None:
        self._simulator, self._rings, self._opens = simulator, rings, opens

    def why_closed(self, at):
        return "closed by now" if len(self._simulator.calls) >= self._rings else None

    def next_open(self, at):
        return self._opens


def test_a_call_that_was_looked_ahead_at_and_is_skipped_is_not_in_doubt(simulator, wolkvox_connection, server):
    tomorrow = datetime.now(UTC) + timedelta(hours=20)
    hours = OpenUntil(simulator, 3, tomorrow)
    run = run_try(batch(calling_hours=hours, outside_hours="skip"), server)
    assert states(run) == ["accepted"] * 3 + ["skipped"] * 9
    assert set(kept(server).values()) == {"accepted", "not_sent"}


def test_a_refused_call_keeps_state_and_reason_over_a_pause(simulator, wolkvox_connection, server):
    simulator.fault("reply", status=404, body='{"code": "404", "error": "Not Found", "msg": "agent is out"}', times=1)
    hours = OpenUntil(simulator, 2, datetime.now(UTC) + timedelta(hours=1))
    paused = run_try(batch(calling_hours=hours), server)
    assert paused.state == "up_for_reschedule"
    server.ti_id = uuid4()
    run = run_try(batch(), server)
    assert states(run) == ["refused"] + ["accepted"] * 11
    assert "agent is out" in reasons(run)[0]
    assert simulator.rings == dict.fromkeys(PHONES[1:], 1)


# Reasons


def test_a_call_of_unknown_outcome_is_kept_with_the_reason(simulator, wolkvox_connection, server):
    simulator.fault("drop_after_ringing")
    assert run_try(call(), server).state == "failed"
    assert server.store[KEY]["state"] == "intent"
    reason = server.store[KEY]["reason"]
    assert reason in ("the connection was closed without an answer", "connection reset by peer")
    server.ti_id = uuid4()
    again = run_try(call(), server, try_number=2, max_tries=1)
    assert reason in str(again.error)
    assert server.store[KEY]["reason"] == reason


def test_the_reasons_of_a_batch_are_there_in_its_second_run(simulator, wolkvox_connection, server):
    simulator.fault("drop_after_ringing", phone=PHONES[1])
    first = run_try(batch(), server)
    server.ti_id = uuid4()
    again = run_try(batch(), server, try_number=2, max_tries=1)
    assert reasons(first)[1]
    assert reasons(again)[1] == reasons(first)[1]
    assert states(again) == states(first)


def test_a_call_that_the_switch_stopped_is_kept_with_the_reason(simulator, wolkvox_connection, server):
    server.variables["wolkvox_stop"] = "true"
    run = run_try(call(), server)
    assert run.state == "failed"
    assert server.store[KEY]["state"] == "not_sent"
    assert "wolkvox_stop" in server.store[KEY]["reason"]


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "accepted",
        7,
        [],
        {},
        {"state": "accepted"},
        {"state": "rung", "try_number": 1, "at": "2026-11-22T18:00:00+00:00"},
        {"state": "intent", "try_number": "x", "at": "2026-11-22T18:00:00+00:00"},
        {"state": "intent", "try_number": 1, "at": "2026-11-22T18:00:00"},
        {"state": "intent", "try_number": 1, "at": 5},
        {"state": "intent", "try_number": 1, "at": "2026-11-22T18:00:00+00:00", "color": "red"},
    ],
    ids=repr,
)
def test_an_entry_of_another_shape_keeps_the_phone_from_ringing(simulator, wolkvox_connection, server, entry):
    server.store[KEY] = entry
    run = run_try(call(), server, try_number=2, max_tries=1)
    if entry is None:
        assert simulator.rings == {PHONE: 1}  # the store's own word for nothing
        return
    assert run.state == "failed"
    assert "What the ledger holds cannot be read" in str(run.error)
    assert simulator.rings == {}


LINE = ["intent", 1, 1795779690, AGENT, "***0801", "", ""]


@pytest.mark.parametrize(
    "chunk",
    [
        "accepted",
        7,
        [],
        {},
        {"salt": "a"},
        {"lines": {}},
        {"salt": 1, "lines": {}},
        {"salt": "a", "lines": []},
        {"salt": "a", "lines": {"c": None}},
        {"salt": "a", "lines": {"c": LINE[:-1]}},
        {"salt": "a", "lines": {"c": ["rung", *LINE[1:]]}},
        {"salt": "a", "lines": {"c": [LINE[0], "x", *LINE[2:]]}},
        {"salt": "a", "lines": {"c": [*LINE[:2], "now", *LINE[3:]]}},
        {"salt": "a", "lines": {"c": [*LINE[:2], 10**20, *LINE[3:]]}},
    ],
    ids=repr,
)
def test_a_part_of_a_batchs_ledger_of_another_shape_keeps_all_phones_from_ringing(
    simulator, wolkvox_connection, server, chunk
):
    server.store[FIRST_CHUNK] = chunk
    run = run_try(batch(), server, try_number=2, max_tries=1)
    assert run.state == "failed"
    assert simulator.rings == {}


# What the operator passes on


def test_the_time_for_starting_calls_is_passed_on(simulator, wolkvox_connection, server):
    run = run_try(batch(max_duration=timedelta(microseconds=1)), server)
    assert run.xcoms["summary"]["ended_because"] == "max_duration=0:00:00.000001 is over"
    assert len(run.xcoms["left"]) == len(CALLS) - len(simulator.calls)
    assert len(simulator.calls) <= 1


def test_the_number_of_unknown_outcomes_in_a_row_is_passed_on(simulator, wolkvox_connection, server):
    simulator.fault("drop_after_ringing", api="aux_call", times=None)
    run = run_try(batch(max_unknown=2), server)
    assert "2 unknown outcomes in a row (max_unknown)" in str(run.error)
    assert len(simulator.calls) == 2


def test_the_pace_is_passed_on(simulator, wolkvox_connection, server):
    run = run_try(batch(calls=CALLS[:3], pace=timedelta(seconds=0.3)), server)
    assert run.state == "success"
    assert all(later.at - earlier.at >= timedelta(seconds=0.3) for earlier, later in pairwise(simulator.calls))


def test_a_batch_that_reached_its_number_of_calls_says_so(simulator, wolkvox_connection, server):
    run = run_try(batch(max_calls=5), server)
    assert run.xcoms["summary"]["ended_because"] == "max_calls=5 is reached"
    assert states(run) == ["accepted"] * 5 + ["left"] * 7


def test_a_batch_that_called_everybody_has_no_reason_to_have_ended(simulator, wolkvox_connection, server):
    assert run_try(batch(), server).xcoms["summary"]["ended_because"] is None


def test_a_connection_that_cannot_be_right_fails_before_the_batch_starts(simulator, set_connection, server):
    set_connection(password=None, extra={"base_url": simulator.base_url})
    run = run_try(batch(), server)
    assert run.state == "failed"
    assert "the field 'Token' is empty" in str(run.error)
    assert server.store == {}
    assert "summary" not in run.xcoms


def test_the_agents_states_are_read_no_more_often_than_the_author_says(simulator, wolkvox_connection, server):
    calls = [{"agent_id": f"1000{number}", "customer_phone": PHONES[number]} for number in range(1, 6)]
    run = run_try(batch(calls=calls, wait_for_agents=True, agent_poll_interval=timedelta(hours=1)), server)
    assert states(run) == ["accepted"] * 5
    assert simulator.stats(TOKEN).requests == len(calls) + 1


@pytest.mark.parametrize("numbers", [("14567890", "014567890"), ("14567890", "5114567890"), ("5114567890", "14567890")])
def test_a_number_of_eight_digits_is_called_once_in_a_list(simulator, wolkvox_connection, server, numbers):
    calls = [{"agent_id": AGENT, "customer_phone": number} for number in numbers]
    run = run_try(batch(calls=calls), server)
    assert states(run) == ["accepted", "skipped"]
    assert sum(simulator.rings.values()) == 1


@pytest.mark.parametrize("deadline", ["", "None", "soon", "2026-11-27T10:00:00", "0", "False"])
def test_a_deadline_that_is_no_instant_fails_a_batch_before_its_first_call(
    simulator, wolkvox_connection, server, deadline
):
    server.variables["deadline"] = deadline
    run = run_try(batch(call_before="{{ var.value.deadline }}"), server, retries=2)
    assert run.state == "failed"
    assert "call_before" in str(run.error)
    assert simulator.stats(TOKEN).requests == 0
