"""The residual backbone that needs no supplier."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.tools import fill
from usrn_keras.backends import run_graph
from usrn_keras.errors import WeightsError
from usrn_keras.networks import build_branches
from usrn_keras.networks.cut_backbone import cut_layers, output_strides, with_output_stride
from usrn_keras.networks.residual_backbone import residual_backbone


def numpy_of(tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def images(size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (1, size, size, 3)).astype("float32")


def test_it_has_14_layers_of_weights_and_stride_32():
    model = residual_backbone(0.125)
    main = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (3, 3)
    ]
    assert len(main) == 14 and model.output_shape[-1] == 64
    strides = output_strides(model)
    assert strides[model.layers[-1].name] == 32
    assert sorted({strides[layer.name] for layer in cut_layers(model)}) == [1, 2, 4, 8, 16, 32]


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilation_keeps_every_feature_that_stride_computed(output_stride):
    model = residual_backbone(0.125)
    fill(model.variables)
    x = images(128)
    coarse, dense = numpy_of(model(x)), numpy_of(with_output_stride(model, output_stride)(x))
    lost = 32 // output_stride
    assert np.abs(coarse).max() > 0.1
    np.testing.assert_allclose(dense[:, ::lost, ::lost], coarse, atol=1e-4)


def test_the_graph_of_the_backend_computes_the_same():
    model = residual_backbone(0.125)
    fill(model.variables)
    np.testing.assert_allclose(
        numpy_of(run_graph(model, images(), training=False)),
        numpy_of(model(images(), training=False)),
        atol=1e-4,
    )


@pytest.mark.parametrize("output_stride", [8, 16])
def test_branches_share_the_stem(output_stride):
    branch, sub_branch = build_branches(
        "usrn/resnet14", classes=3, subclasses=5, weights="none", width=0.125, output_stride=output_stride,
        aspp_rates=[2], aspp_channels=8, decoder_channels=8,
    )  # fmt: skip
    assert branch.stem is sub_branch.stem and branch.tail is not sub_branch.tail
    low = branch.stem(images() * 255)
    assert low.shape == (1, 16, 16, 8)
    assert branch.tail(low).shape == (1, 64 // output_stride, 64 // output_stride, 64)
    assert branch.segmenter()(images() * 255).shape == (1, 64, 64, 3)


def test_it_has_no_published_weights():
    with pytest.raises(WeightsError, match="no ImageNet weights for usrn/resnet14"):
        build_branches("usrn/resnet14", classes=3, weights="imagenet")


def test_the_network_of_the_quickstart_needs_neither_keras_cv_nor_tensorflow():
    program = """if 1:
        import sys
        sys.modules["keras_cv"] = sys.modules["tensorflow"] = None  # their import raises ImportError
        from usrn_keras.recipe import load_recipe
        from usrn_keras.stages.build import network_options
        from usrn_keras.networks import build_branches
        recipe = load_recipe("quickstart")
        options = network_options(recipe)
        branch, _ = build_branches(classes=9, subclasses=12, **options)
        assert branch.stem.output_shape[-1] == 16
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
