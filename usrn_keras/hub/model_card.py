"""The model card of a run: what it was trained on, how it was measured, and its limits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from usrn_keras.metrics import Scores
from usrn_keras.recipe.bands import Bands, parse_bands
from usrn_keras.runs import Run
from usrn_keras.runs.environment import read_sessions

FEW_IMAGES = 50  # below, a difference of two mIoU is noise


def model_card(run: Run, repository: str, licence: str) -> str:
    """Write the model card of a complete run, in Markdown with the header that the Hub reads.

    Args:
        run: The run, evaluated.
        repository: Name of the repository, `owner/name`.
        licence: Identifier of the licence.
    """
    scores = [Scores.from_json(value) for value in run.results["scores"]]
    blocks = [
        _header(scores[-1], licence),
        f"# {repository.partition('/')[2]}",
        _purpose(run),
        "## Use\n\n" + _use(repository, parse_bands(run.recipe.data.bands)),
        "## Data\n\n" + _data(run),
        "## Scores\n\n" + _scores(scores),
        "## Training\n\n" + _training(run),
        "## Limits\n\n" + _limits(run, scores[-1]),
        f"## Licence\n\n`{licence}`, as the author has stated. The terms of the training images and of "
        "pretrained weights apply besides.",
    ]
    return "\n\n".join(blocks) + "\n"


def _header(scores: Scores, licence: str) -> str:
    found = scores.provenance
    measured = [] if found is None else [
        "model-index:",
        "- name: segmenter",
        "  results:",
        "  - task: {type: image-segmentation}",
        f"    dataset: {{name: {json.dumps(found.dataset)}, type: {json.dumps(found.dataset)}, "
        f"split: {json.dumps(found.split)}}}",
        f"    metrics: [{{type: mean_iou, value: {scores.miou:.4f}}}]",
    ]  # fmt: skip
    return "\n".join(
        [
            "---",
            f"license: {licence}",
            "library_name: keras",
            "pipeline_tag: image-segmentation",
            "tags: [semantic-segmentation, semi-supervised, usrn-keras]",
            *measured,
            "---",
        ]
    )


def _purpose(run: Run) -> str:
    network = run.recipe.network
    backbone = network.architecture or f"{network.backbone} with {network.decoder}"
    return (
        f"A semantic segmentation network ({backbone}) with {len(run.classes)} classes, trained with "
        f'`training.method = "{run.recipe.training.method}"` of usrn-keras from images of which a part is '
        "labelled."
    )


def _use(repository: str, bands: Bands | None) -> str:
    count, channels, given = 3, "RGB", '"photo.jpg"'
    if bands is not None:  # the file of the model does not say which bands of a file these are
        count, channels, given = bands.count, f"the bands {', '.join(bands.names)}", "image"
    return f"""```python
import json

import usrn_keras
from huggingface_hub import hf_hub_download

segmenter = usrn_keras.load(hf_hub_download("{repository}", "model.keras"))
names = json.load(open(hf_hub_download("{repository}", "classes.json")))["classes"]
found = segmenter.predict({given})  # classes, confidence, colours of each pixel
```

The network takes {channels} in 0..255, `(batch, height, width, {count})` with height and width multiples
of 32, and returns logits `(batch, height, width, classes)`. `recipe.toml` has every setting of the
training."""


def _data(run: Run) -> str:
    counts = run.data["images"]
    parts = [f"{counts[part]:,} {part}" for part in counts]
    names = ", ".join(f"{index} {name}" for index, name in enumerate(run.classes))
    lines = [f"Data set `{run.data['name']}`: images {', '.join(parts)}.", f"Classes: {names}."]
    if run.recipe.data.value_range:
        low, high = run.recipe.data.value_range
        lines.append(f"Files of 16 bits: values {low} to {high} were mapped to 0..255.")
    return "\n\n".join(lines)


def _scores(scores: list[Scores]) -> str:
    final = scores[-1]
    names = [value.name for value in scores]
    rows = [["mIoU", *(f"{100 * value.miou:.1f}" for value in scores)]]
    rows += [["pixel accuracy", *(f"{100 * value.pixel_accuracy:.1f}" for value in scores)]]
    for index, name in enumerate(final.classes):
        rows.append([f"IoU {name}", *(_percent(value.iou[index]) for value in scores)])
    lines = [_line(["%", *names]), _line([":--", *["--:"] * len(names)]), *map(_line, rows)]
    found = final.provenance
    how = "" if found is None else (
        f"Measured over all pixels of the {found.images:,} {found.split} images of `{found.dataset}` (lists "
        f"{found.fingerprint}), prediction: {found.mode}, weights: {found.checkpoint}. `{names[-1]}` is the "
        "model of this repository. `-`: no pixel of the class was measured."
    )  # fmt: skip
    return "\n".join([*lines, "", how])


def _training(run: Run) -> str:
    stages = [f"{stage.title}: {stage.steps:,} steps" for stage in run.training_stages.values()]
    backends = ", ".join(dict.fromkeys(session.backend for session in read_sessions(run.path)))
    weights = Path(run.recipe.network.weights).name
    return (
        f"{'; '.join(stages)}. Backend: {backends}. Pretrained weights of the backbone: `{weights}`. "
        f"Seed: {run.recipe.training.seed}, one run."
    )


def _limits(run: Run, scores: Scores) -> str:
    lines = [
        "One run with one seed: other seeds give other scores.",
        "The scores hold for images like those of the data set; other cameras, places and seasons were not "
        "measured.",
        "Confidences are softmax probabilities and were not calibrated.",
    ]
    if scores.provenance is not None:
        if scores.provenance.images < FEW_IMAGES:
            lines.append(
                f"Few images were measured ({scores.provenance.images}): small differences are noise."
            )
        if scores.provenance.split == "val":
            lines.append("The val images may have been used to choose settings or weights.")
    absent = [name for name, seen in zip(scores.classes, scores.present, strict=True) if not seen]
    weak = [
        name
        for name, value in zip(scores.classes, scores.iou, strict=True)
        if not np.isnan(value) and value < 0.3
    ]
    if absent:
        lines.append(f"Not measured, because no evaluated pixel has the class: {', '.join(absent)}.")
    if weak:
        lines.append(f"Classes below 30 % IoU: {', '.join(weak)}.")
    return "\n".join(f"- {line}" for line in lines)


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
