"""The law as data: every rule says where it comes from, and says so if it is not the law's."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from airflow_provider_wolkvox.calling.countries import (
    ALWAYS,
    CAREFUL,
    COUNTRIES,
    PURPOSES,
    RULES,
    Window,
    rule_for,
    week,
)

EVERY_RULE = [pytest.param(rule, id=f"{rule.country}-{rule.purpose}") for rule in RULES.values()]


def test_every_country_has_a_rule_for_every_purpose():
    assert set(RULES) == {(country, purpose) for country in COUNTRIES for purpose in PURPOSES}
    assert set(COUNTRIES) == {"CO", "EC", "PE", "CL", "MX", "US"}


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_a_rule_names_its_source_and_when_it_was_read(rule):
    assert rule.source
    assert rule.read == "2026-11"


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_a_rule_cannot_be_changed_and_can_be_hashed(rule):
    with pytest.raises(FrozenInstanceError):
        rule.week = ALWAYS
    assert hash(rule) == hash(rule_for(rule.country, rule.purpose))


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_a_rule_without_a_law_for_its_hours_holds_the_careful_window(rule):
    if rule.sure == "none" or rule.consent_only:
        assert rule.hours_from == "careful"
    if rule.hours_from == "careful":
        assert rule.week == CAREFUL
        assert rule.holidays


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_the_careful_window_lies_inside_every_rule(rule):
    for careful, law in zip(CAREFUL, rule.week, strict=True):
        for window in careful:
            assert any(w.start <= window.start and window.end <= w.end for w in law)


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_call_that_the_customer_asked_for_is_bound_by_no_law_s_window(country):
    rule = rule_for(country, "requested")
    assert (rule.week, rule.holidays, rule.hours_from) == (ALWAYS, False, "customer")


def test_only_peru_allows_commercial_calls_by_consent_alone():
    assert [(r.country, r.purpose) for r in RULES.values() if r.consent_only] == [("PE", "commercial")]


@pytest.mark.parametrize(
    ("country", "purpose", "facts"),
    [
        ("CO", "collection", [(1, "direct contact", 1, False, "customer"), (1, "channel", 7, False, "customer")]),
        ("CO", "commercial", [(1, "direct contact", 1, False, "customer"), (1, "channel", 7, False, "customer")]),
        ("EC", "collection", [(1, "attempt", 1, False, "channel")]),
        ("PE", "collection", []),
        ("CL", "collection", [(1, "attempt", 7, None, "customer")]),
        ("MX", "collection", []),
        ("US", "collection", [(7, "attempt", 7, True, "debt")]),
        ("US", "commercial", []),
    ],
)
def test_how_often_is_kept_as_facts(country, purpose, facts):
    found = rule_for(country, purpose).frequency
    assert [(f.at_most, f.of, f.days, f.rolling, f.per) for f in found] == facts
    assert all(f.says for f in found)


def test_an_unknown_country_is_refused_with_those_known():
    with pytest.raises(ValueError, match=r"'BR': known are CO, EC, PE, CL, MX, US\. For any other, use"):
        rule_for("BR", "collection")


@pytest.mark.parametrize("country", ["", None, 57, "Colombia", "COL"])
def test_what_is_no_country_s_code_is_refused(country):
    with pytest.raises(ValueError, match="no calling hours are known"):
        rule_for(country, "collection")


@pytest.mark.parametrize("purpose", ["sales", "", None, "Collection", ["collection"]])
def test_an_unknown_purpose_is_refused_with_those_known(purpose):
    with pytest.raises(ValueError, match="the purposes are collection, commercial, requested"):
        rule_for("CO", purpose)


def test_a_country_s_code_may_be_written_small():
    assert rule_for(" co ", "collection") is rule_for("CO", "collection")


# week() and Window


def test_a_week_names_days_by_three_letters_whole_or_from_to():
    morning = (Window(480, 720),)
    expected = (morning, morning, morning, (), (), (), morning)
    assert week({"mon-wed": "08:00-12:00", "sun": "8:00-12:00"}) == expected
    assert week({"Monday - Wednesday": ["08:00 - 12:00"], "SUNDAY": ["08:00-12:00"]}) == expected


def test_windows_are_sorted_and_those_that_touch_become_one():
    assert week({"mon": ["14:00-24:00", "08:00-12:00", "12:00-13:00"]})[0] == (Window(480, 780), Window(840, 1440))


@pytest.mark.parametrize(
    "windows",
    [
        {"mon": ["08:00-12:00", "11:59-13:00"]},
        {"mon": ["08:00-12:00", "08:00-12:00"]},
        {"mon": ["08:00-18:00", "09:00-10:00"]},
        {"mon-fri": "08:00-12:00", "wed": "10:00-14:00"},
    ],
)
def test_windows_that_overlap_are_refused(windows):
    with pytest.raises(ValueError, match="overlap"):
        week(windows)


@pytest.mark.parametrize(
    "window", ["08:00-08:00", "12:00-08:00", "22:00-06:00", "24:00-24:00", "08:00-24:01", "08:00-25:00"]
)
def test_a_window_that_is_empty_backwards_or_beyond_its_day_is_refused(window):
    with pytest.raises(ValueError, match="is empty, runs backwards or leaves its day"):
        week({"mon": window})


@pytest.mark.parametrize(
    "window",
    [
        "",
        "08:00",
        "8-12",
        "08:00-12:60",
        "08:0-12:00",
        "-08:00-12:00",
        "08:00-12:00-13:00",
        "a:00-b:00",
        "٠٨:00-12:00",
        8,
    ],
)
def test_what_is_no_window_is_refused(window):
    with pytest.raises(ValueError, match="is no window such as"):
        week({"mon": [window]})


@pytest.mark.parametrize("day", ["", "mo", "lunes", "mon-", "mon-wed-fri", 0, None])
def test_what_is_no_day_is_refused_with_the_days(day):
    with pytest.raises(ValueError, match="the days are mon, tue, wed, thu, fri, sat, sun"):
        week({day: "08:00-12:00"})


def test_days_that_run_backwards_are_refused():
    with pytest.raises(ValueError, match="run backwards"):
        week({"sat-mon": "08:00-12:00"})


@pytest.mark.parametrize("windows", [{}, {"mon": []}])
def test_a_week_that_never_opens_is_refused(windows):
    with pytest.raises(ValueError, match="never open"):
        week(windows)
