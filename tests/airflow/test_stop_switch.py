"""The Variable `wolkvox_stop` ends all calling, single calls too, and whatever is not understood ends it as well."""

from __future__ import annotations

import pytest
from capabilities import HAS_TASK_SDK, needs_ledger, needs_task_sdk
from samples import AGENT, PHONE
from task_runner import Server, run_try

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator
from airflow_provider_wolkvox.stop_switch import OFF, ON, StopSwitch


def call(dag):
    return AuxCallOperator(task_id="task", agent_id=AGENT, customer_phone=PHONE, calling_hours=None)


STOPS = [
    *ON,
    "TRUE",
    "Sí",
    "2",
    "enabled",
    "alto",
    '"true"',
    "'true'",
    '["wolkvox_default"]',
    "['another', 'wolkvox_default']",
    '["another", "wolkvox_default"]',
    "another|wolkvox_default",
    "another, wolkvox_default",
    "another\twolkvox_default\n",
    "another;wolkvox_default",
    "WOLKVOX_DEFAULT",
    "wolkvox_defualt",
    "another, anohter",
    "another, off",
    "false true",
    '{"wolkvox_default": true}',
    "\ufefffalse",
    "\u200b",
    "-",
    "disabled",
]
GOES_ON = [
    "",
    " \n",
    '""',
    "[]",
    *OFF,
    "FALSE",
    "Off",
    '"false"',
    "'no'",
    "another",
    "another, other",
    "another|other",
    '["another", "other"]',
    "another\nother\n",
]


@pytest.fixture
def others(set_connection):
    """Two connections that exist, besides the one that the task uses."""
    set_connection("another")
    set_connection("other")


@pytest.mark.parametrize("value", STOPS, ids=ascii)
def test_whatever_is_not_known_to_mean_off_stops_the_call(simulator, wolkvox_connection, others, value):
    run = run_try(call, Server(variables={"wolkvox_stop": value}), retries=3)
    assert run.state == "failed"
    assert "the Variable wolkvox_stop is" in str(run.error)
    assert "No phone rang" in str(run.error)
    assert simulator.stats().requests == 0


@pytest.mark.parametrize("value", GOES_ON, ids=ascii)
def test_a_word_for_off_and_the_names_of_other_connections_stop_nobody(simulator, wolkvox_connection, others, value):
    assert run_try(call, Server(variables={"wolkvox_stop": value})).state == "success"
    assert simulator.rings == {PHONE: 1}


def test_a_name_that_is_no_connections_is_told(simulator, wolkvox_connection, others):
    run = run_try(call, Server(variables={"wolkvox_stop": "another, anohter"}))
    assert "'anohter' is neither a word for off" in str(run.error)


@needs_ledger
def test_a_call_that_was_stopped_is_made_once_calling_goes_on(simulator, wolkvox_connection):
    server = Server(variables={"wolkvox_stop": "true"})
    assert run_try(call, server, retries=3).state == "failed"
    server.variables.clear()
    assert run_try(call, server, try_number=2, max_tries=4).state == "success"
    assert simulator.rings == {PHONE: 1}


@needs_ledger
def test_a_call_that_was_made_is_still_told_of(simulator, wolkvox_connection):
    server = Server()
    first = run_try(call, server)
    server.variables["wolkvox_stop"] = "true"
    again = run_try(call, server, try_number=2, max_tries=1)
    assert again.state == "success"
    assert again.xcoms["conn_id"] == first.xcoms["conn_id"]


# A Variable that cannot be read


def _unanswered(how):
    """Return a server that has no answer to a question about a Variable."""
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time import comms

    failure = comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 503})

    class Silent(Server):
        def _answer(self, msg):
            if not isinstance(msg, comms.GetVariable):
                return super()._answer(msg)
            if how == "answers with an error":
                return failure
            if how == "raises":
                raise AirflowRuntimeError(failure)
            return None

    return Silent()


@needs_task_sdk
@pytest.mark.parametrize("how", ["answers with an error", "raises", "answers nothing"])
def test_no_call_is_made_while_airflow_cannot_tell_the_switch(simulator, wolkvox_connection, how):
    run = run_try(call, _unanswered(how))
    assert run.state == "failed"
    assert "the Variable wolkvox_stop could not be read" in str(run.error)
    assert simulator.stats().requests == 0


def test_no_call_is_made_while_a_secrets_backend_cannot_tell_the_switch(simulator, wolkvox_connection, monkeypatch):
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend

    class Down(EnvironmentVariablesBackend):
        def get_variable(self, key, *args, **kwargs):
            raise ConnectionError("the vault is sealed")

    home = "airflow.sdk.execution_time.supervisor.ensure_secrets_backend_loaded"
    if not HAS_TASK_SDK:
        home = "airflow.configuration.ensure_secrets_loaded"
    monkeypatch.setattr(home, lambda *args, **kwargs: [Down()])
    run = run_try(call, Server())
    assert run.state == "failed"
    assert "the Variable wolkvox_stop could not be read" in str(run.error)
    assert simulator.stats().requests == 0


# What is said of it


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "not set"),
        ({"wolkvox_stop": "False"}, "off ('False')"),
        ({"wolkvox_stop": "another"}, "set ('another')"),
        ({"wolkvox_stop": "true"}, "set ('true')"),
    ],
    ids=ascii,
)
def test_a_call_logs_the_state_of_the_switch_first(
    simulator, wolkvox_connection, others, everything_said, variables, said
):
    run = run_try(call, Server(variables=variables))
    logged = everything_said()
    assert f"Stop switch wolkvox_stop: {said}." in logged
    if run.state == "success":
        assert logged.index("Stop switch") < logged.index("wolkvox accepted the call")


def test_a_value_is_told_on_one_line_in_a_bounded_length_and_without_numbers():
    said = str(StopSwitch("a\r\nb\x1b[31m\u202e 573005550101 " + "x" * 10_000))
    assert said.isprintable()
    assert "\x1b" not in said
    assert "573005550101" not in said
    assert len(said) < 120
