"""Facts about a run: data, network, method, backend, hardware, time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from usrn_keras.data.dataset import PARTS
from usrn_keras.progress import duration
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.schema import NetworkSection
from usrn_keras.recipe.stage_plan import Train
from usrn_keras.runs import Run
from usrn_keras.runs.environment import read_sessions
from usrn_keras.runs.run_files import Session

BACKEND_PACKAGES = ("keras", "jax", "tensorflow", "torch")


def run_facts(run: Run) -> list[tuple[str, str]]:
    """Names and values; what is not known is left out."""
    sessions = read_sessions(run.path)
    facts = [("data set", _dataset(run)), *_recipe_facts(run), *_time(run)]
    return facts + (_environment(sessions) if sessions else [])


def _dataset(run: Run) -> str:
    known = run.data
    counts = ", ".join(f"{known['images'][part]:,} {part}" for part in PARTS if part in known["images"])
    return f"{known['name']}: {counts}; {len(known['classes'])} classes; lists {known['fingerprint']}"


def _recipe_facts(run: Run) -> list[tuple[str, str]]:
    training, views = run.recipe.training, run.recipe.views
    stages = list(run.training_stages.values())
    batch = f"{training.batch_labelled} labelled"
    if len(stages) > 1:
        batch += f" and {training.batch_unlabelled} unlabelled"
    rates = ", ".join(f"{stage.learning_rate:g} of {stage.title}" for stage in stages)
    return [
        ("method", _method(run.recipe, stages[-1])),
        ("network", _network(run.recipe.network)),
        ("steps", ", ".join(f"{stage.length:,} of {stage.title}" for stage in stages)),
        ("batch", f"{batch} images, crops of {views.crop_size} x {views.crop_size} pixels"),
        ("learning rate", f"{rates}; {_backbone_rate(run.recipe)}"),
        ("seed", str(training.seed)),
    ]


def _backbone_rate(recipe: Recipe) -> str:
    """What of the backbone is trained, and at which share of the learning rate."""
    network, training = recipe.network, recipe.training
    rate = f"{training.backbone_multiplier:g} times that"
    if training.layer_decay != 1:
        rate += f", times {training.layer_decay:g} for each of 12 groups of layers downwards"
    if network.lora_rank:
        return f"of the adapters (rank {network.lora_rank}) in the frozen backbone {rate}"
    if network.frozen == "backbone":
        return "the backbone is frozen"
    return f"of the backbone {rate}{', its stem is frozen' if network.frozen == 'stem' else ''}"


def _method(recipe: Recipe, stage: Train) -> str:
    """Name, options and start of the method, all of them as in the recipe."""
    options = {} if recipe.options is None else recipe.options.model_dump()
    shown = ", ".join(f"{key} {_text(value)}" for key, value in options.items() if value != "")
    start = f"; starts from {stage.start}" if stage.start else ""
    return f"{stage.title}{': ' if shown else ''}{shown}{start}"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _network(network: NetworkSection) -> str:
    parts = f"{network.backbone}, width {network.width:g}, {network.decoder}"
    whole = network.architecture or f"{parts}, output stride {network.output_stride}"
    return f"{whole}; weights {Path(network.weights).name}, sharing {network.sharing}"


def _time(run: Run) -> list[tuple[str, str]]:
    parts = []
    for stage in run.stages:
        name = getattr(run.plan[stage], "title", run.plan[stage].name)
        seconds = run.facts(stage).get("seconds") if run.is_complete(stage) else None
        seconds = seconds or _recorded_seconds(run, stage)
        if seconds:
            parts.append(f"{name} {duration(seconds)}")
    return [("time", ", ".join(parts))] if parts else []


def _recorded_seconds(run: Run, stage: str) -> float:
    """What the records of a training stage add up to, without what an interruption threw away."""
    seconds, before = 0.0, getattr(run.plan[stage], "begin", 0)
    for record in run.log(stage).records():
        if "seconds_per_step" in record:
            seconds += (record["step"] - before) * record["seconds_per_step"]
            before = record["step"]
    return seconds


def _environment(sessions: list[Session]) -> list[tuple[str, str]]:
    """Of the last session, and how many there were."""
    last = sessions[-1]
    packages = [f"{name} {last.packages[name]}" for name in BACKEND_PACKAGES if name in last.packages]
    parts = f", in {len(sessions)} parts" if len(sessions) > 1 else ""
    program, *arguments = last.command or [""]
    return [
        ("backend", f"{last.backend} ({', '.join(packages)})"),
        ("usrn-keras", last.usrn_keras),
        ("hardware", ", ".join([last.platform, f"{last.cpus} CPU cores", *last.devices])),
        ("started", sessions[0].started + parts),
        ("command", " ".join([Path(program).name, *arguments])),
    ]
