"""From the bytes of an answer to what the API said: accepted, refused, or nothing that can be relied on."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from airflow_provider_wolkvox.api.errors import OutcomeUnknown, refusal

# Documented successes: 200, 201 for create and add, 202 for start, stop, clear, speed.
ACCEPTED_CODES = frozenset({"200", "201", "202"})
# What samples of lists have instead [doc].
_NO_CODES = frozenset({"", "0"})


def _nothing_else(code: str, msg: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Reading:
    """What, besides an accepted envelope, is an answer of one API.

    :param is_answer: whether a 4xx envelope with this code and text is one all the same; default never
    :param bare_list: whether a list without an envelope is one; default False
    :param is_list: whether it is a read, to which HTTP 200 with a list, no error and a code of `""` or `"0"` is an
        answer, too [doc samples; seen]; default False, since for what acts it proves nothing
    :param longest: how many bytes an answer may have, decompressed; default 64 KB, far more than one without rows
    """

    is_answer: Callable[[str, str], bool] = _nothing_else
    bare_list: bool = False
    is_list: bool = False
    longest: int = 64 * 1024


USUAL = Reading()
LISTED = Reading(is_list=True)

# The vendor's limit for one reply [doc]; anything longer is no answer of wolkvox.
LONGEST_REPLY = 256 * 1024 * 1024
# 60,000 rows [doc] of more than a hundred values. What has more would take gigabytes of memory and minutes to parse.
MOST_ROWS = 1_000_000
MOST_VALUES = 10_000_000


@dataclass(frozen=True, slots=True)
class Envelope:
    """An answer that wolkvox marked as a success, or that the API's `Reading` takes for an answer.

    :param code: `"200"`, `"201"` or `"202"`; another only where the API's `Reading` says so
    :param msg: the server's text; do not rely on it (`aux_call` answers `Type has been successful`)
    :param data: the payload as JSON gave it, from `data` or, as `campaign_15` names it [doc], `records`; None if absent
    """

    code: str
    msg: str
    data: Any


def text_of(pieces: Iterable[bytes]) -> str:
    """Return a body as text, decoded piece by piece: a report's is large, and its bytes are of no more use.

    Replacing a stray byte keeps the envelope readable: its own keys and codes are ASCII, and a name in another
    encoding must not turn an accepted call into an unknown one.

    :param pieces: the body's bytes, in order, cut anywhere
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    return "".join([*map(decoder.decode, pieces), decoder.decode(b"", final=True)])


def read_envelope(
    api: str, status: int, body: str, present: Callable[[str], str], reading: Reading = USUAL
) -> Envelope:
    """Return the envelope of an accepted request; raise what any other answer means.

    :param api: the API's name, for messages
    :param status: the HTTP status
    :param body: the answer's body, as `text_of` makes it
    :param present: makes a server's text fit for logs
    :param reading: what else is an answer of this API; default nothing
    :raises Refused: an envelope whose code is a 4xx, under HTTP 2xx or 4xx
    :raises OutcomeUnknown: 1xx, 3xx, 5xx; a body that is no envelope; status and code that
        contradict each other; a success with an `error`
    """
    if not (200 <= status < 300 or 400 <= status < 500):
        raise OutcomeUnknown(api, f"wolkvox's address answered HTTP {status}, which is no answer of the API")
    if body.count("[") + body.count("{") > MOST_ROWS or body.count(",") > MOST_VALUES:
        raise OutcomeUnknown(api, f"HTTP {status} came with a body of more values than any answer of wolkvox has")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise OutcomeUnknown(api, f"HTTP {status} came with a body that is not JSON") from None
    if reading.bare_list and isinstance(content, list) and status < 300:
        return Envelope("200", "", content)
    if not isinstance(content, dict) or "code" not in content:
        raise OutcomeUnknown(api, f"HTTP {status} came with JSON that is not wolkvox's envelope")

    code = _text(content["code"])
    # The vendor's samples show both JSON null and the text "null" for "no error".
    error = "" if content.get("error") in (None, "null") else _text(content["error"])
    msg = _text(content.get("msg"))
    data = content.get("data") or content.get("records", content.get("data"))

    if re.fullmatch(r"4[0-9]{2}", code):
        if reading.is_answer(code, msg):
            return Envelope(code, msg, data)
        raise refusal(api, code, error, msg, present)
    is_listed = reading.is_list and status == 200 and code in _NO_CODES and isinstance(data, list)
    if status < 300 and (code in ACCEPTED_CODES or is_listed) and not error:
        return Envelope(code, msg, data)
    raise OutcomeUnknown(
        api,
        f"HTTP {status}, code {present(code)[:20]!r} and error {present(error)[:60]!r} contradict each other",
    )


def _text(value: Any) -> str:
    # Codes are strings in every captured body, numbers in some of the vendor's samples.
    return "" if value is None else str(value).strip()
