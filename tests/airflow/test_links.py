"""The link from a call's task to wolkvox Manager."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG, task
from capabilities import HAS_TASK_SDK, DagSerialization, needs_task_sdk
from samples import AGENT, PHONE, TOKEN
from task_runner import Server, run_try

from airflow_provider_wolkvox.links import WolkvoxManagerLink
from airflow_provider_wolkvox.operators.aux_call import AuxCallBatchOperator, AuxCallOperator
from airflow_provider_wolkvox.operators.dial import DialOperator

CALL = {"agent_id": AGENT, "customer_phone": PHONE}


def decorated():
    @task.wolkvox_call
    def call():
        return CALL

    return call


DEFINITIONS = {
    "call": lambda: AuxCallOperator(task_id="call", **CALL),
    "mapped call": lambda: AuxCallOperator.partial(task_id="call").expand_kwargs([CALL]),
    "dial": lambda: DialOperator(task_id="call", **CALL),
    "batch": lambda: AuxCallBatchOperator(task_id="call", calls=[CALL]),
    "function": lambda: decorated()().operator,
    "mapped function": lambda: (
        task.wolkvox_call(task_id="call")(lambda phone: (AGENT, phone)).expand(phone=[PHONE]).operator
    ),
}


@pytest.mark.parametrize("define", DEFINITIONS.values(), ids=DEFINITIONS.keys())
def test_the_api_server_knows_of_the_link_of_every_task_that_calls(define):
    with DAG("callbacks", schedule=None) as dag:
        defined = define()
    data = DagSerialization.to_dict(dag)
    DagSerialization.validate_schema(data)

    read = DagSerialization.from_dict(data).get_task(defined.task_id)

    [link] = read.operator_extra_links
    assert link.name == "wolkvox Manager"
    # Before 3.0 the webserver makes the link anew, by its class.
    assert link.xcom_key == "_link_WolkvoxManagerLink" if HAS_TASK_SDK else isinstance(link, WolkvoxManagerLink)


def link_of(operator) -> str:
    return WolkvoxManagerLink().get_link(operator, ti_key=None)


@pytest.mark.parametrize("code", ["0042", "wv0042", " 0042 "])
def test_it_leads_to_the_connections_server_and_holds_no_token(set_connection, code):
    set_connection(host=code)

    link = link_of(DEFINITIONS["call"]())

    assert link == "https://wv0042.wolkvox.com/"
    assert TOKEN not in link


def test_there_is_none_where_calls_go_to_another_address(set_connection):
    set_connection(extra={"base_url": "http://127.0.0.1:9"})
    assert link_of(DEFINITIONS["call"]()) == ""


def test_a_webserver_before_3_0_finds_the_connection_in_the_templated_fields(set_connection):
    set_connection("sales", host="0007")
    plain, mapped = (
        SimpleNamespace(wolkvox_conn_id="sales"),
        SimpleNamespace(partial_kwargs={"wolkvox_conn_id": "sales"}),
    )
    assert link_of(plain) == link_of(mapped) == "https://wv0007.wolkvox.com/"


@pytest.mark.parametrize("host", ["", TOKEN, "wv0042.wolkvox.com"])
def test_a_server_code_that_cannot_be_right_gives_no_link(set_connection, host):
    set_connection(host=host)
    assert link_of(DEFINITIONS["call"]()) == ""


def test_a_connection_that_does_not_exist_gives_no_link():
    assert link_of(SimpleNamespace(wolkvox_conn_id="of_nobody")) == ""
    assert link_of(SimpleNamespace()) == ""


@needs_task_sdk
def test_a_task_that_has_called_leaves_it_where_the_ui_looks(simulator, wolkvox_connection, monkeypatch):
    import structlog
    from airflow.sdk.execution_time import task_runner

    ended = []
    server = Server()
    assert run_try(lambda dag: DEFINITIONS["call"](), server, around=ended.append).state == "success"
    [ti] = ended
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", server, raising=False)

    task_runner.finalize(
        ti, task_runner.TaskInstanceState.SUCCESS, ti.get_template_context(), structlog.get_logger("task")
    )

    # The simulator has no Manager.
    assert server.xcoms["_link_WolkvoxManagerLink"] == ""
