"""Three steps of USRN over the processes that started this, each on its images of every batch.

On PyTorch then again with the statistics of the images of each process alone. Each process writes losses and
weights to a file; the second one then changes one weight in secret, and both write what the comparison of the
weights says. In the end the first one does the steps alone, with all images.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import keras
import numpy as np

from tests.backends.uneven import KINDS, STEPS, built, uneven_batch, weights
from usrn_keras.backends import CompiledStep, fetch, join_ranks, leave_ranks
from usrn_keras.errors import RanksError
from usrn_keras.methods import USRN
from usrn_keras.ranks import ALONE, Ranks, launched_ranks


def main(folder: Path) -> None:
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_disable_most_optimizations", True)
    ranks = join_ranks(launched_ranks())
    found, model = {}, None
    for name in KINDS:
        found |= named(name, model := built(name), ranks)
        ranks.check_equal(model.variables, STEPS)
    if keras.backend.backend() == "torch":
        from usrn_keras.backends import torch_ranks

        torch_ranks._joined[0] = dataclasses.replace(ranks, local_statistics=True)
        found |= named("local", model := built("sgd"), ranks)
        ranks.check_equal(model.variables, STEPS)
    found["agreed"] = [ranks.agree(ranks.rank == 1, False), ranks.agree(False, True)]
    if ranks.writes:
        ranks.send(4)
    else:
        found["received"] = ranks.receive()
    ranks.keep_own_values([*model.variables, *model.optimizer.variables])
    if ranks.rank == 1:
        model.variables[3].assign(model.variables[3] * 1.0000001)
    errors = {}
    for name, check in {
        "weights": lambda: ranks.check_equal(model.variables, 7),
        "facts": lambda: ranks.check_same("recipe", {"same": 1, "training.seed": ranks.rank}),
    }.items():
        try:
            check()
        except RanksError as error:
            errors[name] = str(error)
    leave_ranks()
    if ranks.writes:
        for name in KINDS:
            found |= named(f"{name} alone", built(name), ALONE)
    np.savez(folder / f"{ranks.rank}.npz", **found, **errors)


def named(name: str, model: USRN, ranks: Ranks) -> dict[str, np.ndarray]:
    """Losses and weights of three steps, by the name of the run."""
    step, terms = CompiledStep(model), []
    for number in range(STEPS):
        batch = uneven_batch(number)
        half = len(batch["labels"]) // ranks.world
        own = slice(ranks.rank * half, (ranks.rank + 1) * half)
        terms.append(step({key: values[own] for key, values in batch.items()}))
    return {f"{name} losses": [one["loss"] for one in fetch(terms)], f"{name} weights": weights(model)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
