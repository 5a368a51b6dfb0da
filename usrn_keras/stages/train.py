"""Running the training loop of a stage inside a run folder."""

from __future__ import annotations

from usrn_keras.data import Batches, Dataset
from usrn_keras.methods import USRN, Supervised
from usrn_keras.progress import Progress
from usrn_keras.runs import BASELINE, Run
from usrn_keras.stages.diagnosis import DiagnosisWatch
from usrn_keras.stages.memory import memory_watched
from usrn_keras.stages.validation import Validation
from usrn_keras.stages.weights import checkpoint_file, save_segmenter
from usrn_keras.training import Loop


def train(
    run: Run,
    stage: str,
    model: Supervised | USRN,
    source: Batches,
    steps: int,
    dataset: Dataset,
    progress: Progress,
) -> None:
    """Train `model` from the stage's checkpoint, if any, to the end, and write `model.keras`."""
    training, name = run.recipe.training, "baseline" if stage == BASELINE else "usrn"
    watches: list[Validation | DiagnosisWatch] = [Validation(run, stage, name, model.branch, dataset, steps)]
    if isinstance(model, USRN):
        watches.append(DiagnosisWatch(run, model, dataset, steps, progress.log))
    loop = Loop(
        model=model,
        batches=source,
        steps=steps,
        checkpoint=checkpoint_file(run, stage),
        checkpoint_seconds=training.checkpoint_seconds,
        log_every=training.log_every,
        record=run.log(stage).record,
        rewind=lambda step: [watch.resume(step) for watch in watches],
        watches=watches,
        progress=progress,
        description=stage,
    )
    with memory_watched(run.recipe, stage, unlabelled=isinstance(model, USRN)) as memory:
        loop.run()
    for file in (run.evaluation_file, run.stage(stage) / "scores.json"):  # of a model that was here before
        file.unlink(missing_ok=True)
    save_segmenter(model.branch, run.model_folder(name) / "model.keras")
    run.complete(stage, steps=steps, seconds=round(loop.seconds, 3), peak_memory=memory.peak())
