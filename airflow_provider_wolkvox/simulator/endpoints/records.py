"""The APIs of `campaign.php` that show customers' records: `detail` and `find_record`."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_wolkvox.simulator import replies
from airflow_provider_wolkvox.simulator.endpoints import rows
from airflow_provider_wolkvox.simulator.endpoints.reports import Window, listed, read_window, rows_told
from airflow_provider_wolkvox.simulator.replies import Envelope
from airflow_provider_wolkvox.simulator.request import Request, ResponseMode
from airflow_provider_wolkvox.simulator.state.campaigns import State
from airflow_provider_wolkvox.simulator.state.operation import Operation, Token
from airflow_provider_wolkvox.simulator.state.predictive import Dial, Record
from airflow_provider_wolkvox.simulator.state.reporting import Fields, Wording

_NOT_DIALLED = "CLEAN"


def detail(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell each record with its last dial in the window; with `detail=all` those not dialled too.

    That `default` has only rows with a conn_id is doc. GUESS: that the window is for the last dial, that
    records without one are in every window, and that calls by hand do not count.
    """
    campaign_id = request.parameters["campaign_id"]
    state = operation.campaigns.get(campaign_id)
    if state is None or request.parameters["type_campaign"] != state.kind:
        return replies.no_such_campaign(campaign_id)
    sight = operation.sight()
    words = sight.wording()
    window = read_window(request.parameters, sight, words.zone)
    if isinstance(window, Envelope):
        return window
    found = [
        _detailed(record, dials, state, words)
        for record, dials in _dialled(operation, state, sight.until("detail"))
        if _is_told(dials, window, clean_too=request.parameters["detail"] == "all")
    ]
    return rows_told(found, sight.policy) if found else replies.NO_ROWS


def find_record(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell the records of a campaign, customer or phone: any one of the three is enough (doc)."""
    asked = {name: request.parameters.get(name, "") for name in ("campaign_id", "customer_phone", "customer_id")}
    if not any(asked.values()):
        return replies.PARAMETERS_MISSING
    campaign_id = asked["campaign_id"]
    if campaign_id and operation.campaigns.get(campaign_id) is None:
        return replies.no_such_campaign(campaign_id)
    sight = operation.sight()
    words = sight.wording()
    found = [
        {**_customer(record, dials, words), "campaign_id": state.campaign_id}
        for state in operation.campaigns
        if campaign_id in ("", state.campaign_id)
        for record, dials in _dialled(operation, state, sight.until("find_record"))
        if asked["customer_id"] in ("", record.customer_id)
        and (not asked["customer_phone"] or asked["customer_phone"] in map(record.fields.get, rows.TELEPHONES))
    ]
    return listed(found, sight)


def _dialled(operation: Operation, state: State, until: datetime) -> list[tuple[Record, list[Dial]]]:
    dials: dict[int, list[Dial]] = {}
    for dial in operation.campaigns.dials_of(state.campaign_id, until):
        if dial.over <= until:
            dials.setdefault(dial.record.number, []).append(dial)
    return [(record, dials.get(record.number, [])) for record in state.records]


def _is_told(dials: list[Dial], window: Window, *, clean_too: bool) -> bool:
    return window.holds(dials[-1].begun) if dials else clean_too


_NAMES = ("customer_name", "customer_last_name")
_PLACES = ("country", "state", "city", "zone", "address")


def _customer(record: Record, dials: list[Dial], words: Wording) -> Fields:
    last = dials[-1] if dials else None
    return {
        "customer_id": record.customer_id,
        **{name: record.fields.get(name, "") for name in (*_NAMES, *_PLACES, *rows.OPTIONS)},
        **{name: words.phone(record.fields.get(name, "")) for name in rows.TELEPHONES},
        "conn_id": last.conn_id if last else "",
        "result": last.what.result if last else _NOT_DIALLED,
        "date": words.date(last.begun) if last else "",
        "calls": str(len(dials)),
    }


def _detailed(record: Record, dials: list[Dial], state: State, words: Wording) -> Fields:
    last = dials[-1] if dials else None
    given = state.codes.get(record.customer_id)
    cod_act, cod_act_2, comment = given or ((last.what.cod_act, last.what.cod_act_2, "") if last else ("", "", ""))
    return {
        **_customer(record, dials, words),
        **{name: record.fields.get(name, "") for name in ("id_type", "gender", "tel_extra")},
        "agent_id": last.agent_id if last else "",
        "recall": record.fields.get("recall_date", ""),
        "cod_act": cod_act,
        "cod_act_2": cod_act_2,
        # GUESS: the rounds of dialling after the first.
        "recall_count": str(max(0, state.rounds[record.number] - 1)),
        "comments": comment,
    }
