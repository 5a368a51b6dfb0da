"""Completion in Bash, which splits words at `=`: `--set training.method=us` arrives as three words."""

from __future__ import annotations

import os

from click.parser import split_arg_string
from click.shell_completion import BashComplete, CompletionItem, add_completion_class


class BashCompletion(BashComplete):
    """Completes `SECTION.KEY=VALUE`: joins the words around `=`, and adds no space after `=`."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", "COMPREPLY+=($value)\n            [[ $value == *= ]] && compopt -o nospace"
    )
    kept = ""  # what Bash leaves in front of the word that it completes

    def get_completion_args(self) -> tuple[list[str], str]:
        words, position = split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"])
        current = words[position] if position < len(words) else ""
        joined: list[str] = []
        for word in [*words[1:position], current]:
            if joined and (word == "=" or joined[-1].endswith("=")):
                joined[-1] += word
            else:
                joined.append(word)
        *arguments, incomplete = joined
        self.kept = incomplete if current == "=" else incomplete.removesuffix(current)
        if self.kept.startswith("-"):  # --option=value
            self.kept = self.kept.partition("=")[2]
        return arguments, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value.removeprefix(self.kept)}"


add_completion_class(BashCompletion)
