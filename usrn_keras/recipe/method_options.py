"""The options of each method as a section of the recipe. Does not import Keras."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import Field

from usrn_keras.recipe.section import Section

Threshold = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
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

CCT_PERTURBATIONS = (
    "drop",
    "cutout",
    "vat",
    "context_masking",
    "object_masking",
    "feature_drop",
    "feature_noise",
)


class MethodOptions(Section):
    """Base of the options of a method.

    A subclass whose keys depend on other sections overrides `contradictions`.
    """

    starts_from_baseline: ClassVar[bool] = False  # whether the method needs training.start = "baseline"
    takes_usrn: ClassVar[bool] = False  # whether training.with_usrn = true is allowed
    selects_sublabels: ClassVar[bool] = False  # whether it selects sublabels without usrn.threshold
    smallest_crop: ClassVar[int] = 0  # pixels on each side of the crops that the method needs

    @property
    def overrides_labels(self) -> bool:
        """Whether USRN on top can change a label: the host has no confidence threshold above one half."""
        return getattr(self, "threshold", 0.0) <= 0.5

    @property
    def reads_unlabelled(self) -> bool:
        """Whether the method learns from unlabelled images."""
        return True

    @property
    def has_gate(self) -> bool:
        """Whether a gate selects the corrected pseudo labels; reports show how often it is open."""
        return False

    @property
    def pseudo_label_note(self) -> str:
        """Note that reports show above the pseudo labels; may be empty."""
        return ""

    def arguments(self) -> dict[str, Any]:
        """Return the options as arguments of the method's constructor."""
        return self.model_dump()

    def without_usrn(self, name: str) -> Iterator[str]:
        """Yield one line for each option that needs `training.with_usrn = true`, where it is false.

        Args:
            name: Name of the section.
        """
        yield from ()

    def contradictions(self, name: str, start: str) -> Iterator[str]:
        """Yield one line for each contradiction with the rest of the recipe.

        Args:
            name: Name of the section.
            start: Value of `training.start`.
        """
        if self.starts_from_baseline and start != "baseline":
            yield (
                f"training.start: must be 'baseline' with training.method = {name!r}, the network whose "
                f"features are clustered, received {start!r}"
            )


class SelfTrainingOptions(MethodOptions):
    """Options of `self_training`: F learns from its own pseudo labels."""

    threshold: Threshold = Field(0.75, description="Confidence gamma that a pseudo label must exceed.")
    lambda_u: Weight = Field(1.0, description="Weight of the loss on unlabelled images.")


class FixMatchOptions(MethodOptions):
    """Options of `fixmatch`: F learns confident labels of the weak view on a strong view mixed by CutMix."""

    takes_usrn: ClassVar[bool] = True

    threshold: Threshold = Field(0.95, description="Confidence gamma that a pseudo label must reach.")
    cutmix: bool = Field(
        True,
        description="Whether a box of another unlabelled image is pasted into the strong view, with "
        "probability one half.",
    )
    lambda_u: Weight = Field(1.0, description="Weight of the loss on unlabelled images.")


class UniMatchOptions(FixMatchOptions):
    """Options of `unimatch`: FixMatch with two strong views and a view of perturbed features."""

    feature_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="Share of the channels of the backbone's features that the perturbed view lacks."
    )


class AugSegOptions(MethodOptions):
    """Options of `augseg`: the moving average of the network labels strong views mixed by CutMix."""

    takes_usrn: ClassVar[bool] = True

    threshold: Threshold = Field(0.95, description="Confidence gamma that a pseudo label must reach.")
    cutmix: bool = Field(
        True,
        description="Whether boxes of other unlabelled images are pasted into the strong view, and boxes of "
        "labelled ones where the teacher is uncertain.",
    )
    lambda_u: Weight = Field(1.0, description="Weight of the loss on unlabelled images.")
    decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.999, description="Largest share of the teacher that remains in each update by the network."
    )


class CPSOptions(MethodOptions):
    """Options of `cps`: two networks learn each other's labels."""

    takes_usrn: ClassVar[bool] = True

    weight: Weight = Field(
        1.5,
        description="Weight of the cross supervision (paper: 1.5 on VOC and 6 on Cityscapes; with cutmix 1 "
        "and 5).",
    )
    cutmix: bool = Field(
        False,
        description="Whether boxes of other unlabelled images are pasted into those that the networks learn "
        "from.",
    )
    recompute: bool = Field(
        False,
        description="Whether labels come from passes of their own, which takes less memory and more time.",
    )
    supervised: Literal["ce", "ohem"] = Field(
        "ce",
        description="Loss on the masks: cross entropy (ce), or that of hard pixels (ohem; official code on "
        "Cityscapes).",
    )

    def contradictions(self, name: str, start: str) -> Iterator[str]:
        yield from super().contradictions(name, start)
        if self.recompute and self.cutmix:
            yield (
                f"{name}.recompute: must be false with {name}.cutmix = true, whose labels always come from "
                "passes of their own, received true"
            )


class CACOptions(MethodOptions):
    """Options of `cac`: two overlapping crops have the same features, against a memory bank."""

    takes_usrn: ClassVar[bool] = True

    weight: Weight = Field(0.1, description="Weight of the contrast.")
    threshold: Threshold = Field(
        0.75,
        description="Confidence that the more confident crop must exceed; with USRN on top also the one that "
        "a label must reach to teach F.",
    )
    temperature: float = Field(0.1, gt=0, description="Temperature of the contrast.")
    bank_steps: int = Field(
        2,
        ge=1,
        description="Number of steps whose features are in the memory bank, with the current one (official "
        "code: VOC 2, with ResNet-101 3; Cityscapes 1).",
    )
    negatives_by: Literal["F", "gated"] = Field(
        "F",
        description="Labels that select the negatives: those of F, or with USRN on top the corrected ones "
        "(gated).",
    )

    @property
    def pseudo_label_note(self) -> str:
        return (
            "The contrast of CAC takes its positives and negatives by these labels; F learns them only with "
            "USRN on top."
        )

    def without_usrn(self, name: str) -> Iterator[str]:
        if self.negatives_by == "gated":
            yield (
                f"{name}.negatives_by: 'gated' needs training.with_usrn = true, whose F_sub corrects the "
                "labels, received training.with_usrn = false"
            )


class DARSOptions(MethodOptions):
    """Options of `dars`: rounds of pseudo masks with the class frequencies of the labelled images."""

    takes_usrn: ClassVar[bool] = True
    selects_sublabels: ClassVar[bool] = True

    ratios: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.4, 0.5],
        min_length=1,
        description="Share of the unlabelled pixels that is labelled in each round, one value for each "
        "round (official code: 0.4, 0.5 on VOC and 0.4, 0.65 on Cityscapes).",
    )


class CReSTOptions(MethodOptions):
    """Options of `crest`: generations of pseudo masks that prefer rare classes."""

    generations: int = Field(
        5, gt=0, description="Number of generations after the Baseline; each is trained from the start."
    )
    alpha: float = Field(
        3.0,
        gt=0,
        description="Kept share of the pixels predicted as a class is (ratio of frequencies)^(1 / alpha); "
        "larger: more pixels of frequent classes.",
    )
    alignment: bool = Field(
        True,
        description="Whether predictions are aligned with the class frequencies of the labelled images "
        "(CReST+), which takes a second prediction of every image.",
    )
    temperature: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Exponent of the class frequencies in the last generation; it falls from 1 in the "
        "Baseline. Lower: more labels of rare classes.",
    )

    def temperature_of(self, generation: int) -> float:
        """Exponent of the class frequencies in a generation, from 1.

        Example:

        >>> [CReSTOptions().temperature_of(number) for number in (1, 5)]
        [0.9, 0.5]
        """
        return 1.0 - (1.0 - self.temperature) * generation / self.generations


class DSBNOptions(MethodOptions):
    """Options of `dsbn`: one pass of pseudo masks, doubled batch norms, a loss that corrects noisy labels."""

    weights: Literal["own", "official"] = Field(
        "own",
        description="Weight of the two parts of the loss of a pixel: by its own confidence (own), or by the "
        "mean over the images of the batch, as in the official code (official).",
    )


class CCTOptions(MethodOptions):
    """Options of `cct`: auxiliary decoders agree on perturbed features with the main decoder."""

    weight: Weight = Field(30.0, description="Weight of the consistency loss after its ramp.")
    ramp: Share = Field(0.1, description="Share of the training in which the weight grows.")
    supervised: Literal["ce", "abce"] = Field(
        "ce",
        description="Loss on the masks: cross entropy (ce), or that of the pixels that are not confident yet "
        "(abce, annealed bootstrapped cross entropy).",
    )
    drop: Count = Field(6, description="Number of decoders of features with dropped channels.")
    cutout: Count = Field(
        6, description="Number of decoders of features with a window cut out of the foreground."
    )
    vat: Count = Field(2, description="Number of decoders of adversarial features.")
    context_masking: Count = Field(2, description="Number of decoders of the features of the foreground.")
    object_masking: Count = Field(2, description="Number of decoders of the features of the background.")
    feature_drop: Count = Field(
        6, description="Number of decoders of features without the most active positions."
    )
    feature_noise: Count = Field(6, description="Number of decoders of features with multiplicative noise.")

    def arguments(self) -> dict[str, Any]:
        keys = self.model_dump()
        return {"decoders": {name: keys.pop(name) for name in CCT_PERTURBATIONS}, **keys}

    def contradictions(self, name: str, start: str) -> Iterator[str]:
        yield from super().contradictions(name, start)
        if not any(self.arguments()["decoders"].values()):
            yield (
                f"{name}: must have an auxiliary decoder, received 0 of each; set one of "
                f"{', '.join(f'{name}.{key}' for key in CCT_PERTURBATIONS)} to 1 or more"
            )


class GCTOptions(MethodOptions):
    """Options of `gct`: two networks and a flaw detector, which finds what one can learn from the other."""

    smallest_crop: ClassVar[int] = 64

    weight: Weight = Field(100.0, description="Weight of the consistency loss after its ramp.")
    ramp: Share = Field(0.1, description="Share of the training in which the weight grows.")
    threshold: Threshold = Field(
        0.6, description="Flaw in 0..1 above which a prediction is taken to be wrong."
    )
    correction_weight: Weight = Field(
        1.0, description="Weight of the flaws of pixels that both networks predict wrongly."
    )
    detector_weight: Weight = Field(10.0, description="Weight of the loss of the flaw detector.")
    detector_rate: float = Field(
        1e-4, gt=0, description="Initial learning rate of the flaw detector, by Adam (betas 0.9 and 0.99)."
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
    sub_head: Literal["random", "centroids"] = Field(
        "random",
        description="Initial weights of F_sub's classifier: random (the paper), or the cluster centers "
        "(centroids), which needs training.start = 'baseline'.",
    )
    on_disagreement: Literal["", "drop", "override"] = Field(
        "",
        description="With training.with_usrn: treatment of the pixels where F_sub contradicts the label of "
        "F, drop or override. Required for a host without a confidence threshold above 0.5; others can only "
        "drop.",
    )

    def arguments(self) -> dict[str, Any]:
        return self.model_dump(exclude={"on_disagreement"})  # of USRN on top of another method

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


METHOD_OPTIONS: dict[str, type[MethodOptions] | None] = {
    "supervised": None,
    "self_training": SelfTrainingOptions,
    "fixmatch": FixMatchOptions,
    "unimatch": UniMatchOptions,
    "augseg": AugSegOptions,
    "cps": CPSOptions,
    "cac": CACOptions,
    "dars": DARSOptions,
    "crest": CReSTOptions,
    "dsbn": DSBNOptions,
    "cct": CCTOptions,
    "gct": GCTOptions,
    "usrn": USRNOptions,
    "prototype_ensemble": PrototypeEnsembleOptions,
}
"""Options of each method of this package, by its name in `training.method`; None for no options."""
