"""What `chaos.py` and its DAGs have to agree on; imported by both, so it imports no Airflow.

A DAG run's configuration names the customers and, if a call is to be struck at a certain moment, where it has
to stand still::

    {"phones": ["3000010000", "3000010001", "3000010002"],
     "stand": {"phone": "3000010001", "at": "after the intent", "files": "/some/folder/round-1"}}

The process that makes this call writes its id to `FILES.pid`, and `FILES.here` once it has come to the
moment; it goes on when `FILES.go` is there. Only the first process that comes by stands still. With
`"raises": true` it does not stand, but fails there, as code around the request may.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LANES = ("chaos_1", "chaos_2", "chaos_3", "chaos_4")
RETRIES = (0, 1, 2)
PLAIN, MAPPED = "plain", "mapped"
# In one DAG run: the plain task's, and the mapped ones'.
CALLS = 3

BEFORE_THE_FENCES = "before the fences"
AFTER_THE_INTENT = "after the intent"
# The request has been received and the phone rings; its answer is still to come. Nobody stands still then:
# the simulator holds the answer back.
IN_FLIGHT = "in flight"
AFTER_THE_REPLY = "after the reply"
AFTER_EXECUTE = "after execute"

# Whoever strikes is long gone by then; the task must not hold its lane for ever.
STAND_AT_MOST = 300.0


def dag_name(lane: str, retries: int) -> str:
    """Return the id of a lane's DAG."""
    return f"{lane}_retries_{retries}"


class Stand:
    """Where one call stands still, and the files that tell of it."""

    def __init__(self, at: str, files: str, raises: bool = False) -> None:
        self._at = at
        self._files = files
        self._raises = raises

    @classmethod
    def of(cls, conf: Mapping[str, Any], phone: str) -> Stand:
        """Return the stand of the call to `phone`; it stands nowhere if the run's configuration names another."""
        stand = conf.get("stand")
        if stand is None or stand["phone"] != phone:
            return cls("nowhere", "")
        try:
            with Path(stand["files"] + ".pid").open("x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            # A later try, or the process that took over: it is to run through.
            return cls("nowhere", "")
        return cls(stand["at"], stand["files"], stand.get("raises", False))

    def come_to(self, moment: str) -> None:
        """Stand still if this is the moment."""
        if moment != self._at:
            return
        if self._raises:
            raise RuntimeError(f"the hook failed {moment}")
        Path(self._files + ".here").touch()
        give_up = time.monotonic() + STAND_AT_MOST
        while not Path(self._files + ".go").exists() and time.monotonic() < give_up:
            time.sleep(0.02)
