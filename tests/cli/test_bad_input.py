"""What a user can get wrong, through the command line: the message, the exit code, nothing half-written."""

from __future__ import annotations

import errno

import numpy as np
from click.testing import CliRunner
from PIL import Image

from usrn_cli.main import main


def fit(recipe_file, *overrides: str, run: str = "run"):
    arguments = ["fit", str(recipe_file), "--run", str(recipe_file.parent / run), "--quiet"]
    for override in overrides:
        arguments += ["--set", override]
    return CliRunner().invoke(main, arguments)


def refused(result, code: int, *parts: str) -> None:
    assert result.exit_code == code, result.stderr
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stderr, result.stderr


def test_wrong_types_ranges_and_names_at_once(recipe_file):
    wrong = ["training.usrn_steps=-1", "views.crop_size=ten", "trainin.seed=1", "network.sharing=all"]
    result = fit(recipe_file, *wrong)
    refused(result, 3, "4 error(s)", "training.usrn_steps", "received -1", "views.crop_size")
    refused(result, 3, "did you mean `training`?", "received 'all'")


def test_data_root_missing(recipe_file):
    refused(fit(recipe_file, "data.root=nowhere"), 4, "nowhere")


def test_image_without_readable_content(recipe_file, root):
    (root / "images/3.png").write_bytes(b"")
    refused(fit(recipe_file), 4, "3.png")


def test_mask_of_another_size(recipe_file, root):
    Image.fromarray(np.zeros((40, 47), np.uint8)).save(root / "masks/0.png")
    refused(fit(recipe_file), 4, "0.png", "48", "47")


def test_ids_outside_the_classes(recipe_file, root):
    Image.fromarray(np.full((40, 48), 7, np.uint8)).save(root / "masks/1.png")
    refused(fit(recipe_file), 4, "1.png", "7")


def test_no_labelled_images(recipe_file, root):
    for index in (0, 1, 2):
        (root / f"masks/{index}.png").unlink()
    refused(fit(recipe_file), 4, "labelled")


def test_no_unlabelled_images(recipe_file, root):
    for index in (3, 4):
        (root / f"images/{index}.png").unlink()
    refused(fit(recipe_file), 4, "unlabelled")


def test_weights_that_do_not_fit(recipe_file, tmp_path):
    (tmp_path / "w.weights.h5").write_bytes(b"no weights")
    refused(fit(recipe_file, f"network.weights={tmp_path / 'w.weights.h5'}"), 5, "w.weights.h5", "HDF5")


def test_unknown_backbone(recipe_file):
    refused(fit(recipe_file, "network.backbone=keras/mobilnet"), 3, "did you mean `keras/mobilenet`?")
    assert fit(recipe_file).exit_code == 0  # the folder is still free for the corrected recipe


def test_run_folder_of_another_recipe(recipe_file):
    assert fit(recipe_file).exit_code == 0
    other = fit(recipe_file, "training.usrn_steps=5")
    refused(other, 6, "another recipe", "training.usrn_steps: the run has 4")


def test_loss_that_is_not_finite(recipe_file):
    result = fit(recipe_file, "training.learning_rate=1e9", "training.baseline_steps=40")
    refused(result, 8, "1-baseline", "not finite")
    assert not (recipe_file.parent / "run/1-baseline/complete.json").exists()


def test_disk_full_during_a_checkpoint(recipe_file, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        refused(fit(recipe_file), 9, "No space left on device", "run the same command again")
    assert not list(recipe_file.parent.rglob(".*.tmp*"))
    assert fit(recipe_file).exit_code == 0  # once there is room again


def test_evaluate_and_export_without_a_run(tmp_path):
    for arguments in (["evaluate", str(tmp_path)], ["export", str(tmp_path), "--format", "onnx"]):
        refused(CliRunner().invoke(main, arguments), 6, "is not a run folder")
