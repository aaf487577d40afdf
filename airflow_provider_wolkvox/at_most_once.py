"""The life of one request that must not be made twice: a call, a recall, an upload. Read `AtMostOnce` top to bottom.

Knows no Airflow. What a task knows stands behind `Checks`, how it speaks of the request behind `Messages`, and what was
done before behind `Ledger`.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from airflow_provider_wolkvox.ledger.base import SETTLED_OTHERWISE, LedgerError, UnreadableEntry
from airflow_provider_wolkvox.ledger.entry import (
    AlreadyAccepted,
    CallState,
    Claimed,
    DifferentArguments,
    DueBeforeRestore,
    Entry,
    Held,
    InDoubt,
    Intent,
    Lease,
    OverCap,
    Settlement,
)
from airflow_provider_wolkvox.not_done import NotDone, Then, sentence

if TYPE_CHECKING:
    from airflow_provider_wolkvox.api import NotSent, TokenBusy
    from airflow_provider_wolkvox.calling.caps import Cap
    from airflow_provider_wolkvox.ledger.base import Ledger
    from airflow_provider_wolkvox.ledger.entry import Origin
    from airflow_provider_wolkvox.not_done import Words

LEASE_WAIT: Final = 30.0
"""How long a task waits for a token that another process uses, in seconds, before it gives its slot back."""

# After which a request that nobody settled is no more under way: twice the usual whole time-out.
_UNDER_WAY: Final = timedelta(seconds=120)
_LEASE_POLL: Final = 0.25
_LEASE_AGAIN: Final = timedelta(seconds=30)


class Send(Protocol):
    """Makes the request, and returns what the ledger is to keep of an accepted one: `conn_id` or `answer`."""

    def __call__(
        self, *, before_sending: Callable[[], None], before_resending: Callable[[NotSent | TokenBusy], None]
    ) -> Mapping[str, Any]:
        """Make the request; the two callables are the client's.

        :param before_sending: called in every try right before the first byte; what it raises ends the request unsent
        :param before_resending: called with what ended a try that certainly did nothing, if another one follows
        """


class Checks(Protocol):
    """What a task knows about whether its request may be made now."""

    def superseded(self) -> str | None:
        """Return why this process is not the task's any more; None if it is."""

    def require_allowed(self) -> None:
        """Refuse what must not be asked for now.

        :raises NotDone: it must not
        """

    def token(self) -> tuple[str, float]:
        """Return the token, and for how many seconds one request may use it."""

    def caps(self, *, counted: bool) -> Sequence[Cap]:
        """Return how often the customer may be called.

        :param counted: whether the ledger can count
        :raises NotDone: it cannot, and the author relies on it
        """

    def put_off(self, code: str, why: str, opens: datetime) -> NotDone:
        """Return what to do about a request that may be made later.

        :param code: why, for programs
        :param why: why, for people
        :param opens: when it may be made, aware
        """

    def look_up(self, entry: Entry, *, remembered: bool) -> str | None:
        """Return wolkvox's id of a call in doubt, if its reports show it; None if they do not, or nobody is to look.

        :param entry: what the ledger knows of it
        :param remembered: whether a later try will still know of it
        :raises NotDone: they may show it later, and the task looks again then
        """


class Messages(Protocol):
    """How a task speaks of its request, and of what a person can do."""

    @property
    def words(self) -> Words:
        """The words for it."""

    def release(self, entry: Entry | None) -> str:
        """Return how a person has the request made once more, without a full stop.

        :param entry: what the ledger knows of it; None if nothing
        """

    def settle(self, entry: Entry) -> str:
        """Return how a person records what came of a request in doubt, without a full stop.

        :param entry: what the ledger knows of it
        """

    def where_to_look(self, entry: Entry) -> str:
        """Return the command that looks for the request in wolkvox's reports, as a sentence; empty if there is none.

        :param entry: what the ledger knows of it
        """


def take_over(ledger: Ledger, intent: Intent, state: CallState, conn_id: str = "", answer: Any = None) -> bool:
    """Record in a ledger what another memory knows of a request; return False if the ledger knows something already.

    :param ledger: the ledger
    :param intent: the request
    :param state: `accepted` or `intent`
    :param conn_id: wolkvox's id of an accepted call
    :param answer: wolkvox's answer to an accepted request that is no call
    :raises LedgerError: it was not recorded
    """
    [known] = ledger.known([intent])
    # A decision not to call, made where the other memory could not be read, says nothing of what was done before.
    if known is not None and (isinstance(known, DifferentArguments) or known.attempts):
        return False
    claimed = ledger.claim(intent)
    if not isinstance(claimed, Claimed):
        return False
    reason = "taken over from Airflow's task state store"
    if state is CallState.ACCEPTED:
        ledger.settle(Settlement(claimed=claimed, state=state, conn_id=conn_id, answer=answer, reason=reason))
    else:
        ledger.mark_unknown(claimed, reason)
    return True


def under_way_until(entry: Entry, origin: Origin, now: datetime) -> datetime | None:
    """Return when a request in doubt must have ended that another task may be making at this moment; None if none may.

    :param entry: what the ledger knows of it
    :param origin: the task that asks
    :param now: the present instant, aware
    """
    until = entry.at + _UNDER_WAY
    is_anothers = replace(entry.origin, try_number=0) != replace(origin, try_number=0)
    is_open = entry.state is CallState.INTENT and not entry.reason_code
    return until if is_anothers and is_open and now < until else None


def lease_of(ledger: Ledger, token: str, seconds: float, words: Words) -> Lease:
    """Return the token's lease, for which this waits while another process has it.

    :param ledger: where it is kept
    :param token: the token
    :param seconds: for how long it is taken
    :param words: for what it is needed
    :raises NotDone: the other one did not give it back in `LEASE_WAIT` seconds
    :raises LedgerError: the ledger does not answer
    """
    owner = f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(8)}"
    latest = time.monotonic() + LEASE_WAIT
    while isinstance(lease := ledger.take_lease(token, owner, seconds), Held):
        if time.monotonic() >= latest:
            reason = "another process uses the token"
            raise NotDone(
                words.not_made(f"{reason}, and did not give it back in {LEASE_WAIT:.0f} seconds"),
                Then.WAIT,
                code="token_in_use",
                reason=reason,
                until=datetime.now(UTC) + _LEASE_AGAIN,
            )
        time.sleep(min(lease.seconds, _LEASE_POLL))
    return lease


class AtMostOnce:
    """Makes a request unless it was made already, or may have been.

    :param ledger: what was done before
    :param checks: what the task knows
    :param messages: how it speaks
    :param log: the task's logger
    :param allow_second_try: make the request although nothing tells whether an earlier try did; default False
    """

    def __init__(
        self, ledger: Ledger, checks: Checks, messages: Messages, log: Any, *, allow_second_try: bool = False
    ) -> None:
        self._ledger = ledger
        self._checks = checks
        self._messages = messages
        self._words = messages.words
        self._log = log
        self._allow_second_try = allow_second_try
        self._lease: Lease | None = None
        self._ttl = 0.0
        self._open: Entry | None = None
        self.entry: Entry | None = None
        """What is known of the request."""
        self.found_made: bool = False
        """Whether it was made before."""

    def run(self, intent: Intent, send: Send) -> Entry:
        """Make the request, and return what the ledger knows of the accepted one.

        :param intent: what is asked for
        :param send: makes the request
        :raises NotDone: it was not made, or nobody knows whether it was
        :raises Exception: what `send` raises that is no error of wolkvox's and no `ValueError`
        """
        made_before = self._made_before(intent)
        if made_before:
            return made_before
        try:
            return self._make(intent, send)
        except _KnownMeanwhile as found:
            return self._not_again(found.entry, intent)
        except NotDone as ended:
            if ended.code:
                self._record_why_not(intent, ended)
            raise

    def _made_before(self, intent: Intent) -> Entry | None:
        """Return what is known of a request that was accepted already; None if it may be made now."""
        with self._asking_the_ledger():
            known = self._ledger.known([intent])[0]
            why_incomplete = None if known else self._ledger.may_be_incomplete(intent)
        if isinstance(known, DifferentArguments):
            raise NotDone(self.about_another(known))
        self.entry = known
        if known is None:
            if why_incomplete and not self._allow_second_try:
                raise NotDone(self._may_have_been_made(why_incomplete))
        elif known.state.may_have_rung:
            return self._not_again(known, intent)
        return None

    def _make(self, intent: Intent, send: Send) -> Entry:
        from airflow_provider_wolkvox.api import ApiUnavailable, NotSent, OutcomeUnknown, Refused, TokenBusy

        def pre_send_check() -> None:
            lost = self._checks.superseded()
            if lost:
                raise NotDone(self._words.superseded(lost))
            self._checks.require_allowed()
            self._claim(intent)

        def record(failure: NotSent | TokenBusy | Refused | ApiUnavailable) -> None:
            state = CallState.REFUSED if isinstance(failure, Refused) else CallState.NOT_SENT
            self._settle(intent, state, code=state.value, reason=str(failure))

        try:
            self._checks.require_allowed()
            with self._leased():
                answer = send(before_sending=pre_send_check, before_resending=record)
        except (NotSent, TokenBusy, ApiUnavailable) as failure:
            record(failure)
            # Without a memory the next try could only refuse, and would hide the reason.
            again = self._ledger.remembers or self._allow_second_try
            raise NotDone(str(failure), Then.RETRY if again else Then.FAIL) from None
        except Refused as failure:
            record(failure)
            raise NotDone(str(failure)) from None
        except OutcomeUnknown as failure:
            return self._resolve(self._leave_in_doubt(intent, failure.why), intent)
        except (NotDone, _KnownMeanwhile):
            raise
        except Exception as failure:
            # Such as a number that cannot be right, hours without a time zone, a connection that Airflow does not
            # have, a store that is down. Once an intent stands, what an exception of any other kind proves is nothing.
            if self._open:
                self._leave_in_doubt(intent, type(failure).__name__)
                raise
            final = isinstance(failure, (ValueError, ImportError))
            reason = str(failure) if final else type(failure).__name__
            self._record_why_not(intent, NotDone(reason, code="arguments" if final else "error", reason=reason))
            if final:
                raise NotDone(str(failure)) from None
            raise
        made = self._settle(intent, CallState.ACCEPTED, **answer)
        lost = self._checks.superseded()
        if lost:
            raise NotDone(
                f"{lost}. The {self._words.request} was made: {made}. It is not reported to Airflow, where another try "
                "may have reported something else."
            )
        return made

    # The token

    @contextmanager
    def _leased(self) -> Iterator[None]:
        """Hold the token's lease, so that deployments that share a token take turns."""
        token, self._ttl = self._checks.token()
        with self._asking_the_ledger():
            self._lease = lease_of(self._ledger, token, self._ttl, self._words)
        try:
            yield
        finally:
            lease, self._lease = self._lease, None
            if lease:
                self._tell_the_ledger(lambda: self._ledger.give_back(lease))

    # The ledger

    def _claim(self, intent: Intent) -> None:
        """Record the intent right before the request is sent.

        :raises NotDone: it must not be sent
        """
        caps = self._checks.caps(counted=self._ledger.counts_caps) if intent.customer else ()
        with self._asking_the_ledger():
            claimed = self._ledger.claim(intent, caps, lease=self._lease, ttl=self._ttl if self._lease else 0.0)
        match claimed:
            case Claimed():
                self._lease = claimed.lease or self._lease
                self.entry = self._open = Entry.of(intent, claimed, CallState.INTENT, datetime.now(UTC))
            case AlreadyAccepted(entry) | InDoubt(entry):
                raise _KnownMeanwhile(entry)
            case DifferentArguments():
                raise NotDone(self.about_another(claimed))
            case OverCap(cap, next_allowed):
                raise self._checks.put_off("cap", f"the customer gets at most {cap}", next_allowed)
            case DueBeforeRestore(restored_at):
                reason = (
                    f"the ledger was restored from a backup at {restored_at:%Y-%m-%d %H:%M:%S} UTC, and this run was "
                    f"due before, so it may have made this {self._words.request} without the ledger's knowing"
                )
                raise NotDone(
                    f"{self._words.not_made(reason)} {sentence(self._words.look)} If it was not made, start a new run.",
                    code="restored",
                    reason=reason,
                )
            case _:
                reason = "the token's lease passed to another process"
                raise NotDone(self._words.not_made(reason), Then.RETRY, code="token_in_use", reason=reason)

    def _settle(
        self,
        intent: Intent,
        state: CallState,
        *,
        code: str = "",
        reason: str = "",
        conn_id: str = "",
        answer: Any = None,
    ) -> Entry:
        """Record what became of the request; trouble with the ledger changes nothing of what is reported."""
        attempt, self._open = self._open, None
        if attempt is None:
            # No intent was recorded: no connection came about.
            return self._record_why_not(intent, NotDone(reason, code=code, reason=reason))
        return self._close(
            replace(attempt, state=state, conn_id=conn_id, answer=answer, reason_code=code, reason=reason)
        )

    def _close(self, entry: Entry) -> Entry:
        self.entry = entry
        settlement = Settlement(
            claimed=_attempt_of(entry),
            state=entry.state,
            conn_id=entry.conn_id,
            answer=entry.answer,
            reason_code=entry.reason_code,
            reason=entry.reason,
        )
        if self._tell_the_ledger(lambda: self._ledger.settle(settlement)) is False:
            self._log.warning(SETTLED_OTHERWISE, entry.intent_key, entry.attempt_id)
        return entry

    def _leave_in_doubt(self, intent: Intent, reason: str) -> Entry:
        """Record why no response was received; the intent stands, and no later try sends the request on its own."""
        attempt = self._open or Entry.of(intent, Claimed("", "", intent.origin), CallState.INTENT, datetime.now(UTC))
        self._open = None
        self.entry = replace(attempt, reason_code="unknown", reason=reason)
        self._tell_the_ledger(lambda: self._ledger.mark_unknown(_attempt_of(attempt), reason))
        return self.entry

    def _record_why_not(self, intent: Intent, why: NotDone) -> Entry:
        self._tell_the_ledger(lambda: self._ledger.skip(intent, why.code, why.reason, why.until))
        entry = Entry.of(intent, Claimed("", "", intent.origin), CallState.SKIPPED, datetime.now(UTC))
        self.entry = replace(entry, reason_code=why.code, reason=why.reason, next_allowed=why.until)
        return self.entry

    @contextmanager
    def _asking_the_ledger(self) -> Iterator[None]:
        """Have no call follow where the ledger does not answer."""
        try:
            yield
        except UnreadableEntry as wrong:
            raise NotDone(f"{wrong}. No {self._words.request} was made. {self._messages.release(None)}.") from None
        except LedgerError as wrong:
            raise NotDone(f"{wrong} In this try, {self._words.nothing}.", Then.RETRY) from None

    def _tell_the_ledger(self, tell: Callable[[], Any]) -> Any:
        """Tell the ledger what is certain by now; if it does not take it, a later try is only more careful."""
        try:
            return tell()
        except LedgerError as failure:
            self._log.warning(
                "The ledger could not be written (%s); what should stand there: %s. An intent that stays there keeps "
                "later tries from sending the request on their own.",
                failure,
                self.entry,
            )
            return None

    # What is in doubt, and what was done before

    def _not_again(self, entry: Entry, intent: Intent) -> Entry:
        """Return what is known of a request that was made, or may have been."""
        if entry.state is CallState.INTENT:
            return self._resolve(entry, intent)
        self.entry, self.found_made = entry, True
        self._log.info(
            "This %s was already made: %s. It is not made again; what it gave is returned. %s.",
            self._words.request,
            entry,
            self._messages.release(entry),
        )
        return entry

    def _resolve(self, entry: Entry, intent: Intent) -> Entry:
        """Return what is known of a request in doubt, if what came of it can be found out."""
        self.entry = entry
        until = under_way_until(entry, intent.origin, datetime.now(UTC))
        if until:
            raise NotDone(
                f"Another task may be making this {self._words.request} at this moment: {entry}. This one looks again "
                f"once it must have ended. {sentence(self._words.nothing)}",
                Then.WAIT,
                until=until,
            )
        conn_id = self._checks.look_up(entry, remembered=self._ledger.remembers)
        if conn_id is None:
            self._fail_in_doubt(entry)
        return self._close(replace(entry, state=CallState.ACCEPTED, conn_id=conn_id))

    def _fail_in_doubt(self, entry: Entry) -> NoReturn:
        words = self._words
        what_to_do = (
            f" {self._messages.settle(entry)}. {self._messages.release(entry)}." if self._ledger.remembers else ""
        )
        raise NotDone(
            f"The outcome of this {words.request} is unknown: {entry}. {sentence(words.perhaps)} This task does not "
            f"{words.again} again on its own. {sentence(words.look)}{self._messages.where_to_look(entry)}{what_to_do}"
        )

    def about_another(self, found: DifferentArguments) -> str:
        """Return the words for a request in whose place another one was made.

        :param found: the other one
        """
        words = self._words
        differs = words.for_whom if found.differs == "customer" else f"{words.for_whom} or {found.differs}"
        release = self._messages.release(found.entry)
        return (
            f"What stands in the ledger in this {words.request}'s place is for another {differs}: {found.entry}. Which "
            f"{words.for_whom} stands behind a task or an idempotency_key must not change once something was sent (a "
            f"mapped task's list changed its order?). No {words.request} was made. {release}."
        )

    def _may_have_been_made(self, why: str) -> str:
        words = self._words
        release = f", or: {self._messages.release(None)}" if self._ledger.remembers else ""
        return (
            f"Earlier, {words.perhaps}: {why}. A ledger in SQL would know ([wolkvox] ledger_conn_id). No "
            f"{words.request} was made in this try. Look at the earlier tries' logs. {sentence(words.look)} "
            f"To {words.again} nevertheless, set allow_second_try=True on the task{release}."
        )


def _attempt_of(entry: Entry) -> Claimed:
    return Claimed(entry.intent_key, entry.attempt_id, entry.origin)


class _KnownMeanwhile(Exception):
    """Another process made the request since the first look into the ledger, or is making it."""

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self.entry = entry
