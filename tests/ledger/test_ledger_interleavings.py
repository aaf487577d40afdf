"""Every interleaving of two tries with a kill at every step, over the real ledger: nobody rings twice, no ring is lost.

A try is the life of a call, one step for each thing that it does in the world. A kill is a try that takes no further
step, so all schedules of all kills are all ways to interleave the beginnings of two tries. Afterwards a third try
comes, as a retry does.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations, product

import pytest
from intents import intent, origin, settled
from sqlalchemy import event

from airflow_provider_wolkvox.calling.caps import Cap
from airflow_provider_wolkvox.ledger.database import engine_of
from airflow_provider_wolkvox.ledger.entry import AlreadyAccepted, CallState, Claimed, InDoubt, Intent, Lease, OverCap
from airflow_provider_wolkvox.ledger.sql import SqlLedger

STEPS = 5
TTL = 60.0


class Telephone:
    """Stands in for wolkvox: counts rings, and answers as it is told."""

    def __init__(self, answer: CallState) -> None:
        self.answer = answer
        self.rings: Counter[str] = Counter()
        self.requests = 0

    def call(self, customer: str) -> CallState:
        self.requests += 1
        if self.answer is CallState.ACCEPTED:
            self.rings[customer] += 1
        # Refused, or not sent, the first time only.
        answer, self.answer = self.answer, CallState.ACCEPTED
        return answer


def a_try(
    ledger: SqlLedger, telephone: Telephone, asked: Intent, owner: str, caps: list[Cap], end: list
) -> Iterator[None]:
    """Do one step of a call's life each time that it is asked for one."""
    [known] = ledger.known([asked])
    yield
    if known and known.state.may_have_rung:
        end.append(known.state)
        return
    # A token each: the claim alone has to keep the two apart.
    token = f"token of {owner}"
    lease = ledger.take_lease(token, owner, TTL)
    yield
    if not isinstance(lease, Lease):
        end.append("held")
        return
    claimed = ledger.claim(asked, caps, lease=lease, ttl=TTL)
    yield
    if isinstance(claimed, Claimed):
        answer = telephone.call(asked.customer)
        yield
        ledger.settle(settled(claimed, answer, conn_id="7.1"))
        end.append(answer)
    else:
        end.append(claimed)
    ledger.give_back(lease)
    yield


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


@pytest.mark.parametrize("answer", [CallState.ACCEPTED, CallState.REFUSED, CallState.NOT_SENT])
@pytest.mark.parametrize("same_key", [True, False], ids=["one call", "two calls to one customer under a cap of one"])
def test_no_schedule_of_two_tries_and_any_kills_rings_twice_or_loses_a_ring(ledgers, answer, same_key):
    made = 0
    for number, schedule in enumerate(schedules()):
        made += 1
        telephone, ends = Telephone(answer), ([], [])
        customer = f"3005{number:06}"
        asked = [
            intent(
                f"{number}" if same_key or not which else f"{number} b", customer=customer, origin=origin(f"t{which}")
            )
            for which in (0, 1)
        ]
        caps = [] if same_key else [Cap(1, timedelta(hours=24))]
        tries = [a_try(ledgers[which], telephone, asked[which], f"p{which}", caps, ends[which]) for which in (0, 1)]
        for which in schedule:
            next(tries[which], None)
        rung = telephone.rings[customer]
        assert rung <= 1, schedule
        last: list = []
        for _ in a_try(ledgers[2], telephone, asked[0], "p2", caps, last):
            pass
        assert telephone.rings[customer] <= 1, schedule
        told = [entry.state for entry in ledgers[2].known(asked) if entry]
        if telephone.rings[customer]:
            assert CallState.ACCEPTED in told or CallState.INTENT in told, schedule
        # Never silence: the last try has called, knows of the ring, or is in doubt of one.
        [end] = last
        assert end in (CallState.ACCEPTED, CallState.INTENT, CallState.REFUSED, CallState.NOT_SENT) or isinstance(
            end, (AlreadyAccepted, InDoubt, OverCap)
        ), schedule
        if telephone.requests == 0:
            # Claimed, and killed before the request: in doubt, since nobody can tell.
            assert CallState.INTENT in told, schedule
    assert made == 923
