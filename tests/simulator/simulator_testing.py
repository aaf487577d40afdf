"""A caller that speaks plain http.client and sockets, so that nothing of ours stands between test and wire; a clock."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

from airflow_provider_wolkvox.simulator import Simulator

AGENT = "10001"
PHONE = "573001234567"
NOON = datetime(2026, 3, 2, 12, tzinfo=timezone(timedelta(hours=-5)))


class Clock:
    """A simulator's clock that a test moves by hand; it is noon."""

    def __init__(self) -> None:
        self.now = NOON.timestamp()

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Got:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """Sends requests to one simulator, each over a connection of its own."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim

    def aux_call(self, phone: str = PHONE, agent: str = AGENT, token: str | None = None) -> Got:
        return self.ask("POST", self.aux_call_target(phone, agent), self.headers(token))

    def command(self, api: str, agent: str = AGENT, *, method: str = "POST", **parameters: str) -> Got:
        """Ask the agent API for something."""
        query = urlencode({"api": api, "agent_id": agent, **parameters})
        return self.ask(method, f"/api/v2/agentbox.php?{query}", self.headers())

    def token_info(self, token: str | None = None) -> Got:
        return self.ask("GET", "/api/v2/information.php?api=token_info", self.headers(token))

    def report(self, api: str, date_ini: str, date_end: str, **parameters: str) -> Got:
        query = urlencode({"api": api, **parameters, "date_ini": date_ini, "date_end": date_end})
        return self.ask("GET", f"/api/v2/reports_manager.php?{query}", self.headers())

    def last_ten(self) -> Got:
        return self.ask("GET", "/api/v2/real_time.php?api=calls_last_10", self.headers())

    def headers(self, token: str | None = None) -> dict[str, str]:
        return {"wolkvox-token": token or self.sim.token}

    def aux_call_target(self, phone: str = PHONE, agent: str = AGENT) -> str:
        return f"/api/v2/agentbox.php?api=aux_call&agent_id={agent}&customer_phone={phone}"

    def ask(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | str | None = None
    ) -> Got:
        connection = http.client.HTTPConnection("127.0.0.1", self.sim.port, timeout=60)
        try:
            connection.request(method, target, body=body, headers=headers or {})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Got(response.status, found, response.read())
        finally:
            connection.close()

    def control(self, method: str, path: str, told: object = None) -> Got:
        body = told if isinstance(told, str) or told is None else json.dumps(told)
        return self.ask(method, f"/_sim{path}", body=body)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.sim.port), timeout=60)

    def send_aux_call(self, phone: str = PHONE, token: str | None = None) -> socket.socket:
        """Send an aux_call and return the socket, with nothing of the answer read."""
        sock = self.connect()
        sock.sendall(self.aux_call_bytes(phone, token))
        return sock

    def aux_call_bytes(self, phone: str = PHONE, token: str | None = None) -> bytes:
        head = f"POST {self.aux_call_target(phone)} HTTP/1.1\r\nHost: x\r\nwolkvox-token: {token or self.sim.token}"
        return f"{head}\r\nContent-Length: 0\r\n\r\n".encode()
