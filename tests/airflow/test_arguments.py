"""What cannot be right is rejected when the DAG is parsed, however an argument comes to its task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, BaseNotifier, BaseOperator, task
from samples import AGENT, PHONE
from task_runner import Server, run_try

from airflow_provider_wolkvox.notifications.wolkvox import WolkvoxCallNotifier
from airflow_provider_wolkvox.operators.agent import AgentStatusOperator, CallDispositionOperator, HangUpOperator
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator
from airflow_provider_wolkvox.operators.aux_call_batch import AuxCallBatchOperator
from airflow_provider_wolkvox.operators.callbacks import CampaignCallbacksOperator
from airflow_provider_wolkvox.operators.campaign import (
    CampaignAddRecordsOperator,
    CampaignRecallOperator,
    CampaignStartOperator,
    CampaignStopOperator,
)
from airflow_provider_wolkvox.operators.dial import DialOperator
from airflow_provider_wolkvox.operators.recall import DeleteRecallOperator, EditRecallOperator, ScheduleRecallOperator
from airflow_provider_wolkvox.operators.transfer import TransferOperator
from airflow_provider_wolkvox.sensors.calling_hours import CallingHoursSensor
from airflow_provider_wolkvox.sensors.wolkvox import AgentReadySensor, CallOutcomeSensor, CampaignFinishedSensor
from airflow_provider_wolkvox.validation import Validated

pytestmark = pytest.mark.filterwarnings("ignore:Task 'call' was never mapped")

CALL = {"agent_id": AGENT, "customer_phone": PHONE}
RECALL = {**CALL, "campaign_id": "1", "customer_id": "7"}
AT = {"at": datetime(2099, 1, 1, tzinfo=UTC)}

SOUND = {
    AuxCallOperator: CALL,
    DialOperator: CALL,
    TransferOperator: CALL,
    HangUpOperator: {"agent_id": AGENT},
    AgentStatusOperator: {"agent_id": AGENT, "status": "ready"},
    CallDispositionOperator: {"agent_id": AGENT, "cod_act": "A", "cod_act_2": "B"},
    ScheduleRecallOperator: {**RECALL, **AT},
    EditRecallOperator: {**RECALL, **AT},
    DeleteRecallOperator: RECALL,
    AuxCallBatchOperator: {"calls": [CALL]},
    CampaignStartOperator: {"campaign_id": "1"},
    CampaignStopOperator: {"campaign_id": "1"},
    CampaignRecallOperator: {"campaign_id": "1"},
    CampaignAddRecordsOperator: {"campaign_id": "1", "records": [{"customer_id": "7"}]},
    CampaignCallbacksOperator: {"campaign_id": "1", "since": timedelta(hours=24)},
    CampaignFinishedSensor: {"campaign_id": "1"},
    AgentReadySensor: {"agent_id": AGENT},
    CallOutcomeSensor: {"conn_id": "1"},
    CallingHoursSensor: {},
}

NO_SWITCH = ["False", "no", 0, 1, None, "{{ false }}"]
NO_LENGTH = [timedelta(0), timedelta(seconds=-5), 5, "5", True]
NO_INSTANT = ["x", 5, "", False, "573005551234", datetime(2026, 1, 1)]
WRONG = {
    "allow_second_try": NO_SWITCH,
    "phone_zones": NO_SWITCH,
    "wait_for_agents": NO_SWITCH,
    "do_not_call": [*NO_SWITCH, ""],
    "prefix_in_reports": NO_SWITCH,
    "start": [*(each for each in NO_SWITCH if each is not None), "x"],
    "hang_up": NO_SWITCH,
    "to_agent": NO_SWITCH,
    "max_age": NO_LENGTH,
    "ledger_retention": NO_LENGTH,
    "agent_poll_interval": [*NO_LENGTH, None],
    "agent_timeout": [*NO_LENGTH, None],
    "max_duration": NO_LENGTH,
    "pace": [timedelta(seconds=-1), 5, None],
    "look_up_timeout": [timedelta(seconds=-1), 5, None],
    "call_before": NO_INSTANT,
    "at": [*NO_INSTANT, None],
    "until": NO_INSTANT,
    "since": NO_INSTANT,
    "max_calls": [True, 0, -1, 1.5, "3"],
    "max_unknown": [True, 0, "3"],
    "batch_size": [True, 0, 10_001, None, "5"],
    "outside_hours": ["ring", None, True],
    "on_unknown": ["ring", None],
    "recall_style": ["Auto", None],
    "type_campaign": ["preditive", None],
    "mode": ["poke", None],
    "stop_on": ["refused", ["nonsense"], 5, None],
    "fail_on": ["unknown", ["accepted"], ["nonsense"], 5, None],
    "field": ["nonsense", None, 5],
    "value": ["", [], ["BUSY", None], 5, None],
    "rules": [{}, {"shorter_than": 20}, "x", True],
    "calling_hours": [5, "XX", True, {}, dict],
    "campaign_id": ["abc", "", None, -1, True, 1.0, "1.0"],
    "agent_id": ["abc", "", True, 1.5, [AGENT]],
    "customer_phone": ["abc", "", True, 1.5, "123"],
    "customer_id": [True, 1.5, []],
    "customer_name": [True, 5.5, {}],
    "comments": [True, {}],
    "name_recall": [True, {}],
    "idempotency_key": [True, {}, 1.5],
    "cap": [2, "2", True, [], [2], {"calls": 1}],
    "cod_act": ["", None, True],
    "cod_act_2": [True, {}],
    "status": ["on break!", "", None],
    "calls": ["x", {}, 5, None],
    "records": ["x", {}, 5],
    "results_path": ["", 5],
    "report_path": ["", 5],
    "plan_path": ["", 5],
    "records_path": ["", 5],
}


# A sensor's mode, 2.11 rejects with an error of its own.
REJECTED = (ValueError, TypeError, AirflowException)


def plain(operator, arguments):
    operator(task_id="call", **arguments)


def partial(operator, arguments):
    operator.partial(task_id="call", **arguments)


def default_args(operator, arguments, wrong):
    sound = {name: value for name, value in arguments.items() if name not in wrong}
    with DAG("callbacks", schedule=None, default_args=wrong):
        operator(task_id="call", **sound)


def cases():
    for operator in SOUND:
        checked = operator.all_checks({})
        for name in checked:
            yield pytest.param(operator, name, id=f"{operator.__name__}-{name}")


def test_every_checked_argument_has_wrong_values_here():
    names = {name for operator in SOUND for name in operator.all_checks({})}
    assert names <= set(WRONG)


@pytest.mark.parametrize(("operator", "name"), cases())
def test_what_cannot_be_right_is_rejected_when_the_dag_is_parsed(operator, name):
    for value in WRONG[name]:
        arguments = {**SOUND[operator], name: value}
        if name == "records_path":
            arguments.pop("records")
        ways = [
            lambda arguments=arguments: plain(operator, arguments),
            lambda value=value: partial(operator, {name: value}),
            lambda value=value: operator.partial(task_id="call").expand_kwargs([{name: value}]),
            lambda value=value: operator.partial(task_id="call").expand(**{name: [value]}),
            lambda arguments=arguments, value=value: default_args(operator, arguments, {name: value}),
        ]
        for number, way in enumerate(ways):
            if isinstance(value, str) and "{{" in value and name in operator.template_fields:
                continue
            # A campaign is stopped however old the run is, whatever default_args say.
            if (operator, name, number) == (CampaignStopOperator, "max_age", len(ways) - 1):
                continue
            with DAG("callbacks", schedule=None), pytest.raises(REJECTED, match=name):
                way()


@pytest.mark.parametrize("name", ["allow_second_try", "phone_zones", "max_age", "on_unknown", "calling_hours"])
def test_so_it_is_of_a_decorated_function(name):
    def call(number=PHONE):
        return AGENT, number

    ways = [
        lambda wrong: task.wolkvox_call(**wrong)(call)(),
        lambda wrong: task.wolkvox_call(call).override(**wrong)(),
        lambda wrong: task.wolkvox_call(**wrong)(call).expand(number=[PHONE]),
        lambda wrong: task.wolkvox_call(**wrong)(call).partial(number=PHONE).expand_kwargs([{}]),
        lambda wrong: task.wolkvox_call(default_args=wrong)(call).expand(number=[PHONE]),
    ]
    for way in ways:
        with DAG("callbacks", schedule=None), pytest.raises(ValueError, match=name):
            way({name: WRONG[name][0]})


@pytest.mark.parametrize("value", ["week", None, True])
def test_so_it_is_of_a_notifier(value):
    with pytest.raises(ValueError, match="once_per"):
        WolkvoxCallNotifier(once_per=value)
    with pytest.raises(ValueError, match="on_call_dag_id"):
        WolkvoxCallNotifier(on_call_dag_id="" if value == "week" else value)


def test_every_operator_sensor_and_notifier_is_tried_here():
    def below(of):
        for each in of.__subclasses__():
            yield each
            yield from below(each)

    ours = {each for each in below(Validated) if issubclass(each, (BaseOperator, BaseNotifier))}
    concrete = {each for each in ours if not each.__subclasses__() and not each.__name__.startswith("Wolkvox")}
    assert {each for each in concrete if each.__module__.startswith("airflow_provider_wolkvox")} <= set(SOUND)


@pytest.mark.parametrize("gave", ["{{ '' }}", "{{ none }}", "{{ 0 }}", "{{ false }}", "{{ 'tomorrow' }}"])
@pytest.mark.parametrize("native", [True, False])
def test_a_deadline_that_a_template_made_empty_is_not_taken_for_none(simulator, wolkvox_connection, gave, native):
    def make(dag):
        dag.render_template_as_native_obj = native
        return AuxCallOperator(task_id="call", **CALL, call_before=gave)

    result = run_try(make, Server(), retries=3)

    assert result.state == "failed"
    assert "call_before" in str(result.error)
    assert simulator.rings == {}


def test_a_message_repeats_no_number():
    for name in ("call_before", "customer_phone", "agent_id", "outside_hours", "allow_second_try"):
        wrong = "573005551234x" if name != "call_before" else "573005551234"
        with DAG("callbacks", schedule=None), pytest.raises(ValueError, match=name) as raised:
            AuxCallOperator(task_id="call", **{**CALL, name: wrong})
        assert "573005551234" not in str(raised.value)
