"""Three steps of USRN over the processes that started this, each on its images of every batch.

On PyTorch then again with the statistics of the images of each process alone. The first process writes losses
and weights to a file; each process then changes one weight in secret, and writes what the comparison of the
weights says.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import keras
import numpy as np

from tests.backends.uneven import STEPS, built, uneven_batch, weights
from usrn_keras.backends import CompiledStep, fetch, join_ranks, leave_ranks
from usrn_keras.errors import RanksError
from usrn_keras.ranks import launched_ranks


def main(folder: Path) -> None:
    ranks = join_ranks(launched_ranks())
    found = {}
    for name in ("sgd", "adamw", "local")[: 3 if keras.backend.backend() == "torch" else 2]:
        if name == "local":
            from usrn_keras.backends import torch_ranks

            torch_ranks._joined[0] = dataclasses.replace(ranks, local_statistics=True)
        model = built("sgd" if name == "local" else name)
        step, terms = CompiledStep(model), []
        for number in range(STEPS):
            batch = uneven_batch(number)
            half = len(batch["labels"]) // ranks.world
            own = slice(ranks.rank * half, (ranks.rank + 1) * half)
            terms.append(step({key: values[own] for key, values in batch.items()}))
        found[f"{name} losses"] = [one["loss"] for one in fetch(terms)]
        found[f"{name} weights"] = weights(model)
        ranks.check_equal(model.variables, STEPS)
    np.savez(folder / f"{ranks.rank}.npz", **found)
    if ranks.rank == 1:
        model.variables[3].assign(model.variables[3] * 1.0000001)
    try:
        ranks.check_equal(model.variables, 7)
    except RanksError as error:
        (folder / f"{ranks.rank}.txt").write_text(str(error))
    leave_ranks()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
