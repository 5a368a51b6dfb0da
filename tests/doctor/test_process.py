from __future__ import annotations

import time

import pytest

from usrn_keras.doctor.process import start


@pytest.fixture
def script(tmp_path):
    def make(text: str):
        path = tmp_path / "script.py"
        path.write_text(text)
        return path

    return make


def test_arguments_environment_and_report(script):
    text = "import json, os, sys; print('note', file=sys.stderr);"
    text += "print(json.dumps([sys.argv[1], os.environ['A']]))"
    with start(script(text), "x", environment={"A": "b"}) as child:
        ended = child.finish()
    assert (ended.report, ended.failure, ended.lines) == (["x", "b"], "", ("note",))


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("raise ImportError('libx.so: cannot open\\n')", "ImportError: libx.so: cannot open"),
        ("import os; os._exit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "killed by SIGILL: exit code -4"),
        ("pass", "it ended without a report"),
    ],
)
def test_why_it_failed(script, text, failure):
    with start(script(text)) as child:
        ended = child.finish()
    assert (ended.report, ended.failure) == (None, failure)


def test_it_goes_on_when_it_is_told_to(script):
    with start(script("import sys; sys.stdin.readline(); print('\"went on\"')")) as child:
        time.sleep(0.2)
        assert child.process.poll() is None
        assert child.finish().report == "went on"


def test_what_hangs_is_killed(script):
    with start(script("import time; time.sleep(60)")) as child:
        child.started -= 100
        assert child.finish(seconds=5).failure == "it has not ended after 5 seconds"
    assert child.process.returncode == -9


def test_a_great_deal_on_standard_error_does_not_block(script):
    with start(script("import sys; sys.stderr.write('x\\n' * 10**6); print(1)")) as child:
        assert child.finish(30).report == 1


def test_the_working_directory_is_not_searched(script, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise ImportError('not this one')")
    monkeypatch.chdir(tmp_path)
    with start(script("import json; print(json.dumps(1))")) as child:
        assert child.finish().report == 1
