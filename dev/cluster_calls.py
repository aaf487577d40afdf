"""What `cluster.py` and its DAGs have to agree on; imported by both, so it imports no Airflow.

A DAG run's configuration names the customers of each lane; a lane without any is skipped::

    {"phones": {"cluster_1": ["3010000000", "3010000001"], "cluster_2": ["3020000000"]}}
"""

from __future__ import annotations

# The two ways to make calls: one task for each, mapped; and one task for all of a lane.
MAPPED, BATCH = "cluster_mapped", "cluster_batch"

# One connection, one token and one pool of one slot each.
LANES = ("cluster_1", "cluster_2", "cluster_3", "cluster_4")

RETRIES = 2


def calls_task(lane: str) -> str:
    """Return the id of the task that makes a lane's calls; if mapped, its index is the customer's place in the list."""
    return f"calls_of_{lane}"
