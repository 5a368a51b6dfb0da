"""The devices that a run is trained on, checked before the first step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import keras

from usrn_keras.backends import join_ranks, leave_ranks, number_of_devices
from usrn_keras.data import Dataset
from usrn_keras.errors import BackendError, RanksError, RecipeError
from usrn_keras.methods import find_method
from usrn_keras.networks import seeded
from usrn_keras.ranks import ALONE, Ranks, launched_ranks
from usrn_keras.recipe import Recipe
from usrn_keras.runs.identity import describe
from usrn_keras.runs.run_folder import flat_recipe
from usrn_keras.stages.memory_advice import step_sizes, training_stages


@dataclass(frozen=True)
class Devices:
    """What a run is trained on.

    Args:
        count: Number of devices of this process.
        ranks: Processes that train together.
    """

    count: int = 1
    ranks: Ranks = ALONE


ONE_DEVICE = Devices()


def join_processes(recipe: Recipe) -> Ranks:
    """Connect to the processes that a launcher started with this one, if any.

    Args:
        recipe: Recipe of the run, the same in all processes.

    Raises:
        BackendError: The variables of the launcher are set in part, or the backend or the method trains in
            one process alone.
        RecipeError: A batch size is not divisible by the number of processes.
        RanksError: The processes have different recipes.
    """
    ranks = launched_ranks()
    if ranks.world > 1:
        _validate_methods(recipe, ranks.world)
        validate_batches(recipe, ranks.world)
    joined = join_ranks(ranks, local_statistics=recipe.training.batch_norm == "local")
    seeded.first_position = joined.first_position
    joined.check_same("recipe", flat_recipe(recipe))
    return joined


def check_same_dataset(ranks: Ranks, dataset: Dataset) -> None:
    """Raise a `RanksError` that names what differs, unless all processes see the same data set.

    Args:
        ranks: Processes that train together.
        dataset: Data set as this process sees it.
    """
    facts = describe(dataset)
    contents = {f"contents of the {part} images": one for part, one in facts.pop("contents").items()}
    numbers = {f"number of {part} images": one for part, one in facts.pop("images").items()}
    lists = {"hash of the lists": facts.pop("fingerprint")}
    ranks.check_same("data set", facts | numbers | lists | contents)


def leave_processes(*, failed: bool = False) -> None:
    """Disconnect from the other processes, if this one has not done so.

    Args:
        failed: Whether this process ends with an error; otherwise it may wait until all leave.
    """
    seeded.first_position = seeded.first_position_alone
    leave_ranks(failed=failed)


def lost_process(error: Exception) -> RanksError | None:
    """Return the error that says that another process has died; None for an error of this one.

    Args:
        error: Error that a step over several processes raised.

    Example:

    >>> lost_process(RuntimeError("gloo/transport/tcp/pair.cc: Connection reset by peer")).message
    'the connection to another process of this run is lost'
    """
    if not any(word in str(error).lower() for word in ("gloo", "nccl", "connection")):
        return None
    return RanksError(
        "the connection to another process of this run is lost",
        hint="See what ended that process, such as a lack of memory. Run the same command again to resume "
        "from the last checkpoint.",
    )


def _validate_methods(recipe: Recipe, world: int) -> None:
    """Raise a `BackendError` if a loss of a method needs the whole batch in one process."""
    methods = [stage.method for stage in training_stages(recipe)]
    wrong = [method for method in methods if not find_method(method).trains_on_parts]
    if wrong and keras.backend.backend() == "torch":
        raise BackendError(
            f"training.method = {wrong[0]!r} trains in one process on PyTorch, received {world} processes",
            hint="Use JAX, which trains every method on several devices: KERAS_BACKEND=jax usrn fit ...",
        )


def choose_devices(recipe: Recipe, devices: int | str, ranks: Ranks = ALONE) -> int:
    """Return the number of devices of this process to train on.

    Args:
        recipe: Recipe of the run.
        devices: Number of devices, or `all` that the backend finds.
        ranks: Processes that train together, each on one device.

    Raises:
        BackendError: There are not as many, or the backend trains on one device alone.
        RecipeError: A batch size is not divisible by the number of devices.
    """
    if ranks.world > 1:
        if str(devices) not in ("1", "all", str(ranks.world)):
            raise BackendError(
                f"--devices {devices}: the launcher started {ranks.world} processes, each with one device",
                hint="Leave --devices out.",
            )
        return 1
    found = number_of_devices()
    number = found if devices == "all" else int(devices)
    if number > 1 and keras.backend.backend() == "tensorflow":
        raise BackendError(
            f"TensorFlow trains on one device, received --devices {devices}",
            hint="Use JAX for several, KERAS_BACKEND=jax usrn ...: run folders and weights are the same.",
        )
    if number > 1 and recipe.training.batch_norm == "local":
        raise BackendError(
            f"training.batch_norm = 'local' needs one process for each device, but {keras.backend.backend()} "
            f"trains on several in one process, received --devices {devices}",
            hint="Use PyTorch, KERAS_BACKEND=torch usrn ..., or --set training.batch_norm=global.",
        )
    if number > found:
        raise BackendError(
            f"--devices {devices}: {keras.backend.backend()} finds {found} device{'s' * (found > 1)}",
            hint=f"Choose at most {found}, or --devices all. `usrn doctor` shows the devices.",
        )
    validate_batches(recipe, number)
    return number


def validate_batches(recipe: Recipe, devices: int) -> None:
    """Raise a `RecipeError` if a batch cannot be divided evenly among devices.

    Args:
        recipe: Recipe of the run.
        devices: Number of devices.
    """
    sizes = step_sizes(recipe)  # without unlabelled images for a method that reads none
    batches = {"batch_labelled": sizes.batch_labelled, "batch_unlabelled": sizes.batch_unlabelled}
    wrong = {f"training.{key}": size for key, size in batches.items() if size % devices}
    if wrong:
        raise RecipeError(
            f"{devices} devices cannot share the batches evenly",
            errors=[
                f"{key} = {size}: must be divisible by {devices}, such as {_both(neighbours(size, devices))}"
                for key, size in wrong.items()
            ],
            hint="Override these keys with --set, or choose another number with --devices.",
        )


def neighbours(size: int, devices: int) -> list[int]:
    """Return the batch sizes next to `size` that devices can share, with an image for each.

    Example:

    >>> neighbours(8, 3), neighbours(2, 3)
    ([6, 9], [3])
    """
    lower = size // devices * devices
    return [number for number in (lower, lower + devices) if number >= max(2, devices)]


def _both(numbers: Iterable[int]) -> str:
    return " or ".join(map(str, numbers))
