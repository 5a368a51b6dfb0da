"""The terms that the objective is made of: the ablation of the paper (Table 3) as a set of names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Literal, get_args

Term = Literal["msl", "ost", "usr", "sst", "egm"]
Gate = Literal["fallback", "stop", "off", "closed"]
Correction = Literal["mask", "replace", "average"]

TERMS: dict[Term, str] = {
    "msl": "multi-level supervised learning: F_sub learns the sublabels of the labelled images (Eq. 2)",
    "ost": "original-class self-training: F learns its pseudo labels on the strong view (Eq. 7)",
    "usr": "unbiased subclass regularization: F_sub's prediction masks those pseudo labels (Eq. 4)",
    "sst": "subclass self-training: F_sub learns its own pseudo labels on the strong view (Eq. 5)",
    "egm": "entropy-based gate mechanism: the mask holds where F_sub is the surer one (Eq. 6)",
}
NEEDS: dict[Term, Term] = {"usr": "ost", "sst": "msl", "egm": "usr"}  # each what it is built upon
ALL_TERMS: tuple[Term, ...] = tuple(TERMS)


def term_faults(terms: Iterable[str]) -> Iterator[str]:
    """Why these terms make no objective, one line each.

    `usr` without `msl` is no fault: F_sub's own layers stay as they start.

    Example:

    >>> list(term_faults(["msl", "ost", "egm"]))
    ['egm needs usr (unbiased subclass regularization)']
    """
    terms = list(terms)
    if unknown := [term for term in terms if term not in TERMS]:
        yield f"unknown: {', '.join(unknown)}; allowed: {', '.join(TERMS)}"
    if len(set(terms)) < len(terms):
        yield "each term stands once"
    if not {"msl", "ost"} & set(terms):
        yield "msl or ost must be among them"
    for term, needed in NEEDS.items():
        if term in terms and needed not in terms:
            yield f"{term} needs {needed} ({TERMS[needed].partition(':')[0]})"


def refuse_unknown(**options: Any) -> None:
    """Raise a `ValueError` for a `gate`, a `correction` or one of the `terms` that there is not.

    Example:

    >>> refuse_unknown(gate="stop", correction="mask", terms=["ost"])
    >>> refuse_unknown(gate="stopp")
    Traceback (most recent call last):
        ...
    ValueError: `gate` must be one of fallback, stop, off, closed, received 'stopp'
    """
    allowed = {"gate": get_args(Gate), "correction": get_args(Correction), "terms": ALL_TERMS}
    for name, value in options.items():
        for one in value if name == "terms" else [value]:
            if one not in allowed[name]:
                raise ValueError(f"`{name}` must be one of {', '.join(allowed[name])}, received {one!r}")


def gate_of(terms: Collection[str], gate: Gate) -> Gate:
    """What the gate does with these terms: without `usr` nothing is masked, without `egm` everything is.

    Example:

    >>> [gate_of(terms, "stop") for terms in (["ost"], ["ost", "usr"], ["ost", "usr", "egm"])]
    ['closed', 'off', 'stop']
    """
    if "usr" not in terms:
        return "closed"
    return gate if "egm" in terms else "off"
