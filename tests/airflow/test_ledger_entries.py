"""An entry of the ledger survives its store unchanged, and anything else in the store is no entry."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from capabilities import needs_ledger
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wolkvox.ledger import KEY, CallState, Entry, TaskStateLedger
from airflow_provider_wolkvox.ledger.base import LedgerUnreachable, UnreadableEntry
from airflow_provider_wolkvox.ledger.entry import DifferentArguments, Intent, Origin, Settlement

entries = st.builds(
    Entry,
    state=st.sampled_from(CallState),
    try_number=st.integers(1, 99),
    at=st.datetimes(timezones=st.just(UTC)),
    agent_id=st.text(),
    phone=st.text(),
    conn_id=st.text(),
    reason=st.text(),
    reference=st.text(),
    customer=st.text(),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


class DictionaryStore(dict):
    """A task state store of one task instance; keeps what JSON keeps, and with which retention."""

    def set(self, key, value, *, retention=None):
        self[key] = json.loads(json.dumps(value))
        self.retention = retention


@given(entries)
def test_an_entry_comes_back_from_json_as_it_was(entry):
    assert Entry.from_json(json.loads(json.dumps(entry.to_json()))) == entry


@given(json_values)
def test_what_is_no_entry_is_refused_and_never_taken_for_no_call(value):
    with pytest.raises(ValueError, match="not an entry"):
        Entry.from_json(value)


@given(entries, st.sampled_from(["state", "try_number", "at"]), json_values)
def test_an_entry_that_was_tampered_with_is_refused_or_still_an_entry(entry, field, value):
    kept = {**entry.to_json(), field: value}
    try:
        read = Entry.from_json(kept)
    except ValueError:
        return
    assert isinstance(read.state, CallState)
    assert read.at.tzinfo is not None


@given(entries)
def test_the_text_of_an_entry_names_its_state_and_reference(entry):
    assert str(entry).startswith(entry.state.value)
    assert entry.reference in str(entry)


CUSTOMER, OF_THE_SAME_LAST_DIGITS = "3005550101", "3115550101"


def intent(**known):
    given = {"key": ("one",), "action": "aux_call", "origin": Origin(), "agent_id": "10001", "phone": "***0101"}
    return Intent(**given | {"customer": CUSTOMER} | known)


def ledger_of(store, try_number=1, **options):
    return TaskStateLedger(store, Origin(task_id="ring", try_number=try_number), **options)


def kept(store):
    return Entry.from_json(store[KEY])


@needs_ledger
def test_an_answer_keeps_the_intents_time_agent_and_reference():
    store = DictionaryStore()
    ledger = ledger_of(store)
    claimed = ledger.claim(intent())
    before = kept(store)
    assert ledger.settle(Settlement(claimed=claimed, state=CallState.ACCEPTED, conn_id="10001.0101.1.1"))
    after = kept(store)
    assert (after.at, after.agent_id, after.reference) == (before.at, "10001", before.reference)
    assert (after.state, after.conn_id) == (CallState.ACCEPTED, "10001.0101.1.1")


@needs_ledger
def test_each_intent_has_a_reference_of_its_own():
    ledger = ledger_of(DictionaryStore())
    assert ledger.claim(intent()).attempt_id != ledger.claim(intent()).attempt_id


@needs_ledger
def test_an_attempt_that_another_one_followed_is_settled_no_more():
    store = DictionaryStore()
    ledger = ledger_of(store)
    first = ledger.claim(intent())
    ledger.claim(intent())
    assert not ledger.settle(Settlement(claimed=first, state=CallState.REFUSED))
    assert not ledger.mark_unknown(first, "no answer")
    assert kept(store).state is CallState.INTENT
    assert not kept(store).reason


@needs_ledger
def test_an_entry_is_kept_as_long_as_its_run_unless_the_author_says_how_long():
    from airflow.sdk import NEVER_EXPIRE

    store = DictionaryStore()
    ledger_of(store).claim(intent())
    assert store.retention is NEVER_EXPIRE
    ledger_of(store, retention=timedelta(days=7)).claim(intent())
    assert store.retention == timedelta(days=7)


def test_without_a_store_a_ledger_remembers_nothing_and_fails_at_nothing():
    ledger = ledger_of(None)
    assert not ledger.remembers
    assert ledger.known([intent()]) == [None]
    claimed = ledger.claim(intent())
    assert ledger.settle(Settlement(claimed=claimed, state=CallState.REFUSED, reason="no"))
    assert ledger.known([intent()]) == [None]


@needs_ledger
def test_a_refusal_of_an_earlier_try_does_not_lend_its_time_to_a_later_one():
    store = DictionaryStore()
    old = Entry(CallState.REFUSED, 1, datetime(2026, 1, 1, tzinfo=UTC), agent_id="10001")
    store[KEY] = old.to_json()
    ledger = ledger_of(store, try_number=2)
    [known] = ledger.known([intent()])
    assert (known.state, known.at, known.origin.try_number) == (CallState.REFUSED, old.at, 1)
    assert ledger.skip(intent(), "late", "too late")
    assert kept(store).at > old.at
    assert kept(store).try_number == 2


@needs_ledger
def test_a_decision_not_to_call_never_hides_an_intent():
    store = DictionaryStore()
    ledger = ledger_of(store)
    ledger.claim(intent())
    assert not ledger.skip(intent(), "late", "too late")
    assert kept(store).state is CallState.INTENT


@needs_ledger
def test_an_entry_tells_apart_customers_whose_last_digits_are_the_same_without_keeping_a_number():
    store = DictionaryStore()
    ledger_of(store).claim(intent())

    [same] = ledger_of(store, 2).known([intent()])
    [other] = ledger_of(store, 2).known([intent(customer=OF_THE_SAME_LAST_DIGITS)])

    assert same.state is CallState.INTENT
    assert isinstance(other, DifferentArguments)
    assert CUSTOMER not in str(dict(store))
    # As entries stood before there was a hash, and where no number is at hand.
    assert Entry(CallState.INTENT, 1, datetime.now(UTC), phone="***0101").is_of("***0101", OF_THE_SAME_LAST_DIGITS)
    assert kept(store).is_of("***0101")


@needs_ledger
def test_the_hash_of_a_number_says_nothing_beside_another_entrys():
    first, second = DictionaryStore(), DictionaryStore()
    for store in (first, second):
        ledger_of(store).claim(intent())

    assert kept(first).customer != kept(second).customer


def test_a_store_that_cannot_be_written_lets_no_call_follow():
    class Broken(DictionaryStore):
        def set(self, key, value, *, retention=None):
            raise OSError(f"cannot write {value}")

    store = Broken()
    with pytest.raises(LedgerUnreachable, match="OSError") as failed:
        ledger_of(store, retention=timedelta(days=1)).claim(intent())
    assert "***0101" not in str(failed.value)


@given(json_values.filter(lambda value: value is not None))
def test_an_entry_that_cannot_be_read_is_an_error_of_its_own(value):
    store = DictionaryStore()
    store[KEY] = value
    with pytest.raises(UnreadableEntry, match="not an entry"):
        ledger_of(store).known([intent()])
