"""The stop switch: the Airflow Variable `wolkvox_stop`, which ends all calling.

It fails closed: calls are made only if the Variable is missing, or its value is known to mean "off" or names other
connections only. Any other value, and a Variable that cannot be read, stops all calling.

Airflow's own `Variable.get` cannot be used for that: it takes a secrets backend that is down, and an API server that
does not answer, for a Variable that does not exist [src].
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STOP_SWITCH = "wolkvox_stop"
"""The Airflow Variable's name."""

OFF = ("false", "no", "off", "0", "none", "null", "falso", "apagado", "ninguno")
"""The values, in any case, that stop nobody; so does an empty one."""

ON = ("true", "yes", "on", "1", "all", "*", "stop", "si", "sí", "verdadero", "todos")
"""The values, in any case, that stop all calling even if a connection has such an id. So does any other word that is
not understood."""

# Also of lists in JSON or Python, so that their items are read like those of a list with commas.
_BETWEEN = re.compile(r"[\s,;|\[\]\"']+")
_SHOWN = 60


class StopSwitch:
    """The state of the stop switch, as it was read at one moment.

    :param value: the Variable's value, None if there is no such Variable
    :param unreadable: why it could not be read; empty if it could
    """

    items: list[str]
    """What the value lists."""

    def __init__(self, value: str | None, unreadable: str = "") -> None:
        self.value = value
        self.unreadable = unreadable
        self.items = [item for item in _BETWEEN.split(value or "") if item]

    @property
    def is_off(self) -> bool:
        """Whether it stops no connection at all."""
        return not self.unreadable and (not self.items or (len(self.items) == 1 and self.items[0].lower() in OFF))

    def why_stopped(self, wolkvox_conn_id: str, known: set[str] | None = None) -> str | None:
        """Return why a connection may make no call now, None if it may.

        :param wolkvox_conn_id: the connection's id
        :param known: ids of connections that exist; those that are found to exist are added, so that a caller who
            keeps the set looks each up once
        """
        if self.is_off:
            return None
        if self.unreadable:
            return f"the Variable {STOP_SWITCH} could not be read ({self.unreadable}), so it may be set"
        if wolkvox_conn_id.lower() in map(str.lower, self.items):
            return f"the Variable {STOP_SWITCH} is {self.shown}"
        unknown = next(self.unknown(known), None)
        if unknown is None:
            return None
        if len(self.items) == 1 and unknown.lower() in ON:
            return f"the Variable {STOP_SWITCH} is {self.shown}"
        return (
            f"the Variable {STOP_SWITCH} is {self.shown}, and {_shown(unknown)} is neither a word for off "
            f"({', '.join(OFF)}) nor the id of a connection, so it stops all calling"
        )

    def unknown(self, known: set[str] | None = None) -> Iterator[str]:
        """Yield those items of the value that are not the id of a connection that exists.

        :param known: as for `why_stopped`
        """
        known = set() if known is None else known
        for item in self.items:
            if item in known:
                continue
            if item.lower() not in (*OFF, *ON) and _exists(item):
                known.add(item)
            else:
                yield item

    @property
    def shown(self) -> str:
        """The value, escaped, of bounded length and without whole numbers."""
        return _shown(self.value or "")

    def __str__(self) -> str:
        if self.unreadable:
            return f"could not be read ({self.unreadable})"
        if self.value is None:
            return "not set"
        return f"off ({self.shown})" if self.is_off else f"set ({self.shown})"


class StopWatch:
    """Looks at the stop switch for a running task, as often as it is asked, and logs each state that it finds.

    :param log: the task's logger
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._said = ""
        self._known: set[str] = set()

    def why_stopped(self, wolkvox_conn_id: str) -> str | None:
        """Return why a connection may make no call now, None if it may.

        :param wolkvox_conn_id: the connection's id
        """
        switch = read()
        if str(switch) != self._said:
            self._said = str(switch)
            self._log.info("Stop switch %s: %s.", STOP_SWITCH, switch)
        return switch.why_stopped(wolkvox_conn_id, self._known)


def read() -> StopSwitch:
    """Return the state of the stop switch, read in a task."""
    try:
        from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded
    except ImportError:
        # Before 3.0 a task looks where a command does.
        return read_from_database()
    try:
        # The backend that asks the API server takes each of its errors for "no such Variable" [src].
        value = _first(
            backend for backend in ensure_secrets_backend_loaded() if type(backend).__name__ != _ASKS_THE_API_SERVER
        )
        return StopSwitch(_of_api_server() if value is None else value)
    except Exception as failure:
        return StopSwitch(None, type(failure).__name__)


def read_from_database() -> StopSwitch:
    """Return the state of the stop switch, read in a process that has Airflow's database at hand: a command."""
    from airflow.configuration import ensure_secrets_loaded

    try:
        return StopSwitch(_first(ensure_secrets_loaded()))
    except Exception as failure:
        return StopSwitch(None, type(failure).__name__)


_ASKS_THE_API_SERVER = "ExecutionAPISecretsBackend"


def _first(backends: Iterable[Any]) -> str | None:
    """Return the value that the first backend which has one gives; unlike Airflow, raise what a backend raises."""
    values = (backend.get_variable(key=STOP_SWITCH) for backend in backends)
    return next((str(value) for value in values if value is not None), None)


def _of_api_server() -> str | None:
    """Return the value that the API server gives, None if it says that there is none.

    :raises Exception: it says anything else, or nothing
    """
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time import comms, task_runner

    answer: Any = task_runner.SUPERVISOR_COMMS.send(comms.GetVariable(key=STOP_SWITCH))
    if isinstance(answer, comms.VariableResult):
        return answer.value or ""
    if isinstance(answer, comms.ErrorResponse):
        if answer.error is ErrorType.VARIABLE_NOT_FOUND:
            return None
        raise AirflowRuntimeError(answer)
    raise TypeError(type(answer).__name__)


def _exists(conn_id: str) -> bool:
    """Return whether a connection is known to exist."""
    from airflow.providers.common.compat.sdk import BaseHook

    try:
        BaseHook.get_connection(conn_id)
    except Exception:
        # "Not found" has other classes in other versions; whatever else happened, it is not known.
        return False
    return True


def _shown(text: str) -> str:
    from airflow_provider_wolkvox.api.arguments import without_numbers

    return repr(without_numbers(text[:_SHOWN]) + ("..." if len(text) > _SHOWN else ""))
