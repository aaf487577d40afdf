"""A wolkvox server for one machine, with phones that count their rings.

For tests, demonstrations and trying things with curl. It imports no Airflow, needs the standard library
only, and shares no code with our client: built from the same facts, not from each other.
"""

from airflow_provider_wolkvox.simulator.replies import Envelope, UndocumentedReplies
from airflow_provider_wolkvox.simulator.request import ConnIds
from airflow_provider_wolkvox.simulator.simulator import Simulator
from airflow_provider_wolkvox.simulator.state.calls import CallError, CallRecord, CallResult
from airflow_provider_wolkvox.simulator.state.campaigns import Campaign, CampaignError, Counters
from airflow_provider_wolkvox.simulator.state.clock import CatchingUpClock
from airflow_provider_wolkvox.simulator.state.directory import ActivityCode, Directory, DoNotCall, LastContact, Skill
from airflow_provider_wolkvox.simulator.state.faults import Fault, FaultError, FaultKind
from airflow_provider_wolkvox.simulator.state.operation import Agent, Call, Token, TokenStats
from airflow_provider_wolkvox.simulator.state.predictive import Dial, Record
from airflow_provider_wolkvox.simulator.state.reporting import ReportError, ReportPolicy
from airflow_provider_wolkvox.simulator.state.stations import Command, Recall, Station
from airflow_provider_wolkvox.simulator.transport.limits import Limits

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
    "Limits",
    "Recall",
    "Record",
    "ReportError",
    "ReportPolicy",
    "Simulator",
    "Skill",
    "Station",
    "Token",
    "TokenStats",
    "UndocumentedReplies",
]
