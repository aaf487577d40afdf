"""Whatever is sent to it, it answers or closes, goes on, and ends when it is told to. Over plain sockets."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from simulator_testing import PHONE, Caller
from test_simulator_command import asked, started

from airflow_provider_wolkvox.simulator import CampaignError, Limits, Simulator
from airflow_provider_wolkvox.simulator.state.faults import LONGEST_WAIT

RINGS = b"GET /_sim/rings HTTP/1.1\r\nHost: x\r\n\r\n"
HALF_A_BODY = b"POST /_sim/faults HTTP/1.1\r\nContent-Length: 9\r\n\r\n" + b"{"


def to_its_end(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65_536):
        data += piece
    return data


@pytest.fixture
def crashes(monkeypatch):
    """What no thread of the simulator may let out."""
    found = []
    monkeypatch.setattr(threading, "excepthook", found.append)
    yield found
    assert not found


# Connections


def test_one_connection_more_than_it_keeps_ends_one_that_was_idle_and_no_other():
    with Simulator(limits=Limits(connections=2)) as sim, contextlib.ExitStack() as open_:
        caller = Caller(sim)
        socks = []
        for _ in range(3):
            socks.append(open_.enter_context(caller.connect()))
            socks[-1].sendall(RINGS)
            assert socks[-1].recv(65_536).startswith(b"HTTP/1.1 200 ")
        # Usually the first; the second, if a busy machine had not let the first's thread wait again by then.
        [ended], _, _ = select.select(socks[:2], [], [])
        assert ended.recv(1) == b""
        [other] = set(socks[:2]) - {ended}
        other.sendall(RINGS)
        assert other.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_whoever_comes_while_all_connections_are_busy_waits_and_is_answered(sim):
    with Simulator(limits=Limits(connections=1)) as sim:
        caller = Caller(sim)
        sim.fault("stall", seconds=3600)
        stalled = caller.send_aux_call()
        assert sim.wait_for(lambda sim: sim.rings[PHONE] == 1)
        with caller.connect() as waiting:
            waiting.sendall(RINGS)
            stalled.close()
            assert waiting.recv(65_536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("sent", [b"", b"GET /_sim", RINGS[:-2], HALF_A_BODY])
def test_a_connection_over_which_no_request_comes_to_its_end_is_closed(crashes, sent):
    with Simulator(limits=Limits(idle_seconds=0.05)) as sim:
        caller = Caller(sim)
        with caller.connect() as sock:
            sock.sendall(sent)
            data = to_its_end(sock)
        assert data == b"" or data.startswith(b"HTTP/1.1 408 ")
        # Each of the wolkvox APIs too: a body that does not come is no request.
        with caller.connect() as sock:
            sock.sendall(caller.aux_call_bytes().replace(b"Content-Length: 0", b"Content-Length: 5"))
            assert to_its_end(sock) == b""
        assert not sim.rings


def test_a_client_that_reads_nothing_is_given_up():
    with Simulator(limits=Limits(idle_seconds=0.05)) as sim:
        caller = Caller(sim)
        sim.fault("reply", body="x" * 50_000_000)
        with caller.connect() as sock:
            sock.sendall(caller.aux_call_bytes())
            assert sim.wait_for(lambda sim: sim.stats().unanswered == 1)


def test_a_body_larger_than_the_limit_gets_413():
    with Simulator(limits=Limits(body_bytes=100)) as sim:
        got = Caller(sim).control("POST", "/agents", " " * 101)
        assert got.status == 413
        assert b"100 bytes" in got.body


@pytest.mark.parametrize(
    "wrong", [{"connections": 0}, {"idle_seconds": -1}, {"body_bytes": True}, {"connections": "9"}]
)
def test_limits_that_cannot_be_are_rejected(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)


# Threads


def test_while_no_thread_can_be_started_it_answers_503_and_then_goes_on(sim, caller, monkeypatch):
    start, failing = threading.Thread.start, [True]

    def fail(thread):
        if thread.name == "wolkvox-simulator" and failing:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail)
    # More than there is room for, since a connection that was turned away must take none.
    for _ in range(300):
        assert caller.aux_call().status == 503
    failing.clear()
    assert caller.aux_call().status == 200
    assert sim.rings == {PHONE: 1}


def test_without_a_thread_to_listen_in_it_is_not_started_and_leaves_nothing_open(monkeypatch, capsys):
    from airflow_provider_wolkvox.simulator import command

    def fail(thread):
        raise RuntimeError("can't start new thread")

    opened = Path("/proc/self/fd")
    before = len(list(opened.iterdir())) if opened.is_dir() else 0
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError):
            Simulator().start()
        assert command.main(["--port", "0"]) == 1
    assert "can't start new thread" in capsys.readouterr().err
    if before:
        # The port alone stays reserved.
        assert len(list(opened.iterdir())) <= before + 2


# What it is told


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"kind":'])
@pytest.mark.parametrize(
    "path", ["/faults", "/agents", "/history", "/reports", "/campaigns", "/call_results", "/directory"]
)
def test_json_that_is_nested_deep_gets_400(caller, crashes, path, opening):
    for depth in (17, 500, 900, 100_000):
        got = caller.control("POST", path, opening * depth)
        assert got.status == 400
        closing = {"[": "]", "{": "}"}
        whole = opening * depth + "1" + "".join(closing[each] for each in reversed(opening * depth) if each in closing)
        got = caller.control("POST", path, whole)
        assert got.status == 400
        assert "deep" in got.json["error"]


def test_records_that_are_nested_deep_are_refused(sim, caller, crashes):
    sim.add_campaign("7", records=[{"customer_id": "1", "tel1": PHONE}])
    target = "/api/v2/campaign.php?api=add_record&type_campaign=predictive&campaign_id=7&campaign_status=stop"
    headers = {**caller.headers(), "Content-Type": "application/json"}
    for body in ("[" * 100_000, "[" * 900 + "]" * 900):
        assert caller.ask("POST", target, headers, body).status == 400


OF_ALL_TYPES = [
    None,
    True,
    -1,
    0,
    5,
    10**30,
    3e6,
    1e300,
    "",
    "x",
    "\ud800",
    "9" * 5_000,
    [],
    [[]],
    {},
    {"a": 1},
    [None],
]

CAMPAIGN = {"campaign_id": "7", "records": [{"customer_id": "1", "tel1": PHONE}]}
PAST_CALL = {"phone": PHONE, "agent_id": "10001"}
FIELDS = [
    *[("/agents", {"agent_id": "1"}, name) for name in ("agent_id", "logged_in", "has_cut_call", "on_call", "other")],
    *[
        ("/campaigns", CAMPAIGN, name)
        for name in (
            *("campaign_id", "name", "kind", "strategy", "agents", "seed", "call_results", "refuse_duplicates"),
            *("records", "started", "other"),
        )
    ],
    *[
        ("/history", PAST_CALL, name)
        for name in (
            *("phone", "agent_id", "type_interaction", "conn_id", "campaign_id", "customer_id", "skill_id", "at"),
            *("seconds_ago", "result", "ring_seconds", "talk_seconds", "acw_seconds", "hang_up", "cod_act", "comment"),
            "other",
        )
    ],
    *[
        ("/reports", {}, name)
        for name in (
            *("held", "lag", "cut_calls", "most_rows", "most_days", "aux_call_type", "hidden_prefix", "totals"),
            *("when_over", "zone", "bare_campaigns", "logged_out", "status_when_done", "blanks"),
            *("seconds_per_row", "other"),
        )
    ],
    *[
        ("/faults", {"kind": "latency"}, name)
        for name in ("kind", "times", "after", "api", "phone", "seconds", "other")
    ],
    *[("/directory", {}, name) for name in ("do_not_call", "law2300", "other")],
    *[("/faults", {"kind": "drip"}, name) for name in ("interval", "part", "ring")],
    *[("/faults", {"kind": "reply"}, name) for name in ("status", "body", "content_type")],
    *[("/faults", {"kind": "redirect"}, name) for name in ("status", "location")],
]


@pytest.mark.parametrize(("path", "sound", "name"), FIELDS)
def test_a_field_of_any_type_is_taken_or_named(crashes, path, sound, name):
    with Simulator() as sim:
        caller = Caller(sim)
        for value in OF_ALL_TYPES:
            got = caller.control("POST", path, {**sound, name: value})
            assert got.status in (200, 400), value
            if got.status == 400 and "already" not in got.json["error"]:
                assert name in got.json["error"], value
                assert len(got.body) < 5_000
            # What was taken can be told again.
            for look in ("/agents", "/faults", "/history", "/reports", "/campaigns", "/stations", "/directory"):
                assert caller.control("GET", look).status == 200, value
            caller.control("POST", "/faults", {"clear": True})


def test_the_examples_that_once_got_no_answer_get_400(caller, crashes):
    for path, told in (
        ("/campaigns", {**CAMPAIGN, "agents": False}),
        ("/faults", {"kind": "latency", "seconds": 3e6}),
        ("/faults", '{"kind": "latency", "seconds": 1e999}'),
        ("/faults", '{"kind": "latency", "seconds": NaN}'),
        ("/history", {**PAST_CALL, "at": "9999-12-31T23:59:59-05:00"}),
        ("/history", {**PAST_CALL, "at": "0001-01-01T00:00:00+05:00"}),
        ("/reports", {"most_days": 10**30}),
    ):
        assert caller.control("POST", path, told).status == 400, told


@pytest.mark.parametrize("latency", [-1, LONGEST_WAIT + 1, float("nan"), float("inf"), "1", True, None])
def test_a_latency_that_cannot_be_is_rejected(latency):
    with pytest.raises(ValueError, match="latency"):
        Simulator(latency=latency)


def test_the_longest_latency_is_waited_for_until_the_client_has_enough(sim, caller, crashes):
    sim.latency = LONGEST_WAIT
    sim.fault("latency", seconds=LONGEST_WAIT, times=None)
    with caller.send_aux_call():
        assert sim.wait_for(lambda sim: sim.rings[PHONE] == 1)
    assert sim.wait_for(lambda sim: sim.stats().unanswered == 1)


@pytest.mark.parametrize("wrong", [False, True, 7, "10001", [7]])
def test_agents_of_a_campaign_that_are_no_list_of_ids_are_rejected(wrong):
    with pytest.raises(CampaignError, match="agents"):
        Simulator().add_campaign("7", agents=wrong)


# The end


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_after_hundreds_of_connections_more_than_it_keeps_the_command_answers_and_ends(end):
    with started() as (process, lines), contextlib.ExitStack() as open_:
        address = lines[0].split()[-1]
        port = int(address.rpartition(":")[2])
        for number in range(500):
            sock = open_.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            # Some send nothing, some half a request, some one that is answered.
            with contextlib.suppress(OSError):
                sock.sendall((b"", b"GET /_sim/rings HT", HALF_A_BODY, RINGS)[number % 4])
            if number == 300:
                assert asked(f"{address}/_sim/rings")["rings"] == {}
        process.send_signal(end)
        assert process.wait(60) == 0


def test_it_ends_while_descriptors_have_run_out():
    code = (
        "import resource, sys; from airflow_provider_wolkvox.simulator.command import main;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); sys.exit(main(['--port', '0']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        port = int(address.rpartition(":")[2])
        with contextlib.ExitStack() as open_:
            for _ in range(200):
                open_.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            assert asked(f"{address}/_sim/rings")["rings"] == {}
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_stopping_ends_whatever_connections_are_open(caller_of):
    sim = Simulator(log=lambda line: None).start()
    caller = caller_of(sim)
    sim.fault("stall", seconds=LONGEST_WAIT, phone="1")
    sim.fault("drip", interval=LONGEST_WAIT, phone="2")
    sim.fault("reply", body="x" * 50_000_000, phone="3")
    with contextlib.ExitStack() as open_:
        for phone in ("1", "2", "3"):
            token = sim.add_token()
            open_.enter_context(caller.send_aux_call(phone, token))
        for sent in (b"", RINGS, b"GET /_sim/rings HT", HALF_A_BODY):
            open_.enter_context(caller.connect()).sendall(sent)
        assert sim.wait_for(lambda sim: len(sim.calls) == 2)
        sim.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "wolkvox-simulator"]


def test_a_function_of_the_tests_that_never_returns_does_not_keep_it_from_ending(caller_of, monkeypatch):
    from airflow_provider_wolkvox.simulator.transport import server

    monkeypatch.setattr(server, "_JOIN_SECONDS", 0.1)
    hanging, release = threading.Event(), threading.Event()

    def never(line: str) -> None:
        hanging.set()
        release.wait(3600)

    sim = Simulator(log=never).start()
    with caller_of(sim).send_aux_call():
        assert hanging.wait(60)
        sim.stop()
        release.set()


# Ports


def test_a_port_is_not_given_to_another_process_once_its_simulator_has_stopped():
    with Simulator() as sim:
        port = sim.port
    # As another process would be given one: any port, of a range that holds this one alone.
    code = (
        "import socket, struct, sys; sock = socket.socket();"
        "sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1);"
        "sock.setsockopt(socket.IPPROTO_IP, 51, struct.pack('HH', *[int(sys.argv[1])] * 2));"
        "sock.bind(('127.0.0.1', 0)); print(sock.getsockname()[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(port)], capture_output=True, text=True, timeout=60)
    if "Protocol not available" in done.stderr:
        pytest.skip("this kernel has no IP_LOCAL_PORT_RANGE")
    assert "Address already in use" in done.stderr
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=60)


def test_the_next_simulators_of_a_process_listen_elsewhere_and_few_ports_are_kept():
    ports = []
    for _ in range(200):
        with Simulator() as sim:
            ports.append(sim.port)
    for place in range(len(ports) - 30):
        assert ports[place] not in ports[place + 1 : place + 30]
    assert len(set(ports)) <= 64


def test_a_simulator_that_is_started_again_has_its_port_again(caller_of):
    sim = Simulator()
    for _ in range(3):
        with sim:
            assert caller_of(sim).aux_call().status == 200
            seen = sim.port
        with Simulator() as other:
            assert other.port != seen
    assert sim.rings == {PHONE: 3}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_listens_on_ports_of_its_own():
    with Simulator() as sim:
        port = sim.port
    child = os.fork()
    if not child:
        with Simulator() as own:
            os._exit(3 if own.port == port else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with Simulator() as sim:
        assert json.loads(Caller(sim).control("GET", "/rings").body)["rings"] == {}


def test_it_can_be_stopped_while_a_connection_is_about_to_get_its_thread(crashes, monkeypatch):
    sim = Simulator().start()
    stopping = threading.Thread(target=sim.stop)
    start = threading.Thread.start

    def start_late(thread):
        if thread.name == "wolkvox-simulator":
            start(stopping)
            # Long enough for it to fail, if it fails.
            stopping.join(0.2)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_late)
    with socket.create_connection(("127.0.0.1", sim.port), timeout=60) as sock:
        assert to_its_end(sock) == b""
    stopping.join(60)
    assert not stopping.is_alive()
