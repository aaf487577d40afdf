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
    from airflow_provider_wolkvox.api.campaign_records import (
        AddedRecords,
        CampaignInfo,
        CampaignNow,
        CampaignRecord,
        CampaignTotal,
        Dial,
        PreviewCall,
    )
    from airflow_provider_wolkvox.api.client import WolkvoxClient
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
    from airflow_provider_wolkvox.api.operation_records import (
        ActivityCode,
        AgentEvent,
        AgentInfo,
        AgentNow,
        DoNotCall,
        Law2300Block,
    )
    from airflow_provider_wolkvox.api.records import (
        AgentCall,
        ConnectedCall,
        DispositionCall,
        ReportedCall,
        TokenInfo,
        UnconnectedCall,
        began,
    )
    from airflow_provider_wolkvox.api.sending import Resend

# Resolved on first use: a DAG file that needs only an error class or an argument check
# must not pay for importing `requests` while it is parsed.
_HOMES = {
    "WolkvoxClient": "client",
    "Resend": "sending",
    "AgentCall": "records",
    "ConnectedCall": "records",
    "DispositionCall": "records",
    "ReportedCall": "records",
    "TokenInfo": "records",
    "UnconnectedCall": "records",
    "began": "records",
    "AddedRecords": "campaign_records",
    "CampaignInfo": "campaign_records",
    "CampaignNow": "campaign_records",
    "CampaignRecord": "campaign_records",
    "CampaignTotal": "campaign_records",
    "Dial": "campaign_records",
    "PreviewCall": "campaign_records",
    "ActivityCode": "operation_records",
    "AgentEvent": "operation_records",
    "AgentInfo": "operation_records",
    "AgentNow": "operation_records",
    "DoNotCall": "operation_records",
    "Law2300Block": "operation_records",
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
    "ActivityCode",
    "AddedRecords",
    "AgentCall",
    "AgentEvent",
    "AgentInfo",
    "AgentNow",
    "ApiUnavailable",
    "CampaignInfo",
    "CampaignNow",
    "CampaignRecord",
    "CampaignTotal",
    "ConnectedCall",
    "Dial",
    "DispositionCall",
    "DoNotCall",
    "Law2300Block",
    "NotSent",
    "Outcome",
    "OutcomeUnknown",
    "PreviewCall",
    "Refused",
    "ReportedCall",
    "Resend",
    "TokenBusy",
    "TokenInfo",
    "TokenInvalid",
    "TokenQuotaExceeded",
    "UnconnectedCall",
    "WolkvoxClient",
    "WolkvoxError",
    "began",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
