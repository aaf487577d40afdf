"""The DAGs of `test_real_scheduler`, copied into a real Airflow; the tests import the numbers from here."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator

# Each test has a lane of its own, so that one test's calls are not another's.
PARALLEL_LANE = "wolkvox_parallel"
AGAIN_LANE = "wolkvox_again"
WAITING_LANE = "wolkvox_waiting"
CATCHUP_LANE = "wolkvox_catchup"
LOOK_UP_LANE = "wolkvox_look_up"
HOURS_LANE = "wolkvox_hours"
UNKNOWN_LANE = "wolkvox_unknown"
DATA_LANE = "wolkvox_data"

PARALLEL_PLAIN = 2
PARALLEL_MAPPED = 3
AGAIN_PHONE = "3005550201"
AGAIN_MAPPED = ("3005550202", "3005550203")
WAITING_PHONE = "3005550301"
CATCHUP_PHONE = "3005550401"
LOOK_UP_PHONE = "3005550501"
LOOK_UP_NEXT_PHONE = "3005550502"
UNKNOWN_PHONE = "3005550601"
HOURS_PHONE = "3005550701"
HOURS_NEXT_PHONE = "3005550702"
DATA_PHONE = "3005550801"
HOSTILE_PHONE = "3005550802"
# Where a test writes when the hours of `scheduler_hours` open, in Airflow's home.
OPENS_FILE = "opens"

# 2.11 wants one of every DAG.
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
CATCHUP_FROM = LONG_AGO
# By `max_age`, 24 hours, even the last run comes too late.
CATCHUP_TO = LONG_AGO + timedelta(days=28)


@dag(schedule=None, start_date=LONG_AGO)
def scheduler_parallel():
    # Each DAG run has its own customers, so that every ring can be told to belong to one of them.
    phone = "{{ dag_run.conf['customers'] }}"
    for number in range(PARALLEL_PLAIN):
        AuxCallOperator(
            task_id=f"plain_{number}",
            agent_id="10001",
            customer_phone=f"{phone}{number:02d}",
            wolkvox_conn_id=PARALLEL_LANE,
        )
    AuxCallOperator.partial(task_id="mapped", agent_id="10002", wolkvox_conn_id=PARALLEL_LANE).expand(
        customer_phone=[f"{phone}{PARALLEL_PLAIN + number:02d}" for number in range(PARALLEL_MAPPED)]
    )


@dag(schedule=None, start_date=LONG_AGO)
def scheduler_again():
    AuxCallOperator(task_id="plain", agent_id="10001", customer_phone=AGAIN_PHONE, wolkvox_conn_id=AGAIN_LANE)
    AuxCallOperator.partial(task_id="mapped", agent_id="10002", wolkvox_conn_id=AGAIN_LANE).expand(
        customer_phone=list(AGAIN_MAPPED)
    )


@dag(schedule=None, start_date=LONG_AGO)
def scheduler_waiting():
    AuxCallOperator(task_id="call", agent_id="10001", customer_phone=WAITING_PHONE, wolkvox_conn_id=WAITING_LANE)


@dag(schedule=None, start_date=LONG_AGO)
def scheduler_data():
    # Airflow logs what a function returns, and here these are numbers.
    @task(show_return_value_in_logs=False)
    def customers():
        return [
            {"agent_id": "10001", "customer_phone": DATA_PHONE},
            {"agent_id": "{{ 10000 + 1 }}", "customer_phone": HOSTILE_PHONE},
        ]

    AuxCallOperator.partial(task_id="call", wolkvox_conn_id=DATA_LANE).expand_kwargs(customers())


@dag(schedule="@daily", start_date=CATCHUP_FROM, end_date=CATCHUP_TO, catchup=True, max_active_runs=4)
def scheduler_catchup():
    AuxCallOperator(task_id="call", agent_id="10001", customer_phone=CATCHUP_PHONE, wolkvox_conn_id=CATCHUP_LANE)


@dag(schedule=None, start_date=LONG_AGO)
def scheduler_unknown():
    AuxCallOperator(
        task_id="call",
        agent_id="10001",
        customer_phone=UNKNOWN_PHONE,
        wolkvox_conn_id=UNKNOWN_LANE,
        retries=3,
        retry_delay=timedelta(seconds=1),
    )


class ImpatientCallOperator(AuxCallOperator):
    """Looks again after seconds: nobody waits five minutes for a test."""

    look_up_every = timedelta(seconds=3)


@dag(schedule=None, start_date=LONG_AGO)
def scheduler_look_up():
    ImpatientCallOperator(
        task_id="looked_up",
        agent_id="10001",
        customer_phone=LOOK_UP_PHONE,
        wolkvox_conn_id=LOOK_UP_LANE,
        on_unknown="look_up",
        priority_weight=2,
    )
    AuxCallOperator(task_id="next", agent_id="10002", customer_phone=LOOK_UP_NEXT_PHONE, wolkvox_conn_id=LOOK_UP_LANE)


class HoursOfFile:
    """Open from the instant that the test has written: real calling hours open on the minute, at the earliest."""

    def next_open(self, at: datetime) -> datetime:
        return max(at, datetime.fromisoformat((Path(os.environ["AIRFLOW_HOME"]) / OPENS_FILE).read_text()))

    def is_open(self, at: datetime) -> bool:
        return self.next_open(at) == at

    def why_closed(self, at: datetime) -> str | None:
        return None if self.is_open(at) else "the test says so"


@dag(schedule=None, start_date=LONG_AGO)
def scheduler_hours():
    AuxCallOperator(
        task_id="waits",
        agent_id="10001",
        customer_phone=HOURS_PHONE,
        wolkvox_conn_id=HOURS_LANE,
        calling_hours=HoursOfFile(),
        priority_weight=2,
    )
    AuxCallOperator(
        task_id="next",
        agent_id="10002",
        customer_phone=HOURS_NEXT_PHONE,
        wolkvox_conn_id=HOURS_LANE,
        calling_hours=None,
    )


scheduler_parallel()
scheduler_again()
scheduler_waiting()
scheduler_unknown()
scheduler_data()
scheduler_catchup()
scheduler_look_up()
scheduler_hours()
