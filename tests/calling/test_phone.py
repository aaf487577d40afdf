"""A number is taken as people dial it, known again in any spelling, and called only by a clock that is known."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wolkvox.calling import CallingHours, ZoneUnknown, hours_for_phone, same_customer_key, zones_of
from airflow_provider_wolkvox.calling.phone import masked, normalise

BOGOTA = "America/Bogota"
LAW = CallingHours.for_country("CO", purpose="collection", timezone=BOGOTA)
TEAM = CallingHours.weekly({"mon-fri": "09:00-17:00"}, timezone=BOGOTA)

ECUADOR = {"America/Guayaquil", "Pacific/Galapagos"}


# The zones of a number


@pytest.mark.parametrize("phone", ["3001234567", "573001234567", "+573001234567", "+57 300 123-4567", " 300 1234567 "])
@pytest.mark.parametrize("country", ["CO", "co ", "Co"])
def test_a_number_has_its_zone_however_it_is_written(phone, country):
    assert zones_of(phone, country) == {BOGOTA}


@pytest.mark.parametrize(
    ("phone", "country", "zones"),
    [
        ("6012345678", "CO", {BOGOTA}),  # a landline
        ("0991234567", "EC", ECUADOR),  # a mobile, which may be on either side
        ("593991234567", "EC", ECUADOR),
        ("022345678", "EC", {"America/Guayaquil"}),  # a landline in Quito
        ("999123456", "PE", {"America/Lima"}),
        ("51999123456", "PE", {"America/Lima"}),
        ("961234567", "CL", {"America/Santiago"}),
        ("5512345678", "MX", {"America/Mexico_City"}),
        ("2125550123", "US", {"America/New_York"}),
        ("13105550123", "US", {"America/Los_Angeles"}),
    ],
)
def test_the_zones_are_those_of_the_number_s_place(phone, country, zones):
    assert zones_of(phone, country) == zones


@pytest.mark.parametrize("phone", ["+573001234567", "573001234567"])
def test_a_number_with_the_code_of_another_country_is_in_that_country(phone):
    assert zones_of(phone, "PE") == {BOGOTA}
    assert zones_of(phone, "US") == {BOGOTA}


def test_without_a_country_only_a_number_with_a_plus_is_anywhere():
    assert zones_of("+573001234567", None) == {BOGOTA}
    assert zones_of("573001234567", None) == frozenset()
    assert zones_of("3001234567", None) == frozenset()  # +30 would be Greece


@pytest.mark.parametrize("phone", ["9876543210", "5731234567", "18001234"])
def test_a_number_that_strict_validation_refuses_may_be_anywhere_in_its_country(phone):
    assert zones_of(phone, "CO") == {BOGOTA}


def test_a_number_without_a_place_in_a_wide_country_may_be_in_any_of_its_zones():
    zones = zones_of("8002345678", "US")
    assert {"America/New_York", "America/Los_Angeles", "Pacific/Honolulu"} <= zones


@pytest.mark.parametrize("phone", ["", "   ", "abc", "123", "+883510000000", "3" * 30, "+", "5215512345678"])
def test_what_is_no_number_or_nowhere_has_no_zone(phone):
    assert zones_of(phone, "CO") == frozenset()


@pytest.mark.parametrize("country", ["XX", "Colombia", "", "57", "001"])
def test_an_unknown_country_is_refused(country):
    with pytest.raises(ValueError, match="is no country whose numbers are known"):
        zones_of("+573001234567", country)


@settings(deadline=None, max_examples=300)
@given(
    st.text(max_size=20) | st.from_regex(r"\+?[0-9 ]{3,16}", fullmatch=True), st.sampled_from(["CO", "EC", "US", None])
)
def test_any_text_has_zones_that_this_machine_knows_or_none(phone, country):
    assert zones_of(phone, country) <= available_timezones()


# Its hours


def test_a_number_s_hours_are_open_only_where_each_of_its_zones_is():
    assert hours_for_phone(LAW, "0991234567", "EC") == LAW.in_zones(ECUADOR)
    early = datetime(2026, 11, 23, 7, 30, tzinfo=ZoneInfo("America/Guayaquil"))
    assert hours_for_phone(LAW, "022345678", "EC").is_open(early)
    assert not hours_for_phone(LAW, "0991234567", "EC").is_open(early)


def test_each_of_joint_hours_goes_by_the_number_s_clock():
    assert hours_for_phone(LAW & TEAM, "999123456", "PE") == LAW.in_zones("America/Lima") & TEAM.in_zones(
        "America/Lima"
    )


def test_a_number_of_no_known_zone_is_not_called():
    with pytest.raises(
        ZoneUnknown, match=r"no time zone is known for the number \*\*\*0000, .*: not called"
    ) as refused:
        hours_for_phone(LAW, "+883510000000", "CO")
    assert "883510000000" not in str(refused.value)
    assert isinstance(refused.value, ValueError)


def test_a_number_of_no_known_zone_goes_by_the_default_zone():
    assert hours_for_phone(LAW, "+883510000000", "CO", "America/Lima") == LAW.in_zones("America/Lima")
    assert hours_for_phone(LAW, "0991234567", "EC", "America/Lima") == LAW.in_zones(ECUADOR)


def test_an_unknown_default_zone_is_refused():
    with pytest.raises(ValueError, match="'Bogota' is no time zone"):
        hours_for_phone(LAW, "123", "CO", "Bogota")


# The same customer


@pytest.mark.parametrize(
    "phone",
    [
        "3001234567",
        "573001234567",
        "+57 300 123 4567",
        "93001234567",
        "9573001234567",
        "(300) 123-4567",
        "0573001234567",
    ],
)
def test_a_number_is_the_same_customer_s_in_every_spelling(phone):
    assert same_customer_key(phone) == "3001234567"


def test_numbers_that_differ_in_their_last_ten_digits_are_different_customers():
    assert same_customer_key("3001234567") != same_customer_key("3101234567")
    assert same_customer_key("999123456") == "999123456"


def test_a_zero_in_front_changes_nothing():
    assert same_customer_key("0991234567") == same_customer_key("991234567") == "991234567"


@pytest.mark.parametrize("phone", ["", "unknown", "+-()", "٣٠٠"])
def test_what_holds_no_digit_is_no_customer_s(phone):
    assert same_customer_key(phone) == ""


@given(st.from_regex("[1-9][0-9]{9}", fullmatch=True), st.from_regex("[0-9]{0,6}", fullmatch=True))
def test_whatever_comes_before_ten_digits_changes_nothing(number, before):
    assert same_customer_key(before + number) == same_customer_key(number) == number


# As it is dialled, and as it is shown


@pytest.mark.parametrize(
    "phone", ["573001234567", "+573001234567", "57 (300) 123-4567", "57.300.123.4567", "57\t3001234567"]
)
def test_a_number_is_dialled_without_what_stands_between_its_digits(phone):
    assert normalise(phone) == "573001234567"


@pytest.mark.parametrize(
    "phone", ["", "+", "300-CALL-NOW", "3001234567 x12", "++573001234567", "٣٠٠١٢٣٤٥٦٧", "300+1234567"]
)
def test_what_is_not_digits_cannot_be_dialled(phone):
    with pytest.raises(ValueError, match="cannot be dialled: it is empty, or holds something other"):
        normalise(phone)


@pytest.mark.parametrize("phone", ["1234", "3" * 21])
def test_a_number_that_is_too_short_or_too_long_cannot_be_dialled(phone):
    with pytest.raises(ValueError, match=rf"has {len(phone)} digits, and a number has 5 to 20"):
        normalise(phone)
    assert normalise("12345") == "12345"
    assert normalise("3" * 20) == "3" * 20


@given(st.text(alphabet="0123456789+ -.()x", max_size=24))
def test_a_refusal_never_shows_the_number(phone):
    digits = "".join(filter(str.isdigit, phone))
    said = ""
    try:
        normalise(phone)
    except ValueError as refused:
        said = str(refused)
    assert len(digits) < 5 or digits[-5:] not in said


def test_a_number_is_shown_by_its_last_four_digits():
    assert masked("+57 300 123 4567") == "***4567"
    assert masked("1234567") == "***"
    assert masked("") == "***"


# The extra


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_without_the_extra_asking_for_a_zone_says_what_to_install():
    said = run(
        "import sys; sys.modules['phonenumbers'] = None\n"
        "from airflow_provider_wolkvox.calling import zones_of, same_customer_key\n"
        "same_customer_key('3001234567')\n"
        "try: zones_of('3001234567', 'CO')\n"
        "except ImportError as missing: print(missing)"
    )
    assert "pip install 'airflow-provider-wolkvox[phones]'" in said


def test_nothing_but_asking_for_a_zone_imports_the_extra():
    loaded = run(
        "import sys\n"
        "import airflow_provider_wolkvox.calling as calling\n"
        "assert not any(name.startswith('airflow_provider_wolkvox.calling.') for name in sys.modules)\n"
        "rules = calling.Rules(hours=calling.CallingHours.careful('America/Bogota'), phone_country='CO')\n"
        "calling.hours_for_phone, calling.choose\n"
        "print(*sys.modules)"
    ).split()
    assert not {"phonenumbers", "holidays", "airflow", "requests", "pendulum"} & set(loaded)
