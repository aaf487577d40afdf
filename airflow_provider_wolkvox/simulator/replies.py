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

    :param code: the number that HTTP's status shows too (seen: they were always equal)
    :param error: the kind of error; `None` on success (doc)
    :param msg: the sentence for people, by which errors of one code are told apart
    :param data: what was asked for; `None` where the answer has no such key: on errors and for `hang` (doc)
    :param bare: whether to send the data alone (seen, for real time's campaigns)
    :param data_key: the key that holds the data, `records` in campaign_15 (doc)
    """

    code: int
    error: str | None
    msg: str
    data: dict[str, Any] | list[Any] | str | None = None
    bare: bool = False
    data_key: str = "data"

    @property
    def refuses(self) -> bool:
        """Whether this says no: any code from 400 up, but for a report that has no rows (seen: a 404)."""
        return self.code >= 400 and self.msg != NO_ROWS.msg

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return len(self.data) if isinstance(self.data, list) else 0

    def with_data(self, data: list[Any]) -> Envelope:
        """Return this envelope with `data` in it."""
        return replace(self, data=data)

    def without_envelope(self) -> Envelope:
        """Return the same data, to be sent alone."""
        return replace(self, bare=True)

    def render(self, *, int_code: bool = False, text_null: bool = False) -> bytes:
        """Return the body as wolkvox writes it: four spaces, keys in this order, the code as text (seen).

        `int_code` writes the code as a number and `text_null` the missing error as the text "null": both
        stand in the vendor's samples (doc).
        """
        if self.bare:
            return json.dumps(self.data, indent=4).encode()
        error = "null" if text_null and self.error is None else self.error
        body: dict[str, Any] = {
            "code": self.code if int_code else str(self.code),
            "error": error,
            "msg": self.msg,
        }
        if self.data is not None:
            body[self.data_key] = self.data
        return json.dumps(body, indent=4).encode()


# The error table (doc: the vendor's page of response codes; the texts are literal).
NO_SUCH_API = Envelope(400, "BAD REQUEST", "THE API YOU WANT TO CONSULT DOES NOT EXIST")
PARAMETERS_MISSING = Envelope(400, "BAD REQUEST", "SOME PARAMETERS ARE REQUIRED")
NO_TOKEN = Envelope(401, "UNAUTHORIZED", "PLEASE ENTER THE WOLKVOX-TOKEN")
QUOTA_USED_UP = Envelope(403, "FORBIDDEN", "TOKEN LIMIT EXCEEDED")
TOKEN_BUSY = Envelope(403, "FORBIDDEN", "EXCEEDS THE LIMIT OF SIMULTANEOUS REQUESTS PER TOKEN (2)")
BAD_TOKEN = Envelope(403, "FORBIDDEN", "PLEASE VALIDATE TOKEN")

# Successes (doc). "Type has been successful" is what the vendor shows for aux_call too, oddly; "excecuted" is its own.
AUX_CALL_DONE = "Type has been successful"
DIAL_DONE = "Dial has been successful"
HANG_DONE = "Hang has been successful"
HOLD_DONE = "Hold agentbox has been excecuted"
MUTE_DONE = "Microphone agentbox has been excecuted"
TYPE_DONE = "Type has been successful"
RECALL_DONE = "Recall has been successful"
# The msg of dtmf and agent_display (doc: their own text is in data). Of editing and deleting a recall nothing is
# documented: these two are a GUESS.
DEFAULT = "default"
TONES_SENT = "tones agentbox has been added "
RECALL_EDITED = "Recall has been edited successfully"
RECALL_DELETED = "Recall has been deleted successfully"
# GUESS: no sample of token_info's msg is known to us.
TOKEN_INFO_DONE = "1 record was found"  # noqa: S105 - a text, no secret

# No error, whatever it says: there are no rows in the window. It has no `data` (seen).
NO_ROWS = Envelope(404, "Not Found", "Validate dates entered")

# Campaigns (seen; the texts are literal).
TOO_MANY_ACTIVE = Envelope(
    404,
    "Not Found",
    "You must turn off a predictive before starting this one, you currently have 2 active predictives",
)
NOT_STARTED = Envelope(404, "Not Found", "The campaign has not been started, please validate the data")
NONE_ADDED = Envelope(404, "Not Found", "0 records has been added, please validate the data")
ALL_ADDED = Envelope(201, None, "All records has been added successfully")


def transferred(phone: str) -> str:
    """Return the msg of a call that was handed on (doc). GUESS: that `X` is the number."""
    return f"Call has been transfer to {phone} number"


def status_changed(name: str) -> str:
    """Return the msg of an agent whose state was set (doc): it ends with the state's name, not with its id."""
    return f"Agent status has been modified to {name}"


def displayed(display: str) -> str:
    """Return what `agent_display` has in data (doc, for `hide`). GUESS: that it is alike for `show`."""
    return "Agentbox has been hide" if display == "hide" else "Agentbox has been show"


def no_such_campaign(campaign_id: str) -> Envelope:
    """Return what is said of a campaign that the operation lacks (seen)."""
    return Envelope(404, "Not Found", f"Campaign_id {campaign_id} does not exist in your operation.")


def campaign_switched(campaign_id: str, state: str) -> Envelope:
    """Return what is said of a campaign that was started or stopped (doc). GUESS: that `N` is its id."""
    return Envelope(202, None, f"The {campaign_id} campaign_id has been {state} successfully")


def campaign_changed(done: str) -> Envelope:
    """Return what is said of a campaign, or records of it, that were changed (doc: 202). GUESS: the text."""
    return Envelope(202, None, f"The {done} successfully")


def licence_exceeded(number: int, limit: int) -> Envelope:
    """Return the refusal of records that the licence does not cover (seen).

    `number` counts the rows that are loaded already too, and `limit` is the cap itself, whatever is left of it.
    """
    cap = f"According to quantity active licenses, You can upload {limit} records. Try again."
    return Envelope(404, "Not Found", f"You are uploading ({number}) records to the system. {cap}")


def recalled(campaign_id: str, name: str, value: str, normalized: str, number: int) -> Envelope:
    """Return what is said of records that were put back into dialling (doc)."""
    msg = f"{number} record(s) have been marked for recall successfully"
    row = {
        "campaign_id": campaign_id,
        "field": name,
        "value": value,
        "normalized_value": normalized,
        "affected_records": str(number),
    }
    return Envelope(200, None, msg, [row])


CUSTOMER_ID_MISSING = "customer_id is required"


def not_added(place: int, why: str) -> dict[str, str]:
    """Return an entry of `array_errors`, `place` counted from 0 (seen, for an empty customer_id).

    GUESS: how it is for any other reason.
    """
    if why == CUSTOMER_ID_MISSING:
        msg = "CUSTOMER_ID is a required field, please validate the data"
        return {"error": f"CUSTOMER_ID is empty, object position {place}", "msg": msg}
    return {"error": f"{why}, object position {place}", "msg": why}


def records_found(number: int) -> str:
    """Return the msg of a report (doc: "1 records were found")."""
    return f"{number} records were found"


@dataclass(frozen=True, slots=True)
class UndocumentedReplies:
    """The replies that the vendor documents nowhere, in one place. Every one is a GUESS.

    Documented is only *that* the agent must be logged in, that the predictive call must have been cut,
    that an older local API wants the agent off the phone, that hang_type_ready needs an active call, that
    APIs are switched off with a 403 during backups, that a range of dates has at most 31 days, that bodies
    which are no JSON get a 400, and that 10,000 records go up at once. That a report answers wrong dates as
    it answers an empty window is what its text suggests.

    :param agent_unknown: to an agent API about an agent whom the operation lacks
    :param agent_logged_out: to an agent API about an agent who is not logged in
    :param agent_on_call: to `aux_call` and `dial`, if the agent is on a call
    :param no_cut_call: to `aux_call`, if the agent has had no predictive call that has been cut
    :param no_active_call: to what wants the agent on a call (`transfer`, `hang`, `hold`, `mute`, `dtmf`,
        `hang_type_ready`), if it is on none
    :param no_call_to_type: to `type`, if the agent is on no call and has had none
    :param disposition_unknown: to `type` and `hang_type_ready`, for a code that the operation lacks
    :param tones_wrong: to `dtmf`, for what can't be a tone
    :param status_unknown: to `change_status`, for a state that the operation lacks
    :param display_wrong: to `agent_display`, for neither `show` nor `hide`, or a button that there is not
    :param recall_style_wrong: to the three APIs of recalls, for neither `auto` nor `manual`
    :param recall_date_wrong: to `recall` and `edit_recall`, for what is no date
    :param recall_unknown: to `edit_recall` and `delete_recall`, if no recall fits
    :param api_off: to whatever is asked while `Simulator.maintenance` is on, and by the fault `api_off`
    :param wrong_method: to a request with another method than its API's
    :param dates_wrong: to a report or `detail`, for what are no dates
    :param dates_reversed: to a report or `detail`, if its window ends before it begins
    :param range_too_long: to a report or `detail`, for a window of more than `ReportPolicy.most_days`
    :param no_recent_calls: to `calls_last_10`, if there were none
    :param nothing_found: to real time, lists and `find_record`, if there is nothing to tell
    :param body_wrong: to `add_record` and `recall_records`, for a body that is not JSON, or does not hold what it
        should, and for a campaign_status that is neither `start` nor `stop`
    :param customer_unknown: to `codify`, `recall` and `remove_record` of campaigns, if there is no such customer
    :param nothing_to_delete: to `clear_campaign`, if there is no such record (seen: a 404)
    :param too_many_records: to `add_record`, for more than 10,000 records at once
    :param records_partly_added: to `add_record`, if some records were added and some refused
    """

    agent_unknown: Envelope = Envelope(404, "Not Found", "The agent_id does not exist in your operation.")
    agent_logged_out: Envelope = Envelope(400, "BAD REQUEST", "The agent is not logged in")
    agent_on_call: Envelope = Envelope(400, "BAD REQUEST", "The agent has an active call")
    no_cut_call: Envelope = Envelope(400, "BAD REQUEST", "The agent has no finished predictive call")
    no_active_call: Envelope = Envelope(400, "BAD REQUEST", "The agent has no active call")
    no_call_to_type: Envelope = Envelope(400, "BAD REQUEST", "The agent has no call to be typed")
    disposition_unknown: Envelope = Envelope(404, "Not Found", "The activity code does not exist in your operation.")
    tones_wrong: Envelope = Envelope(400, "BAD REQUEST", "The tones are not valid")
    status_unknown: Envelope = Envelope(404, "Not Found", "The status does not exist in your operation.")
    display_wrong: Envelope = Envelope(400, "BAD REQUEST", "The display or button is not valid")
    recall_style_wrong: Envelope = Envelope(400, "BAD REQUEST", "The recall_style is not valid")
    recall_date_wrong: Envelope = Envelope(400, "BAD REQUEST", "The date of the recall is not valid")
    recall_unknown: Envelope = Envelope(404, "Not Found", "The recall does not exist.")
    api_off: Envelope = Envelope(403, "FORBIDDEN", "API DISABLED, THE SERVER IS UNDER MAINTENANCE")
    wrong_method: Envelope = Envelope(405, "METHOD NOT ALLOWED", "THE METHOD IS NOT ALLOWED FOR THIS API")
    dates_wrong: Envelope = NO_ROWS
    dates_reversed: Envelope = NO_ROWS
    range_too_long: Envelope = NO_ROWS
    no_recent_calls: Envelope = NO_ROWS
    nothing_found: Envelope = NO_ROWS
    body_wrong: Envelope = PARAMETERS_MISSING
    customer_unknown: Envelope = Envelope(404, "Not Found", "The customer_id does not exist in the campaign.")
    nothing_to_delete: Envelope = Envelope(404, "Not Found", "There are no records to delete")
    too_many_records: Envelope = Envelope(400, "BAD REQUEST", "The maximum number of records is 10000")
    records_partly_added: Envelope = Envelope(201, None, "Some records has been added successfully")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the replies that can be changed."""
        return tuple(field.name for field in fields(cls))

    def changed(self, changes: Mapping[str, Envelope]) -> UndocumentedReplies:
        """Return these replies with some put differently.

        :param changes: the new replies by their names
        :raises ValueError: for a name that is none of `names()`
        """
        unknown = sorted(set(changes) - set(self.names()))
        if unknown:
            raise ValueError(f"no such reply: {', '.join(unknown)}; the replies are {', '.join(self.names())}")
        return replace(self, **dict(changes))
