"""Starting several processes on this machine."""

from __future__ import annotations

import signal
import sys

import pytest

from usrn_keras.ranks import run_processes


def python(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, sys, time, signal; rank = int(os.environ['RANK']); {code}"]


def test_processes_know_each_other(tmp_path):
    code = (
        "names = ('WORLD_SIZE', 'LOCAL_RANK', 'MASTER_PORT', 'CUDA_VISIBLE_DEVICES'); "
        f"open(f'{tmp_path}/{{rank}}', 'w').write(' '.join(os.environ.get(name, '') for name in names))"
    )
    assert run_processes(python(code), 2, ("3", "GPU-7")) == 0
    first, second = ((tmp_path / str(rank)).read_text().split() for rank in (0, 1))
    assert (first[:2], second[:2]) == (["2", "0"], ["2", "0"])
    assert first[2] == second[2] and (first[3], second[3]) == ("3", "GPU-7")


def test_the_exit_code_is_that_of_the_first_process():
    assert run_processes(python("sys.exit(3 + rank)"), 2) == 3


def test_a_process_that_dies_ends_the_others(capfd, monkeypatch):
    monkeypatch.setattr("usrn_keras.ranks.launch.END_SECONDS", 0.2)
    code = "print('here', file=sys.stderr); time.sleep(60 * (1 - rank)); os.kill(os.getpid(), signal.SIGKILL)"
    assert run_processes(python(code), 2) == 128 + 9
    lines = capfd.readouterr().err.splitlines()
    assert lines[-1].startswith("process 1 of 2 was killed by SIGKILL; run the same command again")
    assert "here" in lines[:-1]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
@pytest.mark.parametrize(("handler", "code"), [(lambda *_: None, 128 + 1), (signal.SIG_IGN, 0)])
def test_a_closed_terminal_ends_all_unless_it_is_ignored(handler, code):
    before = signal.signal(signal.SIGHUP, handler)
    try:
        heard = "signal.signal(signal.SIGHUP, signal.SIG_DFL); time.sleep(1)"
        closed = "rank or os.kill(os.getppid(), signal.SIGHUP); time.sleep(2)"
        assert run_processes(python(f"{heard}; {closed}"), 2) == code
    finally:
        signal.signal(signal.SIGHUP, before)
