"""The link from a call's task to wolkvox Manager."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

log = logging.getLogger(__name__)

MANAGER = "https://wv{server}.wolkvox.com/"
"""Where an operation's Manager is. GUESS: only the API's address is documented, and this is its host's root."""


class WolkvoxManagerLink(BaseOperatorLink):
    """Leads from a task to wolkvox Manager on its connection's server.

    Airflow 3 asks for it in the task's process once the task has ended; before, its webserver does when the page is
    opened. A connection that cannot be read there gives an empty link, and so does one with a `base_url`, whose calls
    go to a simulator or a gateway.
    """

    name = "wolkvox Manager"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return Manager's address, empty if the connection does not tell its server.

        :param operator: the task; what a webserver before 3.0 made of it has only its templated fields
        :param ti_key: not needed
        """
        from airflow_provider_wolkvox.api.arguments import server_code

        task: Any = operator
        try:
            conn_id = getattr(task, "wolkvox_conn_id", None) or task.partial_kwargs["wolkvox_conn_id"]
            # A running task has read its connection already.
            hook = getattr(task, "hook", None) or WolkvoxHook(conn_id)
            if hook.extra("base_url") is not None:
                # A simulator or a gateway: the Manager of that server code is somebody else's.
                return ""
            return MANAGER.format(server=server_code(hook.connection.host))
        except Exception as failure:
            # Whatever it is, a page of Airflow's must not fail for it.
            log.debug("No link to wolkvox Manager: %s", type(failure).__name__)
            return ""
