"""The command `usrn`: runs a subcommand, and reports errors with one message and an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import traceback

import click

from usrn_cli.docstrings import docstring, restore_help
from usrn_cli.suggestions import Group
from usrn_keras import errors
from usrn_keras.interrupts import check_interrupt, interrupt_exit_code, owned_signals, was_interrupted
from usrn_keras.memory_errors import ran_out_of_memory
from usrn_keras.printable import printable

VERBS = {
    "init": "Create a recipe from folders of images and masks.",
    "data": "Check a data set, or show its training views.",
    "split": "Draw a random split into labelled and unlabelled images.",
    "fit": "Train the Baseline and the method of a recipe.",
    "cluster": "Split the classes into subclasses, and show them.",
    "table": "Train and compare the rows of a table over seeds and splits.",
    "evaluate": "Evaluate trained runs and compare their scores.",
    "report": "Create a page with the scores, curves and pictures of a run.",
    "labels": "Draw annotations as masks; export predictions to correct.",
    "predict": "Segment images with a trained run.",
    "serve": "Segment photos in the browser, on this machine.",
    "suggest": "Choose the unlabelled images to label next.",
    "export": "Export a trained model for deployment.",
    "push": "Share a trained model with a model card.",
    "runs": "List, check and clean run folders.",
    "weights": "List, fetch and check weights of backbones.",
    "recipes": "List, show and copy the shipped recipes; list all keys.",
    "doctor": "Check backends, devices and speed of this machine.",
}
"""Commands with their short help, so that `usrn --help` imports none of their files."""

COMPLETION = {
    "bash": """eval "$(_USRN_COMPLETE=bash_source usrn)"  in ~/.bashrc""",
    "zsh": """eval "$(_USRN_COMPLETE=zsh_source usrn)"  in ~/.zshrc""",
    "fish": "_USRN_COMPLETE=fish_source usrn | source  in config.fish",
}
"""The line that enables completion in each shell, and its file."""

STOPPED = ((129, "SIGHUP"), (130, "Ctrl-C"), (143, "SIGTERM"))  # 128 + the number, as shells report it
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG, errno.EROFS, errno.EIO)


def exit_codes() -> list[tuple[int, str]]:
    """List every exit code with its meaning, taken from the error classes."""
    kinds = errors.USRNError.__subclasses__()
    return [
        (0, "Success."),
        (errors.USRNError.exit_code, "Internal error: a bug in usrn-keras."),
        (2, "Invalid command line."),
        *sorted((kind.exit_code, docstring(kind)) for kind in kinds),
        *((code, f"Interrupted ({name}).") for code, name in STOPPED),
    ]


class Verbs(Group):
    """Command group that imports a command when it is used, and reports its errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        return restore_help(importlib.import_module(f"usrn_cli.{name}").command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Shell completion"):
            formatter.write_dl(list(COMPLETION.items()))
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in exit_codes()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            with owned_signals(hard_exit=True):
                result = super().invoke(ctx)
                check_interrupt("interrupted; the command was complete")
                return result
        except KeyboardInterrupt as interrupt:
            click.echo(str(interrupt) or "interrupted", err=True)
            code = interrupt_exit_code()
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if _is_closed_pipe(error):
                raise
            error = _known(error)
            if was_interrupted() and not ctx.params["debug"]:  # some libraries convert what the signal raises
                click.echo(printable(f"interrupted, in {type(error).__name__}: {error}"), err=True)
            else:
                report(error, debug=ctx.params["debug"])
            code = error.exit_code if isinstance(error, errors.USRNError) else errors.USRNError.exit_code
            code = interrupt_exit_code() if was_interrupted() else code
        ctx.exit(code)


def report(error: Exception, *, debug: bool) -> None:
    """Print the error message to stderr, or the whole traceback if `debug` is set."""
    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
        return
    known = isinstance(error, errors.USRNError)
    text = str(error) if known else f"internal error: {type(error).__name__}: {error}"
    first, *rest = printable(text).splitlines() or [""]
    if not known:
        rest.append("Run `usrn --debug ...` for the traceback.")
    click.echo(click.style(f"error: {first}", fg="red") + "".join(f"\n{line}" for line in rest), err=True)


def _known(error: Exception) -> Exception:
    """Convert errors about memory, a full or broken disk or a long name to those of the package."""
    if ran_out_of_memory(error):
        first = str(error).strip().splitlines()[:1]
        known = errors.OutOfMemoryError(
            f"memory ran out: {': '.join([type(error).__name__, *first])[:300]}",
            hint="Close other programs, or use smaller images, crops, windows or batches. `usrn fit RECIPE "
            "--dry-run` estimates the memory of training.",
        )
        return known.with_traceback(error.__traceback__)
    if not isinstance(error, OSError) or error.errno not in UNWRITABLE:
        return error
    known = errors.StorageError(f"{error.filename or 'the output'} cannot be written: {error.strerror}")
    return known.with_traceback(error.__traceback__)


def _is_closed_pipe(error: Exception) -> bool:
    """Whether the reader of stdout is closed, as in `usrn recipes list | head -1`; click exits silently."""
    return isinstance(error, OSError) and error.errno == errno.EPIPE


if "_USRN_COMPLETE" in os.environ:  # set by the shell for one call
    importlib.import_module("usrn_cli.bash_completion")


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="usrn-keras", prog_name="usrn")
def main(debug: bool) -> None:
    """Semi-supervised semantic segmentation from few labelled images.

    \b
    Examples:
      usrn fit quickstart
      usrn evaluate runs/quickstart
      usrn table components my_recipe.toml --seeds 0,1,2
      usrn predict runs/quickstart photo.jpg --out predictions
      usrn export runs/quickstart --format onnx
      usrn recipes list

    The environment variable KERAS_BACKEND selects the backend: jax (the default, unless keras.json names
    torch), tensorflow or torch.
    """


restore_help(main)


if __name__ == "__main__":  # `python -m usrn_cli.main`, and torchrun
    main(prog_name="usrn")
