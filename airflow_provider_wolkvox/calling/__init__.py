"""When and whom one may call: pure functions, no I/O, no Airflow. Time comes in as an argument.

Example::

    from airflow_provider_wolkvox.calling import CallingHours, Rules, choose

    hours = CallingHours.for_country("CO", purpose="collection", timezone="America/Bogota")
    hours.is_open(now)
    plan = choose(attempts, Rules(shorter_than=30, hours=hours), now, history=history, do_not_call=listed)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_wolkvox.calling.callbacks import Attempt, Callback, Plan, Reason, Rules, Skip, choose
    from airflow_provider_wolkvox.calling.caps import Cap
    from airflow_provider_wolkvox.calling.countries import Rule
    from airflow_provider_wolkvox.calling.hours import CallingHours, Hours, JointHours, NeverOpens
    from airflow_provider_wolkvox.calling.local_hours import ZoneUnknown, hours_for_phone

# Resolved on first use: what a DAG file needs while it is parsed must not pay for the rest.
_HOMES = {
    "Attempt": "callbacks",
    "Callback": "callbacks",
    "CallingHours": "hours",
    "Cap": "caps",
    "Hours": "hours",
    "JointHours": "hours",
    "NeverOpens": "hours",
    "Plan": "callbacks",
    "Reason": "callbacks",
    "Rule": "countries",
    "Rules": "callbacks",
    "Skip": "callbacks",
    "ZoneUnknown": "local_hours",
    "choose": "callbacks",
    "hours_for_phone": "local_hours",
}

__all__ = [
    "Attempt",
    "Callback",
    "CallingHours",
    "Cap",
    "Hours",
    "JointHours",
    "NeverOpens",
    "Plan",
    "Reason",
    "Rule",
    "Rules",
    "Skip",
    "ZoneUnknown",
    "choose",
    "hours_for_phone",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
