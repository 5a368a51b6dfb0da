"""The options of USRN and of the methods it is compared with first: terms, gate, thresholds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import Field

from usrn_keras.recipe.method_options.option_section import MethodOptions, Share, Threshold, Weight

Term = Literal["msl", "ost", "usr", "sst", "egm"]
Gate = Literal["fallback", "stop", "off"]

TERMS: dict[Term, str] = {
    "msl": "multi-level supervised learning: F_sub learns the sublabels of the labelled images (Eq. 2)",
    "ost": "original-class self-training: F learns its pseudo labels on the strong view (Eq. 7)",
    "usr": "unbiased subclass regularization: F_sub's prediction masks those pseudo labels (Eq. 4)",
    "sst": "subclass self-training: F_sub learns its own pseudo labels on the strong view (Eq. 5)",
    "egm": "entropy-based gate mechanism: the mask holds where F_sub is more confident (Eq. 6)",
}
REQUIRED_TERMS: dict[Term, Term] = {"usr": "ost", "sst": "msl", "egm": "usr"}  # the term that each requires
ALL_TERMS: tuple[Term, ...] = tuple(TERMS)

JointViews = Annotated[
    bool,
    Field(
        description="Whether labelled images and strong views pass the network as one batch; batch "
        "normalisation keeps them apart. Faster where the images of a batch are few and small, and needs the "
        "memory of both. Crops of both have one size."
    ),
]


class SelfTrainingOptions(MethodOptions):
    """Options of `self_training`: F learns from its own pseudo labels."""

    threshold: Threshold = Field(0.75, description="Confidence gamma that a pseudo label must exceed.")
    lambda_u: Weight = Field(1.0, description="Weight of the loss on unlabelled images.")
    kept_shares: list[Share] = Field(
        [],
        description="Shares of the unlabelled pixels at equal intervals from the start to the end of "
        "training, linear in between: F learns that share of each batch, the most confident pixels, instead "
        "of those above threshold. A control at the coverage of another method.",
    )
    joint_views: JointViews = False

    @property
    def pseudo_label_note(self) -> str:
        return (
            "F learns the shares of kept_shares, chosen in each batch; shown are the labels above threshold."
            if self.kept_shares
            else ""
        )


class USRNOptions(MethodOptions):
    """Options of `usrn`, the method of the paper (Eqs. 2 to 8)."""

    terms: list[Term] = Field(
        list(ALL_TERMS),
        description="Terms of the objective (paper, Table 3): sublabels (msl), self-training of F (ost), "
        "mask by F_sub (usr), self-training of F_sub (sst), entropy gate (egm).",
    )
    threshold: Threshold = Field(0.75, description="Confidence gamma that a pseudo label must exceed.")
    lambda_u: Weight = Field(1.0, description="Weight of the losses on unlabelled images.")
    lambda_sub: Weight = Field(1.0, description="Weight of the subclass losses.")
    gate: Gate = Field(
        "fallback",
        description="Target of F where the entropy gate is closed: its own pseudo label (fallback, as the "
        "official code) or none (stop, as the paper's text). off: no gate, as without egm.",
    )
    gate_level: Literal["subclass", "class"] = Field(
        "subclass",
        description="Entropy of F_sub that the gate compares with that of F: over the subclasses (subclass, "
        "Eq. 6), or over the sums of their probabilities by class (class), which opens it more often.",
    )
    sub_threshold: Threshold = Field(
        0.0,
        description="Confidence that a pseudo label of F_sub must exceed (Eq. 5); 0: as threshold.",
    )
    teacher_decay: Share = Field(
        0.0,
        description="Share of a moving average of F_sub that remains in each step. The average gives the "
        "labels of Eq. 5. 0: F_sub itself does, as in the paper; 1: F_sub as it starts, with sub_head = "
        "'centroids' the cluster centers.",
    )
    sub_head: Literal["random", "centroids"] = Field(
        "random",
        description="Initial weights of F_sub's classifier: random (the paper), or the cluster centers "
        "(centroids), which needs training.start = 'baseline'.",
    )
    joint_views: JointViews = False
    on_disagreement: Literal["", "drop", "override"] = Field(
        "",
        description="With training.with_usrn: treatment of the pixels where F_sub contradicts the label of "
        "F, drop or override. Required for a host without a confidence threshold above 0.5; others can only "
        "drop.",
    )

    alone: ClassVar[tuple[str, ...]] = (
        "terms",
        "lambda_u",
        "gate_level",
        "sub_threshold",
        "teacher_decay",
        "joint_views",
    )
    on_top: ClassVar[tuple[str, ...]] = ("on_disagreement",)

    def arguments(self) -> dict[str, Any]:
        return self.model_dump(exclude=set(self.on_top))

    @pydantic.field_validator("terms")
    @classmethod
    def _make_an_objective(cls, terms: list[str]) -> list[str]:
        if errors := list(term_errors(terms)):
            raise ValueError("; ".join(errors))
        return terms

    @property
    def reads_unlabelled(self) -> bool:
        return not {"ost", "sst"}.isdisjoint(self.terms)

    @property
    def has_gate(self) -> bool:
        return "ost" in self.terms and effective_gate(self.terms, self.gate) in ("fallback", "stop")

    @property
    def pseudo_label_note(self) -> str:
        if "ost" not in self.terms:
            return (
                "F does not learn from pseudo labels in this run; these are the labels it would learn from."
            )
        notes = {
            "off": "The gate is off in this run: F_sub corrects every pseudo label.",
            "closed": "The gate is closed in this run: F learns from its own pseudo labels, and F_sub "
            "corrects none.",
        }
        return notes.get(effective_gate(self.terms, self.gate), "")

    def contradictions(self, name: str, start: str) -> Iterator[str]:
        yield from super().contradictions(name, start)
        for key in ("sub_threshold", "teacher_decay"):
            if getattr(self, key) and "sst" not in self.terms:
                yield (
                    f"{name}.{key}: needs the term sst, the loss of F_sub on pseudo labels (Eq. 5), received "
                    f"{getattr(self, key)} with terms = {self.terms}; remove this key, or add sst"
                )
        if self.joint_views and not {"ost", "sst"}.issubset(self.terms):
            yield (
                f"{name}.joint_views: needs the terms ost and sst, so that both branches learn from both "
                f"views, received true with terms = {self.terms}; remove this key"
            )
        if self.gate_level == "class" and not self.has_gate:
            yield (
                f"{name}.gate_level: needs the entropy gate, received 'class' with terms = {self.terms} and "
                f"gate = {self.gate!r}; remove this key"
            )
        if self.sub_head == "centroids" and start != "baseline":
            yield (
                f"{name}.sub_head: 'centroids' needs training.start = 'baseline', because the centers are "
                f"features of the Baseline, received training.start = {start!r}"
            )


class PrototypeEnsembleOptions(MethodOptions):
    """Options of `prototype_ensemble`: pseudo labels from the mean of F and fixed cluster centers."""

    starts_from_baseline: ClassVar[bool] = True

    threshold: Threshold = Field(
        0.75, description="Confidence gamma that the mean of both predictions must exceed."
    )
    lambda_u: Weight = Field(1.0, description="Weight of the loss on unlabelled images.")
    joint_views: JointViews = False


def term_errors(terms: Iterable[str]) -> Iterator[str]:
    """Yield the errors in a list of terms, one line each.

    Example:

    >>> list(term_errors(["msl", "ost", "egm"]))
    ['egm needs usr (unbiased subclass regularization)']
    """
    terms = list(terms)
    if unknown := [term for term in terms if term not in TERMS]:
        yield f"unknown: {', '.join(unknown)}; allowed: {', '.join(TERMS)}"
    if len(set(terms)) < len(terms):
        yield "a term is listed more than once"
    if "msl" not in terms:
        yield "msl is required (without it F_sub is not trained; to train F alone use method self_training)"
    for term, required in REQUIRED_TERMS.items():
        if term in terms and required not in terms and required != "msl":
            yield f"{term} needs {required} ({TERMS[required].partition(':')[0]})"


def effective_gate(terms: Collection[str], gate: str) -> str:
    """Return the effective gate: always closed without `usr`, always open without `egm`.

    Example:

    >>> [effective_gate(terms, "stop") for terms in (["ost"], ["ost", "usr"], ["ost", "usr", "egm"])]
    ['closed', 'off', 'stop']
    """
    if "usr" not in terms:
        return "closed"
    return gate if "egm" in terms else "off"
