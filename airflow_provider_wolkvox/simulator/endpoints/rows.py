"""Every report of calls: what of a call it tells of, and how one of its rows is written.

To add a report: write one row's fields, give it a line here, its name in `reports.NAMES`, and an API.
Field names are doc and seen; what an unknown field holds ("-" or "") is seen for each, which report uses
which is a GUESS, as are the values of cost and destiny, and how a report without a sample spells results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from airflow_provider_wolkvox.simulator.endpoints.reports import Report
from airflow_provider_wolkvox.simulator.state.calls import OUT_PRE, CallRecord, Event
from airflow_provider_wolkvox.simulator.state.directory import GROUPS
from airflow_provider_wolkvox.simulator.state.reporting import Fields, Wording

OPTIONS = tuple(f"opt{number}" for number in range(1, 13))
TELEPHONES = tuple(f"tel{number}" for number in range(1, 11))
ALL = "all"


def _cdr_1(call: CallRecord, words: Wording) -> Fields:
    what = call.what
    return {
        "agent_name": words.agent(call.agent_id),
        "date": words.date(call.begun),
        "destiny": words.destiny,
        "telephone": words.phone(call.phone),
        "cost": words.cost,
        "time_seg": str(what.talk_seconds),
        "time_min": f"{what.talk_seconds / 60:.2f}",
        "cod_act": what.cod_act or "-",
        "description_cod_act": words.disposition(what.cod_act),
        "cod_act_2": what.cod_act_2 or "-",
        "description_cod_act_2": words.disposition(what.cod_act_2),
        "type_interaction": call.type_interaction,
        "customer_id": call.customer_id or "-",
        "hang_up": what.hang_up or "-",
        "campaign_id": call.campaign_id or "-",
        "conn_id": call.conn_id,
        "skill_id": call.skill_id or "-",
        "skill_name": words.directory.skill_name(call.skill_id),
        "agent_id": call.agent_id or "-",
        "comment": what.comment,
    }


def _cdr_5(call: CallRecord, words: Wording) -> Fields:
    return {
        "agent_name": words.agent(call.agent_id),
        "date": words.date(call.begun),
        "destiny": words.destiny,
        "telephone": words.phone(call.phone),
        "ring_time": str(call.what.ring_seconds),
        # The vendor's page writes "No answer", "Busy" here (doc).
        "result": call.what.result.replace("-", " ").capitalize(),
        "type_interaction": call.type_interaction,
        "customer_id": call.customer_id or "-",
        "campaign_id": call.campaign_id or "-",
        "conn_id": call.conn_id,
        "agent_id": call.agent_id or "-",
    }


def _agents_event(event: Event, words: Wording) -> Fields:
    call = event.call
    return {
        "agent_id": event.agent_id,
        "agent_status": event.status,
        "time": words.span(event.begun, event.over),
        "date_ini": words.date(event.begun),
        "date_end": words.date(event.over),
        "conn_id": call.conn_id if call else "",
        "type_interaction": call.type_interaction if call else "",
        "destiny": "",
        "telephone": words.phone(call.phone) if call else "",
        "campaign_id": call.campaign_id if call else "",
    }


def _any_agents_event(event: Event, words: Wording) -> Fields:
    fields = _agents_event(event, words)
    # Spelt so here alone (doc).
    del fields["destiny"]
    return {**fields, "destinity": "", "agent_dni": "", "agent_name": words.agent(event.agent_id)}


def _calls_last_10(call: CallRecord, words: Wording) -> Fields:
    return {
        "type_interaction": call.type_interaction,
        # The vendor's page writes "no answer", "answer machine" here (doc).
        "result": call.what.result.replace("-", " ").lower(),
        "date": words.date(call.begun),
        "telephone": words.phone(call.phone),
        "customer_id": call.customer_id,
        "conn_id": call.conn_id,
    }


def _campaign_1(call: CallRecord, words: Wording) -> Fields:
    return {"result": call.what.result}


def _campaign_2(call: CallRecord, words: Wording) -> Fields:
    return {"cod_act": call.what.cod_act or "-"}


def _campaign_3(call: CallRecord, words: Wording) -> Fields:
    # No agent_id (doc).
    return {
        "campaign_id": call.campaign_id,
        "customer_id": call.customer_id or "-",
        **{name: call.customer.get(name, "") for name in ("customer_name", "customer_last_name", "id_type")},
        "date": words.date(call.begun),
        "telephone": words.phone(call.phone),
        "result": call.what.result,
        "conn_id": call.conn_id,
        **{name: call.customer.get(name, "") for name in OPTIONS},
    }


def _campaign_5(call: CallRecord, words: Wording) -> Fields:
    return {
        "type_of_row": "CALL",
        "campaign_id": call.campaign_id,
        **{name: call.customer.get(name, "") for name in ("customer_name", "customer_last_name")},
        "result": "",
        "last_code_act": "",
        "comments_customer_reg": "",
        "customer_id": call.customer_id or "-",
        "agent_id": call.agent_id or "-",
        "conn_id": call.conn_id,
        "telephone": words.phone(call.phone),
        "hang_up": call.what.hang_up or "-",
        "type_interaction": call.type_interaction,
        "call_result": call.what.result.replace("-", " "),
        "date": words.date(call.begun),
        "time": words.span(call.begun, call.over),
        "cod_act": call.what.cod_act or "-",
        "comments": call.what.comment,
    }


def _with_records(calls: list[Fields]) -> list[Fields]:
    """Put a row of each record before those of its calls, and one of all at the end (doc: these three types).

    GUESS: which of their fields are empty.
    """
    found: dict[tuple[str, str], list[Fields]] = {}
    for row in calls:
        found.setdefault((row["campaign_id"], row["customer_id"]), []).append(row)
    rows = []
    for of_record in found.values():
        last = of_record[-1]
        told = {name: last[name] for name in ("campaign_id", "customer_name", "customer_last_name", "customer_id")}
        record = {"type_of_row": "PREVIEW", "result": last["call_result"], "last_code_act": last["cod_act"], **told}
        rows += [{**dict.fromkeys(last, ""), **record}, *of_record]
    total = {"type_of_row": "TOTAL", "result": str(len(found)), "call_result": str(len(calls))}
    return [*rows, {**dict.fromkeys(calls[0], ""), **total}]


def _skill_2(call: CallRecord, words: Wording) -> Fields:
    return {
        "skill_name": words.directory.skill_name(call.skill_id),
        "skill_id": call.skill_id,
        "conn_id": call.conn_id,
        "date": words.date(call.begun),
        "result": call.what.result,
        "ani": words.phone(call.phone),
        "abandon_time": str(call.what.ring_seconds),
        "type_interaction": call.type_interaction,
        "customer_id": call.customer_id or "-",
    }


def _campaign_15(call: CallRecord, words: Wording) -> Fields:
    # The facts name these fields, in Spanish and English, and say that there are more.
    return {
        "id_customer": call.customer_id,
        "id_agent": call.agent_id,
        "resultado": call.what.result,
        "id_call": call.conn_id,
        "rellamada": call.customer.get("recall_date", ""),
        "history_dial_tel": words.phone(call.phone),
        "date": words.date(call.begun),
    }


def _act_3(call: CallRecord, words: Wording) -> Fields:
    return {
        "conn_id": call.conn_id,
        "agent_id": call.agent_id or "-",
        "agent_name": words.agent(call.agent_id),
        "agent_dni": "",
        "skill_id": call.skill_id or "-",
        "telephone": words.phone(call.phone),
        "destiny": words.destiny,
        "customer_id": call.customer_id or "-",
        "cod_act": call.what.cod_act,
        "description_cod_act": words.disposition(call.what.cod_act),
        "cod_act_2": call.what.cod_act_2 or "-",
        "description_cod_act_2": words.disposition(call.what.cod_act_2),
        "comments": call.what.comment,
        "type_interaction": call.type_interaction,
        "hang_up": call.what.hang_up or "-",
        "date": words.date(call.begun),
        "time": words.span(call.begun, call.over),
        "campaign_id": call.campaign_id or "-",
    }


def _total(*summed: str) -> Callable[[list[Fields]], Fields]:
    def total(rows: list[Fields]) -> Fields:
        values = dict.fromkeys(rows[0], "")
        values["agent_name"] = "TOTAL"
        for name in summed:
            numbers = [float(row[name]) for row in rows]
            values[name] = f"{sum(numbers):.2f}" if "." in rows[0][name] else str(int(sum(numbers)))
        return values

    return total


def _shares(counted: str) -> Callable[[list[Fields]], list[Fields]]:
    def shares(rows: list[Fields]) -> list[Fields]:
        return [
            {counted: word, "records": str(number), "percent": percent(number, len(rows))}
            for word, number in sorted(Counter(row[counted] for row in rows).items())
        ]

    return shares


def _total_of_shares(counted: str) -> Callable[[list[Fields]], Fields]:
    def total(rows: list[Fields]) -> Fields:
        return {counted: "TOTAL", "records": str(sum(int(row["records"]) for row in rows)), "percent": percent(1, 1)}

    return total


def percent(part: int, whole: int) -> str:
    """Return a share as wolkvox writes it (seen: "34.64 %")."""
    return f"{100 * part / whole if whole else 0:.2f} %"


def _connected(call: CallRecord) -> Iterable[CallRecord]:
    return (call,) if call.what.connected else ()


def _not_connected(call: CallRecord) -> Iterable[CallRecord]:
    return () if call.what.connected else (call,)


def _any(call: CallRecord) -> Iterable[CallRecord]:
    return (call,)


def _events(call: CallRecord) -> Iterable[Event]:
    return call.events


def _predictive(call: CallRecord) -> Iterable[CallRecord]:
    return (call,) if call.type_interaction == OUT_PRE and call.campaign_id else ()


def _dispositions(call: CallRecord) -> Iterable[CallRecord]:
    return (call,) if call.type_interaction == OUT_PRE and call.campaign_id and call.what.connected else ()


def _preview(call: CallRecord) -> Iterable[CallRecord]:
    return (call,) if call.by_campaign and call.type_interaction != OUT_PRE else ()


def _of_any_campaign(call: CallRecord) -> Iterable[CallRecord]:
    return (call,) if call.by_campaign else ()


def _of_agent(call: CallRecord, asked: Mapping[str, str]) -> bool:
    return call.agent_id == asked["agent_id"]


def _of_group(call: CallRecord, asked: Mapping[str, str]) -> bool:
    """Whether a call has a disposition of the group that is asked for. A code that is no group has no calls."""
    chosen = {GROUPS[1]: call.what.cod_act, GROUPS[2]: call.what.cod_act_2}
    return bool(chosen.get(asked["cod_act"]))


def _abandoned(call: CallRecord) -> Iterable[CallRecord]:
    inbound = call.type_interaction == "inbound" and call.skill_id
    return (call,) if inbound and call.what.result == "ABANDON" else ()


def _of_skill(call: CallRecord, asked: Mapping[str, str]) -> bool:
    return asked["skill_id"] in (ALL, call.skill_id)


def _of_campaign(call: CallRecord, asked: Mapping[str, str]) -> bool:
    return asked["campaign_id"] in (ALL, call.campaign_id)


CDR_1 = Report("cdr_1", _connected, _cdr_1, total=_total("cost", "time_seg", "time_min"))
CDR_5 = Report("cdr_5", _not_connected, _cdr_5, total=_total("ring_time"))
AGENT_2 = Report("agent_2", _events, _agents_event, needs=("agent_id",), chosen=_of_agent)
CALLS_LAST_10 = Report("calls_last_10", _any, _calls_last_10)
# "A row appears only once the state has changed again" (doc). For agent_2 `ReportPolicy.when_over` decides.
AGENT_14 = Report("agent_14", _events, _any_agents_event, once_over=True)
ACT_3 = Report("act_3", _connected, _act_3, needs=("cod_act",), chosen=_of_group)
# GUESS: which of the two counts results and which dispositions, and that machines are among the latter.
# That they are always GMT-5 is doc for campaign_3 alone.
CAMPAIGN_3 = Report(
    "campaign_3", _predictive, _campaign_3, needs=("campaign_id",), chosen=_of_campaign, always_gmt_5=True
)


def _totals(
    name: str,
    tells_of: Callable[[CallRecord], Iterable[CallRecord]],
    written: Callable[[CallRecord, Wording], Fields],
    counted: str,
) -> Report[CallRecord]:
    return replace(
        CAMPAIGN_3,
        name=name,
        tells_of=tells_of,
        written=written,
        gathered=_shares(counted),
        total=_total_of_shares(counted),
    )


CAMPAIGN_1 = _totals("campaign_1", _predictive, _campaign_1, "result")
CAMPAIGN_2 = _totals("campaign_2", _dispositions, _campaign_2, "cod_act")
CAMPAIGN_4 = replace(CAMPAIGN_1, name="campaign_4")
"""GUESS: the facts say "totals" of it, and that its rows are like those of campaign_1."""
CAMPAIGN_5 = Report(
    "campaign_5", _preview, _campaign_5, needs=("campaign_id",), chosen=_of_campaign, gathered=_with_records
)
SKILL_2 = Report("skill_2", _abandoned, _skill_2, needs=("skill_id",), chosen=_of_skill)
CAMPAIGN_15 = Report("campaign_15", _of_any_campaign, _campaign_15, needs=("campaign_id",), chosen=_of_campaign)
