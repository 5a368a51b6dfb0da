"""Generated parts of the documentation: recipe keys, commands, and tables from benchmarks/results/.

mkdocs calls `on_files` (`hooks` in mkdocs.yml) for the pages of keys and commands, which are not files. The
tables of results stand in docs/results.md, so that they can be read in the repository too. Write them again
after benchmarks/results/ has changed; a test compares them:

    python docs/generate.py
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import click

from usrn_cli.main import main
from usrn_keras.recipe.key_list import RecipeKey, recipe_keys

HELP_WIDTH = 100  # columns of the help texts
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
RESULTS_PAGE = Path(__file__).parent / "results.md"
TABLE = re.compile(r"(<!-- table: (\S+) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages to the files of the site."""
    from mkdocs.structure.files import File

    for name, page in (("recipe_keys.md", recipe_keys_page()), ("commands.md", commands_page())):
        files.append(File.generated(config, name, content=page))
    return files


def with_tables(markdown: str) -> str:
    """Fill each `<!-- table: NAME --> ... <!-- end of table -->`, a file of results or a key of `TABLES`."""

    def filled(mark: re.Match[str]) -> str:
        table = TABLES[mark[2]]() if mark[2] in TABLES else (RESULTS / mark[2]).read_text(encoding="utf-8")
        return f"{mark[1]}{table.strip()}\n{mark[4]}"

    return TABLE.sub(filled, markdown)


def recipe_keys_page() -> str:
    """Return the page of recipe keys: a table for each section, from the schema."""
    lines = [
        "# Recipe keys",
        "",
        "Every key of a recipe, as `usrn recipes keys` prints it. Set a key in the file, or with "
        "`--set SECTION.KEY=VALUE`.",
    ]
    for section in recipe_keys():
        lines += ["", f"## `[{section.name}]`", "", section.description]
        if section.method:
            lines += ["", f'Options of a method: read with `training.method = "{section.method}"`.']
        lines += ["", "| key | type | default | description |", "| :-- | :-- | :-- | :-- |"]
        lines += [_key_row(section.name, key) for key in section.keys]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Return the page of commands: the help of `usrn` and of each of its commands, from click."""
    lines = ["# Commands", "", "What `usrn --help` and `usrn COMMAND --help` print."]
    for depth, context in commands():
        lines += ["", f"{'#' * (depth + 2)} `{context.command_path}`", ""]
        lines += ["```text", context.command.get_help(context), "```"]
    return "\n".join(lines) + "\n"


def commands() -> Iterator[tuple[int, click.Context]]:
    """Yield `usrn` and its commands, each after its group, with their depth: 0, 1 or 2."""
    settings = main.context_settings | {"terminal_width": HELP_WIDTH, "max_content_width": HELP_WIDTH}
    return _commands_below(click.Context(main, info_name="usrn", **settings), 0)


def _commands_below(context: click.Context, depth: int) -> Iterator[tuple[int, click.Context]]:
    yield depth, context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            yield from _commands_below(click.Context(command, context, info_name=name), depth + 1)


def _key_row(section: str, key: RecipeKey) -> str:
    kind = ", ".join(filter(None, (key.type, key.range)))
    default = "required" if key.required else f"`{json.dumps(key.default)}`"
    allowed = (
        f" One of {', '.join(f'`{json.dumps(value)}`' for value in key.choices)}." if key.choices else ""
    )
    description = f"{key.description}{allowed}".replace("|", "\\|")
    return f"| `{section}.{key.name}` | {kind} | {default} | {description} |"


def class_table() -> str:
    """Return the IoU of each class on CamVid's test images, split 1/16: mean ± deviation over seeds."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in _rows("camvid_small_main.csv"):
        if row["split"] == "1_16" and row["figure"].startswith("iou "):
            values[row["figure"].removeprefix("iou "), row["row"]].append(float(row["value"]))
    return _table(values, "class", ("Baseline", "Prototype ensemble", "Oracle"))


def drive_table() -> str:
    """Return mIoU and rare mIoU on CamVid's test images by drive, after 2,400 steps."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in _rows("camvid_drives.csv"):
        if row["images_of"] == "test" and row["usrn_steps"] in ("", "2400"):
            name = {"baseline": "Baseline", "prototype_ensemble": "Prototype ensemble"}[row["model"]]
            for figure, title in (("miou", "mIoU"), ("rare_miou", "rare mIoU")):
                values[row["drive"], f"{name}, {title}"].append(float(row[figure]))
    return _table(values, "drive", tuple(dict.fromkeys(column for _, column in values)))


def backend_table() -> str:
    """Return mIoU and rare mIoU of the quickstart on each backend."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    files = {"JAX": "", "PyTorch": "_torch", "TensorFlow": "_tensorflow"}
    for backend, ending in files.items():
        for row in _rows(f"quickstart{ending}.csv"):
            title = {"miou": "mIoU", "rare_miou": "rare mIoU"}.get(row["figure"])
            if title and row["row"] in ("Baseline", "Self-training", "USRN", "Prototype ensemble"):
                values[row["row"], f"{backend}, {title}"].append(float(row["value"]))
    return _table(values, "quickstart", tuple(dict.fromkeys(column for _, column in values)))


TABLES = {
    "camvid_by_class": class_table,
    "camvid_by_drive": drive_table,
    "quickstart_by_backend": backend_table,
}
"""Functions of the tables by the name in their mark."""


def _rows(name: str) -> list[dict[str, str]]:
    with open(RESULTS / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _table(values: Mapping[tuple[str, str], Sequence[float]], title: str, columns: Sequence[str]) -> str:
    """Return a table of mean ± standard deviation in percent, from shares by row and column."""
    lines = [f"| {title} | {' | '.join(columns)} |", f"| :-- |{' --: |' * len(columns)}"]
    for name in dict.fromkeys(row for row, _ in values):
        cells = [values[name, column] for column in columns]
        shown = [f"{100 * mean(cell):.1f} ± {100 * stdev(cell):.1f}" for cell in cells]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    RESULTS_PAGE.write_text(with_tables(RESULTS_PAGE.read_text(encoding="utf-8")), encoding="utf-8")
