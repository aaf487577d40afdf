"""Whatever bytes are sent, over a plain socket: an answer of HTTP or the connection's end, and nothing is broken.

`WOLKVOX_FUZZ` is how many examples each test tries; a hundred by default.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulator_testing import AGENT, PHONE

from airflow_provider_wolkvox.simulator import FaultKind, Simulator
from airflow_provider_wolkvox.simulator.control.fields import AGENT as AGENT_FIELDS
from airflow_provider_wolkvox.simulator.control.fields import CAMPAIGN, PAST_CALL, REPORTS
from airflow_provider_wolkvox.simulator.endpoints.registry import APIS, FILES
from airflow_provider_wolkvox.simulator.state.faults import FILTERS, OPTIONS

fuzz = settings(
    max_examples=int(os.environ.get("WOLKVOX_FUZZ", "100")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# Every error that the simulator answers with on purpose; a 500 is none of them.
STATUSES = {200, 201, 202, 400, 401, 403, 404, 405, 408, 411, 413, 431}


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    """One simulator for all, that goes on whatever has been sent before."""
    crashes: list[object] = []
    before, threading.excepthook = threading.excepthook, crashes.append
    try:
        with Simulator(tokens=["demo"], daily_quota=10**9) as running:
            yield running
    finally:
        threading.excepthook = before
    assert not crashes


def answer_to(sim: Simulator, sent: bytes) -> bytes:
    """What comes back until the connection ends, the client having ended its side."""
    with socket.create_connection(("127.0.0.1", sim.port), timeout=60) as sock:
        data = b""
        try:
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            while piece := sock.recv(65_536):
                data += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
        return data


def asked(sim: Simulator, method: str, target: str, body: bytes = b"", headers: str = "") -> tuple[int, bytes]:
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    data = answer_to(sim, head.encode() + body)
    first, _, rest = data.partition(b"\r\n\r\n")
    return int(first.split(b" ")[1]), rest


def is_well(sim: Simulator) -> bool:
    """Whether it still answers, and all that was taken can be told."""
    paths = (
        "rings",
        "stats",
        "faults",
        "agents",
        "stations",
        "commands",
        "recalls",
        "history",
        "reports",
        "campaigns",
        "directory",
    )
    well = all(asked(sim, "GET", f"/_sim/{path}")[0] == 200 for path in paths)
    sim.reset()
    return well


texts = st.text(max_size=20) | st.sampled_from(
    ["", "7", PHONE, AGENT, "ANSWER", "20260302120000", "99991231235959", "all"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def described(needed: dict[str, object], *fields: str) -> st.SearchStrategy[object]:
    """Objects that are nearly sound, so that what is wrong with them is found late."""
    some = st.dictionaries(st.sampled_from(fields), values, max_size=3)
    return some.map(lambda given: {**needed, **given}) | st.lists(some, max_size=2) | values


CONTROL = {
    "faults": st.sampled_from([kind.value for kind in FaultKind]).flatmap(
        lambda kind: described({"kind": kind}, "times", "after", *FILTERS, *OPTIONS.get(FaultKind(kind), {}))
    ),
    "agents": described({"agent_id": "77777"}, *AGENT_FIELDS),
    "history": described(
        {"phone": PHONE, "agent_id": AGENT},
        *PAST_CALL,
        *("result", "ring_seconds", "talk_seconds", "acw_seconds", "hang_up", "cod_act", "cod_act_2", "comment"),
    ),
    "reports": described(
        {},
        *REPORTS,
        *("most_rows", "most_days", "aux_call_type", "hidden_prefix", "totals", "when_over", "zone"),
        *("bare_campaigns", "logged_out", "status_when_done", "blanks", "seconds_per_row"),
    ),
    "campaigns": described({"campaign_id": "7", "records": [{"customer_id": "1", "tel1": PHONE}]}, *CAMPAIGN),
    "directory": described({}, "do_not_call", "law2300")
    | st.lists(described({"phone_number": PHONE, "last_day": ""}, "type", "nit", "last_channel"), max_size=2).map(
        lambda entries: {"law2300": entries}
    ),
    "call_results": values | st.dictionaries(texts, described({}, "result", "ring_seconds", "hang_up")),
}


@pytest.mark.parametrize("path", CONTROL)
@fuzz
@given(data=st.data())
def test_whatever_is_told_to_the_control_interface_is_taken_or_explained(sim, path, data):
    told = data.draw(CONTROL[path])
    status, body = asked(sim, "POST", f"/_sim/{path}", json.dumps(told).encode())
    assert status in (200, 400)
    assert status == 200 or json.loads(body)["error"]
    # What it was set to is read by the APIs too.
    for name in ("cdr_1", "agent_14", "campaign_3"):
        query = urlencode(
            {"api": name, "campaign_id": "all", "date_ini": "20000101000000", "date_end": "20000102000000"}
        )
        sim.clear_faults()
        assert asked(sim, "GET", f"/api/v2/reports_manager.php?{query}", headers="wolkvox-token: demo\r\n")[0] == 404
    assert is_well(sim)
    asked(sim, "POST", "/_sim/call_results", b"null")


@fuzz
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "BREW"]),
    path=st.sampled_from(["/_sim", "/_sim/rings", "/_sim/faults", "/_sim/agents", "/_sim/nothing", "/_simulator"]),
    body=st.binary(max_size=200),
)
def test_whatever_bytes_are_sent_to_the_control_interface_get_an_answer(sim, method, path, body):
    assert asked(sim, method, path, body)[0] in STATUSES


@fuzz
@given(
    api=st.sampled_from(sorted((file, name, api.method) for (file, name), api in APIS.items())),
    method=st.sampled_from([None, None, None, "GET", "PATCH"]),
    parameters=st.dictionaries(
        st.sampled_from(sorted({name for api in APIS.values() for name in api.needs} | {"comments", "customer_id"})),
        texts,
    ),
    body=st.binary(max_size=100) | values.map(lambda value: json.dumps(value).encode()),
    kind=st.sampled_from(["application/json", "text/csv", "\u00e9"]),
)
def test_whatever_is_asked_of_an_api_gets_an_envelope(sim, api, method, parameters, body, kind):
    sim.add_campaign("7", records=[{"customer_id": "1", "tel1": PHONE}])
    file, name, right = api
    sound = {"agent_id": AGENT, "campaign_id": "7", "type_campaign": "predictive", "customer_phone": PHONE}
    query = urlencode({**sound, **parameters, "api": name}, errors="replace")
    headers = f"wolkvox-token: demo\r\nContent-Type: {kind}\r\n"
    status, told = asked(sim, method or right, f"/api/v2/{file}?{query}", body, headers)
    assert status in STATUSES
    assert json.loads(told)["code"] == str(status)
    assert is_well(sim)
    for agent in sim.agents:
        sim.add_agent(agent.agent_id)


STARTS = [
    b"GET / HTTP/1.1\r\n",
    b"POST /_sim/faults HTTP/1.1\r\n",
    *(f"POST /api/v2/{file}?".encode() for file in FILES),
]
PIECES = [b"\r\n", b"Content-Length: ", b"9", b"-1", b":", b" HTTP/1.1", b"Expect: 100-continue"]


@fuzz
@given(
    start=st.binary(max_size=30) | st.sampled_from(STARTS),
    rest=st.binary(max_size=200) | st.lists(st.sampled_from(PIECES)).map(b"".join),
)
def test_whatever_bytes_come_they_get_an_answer_of_http_or_none(sim, start, rest):
    data = answer_to(sim, start + rest)
    assert data == b"" or (data.startswith(b"HTTP/1.1 ") and int(data[9:12]) in {100, *STATUSES})
    assert asked(sim, "GET", "/_sim/rings")[0] == 200
