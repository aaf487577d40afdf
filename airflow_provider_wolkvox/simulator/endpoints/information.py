"""The APIs of `information.php`: lists of what the operation has, and the token's quota.

GUESS: the values of the fields that the operation has nothing to say of.
"""

from __future__ import annotations

from airflow_provider_wolkvox.simulator import replies
from airflow_provider_wolkvox.simulator.endpoints.reports import listed
from airflow_provider_wolkvox.simulator.replies import Envelope
from airflow_provider_wolkvox.simulator.request import Request, ResponseMode
from airflow_provider_wolkvox.simulator.state.directory import GROUPS
from airflow_provider_wolkvox.simulator.state.operation import REQUESTS_PER_LICENCE, Operation, Token
from airflow_provider_wolkvox.simulator.state.reporting import Fields


def token_info(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell how much of the quota is used, this request included.

    The fields, that they are text, and what is left = limit - used are doc; that they come as a list of one
    row is a guess, as reports do.
    """
    limit, used = operation.limit_of(token), operation.used_by(token)
    row = {
        "description": token.description,
        "token_limit": str(limit),
        "token_use_today": str(used),
        "all_token_today": str(operation.used_by_all()),
        "available_consumption_options": str(limit - used),
    }
    return Envelope(200, None, replies.TOKEN_INFO_DONE, [row])


def list_campaigns(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell every campaign's name and whether it is `Started` or `Stopped` (doc)."""
    sight = operation.sight()
    found = [
        {
            "campaign_id": state.campaign_id,
            "campaign_name": state.name,
            "campaign_description": "",
            "type_campaign": state.kind,
            "status": operation.campaigns.status(state, sight.now, sight.policy.status_when_done).capitalize(),
            "records": str(len(state.records)),
            "speed": str(state.speed),
            "dial_mode": state.strategy,
            "last_use": "",
            "recycled": str(state.recalls),
            "turbo_dial": "no",
            "skill_id": state.skill_id,
        }
        for state in operation.campaigns
    ]
    return listed(_asked_for(request, "campaign", "campaign_id", found), sight)


def list_agents(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell every agent's name, logged in or not."""
    sight = operation.sight()
    found = [
        {
            "agent_id": agent.agent_id,
            "agent_name": sight.wording().agent(agent.agent_id),
            "agent_dni": "",
            # GUESS: the two words; here it is not the state of real time.
            "agent_status": "Logged in" if agent.logged_in else "Logged out",
            "last_use": "",
            "agent_sso": "no",
            "enabled": "yes",
        }
        for agent in operation.agents
    ]
    return listed(_asked_for(request, "agent", "agent_id", found), sight)


def list_activity_codes(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Show the dispositions, each with its group and its flags (doc). GUESS: one of no group is shown in the first."""
    sight = operation.sight()
    found = [
        {
            "cod_act": code.cod_act,
            "description_cod_act": code.name,
            "hit": _flag(code.hit),
            "rpc": _flag(code.rpc),
            **dict.fromkeys(("chat", "studio"), _flag(False)),
            "voice": _flag(True),
            "type_code": GROUPS[code.group or 1],
            "interactions": "",
        }
        for code in sight.directory.activity_codes
    ]
    return listed(found, sight)


def get_dnc(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell the phones of the do-not-call list, inbound, outbound or all (doc)."""
    sight, wanted = operation.sight(), request.parameters["type"]
    found = [
        {"phone_number": entry.phone_number, "type": entry.type, "date_delete": entry.date_delete}
        for entry in sight.directory.do_not_call
        if wanted in ("all", entry.type)
    ]
    return listed(found, sight)


def law2300_info(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Show when and by which channel a phone was blocked for a company. GUESS: one without a nit is shown for each."""
    sight = operation.sight()
    found = [
        {"phone_number": entry.phone_number, "last_day": entry.last_day, "last_channel": entry.last_channel}
        for entry in sight.directory.law2300
        if entry.phone_number == request.parameters["phone"] and entry.nit in ("", request.parameters["nit"])
    ]
    return listed(found, sight)


def list_skills(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Show the operation's skills."""
    sight = operation.sight()
    found = [
        {"skill_id": skill.skill_id, "skill_name": skill.name, "skill_description": "", "last_use": ""}
        for skill in sight.directory.skills
    ]
    return listed(found, sight)


def agents_in_skill(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Show the agents who take the calls of one skill."""
    sight, skill_id = operation.sight(), request.parameters["skill_id"]
    skill = next((each for each in sight.directory.skills if each.skill_id == skill_id), None)
    if skill is None:
        return sight.replies.nothing_found
    found = [
        {
            "agent_id": agent.agent_id,
            "agent_name": sight.wording().agent(agent.agent_id),
            "last_use": "",
            "expertise": "1",
        }
        for agent in operation.agents
        if skill.agents is None or agent.agent_id in skill.agents
    ]
    return listed(found, sight)


def services(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Show what the operation has: its licences, of which the day's quota follows (doc), and nothing beyond them."""
    # GUESS: what the numbers of the others mean.
    row = {"licenses": str(operation.daily_quota // REQUESTS_PER_LICENCE), **dict.fromkeys(_SERVICES, "0")}
    return Envelope(200, None, replies.records_found(1), [row])


_SERVICES = (
    *("pbx", "screen_recording", "video_call", "stereo_recording", "gamification", "text_analytics"),
    *("speech_analytics", "rsync", "wolkvox_storage", "blob_storage", "aws_s3", "intelligentdial", "bi"),
    *("customer_prot", "mr_wizard", "turbo_dial", "sso", "mailgun", "whatsapp", "facebook_page"),
    *("facebook_messenger", "instagram_page", "instagram_chat", "sms_bidireccional", "chat_web", "telegram"),
    *("crm", "email", "cobrowsing"),
)


def _flag(on: bool) -> str:
    return "yes" if on else "no"


def _asked_for(request: Request, parameter: str, name: str, found: list[Fields]) -> list[Fields]:
    wanted = request.parameters.get(parameter)
    return [row for row in found if not wanted or row[name] == wanted]
