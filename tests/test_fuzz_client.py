"""Whatever the client, calling hours and resending are given: it is taken, or a ValueError or TypeError says no first.

What is called comes from the signatures, so a new method or argument is tried without being listed here.
"""

from __future__ import annotations

import contextlib
import inspect
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import AGENT, PHONE, TOKEN
from test_fuzz_arguments import anything, quick, says_no

from airflow_provider_wolkvox.api import Resend, WolkvoxClient, WolkvoxError
from airflow_provider_wolkvox.calling import CallingHours
from airflow_provider_wolkvox.simulator import Simulator

NOW = datetime.now(UTC)
# What a method needs so that only the drawn argument can be wrong.
USUAL = {
    "agent_id": AGENT,
    "at": NOW + timedelta(days=1),
    "button": "hungup",
    "cod_act": "SALE",
    "cod_act_2": "SALE",
    "customer_id": "c1",
    "customer_phone": PHONE,
    "campaign_id": "32841",
    "display": "show",
    "field": "Cod_Machine",
    "group": "cod_act1",
    "nit": "900123",
    "phone": PHONE,
    "records": [{"customer_id": "c1"}],
    "sent_at": NOW,
    "since": NOW - timedelta(hours=1),
    "status": "ready",
    "tones": "12",
    "until": NOW,
    "value": "NO-ANSWER",
}
CALLBACKS = {"before_sending", "before_resending"}
METHODS = {
    name: [each for each in inspect.signature(method).parameters if each not in CALLBACKS | {"self"}]
    for name, method in inspect.getmembers(WolkvoxClient, inspect.isfunction)
    if not name.startswith("_")
}
METHODS = {name: names for name, names in METHODS.items() if names}


@pytest.fixture(scope="module")
def sim():
    with Simulator(tokens=[TOKEN]) as simulator:
        simulator.add_campaign("32841", records=[])
        yield simulator


@pytest.fixture(scope="module")
def client(sim):
    with WolkvoxClient("0042", TOKEN, base_url=sim.base_url, resend=Resend(tries=1)) as client:
        yield client


def test_each_method_has_what_it_needs():
    needed = {
        name
        for method, names in METHODS.items()
        for name in names
        if inspect.signature(getattr(WolkvoxClient, method)).parameters[name].default is inspect.Parameter.empty
    }
    assert needed <= set(USUAL)


@quick
@given(data=st.data())
@pytest.mark.parametrize("method", METHODS)
def test_an_argument_of_a_request_is_taken_or_rejected_before_it(sim, client, method, data):
    name = data.draw(st.sampled_from(METHODS[method]), label="argument")
    value = data.draw(anything, label="value")
    parameters = inspect.signature(getattr(WolkvoxClient, method)).parameters
    needed = {each for each in METHODS[method] if parameters[each].default is inspect.Parameter.empty}
    arguments = {**{each: USUAL[each] for each in needed}, name: value}
    before = sim.stats(TOKEN).requests

    def act() -> None:
        try:
            with contextlib.suppress(WolkvoxError):
                found = getattr(client, method)(**arguments)
                if inspect.isgenerator(found):
                    next(found, None)
        except (ValueError, TypeError):
            assert sim.stats(TOKEN).requests == before
            raise

    says_no(
        act, name, "since", "until", "campaign_id, customer_phone or customer_id", "records", "object position", "range"
    )


@quick
@given(value=anything)
@pytest.mark.parametrize("name", list(inspect.signature(WolkvoxClient).parameters))
def test_an_argument_of_the_client_is_taken_or_rejected(name, value):
    arguments = {"server": "0042", "token": TOKEN, name: value}
    says_no(lambda: WolkvoxClient(**arguments).close(), name, "server code")


@quick
@given(value=anything)
@pytest.mark.parametrize("name", list(inspect.signature(Resend).parameters))
def test_an_argument_of_resending_is_taken_or_rejected(name, value):
    says_no(lambda: Resend(**{name: value}), name)


HOURS = {
    "careful": (CallingHours.careful, {"timezone": "America/Bogota"}),
    "for_country": (
        CallingHours.for_country,
        {"country": "CO", "purpose": "collection", "timezone": "America/Bogota"},
    ),
    "weekly": (CallingHours.weekly, {"windows": {"mon-fri": "08:00-19:00"}, "timezone": "America/Bogota"}),
}


@quick
@given(data=st.data())
@pytest.mark.parametrize("make", HOURS)
def test_an_argument_of_calling_hours_is_taken_or_rejected(make, data):
    construct, usual = HOURS[make]
    name = data.draw(st.sampled_from(list(inspect.signature(construct).parameters)), label="argument")
    value = data.draw(anything, label="value")
    says_no(
        lambda: construct(**{**usual, name: value}),
        name,
        "zone",
        "country",
        "window",
        "day",
        "holiday",
        "closed",
        "hours",
    )


@quick
@given(at=anything)
@pytest.mark.parametrize("ask", ["is_open", "next_open", "why_closed"])
def test_whether_it_is_open_is_asked_at_an_instant(ask, at):
    hours = CallingHours.careful("America/Bogota")
    says_no(lambda: getattr(hours, ask)(at), "at", "instant", "open", "holidays")
