"""CallingHoursSensor: wait until customers may be called."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseSensorOperator

from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook
from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID
from airflow_provider_wolkvox.task import WolkvoxTask
from airflow_provider_wolkvox.validation import OF_CONNECTION, Checks, calling_hours, choice, optional, phone

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wolkvox.calling.hours import Hours


class CallingHoursSensor(WolkvoxTask, BaseSensorOperator):
    """Wait until customers may be called, outside of any lane: it makes no request.

    It sleeps in `reschedule` mode until the hours next open, not from poke to poke.

    :param calling_hours: when customers may be called: `CallingHours`, a country's code (its law, in the
        connection's time zone), or None for any time; default `"connection"`: the connection's `country`
    :param customer_phone: reckon the hours in every time zone that this number may be in (extra `phones`);
        default None (templated)
    :param wolkvox_conn_id: the connection whose `country` and `timezone` count; default `wolkvox_default`
    :param mode: `"reschedule"` (default), and no other: a sensor that waits for a night must not hold a worker's slot

    :raises ValueError: when the DAG is parsed: an unknown country, or what are no hours
    :raises AirflowFailException: an unknown country or time zone, or hours that never open
    """

    # Not `wolkvox_conn_id`: `airflow wolkvox check` takes a task that has it for one that uses the token.
    template_fields: Sequence[str] = ("customer_phone",)
    checks: ClassVar[Checks] = {
        "calling_hours": calling_hours,
        "customer_phone": optional(phone),
        "mode": choice("reschedule"),
    }
    ui_color = "#e7eef3"

    def __init__(
        self,
        *,
        calling_hours: Hours | str | None = OF_CONNECTION,
        customer_phone: str | int | None = None,
        wolkvox_conn_id: str = DEFAULT_CONN_ID,
        mode: str = "reschedule",
        **kwargs: Any,
    ) -> None:
        super().__init__(mode=mode, **kwargs)
        self.calling_hours = calling_hours
        self.customer_phone = customer_phone
        self.wolkvox_conn_id = wolkvox_conn_id
        self.validate(vars(self))

    def poke(self, context: Context) -> bool:
        """Return whether it is open now; if not, have the next poke come when it opens."""
        now = datetime.now(UTC)
        try:
            self.validate_rendered()
            hours = WolkvoxHook(self.wolkvox_conn_id).calling_hours(self.calling_hours, self.customer_phone)
            closed = hours.why_closed(now) if hours else None
            if hours is None or closed is None:
                return True
            opens = hours.next_open(now)
        except (ValueError, ImportError) as wrong:
            raise AirflowFailException(str(wrong)) from None
        self.log.info("Customers may not be called now (%s), next at %s.", closed, f"{opens:%Y-%m-%d %H:%M:%S} UTC")
        # Known to the second, so nothing is to be guessed; but not asleep beyond what it may take in all.
        self.exponential_backoff = False
        self.poke_interval = min(max((opens - now).total_seconds(), 1.0), self.timeout + 1)
        return False
