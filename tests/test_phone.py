"""A number is taken as people dial it, known again in any spelling, and called only by a clock that is known."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest
import real_values
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wolkvox.calling import CallingHours, ZoneUnknown, hours_for_phone
from airflow_provider_wolkvox.phone import PhoneNumber, digits_of, keys_in, mask_numbers, masked

BOGOTA = "America/Bogota"


def zones_of(phone: str, country: str | None) -> frozenset[str]:
    return PhoneNumber.parse(phone).zones(country)


def key_of(phone: str, country: str | None = None) -> str:
    return PhoneNumber.parse(phone).key(country)


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


@pytest.mark.parametrize("phone", ["12345", "+883510000000", "3" * 20, "5215512345678"])
def test_a_number_that_is_nowhere_has_no_zone(phone):
    assert zones_of(phone, "CO") == frozenset()


@pytest.mark.parametrize("country", ["XX", "Colombia", "", "57", "001"])
def test_an_unknown_country_is_refused(country):
    with pytest.raises(ValueError, match="is not a country whose numbers are known"):
        zones_of("+573001234567", country)


@settings(deadline=None, max_examples=300)
@given(st.from_regex(r"\+?[0-9]{5,16}", fullmatch=True), st.sampled_from(["CO", "EC", "US", None]))
def test_any_number_has_zones_that_this_machine_knows_or_none(phone, country):
    assert zones_of(phone, country) <= available_timezones()


# Its hours


def test_a_number_s_hours_are_open_only_where_each_of_its_zones_is():
    assert hours_for_phone(LAW, PhoneNumber.parse("0991234567"), "EC") == LAW.in_zones(ECUADOR)
    early = datetime(2026, 11, 23, 7, 30, tzinfo=ZoneInfo("America/Guayaquil"))
    assert hours_for_phone(LAW, PhoneNumber.parse("022345678"), "EC").is_open(early)
    assert not hours_for_phone(LAW, PhoneNumber.parse("0991234567"), "EC").is_open(early)


def test_each_of_joint_hours_goes_by_the_number_s_clock():
    assert hours_for_phone(LAW & TEAM, PhoneNumber.parse("999123456"), "PE") == LAW.in_zones(
        "America/Lima"
    ) & TEAM.in_zones("America/Lima")


def test_a_number_of_no_known_zone_is_not_called():
    with pytest.raises(
        ZoneUnknown, match=r"no time zone is known for the number \*\*\*0000, .*: not called"
    ) as refused:
        hours_for_phone(LAW, PhoneNumber.parse("+883510000000"), "CO")
    assert "883510000000" not in str(refused.value)
    assert isinstance(refused.value, ValueError)


def test_a_number_of_no_known_zone_goes_by_the_default_zone():
    assert hours_for_phone(LAW, PhoneNumber.parse("+883510000000"), "CO", "America/Lima") == LAW.in_zones(
        "America/Lima"
    )
    assert hours_for_phone(LAW, PhoneNumber.parse("0991234567"), "EC", "America/Lima") == LAW.in_zones(ECUADOR)


def test_an_unknown_default_zone_is_refused():
    with pytest.raises(ValueError, match="'Bogota' is no time zone"):
        hours_for_phone(LAW, PhoneNumber.parse("12345"), "CO", "Bogota")


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
    assert key_of(phone) == "3001234567"


def test_numbers_that_differ_in_their_last_ten_digits_are_different_customers():
    assert key_of("3001234567") != key_of("3101234567")
    assert key_of("999123456") == "999123456"


def test_a_zero_in_front_changes_nothing():
    assert key_of("0991234567") == key_of("991234567") == "991234567"


# Colombia's mobiles and landlines: with a trunk digit before it, no number of theirs reads as one of another country.
@given(st.from_regex("3[0-5][0-9]{8}|60[0-9]{8}", fullmatch=True), st.from_regex("[0-9]{0,6}", fullmatch=True))
def test_whatever_comes_before_ten_digits_changes_nothing(number, before):
    assert key_of(before + number) == key_of(number) == number


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("987600001", "51987600001"),
        ("987600001", "+51 987 600 001"),
        ("987600001", "0051987600001"),
        ("+51 1 456 7890", "014567890"),
        ("987600001", "+56 987600001"),
        ("0991234567", "593991234567"),
        ("022345678", "+593 2 234 5678"),
        ("71234567", "59171234567"),
    ],
)
def test_a_short_national_number_is_the_same_customer_s_with_and_without_its_country(one, other):
    assert key_of(one) == key_of(other)


def test_a_landline_of_eight_digits_is_known_with_its_country_s_code_where_it_is_dialed_there():
    assert key_of("5114567890", "PE") == key_of("14567890", "PE")
    # In the United States this is another number: of Texas, or of Long Island.
    assert key_of("5124567890", "US") == key_of("5124567890") == "5124567890"


PLANS = {"51": "9[0-9]{8}", "56": "[2-9][0-9]{8}", "593": "9[0-9]{8}", "57": "3[0-5][0-9]{8}", "52": "[2-9][0-9]{9}"}


@given(st.sampled_from(sorted(PLANS)), st.data())
def test_two_customers_of_one_country_are_never_taken_for_one(code, data):
    national = st.from_regex(PLANS[code], fullmatch=True)
    one, other = data.draw(national), data.draw(national)
    before = st.sampled_from(["", code, f"+{code}"])
    keys = {key_of(data.draw(before) + number) for number in (one, other)}
    assert len(keys) == len({one, other})


def test_whoever_an_entry_that_nobody_can_dial_stands_for_is_known():
    assert keys_in("3005550101.0") == {"3005550101"}
    assert keys_in("3005550101 / 300 555 0102") == {"3005550101", "3005550102"}
    assert "3005550101" in keys_in("3005550101 ext 5")
    assert keys_in("unknown") == keys_in("") == keys_in(None) == keys_in("00000") == frozenset()


# As it is dialed, and as it is shown

PHONES = [*real_values.PHONES_AS_TEXT, *real_values.PHONES_OF_PROGRAMS]


@pytest.mark.parametrize("value", [each for each in PHONES if each.digits], ids=lambda value: value.name)
def test_a_number_is_dialed_without_what_stands_between_its_digits(value):
    assert PhoneNumber.parse(value.value).digits == value.digits


@pytest.mark.parametrize("value", [each for each in PHONES if not each.digits], ids=lambda value: value.name)
def test_what_cannot_be_one_number_is_rejected_with_the_reason(value):
    with pytest.raises(ValueError, match=r"^customer_phone ") as rejected:
        PhoneNumber.parse(value.value)
    said = str(rejected.value)
    assert value.says in said.lower()
    assert not any(part in said for part in ("3005550101", "5550101", "6015550101"))
    assert said.isprintable()
    assert len(said) < 250


@pytest.mark.parametrize("value", real_values.AGENTS, ids=lambda value: value.name)
def test_an_agent_s_extension_is_taken_as_it_stands_or_rejected_with_the_reason(value):
    if value.digits:
        assert digits_of(value.value, "agent_id") == value.digits
    else:
        with pytest.raises(ValueError, match=r"^agent_id ") as rejected:
            digits_of(value.value, "agent_id")
        assert value.says in str(rejected.value).lower()


NATIONAL = st.from_regex("[1-9][0-9]{6,9}", fullmatch=True)
CODE = st.sampled_from(["", "57", "+57", "+1", "0057", "9", "51", "+593"])
BETWEEN = st.sampled_from([" ", "-", ".", "\u00a0", " - ", ""])


@st.composite
def spelled(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a number's digits and one of its usual spellings."""
    code, number, between = draw(CODE), draw(NATIONAL), draw(BETWEEN)
    first = draw(st.sampled_from([1, 2, 3]))
    head, middle, tail = number[:first], number[first:-4], number[-4:]
    area = draw(st.sampled_from([f"({head})", head]))
    parts = [code, area, middle, tail] if between else [code + number]
    return (code + number).removeprefix("+"), between.join(part for part in parts if part)


@given(spelled())
def test_any_usual_spelling_of_a_number_is_that_number(number):
    digits, text = number
    assert PhoneNumber.parse(text).digits == digits
    assert PhoneNumber.parse(f" {text}\n").international == text.startswith("+")


@given(
    spelled(),
    spelled(),
    st.sampled_from([" ", "-", " - ", "\t", "/", " / ", ", ", ";", " y ", " o ", "\n", "|", ".", "\u00a0"]),
)
def test_two_numbers_in_one_field_are_never_one(one, other, between):
    with pytest.raises(ValueError, match="customer_phone"):
        PhoneNumber.parse(one[1] + between + other[1])


@given(st.text(alphabet="0123456789+ -.()x/,\u200e\n", max_size=24))
def test_a_rejection_never_shows_the_number(phone):
    digits = "".join(filter(str.isdigit, phone))
    said = ""
    try:
        PhoneNumber.parse(phone)
    except ValueError as rejected:
        said = str(rejected)
    assert len(digits) < 5 or digits[-5:] not in said


@given(st.from_regex(r"\+?[0-9]{5,20}", fullmatch=True))
def test_a_number_that_travels_as_text_comes_back_as_it_was(text):
    number = PhoneNumber.parse(text)
    again = PhoneNumber.parse(number.written)
    assert (again, again.international) == (number, text.startswith("+"))


def test_a_number_shows_itself_by_its_last_four_digits_only():
    number = PhoneNumber.parse("+57 300 123 4567")
    assert str(number) == f"{number}" == number.masked == "***4567"
    assert repr(number) == "PhoneNumber(***4567)"
    assert masked("+57 300 123 4567") == "***4567"
    assert masked("1234567") == masked("") == "***"


@pytest.mark.parametrize(
    "text",
    ["300_123_4567", "300,123,4567", "３００１２３４５６７", "300 / 123 / 4567", "(300) 123-4567", "300\n123\n4567"],
)
def test_a_number_in_a_text_is_masked_in_each_spelling(text):
    said = mask_numbers(f"agent 10001: {text} is busy")
    assert said.replace("(", "") == "agent 10001: ***4567 is busy"


def test_counts_and_codes_are_no_numbers():
    said = "You are uploading (66401) records, code 404, 50000 at most"
    assert mask_numbers(said) == said
    assert mask_numbers("customer 66401", fewest=5) == "customer ***"


# The extra


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_without_the_extra_asking_for_a_zone_says_what_to_install():
    said = run(
        "import sys; sys.modules['phonenumbers'] = None\n"
        "from airflow_provider_wolkvox.phone import PhoneNumber\n"
        "number = PhoneNumber.parse('3001234567')\n"
        "number.key('CO')\n"
        "try: number.zones('CO')\n"
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
