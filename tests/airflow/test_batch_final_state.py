"""A batch is green only if its calls became what its author wants; all is reported before it fails."""

from __future__ import annotations

import pytest
from capabilities import HAS_LEDGER
from task_runner import Server, run_try
from test_batch import CALLS, batch, states

pytestmark = pytest.mark.usefixtures("wolkvox_connection", "own_sigterm")

DEFAULT = ("unknown", "none_made")
REFUSED = '{"code": "404", "error": "Not Found", "msg": "agent is out"}'
RETRIED = "up_for_retry" if HAS_LEDGER else "failed"


@pytest.fixture
def server() -> Server:
    return Server()


def test_a_batch_of_accepted_calls_is_green(simulator, server):
    assert run_try(batch(fail_on=DEFAULT), server).state == "success"


def test_an_empty_batch_is_green(simulator, server):
    assert run_try(batch(calls=[], fail_on=DEFAULT), server).state == "success"


def test_a_call_of_unknown_outcome_fails_the_batch_once_all_is_reported(simulator, server):
    simulator.fault("drop_after_ringing", after=3)
    run = run_try(batch(fail_on=DEFAULT), server, retries=2)
    assert run.state == "failed"
    assert "fails for unknown (fail_on)" in str(run.error)
    assert run.xcoms["summary"]["unknown"] == 1
    assert run.xcoms["left"] == []
    assert states(run) == ["accepted"] * 3 + ["unknown"] + ["accepted"] * 8


def test_a_batch_in_which_nobody_was_called_fails_and_may_be_retried(simulator, server):
    simulator.fault("reply", status=404, body=REFUSED, times=None)
    run = run_try(batch(fail_on=DEFAULT), server, retries=2)
    assert run.state == RETRIED
    assert "fails for none_made (fail_on)" in str(run.error)
    assert run.xcoms["summary"]["refused"] == len(CALLS)


def test_a_batch_whose_calls_were_all_skipped_is_not_green(simulator, server):
    run = run_try(batch(calls=[{**CALLS[0], "call_before": "2026-01-01T00:00:00Z"}], fail_on=DEFAULT), server)
    assert run.state == "failed"
    assert "none_made" in str(run.error)


@pytest.mark.parametrize(("fail_on", "state"), [(DEFAULT, "success"), (("refused",), "failed"), ((), "success")])
def test_whether_a_rejected_call_fails_the_batch_is_the_authors_choice(simulator, server, fail_on, state):
    simulator.fault("reply", status=404, body=REFUSED, times=2)
    assert run_try(batch(fail_on=fail_on), server).state == state


def test_who_was_not_called_is_warned_of_even_in_a_green_batch(simulator, server, everything_said):
    simulator.fault("reply", status=404, body=REFUSED, times=2)
    assert run_try(batch(), server).state == "success"
    assert "2 of 12 calls: wolkvox rejected them, no phone rang." in everything_said()


def test_a_batch_whose_outcomes_are_all_unknown_is_not_retried_in_vain(simulator, server, everything_said):
    simulator.fault("drop_after_ringing", times=None)
    run = run_try(batch(fail_on=DEFAULT, max_unknown=None), server, retries=2)
    assert run.state == "failed"
    assert "airflow wolkvox settle" in everything_said() or not HAS_LEDGER


def test_a_batch_that_ends_early_warns_of_who_was_not_called(simulator, server, everything_said):
    simulator.fault("quota", after=3, times=None)
    assert run_try(batch(), server).state == "failed"
    assert "of 12 calls: they were not reached." in everything_said()


@pytest.mark.parametrize("wrong", ["unknown", ["accepted"], ["in doubt"], [1], None, {"unknown": 1}])
def test_what_is_no_list_of_results_is_rejected_when_the_dag_is_parsed(wrong):
    with pytest.raises(ValueError, match="fail_on"):
        batch(fail_on=wrong)(None)
