"""Files that a task writes for people and for later tasks, on any path that Airflow's object storage knows."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Its owner's alone: plans hold whole numbers, and results say who was called.
OWNERS_ALONE = 0o600


def require_writable(path: Any, name: str) -> None:
    """Require that a file can be written, before anything is done that the file is to tell of.

    A file that is not there is created and removed again; one that is there stays as it is. In a store of objects a
    file beside it is created and removed.

    :param path: where it is to be
    :param name: what the message calls it
    :raises ValueError: it cannot be written: a folder, a scheme that is unknown or only read, a driver that is missing
    """
    try:
        _try(_target(path))
    except Exception as failure:  # drivers raise what they like
        raise ValueError(
            f"{name} cannot be written ({type(failure).__name__}). Nothing was done yet: give a file on a path that "
            "Airflow's object storage knows, and install its driver where tasks run"
        ) from None


def write(path: Any, lines: Iterable[str]) -> None:
    """Write a text, for its owner alone where the file is one of this machine's.

    :param path: where to
    :param lines: the text, each line with its end
    """
    target = _target(path)
    if _is_local(target):
        with os.fdopen(_opened(target, os.O_TRUNC), "w", encoding="utf-8") as file:
            file.writelines(lines)
    else:
        with target.open("w", encoding="utf-8") as file:
            file.writelines(lines)


def _try(target: Any) -> None:
    if target.is_dir():
        raise IsADirectoryError
    if _is_local(target):
        is_new = not target.exists()
        os.close(_opened(target, os.O_APPEND))
        if is_new:
            target.unlink()
        return
    # Beside it: not every store can open a file that is there without emptying it.
    trial = target.parent / f"{target.name}.trial"
    with trial.open("wb"):
        pass
    trial.unlink()


def _target(path: Any) -> Any:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(path)


def _is_local(target: Any) -> bool:
    return getattr(target, "protocol", "") in ("", "file", "local")


def _opened(target: Any, flag: int) -> int:
    """Open a file of this machine's; one that is there becomes its owner's alone, too."""
    place = Path(target.path)
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | flag, OWNERS_ALONE)
    os.fchmod(descriptor, OWNERS_ALONE)
    return descriptor
