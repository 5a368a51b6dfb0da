"""The sections that need NumPy and OpenCV in this process: speed, images, disks, the recipe."""

from __future__ import annotations

from usrn_keras.cache import cache_folder
from usrn_keras.doctor.backend import BackendSection
from usrn_keras.doctor.cores_and_memory import CoresSection, thread_variables
from usrn_keras.doctor.disk import DiskSection, keras_folder, look_at_disk
from usrn_keras.doctor.findings import Section
from usrn_keras.doctor.known_rate import known_rate
from usrn_keras.doctor.pipeline import BrokenPipeline, PipelineSection
from usrn_keras.doctor.precision import PrecisionSection
from usrn_keras.doctor.recipe import RecipeSection, finding_of, look_at_recipe
from usrn_keras.doctor.request import Request
from usrn_keras.doctor.timed_batches import MADE, made_batches, recipe_batches, time_batches
from usrn_keras.errors import USRNError
from usrn_keras.machine.cores import Cores
from usrn_keras.machine.memory import free_memory, total_memory
from usrn_keras.machine.speed import matrix_product_rate
from usrn_keras.progress import Progress

DEFAULT_WORKERS = 2  # `data.workers`, where no recipe says more


def measured_sections(
    request: Request, backend: BackendSection, cores: Cores, progress: Progress
) -> dict[str, Section]:
    """Everything but versions, backends and GPUs.

    Args:
        request: What to look at.
        backend: Its chosen backend is the device.
        cores: As they were before anything was measured.
        progress: Told what is being done.
    """
    on_gpu = backend.on_accelerator
    asked = None
    if request.recipe is not None:
        progress.log(f"reading {request.recipe}")
        asked = look_at_recipe(request, backend.probes["tensorflow"].error)
    recipe = asked.recipe if asked else None
    rate = matrix_product_rate()
    progress.log("timing the input pipeline and the disk")
    sections: dict[str, Section] = {
        "precision": PrecisionSection(backend.probe, cores, recipe and recipe.training.precision),
        "machine": CoresSection(
            cores, total_memory(), free_memory(), rate, thread_variables(), backend.chosen, on_gpu
        ),
        "pipeline": _pipeline(request, asked, cores, on_gpu),
        "disk": _disk(request, asked),
    }
    return sections | ({"recipe": asked} if asked else {})


def _pipeline(
    request: Request, asked: RecipeSection | None, cores: Cores, on_gpu: bool
) -> PipelineSection | BrokenPipeline:
    """That of the recipe if its images can be used, or else one of made images."""
    facts = {"usable_cores": cores.usable, "on_gpu": on_gpu}
    if asked is None or not asked.usable:
        with made_batches(DEFAULT_WORKERS) as batches:
            images, seconds = time_batches(batches)
        return PipelineSection(MADE, images, seconds, (4, 4), DEFAULT_WORKERS, **facts)
    recipe = asked.recipe
    try:
        images, seconds = time_batches(recipe_batches(recipe, asked.dataset))
    except USRNError as error:
        return BrokenPipeline(finding_of("pipeline", error))
    return PipelineSection(
        f"the images and views of {asked.source}",
        images,
        seconds,
        (recipe.training.batch_labelled, recipe.training.batch_unlabelled),
        recipe.data.workers,
        known=known_rate(request.run_folder(recipe.name)),
        has_recipe=True,
        **facts,
    )


def _disk(request: Request, asked: RecipeSection | None) -> DiskSection:
    recipe = asked.recipe if asked else None
    draws = recipe is not None and recipe.data.dataset == "quickstart" and not recipe.data.root
    folder = request.run_folder(recipe.name if recipe else "")
    return look_at_disk(folder, cache_folder(), keras_folder(), cache_needed=draws)
