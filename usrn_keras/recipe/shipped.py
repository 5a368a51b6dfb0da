"""Find the recipes and tables of the package by name or path, and files of the user by path."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePath

from usrn_keras.errors import RecipeError


@dataclass(frozen=True)
class ShippedFiles:
    """TOML files of one kind in the package.

    Args:
        kind: Kind of file for error messages, such as `recipe`.
        folder: Folder of the files in the repository, such as `recipes`; it may be part of a name.
        hint: Hint of the error if no name is similar.

    Example:

    >>> RECIPES.name_of("recipes/quickstart.toml"), RECIPES.name_of("other/quickstart.toml")
    ('quickstart', None)
    """

    kind: str
    folder: PurePath
    hint: str

    def by_name(self) -> dict[str, Path]:
        """Return the files by name, such as `cityscapes_1_16`."""
        inside = self.folder.relative_to("recipes")  # the installed package has another name
        folder = Path(str(resources.files("usrn_recipes"))) / inside
        return {path.stem: path for path in sorted(folder.glob("*.toml"))}

    def name_of(self, source: str) -> str | None:
        """Return the name of the shipped file that a name or path means in any folder, or None.

        `cityscapes_1_16`, `cityscapes_1_16.toml` and `recipes/cityscapes_1_16.toml` mean the same file.
        """
        path = PurePath(source)
        folders, given = self.folder.parts, path.parent.parts
        if given and given != folders[-len(given) :]:
            return None
        name = path.name.removesuffix(".toml")
        return name if name in self.by_name() else None

    def find(self, source: str) -> Path:
        """Find a file. A local file of this path takes precedence over a shipped file.

        Args:
            source: Path of a file, or name or path of a shipped file.

        Raises:
            RecipeError: If `source` is neither.
        """
        local, files, name = Path(source), self.by_name(), self.name_of(source)
        if local.is_file() and not (name and local.samefile(files[name])):
            return local
        if name:
            return files[name]
        raise RecipeError(
            f"no {self.kind} {source!r}: neither a file nor a shipped {self.kind} ({', '.join(files)})",
            hint=self.suggest(source),
        )

    def is_overridden(self, source: str) -> bool:
        """Whether a local file is used in place of the shipped file of the same name or path."""
        name = self.name_of(source)
        return name is not None and self.find(source) != self.by_name()[name]

    def suggest(self, source: str) -> str:
        """Suggest the most similar name; without one, return the hint."""
        near = difflib.get_close_matches(PurePath(source).stem, self.by_name(), n=1)
        return f"Did you mean `{near[0]}`?" if near else self.hint


RECIPES = ShippedFiles("recipe", PurePath("recipes"), "`usrn recipes list` lists them.")
TABLES = ShippedFiles(
    "table", PurePath("recipes/tables"), "A table file is a TOML file like the shipped tables."
)
