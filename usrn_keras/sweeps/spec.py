"""A table as a file: its rows, each a few keys of a recipe, and what the paper has in them."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import Field

from usrn_keras.errors import RecipeError
from usrn_keras.recipe.load import find_shipped

Figure = Literal["miou", "rare_miou", "boundary_miou", "class_balance_rate", "subclasses", "peak_memory"]


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


class Row(_Part):
    """A row of a table.

    Attributes:
        name: Its heading.
        set: Keys of the recipe, `"section.key" = value`; they win over what the user sets for all rows. The
            scores are those of USRN, or of the Baseline where `"training.method" = "supervised"`.
        marks: The columns of the table's `marks` that are ticked.
        once: Whether it is the same for every split, as the Oracle is: trained for the first alone.
        all_steps: Whether its Baseline trains as many steps as the recipe's Baseline and USRN together.
        optional: Whether it is left out, and that is said, where the data set cannot be used for it.
    """

    name: str
    set: dict[str, Any] = {}
    marks: list[str] = []
    once: bool = False
    all_steps: bool = False
    optional: bool = False


class TableSpec(_Part):
    """A table file.

    Attributes:
        name: Of the file.
        title: Heading.
        about: What the table asks, and how it is to be read.
        marks: Columns of ticks between the name of a row and its figures.
        splits: `recipe`: the one of the recipe; `shipped`: all that the package has for its data set.
        reference: The row that the others are held against.
        figures: What is told of each run.
        rows: The rows.
        paper: mIoU in percent that the paper has, by data set, split and row.
    """

    name: str = Field("", exclude=True)
    title: str
    about: str
    marks: list[str] = []
    splits: Literal["recipe", "shipped"] = "recipe"
    reference: str
    figures: list[Figure] = ["miou", "rare_miou"]
    rows: list[Row] = Field(min_length=1)
    paper: dict[str, dict[str, dict[str, float]]] = {}

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> TableSpec:
        names = [row.name for row in self.rows]
        if len(set(names)) < len(names):
            raise ValueError(f"each row needs a name of its own, received {', '.join(names)}")
        if self.reference not in names:
            raise ValueError(f"reference must name a row ({', '.join(names)}), received {self.reference!r}")
        for row in self.rows:
            if unknown := [mark for mark in row.marks if mark not in self.marks]:
                raise ValueError(f"row {row.name!r}: marks {unknown} are not among {self.marks}")
        return self


def shipped_tables() -> dict[str, Path]:
    """Names and files of the tables in the package, such as `components`."""
    folder = Path(str(resources.files("usrn_recipes"))) / "tables"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_table(source: str) -> TableSpec:
    """Read a table.

    Args:
        source: Path of a TOML file, or the name of a shipped table.

    Raises:
        RecipeError: It is missing, no TOML, or not such a table; every fault is named.

    Example:

    >>> [row.name for row in load_table("main").rows]
    ['Baseline', 'USRN', 'Oracle']
    """
    hint = "A table of your own is a TOML file like those."
    path = find_shipped("table", source, shipped_tables(), hint=hint)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        return TableSpec(**values, name=path.stem)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from None
    except pydantic.ValidationError as error:
        faults = [_describe(detail) for detail in error.errors()]
        hint = f"Shipped tables to go by: {', '.join(map(str, shipped_tables().values()))}"
        raise RecipeError(f"{path}: {len(faults)} fault(s)", faults=faults, hint=hint) from None


def _describe(detail: Any) -> str:
    place = ".".join(map(str, detail["loc"])) or "the table"
    received = "" if detail["type"] in ("missing", "value_error") else f", received {detail['input']!r}"
    return f"{place}: {detail['msg']}{received}"
