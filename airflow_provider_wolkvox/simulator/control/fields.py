"""What may be told to `/_sim`: each object's fields, their types and ranges. An error names the field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from airflow_provider_wolkvox.simulator.body import shown
from airflow_provider_wolkvox.simulator.state.calls import CallResult

_LONGEST_TEXT = 1_000
_LONGEST_AGO = 1_000_000_000


class FieldError(ValueError):
    """A field that is missing, unknown or wrong; says which, and what it must be."""


Rule = tuple[Callable[[object], bool], str]
"""Whether a value fits, and what it must be."""


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT


def _is_seconds_ago(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LONGEST_AGO


TEXT: Rule = (_is_text, f"a text of at most {_LONGEST_TEXT} characters")
ID: Rule = (lambda value: _is_text(value) and bool(value), f"a text of 1 to {_LONGEST_TEXT} characters")
SWITCH: Rule = (lambda value: isinstance(value, bool), "true or false")
WHOLE: Rule = (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number")
LIST: Rule = (lambda value: isinstance(value, list), "a list")
IDS: Rule = (
    lambda value: value is None or (isinstance(value, list) and all(ID[0](each) for each in value)),
    "a list of ids as texts, or null for all",
)
SECONDS_AGO: Rule = (_is_seconds_ago, f"a number of seconds, at most {_LONGEST_AGO}")
ANYTHING: Rule = (lambda value: True, "anything")
"""What is checked where it is used."""

AGENT: Mapping[str, Rule] = {"agent_id": ID, "logged_in": SWITCH, "has_cut_call": SWITCH, "on_call": SWITCH}

PAST_CALL_TEXTS: Mapping[str, Rule] = {
    "phone": ID,
    "agent_id": TEXT,
    "type_interaction": ID,
    **dict.fromkeys(("conn_id", "campaign_id", "customer_id", "skill_id"), TEXT),
}
PAST_CALL: Mapping[str, Rule] = {**PAST_CALL_TEXTS, "seconds_ago": SECONDS_AGO, "at": ANYTHING}

CAMPAIGN: Mapping[str, Rule] = {
    "campaign_id": ID,
    **dict.fromkeys(("name", "kind", "strategy"), TEXT),
    "agents": IDS,
    "seed": WHOLE,
    "call_results": ANYTHING,
    "refuse_duplicates": SWITCH,
    "records": LIST,
    "started": SWITCH,
}

DO_NOT_CALL: Mapping[str, Rule] = {"phone_number": ID, "type": TEXT, "date_delete": TEXT}
LAW_2300: Mapping[str, Rule] = {"phone_number": ID, "last_day": TEXT, "last_channel": TEXT, "nit": TEXT}
DIRECTORY: Mapping[str, Rule] = {"do_not_call": LIST, "law2300": LIST}

REPORTS: Mapping[str, Rule] = {"held": SWITCH, "cut_calls": SWITCH, "lag": ANYTHING}


def read_object(
    described: object, what: str, rules: Mapping[str, Rule], *needed: str, more: bool = False
) -> dict[str, Any]:
    """Return the fields of a described object.

    :param what: what it is called in errors
    :param rules: the fields that it may have
    :param *needed: those that it must have
    :param more: whether it may have other fields, which are checked elsewhere
    :raises FieldError: if it is no object, a field is missing, or one is unknown or wrong
    """
    if not isinstance(described, dict):
        raise FieldError(f"{what} is an object with any of {', '.join(rules)}, not {shown(described)}")
    missing = [name for name in needed if name not in described]
    if missing:
        raise FieldError(f"{what} needs {', '.join(missing)}")
    for name, value in described.items():
        if name not in rules:
            if not more:
                raise FieldError(f"{what} has no {shown(name)}; it has {', '.join(rules)}")
            continue
        fits, wanted = rules[name]
        if not fits(value):
            raise FieldError(f"{name} must be {wanted}, not {shown(value)}")
    return dict(described)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Let every error inside begin with the field that is read there.

    :raises FieldError: instead of any `ValueError`
    """
    try:
        yield
    except ValueError as error:
        raise FieldError(f"{name}: {error}") from None


def read_list(described: object) -> list[object]:
    """Return one thing or a list of them as a list."""
    return described if isinstance(described, list) else [described]


def read_moment(name: str, value: object) -> datetime:
    """Return the aware time in the field `name`.

    :raises FieldError: if it is none
    """
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise FieldError(
            f'{name} must be a time with its zone, such as "2026-01-31T09:00:00-05:00", not {shown(value)}'
        )
    return moment


def read_call_results(given: object) -> Any:
    """Return what `Simulator(call_results=...)` takes, as JSON has it.

    :raises FieldError: for what can be none
    :raises CallError: for a result that can't be
    """
    if isinstance(given, dict):
        return {str(phone): CallResult.read(each) for phone, each in given.items()}
    if given is not None and (isinstance(given, bool) or not isinstance(given, str | int)):
        raise FieldError(
            f"must be a result, an object phone -> result, a seed, or null for the usual, not {shown(given)}"
        )
    return given
