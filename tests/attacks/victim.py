"""A command that is attacked from inside: at the n-th change of the file system below a folder.

An audit hook of Python sees every file that is opened for writing, renamed, linked or removed, and every
folder that is made, before it happens. At the chosen one the process is killed, or the call fails with an
error of the operating system.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {
    "os.rename": 1, "os.link": 1, "os.symlink": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0,
    "os.truncate": 0,
}  # fmt: skip
"""Audit events that change the file system, each with the place of the path among its arguments."""

ACTIONS = ("kill", "ENOSPC", "EIO")
NEW = -2  # as `Attack.at`


class Attack(NamedTuple):
    """What happens at which change.

    Attributes:
        action: `kill`, or the name of an error number; "" only records.
        at: Number of the change below the folder, from 0; `NEW`: the first change whose name, see
            `change_name`, is not in the file `attacked_file(folder)`, which receives it.
    """

    action: str
    at: int


def run_attacked(
    words: Sequence[str], folder: Path, attack: Attack | None, seen: Callable[[str], None] = lambda path: None
) -> int:
    """Run `usrn` in this process, which should end after it, and return its exit code.

    Args:
        words: Words of the command after `usrn`.
        folder: Changes below this folder count.
        attack: The attack; None for none.
        seen: Called with the path of each change.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # as in the foreground of a shell
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if attack is not None:
        _watch(folder, attack, seen)
    from usrn_cli.main import main

    try:
        main(list(words), prog_name="usrn")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(bool(done.code))
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _watch(folder: Path, attack: Attack, seen: Callable[[str], None]) -> None:
    below, count, busy = f"{os.fspath(folder)}{os.sep}", 0, False
    attacked, times = attacked_file(folder), Counter()
    known = set(attacked.read_text().splitlines()) if attack.at == NEW and attacked.exists() else set()

    def is_chosen(event: str, path: str) -> bool:
        if attack.at != NEW:
            return count == attack.at
        name = change_name(event, path)
        times[name] += 1
        if (numbered := f"{name} {times[name]}") in known:
            return False
        known.add(numbered)
        with open(attacked, "a") as file:
            print(numbered, file=file)
        return True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count, busy
        path = changed_path(event, arguments)
        if busy or path is None or not path.startswith(below):
            return
        busy = True  # `seen` may write a file of its own
        try:
            seen(path[len(below) :])
            chosen, count = is_chosen(event, path[len(below) :]), count + 1
            if chosen:
                _act(attack.action, path)
        finally:
            busy = False

    sys.addaudithook(hook)


def attacked_file(folder: Path) -> Path:
    """The file with the names of the changes of a folder that were attacked."""
    return folder.with_name(f"{folder.name}.attacked")


def change_name(event: str, path: str) -> str:
    """Name of a change that is the same in each run of a command.

    Args:
        event: Audit event.
        path: Path below the folder.

    Example:

    >>> change_name("open", "1-baseline/.best-xg_3m0qz.tmp.json")
    'open 1-baseline/.best-*.tmp.json'
    """
    path = re.sub(r"-[a-z0-9_]{8}\.tmp", "-*.tmp", path)
    path = re.sub(r"(tfevents)[^/]*", r"\1", path)
    return f"{event} {path}"


def changed_path(event: str, arguments: tuple[Any, ...]) -> str | None:
    """Path that an audit event changes; None if it changes none."""
    if event == "open":
        path, _, flags = arguments
        if not isinstance(path, str | bytes | os.PathLike) or not flags & WRITES:
            return None
    elif event in CHANGES:
        path = arguments[CHANGES[event]]
    else:
        return None
    return os.path.abspath(os.fsdecode(path))


def _act(action: str, path: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action:
        number = getattr(errno, action)
        raise OSError(number, os.strerror(number), path)


def main(arguments: Sequence[str]) -> int:
    """`python -m tests.attacks.victim FOLDER ACTION AT WORD...`: for backends that cannot be forked."""
    folder, action, at, *words = arguments
    attack = None if action == "none" else Attack(action.replace("record", ""), int(at))
    with contextlib.ExitStack() as files:
        seen: Callable[[str], None] = lambda path: None  # noqa: E731
        if action == "record":
            log = files.enter_context(open(f"{folder}.events", "w"))
            seen = lambda path: print(path, file=log, flush=True)  # noqa: E731
        return run_attacked(words, Path(folder), attack, seen)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # as the forked ones: what libraries do at exit is not attacked
