"""What a batch knows of its calls, in the ledger in SQL or in Airflow's task state store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_wolkvox.at_most_once import lease_of, take_over, under_way_until
from airflow_provider_wolkvox.batch import Call, Made, Outcome, PutOff, Stop
from airflow_provider_wolkvox.hooks.wolkvox import TOKEN_IN_USE_AFTER
from airflow_provider_wolkvox.ledger import BatchLedger, CallState, may_have_forgotten
from airflow_provider_wolkvox.ledger.base import LedgerError
from airflow_provider_wolkvox.ledger.entry import (
    AlreadyAccepted,
    Claimed,
    DifferentArguments,
    DueBeforeRestore,
    Entry,
    InDoubt,
    Intent,
    Lease,
    LeaseLost,
    NotCalled,
    OverCap,
    Settlement,
)
from airflow_provider_wolkvox.not_done import NotDone
from airflow_provider_wolkvox.running_task import raise_for

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wolkvox.calling.caps import Cap
    from airflow_provider_wolkvox.ledger import Entry as StoredEntry
    from airflow_provider_wolkvox.ledger.entry import ClaimResult
    from airflow_provider_wolkvox.ledger.sql import SqlLedger
    from airflow_provider_wolkvox.operators.aux_call_batch import AuxCallBatchOperator

_STATES = {
    Made.ACCEPTED: CallState.ACCEPTED,
    Made.REFUSED: CallState.REFUSED,
    Made.UNKNOWN: CallState.INTENT,
}
_OF_ANOTHER = "the idempotency_key stands for another call already"


class Memory(Protocol):
    """What is known of a batch's calls."""

    remembers: bool
    """Whether a later try will know of what this one did."""

    asked_of: dict[Call, str]
    """Which agent was to make a call in doubt, where that is not who is asked now."""

    def known(self, calls: Sequence[Call]) -> dict[Call, Outcome]:
        """Return what was done before, as far as no call may follow it.

        :param calls: the batch's
        :raises ValueError: what is known cannot be read, or may not be all
        """

    def write(self, outcomes: Mapping[Call, Outcome], intents: Sequence[Call]) -> None:
        """Record what became of calls, and which are about to be made.

        :param outcomes: what is not recorded yet
        :param intents: the calls
        :raises Stop: it could not be recorded, so no call may follow
        """

    def has_all(self, intents: Sequence[Call]) -> bool:
        """Return whether these calls are recorded as about to be made.

        :param intents: the calls
        """

    def why_not(self, call: Call) -> Outcome | None:
        """Return what became of a call that this batch must not make, None if it may.

        :param call: the call; `write` has had it as one of its `intents`
        :raises PutOff: it may be made later
        """

    def hold_token(self) -> None:
        """Have the token for the length of a request.

        :raises AirflowRescheduleException: another process uses it; the task gives its slot back and comes again
        :raises Stop: nobody knows whether another process uses it
        """

    def keep_accepted(self, outcomes: Mapping[Call, Outcome]) -> None:
        """Record the accepted calls, and leave all else as others wrote it.

        :param outcomes: what is not recorded yet
        """

    def skip(self, why: Mapping[Call, PutOff]) -> None:
        """Record why calls were not made, and when they may be.

        :param why: of calls that this run did not make
        """

    def close(self) -> None:
        """Give back what is held."""


class StoreMemory:
    """The memory that Airflow itself offers, which knows this task only. Implements `Memory`.

    :param task: the batch's
    :param context: its context
    """

    def __init__(self, task: AuxCallBatchOperator, context: Context) -> None:
        self._task = task
        self._context = context
        store: Any = context.get("task_state_store")
        self.ledger = BatchLedger(store, context["ti"].try_number, task.ledger_retention)
        self.remembers = self.ledger.remembers
        self.asked_of: dict[Call, str] = {}
        self._intended: set[Call] = set()

    def known(self, calls: Sequence[Call]) -> dict[Call, Outcome]:
        """Return what earlier runs of the task have done; see `Memory.known`.

        :raises AirflowFailException: the author gave a cap, which nobody can count here
        """
        task, ti = self._task, self._context["ti"]
        try:
            task.caps(counted=False)
        except NotDone as uncounted:
            raise_for(uncounted)
        entries = self.ledger.read()
        if not self.ledger.begun:
            why = may_have_forgotten(self._context, task.retries or 0, remembers=self.remembers)
            if why and not task.allow_second_try:
                raise ValueError(
                    f"Earlier, phones may have rung: {why}. A ledger in SQL would know ([wolkvox] ledger_conn_id). No "
                    "call was made in this try. To ring nevertheless, set allow_second_try=True on the task"
                )
            # So that a task which ends before its first call, and tells of it, is not taken for one that has called.
            task.require_running(self._context)
            self.ledger.write({})
        known = {}
        for call in calls:
            entry = entries.get(self._customer(call))
            if entry and entry.state is CallState.ACCEPTED:
                known[call] = Outcome(Made.ACCEPTED, entry.at, entry.conn_id)
            elif entry and entry.state is CallState.INTENT:
                reason = entry.reason or f"try {entry.try_number} ended while the call was made, or about to be"
                known[call] = Outcome(Made.UNKNOWN, entry.at, reason=reason)
                self.asked_of[call] = entry.agent_id
            elif entry and entry.state is CallState.REFUSED and entry.try_number == ti.try_number:
                # Before a pause of this very try; a later one asks again.
                known[call] = Outcome(Made.REFUSED, entry.at, reason=entry.reason)
        ours = {self._customer(call) for call in calls}
        for customer, entry in entries.items():
            if entry.state is CallState.INTENT and customer not in ours:
                task.log.warning("A call of an earlier run, to a customer who left the list, is in doubt: %s", entry)
        return known

    def write(self, outcomes: Mapping[Call, Outcome], intents: Sequence[Call]) -> None:
        """Write with one message; see `Memory.write`."""
        now = datetime.now(UTC)
        entries: dict[str, StoredEntry] = {}
        for call, outcome in outcomes.items():
            state = _STATES.get(outcome.made, CallState.NOT_SENT)
            known = {"conn_id": outcome.conn_id, "reason": outcome.reason}
            entries[self._customer(call)] = self._entry(call, state, outcome.at, **known)
        for call in intents:
            entries[self._customer(call)] = self._entry(call, CallState.INTENT, now)
        self._intended = set(intents)
        try:
            self.ledger.write(entries)
        except Exception as failure:
            self._intended = set()
            raise Stop(
                f"the ledger could not be written ({type(failure).__name__}): the task was cleared, or Airflow's API "
                "is down",
                final=False,
            ) from None

    def has_all(self, intents: Sequence[Call]) -> bool:
        """Return whether these intents were written last; see `Memory.has_all`."""
        return self._intended.issuperset(intents)

    def why_not(self, call: Call) -> Outcome | None:
        """Return None: what is known was told before the batch began; see `Memory.why_not`."""
        return None

    def hold_token(self) -> None:
        """Leave it to the pool that only one task uses the token; see `Memory.hold_token`."""

    def keep_accepted(self, outcomes: Mapping[Call, Outcome]) -> None:
        """Write the accepted calls over what stands there now; see `Memory.keep_accepted`."""
        self.ledger.read()
        self.write(outcomes, [])

    def skip(self, why: Mapping[Call, PutOff]) -> None:
        """Do nothing: who was never near a call needs no line; see `Memory.skip`."""

    def close(self) -> None:
        """Do nothing; see `Memory.close`."""

    def rung(self, calls: Sequence[Call]) -> dict[Call, StoredEntry]:
        """Return what is known of calls that were made, or may have been.

        :param calls: the batch's
        :raises ValueError: what is known cannot be read
        """
        entries = self.ledger.read()
        found = {call: entry for call in calls if (entry := entries.get(self._customer(call)))}
        return {call: entry for call, entry in found.items() if entry.state.may_have_rung}

    def _customer(self, call: Call) -> str:
        # However a list spells a number, it is the same customer's.
        return self.ledger.customer(self._task.hook.customer_key(call.phone))

    def _entry(self, call: Call, state: CallState, at: datetime, **known: str) -> StoredEntry:
        return self.ledger.entry(state, at, agent_id=call.agent_id, phone=call.shown, **known)


class SqlMemory:
    """The ledger in SQL, which knows of all tasks, runs and deployments that use it. Implements `Memory`.

    :param ledger: the ledger
    :param task: the batch's
    :param context: its context
    :param before: Airflow's own memory, which may know of calls that were made before there was a ledger in SQL
    """

    remembers = True

    def __init__(self, ledger: SqlLedger, task: AuxCallBatchOperator, context: Context, before: StoreMemory) -> None:
        self._ledger = ledger
        self._before = before
        self._task = task
        self._context = context
        self.asked_of: dict[Call, str] = {}
        self._intents: dict[Call, Intent] = {}
        self._entries: dict[Call, Entry] = {}
        self._claimed: dict[Call, Claimed] = {}
        self._why_not: dict[Call, Outcome | PutOff] = {}
        self._caps: Sequence[Cap] = ()
        self._first: dict[tuple[str, ...], Call] = {}
        self._over_cap: set[Call] = set()
        self._token, self._seconds = task.hook.token_use()
        self._lease: Lease | None = None

    def known(self, calls: Sequence[Call]) -> dict[Call, Outcome]:
        """Return what anybody has done; see `Memory.known`.

        :raises AirflowException: the ledger does not answer, and a retry may help
        """
        self._caps = self._task.caps(counted=True)
        asked = [call for call in calls if self._customer(call)]
        ti = self._context["ti"]
        known = {}
        try:
            if ti.try_number > 1:
                self._take_over(asked)
            found = self._ledger.known([self._intent(call) for call in asked])
        except LedgerError as wrong:
            raise AirflowException(str(wrong)) from None
        for call, entry in zip(asked, found, strict=True):
            if isinstance(entry, DifferentArguments):
                known[call] = Outcome(Made.SKIPPED, entry.entry.at, reason=f"{_OF_ANOTHER}: {entry.entry}")
            elif entry is None or under_way_until(entry, self._intent(call).origin, datetime.now(UTC)):
                # What another task is making is looked at again once it is its turn here.
                continue
            elif entry.state.may_have_rung:
                known[call] = self._as_outcome(call, entry)
            elif entry.state is CallState.REFUSED and entry.origin == self._intent(call).origin:
                # Before a pause of this very try; a later one asks again.
                known[call] = Outcome(Made.REFUSED, entry.at, reason=entry.reason)
        return known

    def write(self, outcomes: Mapping[Call, Outcome], intents: Sequence[Call]) -> None:
        """Settle and claim; the first claim is in the settlements' transaction; see `Memory.write`."""
        try:
            settlements = [settlement for call in outcomes if (settlement := self._settled(call, outcomes[call]))]
            for call in intents:
                if call not in self._claimed:
                    self._claim(call, settlements)
                    settlements = []
            for settlement in settlements:
                self._ledger.settle(settlement)
        except LedgerError as failure:
            raise Stop(str(failure), final=False) from None
        for call in outcomes:
            self._claimed.pop(call, None)

    def has_all(self, intents: Sequence[Call]) -> bool:
        """Return whether these calls are claimed, or must not be made; see `Memory.has_all`."""
        return all(call in self._claimed or call in self._why_not for call in intents)

    def why_not(self, call: Call) -> Outcome | None:
        """Return what the claim came to; see `Memory.why_not`."""
        why = self._why_not.pop(call, None)
        if isinstance(why, PutOff):
            raise why
        return why

    def hold_token(self) -> None:
        """Take the token's lease, or make it last long enough; see `Memory.hold_token`."""
        try:
            lease = self._lease
            if lease is not None and not lease.holds(time.monotonic() + self._seconds - TOKEN_IN_USE_AFTER):
                lease = self._ledger.renew_lease(lease, self._seconds)
            self._lease = lease or self._taken()
        except LedgerError as failure:
            raise Stop(str(failure), final=False) from None

    def keep_accepted(self, outcomes: Mapping[Call, Outcome]) -> None:
        """Settle the accepted calls; an attempt that somebody settled otherwise stays; see `Memory.keep_accepted`."""
        self.write(outcomes, [])

    def skip(self, why: Mapping[Call, PutOff]) -> None:
        """Record why calls were not made; see `Memory.skip`."""
        skips = [
            NotCalled(self._intent(call), "batch", each.reason, each.opens)
            for call, each in why.items()
            # Of several calls under one key, what stands there is the first one's.
            if call not in self._over_cap and self._customer(call) and self._first[self._intent(call).key] == call
        ]
        self._tell(partial(self._ledger.skip_all, skips))

    def close(self) -> None:
        """Give the token's lease back, and close the connection; see `Memory.close`."""
        lease, self._lease = self._lease, None
        if lease is not None:
            self._tell(partial(self._ledger.give_back, lease))
        self._ledger.close()

    def _take_over(self, calls: Sequence[Call]) -> None:
        """Move what Airflow's own memory knows of calls into the ledger."""
        moved = []
        for call, entry in self._before.rung(calls).items():
            if take_over(self._ledger, self._intent(call), entry.state, entry.conn_id):
                moved.append(call)
        if moved:
            # Else they would be moved again once a person has released them there.
            now = datetime.now(UTC)
            reason = "recorded in the ledger in SQL since"
            self._before.write({call: Outcome(Made.NOT_SENT, now, reason=reason) for call in moved}, [])

    def _claim(self, call: Call, settlements: Sequence[Settlement]) -> None:
        intent, caps = self._intent(call), self._caps
        self.hold_token()
        claimed: ClaimResult = self._ledger.settle_and_claim(
            settlements, intent, caps, lease=self._lease, ttl=self._seconds
        )
        if isinstance(claimed, LeaseLost):
            self._lease = self._taken()
            claimed = self._ledger.claim(intent, caps, lease=self._lease, ttl=self._seconds)
        match claimed:
            case Claimed():
                self._claimed[call], self._lease = claimed, claimed.lease or self._lease
                self._why_not.pop(call, None)
            case AlreadyAccepted(entry) | InDoubt(entry):
                until = under_way_until(entry, intent.origin, datetime.now(UTC))
                self._why_not[call] = (
                    PutOff(f"another task may be making this call at this moment: {entry}", until, is_under_way=True)
                    if until
                    else self._as_outcome(call, entry)
                )
            case DifferentArguments(entry):
                self._why_not[call] = Outcome(Made.SKIPPED, datetime.now(UTC), reason=f"{_OF_ANOTHER}: {entry}")
            case OverCap(cap, next_allowed):
                why = f"the customer gets at most {cap}"
                self._ledger.skip(intent, "cap", why, next_allowed)
                self._over_cap.add(call)
                self._why_not[call] = self._task.put_off_call(self._context, call, why, next_allowed)
            case DueBeforeRestore(restored_at):
                raise Stop(
                    f"the ledger was restored from a backup at {restored_at:%Y-%m-%d %H:%M:%S} UTC, and this run was "
                    "due before: nobody knows whom it has called",
                    final=True,
                )
            case LeaseLost():
                raise Stop("the token's lease passed to another process", final=False)

    def _settled(self, call: Call, outcome: Outcome) -> Settlement | None:
        """Return how a claimed call is settled; None where there is nothing to settle."""
        claimed = self._claimed.get(call)
        entry = self._entries.get(call)
        if claimed is None and entry is not None and outcome.made is Made.ACCEPTED:
            # Found in the reports, perhaps of another run; all else, that one records itself.
            claimed = Claimed(entry.intent_key, entry.attempt_id, entry.origin)
        if claimed is None:
            return None
        state = _STATES.get(outcome.made, CallState.NOT_SENT)
        if state is CallState.INTENT:
            self._ledger.mark_unknown(claimed, outcome.reason)
            return None
        code = "" if state is CallState.ACCEPTED else outcome.made.value
        return Settlement(
            claimed=claimed, state=state, conn_id=outcome.conn_id, reason_code=code, reason=outcome.reason
        )

    def _as_outcome(self, call: Call, entry: Entry) -> Outcome:
        self._entries[call] = entry
        if entry.state is CallState.ACCEPTED:
            self._task.log.info("The call to %s was already made: %s. It is not made again.", call.shown, entry)
            return Outcome(Made.ACCEPTED, entry.at, entry.conn_id)
        self.asked_of[call] = entry.agent_id
        reason = entry.reason or f"{entry.origin} ended while the call was made, or about to be"
        return Outcome(Made.UNKNOWN, entry.at, reason=reason)

    def _taken(self) -> Lease:
        try:
            return lease_of(self._ledger, self._token, self._seconds, self._task.words)
        except NotDone as held:
            # The batch goes on where it was once the token is free, however often that takes.
            raise_for(held)

    def _tell(self, tell: Callable[[], Any]) -> None:
        try:
            tell()
        except LedgerError as failure:
            self._task.log.warning("The ledger does not know all that became of this batch: %s", failure)

    def _customer(self, call: Call) -> str:
        return self._task.hook.customer_key(call.phone)

    def _intent(self, call: Call) -> Intent:
        if call not in self._intents:
            customer, of_task = self._customer(call), self._task.idempotency_key
            self._intents[call] = self._task.intent(
                self._context,
                self._task.api,
                customer=customer,
                phone=call.shown,
                agent_id=call.agent_id,
                idempotency_key=call.idempotency_key or ("" if of_task is None else f"{of_task}/{customer}"),
            )
            self._first.setdefault(self._intents[call].key, call)
        return self._intents[call]
