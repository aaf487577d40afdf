"""The hook: a wolkvox connection, and the client made from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseHook

from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID, require_real_run
from airflow_provider_wolkvox.phone import PhoneNumber
from airflow_provider_wolkvox.validation import OF_CONNECTION

if TYPE_CHECKING:
    from airflow_provider_wolkvox.api import AgentCall, WolkvoxClient
    from airflow_provider_wolkvox.calling.caps import Cap
    from airflow_provider_wolkvox.calling.hours import Hours


# For a request whose client has gone, wolkvox may take a token as in use for as long as it works [doc].
TOKEN_IN_USE_AFTER = 60.0
"""For how many seconds after a request's whole time its token may still be in use."""


class WolkvoxHook(BaseHook):
    """Talks to wolkvox with the server code and the token of an Airflow connection.

    The connection is read when it is first needed, never in `__init__`.

    :param wolkvox_conn_id: the connection's id; default `wolkvox_default`

    The connection's fields: **host** is the server code, **password** the token. Extras, all optional:

    - `dial_prefix`: digits that the operation dials before every number
    - `country`, `timezone`: whose law and which clock decide when, and how often, a customer may be called
    - `cap`: how often instead, such as `2 in 24 hours, 5 in 7 days`, or `none`
    - `reports_timezone`: the clock of wolkvox's reports; `America/Bogota` if not given
    - `base_url`: another address to send to: a simulator's or a gateway's
    - `connect_timeout`, `total_timeout`: seconds; 10 and 60 if not given
    - `report_timeout`: seconds for all parts of a report that ran into `total_timeout`; 3600 if not given. It has no
      field in the connection's form
    - `authenticated_test`: let the form's Test button ask `token_info` too; default false, since the button
      works outside of every pool, so the token might be in use, and since it costs a request of the quota
    """

    conn_name_attr = "wolkvox_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "wolkvox"
    hook_name = "wolkvox"

    def __init__(self, wolkvox_conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.wolkvox_conn_id = wolkvox_conn_id
        self._client: WolkvoxClient | None = None
        self._stopped = False

    @cached_property
    def connection(self) -> Any:
        """The Airflow connection."""
        return self.get_connection(self.wolkvox_conn_id)

    def get_conn(self) -> WolkvoxClient:
        """Return the client, made on first use.

        :raises ValueError: a field of the connection is missing or cannot be right; the message names it
            as the form shows it
        """
        if self._client is None:
            from airflow_provider_wolkvox.api import WolkvoxClient

            connection = self.connection
            for value, label in ((connection.host, "Server code"), (connection.password, "Token")):
                if not value or not str(value).strip():
                    raise ValueError(
                        f"Connection {self.wolkvox_conn_id!r}: the field '{label}' is empty. No request was made."
                    )
            options = {
                name: value
                for name in (
                    "base_url",
                    "dial_prefix",
                    "connect_timeout",
                    "total_timeout",
                    "report_timeout",
                    "reports_timezone",
                )
                if (value := self.extra(name)) is not None
            }
            try:
                self._client = WolkvoxClient(connection.host, connection.password, **options)
            except ValueError as wrong:
                raise ValueError(f"Connection {self.wolkvox_conn_id!r}: {wrong}. No request was made.") from None
            if self._stopped:
                self._client.stop()
            self._warn_of_lost_zeros(connection.host)
        return self._client

    def _warn_of_lost_zeros(self, host: str) -> None:
        from airflow_provider_wolkvox.api.arguments import SERVER_CODE_DIGITS, server_code

        if len(code := server_code(host)) < SERVER_CODE_DIGITS:
            self.log.warning(
                "Connection %r: the server code %r has fewer than four digits. YAML reads 0042 without quotes as 34: "
                "quote it.",
                self.wolkvox_conn_id,
                code,
            )

    def extra(self, name: str) -> Any:
        """Return one of the connection's extras; None if it is absent or was left blank in the form.

        :param name: such as `dial_prefix`
        :raises ValueError: the field 'Extra' is not a JSON object; it is not repeated, since people put secrets there
        """
        try:
            extras = json.loads(self.connection.extra or "{}")
        except ValueError:
            extras = None
        if not isinstance(extras, dict):
            # The extra itself is not repeated: people put secrets there.
            raise ValueError(
                f"Connection {self.wolkvox_conn_id!r}: the field 'Extra' is not a JSON object. No request was made."
            )
        value = extras.get(name)
        if isinstance(value, str):
            value = value.strip()
        return None if value == "" else value

    def aux_call(
        self, agent_id: str | int, customer_phone: str | int, *, idempotency_key: str | None = None
    ) -> AgentCall:
        """Make an agent ring a customer: within a task, with a ledger in SQL, at most once, whatever runs again.

        For a task of your own, which has to be in the token's pool. The stop switch and the connection's cap hold;
        calling hours and lateness are yours to judge: `AuxCallOperator` and `@task.wolkvox_call` do that too. Without a
        ledger in SQL (`[wolkvox] ledger_conn_id`), and outside of a task, what runs again calls again, and a warning in
        the log says so.

        :param agent_id: the agent's extension
        :param customer_phone: the customer's number
        :param idempotency_key: what identifies the call; default None: in one run of a DAG, a customer is called once
        :return: the call; an earlier one, if it was made already
        :raises AirflowFailException: in a test run with a real connection; with a ledger: the call must not be made
            (again), wolkvox rejected it, or its outcome is unknown
        :raises AirflowException: with a ledger: it was not made, and a retry may make it
        :raises WolkvoxError: without: as for `WolkvoxClient.aux_call`
        :raises ValueError: an argument or a field of the connection is invalid, or `idempotency_key` is given and
            nothing would remember it
        """
        from airflow_provider_wolkvox.ledger.configuration import ledger_conn_id
        from airflow_provider_wolkvox.own_task import call_once, running_context

        context = running_context()
        if context is not None:
            require_real_run(self, context)
            if ledger_conn_id():
                return call_once(self, agent_id, customer_phone, idempotency_key, context)
        why = (
            "it is not made within a task that Airflow runs"
            if context is None
            else "there is no ledger in SQL ([wolkvox] ledger_conn_id)"
        )
        if idempotency_key is not None:
            raise ValueError(f"idempotency_key needs a ledger in SQL within a task: {why}. No call was made")
        self.log.warning("Nothing keeps this call from being made again if its task runs again: %s.", why)
        return self.get_conn().aux_call(agent_id, customer_phone)

    def caps(self, given: Cap | Sequence[Cap] | str | None = OF_CONNECTION) -> tuple[Sequence[Cap], bool]:
        """Return how often a customer may be called, and whether only the law says so.

        :param given: the caps themselves, None for none, or `"connection"` (default): the connection's `cap` and, if
            that is empty, the careful cap of the law of its `country`
        :raises ValueError: the connection's `cap` is invalid
        """
        from airflow_provider_wolkvox.calling.caps import OF_COUNTRIES, Cap, parse_caps

        if given is None:
            return (), False
        if not isinstance(given, str):
            return ([given] if isinstance(given, Cap) else list(given)), False
        written = self.extra("cap")
        if written is not None:
            with self._blaming("Cap"):
                return parse_caps(str(written)), False
        law = OF_COUNTRIES.get(str(self.extra("country") or "").strip().upper())
        return ([law] if law else ()), True

    def calling_hours(
        self, given: Hours | str | None = OF_CONNECTION, phone: str | int | PhoneNumber | None = None
    ) -> Hours | None:
        """Return when customers may be called; None for any time. No request is made.

        A country stands for its law on calls for collection and for commerce, both kept at once, since
        nothing tells which of them a call is for.

        :param given: the hours themselves, a country's code, None, or `"connection"` (default): the connection's
            `country`, and any time, with a warning, if that is empty
        :param phone: reckon them in every time zone that this number may be in (extra `phones`), and in
            their own, or the connection's, only if none is known; default None, in theirs or the connection's alone
        :raises ValueError: an unknown country or time zone, or none where one is needed; the message names the field
        :raises ImportError: `phone` is given, and the extra `phones` is not installed
        """
        from airflow_provider_wolkvox.calling import CallingHours
        from airflow_provider_wolkvox.calling.countries import ONLY_ZONES, rule_for

        if given is None:
            return None
        if not isinstance(given, str):
            return self._by_phone(given, phone, self.extra("country")) if phone is not None else given
        of_connection = given == OF_CONNECTION
        country = str(self.extra("country") or "" if of_connection else given).strip().upper()
        if not country:
            self.log.warning(
                "Calls are made at any hour: neither calling_hours nor the field 'Country' of connection %r says "
                "when customers may be called.",
                self.wolkvox_conn_id,
            )
            return None
        with self._blaming("Country" if of_connection else None):
            rule_for(country, "collection")
        zone = self.extra("timezone") or ONLY_ZONES.get(country)
        if zone is None and phone is None:
            raise ValueError(
                f"Connection {self.wolkvox_conn_id!r}: the field 'Time zone' is empty, and {country} has several. "
                "No request was made"
            )
        with self._blaming("Time zone"):
            # Without a zone they are asked in the number's only.
            collection, commercial = (
                CallingHours.for_country(country, purpose=purpose, timezone=zone or "UTC")
                for purpose in ("collection", "commercial")
            )
        law = collection & commercial
        return law if phone is None else self._by_phone(law, phone, country, has_zone=zone is not None)

    def server_code(self) -> str:
        """Return the connection's server code, the same for `0042` and `wv0042`; empty if it is invalid.

        :raises AirflowException: the connection cannot be read
        """
        from airflow_provider_wolkvox.api import arguments

        try:
            return arguments.server_code(self.connection.host)
        except ValueError:
            # Said where the client is made.
            return ""

    def token_use(self) -> tuple[str, float]:
        """Return the token, and for how many seconds one request may use it: its whole time and the vendor's minute.

        :raises ValueError: a field of the connection is missing or cannot be right
        """
        self.get_conn()
        return str(self.connection.password).strip(), float(self.extra("total_timeout") or 60.0) + TOKEN_IN_USE_AFTER

    def customer_key(self, phone: str | int | PhoneNumber) -> str:
        """Return what is equal for all spellings of a customer's number; empty if number or extras are invalid.

        :param phone: the number; the connection's `country` is where it is dialed
        :raises AirflowException: the connection cannot be read: under another key, the call would be made once more
        """
        try:
            return PhoneNumber.parse(phone).key(str(self.extra("country") or ""))
        except ValueError:
            # Said where the request is built.
            return ""

    def _by_phone(
        self, hours: Hours, phone: str | int | PhoneNumber, country: str | None, *, has_zone: bool = True
    ) -> Hours:
        from airflow_provider_wolkvox.calling import ZoneUnknown, hours_for_phone

        try:
            return hours_for_phone(hours, PhoneNumber.parse(phone), country)
        except ZoneUnknown:
            if has_zone:
                return hours
            raise

    @contextmanager
    def _blaming(self, field: str | None) -> Iterator[None]:
        try:
            yield
        except ValueError as wrong:
            if field is None:
                raise
            raise ValueError(f"Connection {self.wolkvox_conn_id!r}: the field {field!r}: {wrong}") from None

    def stop(self) -> None:
        """Let no further request be sent; one on its way is not called back. Safe in signal handlers."""
        self._stopped = True
        if self._client is not None:
            self._client.stop()

    def test_connection(self) -> tuple[bool, str]:
        """Check the fields and that the server can be reached; the token is used only if the extra says so.

        :return: whether all is well, and what to show to the person who pressed the button
        """
        from airflow_provider_wolkvox.api import WolkvoxError

        try:
            client = self.get_conn()
            self.caps()
            client.check_reachable()
            if not _is_true(self.extra("authenticated_test")):
                return True, (
                    f"The fields are well-formed and {client.address} can be reached. The token was not tried: "
                    "the extra authenticated_test would."
                )
            info = client.token_info()
        except (ValueError, WolkvoxError, AirflowException) as wrong:
            return False, str(wrong)
        return True, (
            f"{client.address} accepts the token {info.description!r}: {info.token_use_today} of "
            f"{info.token_limit} requests used today."
        )

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Close the kept connections in the end."""
        try:
            yield
        finally:
            if self._client is not None:
                self._client.close()

    @contextmanager
    def failing(self, *, repeatable: bool) -> Iterator[None]:
        """Turn a failure of what is asked of wolkvox into one that Airflow retries, or does not.

        :param repeatable: whether it does no harm to ask a second time when nobody saw the answer
        :raises AirflowException: a retry may help
        :raises AirflowFailException: it cannot help, or might do harm
        """
        from airflow_provider_wolkvox.api import ApiUnavailable, NotSent, OutcomeUnknown, TokenBusy, WolkvoxError

        try:
            with self.closing():
                yield
        except (NotSent, TokenBusy, ApiUnavailable) as failure:
            raise AirflowException(str(failure)) from None
        except OutcomeUnknown as failure:
            raise (AirflowException if repeatable else AirflowFailException)(str(failure)) from None
        except (WolkvoxError, ValueError, ImportError) as failure:
            raise AirflowFailException(str(failure)) from None

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Label the connection form's fields, for Airflow before 3.2; the provider's metadata holds the text."""
        behaviour = _form()["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Add the extras' fields to the connection form, for Airflow before 3.2."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import BooleanField, StringField

        return {
            name: BooleanField(lazy_gettext(field["label"]), description=field["description"])
            if "boolean" in field["schema"]["type"]
            else StringField(
                lazy_gettext(field["label"]), widget=BS3TextFieldWidget(), description=field["description"]
            )
            for name, field in _form()["conn-fields"].items()
        }


class UsesHook:
    """A task that has the hook of its connection, and lets it send nothing more once the task is killed."""

    wolkvox_conn_id: str

    @cached_property
    def hook(self) -> WolkvoxHook:
        """The hook of the task's connection."""
        return WolkvoxHook(self.wolkvox_conn_id)

    def on_kill(self) -> None:
        """Send nothing more; a request that is on its way cannot be called back."""
        self.hook.stop()


def _form() -> dict[str, Any]:
    from airflow_provider_wolkvox.get_provider_info import get_provider_info

    form: dict[str, Any] = get_provider_info()["connection-types"][0]
    return form


def _is_true(value: Any) -> bool:
    return value is True or str(value).lower() in ("true", "1", "yes", "on")
