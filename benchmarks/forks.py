"""What something costs in a process of its own, many times over: a child is forked for each, from one that is ready."""

from __future__ import annotations

import cProfile
import gc
import json
import os
import pstats
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cost:
    """What one child spent.

    :param wall_ms: milliseconds by the clock on the wall
    :param cpu_ms: milliseconds of processor time, which other processes of the machine hardly change
    :param told: what the work returned
    """

    wall_ms: float
    cpu_ms: float
    told: Any


def in_child(work: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> Cost:
    """Fork, do something unmeasured, then the work, and return what the work cost.

    :param work: returns something that JSON knows
    :raises RuntimeError: the child failed; it has printed why
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            before()
            # Else the work pays for what was left behind before it, now in one child and now in another.
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            told = work()
            spent = [(time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000, told]
            with os.fdopen(writing, "w") as answer:
                json.dump(spent, answer)
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    _, status = os.waitpid(child, 0)
    if status or not said:
        raise RuntimeError(f"the child ended with {status}")
    return Cost(*json.loads(said))


def counted(work: Callable[[], Any]) -> tuple[Any, int]:
    """Return what the work returns, and how many functions it calls: the same on any machine, however busy."""
    profile = cProfile.Profile()
    found = profile.runcall(work)
    return found, pstats.Stats(profile).total_calls  # type: ignore[attr-defined]


def by_turns(works: dict[str, Callable[[], Cost]], rounds: int) -> dict[str, list[Cost]]:
    """Return what each kind of work cost in each round; they take turns, so that what else goes on falls on all.

    A first round, which fills the caches, is not counted.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            cost = work()
            if number:
                costs[name].append(cost)
    return costs
