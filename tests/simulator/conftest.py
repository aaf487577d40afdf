"""A simulator, and what calls it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from simulator_testing import Caller, Clock

from airflow_provider_wolkvox.simulator import Simulator


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture
def caller(sim: Simulator) -> Caller:
    return Caller(sim)


@pytest.fixture
def caller_of() -> Callable[[Simulator], Caller]:
    return Caller


@pytest.fixture
def together() -> Callable[..., list[Any]]:
    """Run a function once per argument, each in a thread, all starting at one barrier; results in order."""

    def run(function: Callable[[Any], Any], arguments: list[Any]) -> list[Any]:
        barrier = threading.Barrier(len(arguments))
        results: list[Any] = [None] * len(arguments)

        def one(place: int) -> None:
            barrier.wait()
            results[place] = function(arguments[place])

        threads = [threading.Thread(target=one, args=(place,)) for place in range(len(arguments))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return results

    return run
