"""Functions that tests call in worker processes."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path


def double(common: dict, items: list[int]) -> bytes:
    return json.dumps([common["factor"] * item for item in items]).encode()


def die_once(common: dict, items: list[int]) -> bytes:
    """The first process that computes the item 5 is killed; every call leaves a line in a file."""
    mark = Path(common["folder"]) / "died"
    with open(Path(common["folder"]) / "calls", "a") as calls:
        calls.write(f"{items[0]}\n")
    if 5 in items and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return double(common, items)


def refuse(common: dict, items: list[int]) -> bytes:
    from usrn_keras.errors import DataError

    raise DataError("two images are damaged", errors=["a.png", "b.png"], hint="Replace them.")
