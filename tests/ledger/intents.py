"""Intended calls for the tests of the ledger; every number is invented."""

from __future__ import annotations

from typing import Any

from airflow_provider_wolkvox.ledger.entry import Claimed, Intent, Origin, Settlement

CUSTOMER = "3005550101"


def origin(task_id: str = "ring", **known: Any) -> Origin:
    return Origin(
        **{"dag_id": "callbacks", "run_id": "manual__1", "task_id": task_id, "namespace": "north", "try_number": 1}
        | known
    )


def intent(key: str = "one", **known: Any) -> Intent:
    given: dict[str, Any] = {
        **{"key": (key,), "action": "aux_call", "origin": origin(), "customer": CUSTOMER, "phone": "***0101"},
        **{"agent_id": "10001", "server": "0042"},
    }
    return Intent(**given | known)


def settled(claimed: object, state: Any, **known: Any) -> Settlement:
    assert isinstance(claimed, Claimed), claimed
    return Settlement(claimed=claimed, state=state, **known)
