"""A clock for what takes hours: it starts in the past, runs fast, and is real time once it has caught up."""

from __future__ import annotations

import threading
import time


class CatchingUpClock:
    """Unix seconds that start `behind` the real time, run `speed` times as fast, and never pass it.

    So a campaign of the past hour is over within seconds, nothing lies in the future, and what is done
    afterwards is done in real time. Never goes back, and is safe for threads.

    ```python
    clock = CatchingUpClock(behind=3600, speed=600)
    with Simulator(clock=clock) as sim: ...
    ```

    :param behind: seconds by which it starts late; default 3600
    :param speed: how many times as fast as real time it runs until it has caught up, more than 1; default 600
    :raises ValueError: if it starts ahead of real time, or would never catch up
    """

    def __init__(self, behind: float = 3600.0, speed: float = 600.0) -> None:
        if not behind >= 0 or not speed > 1:
            raise ValueError("a clock that catches up is 0 or more seconds behind and faster than 1")
        self._lock = threading.Lock()
        self._speed = speed
        self._begun = time.monotonic()
        self._first = self._last = time.time() - behind

    def __call__(self) -> float:
        """Return the time."""
        with self._lock:
            fast = self._first + (time.monotonic() - self._begun) * self._speed
            self._last = max(self._last, min(fast, time.time()))
            return self._last

    @property
    def caught_up(self) -> bool:
        """Whether it shows real time from now on."""
        return self._first + (time.monotonic() - self._begun) * self._speed >= time.time()
