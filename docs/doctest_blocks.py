"""Griffe extension: examples of docstrings become code blocks, which Markdown would take for quotations."""

from __future__ import annotations

from typing import Any

import griffe


class DoctestBlocks(griffe.Extension):
    """Put each example of a docstring, from `>>>` to the next empty line, between fences."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """Return the text with fences around its examples.

    >>> fenced("Example:\\n\\n>>> 1 + 1\\n2")
    'Example:\\n\\n```pycon\\n>>> 1 + 1\\n2\\n```'
    """
    lines: list[str] = []
    fence = ""
    for line in [*text.splitlines(), ""]:
        indent = line[: len(line) - len(line.lstrip())]
        if not fence and line.lstrip().startswith(">>>"):
            fence = f"{indent}```"
            lines.append(f"{fence}pycon")
        elif fence and not line.strip():
            lines.append(fence)
            fence = ""
        lines.append(line)
    return "\n".join(lines[:-1])
