"""The pages of the documentation: their commands, and how to run them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import numpy as np
from click.testing import CliRunner, Result
from PIL import Image

from tests.tools import ROOT
from usrn_cli.main import main

FILES = {path.name: path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]}
FILES |= {f"methods/{path.name}": path for path in ROOT.glob("docs/methods/*.md")}
PAGES = {name: path.read_text(encoding="utf-8") for name, path in FILES.items()}
CURRENT = sorted(PAGES.keys() - {"CHANGELOG.md"})  # the changelog names keys and files that are gone
PYTHON_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)

# Short training of a tiny network; recipes without a second branch ignore what they do not know.
TINY = {
    "network.backbone": "keras/mobilenet",
    "network.weights": "none",
    "network.width": 0.25,
    "network.backbone_end": "conv_pw_7_relu",
    "network.aspp_rates": [2],
    "network.aspp_channels": 8,
    "network.low_level_channels": 4,
    "network.decoder_channels": 8,
    "views.crop_size": 32,
    "views.long_side": 48,
    "training.baseline_steps": 2,
    "training.usrn_steps": 2,
    "training.batch_labelled": 2,
    "training.batch_unlabelled": 2,
    "data.workers": 0,
}


def block_commands(text: str) -> list[list[str]]:
    """Arguments of every `usrn` command line in the code blocks of a page, without shell syntax around it."""
    text = re.sub(r"\\\n\s*", " ", text)  # a command that continues on the next line
    lines = re.findall(r"^(?:    )?(?:\$ |!)?(?:\w+=\S+ )*(?:.* && )?(usrn .+)$", text, re.MULTILINE)
    return [arguments(line) for line in lines]


def inline_commands(text: str) -> list[list[str]]:
    """Arguments of every `usrn ...` between backticks."""
    found = re.findall(r"`(?:\w+=\S+ )*(usrn [^`]+)`", text.replace("\n", " "))
    return [arguments(command) for command in found]


def arguments(line: str) -> list[str]:
    words = shlex.split(line, comments=True)[1:]
    ends = [index for index, word in enumerate(words) if word in ("|", ">", "&&", ";", "...")]
    return words[: ends[0]] if ends else words


def find_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The click command that the words name, and the rest of the words.

    Raises:
        AssertionError: There is no such command.
    """
    command, context = main, click.Context(main)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"`usrn` has no command {words[0]!r}"
        command, words = found, words[1:]
    return command, words


def run(words: list[str]) -> Result:
    """Run `usrn` with these words; `fit` trains a tiny network for two steps, whatever the words say."""
    if words[0] == "fit":
        words = [*words, *(word for key, value in TINY.items() for word in ("--set", f"{key}={value}"))]
    return CliRunner().invoke(main, words, catch_exceptions=False)


def make_project(classes: int = 3, photos: int = 10, masks: int = 6) -> None:
    """Write `photos/`, `masks/` and `names.txt` to the working directory."""
    rng = np.random.default_rng(0)
    Path("photos").mkdir()
    Path("masks").mkdir()
    for index in range(photos):
        mask = np.zeros((48, 64), np.uint8)
        for value in range(1, classes):
            mask[16 * value - 12 : 16 * value, 4 * index : 4 * index + 14] = value
        photo = (mask[..., None] * 60 + rng.integers(0, 60, (48, 64, 3))).astype(np.uint8)
        Image.fromarray(photo).save(f"photos/{index:02}.jpg")
        if index < masks:
            Image.fromarray(mask).save(f"masks/{index:02}.png")
    Path("names.txt").write_text("".join(f"class {value}\n" for value in range(classes)))
