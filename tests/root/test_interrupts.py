"""The owner of the signals: what it raises, defers, repeats and leaves alone."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from usrn_keras import interrupts
from usrn_keras.interrupts import (
    accept_interrupt,
    allowed_interrupts,
    check_interrupt,
    deferred_interrupts,
    interrupt_exit_code,
    interrupt_requested,
    owned_signals,
    was_interrupted,
)
from usrn_keras.progress import SILENT, PlainProgress


def send(number: int) -> None:
    os.kill(os.getpid(), number)


pytestmark = pytest.mark.usefixtures("foreground_signals")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_raises_and_has_its_exit_code(number, code):
    with pytest.raises(KeyboardInterrupt), owned_signals():
        send(number)
    assert interrupt_exit_code() == code and not interrupt_requested()


def test_a_signal_that_is_accepted_is_no_interruption():
    """A server runs until it is stopped: the command succeeds."""
    with owned_signals():
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        accept_interrupt()
        check_interrupt()
    assert not was_interrupted()


@pytest.mark.parametrize("progress", [SILENT, PlainProgress(io.StringIO())])
def test_a_swallowed_signal_is_raised_again_at_the_next_report(progress):
    passed = []
    with pytest.raises(KeyboardInterrupt), owned_signals(), progress.task("images", total=3) as task:
        for _ in range(3):
            with contextlib.suppress(BaseException):  # a library
                if not passed:
                    send(signal.SIGINT)
            passed.append(1)
            task.advance()
    assert len(passed) == 1


def test_a_signal_in_a_destructor_is_not_printed_and_not_lost(capfd):
    class Dies:
        def __del__(self):
            send(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt), owned_signals():
        Dies()
        assert interrupt_requested()
        check_interrupt()
    assert capfd.readouterr().err == ""


def test_a_deferred_signal_waits_and_a_part_may_allow_it():
    with owned_signals(), deferred_interrupts():
        send(signal.SIGHUP)
        check_interrupt()  # deferred
        assert interrupt_requested()
        with pytest.raises(KeyboardInterrupt), allowed_interrupts():
            pytest.fail("not reached")
        send(signal.SIGTERM)  # of another kind: the same request
        check_interrupt()
    assert interrupt_exit_code() == 129


def test_the_same_signal_later_stops_at_once(monkeypatch):
    monkeypatch.setattr(interrupts, "SAME_REQUEST_SECONDS", 0.02)
    with pytest.raises(KeyboardInterrupt), owned_signals(), deferred_interrupts():
        send(signal.SIGINT)
        send(signal.SIGINT)  # within the time: one request, as `timeout` sends it
        time.sleep(0.05)
        send(signal.SIGINT)
        pytest.fail("not reached")


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with owned_signals():
        send(signal.SIGHUP)
        assert not interrupt_requested()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    with pytest.raises(KeyboardInterrupt), owned_signals(always=(signal.SIGHUP,)):
        send(signal.SIGHUP)


def test_there_is_one_owner_and_it_restores_the_handlers():
    with pytest.raises(KeyboardInterrupt), owned_signals():
        with contextlib.suppress(KeyboardInterrupt), owned_signals():
            send(signal.SIGINT)
        check_interrupt()  # the inner block owned nothing, and forgot nothing
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_own_nothing():
    def work():
        with owned_signals():
            found.append(signal.getsignal(signal.SIGTERM))

    found: list = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]


STUBBORN = """
import contextlib, time
from usrn_keras import interrupts
interrupts.GRACE_SECONDS = 0.1
with interrupts.owned_signals(hard_exit=True):
    while True:
        with contextlib.suppress(BaseException):
            print("works", flush=True)
            time.sleep(60)
"""


def test_a_second_signal_ends_a_process_that_swallows_everything():
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "works\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "works\n"
        time.sleep(interrupts.SAME_REQUEST_SECONDS + 0.1)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
