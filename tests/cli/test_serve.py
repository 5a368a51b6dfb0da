"""`usrn serve` as a command: its address, its end, and a port in use."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request

import pytest
from click.testing import CliRunner

from tests.serving.photos import brightest_model, photo
from usrn_cli import serve
from usrn_cli.main import main


def test_a_port_in_use_is_exit_code_14_before_anything_is_loaded():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(main, ["serve", "no-run", "--port", port])
    assert result.exit_code == 14 and not result.stdout
    assert f"port {port} of 127.0.0.1 is in use by another program" in result.stderr
    assert "--port 0" in result.stderr


@pytest.mark.parametrize(
    "option", [("--port", "65536"), ("--max-megapixels", "0"), ("--max-megabytes", "-1")]
)
def test_values_out_of_range(option):
    assert CliRunner().invoke(main, ["serve", "run", option]).exit_code == 2


@pytest.mark.parametrize("found", [True, False])
def test_the_browser_opens_the_page(monkeypatch, found):
    opened, lines = [], []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or found)
    monkeypatch.setattr("threading.Thread.start", lambda self: self.run())
    serve._open("http://127.0.0.1:1/", lines.append)
    assert opened == ["http://127.0.0.1:1/"]
    assert lines == [] if found else "open http://127.0.0.1:1/ yourself" in lines[0]


@pytest.mark.usefixtures("foreground_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_the_end_and_a_success(monkeypatch, number):
    """The browser that is opened segments a photo, and then the user stops the server."""
    answers = []

    def browse(url):
        request = urllib.request.Request(f"{url}segment?name=wood.png", photo()[1], method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            answers.append(answer.headers.get_content_type())
        os.kill(os.getpid(), number)
        return True

    monkeypatch.setattr("webbrowser.open", browse)
    monkeypatch.setattr(
        "usrn_keras.serving.photo_model.load_photo_model", lambda run, *, mode: brightest_model()
    )
    result = CliRunner().invoke(main, ["serve", "runs/wood", "--port", "0", "--open", "--json"])
    facts = json.loads(result.stdout)
    assert result.exit_code == 0 and answers == ["multipart/form-data"]
    assert (facts["run"], facts["classes"]) == ("runs/wood", ["red", "green", "blue", "grey"])
    assert facts["url"].startswith("http://127.0.0.1:")
    first, second = result.stderr.splitlines()
    assert first == "Ctrl-C ends the server." and second.startswith("wood.png: 9 x 6 pixels, ")
