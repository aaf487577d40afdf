"""What `cluster.py` and its DAG have to agree on; imported by both, so it imports no Airflow.

A DAG run's configuration names the customers of each lane; a lane without any is skipped::

    {"phones": {"cluster_1": ["3010000000", "3010000001"], "cluster_2": ["3020000000"]}}
"""

from __future__ import annotations

DAG_ID = "cluster"

# One connection, one token and one pool of one slot each.
LANES = ("cluster_1", "cluster_2", "cluster_3", "cluster_4")

RETRIES = 2


def calls_task(lane: str) -> str:
    """Return the id of the task that makes a lane's calls; its map index is the customer's place in the list."""
    return f"calls_of_{lane}"
