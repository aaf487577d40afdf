"""A wolkvox server for one machine, with phones that count their rings.

For tests, demonstrations and trying things with curl. It imports no Airflow, needs the standard library
only, and shares no code with our client: built from the same facts, not from each other.
"""

from airflow_provider_wolkvox.simulator.asks import ConnIds
from airflow_provider_wolkvox.simulator.calls import CallError, CallRecord, CallResult
from airflow_provider_wolkvox.simulator.campaigns import Campaign, CampaignError, Counters
from airflow_provider_wolkvox.simulator.clock import CatchingUpClock
from airflow_provider_wolkvox.simulator.directory import ActivityCode, Directory, DoNotCall, LastContact
from airflow_provider_wolkvox.simulator.faults import Fault, FaultError, FaultKind
from airflow_provider_wolkvox.simulator.operation import Agent, Call, Token, TokenStats
from airflow_provider_wolkvox.simulator.predictive import Dial, Record
from airflow_provider_wolkvox.simulator.replies import Envelope, UndocumentedReplies
from airflow_provider_wolkvox.simulator.reports import ReportError, ReportManner
from airflow_provider_wolkvox.simulator.simulator import Simulator
from airflow_provider_wolkvox.simulator.stations import Command, Recall, Station

__all__ = [
    "ActivityCode",
    "Agent",
    "Call",
    "CallError",
    "CallRecord",
    "CallResult",
    "Campaign",
    "CampaignError",
    "CatchingUpClock",
    "Command",
    "ConnIds",
    "Counters",
    "Dial",
    "Directory",
    "DoNotCall",
    "Envelope",
    "Fault",
    "FaultError",
    "FaultKind",
    "LastContact",
    "Recall",
    "Record",
    "ReportError",
    "ReportManner",
    "Simulator",
    "Station",
    "Token",
    "TokenStats",
    "UndocumentedReplies",
]
