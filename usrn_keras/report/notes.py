"""What stands under a table of scores: how to read it, whether its runs compare, where they come from."""

from __future__ import annotations

from collections.abc import Sequence

from usrn_keras.metrics.scores import Scores

RARE = "*"  # an asterisk survives every terminal, font and Markdown reader


def legend(scores: Sequence[Scores]) -> list[str]:
    """How the table is to be read, one sentence each."""
    first = scores[0]
    sentences = ["IoU in percent."]
    if first.rare.any():
        sentences.append(f"{RARE} rare: a smaller share of the pixels than the median class.")
    if not first.present.all():
        sentences.append("Absent classes have no pixel here and are left out of the means.")
    if len(scores) > 1:
        sentences.append(f"In parentheses: the difference to {first.name}.")
    return sentences


def warnings(scores: Sequence[Scores]) -> list[str]:
    """Why the columns may not be comparable, one line each.

    Other lists alone need not forbid it: runs on 1/8 and 1/4 of the labels have different lists and
    are measured on the same images.
    """
    lines = []
    if any((other.pixels != scores[0].pixels).any() for other in scores):
        lines.append("Warning: the runs were measured on different pixels: their figures do not compare.")
    known = [one.provenance.fingerprint for one in scores if one.provenance]
    if len(set(known)) > 1:
        named = ", ".join(dict.fromkeys(known))
        lines.append(f"Warning: the lists of images differ ({named}): trained or measured on other images.")
    return lines


def origins(scores: Sequence[Scores]) -> list[str]:
    """Where the figures come from: one line where all runs share it, else one for each run."""
    known = {one.provenance for one in scores}
    if known == {None}:
        return []
    if len(known) == 1:
        return [scores[0].provenance.line()]
    return [f"{one.name}: {one.provenance.line() if one.provenance else 'not recorded'}" for one in scores]
