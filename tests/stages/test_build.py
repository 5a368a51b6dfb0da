"""What a recipe and the subclasses make of the methods."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from usrn_keras.data import Dataset, load_dataset
from usrn_keras.errors import DataError
from usrn_keras.methods import Method, stages_of
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.stage_plan import Train
from usrn_keras.stages.build import build_method, network_options
from usrn_keras.stages.train import some_features
from usrn_keras.subclasses import SubclassMap

EVERY_OPTION = {
    "usrn": {
        "threshold": 0.6, "lambda_u": 0.5, "lambda_sub": 2.0, "gate": "stop", "sub_head": "centroids",
        "terms": ["ost", "msl", "usr", "sst", "egm"], "gate_level": "class", "sub_threshold": 0.65,
        "teacher_decay": 0.9, "joint_views": True,
    },
    "self_training": {"threshold": 0.6, "lambda_u": 0.5, "kept_shares": [0.8, 0.9], "joint_views": True},
    "prototype_ensemble": {"threshold": 0.6, "lambda_u": 0.5, "joint_views": True},
}  # fmt: skip
"""Another value than the default for each option of each method."""


def subclasses_of(dataset: Dataset) -> SubclassMap:
    """Two subclasses of the first class, one of all other classes."""
    classes = len(dataset.classes)
    counts = np.array([2] + [1] * (classes - 1))
    return SubclassMap(
        dataset.classes, counts, sizes=np.full(counts.sum(), 10), centers=np.zeros((counts.sum(), 1)),
        pixels=np.full(classes, 160), feature_pixels=np.full(classes, 10), inertia=np.zeros(classes),
        prices=np.zeros(counts.sum()),
    )  # fmt: skip


def methods_of(recipe_file, *overrides: str) -> list[Method]:
    """The compiled method of each training stage."""
    recipe = load_recipe(str(recipe_file), overrides)
    dataset = load_dataset(recipe.data)
    stages = [stage for stage in stages_of(recipe) if isinstance(stage, Train)]
    return [
        build_method(recipe, stage, dataset, subclasses_of(dataset), pretrained=False) for stage in stages
    ]


@pytest.mark.parametrize("name", EVERY_OPTION)
def test_every_option_of_the_recipe_reaches_the_method(recipe_file, name):
    options = EVERY_OPTION[name]
    recipe = load_recipe(str(recipe_file), [f"training.method={name}", "training.start=baseline"])
    defaults = recipe.options.arguments()
    assert defaults.keys() == options.keys()
    assert not [key for key, value in options.items() if value == defaults[key]]
    settings = [f"{name}.{key}={'true' if value is True else value}" for key, value in options.items()]
    baseline, method = methods_of(
        recipe_file, f"training.method={name}", "training.start=baseline", "data.ignore_index=77", *settings
    )
    found = {key: getattr(method, key) for key in options}
    assert found | ({"terms": list(found["terms"])} if "terms" in found else {}) == options
    assert (baseline.method_name, method.method_name) == ("supervised", name)
    assert (baseline.ignore_index, method.ignore_index) == (77, 77)


def test_each_stage_has_its_schedule(recipe_file):
    methods = methods_of(recipe_file, "training.usrn_steps=9", "training.usrn_learning_rate=0.004")
    schedules = [method.optimizer._learning_rate for method in methods]
    assert [schedule.decay_steps for schedule in schedules] == [4, 9]
    assert [schedule.initial_learning_rate for schedule in schedules] == [0.01, 0.004]


def rates_of(method: Method, layer: str) -> set[float]:
    """Learning-rate multipliers of the trained variables of layers with a name."""
    variables = [v for v in method.trainable_variables if v.path.split("/")[-2] == layer]
    return {method.optimizer.rate_factor(variable) for variable in variables}


def test_the_decay_by_layers_and_the_multiplier_of_the_backbone_are_multiplied(recipe_file):
    settings = ["training.layer_decay=0.5", "training.backbone_multiplier=0.2"]
    for method in methods_of(recipe_file, *settings):  # 15 convolutions, the deepest is conv_pw_7
        assert rates_of(method, "conv_pw_7") == {0.2} and rates_of(method, "conv_pw_7_bn") == {0.2}
        assert rates_of(method, "conv_dw_7") == {0.2} and rates_of(method, "conv1") == {0.2 * 0.5**11}
        assert rates_of(method, "logits") == {1.0}
    plain = methods_of(recipe_file, "training.backbone_multiplier=0.2")[0]
    assert rates_of(plain, "conv1") == {0.2} and set(plain.optimizer.rate_factors) == {0.2, 1.0}


@pytest.mark.parametrize("name", ["usrn", "prototype_ensemble"])
def test_parents_are_those_of_the_subclasses(recipe_file, name):
    _, method = methods_of(recipe_file, f"training.method={name}", "training.start=baseline")
    assert method.parents == [0, 0, 1] and method.sub_branch.classifier.output_shape[-1] == 3


def test_one_seed_is_one_network(recipe_file):
    first, second = (methods_of(recipe_file, "training.seed=3")[1] for _ in range(2))
    other = methods_of(recipe_file, "training.seed=4")[1]
    kernels = [
        keras.ops.convert_to_numpy(method.branch.classifier.trainable_variables[0])
        for method in (first, second, other)
    ]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[0] - kernels[2]).max() > 0


@pytest.mark.parametrize(
    ("overrides", "mask"),
    [
        (["views.crop_size=320", "network.output_stride=8"], 39),  # 40 pixels, 20 after shrinking
        (["views.crop_size=320", "network.output_stride=16", "network.psa_shrink=1"], 39),
        (["views.crop_size=32"], 1),  # one pixel, which sees itself
        (["network.psa_mask=59"], 59),
    ],
)
def test_attention_covers_a_training_crop_unless_the_recipe_says_otherwise(overrides, mask):
    assert network_options(load_recipe("quickstart", overrides))["psa_mask"] == mask


def test_weights_that_are_about_to_be_restored_are_not_fetched():
    assert network_options(load_recipe("voc_1_16"), pretrained=False)["weights"] == "none"


class Sparse:
    """Batches of which a single one shows a labelled pixel where features are."""

    def __init__(self, shown: int):
        self.shown, self.read = shown, []

    def batch(self, step: int) -> dict[str, np.ndarray]:
        self.read.append(step)
        sublabels = np.full((2, 8, 8), -1)
        sublabels[0, 2, 2] = 1 if step == self.shown else -1
        return {"labelled": np.zeros((2, 8, 8, 3), "uint8"), "sublabels": sublabels}


def extract(batch: dict[str, np.ndarray]) -> np.ndarray:
    return np.ones((*np.array(batch["labelled"].shape[:3]) // (1, 4, 4), 5))


def test_batches_of_points_and_strokes_are_read_until_they_show_some():
    batches = Sparse(9)
    features, sublabels = some_features(batches, extract)
    assert features.shape == (1, 5) and sublabels.tolist() == [1] and batches.read == list(range(10))
    batches = Sparse(0)
    some_features(batches, extract)
    assert batches.read == [0, 1, 2, 3]
    with pytest.raises(DataError, match="20 batches of labelled images show no pixel with a class"):
        some_features(Sparse(30), extract, most_read=20)
