"""An entry of the ledger survives its store unchanged, and anything else in the store is no entry."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from capabilities import needs_ledger
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wolkvox.ledger import KEY, Entry, Ledger, State

entries = st.builds(
    Entry,
    state=st.sampled_from(State),
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
    assert isinstance(read.state, State)
    assert read.at.tzinfo is not None


@given(entries)
def test_the_text_of_an_entry_names_its_state_and_reference(entry):
    assert str(entry).startswith(entry.state.value)
    assert entry.reference in str(entry)


@needs_ledger
def test_an_answer_keeps_the_intents_time_agent_and_reference():
    store = DictionaryStore()
    ledger = Ledger(store, try_number=1)
    ledger.intend(agent_id="10001", phone="***0101")
    intent = ledger.last
    ledger.accept(conn_id="10001.0101.1.1")
    assert Entry.from_json(store[KEY]) == ledger.last
    assert (ledger.last.at, ledger.last.agent_id, ledger.last.reference) == (intent.at, "10001", intent.reference)
    assert ledger.last.state is State.ACCEPTED


@needs_ledger
def test_each_intent_has_a_reference_of_its_own():
    ledger = Ledger(DictionaryStore(), try_number=1)
    ledger.intend(agent_id="10001", phone="***0101")
    first = ledger.last.reference
    ledger.intend(agent_id="10001", phone="***0101")
    assert ledger.last.reference != first


@needs_ledger
def test_an_entry_is_kept_as_long_as_its_run_unless_the_author_says_how_long():
    from airflow.sdk import NEVER_EXPIRE

    store = DictionaryStore()
    Ledger(store, try_number=1).intend(agent_id="10001", phone="***0101")
    assert store.retention is NEVER_EXPIRE
    Ledger(store, try_number=1, retention=timedelta(days=7)).intend(agent_id="10001", phone="***0101")
    assert store.retention == timedelta(days=7)


def test_without_a_store_a_ledger_remembers_nothing_and_fails_at_nothing():
    ledger = Ledger(None, try_number=1)
    assert not ledger.remembers
    assert ledger.read() is None
    ledger.intend(agent_id="10001", phone="***0101")
    ledger.refuse("no")
    assert ledger.last.state is State.REFUSED
    assert ledger.read() is None


def test_a_refusal_of_an_earlier_try_does_not_lend_its_time_to_a_later_one():
    store = DictionaryStore()
    old = Entry(State.REFUSED, 1, datetime(2026, 1, 1, tzinfo=UTC), agent_id="10001")
    store[KEY] = old.to_json()
    ledger = Ledger(store, try_number=2)
    assert ledger.read() == old
    ledger.not_sent("too late")
    assert ledger.last.at > old.at
    assert ledger.last.try_number == 2


@needs_ledger
def test_an_entry_tells_apart_customers_whose_last_digits_are_the_same_without_keeping_a_number():
    store = DictionaryStore()
    Ledger(store, try_number=1).intend(agent_id="10001", phone="***0101", number="3005550101")

    entry = Ledger(store, try_number=2).read()

    assert entry.is_of("***0101", "3005550101")
    assert not entry.is_of("***0101", "3115550101")
    assert "3005550101" not in str(dict(store))
    # As entries stood before there was a hash, and where no number is at hand.
    assert Entry(State.INTENT, 1, datetime.now(UTC), phone="***0101").is_of("***0101", "3115550101")
    assert entry.is_of("***0101")


@needs_ledger
def test_the_hash_of_a_number_says_nothing_beside_another_entrys():
    first, second = DictionaryStore(), DictionaryStore()
    for store in (first, second):
        Ledger(store, try_number=1).intend(phone="***0101", number="3005550101")

    assert Ledger(first, 1).read().customer != Ledger(second, 1).read().customer
