"""When and whom one may call: pure functions, no I/O, no Airflow. Time comes in as an argument.

Example::

    from airflow_provider_wolkvox.calling import CallingHours

    hours = CallingHours.for_country("CO", purpose="collection", timezone="America/Bogota")
    hours.is_open(now)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_wolkvox.calling.countries import Rule
    from airflow_provider_wolkvox.calling.hours import CallingHours, JointHours, NeverOpens

# Resolved on first use: what a DAG file needs while it is parsed must not pay for the rest.
_HOMES = {
    "CallingHours": "hours",
    "JointHours": "hours",
    "NeverOpens": "hours",
    "Rule": "countries",
}

__all__ = ["CallingHours", "JointHours", "NeverOpens", "Rule"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
