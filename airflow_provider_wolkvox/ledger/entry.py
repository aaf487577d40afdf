"""What the ledger keeps: an intended call, how far it came, and what a claim of one comes to."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_wolkvox.phone import shown_extension

if TYPE_CHECKING:
    from airflow_provider_wolkvox.calling.caps import Cap


class CallState(enum.StrEnum):
    """How far an intended call came."""

    INTENT = "intent"
    """The request was about to be sent, and no response is recorded: the call is in doubt."""

    ACCEPTED = "accepted"
    """wolkvox accepted the call."""

    REFUSED = "refused"
    """wolkvox rejected the call; no phone rang."""

    NOT_SENT = "not_sent"
    """No byte of the request was sent; no phone rang."""

    SKIPPED = "skipped"
    """A decision was made not to call: closed hours, a cap, an agent who was never ready."""

    @property
    def may_have_rung(self) -> bool:
        """Whether the customer's phone may have rung; such a call is never made again by the program."""
        return self in (CallState.INTENT, CallState.ACCEPTED)

    @property
    def is_final(self) -> bool:
        """Whether nothing in a later run changes the state."""
        return self is CallState.ACCEPTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which task asked for a call.

    :param namespace: `[wolkvox] namespace` of its deployment
    :param dag_id: the DAG
    :param run_id: the DAG run
    :param task_id: the task
    :param map_index: of a mapped task; -1 otherwise
    :param try_number: the task's try
    :param deployment: the random id of its Airflow; empty if unknown
    """

    namespace: str = ""
    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""
    map_index: int = -1
    try_number: int = 0
    deployment: str = ""

    @property
    def of_run(self) -> tuple[str, str, str]:
        """What tells its DAG run from every other."""
        return self.namespace, self.dag_id, self.run_id

    def __str__(self) -> str:
        index = f" {self.map_index}" if self.map_index >= 0 else ""
        return f"{self.dag_id} {self.run_id} {self.task_id}{index}, try {self.try_number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A call, or another action, that is to be made at most once.

    :param key: what identifies it, in parts: the default is namespace, DAG, run, action and customer; or the cut call
        that it answers; or an author's `idempotency_key`. The ledger keeps a keyed hash
    :param action: what is asked for, such as `aux_call`
    :param origin: the task that asks
    :param customer: the customer's canonical number, of which the ledger keeps a keyed hash; empty where the action
        concerns no single customer. Caps count by it
    :param phone: the customer's number, masked
    :param agent_id: the agent's extension; empty where there is none; masked if it is a whole number of a customer's
    :param arguments: what the same key must always stand for, besides action and customer, such as the agent where the
        author chose the key; default none
    :param what: what is asked for, in words, where it is not a call
    :param index: which of a task's requests it is, from 0; default 0, the only or first one
    :param campaign_id: the campaign that the call belongs to; empty if none
    :param server: wolkvox's server code
    :param due: when the run was due, aware; None if unknown. A run that was due before the ledger was restored from a
        backup makes no call
    """

    key: tuple[str, ...] = field(repr=False)
    action: str
    origin: Origin
    customer: str = field(default="", repr=False)
    phone: str = ""
    agent_id: str = ""
    arguments: tuple[str, ...] = ()
    what: str = ""
    index: int = 0
    campaign_id: str = ""
    server: str = ""
    due: datetime | None = None

    def __post_init__(self) -> None:
        # Where agent and customer were swapped, it is the customer's number.
        object.__setattr__(self, "agent_id", shown_extension(self.agent_id))


class NotCalled(NamedTuple):
    """That a call is not made, and why.

    :param intent: the call
    :param code: why, for programs, such as `hours`
    :param reason: why, for people
    :param next_allowed: when it may be made, aware; None if unknown or never
    """

    intent: Intent
    code: str
    reason: str
    next_allowed: datetime | None = None


def customers_key(origin: Origin, action: str, customer: str) -> tuple[str, ...]:
    """Return the key of an intent by its customer: in one run, one kind of call, whatever task or index asks.

    :param origin: the task that asks
    :param action: what it asks for, such as `aux_call`
    :param customer: the customer's canonical number
    """
    return ("run", *origin.of_run, action, customer)


def authors_key(idempotency_key: str, part: str = "") -> tuple[str, ...]:
    """Return the key of an intent that an author identifies: the same in every DAG, run and deployment.

    :param idempotency_key: the author's
    :param part: which of the requests that share it; default none, the only one
    """
    return ("author", idempotency_key, part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the ledger knows of one intended call.

    :param intent_key: the keyed hash of the intent's key, lower-case hexadecimal
    :param attempt_id: identifies the attempt that was claimed last; empty if none was
    :param state: how far it came
    :param attempts: how many attempts were claimed
    :param action: what was asked for
    :param origin: the task that asked last
    :param at: when the attempt was claimed or, without one, the decision was recorded; UTC, by the database's clock
    :param settled_at: when its state became what it is; None for an intent
    :param agent_id: the agent's extension
    :param phone: the customer's number, masked
    :param what: what was asked for, where it is not a call
    :param campaign_id: the campaign that it belongs to
    :param server: wolkvox's server code
    :param conn_id: wolkvox's id of an accepted call; may be empty
    :param answer: wolkvox's answer to an accepted action that is not a call
    :param reason_code: why, for programs, such as `cap`
    :param reason: why, for people
    :param next_allowed: when a skipped call may be made, UTC; None if unknown or never
    :param result: what the report shows of an accepted call; empty until it was seen
    :param seconds: how long the call took, in seconds; None until it was seen
    :param disposition: the agent's code for the call; empty until it was seen
    """

    intent_key: str
    attempt_id: str
    state: CallState
    attempts: int
    action: str
    origin: Origin
    at: datetime
    settled_at: datetime | None = None
    agent_id: str = ""
    phone: str = ""
    what: str = ""
    campaign_id: str = ""
    server: str = ""
    conn_id: str = ""
    answer: Any = None
    reason_code: str = ""
    reason: str = ""
    next_allowed: datetime | None = None
    result: str = ""
    seconds: int | None = None
    disposition: str = ""

    @classmethod
    def of(cls, intent: Intent, attempt: Claimed, state: CallState, at: datetime) -> Entry:
        """Return the entry of an attempt of this very process.

        :param intent: what it was claimed for
        :param attempt: the attempt
        :param state: how far it came
        :param at: when it was claimed, UTC
        """
        return cls(
            intent_key=attempt.intent_key,
            attempt_id=attempt.attempt_id,
            state=state,
            attempts=1,
            action=intent.action,
            origin=intent.origin,
            at=at,
            agent_id=intent.agent_id,
            phone=intent.phone,
            what=intent.what,
            campaign_id=intent.campaign_id,
            server=intent.server,
        )

    def __str__(self) -> str:
        parts = [
            f"{self.state.value} at {self.at:%Y-%m-%d %H:%M:%S} UTC by {self.origin}",
            f"agent {self.agent_id}" if self.agent_id else "",
            f"customer {self.phone}" if self.phone else "",
            self.what,
            f"conn_id {self.conn_id}" if self.conn_id else "",
            f"key {self.intent_key}" if self.intent_key else "",
        ]
        return ", ".join(filter(None, parts)) + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a call's history; never changed.

    :param intent_key: the call's
    :param attempt_id: the attempt's; empty where none was claimed
    :param state: the call's state after it
    :param at: when, UTC, by the database's clock
    :param actor: who: the task and its try, or a person
    :param reason_code: why, for programs
    :param reason: why, for people
    """

    intent_key: str
    attempt_id: str
    state: CallState
    at: datetime
    actor: str
    reason_code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became of a claimed attempt.

    :param claimed: the attempt
    :param state: what became of it; never `intent`
    :param conn_id: wolkvox's id of an accepted call
    :param answer: wolkvox's answer to an action that is not a call, as JSON knows it
    :param reason_code: why it was not accepted, for programs
    :param reason: why it was not accepted, for people
    :param next_allowed: when it may be made, aware, if the reason passes at a known time
    """

    claimed: Claimed
    state: CallState
    conn_id: str = ""
    answer: Any = None
    reason_code: str = ""
    reason: str = ""
    next_allowed: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """The claim succeeded: the intent is recorded, and only its owner may send the request.

    :param intent_key: the call's
    :param attempt_id: the attempt's: only who knows it can settle it
    :param origin: the task that claimed it
    :param lease: the token's renewed lease; None if none was given
    """

    intent_key: str
    attempt_id: str
    origin: Origin
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class AlreadyAccepted:
    """The call was made already, by this task or by another.

    :param entry: what the ledger knows of it, `conn_id` included
    """

    entry: Entry


@dataclass(frozen=True, slots=True)
class InDoubt:
    """An earlier attempt was claimed and never settled: the phone may have rung, or another process is calling now.

    :param entry: what the ledger knows of it
    """

    entry: Entry


@dataclass(frozen=True, slots=True)
class DifferentArguments:
    """The key stands for another action, customer or agent already.

    :param entry: what the ledger knows of it
    :param differs: what differs: `action`, `customer` or `arguments`
    """

    entry: Entry
    differs: str


@dataclass(frozen=True, slots=True)
class OverCap:
    """The customer was called as often as a cap allows.

    :param cap: the cap
    :param next_allowed: when the next call is allowed, UTC
    """

    cap: Cap
    next_allowed: datetime


@dataclass(frozen=True, slots=True)
class DueBeforeRestore:
    """The run was due before the ledger was restored from a backup, so it may have made calls that nobody remembers.

    :param restored_at: when the ledger was restored, UTC
    """

    restored_at: datetime


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """The token's lease passed to another owner: its deadline had passed."""


ClaimResult = Claimed | AlreadyAccepted | InDoubt | DifferentArguments | OverCap | DueBeforeRestore | LeaseLost


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to use a token until a deadline.

    :param token: the token's keyed hash
    :param owner: who holds it: one process
    :param number: rises each time the lease passes to another owner
    :param deadline: until when, in seconds of `time.monotonic()`; earlier than the database's own deadline
    """

    token: str
    owner: str
    number: int
    deadline: float

    def holds(self, now: float) -> bool:
        """Return whether the deadline is still to come.

        :param now: the present instant, in seconds of `time.monotonic()`
        """
        return now < self.deadline


@dataclass(frozen=True, slots=True)
class Held:
    """Another owner has the token's lease.

    :param owner: who
    :param seconds: in how many seconds its deadline passes
    """

    owner: str
    seconds: float
