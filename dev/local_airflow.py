"""A real Airflow on one machine, for the demo and for the tests that need a real scheduler.

    with LocalAirflow(home=Path(".airflow-demo"), dags=Path("example_dags")) as airflow:
        run_id = airflow.trigger("callbacks")
        assert airflow.wait_for_run("callbacks", run_id) == "success"

Scheduler, dag-processor and api-server run as processes of this same interpreter, with LocalExecutor, SQLite
and an ``AIRFLOW_HOME`` of their own. They listen on 127.0.0.1 only, read none of the developer's own
``AIRFLOW*`` variables, and are gone when the ``with`` block is left, however it is left.

This is Airflow 3; `local_airflow_2.LocalAirflow2` is Airflow 2.11, and `installed()` the one that is installed.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import importlib.metadata
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import psutil
import requests

T = TypeVar("T")

LOOPBACK = "127.0.0.1"

# Every process of one LocalAirflow carries this variable, with its home as value. Parentage cannot find them
# all: a LocalExecutor worker outlives a killed scheduler, a BashOperator's command has a session of its own.
MARK = "LOCAL_AIRFLOW_HOME"

FINISHED = frozenset({"success", "failed"})

# A look at the REST API costs it some 10 ms; more often would slow down what is waited for.
POLL_SECONDS = 0.2
STOP_POLL_SECONDS = 0.05
DATABASE_TRIES = 5
# Everything is in the database within half a second of SIGTERM. What then lingers only waits: an executor's
# worker up to 5 s for the next heartbeat of a task that is over, the scheduler for its workers.
STOP_GRACE_SECONDS = 2.0


class LocalAirflowError(RuntimeError):
    """Airflow did not do what was asked of it; the message holds what Airflow itself said."""


class CommandFailed(LocalAirflowError):
    """An ``airflow ...`` command ended with an error."""


class ComponentDied(LocalAirflowError):
    """A component ended by itself; the message holds the end of its log."""


class Refused(LocalAirflowError):
    """The REST API answered with an error status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class WaitedTooLong(LocalAirflowError, TimeoutError):
    """A condition did not come true in time."""


@dataclass(frozen=True)
class Component:
    """One process of Airflow: its command, ``{port}`` standing for the API's, and how it tells that it works.

    :param job: the type of the job whose heartbeat it keeps in the database, None if it keeps none
    :param ready: what its log says once it works, for a component that keeps no job
    """

    name: str
    command: tuple[str, ...]
    job: str | None = None
    ready: str | None = None


# Options that 3.0 to 3.3 share. `--skip-serve-logs`: the log server of scheduler and triggerer listens on all
# addresses and cannot be told otherwise; nobody misses it, since the api-server reads the same folder.
API_SERVER = Component("api-server", ("api-server", "--host", LOOPBACK, "--port", "{port}", "--workers", "1"))
SCHEDULER = Component("scheduler", ("scheduler", "--skip-serve-logs"), job="SchedulerJob")
DAG_PROCESSOR = Component("dag-processor", ("dag-processor",), job="DagProcessorJob")
TRIGGERER = Component("triggerer", ("triggerer", "--skip-serve-logs"), job="TriggererJob")

# The api-server first: it takes longest to come up.
AIRFLOW_3 = (API_SERVER, SCHEDULER, DAG_PROCESSOR)


@dataclass(frozen=True)
class TaskInstance:
    """What the REST API tells of one task instance; ``pid`` is the process that runs the operator."""

    task_id: str
    map_index: int
    state: str | None
    pool: str
    try_number: int
    max_tries: int
    start: datetime | None
    end: datetime | None
    pid: int | None
    hostname: str | None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Read one entry of the API's ``task_instances``."""
        return cls(
            task_id=answer["task_id"],
            map_index=answer["map_index"],
            state=answer["state"],
            pool=answer["pool"],
            try_number=answer["try_number"],
            max_tries=answer["max_tries"],
            start=_moment(answer["start_date"]),
            end=_moment(answer["end_date"]),
            pid=answer["pid"],
            hostname=answer["hostname"] or None,
        )


class LocalAirflow:
    """Airflow's components, started on entry and ended on exit.

    :param home: the ``AIRFLOW_HOME``. A home used before is started faster: its database is migrated already,
        and its runs are still there.
    :param dags: a folder, used where it is, or single files, copied to ``home/dags`` anew at each start.
    :param connections: connection id to a URI, or to a connection's fields (``conn_type``, ``host`` ...).
    :param env: further variables for every process; they win over the settings chosen here. Heartbeats are left
        as Airflow has them: a task that fails, or is killed, keeps its state and its pool slot for up to 5 s more
        (``AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL``).
    :param parallelism: how many tasks LocalExecutor runs at once.
    :param components: what to run; `COMPONENTS` if not given. Add ``TRIGGERER`` for deferrable operators.
    :param start_timeout: seconds until every component must have reported.
    :param on_step: gets, for people, what the start waits for from then on.
    """

    COMPONENTS = AIRFLOW_3
    REST = "/api/v2"

    def __init__(
        self,
        home: Path,
        dags: Path | Sequence[Path] = (),
        *,
        connections: Mapping[str, str | Mapping[str, Any]] | None = None,
        env: Mapping[str, str] | None = None,
        parallelism: int = 8,
        components: Sequence[Component] | None = None,
        start_timeout: float = 600.0,
        on_step: Callable[[str], None] = lambda what: None,
    ) -> None:
        self.home = Path(home).resolve()
        self.dags_folder = dags.resolve() if isinstance(dags, Path) else self.home / "dags"
        # None: the folder is the caller's, and nothing is written there.
        self._dag_files = None if isinstance(dags, Path) else tuple(dags)
        self._connections = dict(connections or {})
        self._additions = dict(env or {})
        self._parallelism = parallelism
        self._components = tuple(self.COMPONENTS if components is None else components)
        self._start_timeout = start_timeout
        self._on_step = on_step

        self.api_url = ""
        self._port = 0
        self.environment: dict[str, str] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started = datetime.min.replace(tzinfo=UTC)
        self._undo = contextlib.ExitStack()
        self._http = requests.Session()
        # Neither a proxy nor a .netrc has anything to say about loopback.
        self._http.trust_env = False

    # Start and stop

    def __enter__(self) -> Self:
        """Start everything; return when all components have reported."""
        if self._dag_files is None and not self.dags_folder.is_dir():
            raise LocalAirflowError(f"There is no DAG folder {self.dags_folder}. Nothing was started.")
        try:
            self._start()
        except BaseException:
            # Ctrl-C included: whatever has been started by now must not outlive us.
            self._undo.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every process of this Airflow."""
        self._undo.close()

    def _start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "logs").mkdir(exist_ok=True)
        self._undo.enter_context(_sole_use_of(self.home))
        # Left over from a harness that was killed together with its warden.
        end_processes(self.home)
        self._undo.callback(self._http.close)

        if self._dag_files is not None:
            shutil.rmtree(self.dags_folder, ignore_errors=True)
            self.dags_folder.mkdir()
            self.add_dags(*self._dag_files)

        port = self._undo.enter_context(reserved_port())
        self.api_url = f"http://{LOOPBACK}:{port}"
        self._port = port
        self.environment = self._make_environment(port)

        self._undo.enter_context(warden(self.home))
        self._undo.callback(self._stop)
        self._migrate()
        self._started = datetime.now(UTC)
        for component in self._components:
            self._launch(component)

        def logs() -> str:
            return "\n".join(self._end_of_log(component.name) for component in self._components)

        self._on_step("Airflow's api-server starts")
        self.wait_until(self._api_answers, self._start_timeout, "the api-server answers", evidence=logs)
        self._on_step("Airflow's scheduler and dag-processor report")
        self.wait_until(self._all_report, self._start_timeout, "every component has reported", evidence=logs)

    def start(self, component: Component) -> None:
        """Start one more component, and return when it works; its name must not be another's.

        Only for a component that tells by its log that it works.
        """
        if component.name in self._running:
            raise LocalAirflowError(f"There is a {component.name} already. Nothing was started.")
        if not component.ready:
            raise LocalAirflowError(f"Nothing would tell when {component.name} works. Nothing was started.")
        self._launch(component)
        self.wait_until(
            lambda: self._says_ready(component),
            self._start_timeout,
            f"{component.name} works",
            evidence=lambda: self._end_of_log(component.name),
        )

    def kill(self, name: str) -> list[psutil.Process]:
        """Kill a component and all processes below it at once, as a machine that is lost, and return them."""
        component = self._running.pop(name)
        killed = kill_tree(psutil.Process(component.pid))
        component.wait()
        return killed

    def _make_environment(self, port: int) -> dict[str, str]:
        # The developer's own Airflow is no business of ours. And Airflow behaves differently where it finds
        # pytest's variables: it raises where it would warn, and caches no loggers.
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW", "PYTEST"))
        }
        never_proxied = ",".join(
            filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), LOOPBACK, "localhost"])
        )
        chosen = {
            MARK: str(self.home),
            # setproctitle writes over the memory that /proc/PID/environ shows, and the mark with it.
            "SPT_NOENV": "1",
            "PYTHONUNBUFFERED": "1",
            # Task processes reach the api-server with httpx, which would take a proxy from the environment.
            "NO_PROXY": never_proxied,
            "no_proxy": never_proxied,
            "AIRFLOW_HOME": str(self.home),
            **_as_variables(self._options(port)),
        }
        connections = {
            f"AIRFLOW_CONN_{conn_id.upper()}": value if isinstance(value, str) else json.dumps(dict(value))
            for conn_id, value in self._connections.items()
        }
        return {**inherited, **chosen, **connections, **self._additions}

    def _options(self, port: int) -> dict[tuple[str, str], object]:
        """Airflow's options; all exist from 3.0 to 3.3 (``[api] secret_key`` from 3.1)."""
        keys = _keys(self.home)
        url = f"http://{LOOPBACK}:{port}"
        return {
            **self._common_options(keys),
            ("core", "simple_auth_manager_all_admins"): True,
            ("core", "execution_api_server_url"): f"{url}/execution/",
            ("api", "base_url"): url,
            ("api", "host"): LOOPBACK,
            ("api", "port"): port,
            ("api", "secret_key"): keys["secret_key"],
            ("api_auth", "jwt_secret"): keys["jwt_secret"],
            # How soon a new file is seen: after 300 s by default, looked after every 5 s.
            ("dag_processor", "refresh_interval"): 1,
            ("dag_processor", "bundle_refresh_check_interval"): 1,
            # A changed file is parsed as soon as it is seen; parsing the others anew every 30 s, the default, would
            # take the processor from the tasks.
            ("dag_processor", "min_file_process_interval"): 300,
        }

    def _common_options(self, keys: Mapping[str, str]) -> dict[tuple[str, str], object]:
        """Options that 2.11 has as well."""
        return {
            ("core", "dags_folder"): self.dags_folder,
            ("core", "plugins_folder"): self.home / "plugins",
            ("core", "load_examples"): False,
            ("core", "executor"): "LocalExecutor",
            ("core", "parallelism"): self._parallelism,
            ("core", "fernet_key"): keys["fernet_key"],
            # The default asks DNS for the machine's full name, which can take seconds where there is no DNS.
            ("core", "hostname_callable"): "socket.gethostname",
            # By default a changed DAG is not written again within 30 s of the last time.
            ("core", "min_serialized_dag_update_interval"): 0,
            ("database", "sql_alchemy_conn"): f"sqlite:///{self.home / 'airflow.db'}",
            ("logging", "base_log_folder"): self.home / "logs",
            ("api", "maximum_page_limit"): _PAGE,
            # The scheduler sleeps this long after a round that had nothing to do; 1 s by default, and a run needs
            # several rounds.
            ("scheduler", "scheduler_idle_sleep_time"): 0.1,
        }

    def _migrate(self) -> None:
        version = importlib.metadata.version("apache-airflow")
        migrated_by = self.home / "migrated-by"
        if migrated_by.exists() and migrated_by.read_text() == version:
            return
        self._on_step("Airflow's database is created")
        self.cli("db", "migrate", timeout=self._start_timeout)
        migrated_by.write_text(version)

    def _launch(self, component: Component) -> None:
        command = [part.format(port=self._port) for part in component.command]
        with self._log_path(component.name).open("wb") as log:
            self._running[component.name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *command],
                env=self.environment,
                # `python -m` puts the working directory first on sys.path: none that holds an `airflow`.
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A session of its own keeps a Ctrl-C at the terminal to us, who end it in order.
                start_new_session=True,
            )

    def _api_answers(self) -> bool:
        try:
            # A task's first request makes the api-server build the execution API's versions, which takes over
            # two seconds. Here it does so while scheduler and dag-processor are starting.
            self._http.get(f"{self.api_url}/execution/health", timeout=60).raise_for_status()
            # From 3.1 on an open api-server puts an admin's token into every request itself; 3.0 does not.
            token = self._http.get(f"{self.api_url}/auth/token", timeout=60)
            token.raise_for_status()
        except (requests.ConnectionError, requests.Timeout):
            return False
        self._http.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
        return True

    def _all_report(self) -> bool:
        # Not /monitor/health, which knows one scheduler only. A home used before still holds the jobs of last time,
        # so one that runs proves nothing by itself.
        jobs = self._get("/jobs", job_state="running", order_by="-latest_heartbeat", limit=_PAGE)["jobs"]
        beating = Counter(
            job["job_type"]
            for job in jobs
            if (beat := _moment(job["latest_heartbeat"])) is not None and beat >= self._started
        )
        wanted = Counter(component.job for component in self._components if component.job)
        return wanted <= beating and all(self._says_ready(each) for each in self._components if each.ready)

    def _says_ready(self, component: Component) -> bool:
        return str(component.ready) in self.component_log(component.name)

    def _stop(self) -> None:
        end_processes(self.home, asked_first=list(self._running.values()))
        self._running.clear()

    def component_of(self, pid: int) -> str | None:
        """Return the name of the component that a process is, or is below of; None if it is none's."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            line = {process.pid, *(parent.pid for parent in process.parents())}
            return next((name for name, running in self._running.items() if running.pid in line), None)
        return None

    def processes(self) -> list[psutil.Process]:
        """Every living process of this Airflow: components, executor workers, tasks and their children."""
        return processes_of(self.home)

    # Commands and looks

    def cli(self, *arguments: str, check: bool = True, timeout: float = 600.0) -> subprocess.CompletedProcess[str]:
        """Run ``airflow <arguments>`` in this Airflow's environment.

        :raises CommandFailed: with what the command printed, unless ``check`` is false.
        """
        return self._run("airflow", *arguments, check=check, timeout=timeout)

    def wolkvox(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the provider in this Airflow's environment.

        :raises CommandFailed: with what the command printed, unless ``check`` is false.
        """
        return self._run("airflow_provider_wolkvox", *arguments, check=check, timeout=600.0)

    def _run(self, *command: str, check: bool, timeout: float) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise CommandFailed(f"`{' '.join(command)}` ended with {done.returncode}.\n{done.stdout}\n{done.stderr}")
        return done

    def wait_until(
        self,
        predicate: Callable[[], T | Literal[False] | None],
        timeout: float,
        what: str,
        *,
        evidence: Callable[[], object] | None = None,
    ) -> T:
        """Poll until ``predicate()`` is true, and return what it returned.

        :param what: the condition in words, for the message.
        :param evidence: called when time is up; its answer is put into the message.
        :raises WaitedTooLong: when time is up.
        :raises ComponentDied: when a component ends meanwhile, since then nothing will come true any more.
        """
        deadline = time.monotonic() + timeout
        while True:
            self._require_all_alive()
            if result := predicate():
                return result
            if time.monotonic() >= deadline:
                seen = f"\nSeen instead: {evidence()}" if evidence else ""
                raise WaitedTooLong(f"Waited {timeout:g} s in vain until {what}.{seen}")
            time.sleep(POLL_SECONDS)

    def _require_all_alive(self) -> None:
        for name, process in self._running.items():
            if (code := process.poll()) is not None:
                raise ComponentDied(f"Airflow's {name} ended with {code}.\n{self._end_of_log(name)}")

    def component_log(self, name: str) -> str:
        """What a component has printed since this start."""
        path = self._log_path(name)
        return path.read_text(errors="replace") if path.exists() else ""

    def scheduler_log(self) -> str:
        """What the scheduler has printed since this start."""
        return self.component_log(SCHEDULER.name)

    def _log_path(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def _end_of_log(self, name: str, lines: int = 40) -> str:
        end = self.component_log(name).splitlines()[-lines:]
        return "\n".join([f"--- the end of {self._log_path(name)}", *end])

    # DAGs and runs

    def add_dags(self, *files: Path) -> None:
        """Copy files into ``home/dags``; the dag-processor sees them within two seconds."""
        if self._dag_files is None:
            raise LocalAirflowError(f"{self.dags_folder} is used where it is. Nothing was copied there.")
        for file in files:
            shutil.copy(file, self.dags_folder / Path(file).name)

    def dag_ids(self) -> set[str]:
        """The DAGs that Airflow knows."""
        return {dag["dag_id"] for dag in self._get("/dags", limit=_PAGE)["dags"]}

    def import_errors(self) -> dict[str, str]:
        """File name, relative to the DAG folder, to the traceback of its last parsing."""
        found = self._get("/importErrors", limit=_PAGE)["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in found}

    def wait_for_dag(self, dag_id: str, timeout: float = 600.0) -> None:
        """Wait until the dag-processor has parsed the DAG's file, as it is now, since this start.

        :raises LocalAirflowError: at once if a file that names this DAG cannot be imported.
        """
        self.wait_until(
            lambda: self._is_parsed(dag_id),
            timeout,
            f"the DAG {dag_id} is parsed",
            evidence=lambda: f"the DAGs {sorted(self.dag_ids())}, the import errors {self.import_errors()}",
        )

    def _is_parsed(self, dag_id: str) -> bool:
        for error in self._get("/importErrors", limit=_PAGE)["import_errors"]:
            file = self.dags_folder / error["filename"]
            current = file.exists() and self._is_news(error["timestamp"], file)
            if current and dag_id in file.read_text(errors="replace"):
                raise LocalAirflowError(
                    f"{file} cannot be imported, so there is no DAG {dag_id}.\n{error['stack_trace']}"
                )
        dag = self._found(f"/dags/{dag_id}")
        return dag is not None and self._is_news(dag["last_parsed_time"], Path(dag["fileloc"]))

    def _is_news(self, parsed: str | None, file: Path) -> bool:
        # The database of a home used before tells of last time's files; and a file may be edited under way.
        changed = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        return (moment := _moment(parsed)) is not None and moment >= max(self._started, changed)

    def trigger(
        self,
        dag_id: str,
        *,
        conf: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: datetime | None = None,
        timeout: float = 600.0,
    ) -> str:
        """Start a run, and return its id; a DAG not parsed yet is waited for, a paused one unpaused.

        Without a ``logical_date`` the run has none, as with any bare trigger over the REST API.
        """
        self.wait_for_dag(dag_id, timeout)
        self.unpause(dag_id)
        body = {
            "conf": dict(conf or {}),
            **self._of_a_run(logical_date),
        }
        if run_id is not None:
            body["dag_run_id"] = run_id
        return str(self._send("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def _of_a_run(self, logical_date: datetime | None) -> dict[str, Any]:
        return {"logical_date": logical_date.isoformat() if logical_date else None}

    def unpause(self, dag_id: str) -> None:
        """Let the DAG's runs go ahead. DAGs start paused, so that no schedule runs unasked."""
        self._send("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def run_state(self, dag_id: str, run_id: str) -> str:
        """``queued``, ``running``, ``success`` or ``failed``."""
        return str(self._get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 600.0) -> str:
        """Wait for the end of a run, and return ``success`` or ``failed``."""
        return self.wait_until(
            lambda: (state := self.run_state(dag_id, run_id)) in FINISHED and state,
            timeout,
            f"the run {run_id} of {dag_id} has ended",
            evidence=lambda: [
                (task.task_id, task.map_index, task.state) for task in self.task_instances(dag_id, run_id)
            ],
        )

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """All task instances of a run, by task id and map index."""
        answer = self._get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=_PAGE)
        found = [TaskInstance.of(entry) for entry in answer["task_instances"]]
        return sorted(found, key=lambda task: (task.task_id, task.map_index))

    def task_instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> TaskInstance:
        """Return one task instance as it is now."""
        for task in self.task_instances(dag_id, run_id):
            if (task.task_id, task.map_index) == (task_id, map_index):
                return task
        raise LocalAirflowError(f"The run {run_id} of {dag_id} has no task {task_id} [{map_index}].")

    def wait_for_task(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        states: Iterable[str],
        *,
        map_index: int = -1,
        try_number: int | None = None,
        timeout: float = 600.0,
    ) -> TaskInstance:
        """Wait until a task is in one of the states (and, if given, in that try), and return it."""
        wanted = frozenset(states)

        def arrived() -> TaskInstance | None:
            for task in self.task_instances(dag_id, run_id):
                if (
                    (task.task_id, task.map_index) == (task_id, map_index)
                    and task.state in wanted
                    and try_number in (None, task.try_number)
                ):
                    return task
            return None

        return self.wait_until(
            arrived,
            timeout,
            f"{task_id} [{map_index}] of {run_id} is {' or '.join(sorted(wanted))}",
            evidence=lambda: self.task_instances(dag_id, run_id),
        )

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return the value that a task pushed.

        :raises Refused: with status 404 if it pushed none.
        """
        return self._get(
            f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}", map_index=map_index
        )["value"]

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """One try's log as the UI shows it, a line per entry, with the traceback of an error."""
        answer = self._get(
            f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}",
            map_index=map_index,
            full_content="true",
        )
        return "\n".join(_line(entry) for entry in answer["content"])

    def clear(
        self,
        dag_id: str,
        run_id: str,
        task_ids: Sequence[str | tuple[str, int]] | None = None,
        *,
        only_failed: bool = False,
        include_downstream: bool = False,
        include_upstream: bool = False,
    ) -> list[tuple[str, int]]:
        """Clear tasks so that they run again, and return which (task id, map index) were cleared.

        :param task_ids: task ids, or pairs with a map index; all tasks of the run if left out.
        """
        body = {
            # The API's own default is a dry run.
            "dry_run": False,
            "dag_run_id": run_id,
            "only_failed": only_failed,
            "include_downstream": include_downstream,
            "include_upstream": include_upstream,
            "reset_dag_runs": True,
        }
        if task_ids is not None:
            body["task_ids"] = list(task_ids)
        answer = self._send("POST", f"/dags/{dag_id}/clearTaskInstances", body)
        # 2.11 clears a task with all of its map indexes, and tells of none.
        return [(entry["task_id"], entry.get("map_index", -1)) for entry in answer["task_instances"]]

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """Mark a task ``success``, ``failed`` or ``skipped``, as a person does in the UI."""
        place = f"/{map_index}" if map_index >= 0 else ""
        self._send("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}{place}", {"new_state": state})

    # The REST API

    def _found(self, path: str) -> dict[str, Any] | None:
        try:
            return self._get(path)
        except Refused as refusal:
            if refusal.status == requests.codes.not_found:
                return None
            raise

    def _get(self, path: str, **query: Any) -> dict[str, Any]:
        return self._request("GET", path, params=query)

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._request(method, path, json=body)

    def _request(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        for tries_left in reversed(range(DATABASE_TRIES)):
            answer = self._http.request(
                method, f"{self.api_url}{self.REST}{path}", headers={"Accept": "application/json"}, timeout=90, **how
            )
            # The api-server can lock itself out of its SQLite: one request has written and waits for the event
            # loop to commit, while another one blocks that loop with a write of its own. Nothing was changed.
            locked = answer.status_code == requests.codes.server_error and "Database error" in answer.text
            if not (locked and tries_left):
                break
        if not answer.ok:
            raise Refused(f"{method} {path} was answered {answer.status_code}: {answer.text}", answer.status_code)
        entries: dict[str, Any] = answer.json()
        return entries


# More than any run here has tasks: `max_map_length` is 1,024. The API's own limit is raised to match.
_PAGE = 5000


def _as_variables(options: Mapping[tuple[str, str], object]) -> dict[str, str]:
    return {f"AIRFLOW__{part.upper()}__{name.upper()}": str(value) for (part, name), value in options.items()}


def _keys(home: Path) -> dict[str, str]:
    """This home's own keys, made once: what a database holds encrypted must stay readable."""
    path = home / "secrets.json"
    if not path.exists():
        made = {
            "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "secret_key": secrets.token_urlsafe(32),
            "jwt_secret": secrets.token_urlsafe(64),
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(made))
    keys: dict[str, str] = json.loads(path.read_text())
    return keys


def installed() -> type[LocalAirflow]:
    """Return the class for the Airflow that is installed."""
    if importlib.metadata.version("apache-airflow").startswith("2."):
        from local_airflow_2 import LocalAirflow2

        return LocalAirflow2
    return LocalAirflow


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _line(entry: str | Mapping[str, Any]) -> str:
    """One log entry as text; errors carry their traceback as data."""
    if isinstance(entry, str):
        return entry
    known = {"timestamp", "level", "logger", "event", "error_detail", "filename", "lineno"}
    extra = [f"{name}={value!r}" for name, value in entry.items() if name not in known and value is not None]
    words = [entry.get("timestamp"), str(entry.get("level") or "").upper(), entry.get("event"), *extra]
    lines = [" ".join(str(word) for word in words if word)]
    for error in entry.get("error_detail") or ():
        lines += [f'  File "{f["filename"]}", line {f["lineno"]}, in {f["name"]}' for f in error["frames"]]
        lines.append(f"{error['exc_type']}: {error['exc_value']}")
    return "\n".join(lines)


@contextlib.contextmanager
def _sole_use_of(home: Path) -> Iterator[None]:
    """Keep a second LocalAirflow out of this home; the lock ends with our process, however that ends."""
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalAirflowError(
                f"Another LocalAirflow runs in {home}. Nothing was started. Stop it or use another home."
            ) from None
        yield


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """A free loopback port that stays ours until the server meant for it listens on it, and after.

    Several seconds pass before it does, in which any outgoing connection could be given the port. On Linux a
    socket that is bound but does not listen keeps others off, and lets in whoever asks for this very port
    with SO_REUSEADDR, as uvicorn does. Other systems would refuse that server too, so there the port is let go.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((LOOPBACK, 0))
        port: int = place.getsockname()[1]
        if sys.platform != "linux":
            place.close()
        yield port


# The end of processes


def processes_of(home: Path) -> list[psutil.Process]:
    """The processes that carry the mark of this home, and all below them.

    One that escapes: a task's command that was given an environment without the mark, and whose task was killed.
    """
    parent_of: dict[psutil.Process, int] = {}
    ours: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            parent_of[process] = process.ppid()
            if process.environ().get(MARK) == str(home):
                ours[process.pid] = process
    while more := {p.pid: p for p, parent in parent_of.items() if parent in ours and p.pid not in ours}:
        ours |= more
    return list(ours.values())


def end_processes(home: Path, *, asked_first: Sequence[subprocess.Popen[bytes]] = ()) -> None:
    """End all processes of this home: SIGTERM to some, and after a grace time SIGKILL to whatever is left.

    It is the components that are asked. An executor's worker ignores SIGTERM, since the scheduler tells it
    when to end; and the scheduler waits for running tasks, hence the kill.
    """
    for component in asked_first:
        component.terminate()
    deadline = time.monotonic() + (STOP_GRACE_SECONDS if asked_first else 0)
    seen: set[psutil.Process] = set()
    empty_looks = 0
    # Neither a process on its way out nor one just being executed shows its environment. The first is waited for
    # because it has been seen before; the second is met by looking once more.
    while empty_looks < 2:
        seen.update(processes_of(home))
        for component in asked_first:
            component.poll()  # reaps it
        left = [process for process in seen if is_alive(process)]
        empty_looks = 0 if left else empty_looks + 1
        if time.monotonic() >= deadline:
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        time.sleep(STOP_POLL_SECONDS)


def kill_tree(root: psutil.Process) -> list[psutil.Process]:
    """Kill a process and all below it, and return them; none of them gets to do anything about another's end."""
    # Stopped first: a process that stands still starts no others and reports nobody's death.
    stopped: list[psutil.Process] = []
    while more := [process for process in (root, *_below(root)) if process not in stopped]:
        for process in more:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        stopped += more
    for process in stopped:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return stopped


def _below(root: psutil.Process) -> list[psutil.Process]:
    try:
        return list(root.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def is_alive(process: psutil.Process) -> bool:
    """Tell whether it still runs. A zombie does not; it is for its parent, in a container perhaps nobody, to reap."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def warden(home: Path) -> Iterator[None]:
    """A process that ends this home's processes should ours be killed, when no ``finally`` runs.

    It knows by the pipe on its standard input: the kernel closes our end when we are gone.
    """
    command = [sys.executable, str(Path(__file__).resolve()), _WATCH, str(home)]
    # A session of its own: what ends us (Ctrl-C, a CI's time limit) must not end it as well.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield  # leaving the block closes the pipe and waits


_WATCH = "--end-processes-when-stdin-closes"

if __name__ == "__main__" and sys.argv[1:2] == [_WATCH]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdin.read()
    end_processes(Path(sys.argv[2]))
