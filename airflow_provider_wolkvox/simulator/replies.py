"""What wolkvox says: the envelope, the error table, and the replies that nobody documents.

Every text is marked as wolkvox's facts are: **doc** (the vendor states it), **seen** (a server answered
so) or **guess** (nobody documents it: change it with `Simulator(replies=...)` or `Simulator.set_reply`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every API of wolkvox answers: code, error, msg and mostly data (doc).

    `code` is the number that HTTP's status shows too (seen: they were always equal). `error` is `None` on
    success (doc). `data` is `None` where the answer has no such key: on errors and for `hang` (doc).
    """

    code: int
    error: str | None
    msg: str
    data: dict[str, Any] | list[Any] | str | None = None

    @property
    def refuses(self) -> bool:
        """Whether this says no: any code from 400 up, but for a report that has no rows (seen: a 404)."""
        return self.code >= 400 and self.msg != NO_ROWS.msg

    def render(self, *, int_code: bool = False, text_null: bool = False) -> bytes:
        """Return the body as wolkvox writes it: four spaces, keys in this order, the code as text (seen).

        `int_code` writes the code as a number and `text_null` the missing error as the text "null": both
        stand in the vendor's samples (doc).
        """
        error = "null" if text_null and self.error is None else self.error
        body: dict[str, Any] = {
            "code": self.code if int_code else str(self.code),
            "error": error,
            "msg": self.msg,
        }
        if self.data is not None:
            body["data"] = self.data
        return json.dumps(body, indent=4).encode()


# The error table (doc: the vendor's page of response codes; the texts are literal).
NO_SUCH_API = Envelope(400, "BAD REQUEST", "THE API YOU WANT TO CONSULT DOES NOT EXIST")
PARAMETERS_MISSING = Envelope(400, "BAD REQUEST", "SOME PARAMETERS ARE REQUIRED")
NO_TOKEN = Envelope(401, "UNAUTHORIZED", "PLEASE ENTER THE WOLKVOX-TOKEN")
QUOTA_USED_UP = Envelope(403, "FORBIDDEN", "TOKEN LIMIT EXCEEDED")
TOKEN_BUSY = Envelope(403, "FORBIDDEN", "EXCEEDS THE LIMIT OF SIMULTANEOUS REQUESTS PER TOKEN (2)")
BAD_TOKEN = Envelope(403, "FORBIDDEN", "PLEASE VALIDATE TOKEN")

# Successes (doc). "Type has been successful" is what the vendor shows for aux_call, oddly.
AUX_CALL_DONE = "Type has been successful"
# GUESS: no sample of token_info's msg is known to us.
TOKEN_INFO_DONE = "1 record was found"  # noqa: S105 - a text, no secret

# No error, whatever it says: there are no rows in the window. It has no `data` (seen).
NO_ROWS = Envelope(404, "Not Found", "Validate dates entered")


def records_found(number: int) -> str:
    """Return the msg of a report (doc: "1 records were found")."""
    return f"{number} records were found"


@dataclass(frozen=True, slots=True)
class UndocumentedReplies:
    """The replies that the vendor documents nowhere, in one place. Every one is a GUESS.

    Documented is only *that* the agent must be logged in, that the predictive call must have been cut,
    that an older local API wants the agent off the phone, that APIs are switched off with a 403
    during backups, and that a range of dates has at most 31 days. That a report answers wrong dates as it
    answers an empty window is what its text suggests.
    """

    agent_unknown: Envelope = Envelope(404, "Not Found", "The agent_id does not exist in your operation.")
    agent_logged_out: Envelope = Envelope(400, "BAD REQUEST", "The agent is not logged in")
    agent_on_call: Envelope = Envelope(400, "BAD REQUEST", "The agent has an active call")
    no_cut_call: Envelope = Envelope(400, "BAD REQUEST", "The agent has no finished predictive call")
    api_off: Envelope = Envelope(403, "FORBIDDEN", "API DISABLED, THE SERVER IS UNDER MAINTENANCE")
    wrong_method: Envelope = Envelope(405, "METHOD NOT ALLOWED", "THE METHOD IS NOT ALLOWED FOR THIS API")
    dates_wrong: Envelope = NO_ROWS
    dates_reversed: Envelope = NO_ROWS
    range_too_long: Envelope = NO_ROWS
    no_recent_calls: Envelope = NO_ROWS

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the replies that can be changed."""
        return tuple(field.name for field in fields(cls))

    def changed(self, changes: Mapping[str, Envelope]) -> UndocumentedReplies:
        """Return these replies with some put differently; `ValueError` for a name that is none of them."""
        unknown = sorted(set(changes) - set(self.names()))
        if unknown:
            raise ValueError(f"no such reply: {', '.join(unknown)}; the replies are {', '.join(self.names())}")
        return replace(self, **dict(changes))
