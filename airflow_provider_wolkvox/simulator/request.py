"""What a request asks of wolkvox, and how it is to be answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

PHONES = ("customer_phone", "telefono", "telephone", "phone")
"""The names under which the APIs take a phone (doc): each API one of them."""


class ConnIds(Enum):
    """How an accepted call's conn_id is told: given, an empty text (seen), or not at all."""

    GIVEN = "given"
    EMPTY = "empty"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Request:
    """What a request asks of wolkvox.

    All parameters are in the query string; only writes to campaigns have a body as well (doc).
    """

    method: str
    file: str
    api: str
    parameters: Mapping[str, str]
    token: str | None = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""

    def first(self, names: Iterable[str]) -> str | None:
        """Return the first of these parameters that is given, or `None`."""
        return next((self.parameters[name] for name in names if name in self.parameters), None)


@dataclass(frozen=True, slots=True)
class ResponseMode:
    """How an answer is to be given.

    `act` tells whether what is asked is really done (the phone rings, the campaign starts): without it the
    answer is the same, and nothing has happened. `conn_ids` is how an accepted call's conn_id is told.
    """

    act: bool = True
    conn_ids: ConnIds = ConnIds.GIVEN
