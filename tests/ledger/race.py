"""What the processes of the tests of concurrency do; run as a program, so that nothing is shared but the database.

python race.py URL MODE SEED       prints a line of JSON once it is ready, begins when it reads a line
"""

from __future__ import annotations

import json
import random
import sys
from datetime import timedelta

from intents import intent, origin

from airflow_provider_wolkvox.calling.caps import Cap
from airflow_provider_wolkvox.ledger.database import engine_of
from airflow_provider_wolkvox.ledger.entry import CallState, Claimed, Lease, Settlement
from airflow_provider_wolkvox.ledger.sql import SqlLedger

CUSTOMERS = 60
KEYS = 40
TURNS = 60


def main(url: str, mode: str, seed: str) -> None:
    ledger = SqlLedger(engine_of(url))
    ledger.known([])
    print(json.dumps("ready"), flush=True)
    sys.stdin.readline()
    dice = random.Random(seed)
    print(json.dumps({"cap": cap, "key": key, "lease": lease}[mode](ledger, seed, dice)), flush=True)
    ledger.close()


def cap(ledger: SqlLedger, seed: str, dice: random.Random) -> list[str]:
    """Call each customer once in this process, at most twice in all."""
    made = []
    for customer in dice.sample(range(CUSTOMERS), CUSTOMERS):
        asked = intent(f"{seed} {customer}", customer=f"30055501{customer:02}", origin=origin(task_id=seed))
        claimed = ledger.claim(asked, [Cap(2, timedelta(hours=24))])
        if isinstance(claimed, Claimed):
            made.append(str(customer))
            ledger.settle(Settlement(claimed=claimed, state=CallState.ACCEPTED))
    return made


def key(ledger: SqlLedger, seed: str, dice: random.Random) -> list[str]:
    """Claim the same calls as all others do; some are released by a refusal, and claimed again by whoever comes."""
    rung = []
    for number in dice.sample(range(KEYS), KEYS) * 3:
        # Without a customer no row is locked before: the key alone has to do.
        asked = intent(f"key {number}", customer=f"30055501{number:02}" if number % 2 else "")
        claimed = ledger.claim(asked)
        if isinstance(claimed, Claimed):
            refused = dice.random() < 0.5
            state = CallState.REFUSED if refused else CallState.ACCEPTED
            assert ledger.settle(Settlement(claimed=claimed, state=state))
            if not refused:
                rung.append(str(number))
    return rung


def lease(ledger: SqlLedger, seed: str, dice: random.Random) -> list[int]:
    """Take the token's lease again and again; return the numbers that it had."""
    numbers = []
    for _ in range(TURNS):
        taken = ledger.take_lease("token", seed, 60)
        if isinstance(taken, Lease):
            numbers.append(taken.number)
            assert ledger.renew_lease(taken, 60)
            ledger.give_back(taken)
    return numbers


if __name__ == "__main__":
    main(*sys.argv[1:])
