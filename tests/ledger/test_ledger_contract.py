"""What every ledger in SQL keeps, on SQLite, PostgreSQL and MariaDB alike."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime, timedelta

import pytest
from intents import CUSTOMER, intent, origin, settled
from sqlalchemy import text

from airflow_provider_wolkvox.at_most_once import take_over
from airflow_provider_wolkvox.calling.caps import Cap
from airflow_provider_wolkvox.ledger.base import LedgerUnusable
from airflow_provider_wolkvox.ledger.database import engine_of
from airflow_provider_wolkvox.ledger.entry import (
    AlreadyAccepted,
    CallState,
    Claimed,
    DifferentArguments,
    DueBeforeRestore,
    Held,
    InDoubt,
    Lease,
    LeaseLost,
    NotCalled,
    OverCap,
)
from airflow_provider_wolkvox.ledger.sql import SqlLedger

NOT_RUNG = (CallState.REFUSED, CallState.NOT_SENT)
DAY = timedelta(hours=24)


def rows(ledger: SqlLedger, query: str, **given) -> list:
    with ledger._database._engine.connect() as connection, connection.begin():
        return list(connection.execute(text(query), given))


def backdate(ledger: SqlLedger, key: str, by: timedelta) -> None:
    with ledger._database._engine.connect() as connection, connection.begin():
        for table, column in (("calls", "intent_at"), ("customers", "seen_at")):
            where = "" if table == "customers" else " WHERE intent_key = :key"
            connection.execute(
                text(f"UPDATE wolkvox_{table} SET {column} = {column} - :by{where}"),
                {"by": by // timedelta(milliseconds=1)} | ({"key": key} if where else {}),
            )


def test_nothing_is_known_of_a_call_before_it_is_claimed(ledger):
    assert ledger.known([intent()]) == [None]


def test_a_claimed_call_is_in_doubt_until_it_is_settled(ledger, other):
    claimed = ledger.claim(intent())
    assert isinstance(claimed, Claimed)
    found = other.claim(intent(origin=origin("another")))
    assert isinstance(found, InDoubt)
    assert found.entry.origin.task_id == "ring"
    assert found.entry.attempt_id == claimed.attempt_id
    assert found.entry.state is CallState.INTENT


def test_who_loses_the_claim_learns_the_conn_id_that_the_winner_got(ledger, other):
    assert ledger.settle(settled(ledger.claim(intent()), CallState.ACCEPTED, conn_id="7.1"))
    found = other.claim(intent(origin=origin("another")))
    assert isinstance(found, AlreadyAccepted)
    assert (found.entry.conn_id, found.entry.origin.task_id) == ("7.1", "ring")
    assert other.known([intent("none"), intent()]) == [None, found.entry]


@pytest.mark.parametrize("state", NOT_RUNG)
def test_a_call_that_certainly_did_not_ring_may_be_claimed_again(ledger, other, state):
    first = ledger.claim(intent())
    assert ledger.settle(settled(first, state, reason="why", reason_code="code"))
    [entry] = ledger.known([intent()])
    assert (entry.state, entry.reason, entry.reason_code) == (state, "why", "code")
    second = other.claim(intent(origin=origin(try_number=2)))
    assert isinstance(second, Claimed)
    assert second.attempt_id != first.attempt_id
    [entry] = ledger.known([intent()])
    assert (entry.state, entry.attempts, entry.origin.try_number, entry.reason) == (CallState.INTENT, 2, 2, "")


def test_a_process_that_wakes_up_late_overwrites_nothing(ledger, other):
    first = ledger.claim(intent())
    other.settle(settled(first, CallState.NOT_SENT))
    second = other.claim(intent())
    # The first one's answer, after all.
    assert not ledger.settle(settled(first, CallState.ACCEPTED, conn_id="late"))
    assert not ledger.mark_unknown(first, "late")
    assert other.settle(settled(second, CallState.ACCEPTED, conn_id="7.2"))
    assert not ledger.settle(settled(first, CallState.REFUSED))
    [entry] = ledger.known([intent()])
    assert (entry.state, entry.conn_id) == (CallState.ACCEPTED, "7.2")


def test_settling_twice_with_the_same_state_is_idempotent(ledger):
    claimed = ledger.claim(intent())
    assert ledger.settle(settled(claimed, CallState.ACCEPTED, conn_id="7.1"))
    assert ledger.settle(settled(claimed, CallState.ACCEPTED, conn_id="7.1"))
    assert not ledger.settle(settled(claimed, CallState.REFUSED))
    assert [event.state for event in ledger.events(claimed.intent_key)] == [CallState.INTENT, CallState.ACCEPTED]


def test_an_answer_that_is_not_a_calls_is_kept(ledger):
    upload = intent(customer="", phone="", agent_id="", what="batch 1", action="add_records")
    ledger.settle(settled(ledger.claim(upload), CallState.ACCEPTED, answer={"records": [1, 2], "text": "ñ"}))
    found = ledger.claim(upload)
    assert isinstance(found, AlreadyAccepted)
    assert found.entry.answer == {"records": [1, 2], "text": "ñ"}
    assert found.entry.what == "batch 1"


@pytest.mark.parametrize(
    ("other_intent", "differs"),
    [
        ({"customer": "3005550102"}, "customer"),
        ({"action": "dial"}, "action"),
        ({"arguments": ("10002",)}, "arguments"),
    ],
)
@pytest.mark.parametrize("state", [CallState.INTENT, CallState.ACCEPTED])
def test_one_key_never_stands_for_two_things(ledger, other, other_intent, differs, state):
    claimed = ledger.claim(intent(arguments=("10001",)))
    if state is CallState.ACCEPTED:
        ledger.settle(settled(claimed, state))
    found = other.claim(intent(**{"arguments": ("10001",)} | other_intent))
    assert isinstance(found, DifferentArguments)
    assert found.differs == differs


def test_a_call_that_did_not_ring_may_be_tried_with_another_agent_but_not_for_another_customer(ledger):
    ledger.settle(settled(ledger.claim(intent(arguments=("10001",))), CallState.REFUSED, reason="no such agent"))
    assert isinstance(ledger.claim(intent(customer="3005550102")), DifferentArguments)
    assert not ledger.skip(intent(customer="3005550102"), "late", "another customer's reason")
    assert ledger.known([intent()])[0].reason == "no such agent"
    again = ledger.claim(intent(agent_id="10002", arguments=("10002",)))
    assert isinstance(again, Claimed)
    assert ledger.known([intent(arguments=("10002",))])[0].agent_id == "10002"


def test_keys_differ_by_case_and_by_how_their_parts_are_joined(ledger):
    for key in (("a", "b"), ("A", "b"), ("ab",), ("a", "B"), ("a", "", "b"), ("a,b",), ("ä",), ("a ",), ("a",)):
        assert isinstance(ledger.claim(intent(key=key)), Claimed), key


def test_neither_numbers_nor_keys_nor_tokens_are_in_the_database(ledger):
    claimed = ledger.claim(intent(key=("north", CUSTOMER)))
    ledger.settle(settled(claimed, CallState.ACCEPTED, conn_id="7.1"))
    ledger.skip(intent("two"), "hours", "closed")
    ledger.take_lease("secret-token", "me", 60)
    for table in ("ledger", "deployments", "customers", "calls", "events", "leases"):
        kept = str(rows(ledger, f"SELECT * FROM wolkvox_{table}"))
        assert CUSTOMER not in kept
        assert "secret-token" not in kept


def test_each_transition_leaves_an_event_with_state_try_actor_and_reason(ledger):
    claimed = ledger.claim(intent())
    ledger.mark_unknown(claimed, "the connection was reset")
    ledger.settle_by_person(claimed.intent_key, CallState.NOT_SENT, "ana", "the report of the day shows none")
    again = ledger.claim(intent(origin=origin(try_number=2)))
    ledger.settle(settled(again, CallState.REFUSED, reason_code="token", reason="bad token"))
    told = [
        (event.state.value, event.actor, event.reason_code, event.reason) for event in ledger.events(claimed.intent_key)
    ]
    assert told == [
        ("intent", "callbacks manual__1 ring, try 1", "", ""),
        ("intent", "callbacks manual__1 ring, try 1", "unknown", "the connection was reset"),
        ("not_sent", "ana", "person", "the report of the day shows none"),
        ("intent", "callbacks manual__1 ring, try 2", "", ""),
        ("refused", "callbacks manual__1 ring, try 2", "token", "bad token"),
    ]
    instants = [event.at for event in ledger.events(claimed.intent_key)]
    assert instants == sorted(instants)


def test_the_instants_are_utc_by_the_databases_clock(ledger):
    before = datetime.now(UTC) - timedelta(seconds=1)
    ledger.claim(intent())
    [entry] = ledger.known([intent()])
    assert before < entry.at < datetime.now(UTC) + timedelta(seconds=1)
    assert entry.settled_at is None


def test_a_person_settles_only_what_is_in_doubt(ledger):
    claimed = ledger.claim(intent())
    assert ledger.settle_by_person(claimed.intent_key, CallState.ACCEPTED, "ana", "seen in Manager", conn_id="7.9")
    assert not ledger.settle_by_person(claimed.intent_key, CallState.NOT_SENT, "eva", "no")
    assert not ledger.settle_by_person("0" * 32, CallState.NOT_SENT, "eva", "no")
    assert ledger.claim(intent()).entry.conn_id == "7.9"
    with pytest.raises(ValueError, match="not as refused"):
        ledger.settle_by_person(claimed.intent_key, CallState.REFUSED, "ana", "")


def test_a_released_call_may_be_made_once_more_and_still_counts_for_the_cap(ledger):
    claimed = ledger.claim(intent())
    ledger.settle(settled(claimed, CallState.ACCEPTED, conn_id="7.1"))
    assert ledger.release(claimed.intent_key, "ana", "the customer asked for it")
    assert not ledger.release(claimed.intent_key, "ana", "again")
    assert ledger.known([intent()]) == [None]
    assert isinstance(ledger.claim(intent(), [Cap(1, DAY)]), OverCap)
    assert isinstance(ledger.claim(intent(), [Cap(2, DAY)]), Claimed)
    [kept] = ledger.find(states=[CallState.ACCEPTED])
    assert kept.conn_id == "7.1"
    assert [event.reason for event in ledger.events(kept.intent_key)][-1] == "the customer asked for it"


# Skips


def test_a_skip_is_kept_with_its_reason_and_does_not_keep_a_call_from_being_made_later(ledger):
    opens = datetime(2026, 12, 1, 13, tzinfo=UTC)
    assert ledger.skip(intent(), "hours", "the customer may not be called now", opens)
    [entry] = ledger.known([intent()])
    assert (entry.state, entry.reason_code, entry.next_allowed) == (CallState.SKIPPED, "hours", opens)
    assert ledger.skip(intent(), "stopped", "the stop switch")
    assert isinstance(ledger.claim(intent()), Claimed)
    assert not ledger.skip(intent(), "late", "too late")
    [entry] = ledger.known([intent()])
    assert (entry.state, entry.attempts, entry.reason_code, entry.next_allowed) == (CallState.INTENT, 1, "", None)


def test_many_skips_are_recorded_once_each_and_again_only_if_they_changed(ledger):
    opens = datetime(2026, 12, 1, 13, tzinfo=UTC)
    ledger.settle(settled(ledger.claim(intent("made")), CallState.ACCEPTED))
    plan = [NotCalled(intent(f"{number}"), "hours", "closed", opens) for number in range(250)]
    plan.append(NotCalled(intent("made"), "called-back", "it was called back"))
    assert ledger.skip_all(iter(plan)) == 250
    assert ledger.skip_all(plan) == 0
    later = [skip._replace(next_allowed=opens + DAY) for skip in plan[:3]]
    other = [skip._replace(code="limit", next_allowed=None) for skip in plan[3:5]]
    assert ledger.skip_all([*later, *other, *plan[5:]]) == 5
    events = [len(ledger.events(entry.intent_key)) for entry in ledger.find(states=[CallState.SKIPPED], limit=300)]
    assert sorted(events) == [1] * 245 + [2] * 5
    assert [entry.state for entry in ledger.known([intent("made")])] == [CallState.ACCEPTED]


def test_skips_count_for_no_cap(ledger):
    for number in range(3):
        ledger.skip(intent(f"skipped {number}"), "hours", "closed")
    assert isinstance(ledger.claim(intent(), [Cap(1, DAY)]), Claimed)


# Caps


def test_a_cap_counts_a_customers_calls_whatever_asked_for_them(ledger, other):
    cap = Cap(calls=2, within=DAY)
    first = ledger.claim(intent("1", origin=origin("one")), [cap])
    ledger.settle(settled(first, CallState.ACCEPTED))
    assert isinstance(other.claim(intent("2", origin=origin("two"), action="dial"), [cap]), Claimed)
    over = ledger.claim(intent("3"), [cap])
    assert isinstance(over, OverCap)
    assert over.next_allowed == ledger.known([intent("1")])[0].at + DAY
    assert ledger.known([intent("3")]) == [None]
    assert isinstance(ledger.claim(intent("4", customer="3005550199"), [cap]), Claimed)


@pytest.mark.parametrize("state", NOT_RUNG)
def test_calls_that_did_not_ring_count_for_no_cap(ledger, state):
    for number in range(3):
        ledger.settle(settled(ledger.claim(intent(str(number)), [Cap(1, DAY)]), state))
    assert isinstance(ledger.claim(intent(), [Cap(1, DAY)]), Claimed)


def test_a_caps_window_rolls(ledger):
    cap = Cap(calls=1, within=DAY)
    claimed = ledger.claim(intent("1"), [cap])
    ledger.settle(settled(claimed, CallState.ACCEPTED))
    backdate(ledger, claimed.intent_key, DAY - timedelta(minutes=1))
    over = ledger.claim(intent("2"), [cap])
    assert isinstance(over, OverCap)
    assert over.next_allowed - datetime.now(UTC) < timedelta(minutes=1.1)
    backdate(ledger, claimed.intent_key, timedelta(minutes=1))
    assert isinstance(ledger.claim(intent("2"), [cap]), Claimed)


def test_of_several_caps_the_one_that_forbids_longest_is_told(ledger):
    week = Cap(calls=2, within=timedelta(days=7))
    for key in "12":
        ledger.settle(settled(ledger.claim(intent(key)), CallState.ACCEPTED))
    over = ledger.claim(intent(), [Cap(1, DAY), week])
    assert isinstance(over, OverCap)
    assert over.cap == week


def test_without_a_customer_no_cap_counts(ledger):
    for number in range(3):
        assert isinstance(ledger.claim(intent(str(number), customer=""), [Cap(1, DAY)]), Claimed)


# Batches


def test_settling_the_last_and_claiming_the_next_is_one_step(ledger):
    lease = ledger.take_lease("token", "me", 60)
    first = ledger.claim(intent("1"), lease=lease, ttl=60)
    done = [settled(first, CallState.ACCEPTED, conn_id="7.1")]
    second = ledger.settle_and_claim(done, intent("2"), [Cap(5, DAY)], lease=lease, ttl=90)
    assert isinstance(second, Claimed)
    assert second.lease.deadline > first.lease.deadline
    assert [entry.state for entry in ledger.known([intent("1"), intent("2")])] == [
        CallState.ACCEPTED,
        CallState.INTENT,
    ]


def test_what_was_made_is_settled_even_where_the_next_claim_fails(ledger, other):
    lease = ledger.take_lease("token", "me", 0.0)
    first = ledger.claim(intent("1"))
    assert isinstance(other.take_lease("token", "other", 60), Lease)
    done = [settled(first, CallState.ACCEPTED)]
    assert isinstance(ledger.settle_and_claim(done, intent("2"), lease=lease, ttl=60), LeaseLost)
    assert ledger.known([intent("1"), intent("2")])[0].state is CallState.ACCEPTED
    assert ledger.known([intent("2")]) == [None]


def test_thousands_of_calls_are_looked_up_at_once(ledger):
    ledger.claim(intent("1999"))
    found = ledger.known([intent(str(number)) for number in range(2000)])
    assert [index for index, entry in enumerate(found) if entry] == [1999]


# Leases


def test_a_token_has_one_owner_at_a_time(ledger, other):
    lease = ledger.take_lease("token", "me", 60)
    assert isinstance(lease, Lease)
    held = other.take_lease("token", "other", 60)
    assert isinstance(held, Held)
    assert held.owner == "me"
    assert 50 < held.seconds <= 60
    assert isinstance(other.take_lease("another token", "other", 60), Lease)
    ledger.give_back(lease)
    taken = other.take_lease("token", "other", 60)
    assert isinstance(taken, Lease)
    assert taken.number > lease.number


def test_a_lease_whose_deadline_has_passed_is_taken_over_and_cannot_be_renewed_or_given_back(ledger, other):
    lost = ledger.take_lease("token", "me", 0.0)
    assert not lost.holds(time.monotonic())
    taken = other.take_lease("token", "other", 60)
    assert isinstance(taken, Lease)
    assert ledger.renew_lease(lost, 60) is None
    ledger.give_back(lost)
    assert isinstance(ledger.take_lease("token", "me", 60), Held)
    assert isinstance(ledger.claim(intent(), lease=lost, ttl=60), LeaseLost)
    assert ledger.known([intent()]) == [None]


def test_a_late_lease_that_nobody_took_is_renewed(ledger):
    renewed = ledger.renew_lease(ledger.take_lease("token", "me", 0.0), 60)
    assert renewed is not None
    assert renewed.holds(time.monotonic())


def test_the_owner_may_take_its_lease_again(ledger):
    first = ledger.take_lease("token", "me", 60)
    assert isinstance(ledger.take_lease("token", "me", 60), Lease)
    assert ledger.renew_lease(first, 60) is None


# The ledger as a whole


def test_it_is_listed_latest_first_page_by_page_and_narrowed(ledger):
    for number in range(7):
        origin_of = origin(dag_id="even" if number % 2 == 0 else "odd")
        claimed = ledger.claim(
            intent(str(number), origin=origin_of, agent_id=f"1000{number % 3}", campaign_id=str(number % 2))
        )
        if number < 3:
            ledger.settle(settled(claimed, CallState.ACCEPTED))
    first = ledger.find(limit=4)
    second = ledger.find(limit=4, after=first[-1])
    assert len({entry.intent_key for entry in first + second}) == 7
    listed = [(entry.at, entry.intent_key) for entry in first + second]
    assert listed == sorted(listed, reverse=True)
    assert len(ledger.find(states=[CallState.INTENT])) == 4
    assert len(ledger.find(states=[CallState.INTENT, CallState.ACCEPTED])) == 7
    assert len(ledger.find(dag_id="even")) == 4
    assert len(ledger.find(agent_id="10001")) == 2
    assert len(ledger.find(campaign_id="1", states=[CallState.ACCEPTED])) == 1
    assert len(ledger.find(customer=CUSTOMER)) == 7
    assert ledger.find(customer="3005550199") == []
    assert ledger.find(until=first[-1].at) == [entry for entry in first + second if entry.at < first[-1].at]
    assert ledger.find(since=datetime.now(UTC) + timedelta(minutes=1)) == []


def test_its_status_tells_version_counts_and_the_oldest_open_intent(ledger):
    assert ledger.status()["oldest_open"] is None
    oldest = ledger.claim(intent("1"))
    ledger.settle(settled(ledger.claim(intent("2")), CallState.ACCEPTED))
    ledger.skip(intent("3"), "hours", "closed")
    backdate(ledger, oldest.intent_key, DAY)
    ledger.claim(intent("4"))
    status = ledger.status()
    assert (status["version"], status["epoch"], status["restored_at"]) == (1, 1, None)
    assert status["counts"] == {"intent": 2, "accepted": 1, "refused": 0, "not_sent": 0, "skipped": 1}
    assert status["oldest_open"].intent_key == oldest.intent_key
    assert status["backend"].split()[0] in ("sqlite", "postgresql", "mysql")


def test_the_outcome_of_an_accepted_call_is_recorded(ledger):
    ledger.settle(settled(ledger.claim(intent()), CallState.ACCEPTED, conn_id="7.1"))
    assert ledger.record_outcome("7.1", "ANSWER", 63, "promise to pay")
    assert not ledger.record_outcome("7.2", "ANSWER", 1)
    [entry] = ledger.known([intent()])
    assert (entry.result, entry.seconds, entry.disposition) == ("ANSWER", 63, "promise to pay")


def test_purge_deletes_old_settled_calls_and_keeps_those_in_doubt(ledger):
    keys = {}
    for key, state in (("old", CallState.ACCEPTED), ("in doubt", None), ("young", CallState.ACCEPTED)):
        claimed = ledger.claim(intent(key, customer=f"30055501{len(keys):02}"))
        if state:
            ledger.settle(settled(claimed, state))
        if key != "young":
            backdate(ledger, claimed.intent_key, timedelta(days=401))
        keys[key] = claimed.intent_key
    assert ledger.purge(timedelta(days=400)) == 1
    assert [entry is not None for entry in ledger.known([intent(key) for key in keys])] == [False, True, True]
    assert ledger.events(keys["old"]) == []
    assert len(ledger.events(keys["in doubt"])) == 1
    assert len(rows(ledger, "SELECT * FROM wolkvox_customers")) == 2
    with pytest.raises(ValueError, match="30 days"):
        ledger.purge(timedelta(days=29))


def test_after_a_restore_runs_that_were_due_before_make_no_call(ledger, other):
    ledger.settle(settled(ledger.claim(intent("known")), CallState.ACCEPTED))
    held = ledger.take_lease("token", "me", 60)
    due = datetime.now(UTC) - timedelta(minutes=5)
    assert isinstance(other.claim(intent("0", due=due)), Claimed)
    assert ledger.restored() == 2
    refused = other.claim(intent("1", due=due))
    assert isinstance(refused, DueBeforeRestore)
    assert abs(refused.restored_at - datetime.now(UTC)) < timedelta(seconds=5)
    assert isinstance(other.claim(intent("known", due=due)), AlreadyAccepted)
    assert isinstance(other.claim(intent("2", due=datetime.now(UTC) + timedelta(minutes=1))), Claimed)
    assert isinstance(other.take_lease("token", "other", 60), Lease)
    assert ledger.renew_lease(held, 60) is None
    assert ledger.status()["epoch"] == 2


def test_deployments_are_known_by_namespace(ledger):
    for deployment in ("a" * 32, "b" * 32, "a" * 32):
        ledger.register("north", deployment)
    assert {name: sorted(ids) for name, ids in ledger.deployments(datetime.now(UTC) - DAY).items()} == {
        "north": ["a" * 32, "b" * 32]
    }
    assert ledger.deployments(datetime.now(UTC) + DAY) == {}


def test_deployments_with_one_key_recognize_one_another_and_with_another_key_are_rejected(url, ledger, other):
    ledger.claim(intent())
    assert isinstance(other.claim(intent()), InDoubt)
    stranger = SqlLedger(engine_of(url), hash_key="another key")
    with pytest.raises(LedgerUnusable, match="hash_secret"):
        stranger.claim(intent())
    stranger.close()


def test_a_key_that_is_kept_elsewhere_is_not_in_the_database(empty_url):
    with_key = SqlLedger(engine_of(empty_url), hash_key="kept in a vault")
    with_key.init()
    assert isinstance(with_key.claim(intent()), Claimed)
    assert "kept in a vault" not in str(rows(with_key, "SELECT * FROM wolkvox_ledger"))
    with_key.close()
    without = SqlLedger(engine_of(empty_url))
    with pytest.raises(LedgerUnusable, match="hash_secret"):
        without.known([intent()])
    without.close()


def test_texts_of_any_length_and_any_character_are_kept_as_far_as_they_fit(ledger):
    long = "ñ\0\ud800☎" * 1000
    claimed = ledger.claim(intent(what=long, agent_id=long, origin=origin(task_id=long)))
    assert ledger.settle(settled(claimed, CallState.REFUSED, reason=long, reason_code=long, conn_id=long))
    [entry] = ledger.known([intent()])
    assert len(entry.reason) == 500
    assert entry.reason.startswith("ñ?☎ñ")


def test_an_entry_reads_as_a_sentence_without_a_number(ledger):
    ledger.settle(settled(ledger.claim(intent()), CallState.ACCEPTED, conn_id="7.1"))
    [entry] = ledger.known([intent()])
    assert str(dataclasses.replace(entry, at=datetime(2026, 11, 27, 13, tzinfo=UTC), intent_key="k")) == (
        "accepted at 2026-11-27 13:00:00 UTC by callbacks manual__1 ring, try 1, agent 10001, customer ***0101, "
        "conn_id 7.1, key k"
    )


def test_what_another_memory_knows_is_taken_over_although_a_skip_is_recorded_but_not_over_an_attempt(ledger):
    ledger.skip(intent(), "late", "too late")
    assert take_over(ledger, intent(), CallState.INTENT)
    [entry] = ledger.known([intent()])
    assert entry.state is CallState.INTENT
    ledger.settle_by_person(entry.intent_key, CallState.NOT_SENT, "a person", "looked")
    assert not take_over(ledger, intent(), CallState.INTENT)
