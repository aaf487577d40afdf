"""Operators that act at an agent's station: set the state, hang up, give a call its disposition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_wolkvox.not_done import Words
from airflow_provider_wolkvox.operators.once import OnceOperator
from airflow_provider_wolkvox.operators.repeatable import RepeatableOperator
from airflow_provider_wolkvox.phone import shown_extension
from airflow_provider_wolkvox.validation import Check, Checks, agent, identifier, optional, status, switch, text

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# What is done at a station is done to whatever call or state the agent has at that moment.
OF_THE_MOMENT = timedelta(hours=1)


class AgentStatusOperator(RepeatableOperator):
    """Set an agent's state, such as ready or a break.

    Run again, it sets the state again: what it asks for is a state, not a deed. The agent must be logged in [doc].

    :param agent_id: the agent's extension (templated)
    :param status: `"ready"`, `"logout"`, or the id of one of the operation's own states: wolkvox Manager,
        configuration, Agent States (templated)
    :param wolkvox_conn_id: the connection with server code and token; default `wolkvox_default`
    :param max_age: how long after the run was due the state may still be set; default 1 hour, None for any time
    :param pool: another lane than the one named after the connection

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowFailException: the run is older than `max_age`, or wolkvox said no
    :raises AirflowException: nothing was sent or nobody saw the answer, and a retry may help
    """

    template_fields: Sequence[str] = ("agent_id", "status", "wolkvox_conn_id")
    checks: ClassVar[Checks] = {"agent_id": agent, "status": status}
    ui_color = "#e7f3ec"

    def __init__(
        self,
        *,
        agent_id: str | int,
        status: str | int,
        max_age: timedelta | None = OF_THE_MOMENT,
        **kwargs: Any,
    ) -> None:
        super().__init__(max_age=max_age, **kwargs)
        self.agent_id = agent_id
        self.status = status
        self.validate(vars(self))

    def ask(self, before_sending: Callable[[], None]) -> str:
        """Set the state."""
        self.hook.get_conn().change_status(self.agent_id, self.status, before_sending=before_sending)
        return f"agent {self.agent_id} is set to {self.status}"


class HangUpOperator(OnceOperator):
    """Hang up an agent's present call, whichever that is when wolkvox reads the request.

    Done at most once however often the task is run: a second time would cut the next call, with another customer.

    :param agent_id: the agent's extension (templated)
    :param max_age: how long after the run was due a call may still be hung up; default 1 hour, None for any time

    `wolkvox_conn_id`, `call_before`, `ledger_retention`, `allow_second_try` and `pool` are as for `AuxCallOperator`.

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowFailException: it must not be done (again), wolkvox said no, or nobody saw the answer
    :raises AirflowException: nothing was sent, and a retry may help
    """

    template_fields: Sequence[str] = ("agent_id", "wolkvox_conn_id")
    checks: ClassVar[Checks] = {"agent_id": agent}
    ui_color = "#e7f3ec"

    words = Words(
        request="hang-up",
        for_whom="agent",
        nothing="no call was hung up",
        perhaps="the call may have been hung up",
        look="look at the agent's calls in wolkvox's reports",
        again="hang up",
    )

    def __init__(
        self,
        *,
        agent_id: str | int,
        max_age: timedelta | None = OF_THE_MOMENT,
        **kwargs: Any,
    ) -> None:
        super().__init__(max_age=max_age, **kwargs)
        self.agent_id = agent_id
        self.validate(vars(self))

    def execute(self, context: Context) -> None:
        """Hang up, unless that was done already."""
        self.begin(context)

        def send(**around: Any) -> dict[str, str]:
            self.hook.get_conn().hang(self.agent_id, **around)
            self.log.info("wolkvox hung up the call of agent %s.", self.agent_id)
            return {}

        what = f"the call of agent {shown_extension(str(self.agent_id))} is hung up"
        self.once(self.intent(context, "hang", what=what), send, context)


class CallDispositionOperator(OnceOperator):
    """Give an agent's call its disposition; with `hang_up`, also hang it up and set the agent ready.

    Done at most once however often the task is run: a second time would give it to the next call. It returns the
    `conn_id` of the call, as far as wolkvox tells it (with `hang_up` it does not).

    :param agent_id: the agent's extension (templated)
    :param cod_act: the disposition, of the operation's activity codes of group 1 (templated)
    :param cod_act_2: the second one, of group 2; may be left out only with `hang_up` [doc] (templated)
    :param comments: the agent's comment, which goes to wolkvox and to no log or ledger; default None (templated)
    :param hang_up: also hang up and set the agent ready (`hang_type_ready` instead of `type`), for which the call must
        be active [doc]; default False
    :param max_age: how long after the run was due a call may still be given it; default 1 hour, None for any time

    `wolkvox_conn_id`, `call_before`, `ledger_retention`, `allow_second_try` and `pool` are as for `AuxCallOperator`.

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowFailException: it must not be done (again), wolkvox said no, or nobody saw the answer
    :raises AirflowException: nothing was sent, and a retry may help
    """

    template_fields: Sequence[str] = ("agent_id", "cod_act", "cod_act_2", "comments", "wolkvox_conn_id")
    fields_of_one = ("agent_id", "cod_act", "cod_act_2", "comments", "call_before")
    checks: ClassVar[Checks] = {"agent_id": agent, "cod_act": identifier, "comments": optional(text), "hang_up": switch}
    ui_color = "#e7f3ec"

    words = Words(
        request="disposition",
        for_whom="disposition",
        nothing="no call was given a disposition",
        perhaps="the call may have been given its disposition",
        look="look at the agent's calls in wolkvox's reports",
        again="give it",
    )

    def __init__(
        self,
        *,
        agent_id: str | int,
        cod_act: str | int,
        cod_act_2: str | int | None = None,
        comments: str | None = None,
        hang_up: bool = False,
        max_age: timedelta | None = OF_THE_MOMENT,
        **kwargs: Any,
    ) -> None:
        super().__init__(max_age=max_age, **kwargs)
        self.agent_id = agent_id
        self.cod_act = cod_act
        self.cod_act_2 = cod_act_2
        self.comments = comments
        self.hang_up = hang_up
        self.validate(vars(self))

    @classmethod
    def all_checks(cls, arguments: Mapping[str, Any]) -> dict[str, Check]:
        """Return the checks; only with `hang_up` the second disposition may be left out.

        :param arguments: as for `Validated.all_checks`
        """
        second = text if arguments.get("hang_up") is True else identifier
        return super().all_checks(arguments) | {"cod_act_2": second}

    def execute(self, context: Context) -> str:
        """Give the disposition, unless that was done already."""
        self.begin(context)

        def send(**around: Any) -> dict[str, str]:
            wolkvox = self.hook.get_conn()
            conn_id = ""
            if self.hang_up:
                wolkvox.hang_type_ready(self.agent_id, self.cod_act, self.cod_act_2, comments=self.comments, **around)
            else:
                # The client refuses a second code that is missing.
                second: Any = self.cod_act_2
                conn_id = wolkvox.disposition(
                    self.agent_id, self.cod_act, second, comments=self.comments, **around
                ).conn_id
            self.log.info("wolkvox accepted: %s.", what)
            return {"conn_id": conn_id}

        codes = "/".join(str(code) for code in (self.cod_act, self.cod_act_2) if code)
        what = f"the call of agent {shown_extension(str(self.agent_id))} has the disposition {codes}" + (
            " and is hung up" if self.hang_up else ""
        )
        return self.once(self.intent(context, "disposition", what=what), send, context).conn_id
