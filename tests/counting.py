"""Counts the work that a function does, which is the same on any machine, however busy."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any


def functions_called(work: Callable[[], Any]) -> int:
    """Return how many functions are called while `work` runs, in this thread and in those that it starts."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    before = sys.getprofile()
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)  # type: ignore[arg-type]
    return count
