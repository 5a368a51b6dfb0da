"""Table files: rows that set recipe keys, the figures shown, and the figures of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
from pydantic import Field

from usrn_keras.errors import RecipeError
from usrn_keras.recipe.shipped import TABLES
from usrn_keras.recipe.toml_file import read_toml


class Figure(NamedTuple):
    """How a figure of a run is shown.

    Attributes:
        title: Heading of its column.
        scale: Factor from the stored value to the one shown; 100 for shares shown in percent.
        decimals: Number of decimals shown.
        compared: Whether its difference to the reference row is shown.
    """

    title: str
    scale: float = 100.0
    decimals: int = 1
    compared: bool = False


# A new figure needs a line here and its value in `usrn_keras.sweeps.result`.
FIGURES = {
    "miou": Figure("mIoU", compared=True),
    "rare_miou": Figure("rare mIoU", compared=True),
    "boundary_miou": Figure("boundary mIoU", compared=True),
    "class_balance_rate": Figure("balance %"),
    "subclasses": Figure("subclasses", scale=1.0, decimals=0),
    "peak_memory": Figure("memory GB", scale=1e-9),
    "step_flops": Figure("GFLOP/step", scale=1e-9, decimals=0),
    "seconds": Figure("minutes", scale=1 / 60),
    "kept_share": Figure("kept %"),
}
IOU = "iou "  # and the name of a class
KEPT = "kept "  # and the name of a class
EVERY_CLASS = "*"  # in the place of the name: a column for each class


def find_figure(name: str) -> Figure:
    """How a figure is shown.

    Args:
        name: A key of `FIGURES`, `iou CLASS` for the IoU of one class, or `kept CLASS` for the share of its
            unlabelled pixels, by pseudo label, that F learns from.

    Raises:
        ValueError: There is no such figure.

    Example:

    >>> find_figure("iou pole").title
    'pole IoU'
    """
    if name.startswith(IOU):
        return Figure(f"{name.removeprefix(IOU)} IoU", compared=True)
    if name.startswith(KEPT):
        return Figure(f"{name.removeprefix(KEPT)} kept %")
    if name not in FIGURES:
        raise ValueError(f"unknown figure {name!r}; allowed: {', '.join(FIGURES)}, {IOU}CLASS, {KEPT}CLASS")
    return FIGURES[name]


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


class Row(_Part):
    """A row of a table.

    Attributes:
        name: Its heading; `{method}` in it stands for the title of the recipe's method.
        set: Keys of the recipe, `"section.key" = value`; they override what the user sets for all rows. The
            figures of the row are those of the last model that such a run trains.
        marks: The columns of the table's `marks` that are ticked.
        once: Whether the row is the same for every split, as the Oracle is: it is trained for the first only.
        all_steps: Whether its first stage trains for as many steps as all stages of the recipe together.
        optional: Whether the row is left out, with a note, where the data set cannot be used for it.
    """

    name: str
    set: dict[str, Any] = {}
    marks: list[str] = []
    once: bool = False
    all_steps: bool = False
    optional: bool = False


Seed = Annotated[int, Field(ge=0)]


class TableSpec(_Part):
    """A table file.

    Attributes:
        name: Name of the file without its suffix.
        title: Heading.
        about: What the table asks, and how to read it.
        marks: Columns of ticks between the name of a row and its figures.
        recipe: The recipe that is trained if the command names none; empty: it must name one.
        seeds: Seeds to average over if the command names none.
        splits: `recipe`: the split of the recipe; `shipped`: all that the package has for its data set.
        reference: The row that the others are compared with.
        figures: Figures shown for each row: keys of `FIGURES`, `iou CLASS` or `kept CLASS`; `iou *` and
            `kept *` are a column for each class.
        rows: The rows.
        paper: mIoU in percent that the paper reports, by data set, split and row.
        paper_iou: IoU of each class in percent that the paper reports, by data set, split, row and class.
    """

    name: str = Field("", exclude=True)
    title: str
    about: str
    marks: list[str] = []
    recipe: str = ""
    seeds: list[Seed] = Field([0], min_length=1)
    splits: Literal["recipe", "shipped"] = "recipe"
    reference: str
    figures: list[str] = ["miou", "rare_miou"]
    rows: list[Row] = Field(min_length=1)
    paper: dict[str, dict[str, dict[str, float]]] = {}
    paper_iou: dict[str, dict[str, dict[str, dict[str, float]]]] = {}

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> TableSpec:
        names = [row.name for row in self.rows]
        if len(set(names)) < len(names):
            raise ValueError(f"each row needs a name of its own, received {', '.join(names)}")
        if self.reference not in names:
            raise ValueError(f"reference must name a row ({', '.join(names)}), received {self.reference!r}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be distinct, received {self.seeds}")
        for row in self.rows:
            if unknown := [mark for mark in row.marks if mark not in self.marks]:
                raise ValueError(f"row {row.name!r}: marks {unknown} are not among {self.marks}")
        for figure in self.figures:
            find_figure(figure)
        return self


def shipped_tables() -> dict[str, Path]:
    """Names and files of the tables in the package, such as `components`."""
    return TABLES.by_name()


def load_table(source: str) -> TableSpec:
    """Read a table.

    Args:
        source: Path of a TOML file, or name or path of a shipped table. A local file takes precedence.

    Raises:
        RecipeError: The file is missing, is no TOML, or is not such a table; every error is reported.

    Example:

    >>> [row.name for row in load_table("main").rows]
    ['Baseline', 'USRN', 'Oracle']
    """
    path = TABLES.find(source)
    try:
        return TableSpec(**read_toml(path), name=path.stem)
    except pydantic.ValidationError as error:
        found = [_describe(detail) for detail in error.errors()]
        hint = f"Shipped tables to start from: {', '.join(map(str, shipped_tables().values()))}"
        raise RecipeError(f"{path}: {len(found)} error(s)", errors=found, hint=hint) from None


def _describe(detail: Any) -> str:
    place = ".".join(map(str, detail["loc"])) or "the table"
    received = "" if detail["type"] in ("missing", "value_error") else f", received {detail['input']!r}"
    return f"{place}: {detail['msg'].removeprefix('Value error, ')}{received}"
