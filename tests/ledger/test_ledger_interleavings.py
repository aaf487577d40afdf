"""Every interleaving of two tries with a kill at every step, by the real engine over the real ledger.

A try is paused after each thing that it does in the world. A kill is a try that takes no further step, so all schedules
of all kills are all ways to interleave the beginnings of two tries. Afterwards a third try comes, as a retry does.
Nobody rings twice, and no ring is lost.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations, product
from typing import Any

import pytest
from intents import intent, origin
from sqlalchemy import event

from airflow_provider_wolkvox.api import NotSent, OutcomeUnknown, Refused
from airflow_provider_wolkvox.at_most_once import AtMostOnce
from airflow_provider_wolkvox.calling.caps import Cap
from airflow_provider_wolkvox.ledger.database import engine_of
from airflow_provider_wolkvox.ledger.entry import CallState, Entry, Intent
from airflow_provider_wolkvox.ledger.sql import SqlLedger
from airflow_provider_wolkvox.not_done import NotDone, Then, Words

# known, take_lease, claim, the ring, settle
STEPS = 5
WORDS = Words("call", "customer", "no phone rang", "the phone may have rung", "look for the call", "ring")


class Telephone:
    """Stands in for wolkvox: counts rings, and answers as it is told."""

    def __init__(self, answer: CallState) -> None:
        self.answer = answer
        self.rings: Counter[str] = Counter()
        self.requests = 0

    def call(self, customer: str) -> CallState:
        self.requests += 1
        answer = self.answer
        if answer in (CallState.ACCEPTED, CallState.INTENT):
            self.rings[customer] += 1
        # Otherwise the first time only.
        self.answer = CallState.ACCEPTED
        return answer


class Killed(BaseException):
    """What a killed process does next."""


class Try:
    """One run of the engine, in a thread that stops after each step until it is asked for the next one."""

    def __init__(self, ledger: SqlLedger, telephone: Telephone, asked: Intent, name: str, caps: list[Cap]) -> None:
        self.end: Entry | BaseException | None = None
        self.is_killed = False
        self._telephone = telephone
        self._asked = asked
        self._name = name
        self._caps = caps
        self._engine = AtMostOnce(Paused(ledger, self), self, self, logging.getLogger("tries"))
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._thread: threading.Thread | None = None

    def step(self) -> None:
        """Do the next thing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        elif self.end is None:
            self._go.release()
        else:
            return
        self._stopped.acquire()

    def kill(self) -> None:
        """Let it do nothing more; what it would clean up stays as it is."""
        self.is_killed = True
        if self._thread is not None:
            self._go.release()
            self._thread.join()

    def to_its_end(self) -> Entry | BaseException | None:
        """Do all that is left."""
        self.step()
        while self._thread is not None and self.end is None:
            self.step()
        return self.end

    def pause(self) -> None:
        self._stopped.release()
        self._go.acquire()
        if self.is_killed:
            raise Killed

    def _run(self) -> None:
        try:
            self.end = self._engine.run(self._asked, self._send)
        except BaseException as ended:
            self.end = ended
        self._stopped.release()

    def _send(self, *, before_sending: Any, before_resending: Any) -> dict[str, str]:
        before_sending()
        answer = self._telephone.call(self._asked.customer)
        self.pause()
        if answer is CallState.REFUSED:
            raise Refused("aux_call", "404", "NOT FOUND", "no such agent")
        if answer is CallState.NOT_SENT:
            raise NotSent("aux_call", "the server closed the connection")
        if answer is CallState.INTENT:
            raise OutcomeUnknown("aux_call", "no answer")
        return {"conn_id": "7.1"}

    # What the engine asks of a task

    words = WORDS

    def superseded(self) -> None:
        return None

    def require_allowed(self) -> None:
        return None

    def token(self) -> tuple[str, float]:
        # One each: the claim alone has to keep the two apart.
        return f"token of {self._name}", 60.0

    def caps(self, *, counted: bool) -> list[Cap]:
        assert counted
        return self._caps

    def put_off(self, code: str, why: str, opens: Any) -> NotDone:
        return NotDone(why, Then.SKIP, code=code, reason=why, until=opens)

    def look_up(self, entry: Entry, *, remembered: bool) -> None:
        assert remembered

    def release(self, entry: Entry | None) -> str:
        return "release it"

    def settle(self, entry: Entry) -> str:
        return "settle it"

    def where_to_look(self, entry: Entry) -> str:
        return ""


class Paused:
    """The ledger as one try uses it."""

    def __init__(self, ledger: SqlLedger, of: Try) -> None:
        self._ledger = ledger
        self._try = of

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._ledger, name)
        if not callable(real):
            return real

        def call(*args: Any, **options: Any) -> Any:
            if self._try.is_killed:
                raise Killed
            found = real(*args, **options)
            if name in ("known", "take_lease", "claim", "settle"):
                self._try.pause()
            return found

        return call


def schedules() -> Iterator[tuple[int, ...]]:
    """All ways to interleave the first steps of two tries, however many of each."""
    for one, two in product(range(STEPS + 1), repeat=2):
        for places in combinations(range(one + two), one):
            yield tuple(0 if place in places else 1 for place in range(one + two))


@pytest.fixture
def ledgers(tmp_path) -> Iterator[list[SqlLedger]]:
    """One ledger, as three processes see it."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with contextlib.ExitStack() as undo:
        engines = [engine_of(url) for _ in range(3)]
        for engine in engines:
            # A power cut is none of the faults here, and waiting for the disk takes most of the time.
            event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
        found = [undo.enter_context(contextlib.closing(SqlLedger(engine))) for engine in engines]
        found[0].init()
        yield found


@pytest.mark.parametrize("answer", [CallState.ACCEPTED, CallState.REFUSED, CallState.NOT_SENT, CallState.INTENT])
@pytest.mark.parametrize("same_key", [True, False], ids=["one call", "two calls to one customer under a cap of one"])
def test_no_schedule_of_two_tries_and_any_kills_rings_twice_or_loses_a_ring(ledgers, answer, same_key):
    made = 0
    for number, schedule in enumerate(schedules()):
        made += 1
        telephone, customer = Telephone(answer), f"3005{number:06}"
        asked = [
            intent(
                f"{number}" if same_key or not which else f"{number} b", customer=customer, origin=origin(f"t{which}")
            )
            for which in (0, 1)
        ]
        caps = [] if same_key else [Cap(1, timedelta(hours=24))]
        tries = [Try(ledgers[which], telephone, asked[which], f"{number} {which}", caps) for which in (0, 1)]
        for which in schedule:
            tries[which].step()
        for each in tries:
            each.kill()
        assert telephone.rings[customer] <= 1, schedule

        end = Try(ledgers[2], telephone, asked[0], f"{number} 2", caps).to_its_end()

        assert telephone.rings[customer] <= 1, schedule
        told = [entry.state for entry in ledgers[2].known(asked) if isinstance(entry, Entry)]
        if telephone.rings[customer]:
            assert CallState.ACCEPTED in told or CallState.INTENT in told, schedule
        # Never silence: the last try has called, knows of the ring, or says why it did not call.
        if isinstance(end, NotDone):
            assert str(end), schedule
            assert end.then in (Then.FAIL, Then.RETRY, Then.SKIP, Then.WAIT), schedule
        else:
            assert end is not None, schedule
            assert end.state is CallState.ACCEPTED, schedule
        if telephone.requests == 0:
            # Claimed, and killed before the request: in doubt, since nobody can tell.
            assert CallState.INTENT in told, schedule
    assert made == 923
