"""The sensors: each pokes in its token's lane, gives the lane back, and says clearly what it cannot wait for."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, TaskGroup
from capabilities import DagSerialization, needs_raw_extra
from samples import AGENT, PHONE, TOKEN
from task_runner import Server, run_try

from airflow_provider_wolkvox.api import WolkvoxClient
from airflow_provider_wolkvox.sensors.wolkvox import AgentReadySensor, CallOutcomeSensor, CampaignFinishedSensor
from airflow_provider_wolkvox.simulator import ReportPolicy, Simulator

# A refused `partial` leaves one behind that nobody maps.
pytestmark = [
    pytest.mark.usefixtures("own_sigterm"),
    pytest.mark.filterwarnings("ignore:Task 'wait' was never mapped"),
]

CAMPAIGN = "32841"
SENSORS = {
    "campaign": (CampaignFinishedSensor, {"campaign_id": CAMPAIGN}),
    "agent": (AgentReadySensor, {"agent_id": AGENT}),
    "call": (CallOutcomeSensor, {"conn_id": f"{AGENT}.0101.1800000000.1"}),
}


class Clock:
    """Two hours ago, until it is told to catch up: a campaign's day is over when the test says so."""

    def __init__(self) -> None:
        self.behind = 7200.0

    def __call__(self) -> float:
        return time.time() - self.behind


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dialling(monkeypatch, set_connection, clock):
    """A wolkvox whose campaign has just begun to dial its 40 records."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    records = [{"customer_id": str(number), "tel1": f"30055501{number:02}"} for number in range(40)]
    with Simulator(tokens=[TOKEN], clock=clock) as running:
        running.add_campaign(CAMPAIGN, records=records, seed=3, started=True)
        set_connection(extra={"base_url": running.base_url})
        yield running


@pytest.fixture
def server() -> Server:
    return Server()


def waiting(sensor, **arguments):
    return lambda dag: sensor(task_id="wait", **arguments)


def for_campaign(campaign_id=CAMPAIGN, **arguments):
    return waiting(CampaignFinishedSensor, campaign_id=campaign_id, **arguments)


def for_agent(agent_id=AGENT, **arguments):
    return waiting(AgentReadySensor, agent_id=agent_id, **arguments)


def for_call(conn_id, **arguments):
    return waiting(CallOutcomeSensor, conn_id=conn_id, **arguments)


def outcome_of(run):
    assert run.state == "success", run.error
    return run.xcoms.get("return_value")


def not_yet(run) -> None:
    assert run.state == "up_for_reschedule", run.error
    assert run.xcoms == {}


def failed(run) -> str:
    """The words of a sensor that failed for good."""
    assert run.state == "failed"
    assert run.xcoms == {}
    return str(run.error)


def sent(sim: Simulator) -> int:
    return sum(sim.stats(token).requests for token in (TOKEN, "unknown", "none"))


def rung(sim: Simulator, phone: str = PHONE, agent_id: str = AGENT) -> str:
    """Make an agent ring a customer, and return the call's conn_id."""
    with WolkvoxClient("0042", TOKEN, base_url=sim.base_url) as wolkvox:
        return wolkvox.aux_call(agent_id, phone).conn_id


# Mode and lane


def plain(sensor, arguments, **more):
    return sensor(task_id="wait", **arguments, **more)


def mapped(sensor, arguments, **more):
    [(name, value)] = arguments.items()
    return sensor.partial(task_id="wait", **more).expand(**{name: [value]})


@pytest.fixture(params=SENSORS)
def kind(request):
    return SENSORS[request.param]


@pytest.fixture(params=[plain, mapped])
def define(request, kind):
    """Defines each sensor as a plain and as a mapped task."""
    return lambda **more: request.param(*kind, **more)


def in_dag(make, **dag_arguments):
    with DAG("callbacks", schedule=None, **dag_arguments):
        return make()


def as_the_scheduler_reads(task):
    data = DagSerialization.to_dict(task.dag)
    DagSerialization.validate_schema(data)
    return DagSerialization.from_dict(json.loads(json.dumps(data))).get_task(task.task_id)


def as_a_worker_makes(task, arguments):
    return task.unmap(arguments) if hasattr(task, "unmap") else task


def test_the_pool_is_named_after_the_connection(define, kind):
    for conn_id, given in (("wolkvox_default", {}), ("sales", {"wolkvox_conn_id": "sales"})):
        task = in_dag(lambda given=given: define(**given))
        read, running = as_the_scheduler_reads(task), as_a_worker_makes(task, kind[1])
        assert read.pool == running.pool == running.lane == running.wolkvox_conn_id == conn_id
        assert read.pool_slots == running.pool_slots == 1


def test_default_args_name_the_connection_and_no_pool(define, kind):
    def grouped():
        with TaskGroup("group", default_args={"wolkvox_conn_id": "sales"}):
            return define()

    task = in_dag(grouped, default_args={"wolkvox_conn_id": "of_the_dag", "pool": "elsewhere"})
    assert as_the_scheduler_reads(task).pool == as_a_worker_makes(task, kind[1]).pool == "sales"


def test_a_shared_lane_may_be_named(define, kind):
    task = in_dag(lambda: define(wolkvox_conn_id="sales", pool="shared"))
    assert as_the_scheduler_reads(task).pool == as_a_worker_makes(task, kind[1]).lane == "shared"


def test_every_sensor_reschedules_at_intervals_of_five_minutes(define, kind):
    task = in_dag(define)
    running = as_a_worker_makes(task, kind[1])
    assert (running.mode, running.reschedule, running.poke_interval) == ("reschedule", True, 300)
    read = as_the_scheduler_reads(task)
    # Of a mapped sensor the scheduler takes for granted that it may reschedule.
    assert getattr(read, "reschedule", True)


def test_default_args_may_set_the_interval_and_the_timeout(define, kind):
    task = in_dag(define, default_args={"poke_interval": 600, "timeout": timedelta(hours=1)})
    running = as_a_worker_makes(task, kind[1])
    assert (running.poke_interval, running.timeout) == (600, 3600)


@pytest.mark.parametrize("where", ["argument", "default_args"])
def test_poke_mode_is_refused_while_the_dag_is_parsed(kind, where):
    more, of_dag = ({"mode": "poke"}, {}) if where == "argument" else ({}, {"mode": "poke"})
    with pytest.raises((ValueError, AirflowException), match=r"mode must be one of .*reschedule"):
        in_dag(lambda: plain(*kind, **more), default_args=of_dag)


@pytest.mark.parametrize("where", ["argument", "default_args"])
def test_poke_mode_of_a_mapped_sensor_is_refused_while_the_dag_is_parsed(kind, where):
    more, of_dag = ({"mode": "poke"}, {}) if where == "argument" else ({}, {"mode": "poke"})
    with pytest.raises(ValueError, match="mode"):
        in_dag(lambda: mapped(*kind, **more), default_args=of_dag)


def first_of_the_mapped(ti):
    ti.map_index = 0


def test_a_sensor_whose_pool_was_assigned_later_asks_nothing(simulator, wolkvox_connection, server, kind):
    def moved(dag):
        task = plain(*kind)
        task.pool = "elsewhere"
        return task

    assert "outside its lane" in failed(run_try(moved, server, retries=3))
    assert sent(simulator) == 0


def test_a_mapped_sensor_asks(dialling, server):
    not_yet(
        run_try(
            lambda dag: mapped(CampaignFinishedSensor, {"campaign_id": CAMPAIGN}), server, around=first_of_the_mapped
        )
    )
    assert sent(dialling) == 1


def test_a_sensor_that_waits_is_told_to_come_back_in_five_minutes(dialling, server):
    before = datetime.now(UTC)
    not_yet(run_try(for_campaign(), server))
    [again] = server.reschedules()
    assert before + timedelta(minutes=5) <= again <= datetime.now(UTC) + timedelta(minutes=5)


def test_the_token_is_used_by_one_request_at_a_time(dialling, clock, server):
    call = rung(dialling)
    clock.behind = 0
    outcome_of(run_try(for_campaign(), server))
    outcome_of(run_try(for_agent(), server))
    outcome_of(run_try(for_call(call), server))
    assert dialling.stats().greatest_simultaneous == 1


# What is asked again, and what is not

TRANSIENT = [
    ("busy", {}),
    ("api_off", {}),
    ("drop_before_reading", {}),
    ("drop_after_reading", {}),
    ("stall", {}),
    ("stall_body", {}),
    ("cut_body", {}),
    ("garbage", {}),
    ("garbage_body", {}),
    ("bad_gzip", {}),
    ("server_error", {"status": 500}),
    ("server_error", {"status": 503, "body": "json"}),
]


@pytest.fixture
def answers(dialling, clock, set_connection, quick_resends):
    """For each sensor a task that succeeds at the next poke, if only it is answered."""
    call = rung(dialling)
    clock.behind = 0
    set_connection(extra={"base_url": dialling.base_url, "total_timeout": 0.5})
    return {"campaign": for_campaign(), "agent": for_agent(), "call": for_call(call)}


@pytest.mark.parametrize(("fault", "options"), TRANSIENT)
@pytest.mark.parametrize("name", SENSORS)
def test_an_answer_that_did_not_come_is_asked_for_at_the_next_poke(
    dialling, answers, server, set_connection, name, fault, options
):
    dialling.fault(fault, times=None, **options)
    not_yet(run_try(answers[name], server, quiet=True))

    dialling.clear_faults()
    set_connection(extra={"base_url": dialling.base_url})
    outcome_of(run_try(answers[name], server))


@pytest.mark.parametrize("name", SENSORS)
def test_a_wolkvox_that_is_gone_is_asked_again_at_the_next_poke(dialling, answers, server, name):
    dialling.stop()
    not_yet(run_try(answers[name], server, quiet=True))

    dialling.start()
    outcome_of(run_try(answers[name], server))


@pytest.mark.parametrize("name", SENSORS)
def test_maintenance_is_waited_for(dialling, answers, server, name):
    dialling.maintenance = True
    not_yet(run_try(answers[name], server))

    dialling.maintenance = False
    outcome_of(run_try(answers[name], server))


def test_the_second_request_of_a_poke_that_gets_lost_is_no_outcome(dialling, answers, server):
    dialling.fault("drop_after_reading", api="cdr_5", times=None)
    not_yet(run_try(answers["call"], server, quiet=True))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("bad_token", "VALIDATE TOKEN"),
        ("quota", "TOKEN LIMIT EXCEEDED"),
        ("no_token", "401"),
        ("no_such_api", "DOES NOT EXIST"),
        ("parameters_missing", "SOME PARAMETERS ARE REQUIRED"),
    ],
)
@pytest.mark.parametrize("name", SENSORS)
def test_a_refusal_fails_at_once_and_without_a_retry(dialling, answers, server, name, fault, words):
    dialling.fault(fault, times=None)
    before = sent(dialling)

    message = failed(run_try(answers[name], server, retries=3, quiet=True))

    assert words in message
    assert TOKEN not in message
    assert sent(dialling) == before + 1


@pytest.mark.parametrize(
    "fields", [{"password": None}, {"host": ""}, pytest.param({"extra": "no json"}, marks=needs_raw_extra)]
)
@pytest.mark.parametrize("name", SENSORS)
def test_a_connection_that_cannot_be_right_fails_without_a_retry(
    dialling, answers, set_connection, server, name, fields
):
    before = sent(dialling)
    set_connection(**{"extra": {"base_url": dialling.base_url}, **fields})
    assert "No request was made" in failed(run_try(answers[name], server, retries=3, quiet=True))
    assert sent(dialling) == before


# A campaign that is finished


def test_a_campaign_is_finished_once_it_has_dialled_all_its_records(dialling, clock, server):
    not_yet(run_try(for_campaign(), server))
    clock.behind -= 120
    halfway = dialling.campaign(CAMPAIGN).counters
    assert 0 < halfway.dial < halfway.records
    not_yet(run_try(for_campaign(), server))

    clock.behind = 0
    numbers = outcome_of(run_try(for_campaign(), server))

    truth = dialling.campaign(CAMPAIGN).counters
    assert numbers == {
        "campaign_id": CAMPAIGN,
        "records": 40,
        "dial": truth.dial,
        "answer": truth.answer,
        "no_answer": truth.no_answer,
    }


@pytest.mark.parametrize("status", ["started", "stopped", "Paused", ""])
def test_a_campaign_is_finished_whatever_its_status_says(dialling, clock, server, status):
    dialling.report_policy = ReportPolicy(status_when_done=status)
    clock.behind = 0
    outcome_of(run_try(for_campaign(), server))


def test_numbers_without_an_envelope_are_read(dialling, clock, server):
    dialling.report_policy = ReportPolicy(bare_campaigns=True)
    not_yet(run_try(for_campaign(), server))
    clock.behind = 0
    outcome_of(run_try(for_campaign(), server))


@pytest.mark.parametrize("campaign_id", [32841, " 32841 ", "{{ '32841' }}"])
def test_the_campaign_may_be_a_number_or_a_template(dialling, clock, server, campaign_id):
    clock.behind = 0
    assert outcome_of(run_try(for_campaign(campaign_id), server))["campaign_id"] == CAMPAIGN


def row(campaign=f"{CAMPAIGN} - SALES - Progressive (100%)", **numbers) -> dict[str, str]:
    numbers = {"records": "40", "clean": "0", "dial": "40", "answer": "20", "no_answer": "20", **numbers}
    return {"campaign": campaign, "status": "started", "hits": "0", "penetration_now": "100 %", **numbers}


def answered(sim: Simulator, *rows: dict[str, str], api: str = "campaigns", **which) -> None:
    body = {"code": "200", "error": None, "msg": f"{len(rows)} records were found", "data": list(rows)}
    sim.fault("reply", api=api, body=body, **which)


@pytest.mark.parametrize(
    "numbers",
    [
        {"clean": "1"},
        {"dial": "39"},
        {"records": "0", "dial": "0"},
        {"records": ""},
        {"clean": "-"},
        {"dial": "soon"},
    ],
)
def test_numbers_that_do_not_prove_the_end_are_not_the_end(dialling, server, numbers):
    answered(dialling, row(**numbers))
    not_yet(run_try(for_campaign(), server))


def test_more_dials_than_records_are_the_end(dialling, server):
    answered(dialling, row(dial="55"))
    assert outcome_of(run_try(for_campaign(), server))["dial"] == 55


def test_another_campaigns_end_is_not_this_ones(dialling, server):
    answered(dialling, row("99999 - SALES 32841 - Progressive (100%)"), row("328410 - SALES - Progressive (100%)"))
    not_yet(run_try(for_campaign(), server))


def test_a_campaign_that_one_answer_lacks_is_not_finished(dialling, clock, server):
    clock.behind = 0
    answered(dialling, row("99999 - OTHER - Progressive (100%)"))
    not_yet(run_try(for_campaign(), server))
    outcome_of(run_try(for_campaign(), server))


def test_an_answer_without_any_campaign_is_not_the_end(dialling, clock, server):
    clock.behind = 0
    answered(dialling)
    not_yet(run_try(for_campaign(), server))


def test_a_campaign_that_wolkvox_does_not_know_fails_clearly_and_without_a_retry(dialling, server):
    message = failed(run_try(for_campaign("99999"), server, retries=3, quiet=True))
    assert "99999" in message
    assert "does not exist" in message


def test_a_campaign_that_no_list_holds_fails_clearly_and_without_a_retry(dialling, server):
    answered(dialling, row())
    message = failed(run_try(for_campaign("99999"), server, retries=3, quiet=True))
    assert "no campaign 99999" in message


@pytest.mark.parametrize("campaign_id", ["{{ '' }}", "{{ 'sales' }}", "{{ none }}"])
def test_a_campaign_that_cannot_be_one_fails_before_any_request(dialling, server, campaign_id):
    assert "campaign_id" in failed(run_try(for_campaign(campaign_id), server, retries=3, quiet=True))
    assert sent(dialling) == 0


def test_a_list_of_campaigns_that_cannot_be_read_is_no_proof_that_there_is_no_such_campaign(dialling, server):
    answered(dialling, row("99999 - OTHER - Progressive (100%)"))
    answered(dialling, {"campaign": f"{CAMPAIGN} - SALES", "state": "Started"}, after=1)
    not_yet(run_try(for_campaign(), server))


# An agent who is ready


def test_an_agent_is_ready_once_nobody_is_on_the_line(simulator, wolkvox_connection, server):
    simulator.change_agent(AGENT, on_call=True)
    not_yet(run_try(for_agent(), server))

    simulator.change_agent(AGENT, on_call=False)
    assert run_try(for_agent(), server).state == "success"


def test_another_agent_who_is_ready_is_not_waited_for(simulator, wolkvox_connection, server):
    simulator.change_agent(AGENT, on_call=True)
    assert run_try(for_agent("10002"), server).state == "success"


@pytest.mark.parametrize("shown", ["Logout", ""])
def test_an_agent_who_is_not_logged_in_is_not_ready(simulator, wolkvox_connection, server, shown):
    simulator.report_policy = ReportPolicy(logged_out=shown)
    simulator.change_agent(AGENT, logged_in=False)
    not_yet(run_try(for_agent(), server))


def test_nobody_at_all_is_not_ready(simulator, wolkvox_connection, server):
    for agent in simulator.agents:
        simulator.remove_agent(agent.agent_id)
    not_yet(run_try(for_agent(), server))


def test_an_agent_works_on_a_campaigns_calls_and_is_ready_after_them(dialling, clock, server):
    seen = set()
    for _ in range(40):
        clock.behind -= 7
        seen.add(run_try(for_agent(), server, quiet=True).state)
    assert seen == {"up_for_reschedule", "success"}
    clock.behind = 0
    assert run_try(for_agent(), server).state == "success"


@pytest.mark.parametrize("status", ["READY", "ready", "Ready"])
def test_the_word_may_be_written_in_any_way(simulator, wolkvox_connection, server, status):
    answered(simulator, {"agent_id": AGENT, "agent_status": status, "time_state_now": "5"}, api="agents")
    assert run_try(for_agent(int(AGENT)), server).state == "success"


@pytest.mark.parametrize("agent_id", ["{{ '' }}", "{{ 'Ana' }}", "{{ none }}"])
def test_an_agent_who_cannot_be_one_fails_before_any_request(simulator, wolkvox_connection, server, agent_id):
    assert "agent_id" in failed(run_try(for_agent(agent_id), server, retries=3, quiet=True))


# What became of a call


def test_a_connected_call_is_told(simulator, wolkvox_connection, server):
    from airflow_provider_wolkvox.simulator import CallResult

    simulator.call_results = CallResult.of("ANSWER", talk_seconds=73, hang_up="agent", cod_act="101", cod_act_2="7")
    call = rung(simulator)

    told = outcome_of(run_try(for_call(call), server))

    at = datetime.fromisoformat(told.pop("at"))
    assert abs(at - datetime.now(UTC)) < timedelta(seconds=30)
    assert told == {
        "conn_id": call,
        "agent_id": AGENT,
        "customer_phone": "***0101",
        "connected": True,
        "result": "ANSWER",
        "seconds": 73,
        "disposition": "101",
        "disposition_2": "7",
        "hang_up": "agent",
    }


@pytest.mark.parametrize("result", ["NO-ANSWER", "BUSY", "FAILED", "CONGESTION"])
def test_a_call_that_was_not_connected_is_told(simulator, wolkvox_connection, server, result):
    simulator.call_results = result
    call = rung(simulator)

    told = outcome_of(run_try(for_call(call), server))

    assert (told["conn_id"], told["agent_id"], told["result"], told["seconds"]) == (call, AGENT, result, 0)
    assert told["connected"] is False
    assert told["hang_up"] == told["disposition"] == told["disposition_2"] == ""


def test_several_calls_are_told_in_the_order_in_which_they_were_asked_for(simulator, wolkvox_connection, server):
    simulator.call_results = {"3005550102": "BUSY"}
    calls = [
        rung(simulator, phone, agent)
        for phone, agent in ((PHONE, "10001"), ("3005550102", "10002"), ("3005550103", "10003"))
    ]
    wanted = [calls[2], calls[0], calls[1], calls[0]]
    before = sent(simulator)

    told = outcome_of(run_try(for_call(wanted), server))

    assert [each["conn_id"] for each in told] == wanted
    assert [each["connected"] for each in told] == [True, True, False, True]
    assert sent(simulator) == before + 2


def test_a_list_of_one_call_gives_a_list(simulator, wolkvox_connection, server):
    call = rung(simulator)
    [told] = outcome_of(run_try(for_call([call]), server))
    assert told["conn_id"] == call


def test_a_list_of_no_calls_gives_a_list_of_none_without_a_request(simulator, wolkvox_connection, server):
    assert outcome_of(run_try(for_call([]), server)) == []
    assert sent(simulator) == 0


def test_a_list_is_waited_for_until_its_last_call_is_told(simulator, wolkvox_connection, server):
    first = rung(simulator)
    simulator.hold_reports()
    second = rung(simulator, "3005550102", "10002")
    not_yet(run_try(for_call([first, second]), server))

    simulator.release_reports()
    assert [each["conn_id"] for each in outcome_of(run_try(for_call([first, second]), server))] == [first, second]


def test_a_call_whose_record_is_held_back_is_waited_for(simulator, wolkvox_connection, server):
    simulator.hold_reports()
    call = rung(simulator)
    not_yet(run_try(for_call(call), server))
    not_yet(run_try(for_call(call), server))

    simulator.release_reports()
    assert outcome_of(run_try(for_call(call), server))["conn_id"] == call


def test_the_predictive_call_before_it_is_not_taken_for_the_call(simulator, wolkvox_connection, server):
    simulator.add_past_call(PHONE, AGENT, seconds_ago=30)
    simulator.hold_reports()
    not_yet(run_try(for_call(rung(simulator)), server))


@pytest.mark.parametrize(
    "conn_id", [None, "", "  ", "{{ '' }}", [""], [None], ["10001.0101.1800000000.1", None], ("", "x")]
)
def test_a_call_without_conn_id_fails_clearly_and_before_any_request(simulator, wolkvox_connection, server, conn_id):
    message = failed(run_try(for_call(conn_id), server, retries=3, quiet=True))
    assert "conn_id is empty" in message
    assert "cannot be followed" in message
    assert sent(simulator) == 0


@pytest.mark.parametrize("conn_id", ["{{ none }}", "{{ [] }}"])
def test_a_conn_id_that_a_template_did_not_find_fails_before_any_request(
    simulator, wolkvox_connection, server, conn_id
):
    assert "conn_id" in failed(run_try(for_call(conn_id), server, retries=3, quiet=True))
    assert sent(simulator) == 0


def test_a_list_that_a_template_made_text_of_is_not_waited_for(simulator, wolkvox_connection, server):
    calls = [rung(simulator), rung(simulator, "3005550102", "10002")]
    run = run_try(for_call(f"{{{{ {calls} }}}}"), server, quiet=True)
    assert run.state == "failed" or outcome_of(run)


def test_a_call_of_another_agent_fails_without_a_retry(simulator, wolkvox_connection, server):
    call = rung(simulator)
    message = failed(run_try(for_call(call, agent_id="10002"), server, retries=3, quiet=True))
    assert f"was agent {AGENT}'s, not agent 10002's" in message


@pytest.mark.parametrize("agent_id", [AGENT, int(AGENT), "{{ 10000 + 1 }}"])
def test_a_call_of_the_agent_who_was_asked_for_is_told(simulator, wolkvox_connection, server, agent_id):
    assert outcome_of(run_try(for_call(rung(simulator), agent_id=agent_id), server))["agent_id"] == AGENT


def test_a_conn_id_and_a_beginning_may_be_templates(simulator, wolkvox_connection, server):
    call = rung(simulator)
    task = for_call(f"{{{{ '{call}' }}}}", since="{{ data_interval_end - macros.timedelta(hours=1) }}")
    assert outcome_of(run_try(task, server))["conn_id"] == call


def test_nothing_is_looked_for_before_the_given_beginning(simulator, wolkvox_connection, server):
    simulator.add_past_call(PHONE, AGENT, seconds_ago=7200, conn_id="old")
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    not_yet(run_try(for_call("old", since=an_hour_ago), server))
    assert outcome_of(run_try(for_call("old", since=an_hour_ago - timedelta(hours=2)), server))["conn_id"] == "old"


@pytest.mark.parametrize("since", ["{{ 'yesterday' }}", "{{ '2026-11-22 08:00:00' }}", "{{ none }}", "{{ '' }}"])
def test_a_beginning_that_is_no_instant_fails_before_any_request(simulator, wolkvox_connection, server, since):
    assert "since" in failed(run_try(for_call("old", since=since), server, retries=3, quiet=True))
    assert sent(simulator) == 0


def test_a_conn_id_of_a_foreign_form_is_looked_for_from_the_runs_start_on(simulator, wolkvox_connection, server):
    simulator.add_past_call(PHONE, AGENT, seconds_ago=1800, conn_id="a7f3-99")
    begun = datetime.now(UTC)
    not_yet(run_try(for_call("a7f3-99"), server, due=begun))
    # The run began before that call.
    told = outcome_of(run_try(for_call("a7f3-99"), server, due=begun - timedelta(hours=1)))
    assert told["conn_id"] == "a7f3-99"


def test_a_call_of_before_the_run_is_found_by_the_time_in_its_conn_id(simulator, wolkvox_connection, server):
    at = datetime.now(UTC) - timedelta(days=40)
    old = f"{AGENT}.0101.{int(at.timestamp())}.17"
    simulator.add_past_call(PHONE, AGENT, at=at, conn_id=old)
    assert outcome_of(run_try(for_call(old), server))["conn_id"] == old


def test_a_foreign_conn_id_among_others_does_not_hide_their_times(simulator, wolkvox_connection, server):
    at = datetime.now(UTC) - timedelta(hours=3)
    old = f"{AGENT}.0101.{int(at.timestamp())}.17"
    simulator.add_past_call(PHONE, AGENT, at=at, conn_id=old)
    simulator.add_past_call("3005550102", AGENT, seconds_ago=5, conn_id="a7f3-99")
    told = outcome_of(run_try(for_call([old, "a7f3-99"]), server))
    assert [each["conn_id"] for each in told] == [old, "a7f3-99"]


def test_a_conn_id_that_seems_to_be_of_the_future_is_waited_for(simulator, wolkvox_connection, server):
    not_yet(run_try(for_call(f"{AGENT}.0101.9999999999.1"), server, quiet=True))


def test_nothing_that_a_sensor_says_or_keeps_holds_the_token_or_a_whole_number(
    simulator, wolkvox_connection, server, everything_said
):
    call = rung(simulator)
    runs = [
        run_try(for_call(call), server),
        run_try(for_call(call, agent_id="10002"), server),
        run_try(for_agent(), server),
        run_try(for_campaign("99999"), server),
    ]
    kept = f"{server.xcoms} {server.store} {[run.error for run in runs]}"
    for text in (everything_said(), kept):
        assert TOKEN not in text
        assert PHONE not in text
