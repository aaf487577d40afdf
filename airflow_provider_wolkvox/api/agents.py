"""The methods of WolkvoxClient that act at an agent's station: ring, hang up, give a disposition, schedule a recall."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

from airflow_provider_wolkvox.api import arguments
from airflow_provider_wolkvox.api.envelope import Envelope
from airflow_provider_wolkvox.api.errors import NotSent, TokenBusy
from airflow_provider_wolkvox.api.records import AgentCall
from airflow_provider_wolkvox.api.sending import AGENT, Resend, Sender

# By the vendor's pages; `hungup` is spelt like this.
BUTTONS = frozenset({"hungup", "disposition", "dial"})
DISPLAYS = frozenset({"show", "hide"})
RECALL_STYLES = frozenset({"auto", "manual"})

# `recall` names the number and the instant in Spanish, its edit and delete name the number in English [doc].
RECALL_PHONE = "telefono"
EDITED_PHONE = "telephone"
RECALL_DATE = "rellamada"
# Not as in `recall` [doc: the vendor's request collection].
EDITED_DATE = "recall"

SINGLE_TRY = Resend(tries=1)


class AgentMethods(Sender):
    """Acts at an agent's station. The agent must be logged in to the wolkvox Agent, desktop or web [doc].

    What holds for every method: all parameters travel in the query string, with an empty body [doc]. Arguments that
    cannot be right are a `ValueError` before any request. Requests need a token, but do not count for the daily
    quota [doc]. A method raises

    - `NotSent`: no byte left this machine in any of the tries; nothing happened
    - `Refused`: wolkvox said no; nothing happened. What it answers for an agent who is unknown, logged out or has no
      call is documented nowhere
    - `OutcomeUnknown`: wolkvox may have done it; it was not sent again

    What was not sent, and what found the token in use, is sent again as the client's `resend` says; `hold` and `mute`
    never are. `before_sending` and `before_resending` are as for `aux_call`.

    `hold`, `mute`, `dtmf` and `agent_display` have no Airflow operator: they make sense only for somebody who listens
    to the call or looks at the station at that moment, which a scheduled task does not.
    """

    dial_prefix: str
    """Digits that the operation dials before every number."""

    def aux_call(
        self,
        agent_id: str | int,
        customer_phone: str | int,
        *,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> AgentCall:
        """Make an agent ring the customer of a predictive call that has been cut.

        wolkvox rings only for calls that came from a predictive campaign, once that call has been
        cut, while the agent is logged in and has no active call [doc].

        :param agent_id: the agent's extension
        :param customer_phone: 5 to 20 digits; blanks, dashes, dots, brackets and one leading `+` are
            dropped, `dial_prefix` is put before it
        :param before_sending: called in every try once the connection stands, right before the first
            byte is handed over; what it raises ends the call with nothing sent
        :param before_resending: called with what ended a try that certainly did nothing, before the wait
            for the next one
        :raises ValueError: an argument cannot be right; nothing was sent
        :raises NotSent: no byte left this machine in any of the tries; no phone rang
        :raises Refused: wolkvox said no; no phone rang
        :raises OutcomeUnknown: the phone may have rung; it was not sent again
        """
        number = arguments.phone(customer_phone)
        return self._ring("aux_call", agent_id, self.dial_prefix, number, {}, before_sending, before_resending)

    def dial(
        self,
        agent_id: str | int,
        customer_phone: str | int,
        *,
        customer_id: str | int | None = None,
        customer_name: str | None = None,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> AgentCall:
        """Make an agent ring any number; no call needs to come before [doc].

        :param agent_id: the agent's extension
        :param customer_phone: 5 to 20 digits, as for `aux_call`; `dial_prefix` is put before it
        :param customer_id: the customer's id, for wolkvox's records; default none
        :param customer_name: the customer's name, for wolkvox's records; default none
        :raises ValueError: an argument cannot be right; nothing was sent
        :raises NotSent: no byte left this machine in any of the tries; no phone rang
        :raises Refused: wolkvox said no; no phone rang
        :raises OutcomeUnknown: the phone may have rung; it was not sent again

        The rest is as for `aux_call`.
        """
        customer = _given(
            customer_id=arguments.optional(customer_id, "customer_id"),
            customer_name=arguments.optional(customer_name, "customer_name"),
        )
        number = arguments.phone(customer_phone)
        return self._ring("dial", agent_id, self.dial_prefix, number, customer, before_sending, before_resending)

    def transfer(
        self,
        agent_id: str | int,
        customer_phone: str | int,
        *,
        to_agent: bool = False,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> AgentCall:
        """Transfer the agent's present call to a phone number or to another agent [doc].

        :param agent_id: the extension of the agent who has the call
        :param customer_phone: who gets it: a number of 5 to 20 digits, or another agent's extension. The API's name
            for it; it is seldom a customer
        :param to_agent: whether it is an extension: no `dial_prefix` is put before one. Default False
        :raises ValueError: an argument cannot be right; nothing was sent
        :raises NotSent: no byte left this machine in any of the tries; no phone rang
        :raises Refused: wolkvox said no; no phone rang
        :raises OutcomeUnknown: the call may have been transferred; it was not sent again

        The rest is as for `aux_call`.
        """
        if to_agent:
            prefix, target = "", arguments.agent_id(customer_phone, "customer_phone")
        else:
            prefix, target = self.dial_prefix, arguments.phone(customer_phone)
        return self._ring("transfer", agent_id, prefix, target, {}, before_sending, before_resending)

    def hang(
        self,
        agent_id: str | int,
        *,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> None:
        """Hang up the agent's present call [doc], whichever that is when wolkvox reads the request.

        :param agent_id: the agent's extension
        :raises ValueError: an argument cannot be right; nothing was sent

        The rest is as for `AgentMethods`.
        """
        self._station("hang", agent_id, {}, before_sending, before_resending)

    def hold(self, agent_id: str | int, *, before_sending: Callable[[], None] = lambda: None) -> None:
        """Put the agent's present call on hold, or take it off: it toggles [doc].

        Never sent again, not even what certainly was not sent or found the token in use: the request says "the other
        way round", not which way. By the time of a second try the agent may have pressed the button, and the request
        would undo that.

        :param agent_id: the agent's extension
        :raises ValueError: an argument cannot be right; nothing was sent

        The rest is as for `AgentMethods`.
        """
        self._station("hold", agent_id, {}, before_sending, resend=SINGLE_TRY)

    def mute(self, agent_id: str | int, *, before_sending: Callable[[], None] = lambda: None) -> None:
        """Switch the agent's microphone off, or on again: it toggles [doc].

        Never sent again, for the reason that `hold` gives: a second try might switch a microphone on that the agent
        has just switched off.

        :param agent_id: the agent's extension
        :raises ValueError: an argument cannot be right; nothing was sent

        The rest is as for `AgentMethods`.
        """
        self._station("mute", agent_id, {}, before_sending, resend=SINGLE_TRY)

    def dtmf(
        self,
        agent_id: str | int,
        tones: str,
        *,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> str:
        """Send tones into the agent's present call, and return the server's text about it [doc].

        :param agent_id: the agent's extension
        :param tones: digits [doc]; GUESS: `*` and `#` as well. Text, since a number would lose leading zeros
        :raises ValueError: an argument cannot be right; nothing was sent

        The rest is as for `AgentMethods`.
        """
        pressed = arguments.tones(tones)
        answer = self._station(
            "dtmf", agent_id, {"tones": pressed}, before_sending, before_resending, secrets=(pressed,)
        )
        return "" if answer.data is None else str(answer.data)

    def disposition(
        self,
        agent_id: str | int,
        cod_act: str | int,
        cod_act_2: str | int,
        *,
        comments: str | None = None,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> AgentCall:
        """Give the agent's call its disposition (the API `type`), and return that call.

        :param agent_id: the agent's extension
        :param cod_act: the disposition, of the operation's activity codes of group 1
        :param cod_act_2: the second one, of group 2; wolkvox wants both [doc]
        :param comments: the agent's comment; default none
        :raises ValueError: an argument cannot be right; nothing was sent

        The rest is as for `AgentMethods`.
        """
        agent = arguments.agent_id(agent_id)
        codes = {
            "cod_act": arguments.identifier(cod_act, "cod_act"),
            "cod_act_2": arguments.identifier(cod_act_2, "cod_act_2"),
        }
        comment = _given(comments=arguments.optional(comments, "comments"))
        answer = self._station(
            "type", agent, {**codes, **comment}, before_sending, before_resending, secrets=[*comment.values()]
        )
        return AgentCall.from_data(answer.data, agent_id=agent, accepted_at=datetime.now(UTC))

    def hang_type_ready(
        self,
        agent_id: str | int,
        cod_act: str | int,
        cod_act_2: str | int | None = None,
        *,
        comments: str | None = None,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> None:
        """Hang up the agent's call, give it its disposition and set the agent ready; the call must be active [doc].

        :param agent_id: the agent's extension
        :param cod_act: the disposition, of the operation's activity codes of group 1
        :param cod_act_2: the second one, of group 2; default none
        :param comments: the agent's comment; default none
        :raises ValueError: an argument cannot be right; nothing was sent

        The rest is as for `AgentMethods`.
        """
        comment = _given(comments=arguments.optional(comments, "comments"))
        codes = _given(
            cod_act=arguments.identifier(cod_act, "cod_act"), cod_act_2=arguments.optional(cod_act_2, "cod_act_2")
        )
        self._station(
            "hang_type_ready",
            agent_id,
            {**codes, **comment},
            before_sending,
            before_resending,
            secrets=[*comment.values()],
        )

    def change_status(
        self,
        agent_id: str | int,
        status: str | int,
        *,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> None:
        """Set the agent's state [doc].

        :param agent_id: the agent's extension
        :param status: `ready`, `logout`, or the id of one of the operation's own states: wolkvox Manager,
            configuration, Agent States [doc]
        :raises ValueError: an argument cannot be right; nothing was sent

        The rest is as for `AgentMethods`.
        """
        self._station("change_status", agent_id, {"status": arguments.status(status)}, before_sending, before_resending)

    def agent_display(
        self,
        agent_id: str | int,
        button: str,
        display: str,
        *,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> str:
        """Show or hide a button of the agent's station, and return the server's text about it [doc].

        :param agent_id: the agent's extension
        :param button: `hungup`, `disposition` or `dial`
        :param display: `show` or `hide`
        :raises ValueError: an argument cannot be right; nothing was sent

        The rest is as for `AgentMethods`.
        """
        which = {
            "display": arguments.one_of(display, DISPLAYS, "display"),
            "button": arguments.one_of(button, BUTTONS, "button"),
        }
        answer = self._station("agent_display", agent_id, which, before_sending, before_resending)
        return "" if answer.data is None else str(answer.data)

    def recall(
        self,
        agent_id: str | int,
        campaign_id: str | int,
        customer_id: str | int,
        customer_phone: str | int,
        at: datetime,
        *,
        recall_style: str = "auto",
        name_recall: str | None = None,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> None:
        """Have a predictive campaign's customer rung at an instant [doc].

        Whether wolkvox keeps two recalls if it is asked twice is documented nowhere.

        :param agent_id: the agent's extension
        :param campaign_id: the predictive campaign, digits
        :param customer_id: the customer's id in the campaign
        :param customer_phone: 5 to 20 digits. GUESS: as the campaign's record has it, so no `dial_prefix` is put before
        :param at: when, aware; sent in the client's `reports_timezone`, to the second
        :param recall_style: `auto` (default): wolkvox dials; `manual`: the agent does
        :param name_recall: a name for the recall; default none
        :raises ValueError: an argument cannot be right; nothing was sent

        The rest is as for `AgentMethods`.
        """
        date = {RECALL_DATE: arguments.date(at, "at", self.zone)}
        which = _which_recall(campaign_id, customer_id, RECALL_PHONE, customer_phone, recall_style, name_recall)
        self._recall("POST", "recall", agent_id, {**which, **date}, before_sending, before_resending)

    def edit_recall(
        self,
        agent_id: str | int,
        campaign_id: str | int,
        customer_id: str | int,
        customer_phone: str | int,
        at: datetime,
        *,
        recall_style: str = "auto",
        name_recall: str | None = None,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> None:
        """Move a scheduled recall to another instant, and give it this agent and this style [doc].

        wolkvox finds the recall by campaign, customer and phone [doc].

        :param agent_id: the extension of the agent who has the recall from now on
        :param at: the new instant, aware; sent in the client's `reports_timezone`, to the second
        :param recall_style: the style from now on: `auto` (default) or `manual`. A manual recall that is to stay one
            needs `manual`
        :raises ValueError: an argument is invalid; nothing was sent

        The other parameters are as for `recall`.
        """
        date = {EDITED_DATE: arguments.date(at, "at", self.zone)}
        which = _which_recall(campaign_id, customer_id, EDITED_PHONE, customer_phone, recall_style, name_recall)
        self._recall("PUT", "edit_recall", agent_id, {**which, **date}, before_sending, before_resending)

    def delete_recall(
        self,
        agent_id: str | int,
        campaign_id: str | int,
        customer_id: str | int,
        customer_phone: str | int,
        *,
        recall_style: str = "auto",
        name_recall: str | None = None,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> None:
        """Delete a scheduled recall [doc].

        :raises ValueError: an argument cannot be right; nothing was sent

        The parameters, which say which recall, are as for `recall`.
        """
        which = _which_recall(campaign_id, customer_id, EDITED_PHONE, customer_phone, recall_style, name_recall)
        self._recall("DELETE", "delete_recall", agent_id, which, before_sending, before_resending)

    def _ring(
        self,
        api: str,
        agent_id: str | int,
        prefix: str,
        number: str,
        more: Mapping[str, str],
        before_sending: Callable[[], None],
        before_resending: Callable[[NotSent | TokenBusy], None],
    ) -> AgentCall:
        agent = arguments.agent_id(agent_id)
        answer = self._station(
            api,
            agent,
            {"customer_phone": prefix + number, **more},
            before_sending,
            before_resending,
            secrets=(prefix + number, number, *more.values()),
        )
        return AgentCall.from_data(answer.data, agent_id=agent, accepted_at=datetime.now(UTC))

    def _recall(
        self,
        method: str,
        api: str,
        agent_id: str | int,
        parameters: Mapping[str, str],
        before_sending: Callable[[], None],
        before_resending: Callable[[NotSent | TokenBusy], None],
    ) -> None:
        whose = (RECALL_PHONE, EDITED_PHONE, "id_customer", "name_recall")
        secrets = [parameters[name] for name in whose if name in parameters]
        self._station(api, agent_id, parameters, before_sending, before_resending, secrets=secrets, method=method)

    def _station(
        self,
        api: str,
        agent_id: str | int,
        parameters: Mapping[str, str],
        before_sending: Callable[[], None],
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
        *,
        secrets: Sequence[str] = (),
        method: str = "POST",
        resend: Resend | None = None,
    ) -> Envelope:
        agent = {"agent_id": arguments.agent_id(agent_id)}
        # A server may repeat a text as it got it: encoded.
        hidden = {form for secret in secrets for form in (secret, quote(secret), quote_plus(secret))}
        return self._send(
            method, AGENT, api, {**agent, **parameters}, before_sending, before_resending, [*hidden], resend=resend
        )


def _which_recall(
    campaign_id: str | int,
    customer_id: str | int,
    phone: str,
    customer_phone: str | int,
    recall_style: str,
    name_recall: str | None,
) -> dict[str, str]:
    return {
        "id_camp": arguments.campaign_id(campaign_id),
        "id_customer": arguments.identifier(customer_id, "customer_id"),
        phone: arguments.phone(customer_phone),
        "recall_style": arguments.one_of(recall_style, RECALL_STYLES, "recall_style"),
        **_given(name_recall=arguments.optional(name_recall, "name_recall")),
    }


def _given(**parameters: str) -> dict[str, str]:
    """Return those parameters that hold something."""
    return {name: value for name, value in parameters.items() if value}
