"""The APIs of `agentbox.php`: what an agent's station can be made to do.

Documented are each API's parameters and its success. What is refused otherwise, and with which words, is a
GUESS throughout: the words are in `replies.UndocumentedReplies`. That the agent is there, logged in, on a call
or on none is checked before, in `registry`.
"""

from __future__ import annotations

import re
from datetime import datetime

from airflow_provider_wolkvox.simulator import replies
from airflow_provider_wolkvox.simulator.endpoints.reports import read_moment
from airflow_provider_wolkvox.simulator.replies import Envelope
from airflow_provider_wolkvox.simulator.request import ConnIds, Request, ResponseMode
from airflow_provider_wolkvox.simulator.state.operation import AUX_CALL, DIAL, TRANSFER, Operation, Token
from airflow_provider_wolkvox.simulator.state.stations import BUTTONS, HOLD, LOGOUT, MUTE, READY, Recall

_STYLES = ("auto", "manual")


# Ringing phones


def aux_call(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Ring the customer of a predictive call that has been cut (doc)."""
    agent_id, phone = request.parameters["agent_id"], request.parameters["customer_phone"]
    agent = operation.agent(agent_id)
    if agent is None or not operation.has_cut_call(agent):
        return operation.replies.no_cut_call
    conn_id = operation.ring(phone, agent_id, token, AUX_CALL) if mode.act else operation.new_conn_id(agent_id, phone)
    return Envelope(200, None, replies.AUX_CALL_DONE, _told(conn_id, mode))


def dial(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Ring any phone; no call needs to have been before. GUESS: customer_name is for the agent, and in no report."""
    agent_id, phone = request.parameters["agent_id"], request.parameters["customer_phone"]
    if mode.act:
        conn_id = operation.ring(phone, agent_id, token, DIAL, customer_id=request.parameters.get("customer_id", ""))
    else:
        conn_id = operation.new_conn_id(agent_id, phone)
    return Envelope(200, None, replies.DIAL_DONE, _told(conn_id, mode))


def transfer(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Ring the phone that gets the agent's call.

    GUESS: the agent has left the call as soon as it rings, and the new one stays in reports under the agent.
    """
    agent_id, phone = request.parameters["agent_id"], request.parameters["customer_phone"]
    if mode.act:
        conn_id = operation.ring(phone, agent_id, token, TRANSFER)
        operation.hang_up(agent_id)
    else:
        conn_id = operation.new_conn_id(agent_id, phone)
    return Envelope(200, None, replies.transferred(phone), _told(conn_id, mode))


def _told(conn_id: str, mode: ResponseMode) -> dict[str, str]:
    return {ConnIds.GIVEN: {"conn_id": conn_id}, ConnIds.EMPTY: {"conn_id": ""}, ConnIds.MISSING: {}}[mode.conn_ids]


# During a call


def hang(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """End the agent's call; the work after it follows."""
    if mode.act:
        operation.hang_up(request.parameters["agent_id"])
    return Envelope(200, None, replies.HANG_DONE)


def hold(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Put the agent's call on hold, or take it off (doc: a toggle)."""
    if mode.act:
        operation.toggle(HOLD, request.parameters["agent_id"])
    return Envelope(200, None, replies.HOLD_DONE)


def mute(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Mute the agent's microphone, or open it again (doc: a toggle)."""
    if mode.act:
        operation.toggle(MUTE, request.parameters["agent_id"])
    return Envelope(200, None, replies.MUTE_DONE)


def dtmf(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Send tones into the agent's call; they can be read among the commands. GUESS: what can be a tone."""
    tones = request.parameters["tones"]
    if not re.fullmatch("[0-9*#A-D]+", tones):
        return operation.replies.tones_wrong
    return Envelope(200, None, replies.DEFAULT, replies.TONES_SENT)


# Dispositions


def type_(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Give the agent's call its dispositions, or else the agent's last call (guess: which call is meant)."""
    agent_id = request.parameters["agent_id"]
    call = operation.call_meant(agent_id)
    if call is None and not operation.has_call(agent_id):
        return operation.replies.no_call_to_type
    if not _knows_codes(operation, request):
        return operation.replies.disposition_unknown
    if mode.act:
        _codify(operation, request)
    return Envelope(200, None, replies.TYPE_DONE, _told(call.conn_id if call else "", mode))


def hang_type_ready(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """End the agent's call, give it its dispositions, and let the agent be ready at once (doc)."""
    agent_id = request.parameters["agent_id"]
    if not _knows_codes(operation, request):
        return operation.replies.disposition_unknown
    if mode.act:
        _codify(operation, request)
        operation.hang_up(agent_id)
        operation.set_state(agent_id, READY)
    return Envelope(200, None, replies.TYPE_DONE)


def _codify(operation: Operation, request: Request) -> None:
    given = request.parameters
    operation.codify(given["agent_id"], given["cod_act"], given.get("cod_act_2", ""), given.get("comments", ""))


def _knows_codes(operation: Operation, request: Request) -> bool:
    second = request.parameters.get("cod_act_2", "")
    directory = operation.directory
    return directory.has_code(request.parameters["cod_act"], 1) and (not second or directory.has_code(second, 2))


# The station itself


def change_status(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Make the agent ready, put it into a state of the operation's own, or log it out.

    GUESS: the work after a call ends with it, a call under way does not; but logging out hangs up.
    """
    agent_id, status = request.parameters["agent_id"], request.parameters["status"]
    if status not in (READY, LOGOUT) and status not in operation.directory.agent_states:
        return operation.replies.status_unknown
    if mode.act:
        if status == LOGOUT:
            operation.log_out(agent_id)
        else:
            operation.set_state(agent_id, status)
    return Envelope(200, None, replies.status_changed(operation.directory.state_name(status)))


def agent_display(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Show the agent a button, or hide it."""
    agent_id, display, button = (request.parameters[name] for name in ("agent_id", "display", "button"))
    if display not in ("show", "hide") or button not in BUTTONS:
        return operation.replies.display_wrong
    if mode.act:
        operation.stations_kept.show(agent_id, button, shown=display == "show")
    return Envelope(200, None, replies.DEFAULT, replies.displayed(display))


# Recalls. They are kept and can be read; nothing dials them.


def recall(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Note a customer to be called again. Twice, if asked twice."""
    wanted = _recall(operation, request, "telefono", "rellamada")
    if isinstance(wanted, Envelope):
        return wanted
    if mode.act:
        operation.stations_kept.recalls.append(wanted)
    return Envelope(200, None, replies.RECALL_DONE)


def edit_recall(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Give the recalls of a customer's phone in a campaign another date, agent and style (doc).

    GUESS: an edit without a name leaves the name.
    """
    wanted = _recall(operation, request, "telephone", "recall")
    if isinstance(wanted, Envelope):
        return wanted
    recalls = operation.stations_kept.recalls
    found = [each for each in recalls if each.is_of(wanted)]
    if not found:
        return operation.replies.recall_unknown
    if mode.act:
        recalls[:] = [each.edited(wanted) if each in found else each for each in recalls]
    return Envelope(200, None, replies.RECALL_EDITED)


def delete_recall(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Delete the recalls that fit."""
    wanted = _recall(operation, request, "telephone", None)
    if isinstance(wanted, Envelope):
        return wanted
    recalls = operation.stations_kept.recalls
    if not any(each.fits(wanted) for each in recalls):
        return operation.replies.recall_unknown
    if mode.act:
        recalls[:] = [each for each in recalls if not each.fits(wanted)]
    return Envelope(200, None, replies.RECALL_DELETED)


def _recall(operation: Operation, request: Request, telephone: str, date: str | None) -> Recall | Envelope:
    """Return the recall that is asked for, or what is wrong with it. One without a date is due whenever."""
    given = request.parameters
    if not operation.knows_campaign(given["id_camp"]):
        return replies.no_such_campaign(given["id_camp"])
    if given["recall_style"] not in _STYLES:
        return operation.replies.recall_style_wrong
    due = operation.now()
    if date:
        try:
            due = _moment(operation, given[date])
        except ValueError:
            return operation.replies.recall_date_wrong
    return Recall(
        campaign_id=given["id_camp"],
        customer_id=given["id_customer"],
        phone=given[telephone],
        style=given["recall_style"],
        name=given.get("name_recall", ""),
        agent_id=given["agent_id"],
        due=due,
    )


def _moment(operation: Operation, told: str) -> datetime:
    # GUESS: in the zone of the reports.
    return read_moment(told, operation.sight().wording().zone)
