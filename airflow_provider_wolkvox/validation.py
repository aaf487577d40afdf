"""What an argument may be: checks that an operator, sensor or notifier declares for each of its arguments.

A class says it once, by the argument's name::

    class HangUpOperator(OnceOperator):
        checks = {"agent_id": agent}

`WolkvoxTask` applies the checks when the DAG is parsed, to what is known by then (plain, `partial`, `default_args`,
lists and dictionaries that are mapped over, TaskFlow), and to all arguments once templates are rendered, before any
request.

No message repeats a value: with swapped arguments it would be a customer's number, or the token.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any, ClassVar

from airflow_provider_wolkvox.calling.lateness import instant

Check = Callable[[Any, str], Any]
"""Gets an argument's value and name; raises `ValueError`, which names it, if the value cannot be right."""

Checks = Mapping[str, Check]
"""Checks by the names of arguments."""

OF_CONNECTION = "connection"
"""Stands for what the connection says: its own, or its country's, calling hours or cap."""

_MARKS = ("{{", "{%", "{#")


def switch(value: Any, name: str) -> None:
    """Require True or False, and no word for it.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is something else
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, not {_kind(value)}")


def length(value: Any, name: str) -> None:
    """Require a timedelta of more than nothing.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is none
    """
    if length_or_none_at_all(value, name) and not value:
        raise ValueError(f"{name} must be more than nothing")


def length_or_none_at_all(value: Any, name: str) -> bool:
    """Require a timedelta that may be nothing, but not less; return True.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is none
    """
    if not isinstance(value, timedelta):
        raise ValueError(f"{name} must be a timedelta, not {_kind(value)}")
    if value < timedelta(0):
        raise ValueError(f"{name} must not be negative")
    return True


def whole_number(least: int = 1, most: int | None = None) -> Check:
    """Return a check that requires a whole number.

    :param least: the least one
    :param most: the greatest one; default None, any
    """

    def check(value: Any, name: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name} must be a whole number, not {_kind(value)}")
        if value < least or (most is not None and value > most):
            raise ValueError(f"{name} must be {least} or more" + (f", and at most {most}" if most is not None else ""))

    return check


def choice(*options: str) -> Check:
    """Return a check that requires one of several words.

    :param *options: the words
    """

    def check(value: Any, name: str) -> None:
        if not isinstance(value, str) or value not in options:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}")

    return check


def choices(*options: str) -> Check:
    """Return a check that requires a list of words, each one of several; it may be empty.

    :param *options: the words
    """

    def check(value: Any, name: str) -> None:
        if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
            raise ValueError(f"{name} must be a list, not {_kind(value)}")
        for each in value:
            choice(*options)(each, name)

    return check


def words(value: Any, name: str) -> None:
    """Require a text, or a list of texts, none of them empty.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is something else
    """
    given = [value] if isinstance(value, str) else value
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise ValueError(f"{name} must be text or a list of texts, not {_kind(value)}")
    listed = list(given)
    if not listed or not all(isinstance(each, str) and each.strip() for each in listed):
        raise ValueError(f"{name} is empty, or holds something that is no text")


def name(value: Any, name: str) -> None:
    """Require text that is not empty.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is something else
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be text, and not empty")


def optional(check: Check) -> Check:
    """Return a check that also takes None.

    :param check: the check of everything else
    """

    def check_unless_none(value: Any, name: str) -> None:
        if value is not None:
            check(value, name)

    return check_unless_none


def agent(value: Any, name: str) -> None:
    """Require an agent's extension.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is none
    """
    from airflow_provider_wolkvox.api.arguments import agent_id

    agent_id(value, name)


def phone(value: Any, name: str) -> None:
    """Require a phone number.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is none
    """
    from airflow_provider_wolkvox.api import arguments

    arguments.phone(value)


def campaign(value: Any, name: str) -> None:
    """Require a campaign's id.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is none
    """
    from airflow_provider_wolkvox.api.arguments import campaign_id

    campaign_id(value)


def identifier(value: Any, name: str) -> None:
    """Require text, or a whole number, that is not empty.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is something else
    """
    from airflow_provider_wolkvox.api import arguments

    arguments.identifier(value, name)


def text(value: Any, name: str) -> None:
    """Require text, a whole number, or None.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is something else
    """
    from airflow_provider_wolkvox.api import arguments

    arguments.optional(value, name)


def status(value: Any, name: str) -> None:
    """Require what an agent's state can be set to.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is something else
    """
    from airflow_provider_wolkvox.api import arguments

    arguments.status(value)


# What file systems take at most, and object stores far less.
_LONGEST_PATH = 4_096


def path(value: Any, name: str) -> None:
    """Require a path that does not leave its folder: what fills a template's gaps may come from anywhere.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is something else
    """
    if not isinstance(value, (str, os.PathLike)) and not hasattr(value, "open"):
        raise ValueError(f"{name} must be a path, not {_kind(value)}")
    if not str(value).strip():
        raise ValueError(f"{name} is empty")
    text = str(value)
    if ".." in re.split(r"[/\\\\]", text) or not text.isprintable() or len(text) > _LONGEST_PATH:
        raise ValueError(
            f"{name} must be a path of at most {_LONGEST_PATH} characters, without '..' and without control characters"
        )


def rows(value: Any, name: str) -> None:
    """Require a list, or what else gives one thing after the other.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is text, one mapping or nothing of the kind
    """
    # Going through a table of pandas gives the names of its columns.
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable) or hasattr(value, "columns"):
        raise ValueError(
            f"{name} is {_kind(value)}, not a list of mappings: give it a task's output (of a table of pandas, "
            "table.to_dict('records')), or set render_template_as_native_obj=True on the DAG"
        )


def rules(value: Any, name: str) -> None:
    """Require `Rules`.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is something else
    """
    from airflow_provider_wolkvox.calling.callbacks import Rules

    if not isinstance(value, Rules):
        raise ValueError(f"{name} must be Rules, not {_kind(value)}")


def calling_hours(value: Any, name: str) -> None:
    """Require calling hours, a country's code, None or `"connection"`.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is something else, or an unknown country
    """
    if isinstance(value, str):
        from airflow_provider_wolkvox.calling.countries import COUNTRIES

        if value != OF_CONNECTION and value.strip().upper() not in COUNTRIES:
            raise ValueError(
                f"{name}: no calling hours are known for this country: known are {', '.join(COUNTRIES)}. For any "
                "other, use CallingHours.careful(...) or CallingHours.weekly(...)"
            )
    elif value is not None and (isinstance(value, type) or not hasattr(value, "next_open")):
        raise ValueError(
            f"{name} must be CallingHours, a country's code, None or {OF_CONNECTION!r}, not {_kind(value)}"
        )


def cap(value: Any, name: str) -> None:
    """Require a `Cap`, several of them, None or `"connection"`.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is something else
    """
    from airflow_provider_wolkvox.calling.caps import Cap

    several = value if isinstance(value, (list, tuple)) else [value]
    if value not in (None, OF_CONNECTION) and not (several and all(isinstance(each, Cap) for each in several)):
        raise ValueError(f"{name} must be a Cap, a list of them, None or {OF_CONNECTION!r}, not {_kind(value)}")


def instant_or_length(value: Any, name: str) -> None:
    """Require an instant, or a timedelta of more than nothing.

    :param value: the argument's value
    :param name: the argument's name
    :raises ValueError: it is something else
    """
    (length if isinstance(value, timedelta) else instant)(value, name)


def is_known(value: Any) -> bool:
    """Return whether an argument is known while the DAG is parsed: neither a template nor what a task will return.

    :param value: the value of a field that is rendered
    """
    if isinstance(value, str):
        return not any(mark in value for mark in _MARKS)
    if isinstance(value, Mapping):
        return all(map(is_known, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(is_known, value))
    # Airflow calls a callable, and asks an `XComArg` or a mapped group's argument, once the task runs.
    return not callable(value) and not hasattr(value, "iter_references")


class Validated:
    """What declares the checks of its arguments."""

    checks: ClassVar[Checks] = {}
    """By argument, what it may be; those of the classes above count too."""

    template_fields: Any

    @classmethod
    def validate(cls, arguments: Mapping[str, Any]) -> None:
        """Reject, while the DAG is parsed, what cannot be right, as far as it is known by then.

        :param arguments: a plain task's, all of them; a mapped task's, those given to `partial`, or mapped over
        :raises ValueError: an argument cannot be right
        """
        for name, check in cls.all_checks(arguments).items():
            if name in arguments and (name not in cls.template_fields or is_known(arguments[name])):
                check(arguments[name], name)

    @classmethod
    def all_checks(cls, arguments: Mapping[str, Any]) -> dict[str, Check]:
        """Return the checks of all arguments.

        :param arguments: what is given; which check is an argument's may depend on another argument
        """
        return _declared(cls)  # type: ignore[arg-type]

    def validate_rendered(self) -> None:
        """Reject, once templates are rendered and before any request, what cannot be right.

        :raises ValueError: an argument cannot be right
        """
        for name, check in self.all_checks(vars(self)).items():
            check(getattr(self, name), name)


# Once for a class: a DAG file may make hundreds of tasks of it.
@cache
def _declared(owner: type) -> dict[str, Check]:
    found: dict[str, Check] = {}
    for each in reversed(owner.__mro__):
        found |= each.__dict__.get("checks", {})
    return found


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__
