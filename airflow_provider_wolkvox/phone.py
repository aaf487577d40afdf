"""Phone numbers: as written, as dialed, as shown, whose they are, and in which time zones they may be.

The only place that knows. A number is given as people dial it: national, or with the country's code, with or without
`+`, but without the operation's own dial prefix. Numbers that strict validation rejects are dialed every day, so they
are taken; what cannot be one number, such as a float's text or two numbers in one cell, is not.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date
from numbers import Integral, Number
from typing import Any, Final, Self

FEWEST_DIGITS: Final = 5
MOST_DIGITS: Final = 20

# A national number and what is dialed before it; longer text is no number, whatever it holds.
_LONGEST_TEXT: Final = 60
# Blanks and dashes that people, spreadsheets and web pages put between digits.
_BLANKS: Final = " \t\u00a0\u2007\u2009\u202f"
_BETWEEN: Final = re.compile(rf"[{_BLANKS}.()\[\]\-\u2010-\u2013]")
_WRITTEN: Final = re.compile(rf"(?:[+(\[]|\(\+|\[\+)?[{_BLANKS}]*[0-9](?:[0-9.()\[\]{_BLANKS}\-\u2010-\u2013]*[0-9])?")
_DIGITS: Final = re.compile("[0-9]+")
_NOT_DIGITS: Final = re.compile("[^0-9]+")

_MISSING: Final = frozenset({"", "-", "nan", "none", "null", "<na>", "na", "n/a", "#n/a", "nat"})
# `3005550101.0` and `3,00555E+09`: what a spreadsheet or pandas makes of a number.
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]{5,}[.,][0-9]{0,2}|[0-9]+(?:[.,][0-9]*)?[eE][+-]?[0-9]+)")
_FLOAT_ID: Final = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]*(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)")
_EXTENSION: Final = re.compile(
    r"(?:\b|(?<=[0-9]))(?:e?xt|x|anexo|interno|ext?ensi[oó]n)\.?\s*[0-9]+\s*$", re.IGNORECASE
)
_SEVERAL: Final = re.compile(r"[/,;|&\r\n]|\b(?:y|o|ó|e|u|or|and)\b", re.IGNORECASE)
# The exit codes that stand for the `+` when they are dialed.
_EXIT_CODES: Final = ("00", "011")
# On its own a number of a landline, without its area.
_WHOLE: Final = 7
# E.164, section 6.2.1: an international number has at most 15 digits.
_LONGEST_INTERNATIONAL: Final = 15

_LONGEST_REPEATED: Final = 60
_DIGITS_REPEATED: Final = 4

_KEY_DIGITS: Final = 10
# Countries whose national numbers have fewer than ten digits: their code, and what these look like. Everywhere else in
# America they have ten, so that the last ten digits tell customers apart. (ITU-T E.164 numbering plans, November 2026.)
_EIGHT: Final = "[2-8][0-9]{7}"
_SHORT_PLANS: Final = {
    "PE": ("51", "9[0-9]{8}|[1-8][0-9]{7}"),
    "CL": ("56", "[2-9][0-9]{8}"),
    "EC": ("593", "9[0-9]{8}|[2-7][0-9]{7}"),
    "BO": ("591", _EIGHT),
    "PY": ("595", "[2-9][0-9]{8}"),
    "UY": ("598", "[249][0-9]{7}"),
    "GT": ("502", _EIGHT),
    "SV": ("503", _EIGHT),
    "HN": ("504", "[2-9][0-9]{7}"),
    "NI": ("505", _EIGHT),
    "CR": ("506", _EIGHT),
    "PA": ("507", _EIGHT),
}

# Digits of any script, with whatever people and programs put between those of one number.
# A comma with a blank after it parts two of them.
_BETWEEN_SHOWN: Final = r"(?:[\s_.()\[\]\-\u2010-\u2015\u2212/]|,(?=[0-9]))"
_UNKNOWN_ZONE: Final = "Etc/Unknown"


@dataclass(frozen=True, slots=True, repr=False)
class PhoneNumber:
    """One number, which knows how it was written. Its `str` and `repr` show no more than its last four digits.

    :param digits: what is dialed, without the operation's dial prefix
    :param international: whether it was written with a `+`
    """

    digits: str
    international: bool = field(default=False, compare=False)

    @classmethod
    def parse(cls, value: Any, name: str = "customer_phone") -> Self | PhoneNumber:
        """Return the number that a person, a file or a program gives.

        Blanks, dashes, dots, brackets and one leading `+` are dropped. Nothing is added or guessed.

        :param value: text, a whole number of any integral type, or a `PhoneNumber`
        :param name: what messages call it
        :raises ValueError: it is missing, or cannot be one number of 5 to 20 digits; the message masks it
        """
        if isinstance(value, PhoneNumber):
            return value
        if (
            isinstance(value, str)
            and value.isascii()
            and value.isdigit()
            and FEWEST_DIGITS <= len(value) <= MOST_DIGITS
        ):
            # Most numbers are, and reports hold a hundred thousand of them.
            return cls(value)
        text = written(value, name)
        if len(text) > _LONGEST_TEXT:
            raise ValueError(f"{name} has {len(text)} characters; a number has {FEWEST_DIGITS} to {MOST_DIGITS} digits")
        reject_invisible(text, name)
        shown = masked(text)
        if _FLOAT.fullmatch(text):
            raise ValueError(_is_float(name, shown))
        if _EXTENSION.search(text):
            raise ValueError(f"{name} ({shown}) has an extension, which nobody dials: give the number alone")
        if sum(len(_NOT_DIGITS.sub("", part)) >= FEWEST_DIGITS for part in _SEVERAL.split(text)) > 1:
            raise ValueError(_is_several(name, shown))
        if "\n" in text or "\r" in text:
            raise ValueError(f"{name} ({shown}) holds a line break: give one number, in one line")
        if "(0)" in text:
            raise ValueError(
                f"{name} ({shown}) holds '(0)', which is dialed within the country only: leave it out, or give the "
                "national number with its 0"
            )
        if not _WRITTEN.fullmatch(text):
            raise ValueError(
                f"{name} ({shown}) holds something other than digits, blanks, dashes, dots, brackets and one leading "
                "'+'"
            )
        digits = _NOT_DIGITS.sub("", text)
        if not FEWEST_DIGITS <= len(digits) <= MOST_DIGITS:
            raise ValueError(
                f"{name} ({shown}) has {len(digits)} digits; a number has {FEWEST_DIGITS} to {MOST_DIGITS}"
            )
        if _is_two_numbers(_DIGITS.findall(text)):
            raise ValueError(_is_several(name, shown))
        return cls(digits, "+" in text)

    @property
    def masked(self) -> str:
        """What of the number may be shown: its last four digits, or none if it has fewer than eight."""
        return masked(self.digits)

    @property
    def written(self) -> str:
        """The number as text that `parse` reads back, with its `+`."""
        return f"+{self.digits}" if self.international else self.digits

    def key(self, country: str | None = None) -> str:
        """Return what is equal for all spellings of one customer's number.

        Its last ten digits, without zeros in front: so a country's code, a trunk digit or a dial prefix before ten
        digits changes nothing. Where national numbers are shorter (Peru, Chile, Ecuador and others) it is the national
        number: their country's code is dropped where the number has a `+`, or more than ten digits, or is dialed
        within that country. What remains: without a `country`, a landline of eight digits given once with its
        country's code and no `+`, and once without, counts as two customers.

        :param country: ISO 3166 code of the country in which the number is dialed; default None, if that is not known
        """
        digits = self.digits.lstrip("0")
        for region, (code, plan) in _SHORT_PLANS.items():
            national = digits.removeprefix(code)
            certain = self.international or len(digits) > _KEY_DIGITS or region == (country or "").strip().upper()
            if certain and digits.startswith(code) and re.fullmatch(plan, national):
                return national
        return digits[-_KEY_DIGITS:]

    def zones(self, country: str | None) -> frozenset[str]:
        """Return the IANA time zones in which the number may be; none if it is not known.

        Needs the extra `phones`. A number that its country's numbering plan does not know, but whose length is
        possible there, may be anywhere in that country.

        Example::

            PhoneNumber.parse("0991234567").zones("EC")   # {'America/Guayaquil', 'Pacific/Galapagos'}: a mobile
            PhoneNumber.parse("+12125550123").zones(None)  # {'America/New_York'}

        :param country: ISO 3166 code of the country in which it is dialed; None if that is not known: a number without
            `+` is then in no known zone
        :raises ValueError: an unknown country
        :raises ImportError: the extra is not installed
        """
        library, timezone = _phonenumbers()
        region = None if country is None else country.strip().upper()
        if region is not None and region not in library.SUPPORTED_REGIONS:
            raise ValueError(
                f"{country!r} is not a country whose numbers are known: known are the ISO 3166 codes, such as CO, EC "
                "or PE"
            )
        # Within its country a number may come with the code of another, and no `+`.
        readings = [self.written] if region is None or self.international else [self.digits, f"+{self.digits}"]
        for reading in readings:
            try:
                number = library.parse(reading, region)
            except library.NumberParseException:
                continue
            zones = frozenset(timezone.time_zones_for_number(number)) - {_UNKNOWN_ZONE}
            if not zones and library.is_possible_number(number):
                # Asked for a number that begins like no other, the table answers with all that the code covers.
                anywhere = library.PhoneNumber(country_code=number.country_code, national_number=0)
                zones = frozenset(timezone.time_zones_for_geographical_number(anywhere)) - {_UNKNOWN_ZONE}
            if zones:
                return zones
        return frozenset()

    def __str__(self) -> str:
        return self.masked

    def __repr__(self) -> str:
        return f"PhoneNumber({self.masked})"


def written(value: Any, name: str) -> str:
    """Return a number or an id as the text that stands for it, without white space around it.

    :param value: text, or a whole number of any integral type, such as numpy's
    :param name: what messages call it
    :raises ValueError: it is missing (None, NaN, pandas' NA, an empty text or a word for it), a float, negative, or of
        another type
    """
    if is_missing(value):
        raise ValueError(f"{name} is missing")
    if isinstance(value, bool) or not isinstance(value, str | Integral):
        if isinstance(value, Number) and not isinstance(value, bool):
            raise ValueError(_is_float(name, type(value).__name__))
        raise ValueError(f"{name} must be text, not {type(value).__name__}")
    if isinstance(value, str):
        text = str(value).strip()
    elif value < 0:
        raise ValueError(f"{name} is negative")
    elif value >= 10**_LONGEST_TEXT:
        raise ValueError(f"{name} is a number of more than {_LONGEST_TEXT} digits; it may have at most {MOST_DIGITS}")
    else:
        text = str(int(value))
    if text.lower() in _MISSING:
        raise ValueError(f"{name} is missing")
    return text


def digits_of(value: Any, name: str) -> str:
    """Return an id of digits, such as an agent's extension, exactly as it stands.

    :param value: as for `written`
    :param name: what messages call it
    :raises ValueError: as for `written`, or it holds something other than 1 to 20 digits; it is not repeated, since
        with swapped arguments it would be a customer's number
    """
    text = written(value, name)
    if len(text) <= MOST_DIGITS and _DIGITS.fullmatch(text):
        return text
    if len(text) <= _LONGEST_TEXT:
        reject_invisible(text, name)
        if _FLOAT_ID.fullmatch(text):
            raise ValueError(_is_float(name, masked(text)))
    raise ValueError(f"{name} is not digits, 1 to {MOST_DIGITS} of them")


def masked(text: object) -> str:
    """Return what of a number may be shown: its last four digits, or none if it has fewer than eight.

    :param text: a number in any spelling; what stands between the digits is not shown either
    """
    digits = _NOT_DIGITS.sub("", str(text)[-200:])
    return f"***{digits[-4:]}" if len(digits) >= 8 else "***"


def shown(value: object) -> str:
    """Return a value as a message about it may repeat it: neither long, nor what may be a number or a token.

    :param value: anything
    """
    text = repr(value)
    if isinstance(value, date) or (len(text) <= _LONGEST_REPEATED and sum(map(str.isdigit, text)) <= _DIGITS_REPEATED):
        return text
    return f"a {type(value).__name__} that is not repeated here"


def mask_numbers(text: str, fewest: int = 7) -> str:
    """Return a text with every number in it masked, however its digits are grouped and in whatever script.

    :param text: such as a server's message
    :param fewest: from how many digits on it is masked; default 7
    """
    ascii_digits = "".join(str(unicodedata.digit(each, each)) if not each.isascii() else each for each in text)
    spans = re.finditer(rf"[0-9](?:{_BETWEEN_SHOWN}{{0,3}}[0-9]){{{fewest - 1},}}", ascii_digits)
    found, end = [], 0
    for span in spans:
        found += [text[end : span.start()], masked(span.group())]
        end = span.end()
    return "".join([*found, text[end:]])


def shown_extension(agent_id: str) -> str:
    """Return an agent's extension, masked where it is a customer's number in the wrong place.

    :param agent_id: the extension; none is known to have eight digits or more
    """
    return mask_numbers(agent_id[:64], 8)


def keys_in(text: object, country: str | None = None) -> frozenset[str]:
    """Return the key of each number that stands in a text, such as an entry of a do-not-call list. Never fails.

    What cannot be dialed may still say who must not be called: `3005550101.0`, two numbers, one with an extension.

    :param text: anything
    :param country: as for `PhoneNumber.key`
    """
    if isinstance(text, PhoneNumber):
        return frozenset({text.key(country)}) - {""}
    try:
        return frozenset({PhoneNumber.parse(text).key(country)}) - {""}
    except ValueError:
        pass
    whole = re.sub(r"(?<=[0-9])[.,]0+$", "", str(text).strip())
    parts = [_NOT_DIGITS.sub("", part) for part in [*_SEVERAL.split(whole), *_DIGITS.findall(whole), whole]]
    return frozenset(PhoneNumber(part).key(country) for part in parts if len(part) >= FEWEST_DIGITS) - {""}


def is_missing(value: Any) -> bool:
    """Return whether a value is None or what tables hold for an empty cell: NaN of any type, pandas' NA and NaT.

    :param value: anything; no text and no whole number is missing
    """
    if value is None:
        return True
    if isinstance(value, str | Integral):
        return False
    try:
        # What is not equal to itself: NaN of float, numpy and Decimal, and pandas' NaT.
        return bool(value != value)
    except (TypeError, ArithmeticError):
        # pandas' NA has no truth value.
        return True
    except ValueError:
        return False


def _is_two_numbers(groups: list[str]) -> bool:
    """Return whether groups of digits are more than one number.

    Each of two numbers has at least seven digits, the fewest of a landline. A group that is a whole number by itself is
    the last group of one number.
    """
    if any(len(group) >= _WHOLE for group in groups[:-1]):
        return True
    exit_code = next((code for code in _EXIT_CODES if groups[0].startswith(code)), "")
    lengths = [len(groups[0]) - len(exit_code), *map(len, groups[1:])]
    total = sum(lengths)
    if len(groups) > 1 and total > _LONGEST_INTERNATIONAL:
        return True
    before = (sum(lengths[:place]) for place in range(1, len(lengths)))
    return any(_WHOLE <= left <= total - _WHOLE for left in before)


def reject_invisible(text: str, name: str) -> None:
    """Require a text without characters that nobody sees, except tabs and line breaks.

    :param text: the text
    :param name: what the message calls it
    :raises ValueError: it holds one, which the message names by its code point; the text is masked
    """
    for each in text:
        if unicodedata.category(each) in ("Cc", "Cf") and each not in "\t\r\n":
            raise ValueError(
                f"{name} ({masked(text)}) holds a character that nobody sees, U+{ord(each):04X}: type it again, or "
                "clean the column"
            )


def _is_float(name: str, shown: str) -> str:
    return f"{name} ({shown}) is a float. Perhaps an empty cell made the column a float: read it as text"


def _is_several(name: str, shown: str) -> str:
    return f"{name} ({shown}) holds more than one number: give one number"


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
