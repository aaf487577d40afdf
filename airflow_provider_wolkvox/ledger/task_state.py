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

import enum
import hashlib
import logging
import uuid
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_wolkvox.compat import ran_before

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

KEY = "wolkvox_call"

# The releases of which it is known that a clear leaves the store alone [ran]; whether later ones
# will is open (apache/airflow#72100).
KEPT_ON_CLEAR = ("3.3.",)

# What our tasks push to XCom, once a request was made.
_RESULTS = frozenset({"return_value", "conn_id", "summary", "left"})


class State(enum.StrEnum):
    """How far a call came."""

    INTENT = "intent"
    """The request was about to be handed over; no answer is recorded. The phone may have rung."""

    ACCEPTED = "accepted"
    """wolkvox accepted the call."""

    REFUSED = "refused"
    """wolkvox refused the call; no phone rang."""

    NOT_SENT = "not_sent"
    """Nothing was sent; no phone rang."""


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

    state: State
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
            return cls(**{**value, "state": State(value["state"]), "try_number": int(value["try_number"]), "at": at})
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


class Ledger:
    """The entry of one task instance's call.

    :param store: Airflow's task state store; None where Airflow has none (before 3.3)
    :param try_number: the try that writes
    :param retention: how long an entry is kept after it was last written; None for as long as the
        DAG run is (the store's rows go with their run)
    :param key: the entry's name in the store; `key_of` gives those of a task with several
    """

    def __init__(
        self, store: Store | None, try_number: int, retention: timedelta | None = None, key: str = KEY
    ) -> None:
        self._store = store
        self._try_number = try_number
        self._retention = retention
        self._key = key
        self._entry: Entry | None = None

    @classmethod
    def of(cls, context: Mapping[str, Any], retention: timedelta | None = None, key: str = KEY) -> Ledger:
        """Return the ledger of the task that runs in `context`; the rest is as for `Ledger`."""
        return cls(context.get("task_state_store"), context["ti"].try_number, retention, key)

    @property
    def remembers(self) -> bool:
        """Whether there is a store behind the ledger."""
        return self._store is not None

    @property
    def is_open(self) -> bool:
        """Whether an intent stands that no answer has closed."""
        return self._entry is not None and self._entry.state is State.INTENT

    @property
    def entry(self) -> Entry | None:
        """The entry that was last read or written; None if there is none."""
        return self._entry

    @property
    def last(self) -> Entry:
        """The entry that was last read or written.

        :raises LookupError: there is none
        """
        if self._entry is None:
            raise LookupError("nothing was read from the ledger or written to it")
        return self._entry

    def read(self) -> Entry | None:
        """Return what is known, None if nothing is.

        :raises ValueError: what is kept there is no entry
        """
        kept = None if self._store is None else self._store.get(self._key)
        self._entry = None if kept is None else Entry.from_json(kept)
        return self._entry

    def may_have_forgotten(self, context: Mapping[str, Any], retries: int) -> str | None:
        """Return why an empty ledger does not prove that nothing was sent; see `may_have_forgotten`."""
        return may_have_forgotten(context, retries, remembers=self.remembers)

    def intend(self, *, number: str = "", **about: str) -> None:
        """Write that the request is about to be handed over. What this raises must keep it from being so.

        Airflow answers the write of a process whose task was cleared with 404, which makes it a fence.

        :param number: a call's number, in its one spelling; a keyed hash of it is kept
        :param about: `agent_id` and the masked `phone` of a call, `what` for anything else
        """
        entry = Entry(State.INTENT, self._try_number, datetime.now(UTC), **about)
        if number:
            entry = replace(entry, customer=_fingerprint(number, entry.reference))
        self._write(entry, must=True)

    def leave_open(self, reason: str) -> None:
        """Write the `reason` why nobody saw the answer. The intent stays: no later run calls on its own."""
        self._close(State.INTENT, reason=reason)

    def accept(self, **known: Any) -> None:
        """Write that wolkvox accepted the request.

        :param known: the call's `conn_id`, or the `answer` to anything else
        """
        self._close(State.ACCEPTED, **known)

    def refuse(self, reason: str) -> None:
        """Write that wolkvox refused the request, and its `reason`."""
        self._close(State.REFUSED, reason=reason)

    def not_sent(self, reason: str) -> None:
        """Write that no request was sent, and the `reason`."""
        self._close(State.NOT_SENT, reason=reason)

    def _close(self, state: State, **known: Any) -> None:
        before = self._entry
        if before is None or not self.is_open:
            before = Entry(state, self._try_number, datetime.now(UTC))
        # A failed write must not change what the task reports: the answer is there, and what
        # stays in the store, an intent, only makes a later run more careful.
        self._write(replace(before, state=state, try_number=self._try_number, **known), must=False)

    def _write(self, entry: Entry, *, must: bool) -> None:
        before, self._entry = self._entry, entry
        if self._store is None:
            return
        try:
            self._store.set(self._key, entry.to_json(), retention=self._retention or _as_long_as_the_run())
        except Exception as failure:
            if must:
                # Whoever asked for this write sends nothing now, so no intent stands.
                self._entry = before
                log.error("The intent could not be written, so nothing was sent.")
                raise
            log.warning(
                "The ledger could not be written (%s); what should stand there: %s. A later run of this task "
                "will not send it on its own.",
                type(failure).__name__,
                entry,
            )


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
        return None
    if not remembers:
        return "this Airflow (before 3.3) keeps nothing that would tell"
    if ti.max_tries <= retries:
        # A clear raises max_tries [src], so this is a retry, and no retry drops what is in the store [ran].
        return None

    from airflow import __version__ as airflow_version
    from airflow.providers.common.compat.sdk import conf

    if conf.getboolean("state_store", "clear_on_success", fallback=False):
        return "[state_store] clear_on_success drops the ledger of a task that succeeded"
    # What the server tells a try to wipe was left by an earlier one, which then had succeeded. Not so the links that
    # Airflow itself pushes for each try, whatever became of it (`_link_...`) [src].
    server_context = getattr(ti, "_ti_context_from_server", None)
    if not _RESULTS.isdisjoint(getattr(server_context, "xcom_keys_to_clear", None) or ()):
        return "its result is in XCom while its ledger is gone"
    if not airflow_version.startswith(KEPT_ON_CLEAR):
        return f"nobody has checked yet that Airflow {airflow_version} keeps the ledger of a cleared task"
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

    def entry(self, state: State, at: datetime, **known: str) -> Entry:
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
            State(state),
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
