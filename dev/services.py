"""PostgreSQL, MariaDB and Redis for as long as a ``with`` block lasts, from whatever packages the machine has.

    require_services()
    with tempfile.TemporaryDirectory() as folder, Services.running(Path(folder)) as services:
        print(services.postgres_url, services.redis_url)

    with running_database("mariadb", Path(folder)) as url:
        print(url)

    with running_postgres(Path(folder)) as (url, service):
        with service.down():
            ...

They listen on free ports of 127.0.0.1 and ask for a password made for this run. Their files are in the folder, and
they are gone when the block is left, or when our process is. Nothing is installed and no service of the machine's
own is touched.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
from local_airflow import LOOPBACK, MARK, end_processes, kill_tree, reserved_port, warden

INSTALL = "apt-get install --yes --no-install-recommends postgresql redis-server"
USER = "airflow"

# Debian keeps PostgreSQL's commands out of PATH, one folder for each version.
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
# PostgreSQL refuses to run as root; the first is made by its package, the second is everywhere.
NOT_ROOT = ("postgres", "nobody")

START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05

# Nothing here outlives the run, so nothing has to survive a power cut; and every byte stays in the folder.
POSTGRES_OPTIONS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "dynamic_shared_memory_type": "mmap",
}


class ServiceError(RuntimeError):
    """A service is missing or did not start; the message says what to do, or holds what it said."""


@dataclass(frozen=True)
class Services:
    """Where the two are, passwords included."""

    postgres_url: str
    redis_url: str

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder: Path) -> Iterator[Services]:
        """Start both in this folder, and end them when the block is left.

        :raises ServiceError: if one is missing or does not start
        """
        require_services()
        folder = folder.resolve()
        with _ending(folder) as undo:
            postgres_url, _ = undo.enter_context(_postgres(folder))
            yield cls(postgres_url=postgres_url, redis_url=undo.enter_context(_redis(folder)))


def missing_programs(database: str) -> list[str]:
    """Return which programs of a database this machine lacks.

    :param database: `postgresql` or `mariadb`
    """
    find, _ = _DATABASES[database]
    return [name for name, path in find().items() if path is None]


@contextlib.contextmanager
def running_database(database: str, folder: Path) -> Iterator[str]:
    """Start one database in this folder, and end it when the block is left; its URL, for SQLAlchemy, names no driver.

    :param database: `postgresql` or `mariadb`
    :raises ServiceError: if it is missing or does not start
    """
    if missing := missing_programs(database):
        raise ServiceError(f"This machine has no {', no '.join(missing)}. Nothing was started.")
    _, start = _DATABASES[database]
    with _ending(folder.resolve()) as undo:
        url, _ = undo.enter_context(start(folder.resolve()))
        yield url.replace("+psycopg", "")


@contextlib.contextmanager
def running_postgres(folder: Path) -> Iterator[tuple[str, Service]]:
    """Start a PostgreSQL that may be killed without losing what was committed; as for `running_database`."""
    if missing := missing_programs("postgresql"):
        raise ServiceError(f"This machine has no {', no '.join(missing)}. Nothing was started.")
    with _ending(folder.resolve()) as undo:
        url, service = undo.enter_context(_postgres(folder.resolve(), synchronous_commit="on"))
        yield url.replace("+psycopg", ""), service


@contextlib.contextmanager
def _ending(folder: Path) -> Iterator[contextlib.ExitStack]:
    """End whatever is started in a folder, even should we be killed."""
    with warden(folder), contextlib.ExitStack() as undo:
        undo.callback(end_processes, folder)
        yield undo


def missing_services() -> list[str]:
    """Return which commands this machine lacks."""
    commands = {**_postgres_commands(), "redis-server": shutil.which("redis-server")}
    return [name for name, path in commands.items() if path is None]


def require_services() -> None:
    """Say what is missing and how to get it.

    :raises ServiceError: if anything is
    """
    if missing := missing_services():
        raise ServiceError(
            f"This machine has no {', no '.join(missing)}. Nothing was started. "
            f"On Debian and Ubuntu, as root: {INSTALL}"
        )


def _postgres_command(name: str) -> str | None:
    def version(folder: Path) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", folder.parent.name)]

    folders = sorted(DEBIAN_POSTGRES.glob("*/bin"), key=version, reverse=True)
    places = os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)])
    return shutil.which(name, path=places)


@contextlib.contextmanager
def _postgres(folder: Path, **changed: str) -> Iterator[tuple[str, Service]]:
    import psycopg

    owner = _other_than_root()
    home, data = folder / "postgres", folder / "postgres" / "data"
    home.mkdir(mode=0o700)
    password = secrets.token_urlsafe(16)
    password_file = home / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if owner:
        # The folder itself stays ours; another user may only pass through it.
        folder.chmod(folder.stat().st_mode | 0o011)
        for path in (home, password_file):
            os.chown(path, owner.pw_uid, owner.pw_gid)

    initdb = [
        *(str(_postgres_command("initdb")), "--pgdata", str(data), "--username", USER, "--pwfile", str(password_file)),
        *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
    ]
    made = subprocess.run(
        initdb, **_as(owner, home), env=_environment(folder), capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise ServiceError(f"initdb ended with {made.returncode}.\n{made.stdout}{made.stderr}")

    with reserved_port() as port:
        url = f"postgresql+psycopg://{USER}:{password}@{LOOPBACK}:{port}/postgres"
        given = {**POSTGRES_OPTIONS, **changed}
        options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        command = [str(_postgres_command("postgres")), "-D", str(data), "-p", str(port), *options]

        def answers() -> bool:
            try:
                psycopg.connect(url.replace("+psycopg", ""), connect_timeout=5).close()
            except psycopg.OperationalError:
                return False
            return True

        # SIGINT is its "fast shutdown": it ends its sessions instead of waiting for them.
        with Service(folder, "postgres", command, answers, stop=signal.SIGINT, owner=owner) as service:
            yield url, service


def _mariadb_commands() -> dict[str, str | None]:
    # Debian keeps the server where only root's PATH leads.
    places = os.pathsep.join(["/usr/sbin", os.environ.get("PATH", os.defpath)])
    return {name: shutil.which(name, path=places) for name in ("mariadb-install-db", "mariadbd")}


@contextlib.contextmanager
def _mariadb(folder: Path) -> Iterator[tuple[str, Service]]:
    import pymysql

    commands = _mariadb_commands()
    owner = _other_than_root()
    home, data = folder / "mariadb", folder / "mariadb" / "data"
    home.mkdir(mode=0o700)
    password = secrets.token_urlsafe(16)
    start = home / "start.sql"
    start.touch(mode=0o600)
    start.write_text(
        f"CREATE DATABASE {USER};\nCREATE USER '{USER}'@'{LOOPBACK}' IDENTIFIED BY '{password}';\n"
        f"GRANT ALL ON {USER}.* TO '{USER}'@'{LOOPBACK}';\n"
    )
    if owner:
        folder.chmod(folder.stat().st_mode | 0o011)
        for path in (home, start):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    install = [str(commands["mariadb-install-db"]), "--no-defaults", f"--datadir={data}", "--skip-test-db"]
    made = subprocess.run(
        install, **_as(owner, home), env=_environment(folder), capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise ServiceError(f"mariadb-install-db ended with {made.returncode}.\n{made.stdout}{made.stderr}")
    with reserved_port() as port:
        command = [str(commands["mariadbd"]), "--no-defaults", f"--datadir={data}", f"--init-file={start}"]
        command += [f"--bind-address={LOOPBACK}", f"--port={port}", f"--socket={home / 'mariadb.sock'}"]
        # Nothing has to survive a power cut.
        command += ["--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0", f"--pid-file={home / 'pid'}"]

        def answers() -> bool:
            try:
                pymysql.connect(host=LOOPBACK, port=port, user=USER, password=password, database=USER).close()
            except pymysql.err.OperationalError:
                return False
            return True

        with Service(folder, "mariadb", command, answers, owner=owner) as service:
            yield f"mysql://{USER}:{password}@{LOOPBACK}:{port}/{USER}", service


@contextlib.contextmanager
def _redis(folder: Path) -> Iterator[str]:
    import redis

    home = folder / "redis"
    home.mkdir(mode=0o700)
    password = secrets.token_urlsafe(16)
    with reserved_port() as port:
        settings = home / "redis.conf"
        settings.touch(mode=0o600)
        settings.write_text(
            f"bind {LOOPBACK}\nport {port}\nrequirepass {password}\ndir {home}\n"
            # Its title would be written over the environment that tells whose it is.
            'save ""\nappendonly no\nset-proc-title no\n'
        )
        url = f"redis://:{password}@{LOOPBACK}:{port}/0"

        def answers() -> bool:
            try:
                with redis.Redis.from_url(url) as client:
                    return bool(client.ping())
            except (redis.ConnectionError, redis.BusyLoadingError):
                return False

        with Service(folder, "redis", [str(shutil.which("redis-server")), str(settings)], answers):
            yield url


class Service:
    """A server's process, for as long as a ``with`` block lasts."""

    def __init__(
        self,
        folder: Path,
        name: str,
        command: Sequence[str],
        answers: Callable[[], bool],
        *,
        stop: signal.Signals = signal.SIGTERM,
        owner: pwd.struct_passwd | None = None,
    ) -> None:
        self._folder = folder
        self._name = name
        self._command = command
        self._answers = answers
        self._stop = stop
        self._owner = owner
        self._process: subprocess.Popen[bytes]
        self._is_whole = threading.Lock()
        self.times_down = 0
        """How often it was killed."""

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._end()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Kill it with all its processes, and start it again when the block is left; who comes meanwhile waits."""
        with self._is_whole:
            kill_tree(psutil.Process(self._process.pid))
            self._process.wait()
            self.times_down += 1
            try:
                yield
            finally:
                self._start()

    def _start(self) -> None:
        log_path = self._folder / f"{self._name}.log"
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                **_as(self._owner, self._folder / self._name),
                env=_environment(self._folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C at the terminal is for us, who end it last.
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        try:
            while not self._answers():
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = log_path.read_text(errors="replace")[-4000:]
                    raise ServiceError(f"{self._name} did not start: {' '.join(self._command)}\n{said}")
                time.sleep(POLL_SECONDS)
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        self._process.send_signal(self._stop)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            kill_tree(psutil.Process(self._process.pid))
            self._process.wait()


def _other_than_root() -> pwd.struct_passwd | None:
    """Return whom PostgreSQL runs as, None for ourselves."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    return next(known[name] for name in NOT_ROOT if name in known)


def _as(owner: pwd.struct_passwd | None, home: Path) -> dict[str, object]:
    # Our own working directory may be closed to that user.
    who = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    return {"cwd": home, **who}


def _environment(folder: Path) -> dict[str, str]:
    # PGHOST, PGDATA and their like are the developer's own business.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, MARK: str(folder), "LC_ALL": "C"}


def _postgres_commands() -> dict[str, str | None]:
    return {name: _postgres_command(name) for name in ("initdb", "postgres")}


# By database: what finds its programs, and what starts it.
_DATABASES = {"postgresql": (_postgres_commands, _postgres), "mariadb": (_mariadb_commands, _mariadb)}
