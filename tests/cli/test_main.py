from __future__ import annotations

import errno
import os
import subprocess
import sys
import time

import click
import pytest
from click.testing import CliRunner

from usrn_cli.main import VERBS, main
from usrn_keras import errors

HELP = "from usrn_cli.main import main; main(['--help'])"
HEAVY = {"keras", "numpy", "tensorflow", "jax", "torch", "cv2", "sklearn", "rich", "pydantic"}


def usrn(*args: str):
    return CliRunner().invoke(main, args)


@pytest.fixture
def failing(monkeypatch):
    """Makes `usrn recipes list` raise what it is given."""

    def make(error: BaseException) -> None:
        def fail():
            raise error

        monkeypatch.setattr("usrn_keras.recipe.shipped_recipes", fail)

    return make


def test_help_names_every_verb_and_every_exit_code():
    text = usrn("--help").stdout
    kinds = errors.USRNError.__subclasses__()
    for word in [*VERBS, *(str(kind.exit_code) for kind in kinds), "129", "130", "143"]:
        assert f"  {word} " in text, word


def test_exit_codes_differ():
    codes = [kind.exit_code for kind in errors.USRNError.__subclasses__()]
    assert len(set(codes)) == len(codes)
    assert not {0, 1, 2, 129, 130, 143} & set(codes)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_starts_from_examples(verb):
    result = usrn(verb, "--help")
    assert result.exit_code == 0
    assert result.stdout.index("Examples:") < result.stdout.index("Options:")
    assert f"usrn {verb} " in result.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_the_line_in_the_main_help_is_the_verbs_own_file(verb):
    command = main.get_command(click.Context(main), verb)
    assert command.name == verb


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from usrn_cli.main import main;"
        "main(['--help'], standalone_mode=False); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stderr.split())


def test_help_takes_less_than_half_a_second():
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", HELP], capture_output=True, check=True)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.5


def test_unknown_verb_is_a_usage_error():
    result = usrn("fitt")
    assert result.exit_code == 2
    assert "No such command 'fitt'. Did you mean 'fit'?" in result.stderr


def test_no_arguments_at_all_show_the_help():
    assert usrn().exit_code == 2


@pytest.mark.parametrize("kind", errors.USRNError.__subclasses__())
def test_a_known_error_is_a_message_and_its_exit_code(failing, kind):
    failing(kind("it is wrong", errors=["one", "two"], hint="Fix it."))
    result = usrn("recipes", "list")
    assert result.exit_code == kind.exit_code
    assert result.stderr == "error: it is wrong\n  - one\n  - two\nFix it.\n"
    assert result.stdout == ""


def test_an_internal_error_is_one_line_and_the_way_to_the_traceback(failing):
    failing(ZeroDivisionError("by zero"))
    result = usrn("recipes", "list")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: internal error: ZeroDivisionError: by zero",
        "Run `usrn --debug ...` for the traceback.",
    ]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the output cannot be written: No space left"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "xxx"), "xxx cannot be written: File name too"),
    ],
)
def test_a_full_disk_and_a_name_too_long_are_no_internal_errors(failing, error, line):
    failing(error)
    result = usrn("recipes", "list")
    assert result.exit_code == errors.StorageError.exit_code
    assert result.stderr.startswith(f"error: {line}")


def test_debug_shows_the_traceback_and_keeps_the_exit_code(failing):
    failing(errors.DataError("it is wrong"))
    result = usrn("--debug", "recipes", "list")
    assert result.exit_code == errors.DataError.exit_code
    assert "Traceback (most recent call last)" in result.stderr
    assert "it is wrong" in result.stderr


@pytest.mark.parametrize(
    ("text", "shown"), [("", "interrupted\n"), ("saved; go on with x", "saved; go on with x\n")]
)
def test_an_interrupt_is_130(failing, text, shown):
    failing(KeyboardInterrupt(text))
    result = usrn("recipes", "list")
    assert result.exit_code == 130
    assert result.stderr == shown


def test_a_closed_pipe_is_no_error_message(failing):
    failing(BrokenPipeError(errno.EPIPE, "broken pipe"))
    assert "error" not in usrn("recipes", "list").stderr


def test_no_control_codes_off_a_terminal():
    environment = {**os.environ, "TERM": "xterm-256color"}
    command = [sys.executable, "-c", "from usrn_cli.main import main; main()", "fit", "no_such_recipe"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == errors.RecipeError.exit_code
    assert done.stderr.startswith("error: no recipe")
    assert "\x1b" not in done.stderr + done.stdout


def test_version():
    assert usrn("--version").stdout.startswith("usrn, version ")


@pytest.mark.parametrize(
    "error",
    [MemoryError("Unable to allocate 10 GiB"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_out_of_memory_is_11_in_every_command(failing, error):
    failing(error)
    result = usrn("recipes", "list")
    assert result.exit_code == 11 and result.stderr.startswith("error: memory ran out: ")


def test_an_error_shows_control_characters_as_escapes(failing):
    failing(errors.DataError("class 'a\x1b[2Jb'", errors=["name\x07"]))
    result = usrn("recipes", "list")
    assert "a\\x1b[2Jb" in result.stderr and "\x1b" not in result.stderr and "\x07" not in result.stderr


@pytest.mark.parametrize(("words", "text"), [([], "11   Memory ran out."), (["runs", "check"], "SHA-256")])
def test_help_without_docstrings(words, text):
    """`python -OO` leaves docstrings out."""
    code = "import sys; sys.argv[0] = 'usrn'; from usrn_cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-OO", "-c", code, *words, "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and text in done.stdout and "Examples:" in done.stdout
