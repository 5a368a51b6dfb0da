"""Five steps of USRN from equal weights and data; writes losses and final weights to a file."""

from __future__ import annotations

import sys

import keras
import numpy as np

from tests.tools import fill, poly, tiny_batch, tiny_branches
from usrn_keras.backends import CompiledStep
from usrn_keras.methods import USRN
from usrn_keras.optimizers import SGD
from usrn_keras.strong_view import StrongView


def main(path: str) -> None:
    keras.utils.set_random_seed(0)  # the state of dropout is compared, too
    branch, sub_branch = tiny_branches(dropout=0.0, classifier_dropout=0.0)
    model = USRN(branch, sub_branch, [0, 1, 2, 0, 1], threshold=0.45)
    fill(model.variables)
    optimizer = SGD(poly(0.001, 10))
    optimizer.multiply_learning_rate(model.slow_variables(), 0.1)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)
    step, losses = CompiledStep(model), []
    for number in range(5):
        parameters = StrongView().draw(np.random.default_rng(number), 6)
        terms = step(tiny_batch(number, images=6, size=64) | {"strong_parameters": parameters})
        losses.append([float(terms[name]) for name in sorted(terms)])
    weights = [np.ravel(keras.ops.convert_to_numpy(variable.value)) for variable in model.variables]
    np.savez(path, losses=np.array(losses), weights=np.concatenate(weights), names=np.array(sorted(terms)))


if __name__ == "__main__":
    main(sys.argv[1])
