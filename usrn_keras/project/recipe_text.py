"""Write the recipe of a project as a commented TOML file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from textwrap import wrap

import numpy as np

from usrn_keras.backend_choice import BACKENDS, is_installed
from usrn_keras.data.formats.lists import Lists
from usrn_keras.data.mask_values import unpack
from usrn_keras.progress import duration
from usrn_keras.project.class_names import Scheme
from usrn_keras.project.project_request import ProjectPlan
from usrn_keras.project.proposal import GIB, Machine, Proposal
from usrn_keras.project.sources import Sources
from usrn_keras.project.survey import Survey

WIDTH = 110


def recipe_text(
    folder: Path,
    plan: ProjectPlan,
    sources: Sources,
    survey: Survey,
    scheme: Scheme,
    parts: Lists,
    proposal: Proposal,
    machine: Machine,
    assumptions: Mapping[str, Sequence[str]],
) -> str:
    """Return the text of the recipe, with the assumptions as comments.

    Args:
        folder: Absolute path of the project.
        plan: Checked request.
        sources: Image and mask files.
        survey: Facts read from the files.
        scheme: Mapping from mask values to classes.
        parts: Lists of the images of each part.
        proposal: Proposed recipe values.
        machine: Machine that the recipe is for.
        assumptions: Assumptions as sentences, by section.
    """
    sections = {
        "data": _data(plan, sources, survey, scheme, parts, min(8, machine.cores) if machine.gpu else 2),
        "network": _network(machine.gpu, proposal.crop_size),
        "subclasses": _subclasses(proposal),
        "views": _views(proposal),
        "training": (_training if parts.unlabelled else _supervised)(proposal, machine.gpu),
        "evaluation": _evaluation(proposal, parts),
    }
    if not machine.gpu and parts.unlabelled:
        sections["prototype_ensemble"] = list(_PROTOTYPE_ENSEMBLE)
    text = _header(folder, scheme, parts, proposal, machine)
    for section, lines in sections.items():
        assumed = [_comment(f"assumed: {sentence}") for sentence in assumptions.get(section, ())]
        text += "\n".join(["", f"[{section}]", *assumed, *lines, ""])
    return text


def command(recipe: Path, gpu: bool) -> str:
    """Return the training command, with the fastest backend for the proposed network if it is installed."""
    prefix = "KERAS_BACKEND=torch " if not gpu and is_installed("torch") else ""
    return f"{prefix}usrn fit {quote(str(recipe))}"


def backend_note(gpu: bool) -> str:
    """Say that another backend would be faster for the proposed network; empty if it is installed."""
    if gpu or is_installed("torch"):
        return ""
    return (
        "PyTorch is not installed; on a CPU it is the fastest backend for this network: "
        f"{BACKENDS['torch'].install}"
    )


def time_line(proposal: Proposal) -> str:
    """Describe the estimated time, such as `about 25 min`, and its accuracy."""
    if proposal.seconds is None:
        return "not estimated for a GPU"
    unit = 60 if proposal.seconds < 7200 else 3600  # seconds; a rough estimate is not more precise
    about = duration(max(120, unit * round(proposal.seconds / unit)))
    return f"about {about} at the speed of this CPU now (rough estimate from a matrix product)"


def _header(folder: Path, scheme: Scheme, parts: Lists, proposal: Proposal, machine: Machine) -> str:
    counts = f"{len(parts.labelled)} labelled and {len(parts.unlabelled)} unlabelled images"
    backbone = "ResNet-50, for a GPU" if machine.gpu else "MobileNet, for a CPU"
    fastest = "" if machine.gpu else "; the torch backend is the fastest there (depthwise convolutions)"
    memory = f"{machine.memory / GIB:.0f} GiB of memory {'found' if machine.memory_known else 'assumed'}"
    unit = "a GPU" if machine.gpu else f"{machine.cores} CPU core(s)"
    hardware = f"{unit}, {memory} here; a step needs about {proposal.memory / GIB:.1f} GiB{fastest}"
    facts = {
        "Reproduces": "nothing published; own images, recipe created by `usrn init`",
        "Expected": "not measured yet",
        "Hardware": hardware,
        "Time": time_line(proposal),
        "Command": command(folder / f"{folder.name}.toml", machine.gpu),
    }
    title = f"# {folder.name}: {counts}, {len(scheme.classes)} classes, {backbone}"
    lines = [_comment(text, f"{heading:<12}", " " * 12) for heading, text in facts.items()]
    return "\n".join([title, "#", *lines, ""])


def _data(
    plan: ProjectPlan, sources: Sources, survey: Survey, scheme: Scheme, parts: Lists, workers: int
) -> list[str]:
    lines = [
        'dataset = "folder"',
        'root = "."  # the folder of this file: lists/, classes.txt, palette.txt',
        f"images = {_string(plan.images)}",
        f"masks = {_string(plan.masks)}  # {scheme.kind}",
    ]
    rule = sources.main.rule
    for key, pattern in (("image_pattern", rule.image), ("mask_pattern", rule.mask)):
        if str(pattern) != "{name}":
            lines.append(f"{key} = {_string(pattern)}  # file names without suffix")
    for part in plan.held_out:
        if part.images:
            lines.append(f"{part.part}_images = {_string(part.images)}")
            lines.append(f"{part.part}_masks = {_string(part.masks)}")
    if plan.threshold is None:
        lines += _mask_values(scheme)
    else:
        lines.append(f"mask_threshold = {plan.threshold}  # larger values are {scheme.classes[1]}")
    if survey.bands:
        lines.append(f'bands = {json.dumps(list(survey.bands))}  # of the files; name them as in "nir=4"')
    if survey.value_range:
        low, high = survey.value_range
        lines.append(f"value_range = [{low}, {high}]  # 16-bit images: these values become black and white")
    lines += ['labelled = "lists/labelled.txt"', 'unlabelled = "lists/unlabelled.txt"']
    lines += [f'{part} = "lists/{part}.txt"' for part in ("val", "test") if getattr(parts, part)]
    return [*lines, f"workers = {workers}  # threads that read images; as many as there are cores to spare"]


def _mask_values(scheme: Scheme) -> list[str]:
    if scheme.coloured:
        lines = ['mask_format = "colours"  # those in palette.txt, a line per class of classes.txt']
        if scheme.ignored:
            colours = unpack(np.array(scheme.ignored)).tolist()
            lines.append(f"ignore_colours = {colours}  # pixels without a class")
        return lines
    lines = [f"mask_ids = {scheme.mask_ids}  # mask value of each class"] if scheme.mask_ids else []
    meaning = (
        "mask value of pixels without a class" if scheme.ignore_index >= 0 else "every pixel has a class"
    )
    return [*lines, f"ignore_index = {scheme.ignore_index}  # {meaning}"]


def _network(gpu: bool, crop_size: int) -> list[str]:
    deep = f"{crop_size // 16} x {crop_size // 16} features of a crop of {crop_size}"
    rates = "[6, 12, 18]" if crop_size >= 320 else "[3, 6, 9]" if crop_size >= 160 else "[2, 4, 6]"
    aspp = f"aspp_rates = {rates}  # dilations that suit the {deep}; paper: 6, 12, 18"
    weights = 'weights = "imagenet"  # downloaded once; or the path of a weights file; none: much worse'
    stride = "output_stride = 16  # 8: finer; the late layers see four times the pixels"
    if gpu:
        return [
            'backbone = "keras_cv/resnet50"', weights, stride, 'sharing = "low"', aspp, "aspp_channels = 256",
            "low_level_channels = 48",
            "decoder_channels = 256  # also the dimension of the features that are clustered",
        ]  # fmt: skip
    return [
        'backbone = "keras/mobilenet"',
        'backbone_end = "conv_pw_12_relu"  # leaves out the last block: less time and memory',
        weights, stride, 'sharing = "low"',
        aspp,
        "aspp_channels = 64  # paper: 256",
        "low_level_channels = 24  # paper: 48",
        "decoder_channels = 64  # paper: 256; also the dimension of the features that are clustered",
        "dropout = 0.1  # paper: 0.5; a decoder of so few channels underfits with more",
    ]  # fmt: skip


def _subclasses(proposal: Proposal) -> list[str]:
    large = proposal.scale < 1
    rows = ["rows_per_image = 20000  # most feature pixels of a class taken of one large image"] * large
    return [
        f"size_factor = {float(proposal.size_factor)}  # cluster size by the smallest class; paper: 1",
        f"max_subclasses = {proposal.max_subclasses}  # per class",
        *rows,
        f"# K_c = {proposal.counts.tolist()}, {proposal.counts.sum()} in all",
    ]


def _views(proposal: Proposal) -> list[str]:
    return [
        f"crop_size = {proposal.crop_size}  # larger: better context, memory and time grow with its square",
        f"long_side = {proposal.long_side}  # long side of an image at scale 1, in pixels",
        "scale_labelled = [0.5, 2.0]",
        "scale_unlabelled = [0.8, 2.0]",
    ]


def _training(proposal: Proposal, gpu: bool) -> list[str]:
    return [
        f"baseline_steps = {proposal.baseline_steps}",
        f"usrn_steps = {proposal.usrn_steps}  # more: better; the learning rate falls to 0 at the end",
        f"batch_labelled = {proposal.batch}  # out of memory: halve both and set accumulation = 2",
        f"batch_unlabelled = {proposal.batch}  # each costs a weak forward pass and a strong training pass",
        *(_LONG if gpu else _SHORT),
    ]


def _supervised(proposal: Proposal, gpu: bool) -> list[str]:
    keys = ("optimizer", "learning_rate", "backbone_multiplier", "weight_decay")
    return [
        'method = "supervised"  # every training image has a mask',
        f"baseline_steps = {proposal.usrn_steps}  # more: better; the learning rate falls to 0 at the end",
        f"usrn_steps = {proposal.usrn_steps}  # for methods that learn from unlabelled images",
        f"batch_labelled = {proposal.batch}  # out of memory: halve it and set accumulation = 2",
        *(line for line in (_LONG if gpu else _SHORT) if line.split(" ")[0] in keys),
    ]


_LONG = (
    'method = "usrn"  # the method of the paper',
    "learning_rate = 0.01",
    "backbone_multiplier = 0.1  # pretrained layers move slowly",
)
_SHORT = (  # as in the recipes of CamVid; docs/results.md has what they gave
    "# The method that did best on CamVid, 23 masks and 344 photos without: +4.1 mIoU and +4.3 of the rare",
    "# classes over the Baseline (docs/results.md, three seeds), nearly as much without subclasses. There,",
    "# self-training lost rare classes (two seeds), and usrn, the paper's method, did no better (one seed).",
    'method = "prototype_ensemble"',
    'start = "baseline"  # this method starts from the network whose features are clustered',
    'optimizer = "adamw"  # sgd, the paper: lower scores even after more steps',
    "learning_rate = 0.003",
    "usrn_learning_rate = 0.002  # of the method; it continues from the Baseline",
    "backbone_multiplier = 0.25  # pretrained layers move slowly",
    "weight_decay = 0.01",
)
_PROTOTYPE_ENSEMBLE = (
    "threshold = 0.75  # confidence that a pseudo label must exceed; higher: fewer and safer labels",
    "lambda_u = 1.0  # weight of the loss on unlabelled images",
)


def _evaluation(proposal: Proposal, parts: Lists) -> list[str]:
    split = "test" if parts.test else "val"
    lines = [f'split = "{split}"  # {len(getattr(parts, split))} image(s)']
    if proposal.scale < 1:
        lines.append(f"scales = [{proposal.scale}]  # images as large as in training")
    return lines


def _string(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)  # JSON's escapes are TOML's


def _comment(text: str, before: str = "", margin: str = "  ") -> str:
    """Wrap a comment to the width; longer paths are not broken."""
    indents = {"initial_indent": f"# {before}", "subsequent_indent": f"# {margin}"}
    return "\n".join(wrap(text, WIDTH, **indents, break_long_words=False, break_on_hyphens=False))
