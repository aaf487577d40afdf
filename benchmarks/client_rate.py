"""How many calls a second: WolkvoxClient against the bare libraries, on one simulator in its own process.

    python benchmarks/client_rate.py [--rounds 7] [--seconds 1.0] [--server-ms 0 20 100]

Each way keeps its connection alive and makes the same POST, one after the other. The ways take turns in
every round, so that what else this machine does falls on all of them; figures are medians of the rounds.
Goal: the client makes at least 0.9 of the bare `requests.Session` loop's calls at 20 ms of server time.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from urllib.parse import urlsplit

import requests

from airflow_provider_wolkvox.api import WolkvoxClient

AGENT = "10001"
PHONE = "573001234567"
TOKEN = "benchmark-token"
PATH = f"/api/v2/agentbox.php?api=aux_call&agent_id={AGENT}&customer_phone={PHONE}"
GOAL = 0.9
GOAL_AT_MS = 20.0

Call = Callable[[], object]


@contextlib.contextmanager
def simulator(server_ms: float) -> Iterator[str]:
    """Run the simulator in a process of its own and yield its address."""
    command = [sys.executable, "-m", "airflow_provider_wolkvox.simulator", "--port", "0", "--token", TOKEN]
    with subprocess.Popen([*command, "--latency", str(server_ms / 1000)], stdout=subprocess.PIPE, text=True) as process:
        try:
            greeting = process.stdout.readline() if process.stdout else ""
            address = greeting.rpartition(" ")[2].strip()
            if not address.startswith("http://"):
                raise SystemExit(f"the simulator did not start: {greeting!r}")
            yield address
        finally:
            process.terminate()


@contextlib.contextmanager
def wolkvox_client(address: str) -> Iterator[Call]:
    with WolkvoxClient("0042", TOKEN, base_url=address) as client:
        yield lambda: client.aux_call(AGENT, PHONE)


@contextlib.contextmanager
def bare_session(address: str) -> Iterator[Call]:
    with requests.Session() as session:
        session.headers["wolkvox-token"] = TOKEN

        def call() -> object:
            answer = session.post(address + PATH, timeout=60)
            answer.raise_for_status()
            return answer.json()

        yield call


@contextlib.contextmanager
def bare_http_client(address: str) -> Iterator[Call]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)

    def call() -> object:
        connection.request("POST", PATH, headers={"wolkvox-token": TOKEN})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"HTTP {answer.status}")
        return body

    yield call
    connection.close()


WAYS = {"WolkvoxClient": wolkvox_client, "requests.Session": bare_session, "http.client": bare_http_client}


def rate(call: Call, seconds: float) -> float:
    """Return calls per second over about so many seconds."""
    call()  # connects
    calls, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        call()
        calls += 1
    return calls / spent


def measure(server_ms: float, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return the rates of every way, one for each round."""
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    with simulator(server_ms) as address, contextlib.ExitStack() as open_ways:
        calls = {way: open_ways.enter_context(make(address)) for way, make in WAYS.items()}
        for number in range(rounds):
            # Another one begins in every round.
            turn = number % len(WAYS)
            for way in [*WAYS][turn:] + [*WAYS][:turn]:
                rates[way].append(rate(calls[way], seconds))
    return rates


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each way (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a round (default: %(default)s)")
    parser.add_argument("--server-ms", type=float, nargs="+", default=[0.0, 20.0, 100.0], help="server times, in ms")
    given = parser.parse_args()

    print(f"Python {platform.python_version()}, requests {version('requests')}, urllib3 {version('urllib3')}, ", end="")
    print(f"{os.cpu_count()} cores; medians of {given.rounds} rounds of {given.seconds:g} s, calls per second\n")
    print("| server time | WolkvoxClient | requests.Session | http.client | client / Session | client / http.client |")
    print("|---:|---:|---:|---:|---:|---:|")
    verdict = ""
    for server_ms in given.server_ms:
        rates = measure(server_ms, given.rounds, given.seconds)
        client, session, bare = (statistics.median(rates[way]) for way in WAYS)
        # Rounds are neighbours in time, so each round's own ratio says more than that of the medians.
        pairs = zip(rates["WolkvoxClient"], rates["requests.Session"], strict=True)
        to_session = statistics.median(ours / theirs for ours, theirs in pairs)
        pairs = zip(rates["WolkvoxClient"], rates["http.client"], strict=True)
        to_bare = statistics.median(ours / theirs for ours, theirs in pairs)
        print(
            f"| {server_ms:g} ms | {client:.1f} | {session:.1f} | {bare:.1f} | {to_session:.3f} | {to_bare:.3f} |",
            flush=True,
        )
        if server_ms == GOAL_AT_MS:
            held = "held" if to_session >= GOAL else "MISSED"
            verdict = f"Goal at {GOAL_AT_MS:g} ms: client / Session >= {GOAL:g}: {to_session:.3f}, {held}."
    print(f"\n{verdict or f'The goal is for {GOAL_AT_MS:g} ms, which was not measured.'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
