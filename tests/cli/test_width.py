"""Help and lists are whole at 80 columns, through a pipe and in a terminal."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from usrn_cli.main import main
from usrn_keras.recipe import shipped_recipes

PROGRAM = "from usrn_cli.main import main; main()"


def commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*words, name))


def in_a_terminal(columns: int, *words: str) -> list[str]:
    """Lines that a command prints in a terminal of this width."""
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *words], stdout=theirs, env=environment):
        os.close(theirs)
        shown = b""
        while part := _read(ours):
            shown += part
    os.close(ours)
    return shown.decode().splitlines()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # what Linux raises at the end of a terminal
        return b""


@pytest.mark.parametrize("words", [*commands(main)], ids=" ".join)
def test_help_is_whole_through_a_pipe(words):
    result = CliRunner().invoke(main, [*words, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert [line for line in result.stdout.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("words", [(), ("table",)])
def test_help_is_whole_in_a_terminal(words):
    shown = in_a_terminal(80, *words, "--help")
    assert "Options:" in shown and max(map(len, shown)) <= 80


def test_recipes_are_one_line_each_at_80_columns():
    piped = CliRunner().invoke(main, ["recipes", "list"], env={"COLUMNS": "80"}).stdout.splitlines()
    assert [line.split()[0] for line in piped] == list(shipped_recipes())
    assert max(map(len, piped)) <= 80
    assert in_a_terminal(80, "recipes", "list") == piped


def test_recipes_are_wrapped_beside_their_names_in_a_narrow_terminal():
    piped = CliRunner().invoke(main, ["recipes", "list"]).stdout.splitlines()
    shown = in_a_terminal(50, "recipes", "list")
    assert max(map(len, shown)) <= 50 and len(shown) > len(piped)
    title = min(line.index(line.split()[1]) for line in piped)
    assert {line[:title].strip() for line in shown} == {"", *shipped_recipes()}
    assert " ".join(" ".join(shown).split()) == " ".join(" ".join(piped).split())
