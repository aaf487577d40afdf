"""Campaigns are steered from inside the lane, and no record is recalled or added twice, whatever happens when."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import airflow
import pytest
from airflow.providers.common.compat.sdk import DAG
from capabilities import HAS_LEDGER, DagSerialization, needs_ledger
from interruptions import Interruption
from samples import PHONE, TOKEN, time_for
from task_runner import Server
from test_ledger_interruptions import KINDS, attempt, connection

from airflow_provider_wolkvox.ledger import CallState, Entry, key_of
from airflow_provider_wolkvox.operators.campaign import (
    CampaignAddRecordsOperator,
    CampaignRecallOperator,
    CampaignStartOperator,
    CampaignStopOperator,
)
from airflow_provider_wolkvox.simulator import Simulator

# A refused `partial` leaves one behind that nobody maps.
pytestmark = [
    pytest.mark.usefixtures("own_sigterm"),
    pytest.mark.filterwarnings("ignore:Task 'task' was never mapped"),
]

CAMPAIGN = "32841"
SIX = [{"customer_id": f"c{number}", "tel1": f"30055501{number:02}"} for number in range(6)]
LATE = timedelta(hours=25)


def start(dag=None, **arguments):
    return CampaignStartOperator(task_id="task", **{"campaign_id": CAMPAIGN, **arguments})


def stop(dag=None, **arguments):
    return CampaignStopOperator(task_id="task", **{"campaign_id": CAMPAIGN, **arguments})


def recall(dag=None, **arguments):
    return CampaignRecallOperator(task_id="task", **{"campaign_id": CAMPAIGN, **arguments})


def add(dag=None, **arguments):
    # A current status would be read before each batch, by a request of its own.
    given = {"campaign_id": CAMPAIGN, "batch_size": 2, "start": False, **arguments}
    if "records_path" not in given:
        given.setdefault("records", SIX)
    return CampaignAddRecordsOperator(task_id="task", **given)


OPERATORS = {"start": start, "stop": stop, "recall": recall, "add": add}
APIS = {"start": "start", "stop": "stop", "recall": "recall_records", "add": "add_record"}


def with_(make, **arguments):
    return lambda dag: make(dag, **arguments)


class Clock:
    """Two hours ago, until it is told to catch up: a campaign's day is over when the test says so."""

    behind = 7200.0

    def __call__(self) -> float:
        return time.time() - self.behind


@contextmanager
def a_campaign(monkeypatch, *, dialled: bool = False, total_timeout: float = 60, **options):
    """A wolkvox with a campaign: with one record, and off; or with ten that were dialled and not answered."""
    clock = Clock()
    if not dialled:
        clock.behind = 0
    with Simulator(tokens=[TOKEN], clock=clock, **options) as sim:
        records = [{"customer_id": f"old{number}", "tel1": f"30055502{number:02}"} for number in range(10)]
        results = {record["tel1"]: ("BUSY" if place < 4 else "NO-ANSWER") for place, record in enumerate(records)}
        sim.add_campaign(CAMPAIGN, records=records if dialled else records[:1], call_results=results, started=dialled)
        clock.behind = 0
        fields = json.loads(connection(sim))
        fields["extra"]["total_timeout"] = total_timeout
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("AIRFLOW_CONN_WOLKVOX_DEFAULT", json.dumps(fields))
        if dialled:
            # Nobody is left who would take the calls of what is put back into dialling.
            for agent in sim.agents:
                sim.remove_agent(agent.agent_id)
            assert len(sim.campaign(CAMPAIGN).dials) == 10
        yield sim, Server()


@pytest.fixture
def campaign(monkeypatch):
    with a_campaign(monkeypatch) as (sim, _):
        yield sim


@pytest.fixture
def dialled(monkeypatch):
    with a_campaign(monkeypatch, dialled=True) as (sim, _):
        yield sim


@pytest.fixture
def server() -> Server:
    return Server()


def sent(sim: Simulator) -> int:
    return sum(sim.stats(token).requests for token in (TOKEN, "unknown", "none"))


def added(sim: Simulator) -> Counter[str]:
    """How often each customer of the upload was added."""
    counts = sim.campaign(CAMPAIGN).added
    return Counter({each["customer_id"]: counts[each["customer_id"]] for each in SIX if counts[each["customer_id"]]})


ALL_ONCE = Counter({each["customer_id"]: 1 for each in SIX})


def failed(run) -> str:
    """The words of a task that failed for good."""
    assert run.state == "failed", run
    assert run.xcoms == {}
    return str(run.error)


def released(server: Server) -> None:
    """Do to the ledger what `airflow wolkvox release` does where outcomes are unknown."""
    for key, kept in server.store.items():
        if kept["state"] == "intent":
            server.store[key] = Entry(CallState.NOT_SENT, 1, datetime.now(UTC), reason="released by hand").to_json()


def again(server: Server, make, number: int = 2, **how):
    """Run the task once more, as after a clear."""
    server.ti_id = uuid4()
    return attempt(server, make=make, try_number=number, max_tries=number, quiet=True, **how)


# The lane


def mapped(name, **more):
    return {
        "start": lambda: CampaignStartOperator.partial(task_id="task", **more).expand(campaign_id=[CAMPAIGN]),
        "stop": lambda: CampaignStopOperator.partial(task_id="task", **more).expand(campaign_id=[CAMPAIGN]),
        "recall": lambda: CampaignRecallOperator.partial(task_id="task", campaign_id=CAMPAIGN, **more).expand(
            value=["BUSY"]
        ),
        "add": lambda: CampaignAddRecordsOperator.partial(
            task_id="task", campaign_id=CAMPAIGN, start=False, **more
        ).expand(records=[SIX]),
    }[name]()


EXPANDED = {
    "start": {"campaign_id": CAMPAIGN},
    "stop": {"campaign_id": CAMPAIGN},
    "recall": {"value": "BUSY"},
    "add": {"records": SIX},
}


@pytest.fixture(params=OPERATORS)
def name(request):
    return request.param


@pytest.fixture(params=["plain", "mapped"])
def define(request, name):
    return (
        (lambda **more: OPERATORS[name](**more)) if request.param == "plain" else (lambda **more: mapped(name, **more))
    )


def in_dag(make, **dag_arguments):
    with DAG("callbacks", schedule=None, **dag_arguments):
        return make()


def settings_of(task, name):
    """What scheduler and worker make of a task, after a round trip through the database's form of its DAG."""
    data = DagSerialization.to_dict(task.dag)
    DagSerialization.validate_schema(data)
    read = DagSerialization.from_dict(json.loads(json.dumps(data))).get_task(task.task_id)
    running = task.unmap(EXPANDED[name]) if hasattr(task, "unmap") else task
    assert read.pool == running.pool == running.lane
    assert read.pool_slots == 1
    return SimpleNamespace(pool=read.pool, running=running)


def test_the_pool_is_named_after_the_connection(define, name):
    assert settings_of(in_dag(define), name).pool == "wolkvox_default"
    task = in_dag(define, default_args={"wolkvox_conn_id": "sales", "pool": "elsewhere"})
    assert settings_of(task, name).pool == "sales"
    assert settings_of(in_dag(lambda: define(wolkvox_conn_id="sales", pool="shared")), name).pool == "shared"


@pytest.mark.parametrize("argument", [{"pool": "default_pool"}, {"pool_slots": 2}, {"wolkvox_conn_id": "{{ x }}"}])
def test_what_breaks_the_lane_is_refused_while_the_dag_is_parsed(define, argument):
    with pytest.raises(ValueError, match="lane"):
        in_dag(lambda: define(**argument))


def test_a_task_outside_its_lane_sends_nothing(campaign, server, name):
    def moved(dag):
        task = OPERATORS[name](dag)
        task.pool = "elsewhere"
        return task

    assert "outside its lane" in failed(attempt(server, make=moved, retries=3, quiet=True))
    assert sent(campaign) == 0
    assert server.store == {}


def test_a_mapped_task_does_what_the_plain_one_does(dialled, server, name):
    run = attempt(server, make=lambda dag: mapped(name), around=lambda ti: setattr(ti, "map_index", 0))
    assert run.state == "success", run.error
    assert sent(dialled) == 1
    assert dialled.stats().greatest_simultaneous == 1


# What holds for all four


def test_a_task_that_was_killed_before_it_began_sends_nothing(dialled, server, name):
    message = failed(attempt(server, make=OPERATORS[name], around=lambda ti: ti.task.on_kill(), quiet=True))
    assert "stop" in message
    assert sent(dialled) == 0


@needs_ledger
@pytest.mark.parametrize("how", ["gone", "busy", "maintenance"])
def test_what_certainly_did_nothing_is_left_to_a_retry_that_does_it(monkeypatch, server, name, how):
    with a_campaign(monkeypatch, dialled=True) as (sim, _):
        if how == "gone":
            sim.stop()
        elif how == "busy":
            sim.fault("busy", times=None)
        else:
            sim.maintenance = True
        first = attempt(server, make=OPERATORS[name], retries=1, quiet=True)
        assert first.state == "up_for_retry"
        assert {kept["state"] for kept in server.store.values()} <= {"not_sent", "refused"}

        if how == "gone":
            sim.start()
        sim.clear_faults()
        sim.maintenance = False
        second = attempt(server, make=OPERATORS[name], try_number=2, retries=1)
        assert second.state == "success", second.error
        seen = sim.campaign(CAMPAIGN)
        assert (seen.starts, seen.stops, seen.recalls, len(seen.batches)) == {
            "start": (1, 0, 0, 0),
            "stop": (0, 1, 0, 0),
            "recall": (0, 0, 1, 0),
            # The first batch says that the campaign is not to be on.
            "add": (0, 1, 0, 3),
        }[name]


@pytest.mark.parametrize(
    ("fault", "words"),
    [("quota", "TOKEN LIMIT EXCEEDED"), ("bad_token", "VALIDATE TOKEN"), ("no_such_api", "DOES NOT EXIST")],
)
def test_a_refusal_fails_at_once_and_without_a_retry(campaign, server, name, fault, words):
    campaign.fault(fault, times=None)
    message = failed(attempt(server, make=OPERATORS[name], retries=3, quiet=True))
    assert words in message
    assert TOKEN not in message
    assert sent(campaign) == 1


def test_an_unknown_campaign_fails_with_wolkvoxs_words(campaign, server, name):
    message = failed(attempt(server, make=with_(OPERATORS[name], campaign_id="99999"), retries=3, quiet=True))
    assert "Campaign_id 99999 does not exist in your operation" in message
    assert sent(campaign) == 1


@pytest.mark.parametrize("campaign_id", ["{{ '' }}", "{{ 'sales' }}", "{{ none }}"])
def test_a_campaign_that_cannot_be_one_fails_before_any_request(campaign, server, name, campaign_id):
    message = failed(attempt(server, make=with_(OPERATORS[name], campaign_id=campaign_id), retries=3, quiet=True))
    assert "campaign_id" in message
    assert sent(campaign) == 0


@pytest.mark.parametrize("campaign_id", [32841, " 32841 ", "{{ '32841' }}"])
def test_the_campaign_may_be_a_number_or_a_template(dialled, server, name, campaign_id):
    run = attempt(server, make=with_(OPERATORS[name], campaign_id=campaign_id))
    assert run.state == "success", run.error


@pytest.mark.parametrize("name", ["start", "recall", "add"])
@pytest.mark.parametrize(("arguments", "due"), [({}, LATE), ({"max_age": timedelta(minutes=5)}, timedelta(minutes=6))])
def test_a_late_run_starts_recalls_and_adds_nothing(dialled, server, name, arguments, due):
    make = with_(OPERATORS[name], **arguments)
    message = failed(attempt(server, make=make, due=datetime.now(UTC) - due, retries=3, quiet=True))
    assert "max_age" in message
    assert sent(dialled) == 0


@pytest.mark.parametrize("name", ["start", "recall", "add"])
def test_max_age_none_lets_an_old_run_go_on(dialled, server, name):
    make = with_(OPERATORS[name], max_age=None)
    assert attempt(server, make=make, due=datetime.now(UTC) - timedelta(days=30)).state == "success"


@pytest.mark.parametrize("make", [stop, lambda dag, **more: mapped("stop", **more)])
def test_a_late_run_still_stops_whatever_default_args_say(campaign, server, make):
    make = with_(make, default_args={"max_age": timedelta(hours=1)})
    late = datetime.now(UTC) - timedelta(days=30)
    run = attempt(server, make=make, due=late, around=lambda ti: setattr(ti, "map_index", 0))
    assert run.state == "success", run.error
    assert campaign.campaign(CAMPAIGN).stops == 1


@pytest.mark.parametrize("name", ["start", "recall", "add"])
@pytest.mark.parametrize("make", [lambda name, **more: OPERATORS[name](**more), mapped])
def test_a_length_of_time_without_a_unit_is_refused_while_the_dag_is_parsed(name, make):
    with pytest.raises(ValueError, match="max_age must be a timedelta, not int"):
        in_dag(lambda: make(name, max_age=3600))
    with pytest.raises(ValueError, match="max_age must be a timedelta, not int"):
        in_dag(lambda: make(name), default_args={"max_age": 3600})


# Start and stop


def test_a_campaign_is_started_and_stopped(campaign, server):
    first = attempt(server, make=start)
    assert (first.state, first.xcoms) == ("success", {})
    assert campaign.campaign(CAMPAIGN).starts == 1
    assert attempt(server, make=stop).state == "success"
    seen = campaign.campaign(CAMPAIGN)
    assert (seen.starts, seen.stops, seen.status) == (1, 1, "stopped")


def test_two_active_predictives_keep_a_third_from_being_started_with_wolkvoxs_words(campaign, server):
    for other in ("1", "2"):
        campaign.add_campaign(other, records=[{"customer_id": "x", "tel1": "3005550399"}], agents=[], started=True)
    message = failed(attempt(server, make=start, retries=3, quiet=True))
    assert "You must turn off a predictive before starting this one" in message
    assert campaign.campaign(CAMPAIGN).starts == 0


def test_a_campaign_without_records_is_not_started_with_wolkvoxs_words(campaign, server):
    campaign.add_campaign("7")
    message = failed(attempt(server, make=with_(start, campaign_id="7"), retries=3, quiet=True))
    assert "The campaign has not been started, please validate the data" in message


# What nobody saw the answer of: whether it was done or not.
UNKNOWN = [
    ("drop_before_reading", {}),
    ("drop_after_reading", {}),
    ("drop_after_ringing", {}),
    ("close_after_ringing", {}),
    ("stall", {}),
    ("stall_body", {}),
    ("cut_body", {}),
    ("garbage", {}),
    ("garbage_body", {}),
    ("bad_gzip", {}),
    ("server_error", {}),
    ("server_error", {"status": 503, "body": "json"}),
    ("redirect", {}),
    ("redirect", {"ring": True}),
]


@pytest.mark.parametrize(("fault", "options"), UNKNOWN)
def test_a_start_whose_answer_nobody_saw_fails_without_a_retry(monkeypatch, server, fault, options):
    with a_campaign(monkeypatch, total_timeout=time_for(fault)) as (sim, _):
        sim.fault(fault, times=None, **options)
        failed(attempt(server, make=start, retries=3, quiet=True))
        assert sent(sim) + sim.drops_before_reading == 1
        assert sim.campaign(CAMPAIGN).starts <= 1


@pytest.mark.parametrize(("fault", "options"), UNKNOWN)
def test_a_stop_whose_answer_nobody_saw_is_asked_for_again_by_a_retry(monkeypatch, server, fault, options):
    with a_campaign(monkeypatch, total_timeout=time_for(fault)) as (sim, _):
        sim.fault(fault, **options)
        assert attempt(server, make=stop, retries=3, quiet=True).state == "up_for_retry"
        assert sent(sim) + sim.drops_before_reading == 1
        assert attempt(server, make=stop, retries=3, try_number=2).state == "success"
        assert 1 <= sim.campaign(CAMPAIGN).stops <= 2


# Recall: at most once


def test_the_records_with_a_result_go_back_into_dialling_and_their_number_is_returned(dialled, server):
    run = attempt(server, make=recall)
    assert run.xcoms == {"return_value": 6}
    seen = dialled.campaign(CAMPAIGN)
    assert (seen.recalls, seen.counters.clean) == (1, 6)


def test_several_results_are_recalled_one_after_the_other(dialled, server):
    run = attempt(server, make=with_(recall, value=["BUSY", "NO-ANSWER"]))
    assert run.xcoms == {"return_value": 10}
    seen = dialled.campaign(CAMPAIGN)
    assert (seen.recalls, seen.counters.clean) == (2, 10)
    assert dialled.stats().greatest_simultaneous == 1


def test_no_records_are_no_failure(dialled, server):
    assert attempt(server, make=with_(recall, value="CONGESTION")).xcoms == {"return_value": 0}


@needs_ledger
def test_a_recall_that_was_done_is_not_done_again_after_a_clear_and_returns_the_same(dialled, server):
    attempt(server, make=recall)
    run = again(server, recall)
    assert (run.state, run.xcoms) == ("success", {"return_value": 6})
    assert dialled.campaign(CAMPAIGN).recalls == sent(dialled) == 1


@pytest.mark.parametrize("arguments", [{"value": "{{ '' }}"}, {"value": ["BUSY", "{{ '' }}"]}])
def test_a_recall_that_cannot_be_right_fails_before_any_request(dialled, server, arguments):
    failed(attempt(server, make=with_(recall, **arguments), retries=3, quiet=True))
    assert sent(dialled) == 0


def test_a_value_that_is_named_twice_is_recalled_once(dialled, server):
    attempt(server, make=with_(recall, value=["BUSY", "BUSY"]), quiet=True)
    assert dialled.campaign(CAMPAIGN).recalls <= 1


@needs_ledger
@pytest.mark.parametrize(("fault", "options"), UNKNOWN)
def test_a_recall_whose_answer_nobody_saw_is_never_sent_again(monkeypatch, server, fault, options):
    with a_campaign(monkeypatch, dialled=True, total_timeout=time_for(fault)) as (sim, _):
        sim.fault(fault, **options)
        message = failed(attempt(server, make=recall, retries=3, quiet=True))
        assert "The records may have been put back into dialling" in message
        assert "wolkvox Manager" in message
        assert ("airflow wolkvox release callbacks manual__1 task --yes" in message) == HAS_LEDGER
        for number in (2, 3):
            assert "unknown" in failed(again(server, recall, number, retries=3))
        assert sent(sim) + sim.drops_before_reading == 1
        assert sim.campaign(CAMPAIGN).recalls <= 1


def test_a_recall_of_which_wolkvox_does_not_say_how_many_is_unknown_and_not_sent_again(dialled, server):
    dialled.fault("reply", body={"code": "200", "error": None, "msg": "done"})
    failed(attempt(server, make=recall, retries=3, quiet=True))
    failed(again(server, recall))
    assert sent(dialled) == 1


def test_a_released_recall_is_sent_once_more(dialled, server):
    dialled.fault("drop_after_reading")
    failed(attempt(server, make=recall, quiet=True))
    released(server)
    assert again(server, recall).xcoms == {"return_value": 6}
    assert dialled.campaign(CAMPAIGN).recalls == 1


def test_the_second_of_two_recalls_that_is_unknown_leaves_the_first_alone(dialled, server):
    make = with_(recall, value=["BUSY", "NO-ANSWER"])
    dialled.fault("drop_after_ringing", after=1)
    failed(attempt(server, make=make, quiet=True))
    failed(again(server, make))
    assert dialled.campaign(CAMPAIGN).recalls == sent(dialled) == 2


@needs_ledger
def test_other_values_between_two_tries_send_nothing(dialled, server):
    dialled.fault("drop_after_ringing")
    failed(attempt(server, make=recall, quiet=True))
    message = failed(again(server, with_(recall, value="BUSY")))
    assert "must not change" in message
    assert sent(dialled) == 1


def steps_of(monkeypatch, make, **how) -> list[str]:
    with a_campaign(monkeypatch, dialled=True) as (_, server):
        watch = Interruption("nothing", 0, "before", server, names=[])
        assert attempt(server, watch, make=make, quiet=True, **how).state == "success"
        return watch.names


def interrupted(monkeypatch, kind, make):
    """Yield the simulator, the server and the next try, for an interruption before and after each step of a try."""
    steps = steps_of(monkeypatch, make)
    for when in ("before", "after"):
        for number, step in enumerate(steps, start=1):
            if steps[number:].count(step) > 1:
                # Of three batches the second has one before it and one after it, so the first shows nothing more.
                continue
            with a_campaign(monkeypatch, dialled=True) as (sim, server):
                interruption = Interruption(kind, number, when, server)
                attempt(server, interruption, make=make, retries=1, quiet=True)
                assert interruption.done, f"{when} {step} was never reached"
                cleared = kind in ("clear", "mark failed", "mark success") or server.task_state in ("success", "failed")
                server.ti_id = uuid4()
                second = attempt(server, make=make, try_number=2, retries=1, max_tries=2 if cleared else 1, quiet=True)
                yield f"{kind} {when} {step} ({number})", sim, server, second


@needs_ledger
@pytest.mark.parametrize("kind", KINDS)
def test_an_interruption_at_any_step_recalls_at_most_once(monkeypatch, kind):
    ends = Counter()
    for where, sim, _, second in interrupted(monkeypatch, kind, recall):
        recalls = sim.campaign(CAMPAIGN).recalls
        assert recalls <= 1, where
        assert second.state in ("success", "failed"), where
        if second.state == "success":
            assert recalls == 1, where
            assert second.xcoms["return_value"] == 6, where
        else:
            assert "recall" in str(second.error), where
        ends[second.state, recalls] += 1
    assert ends["success", 1]
    if kind in ("kill", "execution timeout", "clear"):
        assert ends["failed", 1]


# Records: none is added twice


def test_records_are_added_in_batches_and_what_became_of_them_is_returned(campaign, server):
    run = attempt(server, make=with_(add, batch_size=4))
    assert run.xcoms == {"return_value": {"sent": 6, "accepted": 6, "refused": 0, "errors": []}}
    seen = campaign.campaign(CAMPAIGN)
    assert seen.batches == (("c0", "c1", "c2", "c3"), ("c4", "c5"))
    assert added(campaign) == ALL_ONCE
    assert campaign.stats().greatest_simultaneous == 1


@pytest.mark.parametrize(("start_it", "starts", "stops"), [(None, 0, 0), (True, 1, 0), (False, 0, 0)])
def test_a_stopped_campaign_is_started_only_if_that_is_asked_for(campaign, server, start_it, starts, stops):
    assert attempt(server, make=with_(add, start=start_it)).state == "success"
    seen = campaign.campaign(CAMPAIGN)
    assert (seen.starts, seen.stops, added(campaign)) == (starts, stops, ALL_ONCE)


@pytest.mark.parametrize(("start_it", "starts", "stops"), [(None, 0, 0), (True, 0, 0), (False, 0, 1)])
def test_a_running_campaign_is_stopped_only_if_that_is_asked_for(dialled, server, start_it, starts, stops):
    assert attempt(server, make=with_(add, start=start_it)).state == "success"
    seen = dialled.campaign(CAMPAIGN)
    assert (seen.starts, seen.stops, added(dialled)) == (starts, stops, ALL_ONCE)


@needs_ledger
@pytest.mark.parametrize("fault", ["server_error", "garbage_body", "drop_after_reading"])
def test_a_campaigns_status_that_was_not_read_leaves_the_upload_to_a_retry(campaign, server, fault):
    campaign.fault(fault, api="campaigns")
    first = attempt(server, make=with_(add, start=None), retries=1, quiet=True)
    assert first.state == "up_for_retry"
    assert "current status could not be read" in str(first.error)
    assert not added(campaign)
    assert again(server, with_(add, start=None), retries=1).state == "success"
    assert added(campaign) == ALL_ONCE


def test_a_preview_campaign_is_not_switched_by_an_upload():
    with pytest.raises(ValueError, match="start must be None for a preview campaign"):
        add(type_campaign="preview")


def test_records_of_a_preview_campaign_are_added_as_such(campaign, server):
    campaign.add_campaign("7", kind="preview")
    assert attempt(server, make=with_(add, campaign_id="7", type_campaign="preview", start=None)).state == "success"
    assert "does not exist" in failed(attempt(Server(), make=with_(add, campaign_id="7"), quiet=True))


@needs_ledger
def test_an_upload_that_was_done_is_not_done_again_after_a_clear_and_returns_the_same(campaign, server):
    first = attempt(server, make=add)
    second = again(server, add)
    assert second.state == "success"
    assert second.xcoms == first.xcoms
    assert sent(campaign) == 3


@needs_ledger
@pytest.mark.parametrize(("fault", "options"), UNKNOWN)
def test_a_batch_whose_answer_nobody_saw_stops_the_upload_until_it_is_released(monkeypatch, server, fault, options):
    with a_campaign(monkeypatch, total_timeout=time_for(fault)) as (sim, _):
        sim.fault(fault, after=1, **options)
        message = failed(attempt(server, make=add, retries=3, quiet=True))
        assert "The records may have been added" in message
        assert "records 3 to 4 of 6" in message
        assert ("airflow wolkvox release callbacks manual__1 task --yes" in message) == HAS_LEDGER
        for number in (2, 3):
            assert "unknown" in failed(again(server, add, number, retries=3))
        assert sent(sim) + sim.drops_before_reading == 2
        once = added(sim)
        assert once in (Counter(c0=1, c1=1), Counter(c0=1, c1=1, c2=1, c3=1))

        released(server)
        run = again(server, add, 4)

        assert run.xcoms["return_value"] == {"sent": 6, "accepted": 6, "refused": 0, "errors": []}
        counts = added(sim)
        assert {counts[each] for each in ("c0", "c1", "c4", "c5")} == {1}
        assert counts["c2"] == counts["c3"] == once["c2"] + 1
        assert sent(sim) + sim.drops_before_reading == 4


@pytest.mark.parametrize("kind", KINDS)
def test_an_interruption_at_any_step_adds_no_record_twice(monkeypatch, kind):
    ends = Counter()
    for where, sim, server, second in interrupted(monkeypatch, kind, add):
        assert max(added(sim).values(), default=0) <= 1, where
        assert second.state in ("success", "failed"), where
        if second.state == "success":
            assert added(sim) == ALL_ONCE, where
            assert second.xcoms["return_value"]["accepted"] == 6, where
        else:
            assert "records" in str(second.error), where
            [unknown] = [key for key, kept in server.store.items() if kept["state"] == "intent"]
            batch = [key_of(number) for number in range(3)].index(unknown)
            released(server)
            third = again(server, add, 3)
            assert third.state == "success", (where, third.error)
            for place, customer in enumerate(ALL_ONCE):
                assert added(sim)[customer] in ((1, 2) if place // 2 == batch else (1,)), where
        ends[second.state] += 1
    assert ends["success"]
    if kind in ("kill", "execution timeout", "clear"):
        assert ends["failed"]


@needs_ledger
@pytest.mark.parametrize("fails_at", ["SetTaskStateStore:intent", "SetTaskStateStore:accepted"])
@pytest.mark.parametrize("batch", [0, 1, 2])
def test_a_store_that_fails_adds_no_record_twice(monkeypatch, fails_at, batch):
    names = steps_of(monkeypatch, add)
    at = [place for place, step in enumerate(names, start=1) if step == fails_at][batch]
    with a_campaign(monkeypatch) as (sim, server):
        attempt(
            server, Interruption("nothing", 0, "before", server, store_fails_from=at), make=add, retries=1, quiet=True
        )
        server.store_down = False
        again(server, add, retries=1)
        assert max(added(sim).values(), default=0) <= 1


def forgetful(monkeypatch, how):
    if how == "clear_on_success":
        monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
    else:
        monkeypatch.setattr(airflow, "__version__", "3.4.0")


@pytest.mark.parametrize("how", ["clear_on_success", "newer Airflow"])
def test_a_cleared_upload_whose_ledger_was_wiped_sends_nothing(monkeypatch, campaign, server, how):
    attempt(server, make=add)
    server.store.clear()
    forgetful(monkeypatch, how)
    assert "may have been added" in str(again(server, add).error)
    assert added(campaign) == ALL_ONCE


@needs_ledger
@pytest.mark.parametrize("how", ["clear_on_success", "newer Airflow"])
def test_a_ledger_that_tells_of_the_batches_before_is_believed_for_the_next_one(monkeypatch, campaign, server, how):
    forgetful(monkeypatch, how)
    campaign.fault("quota", after=1)
    failed(attempt(server, make=add, quiet=True))

    run = again(server, add)

    assert run.state == "success", run.error
    assert added(campaign) == ALL_ONCE


def test_a_batch_that_the_licence_does_not_cover_stops_the_upload_with_wolkvoxs_words(monkeypatch, server):
    with a_campaign(monkeypatch, record_limit=4) as (sim, _):
        message = failed(attempt(server, make=add, retries=3, quiet=True))
        assert "You are uploading (5) records" in message
        assert "You can upload 4 records" in message
        assert added(sim) == Counter(c0=1, c1=1)
        assert sent(sim) == 2


@needs_ledger
def test_an_upload_that_the_licence_stopped_goes_on_where_it_was(campaign, server):
    cap = {"code": "404", "error": "Not Found", "msg": "You are uploading (5) records. You can upload 1 records."}
    campaign.fault("reply", after=1, status=404, body=cap)
    assert "You can upload 1 records" in failed(attempt(server, make=add, quiet=True))
    run = again(server, add)
    assert run.xcoms["return_value"]["accepted"] == 6
    assert added(campaign) == ALL_ONCE


@needs_ledger
@pytest.mark.parametrize("kind", ["SIGTERM", "mark failed"])
def test_an_upload_that_stops_between_two_batches_does_not_claim_that_nothing_was_added(monkeypatch, kind):
    at = steps_of(monkeypatch, add).index("SetTaskStateStore:accepted") + 1
    with a_campaign(monkeypatch) as (sim, server):
        run = attempt(server, Interruption(kind, at, "after", server), make=add, quiet=True)
        assert added(sim) == Counter(c0=1, c1=1)
        said = str(run.error).lower()
        assert "no record was added" not in said
        assert "nothing was sent" not in said


@needs_ledger
def test_the_way_to_release_names_the_mapped_task(campaign, server):
    campaign.fault("drop_after_ringing")
    run = attempt(server, make=lambda dag: mapped("add"), around=lambda ti: setattr(ti, "map_index", 0), quiet=True)
    assert "release callbacks manual__1 task 0 --yes" in failed(run)


# Records that wolkvox refuses


def test_records_that_wolkvox_refuses_are_told_with_its_reasons(campaign, server, everything_said):
    records = [SIX[0], {"customer_id": "c1"}, SIX[2]]
    run = attempt(server, make=with_(add, records=records, batch_size=3))
    result = run.xcoms["return_value"]
    assert (run.state, result["sent"], result["accepted"], result["refused"]) == ("success", 3, 2, 1)
    assert "a telephone is required" in result["errors"][0]
    assert "a telephone is required" in everything_said()
    assert added(campaign) == Counter(c0=1, c2=1)


def test_a_batch_of_which_none_was_taken_does_not_keep_the_next_one_back(campaign, server):
    records = [SIX[0], SIX[1], {"customer_id": "x"}, {"customer_id": "y"}, SIX[4]]
    result = attempt(server, make=with_(add, records=records)).xcoms["return_value"]
    assert (result["sent"], result["accepted"], result["refused"], len(result["errors"])) == (5, 3, 2, 2)


def test_an_upload_of_which_no_record_was_taken_fails_with_wolkvoxs_reasons(campaign, server):
    records = [{"customer_id": "x"}, {"customer_id": "y"}, {"customer_id": "z"}]
    message = failed(attempt(server, make=with_(add, records=records), retries=3, quiet=True))
    assert "none of 3 records" in message
    assert "a telephone is required" in message


def test_the_reasons_that_are_kept_stay_far_below_what_the_store_holds(campaign, server):
    records = [SIX[0], *({"customer_id": f"x{number}"} for number in range(400))]
    run = attempt(server, make=with_(add, records=records, batch_size=1000))
    result = run.xcoms["return_value"]
    assert (result["refused"], len(result["errors"])) == (400, 100)
    assert len(json.dumps(server.store)) < 32_000


ANA = {"customer_id": "ANA-PEREZ-52", "customer_name": "Ana Pérez", "tel1": "300 555 0101", "opt1": "52.123.456"}


def test_ledger_and_log_hold_no_customers_data(campaign, server, everything_said):
    attempt(server, make=with_(add, records=[ANA]))
    campaign.fault("drop_after_ringing")
    error = attempt(Server(), make=with_(add, records=[{**ANA, "tel1": PHONE}])).error
    for text in (everything_said(), json.dumps(server.store, ensure_ascii=False), str(error)):
        for secret in (TOKEN, PHONE, *ANA.values()):
            assert secret not in text


# Where records come from


def written(tmp_path: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


LINES = '{"customer_id": "c0", "tel1": "3005550100", "opt1": "ñ"}\n\n{"customer_id": 7.0, "tel1": 3005550101}\n'
COMMAS = 'customer_id,tel1,opt1\r\nc0,3005550100,"ñ, and a\r\nline"\r\n\r\n7,3005550101,\r\n'
SEMICOLONS = "customer_id;tel1;opt1\nc0;3005550100;a, b, c, d\n7;3005550101;\n"


@pytest.mark.parametrize(
    ("name", "text", "encoding", "opt1"),
    [
        ("records.jsonl", LINES, "utf-8", "ñ"),
        ("records.jsonl", LINES, "utf-8-sig", "ñ"),
        ("records", LINES, "utf-8", "ñ"),
        ("records.csv", COMMAS, "utf-8", "ñ, and a\r\nline"),
        ("RECORDS.CSV", COMMAS, "utf-8-sig", "ñ, and a\r\nline"),
        ("records.csv", SEMICOLONS, "utf-8", "a, b, c, d"),
        ("records.csv", SEMICOLONS, "utf-8-sig", "a, b, c, d"),
    ],
)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_records_are_read_from_a_file(campaign, server, tmp_path, scheme, name, text, encoding, opt1):
    path = f"{scheme}{written(tmp_path, name, text, encoding)}"
    run = attempt(server, make=with_(add, records_path=path))
    assert run.state == "success", run.error
    *_, first, second = campaign.campaign(CAMPAIGN).records
    assert {**first.fields} == {"customer_id": "c0", "tel1": "3005550100", "opt1": opt1}
    assert (second.customer_id, second.phone) == ("7", "3005550101")


def test_values_of_a_list_may_be_numbers_and_none(campaign, server):
    records = [{"customer_id": 52123456, "tel1": 3005550100, "tel2": None, "opt1": 1.5, "opt2": " x "}]
    assert attempt(server, make=with_(add, records=records)).state == "success"
    [*_, last] = campaign.campaign(CAMPAIGN).records
    assert {**last.fields} == {
        "customer_id": "52123456",
        "tel1": "3005550100",
        "tel2": "",
        "opt1": "1.5",
        "opt2": "x",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"tel1": 3005550100.0},
        {"tel1": 3.00556e9},
        {"tel10": "3,00556E+09"},
        {"tel2": "3005550100 / 3005550101"},
        {"tel1": "3005550100.0"},
        {"tel1": "nan"},
        {"opt1": "nan"},
        {"opt1": float("inf")},
        {"opt1": "3.00556E+09"},
        {"opt1": 1e300},
        {"opt1": "x" * 100_000},
        {"opt1": "\ud800"},
        {"opt1": True},
        {"opt1": ["a"]},
    ],
    ids=lambda wrong: repr(wrong)[:40],
)
def test_what_a_spreadsheet_made_of_a_number_is_never_sent_as_a_customers_data(campaign, server, wrong):
    before = campaign.stats().requests
    run = attempt(server, make=with_(add, records=[{"customer_id": "c0"}, {"customer_id": "c1", **wrong}]))
    assert run.state == "failed"
    [name] = wrong
    assert f"record 2: {name} " in str(run.error)
    assert "Nothing was sent" in str(run.error)
    assert campaign.stats().requests == before


def test_what_is_missing_in_a_record_is_sent_as_nothing(campaign, server):
    records = [{"customer_id": "c0", "tel1": "300 555 0100", "tel2": None, "tel3": float("nan"), "opt1": " "}]
    assert attempt(server, make=with_(add, records=records)).state == "success"
    [*_, last] = campaign.campaign(CAMPAIGN).records
    assert {**last.fields} == {"customer_id": "c0", "tel1": "3005550100", "tel2": "", "tel3": "", "opt1": ""}


def test_records_may_be_a_native_template(campaign, server):
    def native(dag):
        dag.render_template_as_native_obj = True
        return add(records="{{ [{'customer_id': 'c0', 'tel1': '3005550100'}] }}")

    assert attempt(server, make=native).state == "success"
    assert added(campaign) == Counter(c0=1)


def test_a_path_may_be_a_template(campaign, server, tmp_path):
    written(tmp_path, "manual__1.jsonl", LINES)
    make = with_(add, records_path=f"{tmp_path}/{{{{ run_id }}}}.jsonl")
    assert attempt(server, make=make).state == "success"


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([SIX[0], {"tel1": "3005550101"}], "record 2 has no customer_id"),
        ([SIX[0], {"customer_id": " ", "tel1": "3005550101"}], "record 2 has no customer_id"),
        ([SIX[0], {"customer_id": None}], "record 2 has no customer_id"),
        ([SIX[0], SIX[1], ["c2", "3005550102"]], "record 3 is list"),
        ([SIX[0], {"customer_id": "x", "tel1": {"mobile": PHONE}}], "record 2: tel1 must be text, not dict"),
        ([SIX[0], {"customer_id": "x", "tel1": [PHONE]}], "record 2: tel1 must be text, not list"),
        ([SIX[0], {"customer_id": True}], "record 2: customer_id must be text, not bool"),
        ([], "no records"),
        ("{{ [] }}", "render_template_as_native_obj"),
    ],
)
def test_a_bad_record_is_named_and_nothing_is_sent(campaign, server, records, words):
    message = failed(attempt(server, make=with_(add, records=records), retries=3, quiet=True))
    assert words in message
    assert "Nothing was sent" in message or "records is str" in message
    assert PHONE not in message
    assert sent(campaign) == 0
    assert server.store == {}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "r.csv",
            "customer_id,tel1\nc0,3005550100\nc1,3005550101,x\n",
            "line 3, column 3: a value stands where the header has no name",
        ),
        (
            "r.csv",
            "customer_id,tel1\nc0,3005550100\nc1\n",
            "line 3: the line ends after column 1, and the header has 2",
        ),
        ("r.csv", "customer_id,tel1\nc0,3005550100\n,3005550101\n", "line 3 has no customer_id"),
        ("r.csv", "", "line 1: there is no header"),
        ("r.csv", "customer_id,tel1\n", "no records"),
        ("r.jsonl", "", "no records"),
        ("r.jsonl", '{"customer_id": "c0"}\n{"customer_id": "c1"\n', "line 2: not a JSON object"),
        ("r.jsonl", '[{"customer_id": "c0"}]\n', "line 1 is list"),
        ("r.jsonl", '{"customer_id": "c0", "tel1": ["3005550101"]}\n', "line 1: tel1 must be text, not list"),
    ],
)
def test_a_bad_line_of_a_file_is_named_and_nothing_is_sent(campaign, server, tmp_path, name, text, words):
    make = with_(add, records_path=str(written(tmp_path, name, text)))
    message = failed(attempt(server, make=make, retries=3, quiet=True))
    assert words in message
    assert PHONE not in message
    assert sent(campaign) == 0


@needs_ledger
def test_a_file_that_is_not_there_yet_is_left_to_a_retry(campaign, server, tmp_path):
    make = with_(add, records_path=str(tmp_path / "records.jsonl"))
    assert attempt(server, make=make, retries=1, quiet=True).state == "up_for_retry"
    written(tmp_path, "records.jsonl", LINES)
    assert attempt(server, make=make, try_number=2, retries=1).state == "success"
    assert sent(campaign) == 1


def test_a_file_that_is_not_utf_8_is_named(campaign, server, tmp_path):
    path = written(tmp_path, "records.csv", SEMICOLONS.replace("a, b", "ñ"), "latin-1")
    message = failed(attempt(server, make=with_(add, records_path=str(path)), retries=3, quiet=True))
    assert sent(campaign) == 0
    assert "records.csv" in message
    assert "UTF-8" in message


def test_a_header_that_names_a_column_twice_is_refused(campaign, server, tmp_path):
    path = written(tmp_path, "records.csv", "customer_id,tel1,tel1\nc0,3005550100,\n")
    failed(attempt(server, make=with_(add, records_path=str(path)), quiet=True))
    assert sent(campaign) == 0


def test_blanks_in_a_header_do_no_harm(campaign, server, tmp_path):
    path = written(tmp_path, "records.csv", "customer_id, tel1\nc0, 3005550100\n")
    assert attempt(server, make=with_(add, records_path=str(path)), quiet=True).state == "success"


@needs_ledger
def test_a_file_that_was_changed_between_two_tries_sends_nothing(campaign, server, tmp_path):
    path = written(tmp_path, "records.jsonl", "\n".join(map(json.dumps, SIX)))
    make = with_(add, records_path=str(path))
    campaign.fault("drop_after_ringing", after=1)
    failed(attempt(server, make=make, quiet=True))
    for changed in (SIX[:5], [*SIX, {"customer_id": "c6"}], [{**SIX[0], "tel1": "3005550999"}, *SIX[1:]], SIX[::-1]):
        written(tmp_path, "records.jsonl", "\n".join(map(json.dumps, changed)))
        message = failed(again(server, make))
        assert "must not change" in message
        released(server)
        failed(again(server, make))
    assert sent(campaign) == 2

    written(tmp_path, "records.jsonl", "\n".join(map(json.dumps, SIX)))
    assert again(server, make).state == "success"


@needs_ledger
@pytest.mark.parametrize("arguments", [{"batch_size": 3}, {"campaign_id": "7"}])
def test_other_arguments_between_two_tries_send_nothing(campaign, server, arguments):
    campaign.add_campaign("7")
    campaign.fault("drop_after_ringing", after=1)
    failed(attempt(server, make=add, quiet=True))
    assert "must not change" in failed(again(server, with_(add, **arguments)))
    assert sent(campaign) == 2


@pytest.mark.parametrize("batch_size", [0, -1, 10_001])
def test_a_batch_is_of_one_to_ten_thousand_records(batch_size):
    for make in (add, lambda **more: mapped("add", **more)):
        with pytest.raises(ValueError, match=r"batch_size must be 1 or more, and at most 10000"):
            in_dag(lambda make=make: make(batch_size=batch_size))


def test_ten_thousand_records_are_one_request(campaign, server, tmp_path):
    lines = (f'{{"customer_id": "n{number}", "tel1": "30{number:08}"}}' for number in range(10_001))
    path = written(tmp_path, "records.jsonl", "\n".join(lines))
    run = attempt(server, make=with_(add, records_path=str(path), batch_size=10_000), quiet=True)
    assert run.xcoms["return_value"]["accepted"] == 10_001
    assert [len(batch) for batch in campaign.campaign(CAMPAIGN).batches] == [10_000, 1]


@pytest.mark.parametrize(
    "arguments",
    [{"records": None}, {"records": SIX, "records_path": "x"}, {"type_campaign": "Predictive"}],
)
def test_arguments_that_cannot_be_right_are_refused_while_the_dag_is_parsed(arguments):
    with pytest.raises(ValueError, match=r"records|type_campaign"):
        CampaignAddRecordsOperator(task_id="task", campaign_id=CAMPAIGN, **{"records": SIX, **arguments})


def test_before_3_3_a_later_try_refuses_and_says_why_unless_its_author_allows_it(campaign, server):
    def older(ti):
        ti.get_template_context().pop("task_state_store", None)

    for make in (recall, add):
        assert attempt(server, make=make, around=older).state == "success"
        before = sent(campaign)
        second = attempt(server, make=make, try_number=2, retries=1, around=older, quiet=True)
        assert "before 3.3" in str(second.error)
        assert second.state == "failed"
        assert sent(campaign) == before
        allowed = with_(make, allow_second_try=True)
        assert attempt(server, make=allowed, try_number=2, retries=1, around=older).state == "success"


def test_importing_the_operators_and_making_them_imports_no_heavy_library():
    script = (
        "import sys, airflow.providers.common.compat.sdk as sdk\n"
        "sdk.BaseOperator, sdk.BaseHook, sdk.AirflowFailException, sdk.BaseSensorOperator, sdk.PokeReturnValue\n"
        "heavy = ('requests', 'urllib3', 'holidays', 'phonenumbers', 'sqlalchemy', 'pandas', 'fsspec')\n"
        "before = set(sys.modules)\n"
        "from airflow_provider_wolkvox.operators.campaign import CampaignAddRecordsOperator\n"
        "from airflow_provider_wolkvox.operators.callbacks import CampaignCallbacksOperator\n"
        "from airflow_provider_wolkvox.sensors.wolkvox import CallOutcomeSensor\n"
        "CampaignAddRecordsOperator(task_id='a', campaign_id='1', records_path='x')\n"
        "CampaignCallbacksOperator(task_id='b', campaign_id='1', since='2026-11-22T08:00:00-05:00')\n"
        "CallOutcomeSensor(task_id='c', conn_id='x')\n"
        "print('#' + ' '.join(name for name in heavy if name in sys.modules and name not in before))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.partition("#")[2].split() == []
