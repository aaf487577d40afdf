"""The DAG of `test_connection_form`, copied into a real Airflow: what a task's hook makes of a connection."""

from __future__ import annotations

import json
from typing import Any

from airflow.providers.common.compat.sdk import dag, get_current_context, task

from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook

AGENT = "10001"


@dag(schedule=None)
def connection_form():
    @task
    def read() -> dict[str, Any]:
        """Return the fields as the hook reads them, and use the token for one report and one call."""
        conf = get_current_context()["dag_run"].conf
        hook = WolkvoxHook(conf["conn_id"])
        connection = hook.connection
        with hook.closing():
            hook.get_conn().token_info()
            hook.aux_call(AGENT, conf["phone"])
        return {
            "host": connection.host,
            "others": [connection.login, connection.schema, connection.port],
            "extras": {name: hook.extra(name) for name in json.loads(connection.extra)},
            "address": hook.get_conn().address,
            "has_hours": hook.calling_hours() is not None,
        }

    read()


connection_form()
