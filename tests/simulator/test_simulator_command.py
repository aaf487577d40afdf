"""The command in a process of its own, as a person starts it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from airflow_provider_wolkvox.simulator import command

MODULE = [sys.executable, "-m", "airflow_provider_wolkvox.simulator"]


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    process = subprocess.Popen(
        [*MODULE, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = []
        while not (lines and lines[-1].strip().endswith("/_sim/rings")):
            line = process.stdout.readline()
            assert line, process.communicate()
            lines.append(line.rstrip("\n"))
        yield process, lines
    finally:
        process.kill()
        process.communicate()


def asked(url: str, method: str = "GET", token: str = "") -> object:
    headers = {"wolkvox-token": token} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers), timeout=60) as got:
        return json.loads(got.read())


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_what_to_try_answers_it_and_ends_cleanly(end):
    with started() as (process, lines):
        text = "\n".join(lines)
        address = re.search(r"at (http://127\.0\.0\.1:\d+)$", lines[0])[1]
        token = re.search(r"^token: (demo-[0-9a-f]+)$", text, re.MULTILINE)[1]
        assert "agents: 10001 10002 10003 10004 10005" in lines
        header, url = re.search(r"curl -X POST -H '(.+?)' '(.+?)'", text).groups()
        assert header == f"wolkvox-token: {token}"
        assert url.startswith(address)
        assert asked(url, "POST", token)["code"] == "200"
        rings = re.search(r"curl (\S+/_sim/rings)", text)[1]
        assert asked(rings)["rings"] == {"573001234567": 1}
        process.send_signal(end)
        assert process.wait(10) == 0


def test_tokens_agents_and_quota_can_be_given():
    arguments = ["--token", "demo-one", "--token", "demo-two", "--agent", "20001", "--agent", "20002", "--quota", "0"]
    with started(*arguments, "--latency", "0.001") as (_, lines):
        assert {"token: demo-one", "token: demo-two", "agents: 20001 20002"} <= set(lines)
        address = lines[0].split()[-1]
        with pytest.raises(urllib.error.HTTPError) as refused:
            asked(f"{address}/api/v2/information.php?api=token_info", token="demo-two")
        assert json.loads(refused.value.read())["msg"] == "TOKEN LIMIT EXCEEDED"


def test_verbose_logs_a_line_per_request_with_token_hidden_and_phone_masked():
    with started("--verbose") as (process, lines):
        token = lines[1].removeprefix("token: ")
        url = lines[0].split()[-1] + "/api/v2/agentbox.php?api=aux_call&agent_id=10001&customer_phone=573001234567"
        asked(url, "POST", token)
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=60)
    (line,) = logged.splitlines()
    assert "customer_phone=...4567" in line
    assert "-> 200" in line
    assert "573001234567" not in line
    assert token not in line


def test_whom_not_to_call_can_be_given():
    with started("--do-not-call", "573001", "--do-not-call", "573002", "--law2300", "573003") as (_, lines):
        told = asked(f"{lines[0].split()[-1]}/_sim/directory")
    assert [each["phone_number"] for each in told["do_not_call"]] == ["573001", "573002"]
    assert [each["phone_number"] for each in told["law2300"]] == ["573003"]


def test_a_port_in_use_is_a_clear_error_with_status_1():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run([*MODULE, "--port", port], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "wrong", [["--port", "70000"], ["--port", "x"], ["--latency", "-1"], ["--quota", "many"], ["--what"]]
)
def test_wrong_arguments_end_with_status_2(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(wrong)
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_a_repeated_token_is_a_clear_error(capsys):
    assert command.main(["--token", "a", "--token", "a"]) == 1
    assert "twice" in capsys.readouterr().err


def test_a_campaign_of_the_past_hour_can_be_had_and_is_soon_over():
    with started("--campaign", "32841") as (_, lines):
        assert "campaigns: 32841" in lines
        token = next(line for line in lines if line.startswith("token: "))[7:]
        text = "\n".join(lines)
        url = re.search(r"curl -H '.+?' (\S+real_time\S+)", text)[1].strip("'")
        judge = re.search(r"curl (\S+/_sim/campaigns)", text)[1]
        until = time.monotonic() + 60
        while not asked(judge)["campaigns"][0]["finished"]:
            assert time.monotonic() < until
        (row,) = asked(url, token=token)["data"]
        assert (row["records"], row["clean"], row["dial"], row["status"]) == ("40", "0", "40", "started")


def test_a_campaign_that_can_not_be_is_explained(capsys):
    with pytest.raises(SystemExit):
        command.main(["--campaign", "x"])
    assert "no whole number" in capsys.readouterr().err
    assert command.main(["--port", "0", "--campaign", "7", "--campaign", "7"]) == 1
    assert "a campaign 7 already" in capsys.readouterr().err


def test_it_imports_nothing_but_the_standard_library_and_itself():
    code = (
        "import sys; import airflow_provider_wolkvox.simulator.command;"
        "print([name for name in sys.modules if name.partition('.')[0] not in sys.stdlib_module_names"
        " and not name.startswith(('airflow_provider_wolkvox.simulator', '__'))"
        " and name != 'airflow_provider_wolkvox'])"
    )
    bare = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert bare.stdout.strip() == "[]", bare.stderr


ROOT = command.__file__.partition("airflow_provider_wolkvox")[0]
