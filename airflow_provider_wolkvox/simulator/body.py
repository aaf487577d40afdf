"""JSON as requests bring it: no deeper than anything needs, and nothing that JSON does not have."""

from __future__ import annotations

import json
from typing import NoReturn

DEEPEST = 16
"""How many lists and objects may stand within each other."""

_LONGEST_SHOWN = 200


class BodyError(ValueError):
    """A body that cannot be read; says why."""


def read_json(body: bytes) -> object:
    """Return what a body holds.

    :raises BodyError: if it is no JSON, or nested more than `DEEPEST` deep
    """
    try:
        found: object = json.loads(body, parse_constant=_reject)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise BodyError(f"the body is no JSON: {shortened(str(error))}") from None
    level = [found]
    for _ in range(DEEPEST):
        level = [inner for each in level for inner in _within(each)]
    if any(isinstance(each, list | dict) for each in level):
        raise _too_deep()
    return found


def _within(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _reject(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _too_deep() -> BodyError:
    return BodyError(f"the body is no JSON that is read here: it is nested more than {DEEPEST} deep")


def shown(value: object) -> str:
    """Return a value as messages show it, long ones cut."""
    return shortened(repr(value))


def shortened(text: str) -> str:
    """Return a text, its end cut off if it is long."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
