"""Annotations become a project, predictions are corrected, and training uses the larger set."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.data.annotations.test_labelme import shape
from tests.docs.pages import run
from tests.evaluation.networks import red_reader
from usrn_keras.data import read_mask
from usrn_keras.data.catalog import load_dataset
from usrn_keras.methods.find import stages_of
from usrn_keras.recipe import load_recipe
from usrn_keras.runs import start_run


def make_photos(count: int = 10, annotated: int = 6) -> None:
    """`photos/`: a bright square on dark ground; the first ones have a LabelMe JSON file."""
    Path("photos").mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        photo = rng.integers(0, 60, (48, 64, 3), dtype=np.uint8)
        x, y = 4 + 3 * index, 6 + 2 * index
        photo[y : y + 16, x : x + 20] += 150
        cv2.imwrite(f"photos/{index:02}.jpg", photo)
        if index < annotated:
            square = shape("square", [[x, y], [x + 19, y + 15]], "rectangle")
            document = {"version": "5.4.1", "shapes": [square], "imagePath": f"{index:02}.jpg"}
            Path(f"photos/{index:02}.json").write_text(json.dumps(document))


def succeed(line: str) -> None:
    result = run(line.split())
    assert result.exit_code == 0, f"usrn {line}\n{result.output}"


def make_run(project: str) -> None:
    """`runs/first`, as if it were trained: its network tells bright pixels from dark ones."""
    recipe = load_recipe(project)
    with start_run(Path("runs/first"), recipe, load_dataset(recipe.data), stages_of(recipe)) as first:
        red_reader(2).save(first.path / "model.keras")


def test_predictions_are_corrected_and_trained_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_photos()
    succeed("init my_project --images photos --masks photos --cpu --quiet")
    project = "my_project/my_project.toml"
    before = load_dataset(load_recipe(project).data)
    assert len(before.labelled) == 5 and len(before.val) == 1 and before.classes == ("background", "square")
    make_run(project)
    Path("next.txt").write_text("08.jpg\n09\n")
    succeed("labels export runs/first photos --only next.txt --format labelme --out to_correct --quiet")
    for name in ("08", "09"):  # the person draws the square again, over whatever was predicted
        file = Path(f"to_correct/{name}.json")
        document = json.loads(file.read_text())
        index = int(name)
        corner = [4 + 3 * index, 6 + 2 * index]
        document["shapes"] = [shape("square", [corner, [corner[0] + 19, corner[1] + 15]], "rectangle")]
        file.write_text(json.dumps(document))
    succeed("labels import to_correct --images photos --out my_project/masks --quiet")
    overrides = ["data.labelled=", "data.unlabelled="]
    after = load_dataset(load_recipe(project, overrides).data)
    assert {sample.name for sample in after.labelled} == {s.name for s in before.labelled} | {"08", "09"}
    assert after.val == before.val and len(after.unlabelled) == 2
    (sample,) = (sample for sample in after.labelled if sample.name == "09")
    mask = read_mask(sample.mask, after)
    assert (mask[24:40, 31:51] == 1).all() and mask.sum() == 16 * 20
    succeed(f"fit {project} --run runs/second --set data.labelled= --set data.unlabelled=")
    assert json.loads(Path("runs/second/dataset.json").read_text())["images"]["labelled"] == 7
    succeed("predict runs/second photos --out predictions --confidence --quiet")
    with Image.open("predictions/confidence/09.png") as confidence:
        assert confidence.size == (64, 48)
