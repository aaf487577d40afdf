"""How long the choice of callbacks takes: a campaign of 100,000 attempts, and the worst that could be made of it.

    python benchmarks/choose_callbacks.py [--attempts 100000] [--rounds 5]

No network and no Airflow: `choose` is a pure function. The cases take turns in every round; figures are medians.
Goal: each case under 2 seconds, but the last, in which the library `phonenumbers` reads every single number.
Exit status 1 if the goal is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from airflow_provider_wolkvox.calling import Attempt, CallingHours, Rules, choose

GOAL_SECONDS = 2.0
NOW = datetime(2026, 11, 24, 15, tzinfo=UTC)  # Tuesday, 10:00 in Bogota
HOURS = CallingHours.for_country("CO", purpose="collection", timezone="America/Bogota")
LOCAL = Rules(hours=HOURS, phone_country="CO")


@dataclass(frozen=True)
class Case:
    title: str
    attempts: list[Attempt]
    rules: Rules
    history: list[Attempt]
    judged: bool = True


def dialled(count: int, numbers: int, results: list[str], chance: random.Random) -> list[Attempt]:
    """Return a predictive campaign's attempts of the last two days, in no order."""
    return [
        Attempt(
            phone=str(3_000_000_000 + chance.randrange(numbers)),
            at=NOW - timedelta(seconds=chance.randrange(60, 2 * 86_400)),
            result=chance.choice(results),
            agent_id=str(10_000 + chance.randrange(200)),
            conn_id=f"{chance.random()}",
            campaign_id="32841",
            seconds=chance.randrange(300),
            cod_act=chance.choice(["CUT", "SOLD", "NOT INTERESTED", ""]),
            hang_up=chance.choice(["customer", "agent"]),
            type_interaction="out_pre",
        )
        for _ in range(count)
    ]


def cases(count: int) -> list[Case]:
    chance = random.Random(1)
    campaign = dialled(count, count // 2, ["ANSWER", "NO-ANSWER", "NO-ANSWER", "BUSY"], chance)
    history = dialled(count // 5, count // 2, ["ANSWER", "NO-ANSWER"], chance)
    answered = dialled(count, 999_999_999, ["ANSWER"], chance)
    cut = Rules(shorter_than=60, not_dispositions=["SOLD"], max_attempts=4, hours=HOURS)
    capped = Rules(max_attempts=1, within=timedelta(days=7), hours=HOURS)
    return [
        Case("a campaign and its history", campaign, cut, history),
        Case("the same, by the zones of each number", campaign, replace(cut, phone_country="CO"), history),
        Case("each attempt is called back", answered, Rules(hours=HOURS), []),
        Case("each number is capped", answered, capped, []),
        Case("each is called back, by its number's zones", answered, LOCAL, [], judged=False),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--attempts", type=int, default=100_000, help="in each case (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of every case (default: %(default)s)")
    given = parser.parse_args()
    if given.attempts < 2 or given.rounds < 1:
        parser.error("--attempts must be at least 2, --rounds at least 1")

    measured = cases(given.attempts)
    choose(measured[0].attempts[:9], LOCAL, NOW)  # imports `holidays` and `phonenumbers`, once
    spent: dict[str, list[float]] = {case.title: [] for case in measured}
    called: dict[str, int] = {}
    for _ in range(given.rounds):
        for case in measured:
            began = time.perf_counter()
            plan = choose(case.attempts, case.rules, NOW, history=case.history)
            spent[case.title].append(time.perf_counter() - began)
            called[case.title] = len(plan.callbacks)

    print(f"{given.attempts:,} attempts, medians of {given.rounds} rounds; ", end="")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, phonenumbers {version('phonenumbers')}\n")
    print("| case | seconds | least | most | callbacks |")
    print("|---|---:|---:|---:|---:|")
    for title, times in spent.items():
        print(f"| {title} | {statistics.median(times):.2f} | {min(times):.2f} | {max(times):.2f} | {called[title]:,} |")
    slowest = max(statistics.median(spent[case.title]) for case in measured if case.judged)
    held = slowest < GOAL_SECONDS
    print(f"\nGoal: under {GOAL_SECONDS:g} s, the last case aside: {slowest:.2f} s, {'held' if held else 'MISSED'}.")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
