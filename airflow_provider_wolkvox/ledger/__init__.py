"""What is known of every intended call: written before the request, and read by whatever may make it again.

`entry` holds what the ledger keeps, `base` what is asked of it (`Ledger`), `sql` and `schema` the one in a database,
`configuration` which one this Airflow uses, `task_state` the memory that Airflow itself offers from 3.3.
"""

from __future__ import annotations

from airflow_provider_wolkvox.ledger.entry import CallState
from airflow_provider_wolkvox.ledger.task_state import (
    KEPT_ON_CLEAR,
    KEY,
    BatchLedger,
    Entry,
    Store,
    TaskStateLedger,
    batch_key_of,
    key_of,
    may_have_forgotten,
)

__all__ = [
    "KEPT_ON_CLEAR",
    "KEY",
    "BatchLedger",
    "CallState",
    "Entry",
    "Store",
    "TaskStateLedger",
    "batch_key_of",
    "key_of",
    "may_have_forgotten",
]
