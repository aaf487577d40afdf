"""What `cluster.py` and its DAGs have to agree on; imported by both, so it imports no Airflow.

A DAG run's configuration names the customers and their lanes; a lane without any has nothing to do::

    {"callbacks": [{"wolkvox_conn_id": "wolkvox_north", "agent_id": "10001", "customer_phone": "3010000000"}, ...]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# The two ways to make calls: one task for each, mapped; and the example DAG, one task for all of a lane.
MAPPED, BATCH = "cluster_mapped", "wolkvox_callbacks_by_token"

# Whom to call back of a campaign, as the simulator shows it.
PLAN, PLAN_TASK, CAMPAIGN = "cluster_plan", "callbacks", "32841"

# The example's connections: one token and one pool of one slot each.
LANES = ("wolkvox_north", "wolkvox_south", "wolkvox_east", "wolkvox_west")

RETRIES = 3


def calls_task(lane: str) -> str:
    """Return the id of the task that makes a lane's calls; if mapped, its index is the customer's place in the list."""
    return f"call_{lane}"


def configuration(phones: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the configuration of a DAG run that calls each lane's customers."""
    return {
        "callbacks": [
            {"wolkvox_conn_id": lane, "agent_id": "10001", "customer_phone": phone}
            for lane, numbers in phones.items()
            for phone in numbers
        ]
    }
