"""Every method asks as wolkvox documents the request, and reads the documented reply whole.

`tests/data/wolkvox-requests.json` holds what the vendor's public request collection shows of each request: method,
parameters, the body's keys, the shape of the reply. The shape is filled with values here.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from client_testing import AGENT, PHONE
from raw_server import CONN_ID, Question, RawServer, answer, replying

from airflow_provider_wolkvox.api import WolkvoxClient
from airflow_provider_wolkvox.api.records import GMT_5

ROWS = json.loads((Path(__file__).parents[1] / "data" / "wolkvox-requests.json").read_text(encoding="utf-8"))
CAMPAIGN = "32841"
AT = datetime(2026, 6, 25, 10, 50, 43, tzinfo=GMT_5)
RANGE = (AT.replace(hour=0), AT.replace(hour=23))
RECALL = {"customer_id": "C-7", "customer_phone": PHONE, "recall_style": "manual", "name_recall": "ANA"}
CODES = {"cod_act": "101", "cod_act_2": "102", "comments": "later"}
PREVIEW = "add_record (preview)"

# A method with all that it can be given, by the API that it asks.
ASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "agentbox.php agent_display": ("agent_display", {"agent_id": AGENT, "button": "dial", "display": "hide"}),
    "agentbox.php aux_call": ("aux_call", {"agent_id": AGENT, "customer_phone": PHONE}),
    "agentbox.php change_status": ("change_status", {"agent_id": AGENT, "status": "ready"}),
    "agentbox.php delete_recall": ("delete_recall", {"agent_id": AGENT, "campaign_id": CAMPAIGN, **RECALL}),
    "agentbox.php dial": (
        "dial",
        {"agent_id": AGENT, "customer_phone": PHONE, "customer_id": "C-7", "customer_name": "Ana"},
    ),
    "agentbox.php dtmf": ("dtmf", {"agent_id": AGENT, "tones": "1#"}),
    "agentbox.php edit_recall": ("edit_recall", {"agent_id": AGENT, "campaign_id": CAMPAIGN, "at": AT, **RECALL}),
    "agentbox.php hang": ("hang", {"agent_id": AGENT}),
    "agentbox.php hang_type_ready": ("hang_type_ready", {"agent_id": AGENT, **CODES}),
    "agentbox.php hold": ("hold", {"agent_id": AGENT}),
    "agentbox.php mute": ("mute", {"agent_id": AGENT}),
    "agentbox.php recall": ("recall", {"agent_id": AGENT, "campaign_id": CAMPAIGN, "at": AT, **RECALL}),
    "agentbox.php transfer": ("transfer", {"agent_id": AGENT, "customer_phone": PHONE}),
    "agentbox.php type": ("disposition", {"agent_id": AGENT, **CODES}),
    "campaign.php add_record": ("add_records", {"campaign_id": CAMPAIGN}),
    f"campaign.php {PREVIEW}": ("add_records", {"campaign_id": CAMPAIGN, "type_campaign": "preview"}),
    "campaign.php detail": ("campaign_detail", {"campaign_id": CAMPAIGN, "since": RANGE[0], "until": RANGE[1]}),
    "campaign.php find_record": (
        "find_record",
        {"campaign_id": CAMPAIGN, "customer_phone": PHONE, "customer_id": "C-7"},
    ),
    "campaign.php recall_records": (
        "recall_records",
        {"campaign_id": CAMPAIGN, "field": "cod_rslt1", "value": "NO-ANSWER"},
    ),
    "campaign.php start": ("start_campaign", {"campaign_id": CAMPAIGN}),
    "campaign.php stop": ("stop_campaign", {"campaign_id": CAMPAIGN}),
    "information.php activity_codes": ("activity_codes", {}),
    "information.php agents": ("agents", {}),
    "information.php campaigns": ("campaigns", {}),
    "information.php get_dnc": ("get_dnc", {}),
    "information.php law2300_info": ("law2300_info", {"nit": "900", "phone": PHONE}),
    "information.php token_info": ("token_info", {}),
    "real_time.php agents": ("real_time_agents", {}),
    "real_time.php calls_last_10": ("calls_last_10", {}),
    "real_time.php campaigns": ("real_time_campaigns", {}),
    "reports_manager.php act_3": ("act_3", {"group": "cod_act1", "since": RANGE[0], "until": RANGE[1]}),
    "reports_manager.php agent_14": ("agent_14", {"since": RANGE[0], "until": RANGE[1]}),
    "reports_manager.php agent_2": (
        "reported_calls",
        {"agent_id": AGENT, "customer_phone": PHONE, "since": RANGE[0], "until": RANGE[1]},
    ),
    **{
        f"reports_manager.php {report}": (report, {"campaign_id": "all", "since": RANGE[0], "until": RANGE[1]})
        for report in ("campaign_1", "campaign_2", "campaign_3", "campaign_4", "campaign_5")
    },
    "reports_manager.php cdr_1": ("cdr_1", {"since": RANGE[0], "until": RANGE[1]}),
    "reports_manager.php cdr_5": ("cdr_5", {"since": RANGE[0], "until": RANGE[1]}),
}
# What the client does not ask.
NOT_ASKED = {
    *(f"campaign.php {api}" for api in ("clear_campaign", "codify", "recall", "remove_record", "speed")),
    *(f"configuration.php {api}" for api in ("add_dnc", "block_law2300", "block_predictive_dnc")),
    *(f"information.php {api}" for api in ("agents_in_skill", "services", "skills")),
    *(f"real_time.php {api}" for api in ("latency", "recall")),
    "reports_manager.php skill_2",
    "sms.php send_sms",
}
# Methods that ask none, or several of those above.
OF_NO_API = {"check_reachable", "close", "find_call", "stop"}

# What a filled shape holds; anything else is "text".
VALUES = {
    **dict.fromkeys(("date", "date_ini", "date_end", "date_delete", "last_day"), "2026-06-25 10:50:43"),
    **dict.fromkeys(("telephone", "phone_number", *(f"tel{number}" for number in range(1, 11))), PHONE),
    **dict.fromkeys(("time", "time_seg", "ring_time", "time_state_now"), "00:01:15"),
    **dict.fromkeys(("records", "clean", "dial", "answer", "no_answer", "hits", "calls", "total_registers"), "12"),
    **dict.fromkeys(("token_limit", "token_use_today", "all_token_today", "available_consumption_options"), "12"),
    **dict.fromkeys(("percent", "penetration_now"), "34.64 %"),
    **dict.fromkeys(("hit", "rpc"), "yes"),
    "affected_records": "12",
    "agent_id": AGENT,
    "campaign": f"{CAMPAIGN} - COBRO - Progressive (34.64 %)",
    "campaign_id": CAMPAIGN,
    "conn_id": CONN_ID,
    "status": "Started",
    "type_of_row": "CALL",
}
# What a record cannot know, since the reply has no such key.
UNKNOWN = {
    "add_records": {"errors"},
    "calls_last_10": {"seconds"},
    "find_record": {"agent_id", "cod_act", "recall", "comments"},
    "reported_calls": {"result", "seconds"},
}


def name_of(row: dict[str, Any]) -> str:
    is_preview = row["api"] == "add_record" and "campaign_status" not in row["query"]
    return f"{row['file']} {PREVIEW if is_preview else row['api']}"


DOCUMENTED = {name_of(row): row for row in ROWS}
asks = pytest.mark.parametrize("name", ASKS)


def filled(shape: Any, key: str = "") -> Any:
    if isinstance(shape, dict):
        return {name: filled(inner, name) for name, inner in shape.items()}
    if isinstance(shape, list):
        return [filled(each, key) for each in shape]
    return None if shape == "null" else VALUES.get(key, "text")


def reply_of(row: dict[str, Any]) -> bytes:
    shape = row.get("reply", {"code": "str", "error": "null", "msg": "str"})
    reply = filled(shape)
    code = row.get("code", "" if "reply" in row else "200")
    if isinstance(reply, dict):
        reply["code"] = int(code) if shape["code"] == "int" else code
    status = code if code not in ("", "0") else "200"
    return answer(json.dumps(reply, indent=4).encode(), f"{status} OK")


def documented(question: Question) -> bytes:
    return reply_of(DOCUMENTED[f"{question.file} {question.api}"])


def given(name: str) -> tuple[str, dict[str, Any]]:
    method, arguments = ASKS[name]
    if method == "add_records":
        # Every column that wolkvox documents.
        [columns] = DOCUMENTED[name]["body"]
        arguments = {"records": [filled(columns)], **arguments}
    return method, arguments


def result_of(client: WolkvoxClient, method: str, arguments: dict[str, Any]) -> Any:
    result = getattr(client, method)(**arguments)
    return list(result) if inspect.isgenerator(result) else result


@asks
def test_a_method_asks_as_wolkvox_documents_it(name, connect):
    method, arguments = given(name)
    row = DOCUMENTED[name]
    with RawServer(replying(documented)) as server:
        result_of(connect(server), method, arguments)
    [(asked, body)] = [
        (asked, body)
        for asked, body in zip(server.asked, server.bodies, strict=True)
        if (asked.file, asked.api) == (row["file"], row["api"])
    ]
    assert asked.method == row["method"]
    assert set(asked.parameters) == set(row["query"])
    assert filled(json.loads(body) if body else None) == filled(row.get("body"))


@asks
def test_a_method_reads_every_field_of_its_records_from_the_documented_reply(name, connect):
    method, arguments = given(name)
    with RawServer(replying(documented)) as server:
        result = result_of(connect(server), method, arguments)
    shape = DOCUMENTED[name].get("reply", {})
    if isinstance(shape if isinstance(shape, list) else shape.get("data"), list):
        assert result
    for record in result if isinstance(result, list) else [result]:
        if dataclasses.is_dataclass(record):
            found = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
            unread = {field for field, value in found.items() if value in (None, "", ())}
            assert unread <= UNKNOWN.get(method, set())


def test_every_documented_request_has_its_method_or_is_named_as_one_that_the_client_does_not_ask():
    assert set(ASKS).isdisjoint(NOT_ASKED)
    assert set(DOCUMENTED) == set(ASKS) | NOT_ASKED


def test_every_method_has_its_documented_request():
    methods: dict[str, Callable[..., Any]] = dict(inspect.getmembers(WolkvoxClient, inspect.isfunction))
    public = {name for name in methods if not name.startswith("_")}
    assert public - OF_NO_API == {method for method, _ in ASKS.values()}
