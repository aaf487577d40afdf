"""The connection form of the real Airflow 3.3, in a real browser, and what a task's hook makes of what is typed."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from local_airflow import LOOPBACK
from samples import PHONE, SERVER, TOKEN

from airflow_provider_wolkvox.get_provider_info import get_provider_info
from airflow_provider_wolkvox.simulator import Simulator

pytest.importorskip("selenium")

from airflow_ui import DIALOG, EDITOR_LINE, EXTRA_FIELDS, EXTRA_FIELDS_JSON, ConnectionForm

pytestmark = [pytest.mark.scheduler, pytest.mark.browser, pytest.mark.timeout(1800)]

DAG_ID = "connection_form"
DAGS = Path(__file__).resolve().with_name("connection_form_dags.py")

FULL = "wolkvox_form_full"
BARE = "wolkvox_form_bare"


@pytest.fixture(scope="module")
def simulator():
    with Simulator(tokens=[TOKEN]) as running:
        yield running


@pytest.fixture(autouse=True)
def uncounted(simulator):
    simulator.reset()


@pytest.fixture(scope="module")
def airflow(local_airflow):
    local_airflow.add_dags(DAGS)
    yield local_airflow
    # Two with one token and no lane, which `airflow wolkvox check` would hold against whoever comes next.
    for conn_id in (FULL, BARE):
        local_airflow.cli("connections", "delete", conn_id, check=False)


@pytest.fixture(scope="module")
def standard():
    """What is typed into the standard fields."""
    return {"Server code": SERVER, "Token": TOKEN}


@pytest.fixture(scope="module")
def full(browser, airflow, simulator, standard) -> str:
    """A connection with something typed into every field of the form."""
    form = ConnectionForm.new(browser, airflow.api_url, FULL, "wolkvox")
    form.fill(standard)
    form.open(EXTRA_FIELDS)
    form.fill(
        {
            "Dial prefix": "9",
            "Country": "CO",
            "Time zone": "America/Bogota",
            "Time zone of reports": "America/Lima",
            "Cap": "2 in 24 hours",
            "Base URL": simulator.base_url,
            "Connect timeout (s)": "7.5",
            "Total timeout (s)": "1500",
            "Test with token": True,
        }
    )
    form.save()
    return FULL


def read_by_a_task(airflow, conn_id: str) -> dict:
    """Return what the hook of a task reads, after it has used the token."""
    run_id = airflow.trigger(DAG_ID, conf={"conn_id": conn_id, "phone": PHONE})
    assert airflow.wait_for_run(DAG_ID, run_id) == "success", airflow.task_log(DAG_ID, run_id, "read")
    return airflow.xcom(DAG_ID, run_id, "read")


def test_a_new_connection_is_asked_for_by_our_labels_and_words(browser, airflow):
    [ours] = get_provider_info()["connection-types"]
    form = ConnectionForm.new(browser, airflow.api_url, "never_saved", "wolkvox")

    standard = form.fields()
    assert list(standard) == ["Description", "Server code", "Token"]
    placeholders = ours["ui-field-behaviour"]["placeholders"]
    assert standard["Server code"].placeholder == placeholders["host"]
    assert standard["Token"].placeholder == placeholders["password"]

    form.open(EXTRA_FIELDS)
    extras = form.fields()
    assert {label: field.help for label, field in extras.items()} == {
        field["label"]: field["description"] for field in ours["conn-fields"].values()
    }
    assert {label: field.kind for label, field in extras.items()} == {
        "Dial prefix": "text",
        "Country": "text",
        "Time zone": "text",
        "Time zone of reports": "text",
        "Cap": "text",
        "Base URL": "text",
        "Connect timeout (s)": "spinbutton",
        "Total timeout (s)": "spinbutton",
        "Test with token": "checkbox",
    }
    assert {label: field.value for label, field in extras.items()} == {
        **dict.fromkeys(extras, ""),
        "Test with token": "False",
    }


def test_the_token_is_hidden_while_it_is_typed(browser, airflow):
    form = ConnectionForm.new(browser, airflow.api_url, "never_saved", "wolkvox")
    form.fill({"Server code": SERVER, "Token": TOKEN})

    fields = form.fields()
    assert (fields["Token"].kind, fields["Token"].value) == ("password", TOKEN)
    assert fields["Server code"].kind == "text"
    assert TOKEN not in browser.text()


def test_what_is_typed_is_where_the_hook_reads_it(airflow, simulator, full):
    read = read_by_a_task(airflow, full)

    assert read == {
        "host": SERVER,
        "others": [None, None, None],
        "extras": {
            "dial_prefix": "9",
            "country": "CO",
            "timezone": "America/Bogota",
            "reports_timezone": "America/Lima",
            "cap": "2 in 24 hours",
            "base_url": simulator.base_url,
            "connect_timeout": 7.5,
            "total_timeout": 1500,
            "authenticated_test": True,
        },
        "address": simulator.base_url,
        "has_hours": True,
    }
    # The token too: the simulator knows no other.
    assert simulator.rings == {"9" + PHONE: 1}
    assert simulator.stats().requests == 2


def test_fields_left_empty_mean_the_defaults(browser, airflow, simulator, standard):
    form = ConnectionForm.new(browser, airflow.api_url, BARE, "wolkvox")
    form.fill(standard)
    form.open(EXTRA_FIELDS)
    # Typed and taken back: not the same as never touched.
    form.fill({"Base URL": simulator.base_url, "Country": "CO", "Connect timeout (s)": "5"})
    form.fill({"Country": "", "Connect timeout (s)": ""})
    form.save()

    read = read_by_a_task(airflow, BARE)

    assert {name for name, value in read["extras"].items() if value} == {"base_url"}
    assert read["has_hours"] is False
    assert simulator.rings == {PHONE: 1}


def test_a_saved_token_is_shown_nowhere_when_the_form_is_opened_again(browser, airflow, full, standard):
    browser.asked()
    form = ConnectionForm.of(browser, airflow.api_url, full)

    fields = form.fields()
    assert (fields["Server code"].value, fields["Token"].value) == (SERVER, "***")
    browser.press(f"{DIALOG}//button[@aria-label='Show value']")
    browser.wait_until(lambda: form.fields()["Token"].kind == "text", "the token's field shows its value")
    assert form.fields()["Token"].value == "***"
    form.open(EXTRA_FIELDS)
    assert form.fields()["Test with token"].value == "True"
    form.open(EXTRA_FIELDS_JSON)
    browser.see(EDITOR_LINE)

    assert TOKEN not in browser.everything()
    answers = browser.answers()
    assert any(full in body for address, body in answers.items() if "/api/v2/connections" in address)
    assert [address for address, body in answers.items() if TOKEN in body] == []


def test_a_connection_changed_in_the_form_keeps_its_token_and_its_extras(browser, airflow, simulator, full):
    before = read_by_a_task(airflow, full)
    simulator.reset()
    form = ConnectionForm.of(browser, airflow.api_url, full)
    form.fill({"Description": "Callbacks of the sales team"})
    form.save()

    browser.see("//td[normalize-space()='Callbacks of the sales team']")
    assert read_by_a_task(airflow, full) == before
    assert simulator.rings == {"9" + PHONE: 1}


def test_the_form_asks_for_nothing_outside_of_this_machine(browser, airflow):
    browser.asked()
    form = ConnectionForm.new(browser, airflow.api_url, "never_saved", "wolkvox")
    form.open(EXTRA_FIELDS_JSON)
    browser.see(EDITOR_LINE)

    assert {urlsplit(address).hostname for address in browser.asked()} == {LOOPBACK}
