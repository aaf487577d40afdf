"""The values that tests of the Airflow side share."""

from __future__ import annotations

SERVER = "0042"
# Easy to find in any output, and like nothing else that stands there.
TOKEN = "tok-Zk8vQ1r7Xw3nB5mL"
AGENT = "10001"
PHONE = "3005550101"

# Faults after which no whole answer ever comes.
ENDLESS = ("stall", "stall_body", "drip", "latency")


def time_for(fault: str) -> float:
    """Return a connection's `total_timeout` for a test of a fault: short only where it is what ends the exchange."""
    return 1.0 if fault in ENDLESS else 60.0
