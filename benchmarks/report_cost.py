"""How long the report of a batch of 10,000 calls takes, as Markdown and as HTML, with short reasons and long ones.

    python benchmarks/report_cost.py [--calls 10000] [--rounds 5]

Each call has a reason of its own, the hardest case for a page that groups them. Goal: under half a second each.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_wolkvox.batch_report import html, markdown

GOAL_SECONDS = 0.5
BEGAN = datetime(2026, 11, 20, 19, tzinfo=UTC)
STATES = ("accepted", "unknown", "refused", "not_sent", "skipped", "left")
REASONS = {"short": "busy", "long": "<a | long reason> " * 100}
FORMATS = {"Markdown": markdown, "HTML": html}


def results(calls: int, reason: str) -> list[dict[str, Any]]:
    """Return what became of as many calls, each state as often."""
    return [
        {
            "index": index,
            "agent_id": f"1{index:05}",
            "customer_phone": f"***{index % 10_000:04}",
            "state": STATES[index % len(STATES)],
            "conn_id": None,
            "reason": f"{reason} {index}",
            "at": (BEGAN + timedelta(seconds=1.7 * index)).isoformat(),
        }
        for index in range(calls)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=10_000, help="of the batch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of every report (default: %(default)s)")
    given = parser.parse_args()

    summary = {
        "started": BEGAN.isoformat(),
        "ended": (BEGAN + timedelta(seconds=1.7 * given.calls)).isoformat(),
        "calls": given.calls,
        "calls_per_minute": 35.3,
        "ended_because": None,
    }
    print(f"{given.calls:,} calls, medians of {given.rounds} rounds; ", end="")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores\n")
    print("| format | reasons | seconds | least | most |")
    print("|---|---|---:|---:|---:|")
    slowest = 0.0
    for name, write in FORMATS.items():
        for length, reason in REASONS.items():
            found = results(given.calls, reason)
            spent = []
            for _ in range(given.rounds):
                began = time.perf_counter()
                write("A batch", found, summary)
                spent.append(time.perf_counter() - began)
            slowest = max(slowest, statistics.median(spent))
            print(f"| {name} | {length} | {statistics.median(spent):.2f} | {min(spent):.2f} | {max(spent):.2f} |")
    held = slowest < GOAL_SECONDS
    print(f"\nGoal: under {GOAL_SECONDS:g} s each: {slowest:.2f} s, {'held' if held else 'MISSED'}.")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
