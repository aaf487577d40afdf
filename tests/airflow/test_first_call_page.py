"""docs/first-call.md as a newcomer reads it: each command typed as it stands, each line that it promises looked for.

On a HOME with nothing in it, and in a network of its own: the page's ports are free there, and what
`airflow standalone` listens on is reached from nowhere else.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from capabilities import HAS_LEDGER

pytestmark = [
    pytest.mark.scheduler,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not HAS_LEDGER, reason="the page sets up the Airflow of its constraints"),
]

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "first-call.md"

# What a terminal keeps from one block of commands to the next.
KEEPS = ("export ", ". ")
STAYS = ("python -m airflow_provider_wolkvox simulate", "airflow standalone")
# What only reads, and is typed again until it shows what the page promises.
READS = ("airflow dags list-runs", "curl ")
LONGEST_WAIT = 900

NEW_NETWORK = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
JOIN_NETWORK = ["--net"] if os.geteuid() == 0 else ["--user", "--preserve-credentials", "--net"]
LOOPBACK_UP = """
import array, fcntl, socket, struct, sys
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    name = struct.pack("16sh14x", b"lo", 0)
    flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, name))[1]
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
print("up", flush=True)
sys.stdin.read()
"""


@dataclass
class Step:
    """A block of commands, and the lines that the page promises after it."""

    commands: list[str]
    promised: list[str] = field(default_factory=list)


def steps(page: str) -> list[Step]:
    found: list[Step] = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        if not language:
            found.append(Step(block.splitlines()))
        elif language == "text":
            found[-1].promised += block.splitlines()
    return found


@pytest.fixture
def network() -> Iterator[list[str]]:
    """Yield what to put before a command to run it in a network with nothing but a loopback of its own."""
    if not shutil.which("unshare") or subprocess.run([*NEW_NETWORK, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let us make a network of our own (unshare --net)")
    holder = subprocess.Popen(
        [*NEW_NETWORK, sys.executable, "-c", LOOPBACK_UP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "up\n"
        yield ["nsenter", f"--target={holder.pid}", *JOIN_NETWORK, "--"]
        holder.stdin.close()


class Terminals:
    """Terminals one after the other: a new one is opened where a command of the last one stays."""

    def __init__(self, home: Path, network: Sequence[str], closing: ExitStack) -> None:
        self._home, self._network, self._closing = home, network, closing
        self._kept: list[str] = []
        binaries = home / "bin"
        binaries.mkdir(parents=True)
        # The Python below our virtual environment, as the newcomer has no other.
        (binaries / "python3").symlink_to(Path(sys._base_executable))  # type: ignore[attr-defined]
        ours = ("AIRFLOW", "_AIRFLOW", "PYTHON", "PYTEST", "VIRTUAL_ENV", "PYENV")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self._environment = {**inherited, "HOME": str(home), "PATH": f"{binaries}:/usr/bin:/bin"}

    def type(self, step: Step) -> None:
        """Run a step's commands; fail if one does, or does not show what is promised."""
        script = "\n".join([*self._kept, *step.commands])
        # The one step that needs other hosts: the packages'.
        prefix = [] if any(command.startswith("pip ") for command in step.commands) else self._network
        command = [*prefix, "bash", "-e", "-c", script]
        if step.commands[-1].startswith(STAYS):
            log = self._home / f"terminal-{len(list(self._home.glob('terminal-*')))}.log"
            with log.open("w") as output:
                process = subprocess.Popen(
                    command,
                    env=self._environment,
                    cwd=CHECKOUT,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self._closing.callback(_end, process)
            self._kept = []
            _until(log.read_text, step.promised, lambda: process.poll() is None)
            return

        def run() -> str:
            done = subprocess.run(
                command, env=self._environment, cwd=CHECKOUT, stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
            return done.stdout

        _until(run, step.promised, lambda: step.commands[-1].startswith(READS))
        self._kept += [command for command in step.commands if command.startswith(KEEPS)]


def missing(promised: Sequence[str], shown: str) -> list[str]:
    """Return the lines that are not shown, in this order, whatever stands around them and however wide a table is."""
    lines = iter([" ".join(line.split()) for line in shown.splitlines()])
    return [line for line in promised if not any(" ".join(line.split()) in each for each in lines)]


def _until(look: Callable[[], str], promised: Sequence[str], again: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_WAIT
    while lacking := missing(promised, shown := look()):
        assert again(), f"the page promises {lacking}, and this was shown:\n{shown}"
        assert time.monotonic() < deadline, f"waited in vain for {lacking}; this was shown last:\n{shown}"
        time.sleep(0.5)


def _end(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(600)
    # Whatever is left of its group, too.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_line_that_is_not_shown_is_missing():
    assert missing(["b | c"], "a\nb  |  c  | d") == []
    assert missing(["c", "a"], "a\nc") == ["a"]


def test_who_types_the_page_into_a_terminal_sees_each_line_that_it_promises(tmp_path, network):
    found = steps(PAGE.read_text())
    assert sum(bool(step.promised) for step in found) >= 9
    with ExitStack() as closing:
        terminals = Terminals(tmp_path / "home", network, closing)
        for step in found:
            terminals.type(step)
