"""Calling hours by the clock of the number that is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_wolkvox.calling.hours import Hours
    from airflow_provider_wolkvox.phone import PhoneNumber


class ZoneUnknown(ValueError):
    """No time zone is known for a number, so whether it may be called now is not known either."""


def hours_for_phone(hours: Hours, number: PhoneNumber, country: str | None, default_zone: str | None = None) -> Hours:
    """Return hours by the number's own clock: open only where they are open in every zone in which it may be.

    Needs the extra `phones`. Each of joint hours is moved; join those that do not follow the customer afterwards.

    :param hours: when customers may be called, by whatever clock
    :param number: the number
    :param country: ISO 3166 code of the country in which it is dialed; None as for `PhoneNumber.zones`
    :param default_zone: the IANA zone of numbers of no known zone; None (the default) if they are not to be called
    :raises ZoneUnknown: no zone is known for the number, nor given by default
    :raises ValueError: an unknown country or default zone
    :raises ImportError: the extra is not installed
    """
    zones = number.zones(country)
    if not zones and default_zone is not None:
        zones = frozenset({default_zone})
    if not zones:
        raise ZoneUnknown(
            f"no time zone is known for the number {number}, so whether it may be called now is not known: not called. "
            "Give a default zone if you know where such numbers are"
        )
    return hours.in_zones(zones)
