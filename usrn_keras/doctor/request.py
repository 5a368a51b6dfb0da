"""What the doctor is asked to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """A machine, and perhaps a recipe.

    Args:
        recipe: A TOML file, or the name of a shipped recipe; None: the machine alone.
        overrides: As `--set`.
        run_dir: Where its run will be; None: `runs/` and the recipe's name.

    Example:

    >>> Request("my_recipe.toml").run_folder("my_recipe").as_posix()
    'runs/my_recipe'
    """

    recipe: str | None = None
    overrides: Sequence[str] = ()
    run_dir: Path | None = None

    def run_folder(self, name: str) -> Path:
        """The folder of the run of a recipe of that name."""
        return self.run_dir or Path("runs") / name
