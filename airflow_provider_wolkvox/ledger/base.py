"""What is asked of a ledger, whatever stands behind it, and the errors that it raises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_wolkvox.calling.caps import Cap
    from airflow_provider_wolkvox.ledger.entry import (
        Claimed,
        ClaimResult,
        DifferentArguments,
        Entry,
        Held,
        Intent,
        Lease,
        Settlement,
    )


SETTLED_OTHERWISE: Final = "The ledger kept what it knows of call %s: attempt %s was settled otherwise since."
"""A warning's text: somebody settled an attempt before its own process did."""


class LedgerError(Exception):
    """The ledger did not do what was asked. Raised before a request, it means: no call."""


class LedgerUnreachable(LedgerError):
    """The database could not be reached, was too slow or was busy; later it may work again."""


class LedgerUnusable(LedgerError):
    """The database answers and cannot serve: wrong version, read-only, full, no permission. A person has to act."""


class UnreadableEntry(LedgerUnusable):
    """What stands where a call's entry should is none; a person has to look at it."""


class Ledger(Protocol):
    """The memory that decides whether a call may be made.

    A call's life is `known`, `take_lease`, `claim`, then the request, then `settle` and `give_back`. Every method
    raises `LedgerError`. Before a request that means "no call"; after it, it changes nothing of what is reported: the
    intent stands, and a later run finds it.
    """

    @property
    def remembers(self) -> bool:
        """Whether a later try will know of what this one did."""

    @property
    def counts_caps(self) -> bool:
        """Whether it can count a customer's calls across tasks, runs and deployments."""

    def known(self, intents: Sequence[Intent]) -> list[Entry | DifferentArguments | None]:
        """Return what is known of intended calls, in their order; None for one of which nothing is.

        A key that stands for another action, customer or agent is told of as `claim` would.

        :param intents: the calls; may be many
        """

    def may_be_incomplete(self, intent: Intent) -> str | None:
        """Return why knowing nothing of a call does not prove that it was not made; None if it does.

        :param intent: the call
        """

    def claim(
        self, intent: Intent, caps: Sequence[Cap] = (), *, lease: Lease | None = None, ttl: float = 0.0
    ) -> ClaimResult:
        """Record an intent unless that may not be, in one transaction. Only `Claimed` allows the request.

        :param intent: the call
        :param caps: how often its customer may be called
        :param lease: the token's lease, which is renewed in the same transaction
        :param ttl: for how many seconds it is renewed
        """

    def settle(self, settlement: Settlement) -> bool:
        """Record what became of an attempt; return False if the ledger shows something else by now.

        An attempt that was settled otherwise since, by a person or by a later run, is left alone.

        :param settlement: the attempt and what became of it
        """

    def mark_unknown(self, claimed: Claimed, reason: str) -> bool:
        """Record why no response was received; the call stays in doubt. Return False if it was settled since.

        :param claimed: the attempt
        :param reason: why, for people
        """

    def skip(self, intent: Intent, code: str, reason: str, next_allowed: datetime | None = None) -> bool:
        """Record that a call is not made, and why; return False if it may have been made, or its key is another call's.

        :param intent: the call
        :param code: why, for programs, such as `hours`
        :param reason: why, for people
        :param next_allowed: when it may be made, aware; None if unknown or never
        """

    def take_lease(self, token: str, owner: str, ttl: float) -> Lease | Held:
        """Take a token's lease if it is free or its deadline has passed; never waits.

        :param token: the token; only its keyed hash is kept
        :param owner: who takes it: unique to the process
        :param ttl: for how many seconds
        """

    def give_back(self, lease: Lease) -> None:
        """Let others take the token at once. A lease that passed to another owner is left alone.

        :param lease: the lease
        """

    def close(self) -> None:
        """Close what is open; may be called more than once."""
