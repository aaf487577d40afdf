"""Whatever people and tables put where a number is asked for becomes the same number everywhere, or is refused."""

from __future__ import annotations

import json

import pytest
import real_values
from airflow.providers.common.compat.sdk import DAG
from samples import AGENT, SERVER, TOKEN
from task_runner import Server, run_try

from airflow_provider_wolkvox.__main__ import main
from airflow_provider_wolkvox.api import WolkvoxClient, values
from airflow_provider_wolkvox.api.arguments import cell
from airflow_provider_wolkvox.operators.aux_call import AuxCallBatchOperator, AuxCallOperator
from airflow_provider_wolkvox.operators.campaign import CampaignAddRecordsOperator
from airflow_provider_wolkvox.phone import PhoneNumber

CAMPAIGN = "32841"
PHONES = [*real_values.PHONES_AS_TEXT, *real_values.PHONES_OF_PROGRAMS]
ANYTHING = pytest.mark.parametrize("value", PHONES, ids=lambda value: value.name)
TEXT = pytest.mark.parametrize("value", real_values.PHONES_AS_TEXT, ids=lambda value: value.name)


def is_template(value):
    return isinstance(value.value, str) and "{{" in value.value


def can_be_rendered(value):
    """Whether Airflow hands it on as it is: a list in a DAG file is a template, and so is what is in it."""
    return not is_template(value) and not (isinstance(value.value, int) and value.value > 10**4000)


def test_there_are_at_least_80_of_them():
    assert len(PHONES) >= 80
    assert len({value.name for value in PHONES}) == len(PHONES)


@ANYTHING
def test_the_client_dials_it_or_sends_nothing(simulator, value):
    with WolkvoxClient(SERVER, TOKEN, base_url=simulator.base_url) as wolkvox:
        if value.digits is not None:
            wolkvox.aux_call(AGENT, value.value)
            assert simulator.rings == {value.digits: 1}
            return
        with pytest.raises((ValueError, TypeError)) as refused:
            wolkvox.aux_call(AGENT, value.value)
    assert value.says in str(refused.value).lower()
    assert simulator.stats().requests == 0


@ANYTHING
@pytest.mark.parametrize("mapped", [False, True], ids=["plain", "mapped"])
def test_a_call_of_a_dag_file_is_accepted_or_refused_while_it_is_parsed(value, mapped):
    def make():
        given = {"agent_id": AGENT, "customer_phone": value.value}
        if mapped:
            AuxCallOperator.partial(task_id="call").expand_kwargs([given])
        else:
            AuxCallOperator(task_id="call", **given)

    with DAG("callbacks", schedule=None):
        if value.digits is not None or is_template(value):
            make()
            return
        with pytest.raises((ValueError, TypeError), match="customer_phone"):
            make()


@TEXT
def test_a_single_call_rings_it_or_fails_before_any_request(simulator, wolkvox_connection, value):
    def make(dag):
        task = AuxCallOperator(task_id="call", agent_id=AGENT, customer_phone="{{ number }}", calling_hours=None)
        # As a mapped task, or a decorated function, is given what another task returned.
        task.template_fields = ()
        task.customer_phone = value.value
        return task

    run = run_try(make, Server(), quiet=True)
    assert simulator.rings == ({} if value.digits is None else {value.digits: 1})
    if value.digits is None:
        assert run.state == "failed"
        assert value.says in str(run.error).lower()
        assert "3005550101" not in str(run.error)


def test_a_batch_rings_each_that_is_a_number_once_and_says_why_it_skips_the_others(simulator, wolkvox_connection):
    rows = [value for value in PHONES if can_be_rendered(value)]
    calls = [{"agent_id": AGENT, "customer_phone": value.value} for value in rows]
    operator = lambda dag: AuxCallBatchOperator(  # noqa: E731
        task_id="calls", calls=calls, calling_hours=None, wait_for_agents=False, fail_on=()
    )
    run = run_try(operator, Server(), quiet=True)
    assert run.state == "success", run.error
    results = run.xcoms["return_value"]
    for value, result in zip(rows, results, strict=True):
        if value.digits is None:
            assert result["state"] == "skipped", value.name
            assert value.says in result["reason"].lower(), value.name
        else:
            twice = "is to the same number" in result["reason"]
            assert result["state"] == ("skipped" if twice else "accepted"), value.name
        assert "3005550101" not in json.dumps(result), value.name
    assert set(simulator.rings) <= {value.digits for value in PHONES}
    assert set(simulator.rings.values()) == {1}
    summary = run.xcoms["summary"]
    assert summary["accepted"] + summary["skipped"] == len(rows)


@pytest.mark.parametrize("value", filter(can_be_rendered, PHONES), ids=lambda value: value.name)
def test_an_upload_sends_it_or_nothing_at_all(simulator, wolkvox_connection, value):
    simulator.add_campaign(CAMPAIGN)
    before = simulator.stats().requests
    sound = {"customer_id": "c0", "tel2": "3115550199"}
    records = [sound, {**sound, "customer_id": "c1", "tel1": value.value}]
    operator = lambda dag: CampaignAddRecordsOperator(task_id="add", campaign_id=CAMPAIGN, records=records)  # noqa: E731
    run = run_try(operator, Server(), quiet=True)
    if run.state == "failed":
        assert value.digits is None
        assert "record 2: tel1" in str(run.error)
        assert "3005550101" not in str(run.error)
        assert simulator.stats().requests == before
        return
    # What is missing in a record is sent as nothing.
    assert value.digits is not None or value.says == real_values.MISSING
    [_, last] = simulator.campaign(CAMPAIGN).records
    assert last.fields["tel1"] == (value.digits or "")


@pytest.mark.parametrize("value", real_values.FIELDS, ids=lambda value: value.name)
def test_a_field_that_is_no_number_to_dial_is_sent_as_text_or_not_at_all(value):
    if value.digits is not None:
        assert cell(value.value, "opt1") == value.digits
        return
    with pytest.raises(ValueError, match="opt1") as refused:
        cell(value.value, "opt1")
    assert value.says in str(refused.value)


@pytest.mark.parametrize("mark", ["\u200e", "\x00", "\ufeff"])
def test_a_customers_id_holds_no_character_that_nobody_sees(mark):
    with pytest.raises(ValueError, match="a character that nobody sees"):
        cell(f"c0{mark}1", "customer_id")


@pytest.mark.skipif(real_values.pd is None, reason="pandas is pinned for the newest Airflow only")
@pytest.mark.parametrize(
    ("operator", "name"), [(AuxCallBatchOperator, "calls"), (CampaignAddRecordsOperator, "records")]
)
def test_a_table_of_pandas_is_rejected_with_what_to_give_instead(operator, name):
    table = real_values.pd.DataFrame({"customer_id": ["c0"]})
    campaign = {"campaign_id": CAMPAIGN} if name == "records" else {}
    with DAG("uploads", schedule=None), pytest.raises(ValueError, match=r"table.to_dict\('records'\)"):
        operator(task_id="task", **campaign, **{name: table})


@TEXT
def test_a_report_that_shows_it_never_leads_to_another_number(value):
    try:
        # As the planner does with each row.
        number = PhoneNumber.parse(values.phone({"telephone": value.value})).digits
    except ValueError:
        number = None
    allowed = {None, value.digits}
    if any(not each.isprintable() for each in value.value.strip()):
        # What nobody sees is taken out of whatever a server says.
        allowed.add("".join(filter(str.isdecimal, value.value)))
    assert number in allowed


@TEXT
def test_the_command_that_looks_a_call_up_takes_it_or_says_why_not(simulator, wolkvox_connection, capsys, value):
    command = ["look-up", "--agent", AGENT, f"--phone={value.value}", "--around", "2026-11-27T07:05:00-05:00"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    said = capsys.readouterr()
    assert ended.value.code == (2 if value.digits is None else 1), said.err
    if value.digits is None:
        assert value.says in said.err.lower()
        assert simulator.stats().requests == 0
