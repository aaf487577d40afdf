"""wolkvox over HTTP, for any Python program; imports no Airflow.

Example::

    from airflow_provider_wolkvox.api import WolkvoxClient

    with WolkvoxClient("0042", token) as wolkvox:
        call = wolkvox.aux_call(agent_id="10001", customer_phone="300 123 4567")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_wolkvox.api.client import Resend, WolkvoxClient
    from airflow_provider_wolkvox.api.errors import (
        ApiUnavailable,
        NotSent,
        Outcome,
        OutcomeUnknown,
        Refused,
        TokenBusy,
        TokenInvalid,
        TokenQuotaExceeded,
        WolkvoxError,
    )
    from airflow_provider_wolkvox.api.records import AuxCall, ReportedCall, TokenInfo

# Resolved on first use: a DAG file that needs only an error class or an argument check
# must not pay for importing `requests` while it is parsed.
_HOMES = {
    "WolkvoxClient": "client",
    "Resend": "client",
    "AuxCall": "records",
    "TokenInfo": "records",
    "ReportedCall": "records",
    "Outcome": "errors",
    "WolkvoxError": "errors",
    "NotSent": "errors",
    "Refused": "errors",
    "TokenBusy": "errors",
    "TokenQuotaExceeded": "errors",
    "TokenInvalid": "errors",
    "ApiUnavailable": "errors",
    "OutcomeUnknown": "errors",
}

__all__ = [
    "ApiUnavailable",
    "AuxCall",
    "NotSent",
    "Outcome",
    "OutcomeUnknown",
    "Refused",
    "ReportedCall",
    "Resend",
    "TokenBusy",
    "TokenInfo",
    "TokenInvalid",
    "TokenQuotaExceeded",
    "WolkvoxClient",
    "WolkvoxError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
