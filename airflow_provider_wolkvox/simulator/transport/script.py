"""What happens on the wire, step by step: a right answer, or what a fault makes of it.

`script_for` decides, `connection` and `server` play. Each script has exactly one last step, the one after
which the request is over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_wolkvox.simulator import replies
from airflow_provider_wolkvox.simulator.replies import Envelope, UndocumentedReplies
from airflow_provider_wolkvox.simulator.request import ConnIds, ResponseMode
from airflow_provider_wolkvox.simulator.state.faults import Fault, FaultKind
from airflow_provider_wolkvox.simulator.transport import http
from airflow_provider_wolkvox.simulator.transport.http import Answer


@dataclass(frozen=True, slots=True)
class Send:
    """Write these bytes at once."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Drip:
    """Write these bytes one by one.

    :param interval: how many seconds to wait after each
    """

    data: bytes = field(repr=False)
    interval: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait `seconds`, or until the client hangs up."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    """Close in order: the client reads a FIN."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Close with a RST."""


@dataclass(frozen=True, slots=True)
class Script:
    """The steps of one answer. `status` is for the log only; `answered` means that the answer is whole."""

    steps: tuple[Send | Drip | Wait, ...]
    end: Send | Close | Reset
    answered: bool
    status: int | None


Serve = Callable[[ResponseMode], Envelope]
"""Does what the request asks and returns the right answer to it."""

Refuse = Callable[[Envelope], Envelope]
"""Counts a refusal that a fault orders, and returns it."""


def script_for(
    fault: Fault | None,
    *,
    serve: Serve,
    refuse: Refuse,
    undocumented: UndocumentedReplies,
    conn_ids: ConnIds,
    target: str,
    keep_alive: bool,
) -> Script:
    """Return the script of one answer; the phone rings in here, if it does.

    :raises AssertionError: for a kind of fault that was given no script here
    """
    if fault is None:
        return _whole(_answer(serve(ResponseMode(conn_ids=conn_ids))), keep_alive)
    kind = fault.kind
    ordered = _ordered_refusal(kind, undocumented)
    if ordered is not None:
        return _whole(_answer(refuse(ordered)), keep_alive)
    if kind is FaultKind.DROP_AFTER_READING:
        return Script((), Reset(), answered=False, status=None)
    if kind is FaultKind.EMPTY_CONN_ID:
        return _whole(_answer(serve(ResponseMode(conn_ids=ConnIds.EMPTY))), keep_alive)
    if kind is FaultKind.NO_CONN_ID:
        return _whole(_answer(serve(ResponseMode(conn_ids=ConnIds.MISSING))), keep_alive)

    rings = fault.ring or kind in _ALWAYS_SERVED
    right = serve(ResponseMode(act=True, conn_ids=conn_ids)) if rings else None
    if kind is FaultKind.DROP_AFTER_RINGING:
        return Script((), Reset(), answered=False, status=None)
    if kind is FaultKind.CLOSE_AFTER_RINGING:
        return Script((), Close(), answered=False, status=None)
    if kind is FaultKind.STALL:
        return Script((Wait(fault.seconds),), Close(), answered=False, status=None)
    if kind is FaultKind.GARBAGE:
        return _bytes(_NO_HTTP)
    if kind is FaultKind.GARBAGE_BODY:
        return _whole(http.html(200, "Welcome"), keep_alive)
    if kind is FaultKind.SERVER_ERROR:
        return _whole(_server_error(fault), keep_alive)
    if kind is FaultKind.REDIRECT:
        place = (("Location", fault.location or target),)
        page = http.html(fault.status, "Moved")
        return _whole(Answer(fault.status, page.body, page.content_type, place), keep_alive)
    if kind is FaultKind.REPLY:
        return _whole(Answer(fault.status, fault.body.encode(errors="replace"), fault.content_type), keep_alive)

    if right is None:
        # Mangled without a ring: what is mangled is still the answer that an accepted call gets.
        right = serve(ResponseMode(act=False, conn_ids=conn_ids))
    if kind is FaultKind.INT_CODES:
        return _whole(_answer(right, int_code=True), keep_alive)
    if kind is FaultKind.TEXT_NULL:
        return _whole(_answer(right, text_null=True), keep_alive)
    if kind is FaultKind.BAD_GZIP:
        broken = Answer(right.code, _BROKEN_GZIP, headers=(("Content-Encoding", "gzip"),))
        return _whole(broken, keep_alive)
    answer = _answer(right)
    head, half = answer.head(keep_alive=keep_alive), answer.body[: len(answer.body) // 2]
    if kind is FaultKind.CUT_BODY:
        return Script((Send(head + half),), Close(), answered=False, status=answer.status)
    if kind is FaultKind.STALL_BODY:
        return Script((Send(head + half), Wait(fault.seconds)), Close(), answered=False, status=answer.status)
    if kind is FaultKind.DRIP:
        at_once, slow = (b"", head + answer.body) if fault.part == "head" else (head, answer.body)
        steps = (Send(at_once), Drip(slow[:-1], fault.interval))
        return Script(steps, Send(slow[-1:]), answered=True, status=answer.status)
    raise AssertionError(f"no script for {kind}")


_ALWAYS_SERVED = frozenset(
    {FaultKind.DROP_AFTER_RINGING, FaultKind.CLOSE_AFTER_RINGING, FaultKind.INT_CODES, FaultKind.TEXT_NULL}
)
_NO_HTTP = b"SSH-2.0-what answers here is no web server\r\n"
# A right beginning, so that a client believes it, and then nothing that inflates.
_BROKEN_GZIP = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\xff" * 64

_ORDERED = {
    FaultKind.BUSY: replies.TOKEN_BUSY,
    FaultKind.QUOTA: replies.QUOTA_USED_UP,
    FaultKind.BAD_TOKEN: replies.BAD_TOKEN,
    FaultKind.NO_TOKEN: replies.NO_TOKEN,
    FaultKind.NO_SUCH_API: replies.NO_SUCH_API,
    FaultKind.PARAMETERS_MISSING: replies.PARAMETERS_MISSING,
}


def _ordered_refusal(kind: FaultKind, undocumented: UndocumentedReplies) -> Envelope | None:
    return undocumented.api_off if kind is FaultKind.API_OFF else _ORDERED.get(kind)


def _answer(envelope: Envelope, *, int_code: bool = False, text_null: bool = False) -> Answer:
    # HTTP's status equals the body's code in all that was captured (seen).
    return Answer(envelope.code, envelope.render(int_code=int_code, text_null=text_null))


def _server_error(fault: Fault) -> Answer:
    if fault.body == "json":
        return _answer(Envelope(fault.status, "Internal Server Error", "An error has occurred"))
    return http.html(fault.status, "Server Error")


def _whole(answer: Answer, keep_alive: bool) -> Script:
    data = answer.head(keep_alive=keep_alive) + answer.body
    return Script((), Send(data), answered=True, status=answer.status)


def _bytes(data: bytes) -> Script:
    return Script((Send(data),), Close(), answered=False, status=None)
