"""Functions in processes of their own: results, errors, crashes, interrupts; what they must not import."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from usrn_keras.errors import DataError, StorageError
from usrn_keras.worker import Worker, WorkerError

FUNCTIONS = """
import json, os, signal, sys, time
from usrn_keras.errors import DataError

def double(order, send):
    print("a library prints")
    os.system("echo a program prints")
    send({"log": "doubling"})
    send({"step": 1})
    return {"value": 2 * order["value"], "backend": os.environ["KERAS_BACKEND"], "json": json.__file__}

def refuse(order, send):
    raise DataError("two files are empty", errors=["a.png", "b.png"], hint="Delete them.")

def crash(order, send):
    print("first line", file=sys.stderr)
    raise ImportError("no module x\\nand more of it")

def leave(order, send):
    print("last words", file=sys.stderr)
    os._exit(3)

def die(order, send):
    os.kill(os.getpid(), signal.SIGKILL)

def work(order, send):
    for step in range(10000):
        send({"step": step})
        time.sleep(0.01)

def swallow(order, send):
    send({"step": 0})
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        pass
    send({"step": 1})

def finish_the_step(order, send):
    asked = []
    signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    send({"step": 0})
    while not asked:
        time.sleep(0.01)
    send({"asked": True})
    return {"checkpoint": "written"}

def count_signals(order, send):
    count = 0
    def on_signal(number, frame):
        nonlocal count
        count += 1
    signal.signal(signal.SIGINT, on_signal)
    for wanted in (1, 2):
        send({"signals": count})
        while count < wanted:
            time.sleep(0.01)
    return {"signals": count}

def hang_at_exit(order, send):
    import atexit
    atexit.register(time.sleep, 60)
    return {}
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    """Starts a worker with a function of FUNCTIONS."""
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    return lambda name, *arguments, **options: Worker(f"functions:{name}", *arguments, **options)


def test_result_and_messages_are_not_disturbed_by_prints(functions):
    messages = []
    with functions("double", {"value": 21}, {"KERAS_BACKEND": "none"}, messages.append) as worker:
        result = worker.result()
    assert (result["value"], result["backend"]) == (42, "none")
    assert messages == [{"log": "doubling"}, {"step": 1}]


def test_working_directory_is_not_imported(functions, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here/json.py").write_text("raise SystemExit('imported from the working directory')")
    monkeypatch.chdir(tmp_path / "here")
    with functions("double", {"value": 1}, {"KERAS_BACKEND": "none"}) as worker:
        assert os.path.dirname(worker.result()["json"]) == os.path.dirname(json.__file__)


def test_package_is_imported_where_it_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Worker("importlib:import_module", {}) as worker, pytest.raises(WorkerError, match="AttributeError"):
        worker.result()  # the function was called, with arguments that are none of its own


def test_error_of_the_package_is_raised_as_it_was(functions):
    with functions("refuse", {}) as worker, pytest.raises(DataError, match="two files are empty") as caught:
        worker.result()
    assert (caught.value.errors, caught.value.hint) == (("a.png", "b.png"), "Delete them.")
    assert caught.value.exit_code == 4


def test_unexpected_error_names_its_first_line_and_shows_standard_error(functions):
    with functions("crash", {}) as worker, pytest.raises(WorkerError) as caught:
        worker.result()
    assert (caught.value.reason, caught.value.code) == ("ImportError: no module x", 1)
    assert caught.value.lines[0] == "first line"
    assert str(caught.value).startswith("the worker process of functions:crash ended without a result")
    assert str(caught.value).endswith("and more of it")


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [("leave", 3, "exit code 3: last words"), ("die", -signal.SIGKILL, "killed by SIGKILL")],
)
def test_process_that_ends_without_a_word(functions, name, code, reason):
    with functions(name, {}) as worker, pytest.raises(WorkerError) as caught:
        worker.result()
    assert (caught.value.code, caught.value.reason) == (code, reason)


def test_standard_error_is_appended_to_the_log(functions, tmp_path):
    log = tmp_path / "run.log"
    log.write_text("of an earlier run\n")
    with functions("leave", {}, log=log) as worker, pytest.raises(WorkerError) as caught:
        worker.result()
    assert log.read_text() == "of an earlier run\nlast words\n"
    assert caught.value.lines == ("last words",)


def test_log_that_cannot_be_written(functions, tmp_path):
    with pytest.raises(StorageError):
        functions("leave", {}, log=tmp_path)


def test_interrupt_before_the_child_has_started_is_not_lost(functions):
    with functions("work", {}) as worker, pytest.raises(KeyboardInterrupt):
        worker.interrupt()
        worker.result(timeout=60)


@pytest.mark.parametrize("name", ["work", "swallow"])
def test_interrupt_between_two_steps(functions, name):
    def on_message(message):
        if message == {"step": 0}:
            worker.interrupt()

    with functions(name, {}, on_message=on_message) as worker, pytest.raises(KeyboardInterrupt):
        worker.result(timeout=60)


def test_second_interrupt_reaches_a_function_that_goes_on(functions):
    """As the second Ctrl-C in training, which does not wait for the end of a step."""
    messages = []

    def on_message(message):
        messages.append(message)
        worker.interrupt()

    with functions("count_signals", {}, on_message=on_message) as worker:
        assert worker.result(timeout=60) == {"signals": 2}
    assert len(messages) == 2


def test_function_that_handles_the_signal_ends_by_itself(functions):
    messages = []

    def on_message(message):
        messages.append(message)
        if "step" in message:
            worker.interrupt()

    with functions("finish_the_step", {}, on_message=on_message) as worker:
        assert worker.result(timeout=60) == {"checkpoint": "written"}
    assert messages == [{"step": 0}, {"asked": True}]


def test_timeout_leaves_the_child_alive_and_the_block_kills_it(functions):
    with functions("work", {}) as worker:
        with pytest.raises(TimeoutError, match="functions:work has not ended"):
            worker.result(timeout=0.1)
        with pytest.raises(TimeoutError):
            worker.result(timeout=0)
        assert worker._process.poll() is None
    assert worker._process.returncode == -signal.SIGKILL


def test_result_counts_although_the_child_hangs_at_exit(functions, monkeypatch):
    monkeypatch.setattr("usrn_keras.worker.END_SECONDS", 0.1)
    with functions("hang_at_exit", {}) as worker:
        assert worker.result(timeout=60) == {}


def test_child_ends_when_its_parent_is_killed(functions, tmp_path):
    code = (
        "from usrn_keras.worker import Worker; worker = Worker('functions:work', {}, on_message=lambda m: "
        "print(worker._process.pid, flush=True)); worker.result()"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 30
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(process: int) -> bool:
    """Whether a process runs; one that has ended and waits for its adoptive parent (a zombie) does not."""
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
