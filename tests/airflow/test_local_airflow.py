"""The real Airflow of the scheduler tests: what it can show and do, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import local_airflow as module
import psutil
import pytest
from local_airflow import (
    AIRFLOW_3,
    CommandFailed,
    Component,
    ComponentDied,
    LocalAirflow,
    LocalAirflowError,
    WaitedTooLong,
    is_alive,
    processes_of,
)

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(1800)]

DAGS = """
import subprocess
import time

from airflow.sdk import dag, get_current_context, task


@dag(schedule=None)
def harness_numbers():
    @task(pool="narrow")
    def numbers():
        print("counting to", get_current_context()["dag_run"].conf.get("up_to", 2))
        return [1, 2]

    @task
    def double(number):
        return 2 * number

    double.expand(number=numbers())


harness_numbers()


@dag(schedule=None)
def harness_trouble():
    @task
    def fails():
        raise ValueError("no such number")

    @task
    def hangs():
        time.sleep(6000)

    fails()
    hangs()


harness_trouble()


@dag(schedule=None)
def harness_command():
    @task
    def commands():
        # A session and an environment of its own, as a BashOperator's command may have.
        subprocess.run(["sleep", "600"], env={"PATH": "/usr/bin:/bin"}, start_new_session=True)

    commands()


harness_command()
"""

BROKEN = """
from airflow.sdk import dag

raise RuntimeError("harness_broken is the wrong way round")
"""

EDITED = """
from airflow.sdk import dag, task


@dag(schedule=None)
def harness_edited():
    @task
    def tells_{value}():
        return "{value}"

    tells_{value}()


harness_edited()
"""


@pytest.fixture(scope="module")
def dag_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("source") / "harness_dags.py"
    file.write_text(DAGS)
    return file


@pytest.fixture(scope="module")
def own_home(tmp_path_factory):
    """One home for all tests that start and end an Airflow of their own, so that only the first one migrates."""
    return tmp_path_factory.mktemp("own-home")


@pytest.fixture(scope="module")
def airflow(local_airflow, dag_file):
    local_airflow.add_dags(dag_file)
    local_airflow.cli("pools", "set", "narrow", "1", "one at a time")
    return local_airflow


@pytest.fixture(scope="module")
def finished_run(airflow):
    run_id = airflow.trigger("harness_numbers", conf={"up_to": 99})
    assert airflow.wait_for_run("harness_numbers", run_id) == "success"
    return run_id


def listening(processes: list[psutil.Process]) -> set[tuple[str, int]]:
    return {
        (connection.laddr.ip, connection.laddr.port)
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def is_open(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) == 0


def test_each_task_of_a_run_can_be_seen_with_its_state_pool_and_process(airflow, finished_run):
    tasks = airflow.task_instances("harness_numbers", finished_run)

    assert [(task.task_id, task.map_index, task.state, task.pool) for task in tasks] == [
        ("double", 0, "success", "default_pool"),
        ("double", 1, "success", "default_pool"),
        ("numbers", -1, "success", "narrow"),
    ]
    assert all(task.start < task.end and task.pid and task.try_number == 1 for task in tasks)


def test_a_value_a_task_pushed_can_be_seen(airflow, finished_run):
    assert airflow.xcom("harness_numbers", finished_run, "numbers") == [1, 2]
    assert airflow.xcom("harness_numbers", finished_run, "double", map_index=1) == 4


def test_a_log_shows_what_a_task_printed(airflow, finished_run):
    assert "counting to 99" in airflow.task_log("harness_numbers", finished_run, "numbers")


def test_a_cleared_task_runs_again(airflow, finished_run):
    assert airflow.clear("harness_numbers", finished_run, ["numbers"]) == [("numbers", -1)]
    assert airflow.wait_for_run("harness_numbers", finished_run) == "success"

    tries = {
        (task.task_id, task.map_index): task.try_number
        for task in airflow.task_instances("harness_numbers", finished_run)
    }
    assert tries == {("numbers", -1): 2, ("double", 0): 1, ("double", 1): 1}


def test_one_mapped_task_can_be_cleared_alone(airflow):
    run_id = airflow.trigger("harness_numbers")
    airflow.wait_for_run("harness_numbers", run_id)

    assert airflow.clear("harness_numbers", run_id, [("double", 1)]) == [("double", 1)]
    airflow.wait_for_run("harness_numbers", run_id)

    assert airflow.task_instance("harness_numbers", run_id, "double", 0).try_number == 1
    assert airflow.task_instance("harness_numbers", run_id, "double", 1).try_number == 2


def test_a_failure_shows_its_traceback_and_a_running_task_can_be_killed_or_marked(airflow):
    run_id = airflow.trigger("harness_trouble")
    airflow.wait_for_task("harness_trouble", run_id, "fails", ["failed"])
    assert "ValueError: no such number" in airflow.task_log("harness_trouble", run_id, "fails")

    running = airflow.wait_for_task("harness_trouble", run_id, "hangs", ["running"])
    os.kill(running.pid, signal.SIGKILL)
    airflow.wait_for_task("harness_trouble", run_id, "hangs", ["failed"])

    airflow.set_task_state("harness_trouble", run_id, "hangs", "success")
    assert airflow.task_instance("harness_trouble", run_id, "hangs").state == "success"


def test_it_listens_on_loopback_only_and_on_one_port(airflow):
    port = urlsplit(airflow.api_url).port
    assert listening(airflow.processes()) == {("127.0.0.1", port)}


def test_a_broken_dag_is_reported_instead_of_waited_for(airflow):
    broken = airflow.dags_folder / "harness_broken.py"
    broken.write_text(BROKEN)

    with pytest.raises(LocalAirflowError, match="wrong way round"):
        airflow.trigger("harness_broken")
    assert "wrong way round" in airflow.import_errors()["harness_broken.py"]
    broken.unlink()


def test_an_edited_dag_runs_as_edited(airflow):
    for value in ("before", "after"):
        (airflow.dags_folder / "harness_edited.py").write_text(EDITED.format(value=value))
        run_id = airflow.trigger("harness_edited")
        assert airflow.wait_for_run("harness_edited", run_id) == "success"
        assert airflow.xcom("harness_edited", run_id, f"tells_{value}") == value


def test_a_command_that_fails_tells_what_it_printed(airflow):
    with pytest.raises(CommandFailed, match="no-such-command"):
        airflow.cli("no-such-command")
    assert airflow.cli("no-such-command", check=False).returncode != 0


def test_a_wait_in_vain_tells_what_for(airflow):
    with pytest.raises(WaitedTooLong, match=r"until pigs fly\.\nSeen instead: pigs"):
        airflow.wait_until(lambda: False, 0.3, "pigs fly", evidence=lambda: "pigs")


def test_a_home_in_use_is_not_started_twice(airflow):
    with pytest.raises(LocalAirflowError, match="Another LocalAirflow"), LocalAirflow(home=airflow.home):
        pass
    assert is_open(airflow.api_url)


def test_nothing_is_left_even_with_a_task_and_its_command_running(own_home, dag_file, monkeypatch):
    # A developer's own Airflow, which must not be touched.
    monkeypatch.setenv("AIRFLOW_HOME", "/nowhere")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "sqlite:////nowhere/at/all.db")

    with LocalAirflow(
        home=own_home, dags=[dag_file], connections={"lane": {"conn_type": "http", "host": "x"}}
    ) as airflow:
        assert "http" in airflow.cli("connections", "get", "lane").stdout
        run_id = airflow.trigger("harness_command")
        task = airflow.wait_for_task("harness_command", run_id, "commands", ["running"])
        airflow.wait_until(lambda: psutil.Process(task.pid).children(), 30, "its command runs")
        everything = airflow.processes()
        assert "sleep" in {process.name() for process in everything}

    assert [process for process in everything if is_alive(process)] == []
    assert processes_of(own_home) == []
    assert not is_open(airflow.api_url)


def test_a_dag_folder_of_the_callers_is_used_where_it_is(own_home, dag_file):
    with LocalAirflow(home=own_home, dags=dag_file.parent) as airflow:
        airflow.wait_for_dag("harness_numbers")
        with pytest.raises(LocalAirflowError, match="Nothing was copied"):
            airflow.add_dags(dag_file)
    assert dag_file.exists()


def test_a_component_that_dies_while_starting_is_told_at_once(own_home):
    broken = Component("broken", ("no-such-command",))

    with (
        pytest.raises(ComponentDied, match="no-such-command"),
        LocalAirflow(home=own_home, components=(*AIRFLOW_3, broken), start_timeout=600),
    ):
        pass

    assert processes_of(own_home) == []


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("moment", ["starting", "running"])
def test_nothing_is_left_when_the_harness_itself_is_ended(own_home, blow, moment):
    command = [sys.executable, "-c", HARNESS, str(Path(module.__file__).parent), str(own_home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as harness:
        if moment == "running":
            assert harness.stdout.readline() == b"running\n"
        wait_until(lambda: len(processes_of(own_home)) >= 3)
        everything = processes_of(own_home)
        harness.send_signal(blow)

    wait_until(lambda: not any(is_alive(process) for process in everything))
    assert processes_of(own_home) == []


HARNESS = """
import sys, time
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from local_airflow import LocalAirflow

with LocalAirflow(home=Path(sys.argv[2])):
    print("running", flush=True)
    time.sleep(6000)
"""


def wait_until(predicate, timeout: float = 600.0) -> None:
    deadline = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < deadline
        time.sleep(0.05)
