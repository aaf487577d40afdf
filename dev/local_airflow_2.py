"""A real Airflow 2.11 on one machine: what differs there from `local_airflow`, whose tests it serves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import requests
from local_airflow import LOOPBACK, SCHEDULER, Component, LocalAirflow, _keys, _moment

WEBSERVER = Component("webserver", ("webserver", "--hostname", LOOPBACK, "--port", "{port}", "--workers", "1"))

# Whoever comes is an admin; it listens on loopback only.
WEBSERVER_CONFIG = """
AUTH_ROLE_PUBLIC = "Admin"
WTF_CSRF_ENABLED = False
"""


class LocalAirflow2(LocalAirflow):
    """Webserver and scheduler, which parses the DAGs itself; the older REST API."""

    COMPONENTS = (WEBSERVER, SCHEDULER)
    REST = "/api/v1"

    def _make_environment(self, port: int) -> dict[str, str]:
        # 2.11 lets no executor but the sequential one use SQLite, unless it is told not to look: then a writer waits
        # for another, as in 3.x. A sequential executor could not show that a lane holds.
        return {**super()._make_environment(port), "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1"}

    def _options(self, port: int) -> dict[tuple[str, str], object]:
        config = self.home / "webserver_config.py"
        config.write_text(WEBSERVER_CONFIG)
        keys = _keys(self.home)
        return {
            **self._common_options(keys),
            ("api", "auth_backends"): "airflow.api.auth.backend.default",
            ("webserver", "base_url"): f"http://{LOOPBACK}:{port}",
            ("webserver", "secret_key"): keys["secret_key"],
            ("webserver", "config_file"): config,
            # How soon a new file is seen, and parsed if it has changed: after 300 s by default.
            ("scheduler", "dag_dir_list_interval"): 1,
            ("scheduler", "min_file_process_interval"): 1,
            # Heartbeats every second: a state that was set from outside is noticed by then.
            ("scheduler", "job_heartbeat_sec"): 1,
        }

    def _api_answers(self) -> bool:
        try:
            self._http.get(f"{self.api_url}{self.REST}/health", timeout=60).raise_for_status()
        except (requests.ConnectionError, requests.Timeout):
            return False
        return True

    def _all_report(self) -> bool:
        beat = _moment(self._get("/health")["scheduler"]["latest_scheduler_heartbeat"])
        return beat is not None and beat >= self._started

    def _of_a_run(self, logical_date: datetime | None) -> dict[str, Any]:
        # Without one, the run has the present.
        return {"logical_date": logical_date.isoformat()} if logical_date else {}

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return the value that a task pushed.

        :raises Refused: with status 404 if it pushed none.
        """
        return self._get(
            f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}",
            map_index=map_index,
            stringify="false",
        )["value"]

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """One try's log, as text."""
        answer = self._http.get(
            f"{self.api_url}{self.REST}/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}",
            params={"map_index": map_index, "full_content": "true"},
            headers={"Accept": "text/plain"},
            timeout=90,
        )
        answer.raise_for_status()
        return answer.text

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """Mark a task ``success``, ``failed`` or ``skipped``, as a person does in the UI."""
        place = f"/{map_index}" if map_index >= 0 else ""
        self._send(
            "PATCH",
            f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}{place}",
            {"dry_run": False, "new_state": state},
        )
