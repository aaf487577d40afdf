"""What may be put into a request: checked and normalised before anything is sent.

Every function returns the text that goes onto the wire or raises `ValueError` with what is wrong.
No message repeats a token or a whole phone number.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from datetime import datetime
from numbers import Integral
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_provider_wolkvox.phone import (
    FEWEST_DIGITS,
    MOST_DIGITS,
    PhoneNumber,
    digits_of,
    is_missing,
    mask_numbers,
    masked,
    reject_invisible,
)

# A day. Sockets and locks refuse what is much longer, and then only when they are used.
LONGEST_WAIT = 86_400

# Longer than any name, comment or id; the vendor tells no limit of its own.
LONGEST_TEXT = 1_000
# When wolkvox's calls are made; what lies outside is a mistake, and the calendar's edges overflow.
FIRST_YEAR, LAST_YEAR = 2000, 2199

# `str.isdigit` would let other scripts' digits through, which no telephone switch dials.
_DIGITS = re.compile(r"[0-9]+")
_SHORT_SECRET = 3
# RFC 9110 section 5.5: visible ASCII is what a header value may hold everywhere; inner blanks
# would be legal, but no token has them and a pasted line break or blank is always a mistake.
_TOKEN = re.compile(r"[\x21-\x7e]+")

_TONES = re.compile(r"[0-9*#]+")
# GUESS: what the id of an own state is made of.
_STATUS = re.compile(r"[A-Za-z0-9_-]+")

_PHONE_FIELD = re.compile("tel(?:[1-9]|10)", re.IGNORECASE)
_NO_DATUM = re.compile(
    r"nan|NaN|NaT|<NA>|[+-]?(?:inf|Inf|[Ii]nfinity)|[+-]?[0-9]+(?:[.,][0-9]*)?[eE][+-]?[0-9]+"
    # The errors of spreadsheets, in English and Spanish: #N/A, #N/D, #REF!, #¡VALOR!, #¿NOMBRE?
    r"|#N/[AD]|#[¡¿]?[A-Z0-9/]+[!?]"
)
# Beyond it a float has lost digits.
_EXACT = 2**53

# Labels of a name, up to 63 characters each, or an address; what else it is, the resolver may say.
_HOST = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")


SERVER_CODE_DIGITS = 4
"""How many digits a server code has [seen in production logs]; fewer have lost their leading zeros."""


def server_code(value: str) -> str:
    """Return the digits of a server code: both `0042` and `wv0042` give `0042`.

    Real codes are four digits with leading zeros, and people store them with the `wv` of the
    address too [seen in production logs]; so the code is text, never a number.

    :param value: what a person entered
    :raises ValueError: it is no text, empty, or something other than digits stands after `wv`; it is not repeated
    """
    if not isinstance(value, str):
        raise ValueError(
            "the server code must be text such as '0042', not a number: YAML reads 0042 without quotes as 34"
        )
    code = value.strip()
    if not code:
        raise ValueError("the server code is empty: give the digits after 'wv' of the operation's address")
    if code[:2].lower() == "wv":
        code = code[2:]
    if not _DIGITS.fullmatch(code):
        # Not repeated: the two fields of a connection get swapped, and then this is the token.
        raise ValueError(
            "the server code is not digits such as '0042' or 'wv0042': give only what stands after 'wv' in the "
            "operation's address"
        )
    return code


def token(value: str) -> str:
    """Return the token without the white space around it, if an HTTP header may carry it.

    :param value: what a person entered
    :raises ValueError: it is empty, or a character in it is not visible ASCII; it is not repeated
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError("the token is empty: make one in wolkvox Manager, Configuration, Integrations, Tokens")
    stripped = value.strip()
    if not _TOKEN.fullmatch(stripped):
        raise ValueError(
            "the token holds a character that no HTTP header may carry (a blank, a line break or a "
            "letter outside ASCII): copy it again from wolkvox Manager"
        )
    return stripped


def base_url(value: str) -> str:
    """Return the address without a trailing slash; it must be an http(s) address of a host, no more.

    :param value: such as `http://127.0.0.1:8099`; a path may follow, as a gateway's may, but not the API's own
    :raises ValueError: it is no such address, or holds a user, password, query or fragment; it is not repeated
    """
    address = value.strip().rstrip("/") if isinstance(value, str) else ""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise ValueError("base_url must be an address such as 'http://127.0.0.1:8099'")
    if parts.username is not None or re.search(r"[?#\s]", address):
        raise ValueError("base_url must hold no user, password, query or fragment")
    if re.search(r"/api/v2(/|$)|/api$|\.php$", parts.path, re.IGNORECASE):
        raise ValueError("base_url must end before '/api/v2', which is added to it")
    return address


def is_unprotected(address: str) -> bool:
    """Return whether what is sent to an address can be read on its way: plain HTTP to another machine.

    :param address: what `base_url` returned
    """
    parts = urlsplit(address)
    host = parts.hostname or ""
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost" or host.endswith(".localhost")
    return parts.scheme == "http" and not is_here


def agent_id(value: str | int, name: str = "agent_id") -> str:
    """Return the agent's extension as digits (five of them in the vendor's samples), exactly as it stands.

    :param value: text or whole number
    :param name: what the message calls it; default `agent_id`
    :raises ValueError: it is missing, a float, negative, or something other than digits; it is not repeated
    """
    return digits_of(value, name)


def phone(value: str | int | PhoneNumber, name: str = "customer_phone") -> str:
    """Return the 5 to 20 digits of a phone number, as `PhoneNumber.parse` reads it.

    Nothing is added or guessed: a trunk digit is a setting of the operation, the connection's `dial_prefix`.

    :param value: text, a whole number, or a number that was read already
    :param name: what the message calls it; default `customer_phone`
    :raises ValueError: it cannot be one number; the message masks it
    """
    return PhoneNumber.parse(value, name).digits


def campaign_id(value: str | int, *, or_all: bool = False) -> str:
    """Return a campaign's id as digits, or `all` where an API takes that.

    :param value: text or whole number
    :param or_all: whether the API takes `all` for every campaign; default False
    :raises ValueError: it is something else
    """
    if or_all and value == "all":
        return "all"
    # Exactly as it stands: what would be dropped from a phone number makes another campaign's id here.
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**MOST_DIGITS
    digits = str(value).strip() if whole or isinstance(value, str) else ""
    if len(digits) > MOST_DIGITS or not _DIGITS.fullmatch(digits):
        raise ValueError(
            f"campaign_id is not digits: give the campaign's number, such as '32841'{', or all' if or_all else ''}"
        )
    return digits


def plain(value: str, name: str) -> str:
    """Return a text that is not empty, without the white space around it.

    :param value: only text is taken, no number
    :param name: what the message calls it
    :raises ValueError: it is no text, or empty
    """
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, not {type(value).__name__}")
    text = _fit(value, name)
    if not text:
        raise ValueError(f"{name} is empty")
    return text


def optional(value: str | int | None, name: str) -> str:
    """Return a text, or a whole number as text, without the white space around it; empty for None.

    :param value: what is to be text, None for nothing
    :param name: what the message calls it
    :raises ValueError: it is something else, such as a float
    """
    if value is None:
        return ""
    # Jinja's native rendering turns the text "123" into a number.
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"{name} must be text, not {type(value).__name__}")
    if isinstance(value, int) and abs(value) >= 10**LONGEST_TEXT:
        raise ValueError(f"{name} is a number of more than {LONGEST_TEXT} digits")
    return _fit(str(value), name)


def identifier(value: str | int, name: str) -> str:
    """Return an id, which may be digits or not, but is not empty.

    :param value: text or whole number
    :param name: what the message calls it
    :raises ValueError: it is empty, or as for `optional`
    """
    text = optional(value, name)
    if not text:
        raise ValueError(f"{name} is empty")
    return text


def cell(value: Any, name: str) -> str:
    """Return what an upload sends as one field of a customer's record; empty for what is missing.

    :param value: text, a whole number of any integral type, a float that is no mistake, or what is missing (None, NaN,
        pandas' NA)
    :param name: the field's name; `tel1` to `tel10` hold numbers
    :raises ValueError: what a spreadsheet made of a value (`nan`, `inf`, an exponent, `#N/A`), a number that cannot be
        one, or text that no request can carry; a number is masked
    """
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return ""
    if _PHONE_FIELD.fullmatch(name):
        return PhoneNumber.parse(value, name).digits
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        # JSON and spreadsheets make 7.0 of a number.
        value = int(value)
    elif isinstance(value, Integral) and not isinstance(value, bool):
        # Such as numpy's.
        value = int(value)
    text = str(value) if isinstance(value, float) else optional(value, name)
    if _NO_DATUM.fullmatch(text):
        raise ValueError(f"{name} is what a spreadsheet made of a value (nan, inf, an exponent, #N/A): read it as text")
    if name == "customer_id":
        # It would be another customer's.
        reject_invisible(text, name)
    return text


def status(value: str | int) -> str:
    """Return what an agent's state is set to: `ready`, `logout` or the id of an own state.

    :param value: the two words in any case; GUESS: an id is made of ASCII letters, digits, `_` and `-`
    :raises ValueError: it is none of these
    """
    state = optional(value, "status")
    if not _STATUS.fullmatch(state):
        raise ValueError("status must be 'ready', 'logout' or the id of one of the operation's own states")
    return state.lower() if state.lower() in ("ready", "logout") else state


def tones(value: str) -> str:
    """Return the keys of a telephone to be pressed; text, since a number would lose its leading zeros.

    :param value: one or more of the digits, `*` and `#`
    :raises ValueError: it is something else; it is not repeated, since people key in card numbers
    """
    if not isinstance(value, str):
        raise ValueError(f"tones must be text, not {type(value).__name__}")
    if not _TONES.fullmatch(value):
        # Not repeated: people key in card numbers.
        raise ValueError("tones must be one or more of the digits, '*' and '#'")
    return value


def date(value: datetime, name: str, zone: ZoneInfo) -> str:
    """Return an instant as wolkvox reads it, `YYYYmmddHHiiss` by the clock of a zone [doc].

    :param value: an aware datetime; fractions of a second are dropped
    :param name: what the message calls it
    :param zone: by whose clock
    :raises ValueError: it has no time zone, or the zone's clock cannot show it
    """
    _instant(value, name)
    return f"{value.astimezone(zone):%Y%m%d%H%M%S}"


def one_of(value: str, choices: Collection[str], name: str) -> str:
    """Return a word that an API knows, spelt as it spells it.

    :param value: the word; upper and lower case count
    :param choices: the words that the API knows
    :param name: what the message calls it
    :raises ValueError: it is none of `choices`
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(sorted(choices))}")
    return value


def instants(since: datetime, until: datetime) -> None:
    """Require two instants in order, each of which says in what zone it is.

    :param since: the first, aware
    :param until: the last, aware; it may be the same
    :raises ValueError: one has no time zone, or they are the wrong way round
    """
    _instant(since, "since")
    _instant(until, "until")
    # As seconds: two datetimes of one zone are compared by its clock, which is put back once a year.
    if until.timestamp() < since.timestamp():
        raise ValueError(
            f"until must not be before since: the range ends ({until.isoformat()}) before it begins "
            f"({since.isoformat()})"
        )


def zone(value: str, name: str = "timezone") -> ZoneInfo:
    """Return the time zone of an IANA name.

    :param value: such as `America/Bogota`
    :param name: what the message calls it; default `timezone`
    :raises ValueError: this machine knows no such zone
    """
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, TypeError, AttributeError, OSError):
        raise ValueError(f"{name} is not the IANA name of a time zone, such as 'America/Bogota'") from None


def same_number(reported: str, asked: str, prefix: str = "") -> bool:
    """Return whether a report's number is the one that was asked for, with the dial prefix or without.

    Long numbers are compared by their last ten digits, since reports differ in what they put before.

    :param reported: the report's, digits
    :param asked: the one that was asked for, digits, without the prefix
    :param prefix: the dial prefix, digits; default none
    """
    if len(asked) >= 10:
        return reported[-10:] == asked[-10:]
    return reported in (asked, prefix + asked)


def dial_prefix(value: str | int) -> str:
    """Return the digits that the operation dials before every number; empty for none.

    :param value: text or whole number
    :raises ValueError: it holds something else
    """
    if isinstance(value, str) and not value.strip():
        return ""
    return digits_of(value, "dial_prefix")


def seconds(value: float, name: str) -> float:
    """Return a length of time in seconds; it must be a number above zero.

    :param value: seconds, or their text; a day (86,400) at most, since sockets and locks refuse what is much longer
    :param name: what the message calls it
    :raises ValueError: it is no such number
    """
    try:
        length = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be a number of seconds") from None
    if not 0 < length <= LONGEST_WAIT:
        raise ValueError(f"{name} must be more than 0 and at most {LONGEST_WAIT} seconds")
    return length


def without_numbers(text: str) -> str:
    """Return a text about one person in which every number of five digits and more is masked.

    :param text: such as the server's reason why it took no record
    """
    return mask_numbers(text[:3_000], FEWEST_DIGITS)


def presentable(text: str, *secrets: str) -> str:
    """Return a server's text fit for a log: one line, bounded, without `secrets` or whole numbers.

    :param text: what the server wrote; the line keeps 300 characters, and masks whatever has seven digits or more
    :param *secrets: texts to replace by `***`, in upper or lower case; digits by what `masked` shows of them
    """
    # Much longer than what is kept, since masking makes it shorter.
    line = "".join(each if each.isprintable() else " " for each in text[:3_000]).strip()
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        shown = masked(secret) if _DIGITS.fullmatch(secret) else "***"
        # A short one, such as a customer's id "1", must not make every word illegible that holds it.
        pattern = re.escape(secret) if len(secret) > _SHORT_SECRET else rf"(?<!\w){re.escape(secret)}(?!\w)"
        line = re.sub(pattern, shown, line, flags=re.IGNORECASE)
    return mask_numbers(line)[:300]


def _fit(text: str, name: str) -> str:
    """Return a text without the white space around it, if a request can carry it."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"{name} has {len(text)} characters; at most {LONGEST_TEXT} are possible")
    if any("\ud800" <= each <= "\udfff" for each in text):
        raise ValueError(f"{name} holds half a character (a lone surrogate), which no request can carry")
    return text.strip()


def _instant(value: datetime, name: str) -> None:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ValueError(f"{name} must be a datetime with a time zone")
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise ValueError(f"{name} must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
