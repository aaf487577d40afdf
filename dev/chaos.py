"""Chaos: calls through a real Airflow while everything goes wrong, judged by the phones' own count.

    python dev/chaos.py --rounds 50 [--seed 7] [--home DIR] [--memory airflow]

Each round is one DAG run of three calls (or two runs at once) and one disturbance: a process killed at a
certain moment, a task cleared or marked while it calls, a worker that freezes until Airflow gives it up, a
wolkvox that breaks off, stalls, errs or refuses, a ledger whose database is killed and started again, which
disturbs the rounds beside it as well. Then all is left to settle, what failed is cleared once, as an engineer
would, and all settles again. The ledger is in a PostgreSQL of this run's own; with `--memory airflow`, or on a
machine without PostgreSQL, there is none. What must hold then is told by the simulator, not by Airflow:

- No phone rang twice for one DAG run.
- A call whose phone did not ring says why in its task's log, or was marked by hand.
- A call that failed after its phone rang says that the outcome is unknown.
- A call that succeeded returns the conn_id of a call that rang that very phone.
- Each ring is recorded in the ledger as accepted or in doubt.
- A token was used by one request at a time. Where Airflow gives a slot away while the process that holds it
  lives on (clear, mark, lost heartbeat), it may be two; the table tells how often it was.

The exit status is 1 if anything did not hold. The seed that is printed plays the same rounds again; how they
interleave is up to the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import queue
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil
import requests
from chaos_calls import (
    AFTER_EXECUTE,
    AFTER_THE_INTENT,
    AFTER_THE_REPLY,
    BEFORE_THE_FENCES,
    CALLS,
    IN_FLIGHT,
    LANES,
    MAPPED,
    PLAIN,
    RETRIES,
    dag_name,
)
from local_airflow import FINISHED, LocalAirflow, LocalAirflowError, Refused, TaskInstance, is_alive
from services import Service, missing_programs, running_postgres

from airflow_provider_wolkvox.ledger.configuration import ledger_at
from airflow_provider_wolkvox.ledger.entry import CallState
from airflow_provider_wolkvox.phone import PhoneNumber
from airflow_provider_wolkvox.simulator import Simulator

HERE = Path(__file__).resolve().parent
DAG_FILES = (HERE / "chaos_calls.py", HERE / "chaos_dags.py")
SERVER = "0042"

# The simulator's name for a connection reset before anything was read.
UNREAD = "drop_before_reading"
# How long an answer is held back so that there is time to strike, and how long the client waits for one.
FLIGHT_SECONDS = 6.0
TOTAL_TIMEOUT = 10.0


# A lane's three calls take some 5 s when the machine has nothing else to do.
PATIENCE = 300.0

# What the operator writes where nobody saw the answer, and where nothing was sent or wolkvox said no.
SAYS_UNKNOWN = (
    "outcome of this call is unknown",
    "outcome of aux_call is unknown",
    "in an earlier one the phone may have rung",
)
SAYS_NO_RING = ("no phone rang", "no call was made")

Strike = Callable[["Play"], None]


@dataclass(frozen=True)
class Round:
    """What is going to happen, all of it drawn from the seed.

    :param victim: the number of the call that is struck; 0 is the plain task, 1 and 2 are mapped
    :param moment: when it is struck; None where it is not a matter of a moment
    :param late: whether the old process goes on only when Airflow has given its slot to another
    :param latency: server time of every request, in seconds
    :param fault: the simulator's fault for the victim's request, None for none
    """

    number: int
    disturbance: Disturbance
    retries: int
    victim: int
    moment: str | None
    late: bool
    latency: float
    fault: Mapping[str, Any] | None

    def __str__(self) -> str:
        what = [f"round {self.number}: {self.disturbance.name}", f"retries={self.retries}", f"call {self.victim}"]
        what += [self.moment] if self.moment else []
        what += ["goes on late"] if self.late else []
        what += [json.dumps(dict(self.fault))] if self.fault else []
        return ", ".join(what)


@dataclass(frozen=True)
class Disturbance:
    """One sort of trouble.

    :param strike: makes it, while the run is under way
    :param moments: those at which it may strike
    :param draw_fault: draws the simulator's fault
    :param runs: DAG runs at once, all with the same customers
    :param raises: whether the victim's process fails by itself at the moment, with no outcome known to it
    :param frees_slot: whether Airflow gives the lane away while the process that holds it lives on
    :param marks_success: whether the victim succeeds because a person said so, whatever its call did
    """

    name: str
    strike: Strike
    moments: tuple[str, ...] = ()
    draw_fault: Callable[[random.Random], dict[str, Any]] | None = None
    runs: int = 1
    raises: bool = False
    frees_slot: bool = False
    marks_success: bool = False


@dataclass(frozen=True)
class Verdict:
    """What became of one round's calls."""

    round: Round
    ends: Counter[str]
    rings: Counter[str]
    greatest: int
    violations: tuple[str, ...]
    seconds: float


class NeverCame(Exception):
    """The victim ended before it came to its moment: a round beside this one took the ledger's database down."""


@dataclass
class Play:
    """A round while it is played: its lane, its DAG runs, and the process that is struck."""

    round: Round
    airflow: LocalAirflow
    simulator: Simulator
    lane: str
    files: Path
    database: Service | None
    run_ids: list[str] = field(default_factory=list)
    times_down: int = 0

    @property
    def dag_id(self) -> str:
        return dag_name(self.lane, self.round.retries)

    @property
    def phones(self) -> list[str]:
        return [f"3{self.round.number:06d}{call:03d}" for call in range(CALLS)]

    @property
    def victim(self) -> tuple[str, int]:
        return task_of(self.round.victim)

    @property
    def victims_phone(self) -> str:
        return self.phones[self.round.victim]

    def begin(self) -> None:
        """Arm the fault and start the DAG runs."""
        self.simulator.latency = self.round.latency
        self.times_down = self.database.times_down if self.database else 0
        if self.round.fault:
            # What resets a connection unread cannot know whose request it is.
            phone = {} if self.round.fault["kind"] == UNREAD else {"phone": self.victims_phone}
            self.simulator.fault(**phone, **self.round.fault)
        if self.round.moment == IN_FLIGHT:
            self.simulator.fault("latency", phone=self.victims_phone, seconds=FLIGHT_SECONDS)
        conf: dict[str, Any] = {"phones": self.phones}
        if self.round.moment:
            conf["stand"] = {
                "phone": self.victims_phone,
                "at": self.round.moment,
                "files": str(self.files),
                "raises": self.round.disturbance.raises,
            }
        self.run_ids = [
            f"{self.files.parent.name}-{self.round.number}-{run}" for run in range(self.round.disturbance.runs)
        ]
        for run_id in self.run_ids:
            self._trigger(run_id, conf)

    def _trigger(self, run_id: str, conf: Mapping[str, Any]) -> None:
        try:
            self.airflow.trigger(self.dag_id, conf=conf, run_id=run_id)
        except Refused as refusal:
            # It was made by a request whose answer was an error.
            if refusal.status != HTTPStatus.CONFLICT:
                raise

    def process_at_the_moment(self) -> psutil.Process:
        """Wait until the victim has come to the moment, and return the process that makes its call.

        :raises NeverCame: it ended before
        """

        def come() -> bool:
            if self.round.moment == IN_FLIGHT:
                return self.simulator.rings[self.victims_phone] > 0
            return self._file("here").exists()

        def was_without_ledger() -> bool:
            return self.database is not None and self.database.times_down > self.times_down

        def ended() -> bool:
            return any(
                (task.task_id, task.map_index) == self.victim and task.state in FINISHED for task in self.tasks()
            )

        self.airflow.wait_until(
            # Airflow is only asked if need be: its answer takes longer than some moments last.
            lambda: come() or (was_without_ledger() and ended()),
            PATIENCE,
            f"{self.round} has come to its moment",
            evidence=self.tasks,
        )
        if not come():
            raise NeverCame
        try:
            return psutil.Process(int(self._file("pid").read_text()))
        except psutil.NoSuchProcess:
            if was_without_ledger():
                raise NeverCame from None
            raise

    def go_on(self, process: psutil.Process) -> None:
        """Let the old process go on: at once, or when its slot is another's, if another wants it."""

        def slot_was_used() -> bool:
            tasks = self.tasks()
            another_runs = any(task.state == "running" and task.pid != process.pid for task in tasks)
            return another_runs or all(task.state in FINISHED for task in tasks) or not is_alive(process)

        if self.round.late:
            self.airflow.wait_until(slot_was_used, PATIENCE, f"{self.round} may go on", evidence=self.tasks)
        self.let_go()

    def let_go(self) -> None:
        """Let whatever stands still go on."""
        self._file("go").touch()

    def database_down(self) -> contextlib.AbstractContextManager[None]:
        """Kill the ledger's database for as long as a ``with`` block lasts."""
        assert self.database
        return self.database.down()

    def settle(self) -> None:
        """Wait until the runs have ended and no process of theirs is left that could still call."""
        for run_id in self.run_ids:
            self.airflow.wait_for_run(self.dag_id, run_id, timeout=PATIENCE)
        if self._file("pid").exists():
            pid = int(self._file("pid").read_text())
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                self.airflow.wait_until(
                    lambda: not is_alive(process), PATIENCE, f"the old process of {self.round} ends"
                )

    def clear_what_failed(self) -> None:
        """Do what an engineer does who finds the runs failed: clear them, once."""
        for run_id in self.run_ids:
            if self.airflow.run_state(self.dag_id, run_id) == "failed":
                self.airflow.clear(self.dag_id, run_id, only_failed=True)
        self.settle()

    def tasks(self) -> list[TaskInstance]:
        return [task for run_id in self.run_ids for task in self.airflow.task_instances(self.dag_id, run_id)]

    def logs(self, run_id: str, task: TaskInstance) -> list[str]:
        """Return the logs of all tries; a try that never began has none."""
        logs = []
        for number in range(1, task.try_number + 1):
            with contextlib.suppress(Refused):
                logs.append(self.airflow.task_log(self.dag_id, run_id, task.task_id, number, task.map_index))
        return logs

    def xcom(self, run_id: str, task: TaskInstance) -> str | None:
        try:
            return str(self.airflow.xcom(self.dag_id, run_id, task.task_id, map_index=task.map_index))
        except Refused:
            return None

    def _file(self, name: str) -> Path:
        return self.files.with_name(f"{self.files.name}.{name}")


def task_of(call: int) -> tuple[str, int]:
    """Return the task id and map index of a run's call."""
    return (PLAIN, -1) if call == 0 else (MAPPED, call - 1)


# Surroundings

# Airflow's own are 5 s, 300 s and 10 s: what it does is the same, it only does it sooner. A heartbeat may be
# late on a busy machine, but not by 15 s.
QUICK_REACTIONS = {
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
}

# SQLite lets one write at a time. The api-server can lock itself out: one request has written and waits for
# the event loop to commit, on which another waits for the lock to write its line of the audit log. By default
# SQLite gives up after 5 s: that request is answered 500, and the scheduler, which has waited as long, dies.
# So the api-server gives up soon, and is asked again by `LocalAirflow`, while all others wait.
PATIENT_SQLITE = """
import sys

CONNECT_ARGS = {"timeout": 2 if "api-server" in sys.argv else 60}
"""


def quick_settings(home: Path) -> dict[str, str]:
    """Return the variables of a `LocalAirflow` in `home` that reacts quickly, in several lanes at once."""
    # On sys.path of every Airflow process.
    module = home / "config" / "patient_sqlite.py"
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_text(PATIENT_SQLITE)
    return {**QUICK_REACTIONS, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "patient_sqlite.CONNECT_ARGS"}


# The disturbances


def leave_alone(play: Play) -> None:
    """Do nothing: the trouble is the simulator's fault, the hook's own failure, or the other DAG run."""


def kill(play: Play) -> None:
    """Kill the task's process; Airflow notices by its supervisor."""
    play.process_at_the_moment().kill()


def lose(play: Play) -> None:
    """Kill the task's process and its supervisor, as a machine that is lost; Airflow notices by the heartbeat."""
    process = play.process_at_the_moment()
    supervisor = process.parent()
    # The supervisor first, so that it cannot report how the task ended.
    supervisor.kill()
    process.kill()


def clear(play: Play) -> None:
    """Clear the task while its process calls."""
    process = play.process_at_the_moment()
    task_id, map_index = play.victim
    which = [task_id if map_index < 0 else (task_id, map_index)]
    play.airflow.clear(play.dag_id, play.run_ids[0], which)
    play.go_on(process)


def mark(play: Play, state: str) -> None:
    """Mark the task while its process calls."""
    process = play.process_at_the_moment()
    task_id, map_index = play.victim
    play.airflow.set_task_state(play.dag_id, play.run_ids[0], task_id, state, map_index)
    play.go_on(process)


def freeze(play: Play) -> None:
    """Freeze the task's process and its supervisor, as a machine that swaps does, until Airflow gives them up."""
    process = play.process_at_the_moment()
    # The supervisor speaks for the task, so that neither is heard of any more.
    stopped = [process.parent(), process]
    before = play.airflow.task_instance(play.dag_id, play.run_ids[0], *play.victim)
    for each in stopped:
        each.send_signal(signal.SIGSTOP)
    try:

        def given_up() -> bool:
            now = play.airflow.task_instance(play.dag_id, play.run_ids[0], *play.victim)
            return (now.state, now.try_number) != (before.state, before.try_number)

        play.airflow.wait_until(given_up, PATIENCE, f"Airflow gives up the worker of {play.round}")
        play.go_on(process)
    finally:
        for each in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGCONT)


def restart_database(play: Play) -> None:
    """Kill the ledger's database, and start it again before the task's process goes on."""
    play.process_at_the_moment()
    with play.database_down():
        pass
    play.let_go()


def lose_database(play: Play) -> None:
    """Kill the ledger's database, and start it again once the task's process has done without it."""
    process = play.process_at_the_moment()
    with play.database_down():
        play.let_go()
        play.airflow.wait_until(lambda: not is_alive(process), PATIENCE, f"the process of {play.round} ends")


def _fault(kind: str, **options: Callable[[random.Random], Any]) -> Callable[[random.Random], dict[str, Any]]:
    return lambda draw: {"kind": kind, **{name: choose(draw) for name, choose in options.items()}}


def _either(draw: random.Random) -> bool:
    return draw.random() < 0.5


def _up_to(most: int) -> Callable[[random.Random], int]:
    return lambda draw: draw.randint(1, most)


STANDS = (BEFORE_THE_FENCES, AFTER_THE_INTENT, IN_FLIGHT, AFTER_THE_REPLY)

DISTURBANCES = (
    Disturbance("killed before the fences", kill, (BEFORE_THE_FENCES,)),
    Disturbance("killed after the intent", kill, (AFTER_THE_INTENT,)),
    Disturbance("killed in flight", kill, (IN_FLIGHT,)),
    Disturbance("killed after the reply", kill, (AFTER_THE_REPLY,)),
    Disturbance("killed after execute", kill, (AFTER_EXECUTE,)),
    Disturbance("worker lost", lose, STANDS),
    Disturbance("cleared while running", clear, STANDS, frees_slot=True),
    Disturbance("marked failed while running", partial(mark, state="failed"), STANDS, frees_slot=True),
    Disturbance(
        "marked success while running", partial(mark, state="success"), STANDS, frees_slot=True, marks_success=True
    ),
    Disturbance("worker frozen and given up", freeze, STANDS, frees_slot=True),
    Disturbance("hook fails after the intent", leave_alone, (AFTER_THE_INTENT,), raises=True),
    Disturbance("hook fails after the reply", leave_alone, (AFTER_THE_REPLY,), raises=True),
    Disturbance("connection reset unread", leave_alone, draw_fault=_fault(UNREAD)),
    Disturbance("connection reset after ringing", leave_alone, draw_fault=_fault("drop_after_ringing")),
    Disturbance("no answer", leave_alone, draw_fault=_fault("stall", ring=_either)),
    Disturbance("answer cut off", leave_alone, draw_fault=_fault("cut_body", ring=_either)),
    Disturbance("server error", leave_alone, draw_fault=_fault("server_error", ring=_either)),
    Disturbance("token busy", leave_alone, draw_fault=_fault("busy", times=_up_to(6))),
    Disturbance("API switched off", leave_alone, draw_fault=_fault("api_off", times=_up_to(4))),
    Disturbance("two runs, same customers", leave_alone, runs=2),
)
OF_THE_LEDGER = (
    Disturbance("ledger's database restarted", restart_database, STANDS),
    Disturbance("ledger's database lost", lose_database, STANDS),
)


def drawn(rounds: int, seed: int, disturbances: Sequence[Disturbance] = DISTURBANCES) -> list[Round]:
    """Return the rounds of a seed: every disturbance in turn, all else by chance."""
    draw = random.Random(seed)
    chosen: list[Disturbance] = []
    while len(chosen) < rounds:
        chosen += draw.sample(disturbances, len(disturbances))
    return [
        Round(
            number=number,
            disturbance=disturbance,
            retries=draw.choice(RETRIES),
            victim=draw.randrange(CALLS),
            moment=draw.choice(disturbance.moments) if disturbance.moments else None,
            late=_either(draw),
            latency=round(draw.uniform(0, 0.3), 2),
            fault=disturbance.draw_fault(draw) if disturbance.draw_fault else None,
        )
        for number, disturbance in enumerate(chosen[:rounds], start=1)
    ]


# The judgement


def judge(play: Play, seconds: float) -> Verdict:
    """Compare what Airflow says of each call with what the phones say."""
    rings = play.simulator.rings
    violations: list[str] = []
    ends: Counter[str] = Counter()
    conn_ids: Counter[str] = Counter()
    runs = len(play.run_ids)
    for phone, times in rings.items():
        if times > (runs if phone in play.phones else 0):
            violations.append(f"{phone} rang {times} times in {runs} DAG run(s) with {play.phones}")
    for run_id in play.run_ids:
        for task in play.airflow.task_instances(play.dag_id, run_id):
            phone = play.phones[0 if task.task_id == PLAIN else task.map_index + 1]
            by_hand = play.round.disturbance.marks_success and (task.task_id, task.map_index) == play.victim
            rang = {call.conn_id for call in play.simulator.calls if call.phone == phone}
            end, wrong = _end(play, run_id, task, rang, by_hand)
            ends[end] += 1
            if end == "succeeded":
                conn_ids[play.xcom(run_id, task) or ""] += 1
            if wrong:
                violations.append(f"{task.task_id} [{task.map_index}] of {run_id}, {rings[phone]} rings: {wrong}")
    violations += [f"{count} calls have the conn_id {conn_id}" for conn_id, count in conn_ids.items() if count > 1]
    greatest = play.simulator.stats().greatest_simultaneous
    if greatest > (2 if play.round.disturbance.frees_slot else 1):
        violations.append(f"the token was used by {greatest} requests at once")
    return Verdict(play.round, ends, rings, greatest, tuple(violations), seconds)


def _end(play: Play, run_id: str, task: TaskInstance, rang: set[str], by_hand: bool) -> tuple[str, str]:
    """Return how one call ended, and what is wrong with that."""
    if task.state == "success":
        conn_id = play.xcom(run_id, task)
        if conn_id is None and by_hand:
            return "by hand", ""
        return "succeeded", "" if conn_id in rang else f"succeeded with {conn_id!r}, but these rang: {rang}"
    if task.state != "failed":
        return "lost", f"ended {task.state}"
    log = play.logs(run_id, task)
    last = log[-1].lower() if log else ""
    if any(words in last for words in SAYS_UNKNOWN):
        return "unknown", ""
    if any(words in last for words in SAYS_NO_RING):
        # Two runs with the same customers: which of them rang is told by the conn_ids of those that succeeded. And a
        # try that finds no ledger speaks of itself alone.
        told_before = any(words in each.lower() for each in log for words in SAYS_UNKNOWN)
        mistaken = rang and len(play.run_ids) == 1 and not (play.database and told_before)
        return "not made", "its log says that no phone rang" if mistaken else ""
    return "silent", f"failed without a reason in its last log:\n{last[-1500:]}"


# The rounds


class Chaos:
    """An Airflow, and for each lane a simulator, so that rounds in several lanes can be played at once."""

    def __init__(
        self, airflow: LocalAirflow, simulators: Mapping[str, Simulator], folder: Path, database: Service | None
    ) -> None:
        self._airflow = airflow
        self._simulators = simulators
        self._folder = folder
        self._database = database
        self._rings: Counter[str] = Counter()

    @classmethod
    @contextlib.contextmanager
    def through(cls, airflow: LocalAirflow, database: Service | None = None) -> Iterator[Chaos]:
        """Give a running Airflow what the rounds need: DAGs, connections, pools, simulators.

        :param database: the ledger's, if there is one
        """
        with contextlib.ExitStack() as undo:
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
            simulators = {lane: undo.enter_context(Simulator()) for lane in LANES}
            connections = folder / "connections.json"
            connections.write_text(json.dumps({lane: _connection(sim) for lane, sim in simulators.items()}))
            airflow.add_dags(*DAG_FILES)
            airflow.cli("connections", "import", "--overwrite", str(connections))
            airflow.cli("wolkvox", "sync-pools")
            yield cls(airflow, simulators, folder, database)

    def play(self, rounds: Sequence[Round], tell: Callable[[Verdict], None] = lambda verdict: None) -> list[Verdict]:
        """Play the rounds, as many at once as there are lanes, and return the verdicts."""
        lanes: queue.SimpleQueue[str] = queue.SimpleQueue()
        for lane in self._simulators:
            lanes.put(lane)

        telling = threading.Lock()

        def play_one(round_: Round) -> Verdict:
            lane = lanes.get()
            try:
                verdict = self._play(round_, lane)
            finally:
                lanes.put(lane)
            with telling:
                tell(verdict)
            return verdict

        with ThreadPoolExecutor(len(self._simulators)) as players:
            return list(players.map(play_one, rounds))

    def late_rings(self, verdicts: Sequence[Verdict]) -> list[str]:
        """Return which phones rang after they had been judged; to be asked when all rounds are over."""
        rang = sum((simulator.rings for simulator in self._simulators.values()), self._rings)
        judged = sum((verdict.rings for verdict in verdicts), Counter())
        return [f"{phone} rang {times} times after its round" for phone, times in (rang - judged).items()]

    def _play(self, round_: Round, lane: str) -> Verdict:
        simulator = self._simulators[lane]
        # The lane is quiet: the last round's processes have ended.
        self._rings += simulator.rings
        simulator.reset()
        play = Play(round_, self._airflow, simulator, lane, self._folder / f"round-{round_.number}", self._database)
        began = time.monotonic()
        try:
            play.begin()
            with contextlib.suppress(NeverCame):
                round_.disturbance.strike(play)
            play.settle()
            play.clear_what_failed()
            return judge(play, time.monotonic() - began)
        except (LocalAirflowError, requests.RequestException, psutil.Error) as failure:
            # The lane is needed.
            play.let_go()
            stuck = f"the round could not be played: {failure}"
            return Verdict(round_, Counter(), simulator.rings, 0, (stuck,), time.monotonic() - began)


def lost_rings(ledger_url: str, verdicts: Sequence[Verdict]) -> list[str]:
    """Return which rings the ledger does not show as accepted or in doubt."""
    rang = sum((verdict.rings for verdict in verdicts), Counter())
    with contextlib.closing(ledger_at(ledger_url)) as ledger:
        may_have_rung = [state for state in CallState if state.may_have_rung]
        known = {phone: ledger.find(customer=PhoneNumber.parse(phone).key(""), states=may_have_rung) for phone in rang}
    return [
        f"{phone} rang {times} times, and the ledger shows {len(known[phone])} calls that may have rung"
        for phone, times in rang.items()
        if len(known[phone]) < times
    ]


def _connection(simulator: Simulator) -> dict[str, str]:
    extra = {"base_url": simulator.base_url, "total_timeout": TOTAL_TIMEOUT}
    return {
        "conn_type": "wolkvox",
        "host": SERVER,
        "password": simulator.token,
        "extra": json.dumps(extra),
    }


# The tally

ENDS = ("succeeded", "by hand", "unknown", "not made")
HEADS = ("disturbance", "rounds", "calls", "rings", "succeeded", "marked", "unknown*", "not made*", "two at once")


def tally(verdicts: Sequence[Verdict]) -> str:
    """Return the table: a line for each disturbance, and the sums."""
    by_name: dict[str, list[Verdict]] = {disturbance.name: [] for disturbance in (*DISTURBANCES, *OF_THE_LEDGER)}
    for verdict in verdicts:
        by_name[verdict.round.disturbance.name].append(verdict)
    rows = [(name, *_numbers(found)) for name, found in by_name.items() if found]
    rows.append(("all", *_numbers(verdicts)))
    table = [(*HEADS, "violations"), *((str(cell) for cell in row) for row in rows)]
    lines = [tuple(line) for line in table]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines) + (
        "\n* with the reason in the task's log"
    )


def _numbers(verdicts: Sequence[Verdict]) -> tuple[int, ...]:
    ends = sum((verdict.ends for verdict in verdicts), Counter())
    return (
        len(verdicts),
        ends.total(),
        sum(verdict.rings.total() for verdict in verdicts),
        *(ends[end] for end in ENDS),
        sum(verdict.greatest > 1 for verdict in verdicts),
        sum(len(verdict.violations) for verdict in verdicts),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=50, help="rounds to play (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="plays the rounds of an earlier run (default: by chance)")
    parser.add_argument("--home", type=Path, help="Airflow's home, kept afterwards (default: one that is removed)")
    parser.add_argument("--only", metavar="WORDS", default="", help="only disturbances whose name has these words")
    parser.add_argument(
        "--memory", choices=("ledger", "airflow"), default="ledger", help="what remembers calls (default: %(default)s)"
    )
    given = parser.parse_args()
    if given.home and given.home.exists() and any(given.home.iterdir()):
        # Its unfinished runs would call in the middle of ours.
        parser.error(f"{given.home} is not empty; name a new folder")
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    has_ledger = given.memory == "ledger"
    if has_ledger and (missing := missing_programs("postgresql")):
        print(f"This machine has no {', no '.join(missing)}: there is no ledger, and Airflow's own memory has to do.")
        has_ledger = False
    disturbances = [each for each in (*DISTURBANCES, *(OF_THE_LEDGER if has_ledger else ())) if given.only in each.name]
    if not disturbances:
        parser.error(f"no disturbance's name has the words {given.only!r}")
    rounds = drawn(given.rounds, seed, disturbances)
    print(f"{len(rounds)} rounds in {len(LANES)} lanes, seed {seed}", flush=True)
    began = time.monotonic()

    def tell(verdict: Verdict) -> None:
        ends = ", ".join(f"{count} {end}" for end, count in sorted(verdict.ends.items()))
        print(f"{verdict.round}: {ends}; {verdict.rings.total()} rings, {verdict.seconds:.0f} s", flush=True)
        for violation in verdict.violations:
            print(f"  VIOLATION: {violation}", flush=True)

    with contextlib.ExitStack() as undo:
        home = given.home or Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="airflow-chaos-")))
        env, database, ledger_url = quick_settings(home), None, ""
        if has_ledger:
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="ledger-chaos-")))
            # PostgreSQL's own user has to pass.
            folder.chmod(0o755)
            ledger_url, database = undo.enter_context(running_postgres(folder))
            env |= {
                "AIRFLOW__WOLKVOX__LEDGER_CONN_ID": "wolkvox_ledger",
                "AIRFLOW_CONN_WOLKVOX_LEDGER": ledger_url,
            }
        airflow = undo.enter_context(LocalAirflow(home, env=env, parallelism=2 * len(LANES)))
        if has_ledger:
            airflow.wolkvox("ledger", "init")
        chaos = undo.enter_context(Chaos.through(airflow, database))
        verdicts = chaos.play(rounds, tell)
        late = chaos.late_rings(verdicts)
        late += lost_rings(ledger_url, verdicts) if has_ledger else []
    for each in late:
        print(f"VIOLATION: {each}")
    print(f"\n{tally(verdicts)}\n\n{time.monotonic() - began:.0f} s, seed {seed}")
    return 1 if late or any(verdict.violations for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
