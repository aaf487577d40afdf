"""AuxCallOperator: an agent rings the customer of a predictive call that has been cut."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseOperator

from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook
from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID, InLane, require_lane

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wolkvox.api import AuxCall


class AuxCallOperator(InLane, BaseOperator):
    """Make an agent ring the customer of a predictive call again, once that call has been cut.

    The agent must be logged in and have no active call [doc]. The task runs in its token's lane: the
    pool named after the connection, of one slot (`airflow wolkvox sync-pools` makes it). It returns
    wolkvox's `conn_id` of the new call and pushes it to XCom under the key `conn_id` as well; it is
    empty if wolkvox gave none.

    :param agent_id: the agent's extension (templated)
    :param customer_phone: 5 to 20 digits; blanks, dashes, dots, brackets and one leading `+` are dropped,
        and the connection's `dial_prefix` is put before it (templated)
    :param wolkvox_conn_id: the connection with server code and token; default `wolkvox_default`
        (templated if `pool` is given)
    :param allow_second_try: let a second or later try of the task call, although an earlier one may
        have made the phone ring; default False
    :param pool: another lane than the one named after the connection, for connections that hold one
        token; a pool of one slot

    Refusals of wolkvox and unknown outcomes fail the task without a retry. A request that never left
    this machine, and a token that stayed in use, fail the try.

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    """

    template_fields: Sequence[str] = ("agent_id", "customer_phone", "wolkvox_conn_id")
    ui_color = "#e7f3ec"

    def __init__(
        self,
        *,
        agent_id: str | int,
        customer_phone: str | int,
        wolkvox_conn_id: str = DEFAULT_CONN_ID,
        allow_second_try: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(wolkvox_conn_id=wolkvox_conn_id, **kwargs)
        self.agent_id = agent_id
        self.customer_phone = customer_phone
        self.allow_second_try = allow_second_try
        self._check_literal_arguments()

    @cached_property
    def hook(self) -> WolkvoxHook:
        """The hook of the task's connection."""
        return WolkvoxHook(self.wolkvox_conn_id)

    def execute(self, context: Context) -> str:
        """Call, push `conn_id`, and return it."""
        require_lane(self, context)
        self._require_first_try(context)
        call = self._call()
        self._report(call)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="conn_id", value=call.conn_id)
        return call.conn_id

    def on_kill(self) -> None:
        """Send nothing more; a request that is on its way cannot be called back."""
        self.hook.stop()

    def _call(self) -> AuxCall:
        from airflow_provider_wolkvox.api import NotSent, TokenBusy, WolkvoxError

        try:
            return self.hook.aux_call(self.agent_id, self.customer_phone)
        except (NotSent, TokenBusy) as failure:
            # Nothing happened: the task's own retries may try again.
            raise AirflowException(str(failure)) from None
        except (WolkvoxError, ValueError) as failure:
            raise AirflowFailException(str(failure)) from None

    def _report(self, call: AuxCall) -> None:
        from airflow_provider_wolkvox.api.arguments import masked

        self.log.info(
            "wolkvox accepted the call: agent %s rings %s, conn_id %s",
            call.agent_id,
            masked(str(self.customer_phone)),
            call.conn_id or "(none given, so this call cannot be found in the reports by its id)",
        )

    def _require_first_try(self, context: Context) -> None:
        """Refuse to call in a later try: an earlier one may have made the phone ring."""
        if context["ti"].try_number > 1 and not self.allow_second_try:
            raise AirflowFailException(
                f"This is try {context['ti'].try_number} of the task, and an earlier one may have made the phone "
                "ring. No call was made in this try. Look at the earlier try's log and in wolkvox's reports; to "
                "call nevertheless, set allow_second_try=True on the task."
            )

    def _check_literal_arguments(self) -> None:
        """Refuse, while the DAG is parsed, values that are already known and cannot be right."""
        from airflow_provider_wolkvox.api import arguments

        for value, check in (
            (self.agent_id, arguments.agent_id),
            (self.customer_phone, arguments.phone),
        ):
            if isinstance(value, int) or (isinstance(value, str) and "{" not in value):
                check(value)
