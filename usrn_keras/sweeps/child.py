"""One run of a family, in a process of its own: `python child.py`, the order as JSON in a line of stdin.

It tells its progress on stdout (see `relay`), and stops when stdin is closed: its parent is gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from types import FrameType

INTERRUPTED = 130
_asked_to_stop = threading.Event()


def main() -> int:
    """Do what stdin says; the exit code of what was raised, whose message is the last line of stderr."""
    signal.signal(signal.SIGINT, _stop)  # in a shell's background it would be ignored
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    from usrn_keras.errors import USRNError

    try:
        _fit(order)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if not isinstance(error, USRNError):
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", USRNError.exit_code)
    return 0


def _fit(order: dict) -> None:
    from usrn_keras.backends.settings import prepare_backend
    from usrn_keras.recipe import Recipe
    from usrn_keras.runs import BASELINE, open_run
    from usrn_keras.runs.reuse import stage_key
    from usrn_keras.stages import fit
    from usrn_keras.sweeps.relay import PipedProgress

    prepare_backend()
    progress = PipedProgress(stopping=_asked_to_stop.is_set)
    recipe = Recipe(**order["recipe"], name=order["name"])

    def baseline(recipe: Recipe) -> dict:
        return stage_key(recipe, BASELINE, data="", backend="")

    # The family has other seeds and splits, too; nobody need be told that their Baseline is another.
    donors = [path for path in order["reuse"] if baseline(open_run(path).recipe) == baseline(recipe)]
    fit(recipe, order["folder"], reuse=donors, progress=progress, log=progress.log)


def _stop(number: int, frame: FrameType | None) -> None:
    _asked_to_stop.set()  # some imports swallow what is raised here
    raise KeyboardInterrupt


def _stop_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
