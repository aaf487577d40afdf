"""The ledger in a SQL database of the user's. With `schema`, the only file that speaks SQL; knows no Airflow.

- Losing a claim shows as `IntegrityError`, or as no row updated; the `rowcount` of an `INSERT` says nothing [ran].
- Caps hold because each claim writes its customer's row first, and only then counts [ran].
- All instants are the database's, in milliseconds: workers' clocks differ.
- Everything comes to the same whether it is run once or twice, since a connection may be lost during a commit: a claim
  recognizes its own attempt, a settlement its own state.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from airflow_provider_wolkvox.calling.caps import allowed_from
from airflow_provider_wolkvox.ledger import schema
from airflow_provider_wolkvox.ledger.base import SETTLED_OTHERWISE, LedgerUnusable
from airflow_provider_wolkvox.ledger.database import NOT_INITIALIZED, Database, LostRace, Transaction
from airflow_provider_wolkvox.ledger.entry import (
    AlreadyAccepted,
    CallState,
    Claimed,
    ClaimResult,
    DifferentArguments,
    DueBeforeRestore,
    Entry,
    Event,
    Held,
    InDoubt,
    Intent,
    Lease,
    LeaseLost,
    NotCalled,
    Origin,
    OverCap,
    Settlement,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from airflow_provider_wolkvox.calling.caps import Cap

log = logging.getLogger(__name__)

T = TypeVar("T")

LEAST_AGE_OF_PURGED: Final = timedelta(days=30)
"""Younger calls are never purged: caps count them, and runs may be cleared."""

_KEYS_AT_ONCE: Final = 500
_PURGED_AT_ONCE: Final = 1_000
_SKIPPED_AT_ONCE: Final = 100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ORIGIN: Final = ("namespace", "deployment", "dag_id", "run_id", "task_id", "map_index", "try_number")
# Of a call, what stays as long as its key does, and what each attempt or decision writes anew.
_FIXED: Final = ("intent_key", "action", "customer")
_WRITTEN: Final = (
    *("attempt_id", "state", "arguments", "phone", "agent_id", "what", "campaign_id", "server", *_ORIGIN, "conn_id"),
    *("answer", "reason_code", "reason", "next_allowed", "result", "seconds", "disposition"),
)
_COLUMNS: Final = ", ".join(f"c.{name}" for name in (*_FIXED, *_WRITTEN, "attempts", "intent_at", "settled_at"))
_SELECT: Final = f"SELECT {_COLUMNS} FROM wolkvox_calls c"  # noqa: S608


class SqlLedger:
    """The ledger in a SQL database; implements `Ledger`, and answers what people and pages ask.

    May be used by several threads, which wait for one another.

    :param engine: as `engine_of` makes it
    :param hash_key: the key of the hashes of numbers and keys, if it is kept elsewhere than in the ledger; default none
    """

    remembers = True
    counts_caps = True

    def __init__(self, engine: Engine, hash_key: str | None = None) -> None:
        self._database = Database(engine, schema.LENGTHS)
        self._given_key = hash_key or ""
        self._key = b""

    # What the engine asks

    def known(self, intents: Sequence[Intent]) -> list[Entry | DifferentArguments | None]:
        """Return what is known of intended calls; see `Ledger.known`."""

        def read(transaction: Transaction) -> list[Entry | DifferentArguments | None]:
            keys = [self._key_of(intent) for intent in intents]
            found: dict[str, Any] = {}
            for first in range(0, len(keys), _KEYS_AT_ONCE):
                some = keys[first : first + _KEYS_AT_ONCE]
                rows = transaction.rows(f"{_SELECT} WHERE c.intent_key IN :keys", keys=some)
                found.update({row.intent_key: row for row in rows})
            return [
                None if (row := found.get(key)) is None else self._differing(row, intent) or _entry(row)
                for key, intent in zip(keys, intents, strict=True)
            ]

        return self._transact(read, reads=True)

    def may_be_incomplete(self, intent: Intent) -> str | None:
        """Return None: what the ledger does not know was not intended; see `Ledger.may_be_incomplete`."""
        return None

    def claim(
        self, intent: Intent, caps: Sequence[Cap] = (), *, lease: Lease | None = None, ttl: float = 0.0
    ) -> ClaimResult:
        """Record an intent unless that may not be; see `Ledger.claim`, also for `ttl`, in seconds."""
        return self.settle_and_claim((), intent, caps, lease=lease, ttl=ttl)

    def settle(self, settlement: Settlement) -> bool:
        """Record what became of an attempt; see `Ledger.settle`."""
        return self._transact(lambda transaction: self._settle(transaction, settlement))

    def settle_and_claim(
        self,
        settlements: Sequence[Settlement],
        intent: Intent,
        caps: Sequence[Cap] = (),
        *,
        lease: Lease | None = None,
        ttl: float = 0.0,
    ) -> ClaimResult:
        """Do what `settle` and `claim` do, in one transaction: a batch's next step.

        The settlements are recorded even if the claim fails, unless the error is a `LedgerError`.

        :param settlements: what became of earlier attempts
        :param intent: as for `Ledger.claim`
        :param caps: as for `Ledger.claim`
        :param lease: as for `Ledger.claim`
        :param ttl: as for `Ledger.claim`, in seconds
        """
        # Made here, so that a transaction that is run again knows its own attempt.
        attempt_id = secrets.token_hex(16)

        def step(transaction: Transaction) -> ClaimResult:
            for settlement in settlements:
                if not self._settle(transaction, settlement):
                    log.warning(
                        SETTLED_OTHERWISE,
                        settlement.claimed.intent_key,
                        settlement.claimed.attempt_id,
                    )
            renewed = None
            if lease is not None:
                renewed = self._renew(transaction, lease, ttl)
                if renewed is None:
                    return LeaseLost()
            return self._claim(transaction, intent, caps, attempt_id, renewed)

        return self._transact(step)

    def mark_unknown(self, claimed: Claimed, reason: str) -> bool:
        """Record why no response was received; see `Ledger.mark_unknown`."""

        def step(transaction: Transaction) -> bool:
            marked = transaction.change(
                "UPDATE wolkvox_calls SET reason_code = 'unknown', reason = :reason "
                "WHERE intent_key = :intent_key AND attempt_id = :attempt_id AND state = 'intent'",
                intent_key=claimed.intent_key,
                attempt_id=claimed.attempt_id,
                reason=reason,
            )
            if marked:
                self._append(transaction, claimed, CallState.INTENT, claimed.origin, "unknown", reason)
            return bool(marked)

        return self._transact(step)

    def skip(self, intent: Intent, code: str, reason: str, next_allowed: datetime | None = None) -> bool:
        """Record that a call is not made, and why; see `Ledger.skip`."""
        skip = NotCalled(intent, code, reason, next_allowed)
        return self._transact(lambda transaction: self._skip(transaction, skip))

    def skip_all(self, skips: Iterable[NotCalled]) -> int:
        """Record that calls are not made, and why, some at a time; return of how many that was not known.

        :param skips: as for `skip`; one that stands there already, with this reason and instant, is not recorded anew
        """

        def step(transaction: Transaction) -> int:
            keys = [self._key_of(skip.intent) for skip in some]
            rows = transaction.rows(
                "SELECT intent_key, state, reason_code, reason, next_allowed FROM wolkvox_calls "
                "WHERE intent_key IN :keys",
                keys=keys,
            )
            known = {row.intent_key: (row.state, row.reason_code, row.reason, row.next_allowed) for row in rows}
            longest = schema.LENGTHS["reason"]
            return sum(
                self._skip(transaction, skip)
                for key, skip in zip(keys, some, strict=True)
                if known.get(key) != (CallState.SKIPPED.value, skip.code, skip.reason[:longest], _ms(skip.next_allowed))
            )

        recorded, left = 0, iter(skips)
        while some := list(itertools.islice(left, _SKIPPED_AT_ONCE)):
            recorded += self._transact(step)
        return recorded

    def take_lease(self, token: str, owner: str, ttl: float) -> Lease | Held:
        """Take a token's lease if it is free; see `Ledger.take_lease`, also for `ttl`, in seconds."""
        began = time.monotonic()

        def step(transaction: Transaction) -> Lease | Held:
            given = {"token": self._digest("token", token), "owner": owner, "ttl": round(ttl * 1000)}
            taken = transaction.change(
                "UPDATE wolkvox_leases SET owner = :owner, number = number + 1, deadline = {now} + :ttl, since = {now} "
                "WHERE token = :token AND (owner = '' OR owner = :owner OR deadline <= {now})",
                **given,
            )
            row = transaction.row(
                "SELECT owner, number, deadline - {now} AS remains FROM wolkvox_leases WHERE token = :token",
                token=given["token"],
            )
            if row is None:
                # If another process does so at this moment, the transaction is begun anew.
                transaction.change(
                    "INSERT INTO wolkvox_leases (token, owner, number, deadline, since) "
                    "VALUES (:token, :owner, 1, {now} + :ttl, {now})",
                    **given,
                )
            elif not taken:
                return Held(row.owner, max(row.remains, 0) / 1000)
            return Lease(self._digest("token", token), owner, row.number if row else 1, began + ttl)

        return self._transact(step)

    def renew_lease(self, lease: Lease, ttl: float) -> Lease | None:
        """Return the lease with a later deadline; None if it passed to another owner.

        :param lease: the lease
        :param ttl: for how many seconds from now
        """
        return self._transact(lambda transaction: self._renew(transaction, lease, ttl))

    def give_back(self, lease: Lease) -> None:
        """Let others take the token at once; see `Ledger.give_back`."""
        self._transact(
            lambda transaction: transaction.change(
                "UPDATE wolkvox_leases SET owner = '', deadline = 0 "
                "WHERE token = :token AND owner = :owner AND number = :number",
                token=lease.token,
                owner=lease.owner,
                number=lease.number,
            )
        )

    def close(self) -> None:
        """Close the connection; the next question opens another one."""
        self._database.close()

    # What people and pages ask

    def settle_by_person(self, intent_key: str, state: CallState, actor: str, reason: str, conn_id: str = "") -> bool:
        """Record what a person found out of a call in doubt; return False if it is not in doubt (any more).

        :param intent_key: the call's, as messages and lists show it
        :param state: `accepted` or `not_sent`
        :param actor: who the person is
        :param reason: how they know
        :param conn_id: wolkvox's id of an accepted call, if known

        :raises ValueError: no person can find out such a state
        """
        if state not in (CallState.ACCEPTED, CallState.NOT_SENT):
            raise ValueError(f"A person settles a call as accepted or as not_sent, not as {state.value}.")

        def step(transaction: Transaction) -> bool:
            settled = transaction.change(
                "UPDATE wolkvox_calls SET state = :state, conn_id = :conn_id, reason_code = 'person', "
                "reason = :reason, settled_at = {now} WHERE intent_key = :intent_key AND state = 'intent'",
                intent_key=intent_key,
                state=state.value,
                conn_id=conn_id,
                reason=reason,
            )
            if settled:
                attempt = Claimed(intent_key, self._look(transaction, intent_key).attempt_id, Origin())
                self._append(transaction, attempt, state, actor, "person", reason)
            return bool(settled)

        return self._transact(step)

    def release(self, intent_key: str, actor: str, reason: str) -> bool:
        """Allow a call to be made once more, whatever came of it; return False if nothing is known of it.

        What is known stays, under another key, and caps count it.

        :param intent_key: the call's, as messages and lists show it
        :param actor: who decided so
        :param reason: why
        """

        def step(transaction: Transaction) -> bool:
            before = _entry_or_none(self._look(transaction, intent_key))
            if before is None:
                return False
            attempt = Claimed(intent_key, before.attempt_id, Origin())
            self._append(transaction, attempt, before.state, actor, "released", reason)
            moved = {"before": intent_key, "after": secrets.token_hex(16)}
            transaction.change(
                "UPDATE wolkvox_calls SET intent_key = :after, reason_code = 'released' WHERE intent_key = :before",
                **moved,
            )
            transaction.change("UPDATE wolkvox_events SET intent_key = :after WHERE intent_key = :before", **moved)
            return True

        return self._transact(step)

    def record_outcome(self, conn_id: str, result: str, seconds: int | None, disposition: str = "") -> bool:
        """Record what a report shows of an accepted call; return False if the ledger does not know the call.

        :param conn_id: wolkvox's id of the call
        :param result: the report's word
        :param seconds: how long it took
        :param disposition: the agent's code for it
        """
        changed = self._transact(
            lambda transaction: transaction.change(
                "UPDATE wolkvox_calls SET result = :result, seconds = :seconds, disposition = :disposition "
                "WHERE conn_id = :conn_id AND state = 'accepted'",
                conn_id=conn_id,
                result=result,
                seconds=seconds,
                disposition=disposition,
            )
        )
        return bool(changed)

    def find(
        self,
        *,
        states: Sequence[CallState] = (),
        dag_id: str = "",
        run_id: str = "",
        task_id: str = "",
        map_index: int | None = None,
        campaign_id: str = "",
        agent_id: str = "",
        customer: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        after: Entry | None = None,
        limit: int = 50,
    ) -> list[Entry]:
        """Return calls, latest first; what is left at its default does not narrow them.

        :param states: any of these
        :param dag_id: asked for by this DAG
        :param run_id: in this run of it
        :param task_id: by this task
        :param map_index: of this index; -1 for a task that is not mapped
        :param campaign_id: of this campaign
        :param agent_id: of this agent
        :param customer: to this customer, by the canonical number
        :param since: claimed or decided then or later, aware
        :param until: claimed or decided before, aware
        :param after: the last one of the page before
        :param limit: how many calls at most
        """

        def read(transaction: Transaction) -> list[Entry]:
            hashed = self._digest("customer", customer) if customer else ""
            equal = {
                "dag_id": dag_id,
                "run_id": run_id,
                "task_id": task_id,
                "campaign_id": campaign_id,
                "agent_id": agent_id,
                "customer": hashed,
            }
            given: dict[str, Any] = {name: value for name, value in equal.items() if value}
            if map_index is not None:
                given["map_index"] = map_index
            clauses = [f"c.{name} = :{name}" for name in given]
            if states:
                clauses.append(f"c.state IN ({', '.join(repr(state.value) for state in states)})")
            if since is not None:
                clauses.append("c.intent_at >= :since")
            if until is not None:
                clauses.append("c.intent_at < :until")
            if after is not None:
                clauses.append("(c.intent_at < :at OR (c.intent_at = :at AND c.intent_key < :intent_key))")
                given |= {"at": _ms(after.at), "intent_key": after.intent_key}
            moments = {name: _ms(at) for name, at in (("since", since), ("until", until)) if at is not None}
            # Every value is bound; the clauses are ours.
            rows = transaction.rows(
                f"{_SELECT} {'WHERE' if clauses else ''} {' AND '.join(clauses)} "
                "ORDER BY c.intent_at DESC, c.intent_key DESC LIMIT :most",
                most=limit,
                **moments,
                **given,
            )
            return [_entry(row) for row in rows]

        return self._transact(read, reads=True)

    def events(self, intent_key: str) -> list[Event]:
        """Return a call's history, earliest first.

        :param intent_key: the call's
        """
        rows = self._transact(
            lambda transaction: transaction.rows(
                "SELECT * FROM wolkvox_events WHERE intent_key = :intent_key ORDER BY id", intent_key=intent_key
            ),
            reads=True,
        )
        return [
            Event(
                intent_key=row.intent_key,
                attempt_id=row.attempt_id,
                state=CallState(row.state),
                at=_utc(row.at),
                actor=row.actor,
                reason_code=row.reason_code,
                reason=row.reason,
            )
            for row in rows
        ]

    def status(self) -> dict[str, Any]:
        """Return `backend`, `version`, `epoch`, `restored_at`, `counts` by state and `oldest_open`, an entry if any."""

        def read(transaction: Transaction) -> dict[str, Any]:
            row = self._look(transaction, "")
            counted = transaction.rows("SELECT state, COUNT(*) AS calls FROM wolkvox_calls GROUP BY state")
            counts = {found.state: found.calls for found in counted}
            oldest = transaction.row(
                f"{_SELECT} WHERE c.state = 'intent' AND c.reason_code <> 'released' ORDER BY c.intent_at LIMIT 1"
            )
            dialect = transaction.connection.dialect
            return {
                "backend": " ".join([dialect.name, ".".join(map(str, dialect.server_version_info or ()))]),
                "version": row.version,
                "epoch": row.epoch,
                "restored_at": _utc(row.restored_at) if row.restored_at else None,
                "counts": {state.value: counts.get(state.value, 0) for state in CallState},
                "oldest_open": None if oldest is None else _entry(oldest),
            }

        return self._transact(read, reads=True)

    def register(self, namespace: str, deployment: str) -> None:
        """Record that a deployment writes to the ledger.

        :param namespace: its `[wolkvox] namespace`
        :param deployment: its random id
        """
        given = {"namespace": namespace, "deployment": deployment}
        self._transact(
            lambda transaction: transaction.upsert("wolkvox_deployments", tuple(given), given, always="last_seen")
        )

    def deployments(self, since: datetime) -> dict[str, list[str]]:
        """Return the ids of the deployments that write to the ledger, by namespace.

        :param since: seen then or later, aware
        """
        rows = self._transact(
            lambda transaction: transaction.rows(
                "SELECT namespace, deployment FROM wolkvox_deployments WHERE last_seen >= :since", since=_ms(since)
            ),
            reads=True,
        )
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(row.namespace, []).append(row.deployment)
        return found

    # What is done to the ledger as a whole

    def init(self) -> tuple[int, int]:
        """Make the tables or bring them to this program's version; return the version before and after.

        :raises LedgerUnusable: the tables are of a newer version
        """
        key = self._given_key or secrets.token_hex(32)

        def step(transaction: Transaction) -> tuple[int, int]:
            kept = "" if self._given_key else key
            before, after = schema.migrate(transaction, hash_key=kept, hash_check=_hmac(key.encode(), "check"))
            _require_version(after)
            return before, after

        return self._database.transact(step)

    def purge(self, older_than: timedelta) -> int:
        """Delete settled calls with their history, some at a time; return how many. Calls in doubt stay.

        :param older_than: how old they must be; at least 30 days

        :raises ValueError: `older_than` is less
        """
        if older_than < LEAST_AGE_OF_PURGED:
            raise ValueError(
                f"The ledger keeps each call for at least {LEAST_AGE_OF_PURGED.days} days: caps count it, and whoever "
                "clears its run would ring the customer again."
            )
        age, purged = _whole_ms(older_than), 0
        while some := self._transact(lambda transaction: self._purge(transaction, age)):
            purged += some
        self._transact(
            lambda transaction: transaction.change(
                "DELETE FROM wolkvox_customers WHERE seen_at < {now} - :age AND NOT EXISTS "
                "(SELECT 1 FROM wolkvox_calls c WHERE c.customer = wolkvox_customers.customer)",
                age=age,
            )
        )
        return purged

    def restored(self) -> int:
        """Begin a new epoch, after the database was restored from a backup; return its number.

        A run that was due before makes no call any more: it may have been made, and the backup does not show it.
        """

        def step(transaction: Transaction) -> int:
            transaction.change("UPDATE wolkvox_ledger SET epoch = epoch + 1, restored_at = {now} WHERE id = 1")
            transaction.change("UPDATE wolkvox_leases SET owner = '', deadline = 0")
            return int(self._look(transaction, "").epoch)

        return self._transact(step)

    # One transaction's parts

    def _claim(
        self, transaction: Transaction, intent: Intent, caps: Sequence[Cap], attempt_id: str, lease: Lease | None
    ) -> ClaimResult:
        key, customer = self._key_of(intent), self._customer_of(intent)
        if customer:
            # The lock under which caps are counted.
            transaction.upsert("wolkvox_customers", ("customer",), {"customer": customer}, always="seen_at")
        row = self._look(transaction, key)
        claimed = Claimed(key, attempt_id, intent.origin, lease)
        before = _entry_or_none(row)
        if before is not None:
            if before.attempt_id == attempt_id and before.state is CallState.INTENT:
                return claimed
            if differing := self._differing(row, intent):
                return differing
            if before.state is CallState.ACCEPTED:
                return AlreadyAccepted(before)
            if before.state is CallState.INTENT:
                return InDoubt(before)
        if intent.due is not None and _milliseconds(intent.due) < row.restored_at:
            return DueBeforeRestore(_utc(row.restored_at))
        if caps and customer:
            over = allowed_from(caps, self._calls_to(transaction, customer, caps), _utc(row.now))
            if over:
                return OverCap(*over)
        self._write(transaction, intent, before, claimed, CallState.INTENT)
        self._append(transaction, claimed, CallState.INTENT, intent.origin)
        return claimed

    def _differing(self, row: Any, intent: Intent) -> DifferentArguments | None:
        """Return what a key stands for that is not asked for now; None if that is the same."""
        if CallState(row.state) is CallState.SKIPPED and not row.attempts:
            # Nothing was ever sent under this key.
            return None
        # Whatever came of the call: an action and a customer never change under one key.
        compared = {"action": intent.action, "customer": self._customer_of(intent)}
        if CallState(row.state).may_have_rung:
            compared["arguments"] = self._digest("arguments", *intent.arguments)
        differs = next((name for name, value in compared.items() if getattr(row, name) != value), None)
        return DifferentArguments(_entry(row), differs) if differs else None

    def _calls_to(self, transaction: Transaction, customer: str, caps: Sequence[Cap]) -> list[datetime]:
        rows = transaction.rows(
            "SELECT intent_at FROM wolkvox_calls WHERE customer = :customer AND state IN ('intent', 'accepted') "
            "ORDER BY intent_at DESC LIMIT :most",
            customer=customer,
            most=max(cap.calls for cap in caps),
        )
        return [_utc(row.intent_at) for row in rows]

    def _write(
        self,
        transaction: Transaction,
        intent: Intent,
        before: Entry | None,
        attempt: Claimed,
        state: CallState,
        **known: Any,
    ) -> None:
        """Write a call's row: a new one, or over one of which it is certain that no phone rang."""
        values: dict[str, Any] = {
            **dict.fromkeys(_WRITTEN, ""),
            **{"answer": None, "next_allowed": None, "seconds": None},
            **{"intent_key": attempt.intent_key, "attempt_id": attempt.attempt_id, "state": state.value},
            **{"customer": self._customer_of(intent), "arguments": self._digest("arguments", *intent.arguments)},
            **{
                name: getattr(intent, name) for name in ("action", "phone", "agent_id", "what", "campaign_id", "server")
            },
            **{name: getattr(intent.origin, name) for name in _ORIGIN},
            "attempts": 1 if attempt.attempt_id else 0,
            **known,
        }
        settled = "NULL" if state is CallState.INTENT else "{now}"
        if before is None:
            transaction.change(
                f"INSERT INTO wolkvox_calls ({', '.join(values)}, created_at, intent_at, settled_at) "  # noqa: S608
                f"VALUES ({', '.join(f':{name}' for name in values)}, {{now}}, {{now}}, {settled})",
                **values,
            )
            return
        fixed = () if before.attempts == 0 else ("action", "customer")
        for name in fixed:
            del values[name]
        changed = (*_WRITTEN, *(name for name in ("action", "customer") if name in values))
        written = transaction.change(
            f"UPDATE wolkvox_calls SET {', '.join(f'{name} = :{name}' for name in changed)}, "  # noqa: S608
            f"attempts = attempts + :attempts, intent_at = {{now}}, settled_at = {settled} "
            "WHERE intent_key = :intent_key AND attempt_id = :attempt_before AND state = :state_before",
            attempt_before=before.attempt_id,
            state_before=before.state.value,
            **values,
        )
        if not written:
            raise LostRace

    def _skip(self, transaction: Transaction, skip: NotCalled) -> bool:
        key = self._key_of(skip.intent)
        row = self._look(transaction, key)
        before = _entry_or_none(row)
        if before and (before.state.may_have_rung or self._differing(row, skip.intent)):
            return False
        attempt = Claimed(key, "", skip.intent.origin)
        given = {"reason_code": skip.code, "reason": skip.reason, "next_allowed": _ms(skip.next_allowed)}
        self._write(transaction, skip.intent, before, attempt, CallState.SKIPPED, **given)
        self._append(transaction, attempt, CallState.SKIPPED, skip.intent.origin, skip.code, skip.reason)
        return True

    def _settle(self, transaction: Transaction, settlement: Settlement) -> bool:
        attempt, state = settlement.claimed, settlement.state
        if state is CallState.INTENT:
            raise ValueError("An attempt is never settled as an intent.")
        settled = transaction.change(
            "UPDATE wolkvox_calls SET state = :state, conn_id = :conn_id, answer = :answer, "
            "reason_code = :reason_code, reason = :reason, next_allowed = :next_allowed, settled_at = {now} "
            "WHERE intent_key = :intent_key AND attempt_id = :attempt_id AND state = 'intent'",
            intent_key=attempt.intent_key,
            attempt_id=attempt.attempt_id,
            state=state.value,
            conn_id=settlement.conn_id,
            answer=None if settlement.answer is None else json.dumps(settlement.answer),
            reason_code=settlement.reason_code,
            reason=settlement.reason,
            next_allowed=_ms(settlement.next_allowed),
        )
        if settled:
            self._append(transaction, attempt, state, attempt.origin, settlement.reason_code, settlement.reason)
            return True
        row = self._look(transaction, attempt.intent_key)
        return bool(row.attempt_id == attempt.attempt_id and row.state == state.value)

    def _renew(self, transaction: Transaction, lease: Lease, ttl: float) -> Lease | None:
        began = time.monotonic()
        renewed = transaction.change(
            "UPDATE wolkvox_leases SET deadline = {now} + :ttl "
            "WHERE token = :token AND owner = :owner AND number = :number",
            token=lease.token,
            owner=lease.owner,
            number=lease.number,
            ttl=round(ttl * 1000),
        )
        return Lease(lease.token, lease.owner, lease.number, began + ttl) if renewed else None

    def _append(
        self,
        transaction: Transaction,
        attempt: Claimed,
        state: CallState,
        actor: Origin | str,
        reason_code: str = "",
        reason: str = "",
    ) -> None:
        transaction.change(
            "INSERT INTO wolkvox_events (intent_key, attempt_id, state, try_number, actor, at, reason_code, reason) "
            "VALUES (:intent_key, :attempt_id, :state, :try_number, :actor, {now}, :reason_code, :reason)",
            intent_key=attempt.intent_key,
            attempt_id=attempt.attempt_id,
            state=state.value,
            try_number=attempt.origin.try_number,
            actor=str(actor),
            reason_code=reason_code,
            reason=reason,
        )

    def _purge(self, transaction: Transaction, age: int) -> int:
        old = "state <> 'intent' AND intent_at < {now} - :age"
        # Every value is bound.
        rows = transaction.rows(
            f"SELECT intent_key FROM wolkvox_calls WHERE {old} LIMIT :most",  # noqa: S608
            age=age,
            most=_PURGED_AT_ONCE,
        )
        keys = {row.intent_key for row in rows}
        if not keys:
            return 0
        # Asked again: one may have been claimed since.
        transaction.change(
            f"DELETE FROM wolkvox_calls WHERE intent_key IN :keys AND {old}",  # noqa: S608
            keys=sorted(keys),
            age=age,
        )
        left = transaction.rows("SELECT intent_key FROM wolkvox_calls WHERE intent_key IN :keys", keys=sorted(keys))
        gone = sorted(keys - {row.intent_key for row in left})
        transaction.change("DELETE FROM wolkvox_events WHERE intent_key IN :keys", keys=gone)
        return len(gone)

    def _look(self, transaction: Transaction, key: str) -> Any:
        """Return a row with `now`, the ledger's own columns and those of a call, which are None if there is none."""
        row = transaction.row(
            f"SELECT {{now}} AS now, l.version, l.epoch, l.restored_at, {_COLUMNS} FROM wolkvox_ledger l "  # noqa: S608
            "LEFT JOIN wolkvox_calls c ON c.intent_key = :intent_key WHERE l.id = 1",
            intent_key=key,
        )
        _require_version(0 if row is None else row.version)
        return row

    def _transact(self, work: Callable[[Transaction], T], *, reads: bool = False) -> T:
        def known(transaction: Transaction) -> T:
            if not self._key:
                self._read_key(transaction)
            return work(transaction)

        return self._database.transact(known, reads=reads)

    # Hashes

    def _key_of(self, intent: Intent) -> str:
        return self._digest("key", *intent.key)

    def _customer_of(self, intent: Intent) -> str:
        return self._digest("customer", intent.customer) if intent.customer else ""

    def _digest(self, *parts: str) -> str:
        return _hmac(self._key, *parts)

    def _read_key(self, transaction: Transaction) -> None:
        row = transaction.row("SELECT version, hash_key, hash_check FROM wolkvox_ledger WHERE id = 1")
        _require_version(0 if row is None else row.version)
        key = (self._given_key or row.hash_key).encode()
        if not hmac.compare_digest(_hmac(key, "check"), row.hash_check):
            raise LedgerUnusable(
                "The ledger's hash_secret is not the one that it was made with, so no customer would be recognized. "
                "Give the extra hash_secret of its connection the value of the other deployments. No call was made."
            )
        self._key = key


def _require_version(version: int) -> None:
    """Accept tables of this program's version only.

    :raises LedgerUnusable: they are of another one
    """
    if version == 0:
        raise LedgerUnusable(NOT_INITIALIZED)
    if version < schema.current():
        raise LedgerUnusable(
            f"The ledger's tables have version {version}, and this provider needs {schema.current()}. Upgrade them: "
            "`airflow wolkvox ledger init`. No call was made."
        )
    if version > schema.current():
        raise LedgerUnusable(
            f"The ledger's tables have version {version}, and this provider knows versions up to {schema.current()}. "
            "Upgrade the provider in this deployment. No call was made."
        )


def _hmac(key: bytes, *parts: str) -> str:
    return hmac.new(key, json.dumps(parts).encode(), hashlib.sha256).hexdigest()[:32]


def _utc(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _whole_ms(length: timedelta) -> int:
    return length // timedelta(milliseconds=1)


def _milliseconds(at: datetime) -> int:
    # Not by a timedelta: Airflow's instants are pendulum's, whose differences cannot be divided by one.
    return round(at.timestamp() * 1000)


def _ms(at: datetime | None) -> int | None:
    return None if at is None else _milliseconds(at)


def _entry_or_none(row: Any) -> Entry | None:
    return None if row.intent_key is None else _entry(row)


def _entry(row: Any) -> Entry:
    as_they_are = (
        "intent_key",
        "attempt_id",
        "attempts",
        "action",
        "agent_id",
        "phone",
        "what",
        "campaign_id",
        "server",
    )
    said = ("conn_id", "reason_code", "reason", "result", "seconds", "disposition")
    return Entry(
        state=CallState(row.state),
        origin=Origin(**{name: getattr(row, name) for name in _ORIGIN}),
        at=_utc(row.intent_at),
        settled_at=None if row.settled_at is None else _utc(row.settled_at),
        next_allowed=None if row.next_allowed is None else _utc(row.next_allowed),
        answer=None if row.answer is None else json.loads(row.answer),
        **{name: getattr(row, name) for name in (*as_they_are, *said)},
    )
