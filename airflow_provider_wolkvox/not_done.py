"""How a request ends that is not known to be made, and the words for it. Small, since every DAG file imports it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime


class Then(enum.Enum):
    """What a task does after a request that is not known to be made."""

    RETRY = "retry"
    """It fails, and its retries apply."""

    FAIL = "fail"
    """It fails without a retry, which could not help or might do harm."""

    SKIP = "skip"
    """It is skipped."""

    WAIT = "wait"
    """It gives its slot back and runs again later."""


class NotDone(Exception):
    """The request was not made, or nobody knows whether it was.

    :param message: what happened, what did not, and what to do
    :param then: what the task does next; default `Then.FAIL`
    :param code: why, for programs; with it, the ledger keeps that the request was not made
    :param reason: why, for people, as the ledger keeps it
    :param until: when it may be made, aware; where a task waits, when it runs again
    """

    def __init__(
        self,
        message: str,
        then: Then = Then.FAIL,
        *,
        code: str = "",
        reason: str = "",
        until: datetime | None = None,
    ) -> None:
        super().__init__(message)
        self.then = then
        self.code = code
        self.reason = reason
        self.until = until


class Words(NamedTuple):
    """How messages speak of a request.

    :param request: what it is, such as `call`
    :param for_whom: what it is about, such as `customer`
    :param nothing: that nothing came of it, such as `no phone rang`
    :param perhaps: what may have come of it, such as `the phone may have rung`
    :param look: where to look for what came of it
    :param again: what a person does who has it made once more, such as `ring`
    """

    request: str
    for_whom: str
    nothing: str
    perhaps: str
    look: str
    again: str

    def superseded(self, lost: str) -> str:
        """Return the words for a request that was not sent because its process is not the task's any more.

        :param lost: how that is known, without a full stop
        """
        return f"{lost}. This {self.request} was not sent, and {self.nothing}."

    def not_made(self, why: str) -> str:
        """Return the words for a request that was not made.

        :param why: the reason, without a full stop
        """
        return f"The {self.request} was not made: {why}. {sentence(self.nothing)}"


OF_A_CALL: Final = Words(
    request="call",
    for_whom="customer",
    nothing="no phone rang",
    perhaps="the phone may have rung",
    look="look for the call in wolkvox's reports (connected calls, not-connected calls)",
    again="ring",
)


def sentence(words: str) -> str:
    """Return words as a sentence.

    :param words: without a full stop
    """
    return f"{words[0].upper()}{words[1:]}."
