"""The failures of a request, each with its outcome: who raises knows best, who catches only asks."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, ClassVar

# The APIs after which a telephone rings; only what is said in a message hangs on it.
RINGING_APIS = frozenset({"aux_call", "dial", "transfer"})


class Outcome(enum.Enum):
    """What is known of a request once it is over."""

    ACCEPTED = "accepted"
    """wolkvox says that it acted on the request."""

    REFUSED = "refused"
    """The API itself answered with a 4xx: it did not act."""

    NOT_SENT = "not_sent"
    """No byte of the request was handed to a connection."""

    UNKNOWN = "unknown"
    """Everything else: wolkvox may or may not have acted. Never sent again by this program."""


class WolkvoxError(Exception):
    """A request to wolkvox that was not accepted; `outcome` says what is known of it.

    :param api: the API's name, such as `aux_call`
    :param why: what happened, in a few words, fit for a log
    """

    outcome: ClassVar[Outcome]
    is_veto = False
    """Whether `before_sending` raised it, so that it is not to be sent again."""

    def __init__(self, api: str, why: str) -> None:
        super().__init__(api, why)
        self.api = api
        self.why = why

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), self.args)


class NotSent(WolkvoxError):
    """No byte of the request left this machine, so it is safe to send it again."""

    outcome = Outcome.NOT_SENT

    def __str__(self) -> str:
        return f"{self.api} was not sent: {self.why}. It did not reach wolkvox{_no_ring(self.api)}."


class Refused(WolkvoxError):
    """The API itself answered that it did not act.

    :param api: the API's name
    :param code: the envelope's code, as text, such as `"403"`
    :param error: the envelope's `error`, such as `"FORBIDDEN"`
    :param msg: the envelope's `msg`, with whole numbers and the token masked
    """

    outcome = Outcome.REFUSED
    advice: ClassVar[str] = "The server's words say why"

    def __init__(self, api: str, code: str, error: str, msg: str) -> None:
        super().__init__(api, f"{code} {error}: {msg or '(no message)'}")
        self.args = (api, code, error, msg)
        self.code = code
        self.error = error
        self.msg = msg

    def __str__(self) -> str:
        return f"wolkvox refused {self.api}: {self.why}. It did not act{_no_ring(self.api)}. {self.advice}."


class TokenBusy(Refused):
    """The token is in use by other requests; it is safe to send this one again later."""

    advice = (
        "The token is in use elsewhere: every use of it must go through one pool of one slot "
        "(`airflow wolkvox check` finds lanes that share a token)"
    )


class TokenQuotaExceeded(Refused):
    """The operation's requests for the day (licences x 1000) are used up."""

    advice = "The operation's daily quota is used up: wait for the next day or ask wolkvox for more"


class TokenInvalid(Refused):
    """The token is missing, wrong, expired, or of another account."""

    advice = "Put a valid token of this server's operation into the connection's Token field"


class ApiUnavailable(Refused):
    """The API is switched off, as wolkvox does during backups and maintenance."""

    advice = "wolkvox switches its API off during backups and maintenance: try again later"


class OutcomeUnknown(WolkvoxError):
    """The request was handed to the connection and no readable answer of the API came back."""

    outcome = Outcome.UNKNOWN
    ran_out_of_time = False
    """Whether the time for the whole exchange was over before the answer's last byte came."""

    def __str__(self) -> str:
        if self.api in RINGING_APIS:
            return (
                f"The outcome of {self.api} is unknown: {self.why}. The request had been handed over, so the "
                "phone may have rung. It was not sent again. Look for the call in wolkvox's reports "
                "(connected calls, not-connected calls) before you call again."
            )
        return (
            f"The outcome of {self.api} is unknown: {self.why}. The request had been handed over, so wolkvox "
            "may have acted on it. It was not sent again."
        )


def refusal(api: str, code: str, error: str, msg: str, present: Callable[[str], str] = str) -> Refused:
    """Return the `Refused` that fits a 4xx envelope.

    The three texts of 403 are wolkvox's own, documented ones, and 401 means a missing token.

    GUESS: a 403 with any other text is taken as "API switched off": the vendor documents that
    403 for backups and maintenance, but not its words. Any other 4xx of the API is a plain refusal:
    what `aux_call` answers for an agent who is unknown, logged out or busy is documented nowhere.

    :param api: as for `Refused`
    :param code: as for `Refused`; it decides, with `msg`
    :param error: the envelope's, as it came
    :param msg: the envelope's, as it came; upper and lower case, and the number of blanks, do not count
    :param present: makes `error` and `msg` fit for logs; default: leaves them as they are
    """
    said = " ".join(msg.upper().split())
    kind: type[Refused] = Refused
    if code == "401":
        kind = TokenInvalid
    elif code == "403":
        if said.startswith("EXCEEDS THE LIMIT OF SIMULTANEOUS REQUESTS PER TOKEN"):
            kind = TokenBusy
        elif said.startswith("TOKEN LIMIT EXCEEDED"):
            kind = TokenQuotaExceeded
        elif said.startswith("PLEASE VALIDATE TOKEN"):
            kind = TokenInvalid
        else:
            kind = ApiUnavailable
    return kind(api, code, present(error), present(msg))


def _no_ring(api: str) -> str:
    return ", and no phone rang" if api in RINGING_APIS else ""
