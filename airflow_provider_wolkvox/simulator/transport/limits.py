"""What one client may take of the server, so that none can take it from the others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what clients may take.

    :param connections: how many are open at once. One more closes the connection that has waited for longest for a
        request or the rest of one, or else waits until another ends; default 256
    :param idle_seconds: how long a connection may wait for a request, for the rest of one, or for its client to read
        the answer, before it is closed; default 300
    :param body_bytes: the largest body of a request; default 64 MB
    :raises ValueError: for what is not positive
    """

    connections: int = 256
    idle_seconds: float = 300.0
    body_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("connections", "idle_seconds", "body_bytes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
                raise ValueError(f"{name} must be a positive number, not {value!r}")
