"""Two schedulers, two Celery workers, PostgreSQL and Redis: the promises hold where Airflow runs for real.

`make cluster` does the same with 400 calls, and measures.
"""

from __future__ import annotations

import pytest
from cluster import OUTLASTING_SECONDS, VISIBILITY_SECONDS, Cluster, table
from cluster_calls import LANES
from services import INSTALL, missing_services

pytestmark = [
    pytest.mark.scheduler,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        bool(missing_services()),
        reason=f"this machine has no {', no '.join(missing_services())}: as root, {INSTALL}",
    ),
]

CALLS = 24


@pytest.fixture(scope="module")
def cluster():
    with Cluster.running() as cluster:
        yield cluster
        assert cluster.late_rings() == []


def required(result):
    """Return a result that holds nothing against us."""
    print(table([result]))
    assert result.violations == ()
    return result


def test_no_phone_rings_twice_and_no_lane_widens_when_a_worker_is_lost_with_its_tasks(cluster):
    result = required(cluster.worker_killed(CALLS))

    assert [lane.lane for lane in result.lanes] == list(LANES)
    assert [lane.at_once for lane in result.lanes] == [1] * len(LANES)
    assert result.ends.total() == CALLS
    # The call in flight: its phone rang, and nobody was there to hear the answer.
    assert result.ends["unknown"] >= 1
    assert result.ends["accepted"] < result.rings <= result.ends["accepted"] + result.ends["unknown"]


def test_no_phone_rings_twice_when_its_task_is_cleared_under_two_schedulers(cluster):
    result = required(cluster.cleared(calls_per_lane=2))

    assert [lane.rings for lane in result.lanes] == [2] * len(LANES)
    # On a slow machine a call may be over when its task is cleared; but some were cleared in flight.
    assert result.ends["unknown"] >= 1


def test_no_phone_rings_twice_when_redis_delivers_its_task_twice(cluster):
    assert OUTLASTING_SECONDS > VISIBILITY_SECONDS
    before = cluster.second_deliveries()

    result = required(cluster.delivered_twice())

    assert cluster.second_deliveries() > before
    assert (result.ends["accepted"], result.rings, result.at_once) == (1, 1, 1)
