"""What a server says reaches log, XCom, ledger and terminal only as short, plain text without numbers."""

from __future__ import annotations

import json
import unicodedata

import pytest
from samples import AGENT, PHONE
from task_runner import Server, run_try

from airflow_provider_wolkvox.operators.aux_call import AuxCallBatchOperator, AuxCallOperator

pytestmark = pytest.mark.usefixtures("wolkvox_connection", "own_sigterm", "quick_resends")

HOSTILE = {
    "a line of a log": "10001.0101\r\n2026-11-27 INFO - customer 3005550101 was called",
    "an escape code": "\x1b[2J\x1b[31m10001.0101",
    "another direction": "10001\u202e1010.3005550101\u2066",
    "five megabytes": "9" * (5 << 20),
    "markup": "[/x][red]10001[bold]",
    "another script's digits": "３００５５５０１０１",
    "a number": "300_555_0101, 300,555,0101",
    "a template": "{{ conn.wolkvox_default.password }}",
    "a list": ["10001.0101.1795369706.10001"],
    "an object": {"conn_id": "10001"},
    "a lone surrogate": "\ud83d10001",
}


def fits(text: str) -> bool:
    visible = all(unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in text)
    digits = "".join(filter(str.isdigit, text))
    return visible and len(text) <= 1_000 and "3005550101" not in digits and "5550101" not in digits


@pytest.fixture
def said(everything_said):
    """What was logged and printed, without what these tests log themselves."""
    return everything_said


def one_call(dag):
    return AuxCallOperator(task_id="task", agent_id=AGENT, customer_phone=PHONE)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "five megabytes"])
def test_an_accepted_call_whose_id_cannot_be_one_is_accepted_without_an_id(simulator, said, name):
    simulator.fault("reply", body=json.dumps({"code": "200", "error": None, "data": {"conn_id": HOSTILE[name]}}))
    server = Server()
    run = run_try(one_call, server)
    assert run.state == "success", run.error
    assert {key: value for key, value in run.xcoms.items() if not key.startswith("_link")} == {
        "conn_id": "",
        "return_value": "",
    }
    lines = said().splitlines()
    assert any("cannot be one" in line or isinstance(HOSTILE[name], list | dict) for line in lines)
    assert all(fits(line) for line in lines if "wolkvox accepted" in line)
    assert not any("\x1b[2J" in line or "\u202e" in line or "INFO - customer" in line for line in lines)


@pytest.mark.parametrize("field", ["msg", "error"])
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("many", [False, True])
def test_a_rejection_s_words_are_kept_short_and_without_numbers(simulator, name, field, many):
    words = HOSTILE[name] if len(HOSTILE[name]) < 60_000 else HOSTILE[name][:60_000]
    reply = {"code": "404", "error": "Not Found", "msg": "no such agent", field: words}
    simulator.fault("reply", status=404, body=json.dumps(reply), times=None)
    calls = [{"agent_id": AGENT, "customer_phone": PHONE}]
    server = Server()
    run = run_try(
        (lambda dag: AuxCallBatchOperator(task_id="task", calls=calls, calling_hours=None, wait_for_agents=False))
        if many
        else one_call,
        server,
    )
    told = [str(run.error or ""), *map(json.dumps, run.xcoms.values()), *map(json.dumps, server._store.values())]
    if many:
        told += [each["reason"] for each in run.xcoms["return_value"]]
    assert simulator.rings == {}
    for text in told:
        assert len(text) <= 3_000
        assert "3005550101" not in "".join(filter(str.isdigit, text.replace("***0101", "")))
        assert not any(unicodedata.category(each) in ("Cf", "Cs", "Zl", "Zp") for each in text)
        assert "\x1b" not in text
        assert "\\u001b" not in text
        assert "\\u202e" not in text


@pytest.mark.parametrize("output", ["table", "plain", "json", "yaml"])
def test_a_command_prints_a_server_s_words_as_words(capsys, output):
    from airflow_provider_wolkvox.cli.tables import print_rows

    words = "[/x] [red]busy[/red]\x1b[2J\u202e :smile:"
    print_rows([{"result": words, "seconds": 7}], output, nothing="")
    shown = capsys.readouterr().out
    assert "[/x] [red]busy[/red]" in " ".join(shown.split())
    assert "\x1b[2J" not in shown
    assert "\u202e" not in shown
