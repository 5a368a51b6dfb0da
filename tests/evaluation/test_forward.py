from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from tests.evaluation.networks import random_convolution, random_image
from usrn_keras.evaluation import Predictor
from usrn_keras.evaluation.forward import Forward

pytestmark = pytest.mark.every_backend


def test_the_answer_of_the_network_in_evaluation_mode():
    images = keras.Input((None, None, 3))
    normalised = keras.layers.BatchNormalization(epsilon=0.0)(images)
    model = keras.Model(images, keras.layers.Dropout(0.9)(normalised))
    scale, shift, mean, variance = np.ones(3), np.zeros(3), np.arange(1, 4), np.full(3, 4)
    model.layers[1].set_weights([scale, shift, mean, variance])
    found = Forward(model, lambda network, images: network(images) * 2)(np.full((2, 4, 4, 3), 9, np.uint8))
    np.testing.assert_allclose(found, np.broadcast_to([8, 7, 6], (2, 4, 4, 3)), rtol=1e-5)


def test_one_compilation_for_each_size_and_no_more():
    """`function` runs in Python when the program is made: for each shape, once; on PyTorch at each call."""
    calls = []

    def ids(network, images):
        calls.append(images.shape)
        return ops.argmax(network(images), axis=-1)

    predictor = Predictor(random_convolution(3), batch=2)
    predictor._ids = Forward(random_convolution(3), ids)
    for number, size in enumerate([(20, 30), (32, 17), (40, 30), (31, 31), (33, 20), (64, 32)]):
        predictor.ids_of([random_image(*size, seed=number)] * (1 + number % 2))
    assert len(calls) == (6 if keras.backend.backend() == "torch" else 2)
