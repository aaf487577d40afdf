"""What every request goes through that asks for a state: asked once more, it does no harm, but not too late."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_wolkvox.hooks.wolkvox import UsesHook
from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID, InLane
from airflow_provider_wolkvox.running_task import why_too_late
from airflow_provider_wolkvox.validation import Checks, length, optional

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class RepeatableOperator(UsesHook, InLane, BaseOperator):
    """An operator that asks for a state: run again, it asks again, and so does a retry when nobody saw the answer.

    :param wolkvox_conn_id: the connection with server code and token; default `wolkvox_default`
    :param max_age: how long after the run was due (the later of its `data_interval_end` and `run_after`) it may still
        be asked for, so that catching up and clearing old runs change nothing; default 24 hours, None for any time

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowFailException: it comes too late, or wolkvox said no
    :raises AirflowException: nothing was sent or nobody saw the answer, and a retry may help
    """

    template_fields: Sequence[str] = ("wolkvox_conn_id",)
    checks: ClassVar[Checks] = {"max_age": optional(length)}

    repeats_in_doubt: ClassVar[bool] = True
    """Whether a retry asks once more when nobody saw the answer."""

    def __init__(
        self,
        *,
        wolkvox_conn_id: str = DEFAULT_CONN_ID,
        max_age: timedelta | None = timedelta(hours=24),
        **kwargs: Any,
    ) -> None:
        super().__init__(wolkvox_conn_id=wolkvox_conn_id, **kwargs)
        self.max_age = max_age

    @abstractmethod
    def ask(self, before_sending: Callable[[], None]) -> str:
        """Ask for the state, and return what was asked for, fit for a log.

        :param before_sending: called right before the first byte; what it raises ends the request with nothing sent
        """

    def why_not(self) -> str | None:
        """Return why this must not be asked for now, and what to do about it; None if it may."""
        return None

    def execute(self, context: Context) -> None:
        """Ask for the state, unless that comes too late."""
        self.begin(context)

        def require_allowed() -> None:
            late = why_too_late(context, None, self.max_age)
            if late:
                raise AirflowFailException(
                    f"Nothing was asked of wolkvox: {late}. Running the task again does not change that."
                )
            why = self.why_not()
            if why:
                raise AirflowFailException(f"Nothing was asked of wolkvox: {why}.")

        with self.hook.failing(repeatable=self.repeats_in_doubt):
            self.validate_rendered()
            require_allowed()
            self.log.info("wolkvox accepted: %s.", self.ask(before_sending=require_allowed))
