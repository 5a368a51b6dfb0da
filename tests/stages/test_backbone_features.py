"""Training on the features of a frozen backbone: kept in files, or computed in every step."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.tools import builds_networks_of_a_recipe
from usrn_keras.data import load_dataset
from usrn_keras.data.batches.feature_files import HEADER, FeatureFiles
from usrn_keras.errors import RecipeError
from usrn_keras.methods import Method, stages_of
from usrn_keras.networks.backbones import find_backbone
from usrn_keras.progress import SILENT
from usrn_keras.recipe import Recipe, load_recipe
from usrn_keras.runs import open_run
from usrn_keras.runs.run_list import removable
from usrn_keras.stages import fit
from usrn_keras.stages.backbone_features import (
    ComputedFeatures,
    computed_features,
    feature_stride,
    fill,
    parts_of_a_step,
    view_of,
)
from usrn_keras.stages.build import build_method
from usrn_keras.stages.step_operations import operations_per_step
from usrn_keras.stages.step_trial import try_steps
from usrn_keras.subclasses.feature_store import format_bytes

pytestmark = builds_networks_of_a_recipe
SETTINGS = (
    "network.frozen=backbone", "views.strong=feature_dropout", "views.scale_labelled=[1.0, 1.0]",
    "views.scale_unlabelled=[1.0, 1.0]", "training.start=baseline",
)  # fmt: skip


@pytest.fixture
def weights_file(tmp_path) -> Path:
    whole = find_backbone("keras/mobilenet").build(0.25)
    model = keras.Model(whole.input, whole.get_layer("conv_pw_7_relu").output)
    model.save_weights(tmp_path / "backbone.weights.h5")
    return tmp_path / "backbone.weights.h5"


def recipe_of(recipe_file, weights_file, source: str, *settings: str) -> Recipe:
    fixed = [*SETTINGS, f"network.weights={weights_file}", f"views.source={source}"]
    return load_recipe(str(recipe_file), [*fixed, *settings])


def losses(run: Path) -> list[float]:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records if "loss" in record]


@pytest.mark.parametrize("method", [pytest.param("usrn", marks=pytest.mark.slow), "prototype_ensemble"])
def test_kept_features_train_as_computed_ones(recipe_file, weights_file, tmp_path, method):
    kept, computed = (
        recipe_of(recipe_file, weights_file, source, f"training.method={method}")
        for source in ("cached_features", "features")
    )
    lines: list[str] = []
    fit(kept, tmp_path / "kept", log=lines.append)
    fit(computed, tmp_path / "computed")
    assert len(losses(tmp_path / "kept")) == 8
    np.testing.assert_allclose(losses(tmp_path / "kept"), losses(tmp_path / "computed"), rtol=1e-5)
    assert not (tmp_path / "computed" / "features").exists()
    files = sorted((tmp_path / "kept" / "features").glob("*.f16"))
    assert len(files) == 5  # three labelled images, and two without a mask
    assert removable(open_run(tmp_path / "kept")) == [tmp_path / "kept" / "features"]


@pytest.mark.slow
def test_an_interrupted_run_resumes_with_its_features(recipe_file, weights_file, tmp_path, monkeypatch):
    """The weights of a resumed stage come from its checkpoint; features of other weights would be others."""
    recipe = recipe_of(recipe_file, weights_file, "cached_features", "training.method=self_training")
    fit(recipe, tmp_path / "whole")
    computed = []
    original = ComputedFeatures.__call__

    def counted(self, sample, flip):
        computed.append(sample.name)
        if len(computed) == 9 and stopping:
            raise KeyboardInterrupt  # the two unlabelled images of the second stage
        return original(self, sample, flip)

    monkeypatch.setattr(ComputedFeatures, "__call__", counted)
    stopping = True
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, tmp_path / "run")
    stopping = False
    damaged = next((tmp_path / "run" / "features").glob("*.f16"))
    damaged.write_bytes(damaged.read_bytes()[:-2])
    fit(recipe, tmp_path / "run")
    # Three labelled images and one unlabelled one; then the interrupted one, and the damaged one again.
    assert len(computed) == 9 + 2 * 2
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")

    method_checkpoint = tmp_path / "run" / "2-self_training" / "checkpoint.npz"
    (tmp_path / "run" / "2-self_training" / "complete.json").unlink()
    assert method_checkpoint.exists()
    fit(recipe, tmp_path / "run")
    assert len(computed) == 13  # the restored weights have the same features

    fit(recipe, tmp_path / "other", reuse=[tmp_path / "run"])
    assert len(computed) == 13 and losses(tmp_path / "other") == losses(tmp_path / "whole")


def test_only_missing_and_damaged_files_are_computed(recipe_file, weights_file, tmp_path):
    recipe = recipe_of(recipe_file, weights_file, "cached_features")
    dataset = load_dataset(recipe.data)
    branch = build_method(recipe, stages_of(recipe)[0], dataset).branch
    computed, files = ComputedFeatures(branch, view_of(recipe, branch)), FeatureFiles(tmp_path / "f", "key")
    lines: list[str] = []
    progress = type("Lines", (), {"task": SILENT.task, "log": lambda self, line: lines.append(line)})()

    def filled() -> list[str]:
        names = []

        class Recorded:
            view = computed.view

            def __call__(self, sample, flip):
                names.append(f"{sample.name}{'m' * flip}")
                return computed(sample, flip)

        fill(files, dataset.labelled, Recorded(), branch, progress)
        return names

    assert filled() == ["0", "0m", "1", "1m", "2", "2m"] and filled() == []
    size = sum(file.stat().st_size - HEADER for file in (tmp_path / "f").iterdir())
    assert lines == [f"features of 3 images take {format_bytes(size)} in {tmp_path / 'f'}"]
    path = files.path(dataset.labelled[1])
    path.write_bytes(path.read_bytes()[:-2])
    assert filled() == ["1", "1m"]


def test_features_are_those_of_the_frozen_backbone(recipe_file, weights_file):
    recipe = recipe_of(recipe_file, weights_file, "features")
    dataset = load_dataset(recipe.data)
    method = build_method(recipe, stages_of(recipe)[0], dataset)
    branch, sample = method.branch, dataset.labelled[0]
    view = view_of(recipe, branch)
    assert feature_stride(branch) == 16 and view.padded_size(40, 48) == (64, 64)
    features = computed_features(recipe, method)["features"]
    import cv2

    image = cv2.imread(str(sample.image))[:, :, ::-1]
    padded = np.full((64, 64, 3), np.rint(image.mean(axis=(0, 1))), np.float32)
    padded[:40, :48] = image
    for flip in (False, True):
        given = padded[None, :, ::-1] if flip else padded[None]
        low = branch.stem(np.ascontiguousarray(given), training=False)
        expected = low, branch.tail(low, training=False)
        for found, one in zip(features(sample, flip), expected, strict=True):
            assert found.dtype == np.float16
            one = keras.ops.convert_to_numpy(one)[0]
            np.testing.assert_allclose(found, one, rtol=2e-3, atol=2e-3)


def test_a_step_without_the_backbone_costs_less(recipe_file, weights_file):
    kept, computed = (recipe_of(recipe_file, weights_file, one) for one in ("cached_features", "features"))
    method = build_method(kept, stages_of(kept)[0], load_dataset(kept.data))
    assert parts_of_a_step(kept) == ("decoder", "classifier")
    assert 0 < operations_per_step(method, kept) < operations_per_step(method, computed)


def test_a_dry_run_measures_steps_without_the_backbone(recipe_file, weights_file, tmp_path):
    recipe = recipe_of(recipe_file, weights_file, "cached_features", "training.method=self_training")
    sent: list[dict] = []
    order = {"recipe": recipe.model_dump(mode="json"), "name": "a", "subclasses": [2, 1]}
    assert try_steps(order | {"folder": str(tmp_path)}, sent.append) == {"out_of_memory": ""}
    assert len([one for one in sent if "step" in one]) == 2
    (network,) = (one["network"] for one in sent if "network" in one)
    assert network["trainable"] == sum(
        one["trained"] for one in network["parts"] if one["part"] in ("decoder", "classifier")
    )


def test_what_is_refused(recipe_file, weights_file, tmp_path):
    with pytest.raises(RecipeError) as error:
        load_recipe(str(recipe_file), ["views.source=cached_features", "training.with_usrn=true"])
    found = "\n".join(error.value.errors)
    for key in ("network.frozen", "views.strong", "views.scale_labelled", "views.scale_unlabelled"):
        assert f"{key}: must be" in found
    with pytest.raises(RecipeError, match=r"'feature_dropout' needs views\.source"):
        load_recipe(str(recipe_file), ["views.strong=feature_dropout"])
    recipe = recipe_of(recipe_file, weights_file, "cached_features", "training.method=cps")
    with pytest.raises(RecipeError, match=r"not possible with training\.method = 'cps'; allowed: supervised"):
        fit(recipe, tmp_path / "run")
    assert not Method.takes_features
