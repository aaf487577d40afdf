"""Phone numbers: what may be dialled, whether two are the same customer's, and in which time zones one may be.

A number is given as people dial it: national, or with the country's code, with or without `+`, but without
the operation's own dial prefix. Numbers that strict validation refuses are dialled every day, so they are taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow_provider_wolkvox.calling.hours import Hours

FEWEST_DIGITS: Final = 5
MOST_DIGITS: Final = 20

_KEY_DIGITS: Final = 10
_BETWEEN_DIGITS: Final = re.compile(r"[\s().-]")
_NOT_DIGITS: Final = re.compile("[^0-9]")
_DIGITS: Final = re.compile("[0-9]+")
_UNKNOWN: Final = "Etc/Unknown"


class ZoneUnknown(ValueError):
    """Nobody can tell in which time zone a number is, so nobody can tell whether it may be called now."""


def normalise(phone: str) -> str:
    """Return a number's digits: blanks, dashes, dots, brackets and one leading `+` are dropped.

    Nothing is added, guessed or validated beyond that: "+57 300 123 4567" is "573001234567".

    :param phone: as people write it
    :raises ValueError: it cannot be dialled: something else is in it, or it has not 5 to 20 digits
    """
    digits = phone
    if not (phone.isascii() and phone.isdigit()):
        digits = _BETWEEN_DIGITS.sub("", phone).removeprefix("+")
        if not _DIGITS.fullmatch(digits):
            raise ValueError(
                f"the number ({masked(phone)}) cannot be dialled: it is empty, or holds something other than digits, "
                "blanks, dashes, dots, brackets and one leading '+'"
            )
    if not FEWEST_DIGITS <= len(digits) <= MOST_DIGITS:
        raise ValueError(
            f"the number ({masked(phone)}) cannot be dialled: it has {len(digits)} digits, "
            f"and a number has {FEWEST_DIGITS} to {MOST_DIGITS}"
        )
    return digits


def same_customer_key(phone: str) -> str:
    """Return what is equal for two spellings of one number: its last ten digits, without zeros in front.

    So a country's code, a trunk digit or a dial prefix before ten digits changes nothing. Never fails: what
    holds no digit has the empty key, and is no customer's.

    :param phone: as people write it, or as a report shows it
    """
    digits = phone if phone.isascii() and phone.isdigit() else _NOT_DIGITS.sub("", phone)
    return digits[-_KEY_DIGITS:].lstrip("0")


def masked(phone: str) -> str:
    """Return what of a number may be shown: its last four digits, or none if it has fewer than eight.

    :param phone: anything: what stands between the digits is not shown either
    """
    digits = phone if phone.isascii() and phone.isdigit() else _NOT_DIGITS.sub("", phone)
    return f"***{digits[-4:]}" if len(digits) >= 8 else "***"


def zones_of(phone: str, country: str | None) -> frozenset[str]:
    """Return the IANA time zones in which a number may be; none if nobody can tell.

    Needs the extra `phones`. A number that its country's numbering plan does not know, but whose length is
    possible there, may be anywhere in that country.

    Example::

        zones_of("0991234567", "EC")   # {'America/Guayaquil', 'Pacific/Galapagos'}: a mobile
        zones_of("+12125550123", None)  # {'America/New_York'}

    :param phone: the number, without the operation's dial prefix
    :param country: ISO 3166 code of the country in which it is dialled; None if it is known to have a `+`: a number
        without one is then in no known zone
    :raises ValueError: an unknown country
    :raises ImportError: the extra is not installed
    """
    library, timezone = _phonenumbers()
    region = None if country is None else country.strip().upper()
    if region is not None and region not in library.SUPPORTED_REGIONS:
        raise ValueError(
            f"{country!r} is no country whose numbers are known: known are the ISO 3166 codes, such as CO, EC or PE"
        )
    # Within its country a number may come with the code of another, and no `+`.
    readings = [phone] if region is None or phone.strip().startswith("+") else [phone, f"+{phone.strip()}"]
    for reading in readings:
        try:
            number = library.parse(reading, region)
        except library.NumberParseException:
            continue
        zones = _known(timezone.time_zones_for_number(number))
        if not zones and library.is_possible_number(number):
            # Asked for a number that begins like no other, the table answers with all that the code covers.
            anywhere = library.PhoneNumber(country_code=number.country_code, national_number=0)
            zones = _known(timezone.time_zones_for_geographical_number(anywhere))
        if zones:
            return zones
    return frozenset()


def hours_for_phone(hours: Hours, phone: str, country: str | None, default_zone: str | None = None) -> Hours:
    """Return hours by the number's own clock: open only where they are open in every zone in which it may be.

    Needs the extra `phones`. Each of joint hours is moved; join those that do not follow the customer afterwards.

    :param hours: when customers may be called, by whatever clock
    :param phone: the number, without the operation's dial prefix
    :param country: ISO 3166 code of the country in which it is dialled; None as for `zones_of`
    :param default_zone: the IANA zone of numbers of no known zone; None (the default) if they are not to be called
    :raises ZoneUnknown: no zone is known for the number, nor given by default
    :raises ValueError: an unknown country or default zone
    :raises ImportError: the extra is not installed
    """
    zones = zones_of(phone, country)
    if not zones and default_zone is not None:
        zones = frozenset({default_zone})
    if not zones:
        raise ZoneUnknown(
            f"no time zone is known for the number {masked(phone)}, so nobody can tell whether it may be called now: "
            "not called. Give a default zone if you know where such numbers are"
        )
    return hours.in_zones(zones)


def _known(zones: Iterable[str]) -> frozenset[str]:
    return frozenset(zones) - {_UNKNOWN}


def _phonenumbers() -> tuple[Any, Any]:
    """Return the library and its time zones: on first use, as they are heavy and an extra."""
    try:
        import phonenumbers
        from phonenumbers import timezone
    except ImportError as missing:
        raise ImportError(
            "the time zone of a phone number needs the package phonenumbers, which is not installed: "
            "pip install 'airflow-provider-wolkvox[phones]'"
        ) from missing
    return phonenumbers, timezone
