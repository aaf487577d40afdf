"""The values that tests of the Airflow side share."""

from __future__ import annotations

SERVER = "0042"
# Easy to find in any output, and like nothing else that stands there.
TOKEN = "tok-Zk8vQ1r7Xw3nB5mL"
AGENT = "10001"
PHONE = "3005550101"
