"""What can be made to go wrong: kinds, options, and which request a fault hits.

What a fault looks like on the wire is in `script`; here it is only described, checked and matched.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from airflow_provider_wolkvox.simulator.body import shortened, shown
from airflow_provider_wolkvox.simulator.request import PHONES, Request
from airflow_provider_wolkvox.simulator.state.operation import masked


class FaultKind(Enum):
    """The kinds of faults. Their options and the defaults of these are in `OPTIONS`.

    "Done" means that whatever was asked has happened: the phone has rung, the campaign has started.
    """

    # Slow, but right.

    LATENCY = "latency"
    """The answer comes `seconds` later. Adds up with any other fault."""

    # The connection breaks.

    DROP_BEFORE_READING = "drop_before_reading"
    """The request is only peeked at, and the connection is reset with its bytes unread. Nothing is done."""
    DROP_AFTER_READING = "drop_after_reading"
    """The connection is reset once the request is read. Nothing is done."""
    DROP_AFTER_RINGING = "drop_after_ringing"
    """The connection is reset once all is done."""
    CLOSE_AFTER_RINGING = "close_after_ringing"
    """The connection is closed in order, without an answer, once all is done."""

    # The answer does not come, or not in time. The token stays busy meanwhile.

    STALL = "stall"
    """No byte of the answer comes for `seconds`; then the connection is closed."""
    STALL_BODY = "stall_body"
    """Half of the body comes, then nothing for `seconds`; then the connection is closed."""
    DRIP = "drip"
    """The answer's body, or head and body (`part`), comes byte by byte, `interval` seconds apart."""

    # The answer is no answer of wolkvox's.

    CUT_BODY = "cut_body"
    """Half of the body comes; then the connection is closed."""
    GARBAGE = "garbage"
    """What comes is no HTTP."""
    GARBAGE_BODY = "garbage_body"
    """What comes is a 200 with a page of HTML."""
    BAD_GZIP = "bad_gzip"
    """The body is said to be compressed, and can't be read so."""
    SERVER_ERROR = "server_error"
    """A 5xx, `status`, with a page of HTML or an envelope as its `body`."""
    REDIRECT = "redirect"
    """A 3xx, `status`, to another `location`."""
    REPLY = "reply"
    """Any `status`, `body` and `content_type`."""

    # The answer is right, but written as the vendor's samples have it now and then.

    INT_CODES = "int_codes"
    """All is done; `code` is a number."""
    TEXT_NULL = "text_null"
    """All is done; `error` is the text `null`."""
    EMPTY_CONN_ID = "empty_conn_id"
    """All is done; the conn_id is an empty text."""
    NO_CONN_ID = "no_conn_id"
    """All is done; there is no conn_id."""

    # A refusal of the error table, without its cause. Nothing is done.

    BUSY = "busy"
    """403: too many requests of the token are under way."""
    QUOTA = "quota"
    """403: the token's quota is used up."""
    BAD_TOKEN = "bad_token"  # noqa: S105 - the name of a fault
    """403: the token is unknown."""
    NO_TOKEN = "no_token"  # noqa: S105 - likewise
    """401: there is no token."""
    API_OFF = "api_off"
    """403: the APIs are switched off, as during the server's backups; the text is a GUESS."""
    NO_SUCH_API = "no_such_api"
    """400: there is no such API."""
    PARAMETERS_MISSING = "parameters_missing"
    """400: a parameter is missing."""


OPTIONS: Mapping[FaultKind, Mapping[str, Any]] = {
    FaultKind.LATENCY: {"seconds": 1.0},
    FaultKind.STALL: {"seconds": 300.0, "ring": True},
    FaultKind.STALL_BODY: {"seconds": 300.0, "ring": True},
    FaultKind.DRIP: {"interval": 0.05, "part": "body", "ring": True},
    FaultKind.CUT_BODY: {"ring": True},
    FaultKind.GARBAGE: {"ring": True},
    FaultKind.GARBAGE_BODY: {"ring": True},
    FaultKind.BAD_GZIP: {"ring": True},
    FaultKind.SERVER_ERROR: {"status": 500, "body": "html", "ring": True},
    FaultKind.REDIRECT: {"status": 302, "location": None, "ring": False},
    FaultKind.REPLY: {"status": 200, "body": "", "content_type": "application/json", "ring": False},
}
"""The options of each kind beyond times, after and the filters, with their defaults. Times are in seconds.

`ring` is whether what is asked is done all the same: the phone rings, the campaign starts.
"""

LONGEST_WAIT = 86_400
"""The most seconds that anything can be made to take: a day."""

FILTERS = ("api", "token", "agent_id", "phone", "campaign_id")
"""What a fault can be limited to."""


class FaultError(ValueError):
    """A fault that can't be: an unknown kind or option, or a value that makes no sense. Says what can be."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault to come. Make it with `Fault.of`, which checks.

    A request matches if each filter that is set fits: `api`, `token`, `agent_id`, `phone`, `campaign_id`. What comes
    after these are options; a kind uses those that `OPTIONS` lists for it, with the defaults that stand there.

    :param kind: what goes wrong
    :param times: how many matching requests it hits; `None`: all, until cleared; default 1
    :param after: how many matching requests it lets pass before; default 0
    :param api: hit this API's requests only, such as `aux_call`
    :param token: hit requests with this token only
    :param agent_id: hit requests about this agent only
    :param phone: hit requests with this phone only, exactly as it is sent
    :param campaign_id: hit requests about this campaign only
    :param seconds: how many seconds a `LATENCY` takes on top, or a `STALL` or `STALL_BODY` lasts
    :param interval: how many seconds a `DRIP` waits after each byte
    :param part: from where on a `DRIP` drips, `head` or `body`
    :param ring: whether what is asked is done all the same
    :param status: HTTP's status of a `SERVER_ERROR`, `REDIRECT` or `REPLY`
    :param body: of a `SERVER_ERROR` its kind, `html` or `json`; of a `REPLY` the body itself
    :param content_type: the Content-Type of a `REPLY`
    :param location: where a `REDIRECT` leads; `None`: to the same address
    """

    kind: FaultKind
    times: int | None = 1
    after: int = 0
    api: str | None = None
    token: str | None = field(default=None, repr=False)
    agent_id: str | None = None
    phone: str | None = field(default=None, repr=False)
    campaign_id: str | None = None
    seconds: float = 0.0
    interval: float = 0.0
    part: str = "body"
    ring: bool = False
    status: int = 0
    body: str = ""
    content_type: str = ""
    location: str | None = None

    @classmethod
    def of(cls, kind: FaultKind | str, /, **given: object) -> Fault:
        """Return a checked fault.

        :param kind: what goes wrong, or its name, such as `stall`
        :param given: times, after, filters, and the kind's `OPTIONS`; the body of a `REPLY` may be what JSON can hold
        :raises FaultError: for what can't be; tells what is wrong and what is possible
        """
        kind = _kind(kind)
        defaults = OPTIONS.get(kind, {})
        allowed = ("times", "after", *FILTERS, *defaults)
        unknown = sorted(set(given) - set(allowed))
        if unknown:
            raise FaultError(f"{kind.value} has no option {shortened(', '.join(unknown))}; it has {', '.join(allowed)}")
        if kind is FaultKind.REPLY and isinstance(given.get("body"), dict | list):
            given["body"] = json.dumps(given["body"], indent=4)
        values = {**defaults, **given}
        for name, value in values.items():
            _check(kind, name, value)
        return cls(kind=kind, **values)

    @classmethod
    def read(cls, described: object) -> Fault:
        """Return the fault that JSON describes.

        :param described: an object with `kind` and any of what `of` takes
        :raises FaultError: if it describes none
        """
        if not isinstance(described, dict) or "kind" not in described:
            raise FaultError(f'a fault is an object with a "kind"; the kinds are {_kinds()}')
        options = {str(name): value for name, value in described.items()}
        return cls.of(options.pop("kind"), **options)

    def described(self) -> dict[str, Any]:
        """Return the fault as JSON shows it: options of its kind only, token and phone masked."""
        shown = ("times", "after", *FILTERS, *OPTIONS.get(self.kind, {}))
        values = {name: value for name, value in asdict(self).items() if name in shown}
        for name in ("token", "phone"):
            if values[name] is not None:
                values[name] = masked(values[name])
        return {"kind": self.kind.value, **values}


def _kinds() -> str:
    return ", ".join(kind.value for kind in FaultKind)


def _kind(kind: object) -> FaultKind:
    try:
        return FaultKind(kind)
    except ValueError:
        raise FaultError(f"no fault kind {shown(kind)}; the kinds are {_kinds()}") from None


def _check(kind: FaultKind, name: str, value: object) -> None:
    fits, wanted = _RULES_OF_KINDS.get((kind, name)) or _RULES[name]
    if not fits(value):
        raise FaultError(f"{kind.value}: {name} must be {wanted}, not {shown(value)}")


_Rule = tuple[Callable[[object], bool], str]


def _whole(low: int, high: float = math.inf) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST_WAIT


def _is_line(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable()


_SECONDS: _Rule = (_is_seconds, f"a number of seconds from 0 to {LONGEST_WAIT}")
_FILTER: _Rule = (lambda value: value is None or isinstance(value, str), "a text or null")

_RULES: Mapping[str, _Rule] = {
    "times": (
        lambda value: value is None or _whole(1)(value),
        "a whole number from 1 up, or null for every time",
    ),
    "after": (_whole(0), "a whole number from 0 up"),
    **dict.fromkeys(FILTERS, _FILTER),
    "seconds": _SECONDS,
    "interval": _SECONDS,
    "part": (lambda value: value in ("head", "body"), '"head" or "body"'),
    "ring": (lambda value: isinstance(value, bool), "true or false"),
    "status": (_whole(200, 599), "a whole number from 200 to 599"),
    "body": (lambda value: isinstance(value, str), "a text, an object or a list"),
    "content_type": (_is_line, "one line of ASCII text"),
    "location": (
        lambda value: value is None or _is_line(value),
        "one line of ASCII text, or null for the same address",
    ),
}
_RULES_OF_KINDS: Mapping[tuple[FaultKind, str], _Rule] = {
    (FaultKind.SERVER_ERROR, "status"): (_whole(500, 599), "a whole number from 500 to 599"),
    (FaultKind.SERVER_ERROR, "body"): (lambda value: value in ("html", "json"), '"html" or "json"'),
    (FaultKind.REDIRECT, "status"): (_whole(300, 399), "a whole number from 300 to 399"),
}


def _fits(fault: Fault, request: Request) -> bool:
    """Return whether a request passes a fault's filters."""
    pairs = (
        (fault.api, request.api),
        (fault.token, request.token),
        (fault.agent_id, request.parameters.get("agent_id")),
        (fault.phone, request.first(PHONES)),
        (fault.campaign_id, request.first(("campaign_id", "id_camp"))),
    )
    return all(wanted is None or wanted == found for wanted, found in pairs)


class _Armed:
    __slots__ = ("fault", "hits", "seen")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.hits = 0

    @property
    def spent(self) -> bool:
        return self.fault.times is not None and self.hits >= self.fault.times

    def is_due(self, request: Request) -> bool:
        """Let the fault see a request; return whether it may hit it."""
        if not _fits(self.fault, request):
            return False
        self.seen += 1
        return self.seen > self.fault.after


@dataclass(frozen=True, slots=True)
class Taken:
    """What hits one request: latency, and at most one other fault.

    :param latency: how many seconds the answer takes on top
    """

    latency: float = 0.0
    fault: Fault | None = None


class Faults:
    """The armed faults, in the order they were armed. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []

    def arm(self, fault: Fault) -> None:
        """Let a fault wait for its requests."""
        with self._lock:
            self._armed.append(_Armed(fault))

    def clear(self) -> None:
        """Disarm everything."""
        with self._lock:
            self._armed.clear()

    @property
    def armed(self) -> tuple[Fault, ...]:
        """The faults that still wait for requests: a snapshot."""
        with self._lock:
            return tuple(waiting.fault for waiting in self._armed)

    def take(self, request: Request) -> Taken:
        """Return what hits this request: every latency that is due, and the first other fault that is.

        Each matching fault sees the request, so `after` counts those too that another fault took.
        """
        latency, found = 0.0, None
        with self._lock:
            if not self._armed:
                return Taken()
            for waiting in self._armed:
                fault = waiting.fault
                if fault.kind is FaultKind.DROP_BEFORE_READING or not waiting.is_due(request):
                    continue
                if fault.kind is FaultKind.LATENCY:
                    latency += fault.seconds
                    waiting.hits += 1
                elif found is None:
                    found = fault
                    waiting.hits += 1
            self._drop_spent()
        return Taken(latency, found)

    @property
    def wants_unread(self) -> bool:
        """Whether any armed fault wants to know of requests before they are read."""
        with self._lock:
            return any(waiting.fault.kind is FaultKind.DROP_BEFORE_READING for waiting in self._armed)

    def take_unread(self, request: Request) -> bool:
        """Return whether a request that was only peeked at is to be dropped unread."""
        with self._lock:
            hit = False
            for waiting in self._armed:
                if waiting.fault.kind is not FaultKind.DROP_BEFORE_READING or not waiting.is_due(request):
                    continue
                if not hit:
                    waiting.hits += 1
                    hit = True
            self._drop_spent()
            return hit

    def _drop_spent(self) -> None:
        self._armed = [waiting for waiting in self._armed if not waiting.spent]
