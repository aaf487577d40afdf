"""Two schedulers, two Celery workers, PostgreSQL and Redis: the promises hold where Airflow runs for real.

`make cluster` does the same with 400 calls, and measures.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import cluster as module
import psutil
import pytest
import services
from cluster import OUTLASTING_SECONDS, VISIBILITY_SECONDS, Cluster, table
from cluster_calls import BATCH, LANES, MAPPED
from local_airflow import MARK
from services import INSTALL, ServiceError, Services, missing_services

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(1800)]

CALLS = 24


@pytest.fixture(scope="module")
def postgres_and_redis():
    if missing := missing_services():
        pytest.skip(f"this machine has no {', no '.join(missing)}: as root, {INSTALL}")


@pytest.fixture(scope="module")
def cluster(postgres_and_redis):
    with Cluster.running() as cluster:
        yield cluster
        assert cluster.late_rings() == []


def required(result):
    """Return a result that holds nothing against us."""
    print(table([result]))
    assert result.violations == ()
    return result


@pytest.mark.parametrize("dag_id", [MAPPED, BATCH])
def test_no_phone_rings_twice_and_no_lane_widens_when_a_worker_is_lost_with_its_tasks(cluster, dag_id):
    result = required(cluster.worker_killed(dag_id, CALLS))

    assert [lane.lane for lane in result.lanes] == list(LANES)
    assert [lane.at_once for lane in result.lanes] == [1] * len(LANES)
    assert result.ends.total() == CALLS
    # The call in flight: its phone rang, and nobody was there to hear the answer.
    assert result.ends["unknown"] >= 1
    assert result.ends["accepted"] < result.rings <= result.ends["accepted"] + result.ends["unknown"]


def test_no_phone_rings_twice_when_its_task_is_cleared_under_two_schedulers(cluster):
    # The harder of the two ways: here another call of the lane begins while the cleared one is under way.
    result = required(cluster.cleared(MAPPED, calls_per_lane=2))

    assert [lane.rings for lane in result.lanes] == [2] * len(LANES)
    # On a slow machine a call may be over when its task is cleared; but some were cleared in flight.
    assert result.ends["unknown"] >= 1


def test_no_phone_rings_twice_when_redis_delivers_its_task_twice(cluster):
    assert OUTLASTING_SECONDS > VISIBILITY_SECONDS
    before = cluster.second_deliveries()

    result = required(cluster.delivered_twice(MAPPED))

    assert cluster.second_deliveries() > before
    assert (result.ends["accepted"], result.rings, result.at_once) == (1, 1, 1)


def test_two_deployments_with_one_token_and_one_ledger_call_back_each_cut_call_once(cluster):
    result = required(cluster.two_deployments(CALLS))

    assert (result.ends["accepted"], result.rings, result.at_once) == (CALLS, CALLS, 1)


def test_a_machine_without_the_services_is_told_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setattr(services, "DEBIAN_POSTGRES", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ServiceError, match="no initdb, no postgres, no redis-server") as told:
        Services.running(tmp_path).__enter__()

    assert INSTALL in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_running_or_on_disk_when_the_cluster_is_ended(postgres_and_redis, blow):
    # Not pytest's own folder, which is closed to PostgreSQL's user.
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o711)
        command = [sys.executable, module.__file__]
        with subprocess.Popen(
            command, env={**os.environ, "TMPDIR": str(folder)}, stdout=subprocess.PIPE, text=True
        ) as ended:
            assert "PostgreSQL and Redis run" in ended.stdout.readline()
            ended.send_signal(blow)
            assert ended.wait(timeout=600) == 130

        assert list(folder.iterdir()) == []
        assert below(folder) == []
    finally:
        shutil.rmtree(folder)


def below(folder: Path) -> list[psutil.Process]:
    """Return the processes whose mark names a place in the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK, "").startswith(str(folder)):
                found.append(process)
        except psutil.Error:
            continue
    return found
