"""What is known of a call, kept where a retry, a clear and a killed worker cannot erase it.

Other requests that must not be made twice, such as the upload of records, are kept like calls.

The memory is Airflow's task state store (from 3.3): one entry per task instance, so one intended
call, or one for each batch of an upload. The entry is written *before* the request, as an intent.
Whoever finds an intent later knows that a phone may have rung and that nobody saw the answer; that is
what keeps it from ringing twice.

Before 3.3 Airflow has no such memory (XCom is wiped at the start of every try), so there a later
try is refused; so it is where the memory may have been wiped: `[state_store] clear_on_success`
drops a task's entries when it succeeds, and a future release may drop them on a clear.
"""

from __future__ import annotations

import hashlib
import logging
import math
import uuid
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_wolkvox.compat import describe, ran_before
from airflow_provider_wolkvox.ledger.base import LedgerUnreachable, UnreadableEntry
from airflow_provider_wolkvox.ledger.entry import CallState, Claimed, DifferentArguments, Lease
from airflow_provider_wolkvox.ledger.entry import Entry as Known

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_wolkvox.calling.caps import Cap
    from airflow_provider_wolkvox.ledger.entry import ClaimResult, Held, Intent, Origin, Settlement

log = logging.getLogger(__name__)

KEY = "wolkvox_call"

# The releases in which a clear leaves the store alone [ran]. From 3.4 it drops what is there, unless the person who
# clears keeps it [documentation of 3.4; apache/airflow#72100].
KEPT_ON_CLEAR = ("3.3.",)

# What our tasks push to XCom, once a request was made.
_RESULTS = frozenset({"return_value", "conn_id", "summary", "left"})


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    :param state: how far the call came
    :param try_number: the try of the task that wrote it
    :param at: when the intent was written or, without one, when this entry was; UTC
    :param agent_id: the agent's extension, as far as it was known
    :param phone: the customer's number, masked to its last four digits
    :param what: what was asked for, where it is no call
    :param conn_id: wolkvox's id of an accepted call; may be empty
    :param answer: what wolkvox answered, where it is no call
    :param reason: why a call was refused or not sent
    :param reference: made anew with each intent, to tell one from another
    :param customer: a hash of the customer's number, keyed by `reference`, which tells apart whose last four digits
        are the same; empty where it is no call
    """

    state: CallState
    try_number: int
    at: datetime
    agent_id: str = ""
    phone: str = ""
    what: str = ""
    conn_id: str = ""
    answer: Any = None
    reason: str = ""
    reference: str = field(default_factory=lambda: uuid.uuid4().hex)
    customer: str = ""

    def is_of(self, subject: str, number: str = "") -> bool:
        """Return whether the entry is about something.

        :param subject: a call's masked number, or what else was asked for
        :param number: a call's number, in its one spelling (`PhoneNumber.key`)
        """
        if number and self.customer:
            return self.customer == _fingerprint(number, self.reference)
        return (self.phone or self.what) == subject

    def to_json(self) -> dict[str, Any]:
        """Return the entry as the store keeps it."""
        return {**asdict(self), "state": self.state.value, "at": self.at.isoformat()}

    @classmethod
    def from_json(cls, value: Any) -> Entry:
        """Return the entry that the store kept.

        :param value: what `to_json` returned
        :raises ValueError: the value is no entry; somebody or something else wrote it
        """
        try:
            at = datetime.fromisoformat(value["at"])
            if at.tzinfo is None:
                raise ValueError("a time without zone")
            known = {"state": CallState(value["state"]), "try_number": int(value["try_number"]), "at": at}
            return cls(**{**value, **known})
        except (TypeError, KeyError, ValueError) as wrong:
            raise ValueError(f"not an entry of the ledger ({type(wrong).__name__})") from None

    def __str__(self) -> str:
        words = f"{self.state.value} in try {self.try_number} at {self.at:%Y-%m-%d %H:%M:%S} UTC"
        words += f", agent {self.agent_id}" if self.agent_id else ""
        words += f", customer {self.phone}" if self.phone else ""
        words += f", {self.what}" if self.what else ""
        words += f", conn_id {self.conn_id}" if self.conn_id else ""
        words += f" (reference {self.reference})" if self.reference else ""
        return words + (f": {self.reason}" if self.reason else "")


def key_of(number: int) -> str:
    """Return the name in the store of one of a task's entries; a task's only one is `KEY`.

    :param number: the request's, counted from 0
    """
    return KEY if number == 0 else f"{KEY}_{number}"


class Store(Protocol):
    """What is used of Airflow's task state store."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value kept under `key`, or `default`."""

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        """Keep `value`, which JSON must know, under `key` for as long as `retention` says."""


class TaskStateLedger:
    """The ledger that Airflow itself offers: it knows one task instance, and one request of it. Implements `Ledger`.

    `known` is asked first: what it read is what later steps go by, since nobody else writes to a task's store.

    :param store: Airflow's task state store; None where Airflow has none (before 3.3)
    :param origin: the task and its try
    :param retention: how long an entry is kept after it was last written; default None, as long as the DAG run is (the
        store's rows go with their run)
    :param key: the entry's name in the store; `key_of` gives those of a task with several
    :param why_incomplete: tells why knowing nothing does not prove that nothing was sent, None if it does
    """

    counts_caps = False

    def __init__(
        self,
        store: Store | None,
        origin: Origin,
        *,
        retention: timedelta | None = None,
        key: str = KEY,
        why_incomplete: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._store = store
        self._origin = origin
        self._retention = retention
        self._key = key
        self._why_incomplete = why_incomplete
        self._kept: Entry | None = None

    @property
    def remembers(self) -> bool:
        """Whether there is a store behind the ledger."""
        return self._store is not None

    def known(self, intents: Sequence[Intent]) -> list[Known | DifferentArguments | None]:
        """Return what the store holds of the task's request; see `Ledger.known`.

        :param intents: the one that the task asks for
        :raises UnreadableEntry: what it holds is no entry
        """
        [intent] = intents
        value = None if self._store is None else self._store.get(self._key)
        try:
            kept = self._kept = None if value is None else Entry.from_json(value)
        except ValueError as wrong:
            raise UnreadableEntry(f"What the ledger holds cannot be read: {wrong}") from None
        if kept is None:
            return [None]
        found = self._shown(kept, intent)
        if found.state.may_have_rung and not kept.is_of(intent.phone or intent.what, intent.customer):
            return [DifferentArguments(found, "customer")]
        return [found]

    def may_be_incomplete(self, intent: Intent) -> str | None:
        """Return why knowing nothing does not prove that nothing was sent; see `Ledger.may_be_incomplete`."""
        return self._why_incomplete()

    def claim(
        self, intent: Intent, caps: Sequence[Cap] = (), *, lease: Lease | None = None, ttl: float = 0.0
    ) -> ClaimResult:
        """Write that the request is about to be sent; see `Ledger.claim`, also for `ttl`, in seconds.

        Airflow answers the write of a process whose task was cleared with 404, which makes it a fence.
        """
        about = {"agent_id": intent.agent_id, "phone": intent.phone, "what": intent.what}
        entry = Entry(CallState.INTENT, self._origin.try_number, datetime.now(UTC), **about)
        if intent.customer:
            entry = replace(entry, customer=_fingerprint(intent.customer, entry.reference))
        self._write(entry)
        return Claimed("", entry.reference, self._origin)

    def settle(self, settlement: Settlement) -> bool:
        """Write what became of the request; see `Ledger.settle`."""
        kept = self._kept
        if kept is None or kept.reference != settlement.claimed.attempt_id:
            return False
        known = {"conn_id": settlement.conn_id, "answer": settlement.answer, "reason": settlement.reason}
        self._write(replace(kept, state=settlement.state, try_number=self._origin.try_number, **known))
        return True

    def mark_unknown(self, claimed: Claimed, reason: str) -> bool:
        """Write why no response was received; see `Ledger.mark_unknown`."""
        kept = self._kept
        if kept is None or kept.reference != claimed.attempt_id:
            return False
        self._write(replace(kept, reason=reason))
        return True

    def skip(self, intent: Intent, code: str, reason: str, next_allowed: datetime | None = None) -> bool:
        """Write that no request was sent, and why; see `Ledger.skip`."""
        if self._kept is not None and self._kept.state is CallState.INTENT:
            return False
        self._write(Entry(CallState.NOT_SENT, self._origin.try_number, datetime.now(UTC), reason=reason))
        return True

    def take_lease(self, token: str, owner: str, ttl: float) -> Lease | Held:
        """Return a lease that says nothing: Airflow's pool keeps the token; see `Ledger.take_lease`, also for `ttl`."""
        return Lease("", owner, 0, math.inf)

    def give_back(self, lease: Lease) -> None:
        """Do nothing; see `Ledger.give_back`."""

    def close(self) -> None:
        """Do nothing: the store is Airflow's."""

    def _shown(self, kept: Entry, intent: Intent) -> Known:
        return Known(
            intent_key="",
            attempt_id=kept.reference,
            state=CallState(kept.state),
            attempts=1,
            action=intent.action,
            origin=replace(self._origin, try_number=kept.try_number),
            at=kept.at,
            agent_id=kept.agent_id,
            phone=kept.phone,
            what=kept.what,
            conn_id=kept.conn_id,
            answer=kept.answer,
            reason=kept.reason,
        )

    def _write(self, entry: Entry) -> None:
        """Write an entry, and remember it only if it was written.

        :raises LedgerUnreachable: it was not
        """
        if self._store is not None:
            try:
                self._store.set(self._key, entry.to_json(), retention=self._retention or _as_long_as_the_run())
            except Exception as failure:
                # Airflow puts arguments and results into its texts.
                raise LedgerUnreachable(
                    f"Airflow's task state store could not be written ({describe(failure)}): the task was cleared, or "
                    "Airflow's API is down."
                ) from None
        self._kept = entry


def may_have_forgotten(context: Mapping[str, Any], retries: int, *, remembers: bool) -> str | None:
    """Return why an empty ledger does not prove that no call was made; None if it does.

    :param retries: the task's own
    :param remembers: whether there is a store at all
    """
    ti = context["ti"]
    if ti.try_number <= 1:
        # `airflow tasks test` runs as try 0.
        if not remembers and ran_before(ti):
            return "this very try was run before, which this Airflow (before 3.0) lets a person force"
        if (
            remembers
            and ti.map_index is not None
            and ti.map_index >= 0
            and getattr(context["dag_run"], "clear_number", 0)
        ):
            return f"the run was cleared, and who stood at map index {ti.map_index} before may stand at another one now"
        return None
    if not remembers:
        return f"this is try {ti.try_number}, and this Airflow (before 3.3) keeps nothing that would tell"
    from airflow import __version__ as airflow_version
    from airflow.providers.common.compat.sdk import conf

    if ti.max_tries <= retries and airflow_version.startswith(KEPT_ON_CLEAR):
        # A clear raises max_tries [src], or of a running task it does not; either way it keeps what is in the store,
        # and so does a retry [ran].
        return None
    if conf.getboolean("state_store", "clear_on_success", fallback=False):
        return "[state_store] clear_on_success drops what is remembered of a task that succeeded"
    # What the server tells a try to wipe was left by an earlier one, which then had succeeded. Not so the links that
    # Airflow itself pushes for each try, whatever became of it (`_link_...`) [src].
    server_context = getattr(ti, "_ti_context_from_server", None)
    if not _RESULTS.isdisjoint(getattr(server_context, "xcom_keys_to_clear", None) or ()):
        return "its result is in XCom while what was remembered of it is gone"
    if not airflow_version.startswith(KEPT_ON_CLEAR):
        return f"Airflow {airflow_version} drops what is remembered of a task when it is cleared (from 3.4)"
    return None


class BatchLedger:
    """What is known of the calls of one task instance that makes many: a line for each customer.

    Customers are told apart by a keyed hash of their number, whose random key is the task instance's own, so that a
    list which changed its order, or lost those already called, is still understood. Lines are kept in chunks, far below
    the store's 64 KB for a value; a write is one message, whatever it holds, and a later line overrides an earlier one.

    :param store: Airflow's task state store; None where Airflow has none (before 3.3)
    :param try_number: the try that writes
    :param retention: as for `Ledger`
    """

    CHUNK = 100

    def __init__(self, store: Store | None, try_number: int, retention: timedelta | None = None) -> None:
        self._store = store
        self._try_number = try_number
        self._retention = retention
        self._salt = uuid.uuid4().hex
        self._number = 0
        self._lines: dict[str, list[Any]] = {}
        self.begun = False
        """Whether something was read or written: a ledger that was begun and is empty proves that nobody was called."""

    @property
    def remembers(self) -> bool:
        """Whether there is a store behind the ledger."""
        return self._store is not None

    def read(self) -> dict[str, Entry]:
        """Return the latest entry of each customer, by `customer`.

        :raises ValueError: what is kept there is no batch's
        """
        found: dict[str, Entry] = {}
        number = 0
        while self._store is not None and (kept := self._store.get(batch_key_of(number))) is not None:
            self._salt, lines = _chunk(kept)
            self._number, self._lines, self.begun = number, lines, True
            found |= {customer: _entry_of(line) for customer, line in lines.items()}
            number += 1
        return found

    def customer(self, phone: str) -> str:
        """Return what stands for a customer in the ledger, and tells nobody the number.

        :param phone: the number, in the one spelling that is used for all of them
        """
        return _fingerprint(phone, self._salt)

    def write(self, entries: Mapping[str, Entry]) -> None:
        """Write the entries of some customers, with one message. What this raises must keep a call from being made.

        Airflow answers the write of a process whose task was cleared with 404, which makes it a fence.

        :param entries: by `customer`; they override those that stand there
        """
        customers = list(entries)
        # One message, unless more is new than a chunk takes.
        for first in range(0, max(len(customers), 1), self.CHUNK):
            self._write({customer: _line_of(entries[customer]) for customer in customers[first : first + self.CHUNK]})

    def _write(self, lines: dict[str, list[Any]]) -> None:
        number, together = self._number, self._lines | lines
        if len(together) > self.CHUNK:
            number, together = number + 1, lines
        if self._store is not None:
            value = {"salt": self._salt, "lines": together}
            self._store.set(batch_key_of(number), value, retention=self._retention or _as_long_as_the_run())
        # Only now: a chunk that the store did not take must leave no gap.
        self._number, self._lines, self.begun = number, together, True

    def entry(self, state: CallState, at: datetime, **known: str) -> Entry:
        """Return an entry of this try, with the `state` of a call `at` an instant; the rest is as for `Entry`."""
        return Entry(state, self._try_number, at, reference="", **known)


def _fingerprint(number: str, key: str) -> str:
    return hashlib.blake2b(number.encode(), key=key.encode(), digest_size=8).hexdigest()


def batch_key_of(number: int) -> str:
    """Return the name in the store of one of a batch's chunks.

    :param number: the chunk's, counted from 0
    """
    return f"{KEY}s_{number}"


# Long enough for a reason to be understood, short enough for a chunk of them to stay below 64 KB.
_REASON = 120


def _line_of(entry: Entry) -> list[Any]:
    line = [entry.state.value, entry.try_number, int(entry.at.timestamp()), entry.agent_id, entry.phone]
    # In ASCII: another letter takes up to twelve bytes of the store.
    return [*line, entry.conn_id, entry.reason[:_REASON].encode("ascii", "replace").decode()]


def _entry_of(line: Any) -> Entry:
    try:
        state, try_number, at, agent_id, phone, conn_id, reason = line
        moment = datetime.fromtimestamp(at, UTC)
        return Entry(
            CallState(state),
            int(try_number),
            moment,
            agent_id=agent_id,
            phone=phone,
            conn_id=conn_id,
            reason=reason,
            reference="",
        )
    except (TypeError, ValueError, OSError, OverflowError) as wrong:
        raise ValueError(f"not an entry of the ledger ({type(wrong).__name__})") from None


def _chunk(kept: Any) -> tuple[str, dict[str, list[Any]]]:
    if not isinstance(kept, dict) or not isinstance(kept.get("lines"), dict) or not isinstance(kept.get("salt"), str):
        raise ValueError("not a batch's part of the ledger")
    return kept["salt"], dict(kept["lines"])


def _as_long_as_the_run() -> timedelta:
    # Here, since it exists from 3.3 only; and this very object, since Airflow compares by identity.
    from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]

    forever: timedelta = NEVER_EXPIRE
    return forever
