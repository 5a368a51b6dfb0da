"""What a recipe takes for granted, by the section that it concerns."""

from __future__ import annotations

import numpy as np

from usrn_keras.project.classes import Scheme
from usrn_keras.project.machine import GIB, Machine
from usrn_keras.project.proposal import FEATURES_PER_SUBCLASS, PASSES, Proposal
from usrn_keras.project.request import Plan
from usrn_keras.project.sources import Sources


def all_assumptions(
    plan: Plan, sources: Sources, scheme: Scheme, proposal: Proposal, machine: Machine, pixels: np.ndarray
) -> dict[str, list[str]]:
    """A sentence for each assumption, by section of the recipe; `pixels` are the labelled ones by class."""
    return {
        "data": _data(plan, sources, scheme, pixels),
        "network": [_network(machine)],
        "subclasses": [_subclasses(proposal)],
        "views": _views(proposal),
        "training": _training(proposal, machine),
    }


def _data(plan: Plan, sources: Sources, scheme: Scheme, pixels: np.ndarray) -> list[str]:
    pairs = (
        f"names: {sources.main.rule} ({len(sources.main.masks)} pairs); images without a mask are unlabelled"
    )
    absent = ", ".join(name for name, count in zip(scheme.classes, pixels, strict=True) if not count)
    return [
        *([] if all(plan.patterns.values()) else [pairs]),
        *(part.assumption for part in plan.held_out if part.assumption),
        *scheme.assumptions,
        *([f"no labelled image shows {absent}: that cannot be learnt"] if absent else []),
    ]


def _network(machine: Machine) -> str:
    if machine.gpu:
        return "there is an NVIDIA GPU that the backend can use (none was loaded to see); --cpu for a CPU"
    return "there is no GPU (no device file of an NVIDIA GPU; no backend was loaded to see); --gpu for one"


def _subclasses(proposal: Proposal) -> str:
    return (
        f"clusters of {proposal.size_factor} x the smallest class, at most {proposal.max_subclasses} per "
        f"class: {proposal.counts.sum()} subclasses, so that one has about {FEATURES_PER_SUBCLASS} feature "
        "pixels (of 4 x 4 pixels) or more and few masks are not cut too fine"
    )


def _views(proposal: Proposal) -> list[str]:
    found = [f"images are about {round(proposal.long_side / proposal.scale)} pixels long (median)"]
    if proposal.scale < 1:
        found.append(
            f"large images are trained and measured at {proposal.scale} of their size; the features that are "
            "clustered are taken at full size: smaller files would be quicker there"
        )
    return found


def _training(proposal: Proposal, machine: Machine) -> list[str]:
    where = "of the GPU" if machine.gpu else "free now"
    known = "" if machine.memory_known else "; the system does not tell"
    return [
        f"memory: {machine.memory / GIB:.1f} GiB {where}{known}; a step of {proposal.batch} + "
        f"{proposal.batch} images takes about {proposal.memory / GIB:.1f} GiB",
        f"steps: {PASSES} passes over the training images for USRN, "
        f"{PASSES if machine.gpu else PASSES // 2} for the Baseline, within bounds",
    ]
