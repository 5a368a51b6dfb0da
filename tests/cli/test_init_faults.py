"""What a person can get wrong with `usrn init`: every error at once, the exit code, nothing left behind."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.cli.init_tools import COLOURS, usrn_init
from tests.project.made_folders import SIZE, make_folders, write_mask, write_photo
from usrn_keras.project import create


def test_every_wrong_option_at_once(tmp_path):
    options = ["--val", "2.0", "--test-masks", "m", "--names", tmp_path / "n.txt", "--labelled", "x"]
    result = usrn_init(tmp_path, *options, "--ignore", "red", "--mask-pattern", "mask")
    assert result.exit_code == 4
    for line in (
        f"--images {tmp_path}/photos: no such folder",
        f"--masks {tmp_path}/masks: no such folder",
        "--val 2.0: no such folder, and a share must be a fraction between 0 and 1 such as 1/8 or 0.125, "
        "or a number of images such as 46, received '2.0'",
        "--test-masks requires --test DIR, which is missing",
        f"--names {tmp_path}/n.txt cannot be read: No such file or directory",
        "--labelled: must be a fraction between 0 and 1 such as 1/8 or 0.125, or a number of images such "
        "as 46, received 'x'",
        "--ignore red: must be a mask value, such as 255, or a colour RED,GREEN,BLUE",
        "--mask-pattern mask: must contain {name} exactly once, such as {name}_mask, with or without a "
        "folder before it, such as mask/{name}",
    ):
        assert f"  - {line}\n" in result.stderr


def test_val_and_test_in_the_same_folder(tmp_path):
    make_folders(tmp_path)
    folder = make_folders(tmp_path / "apart") / "photos"
    result = usrn_init(tmp_path, "--val", folder, "--test", folder)
    assert result.exit_code == 4
    assert f"  - --val and --test are the same folder, {folder}" in result.stderr


def test_every_fault_in_the_files_at_once(tmp_path):
    make_folders(tmp_path)
    (tmp_path / "photos/a6.png").write_bytes(b"no image")
    (tmp_path / "masks/a0.png").write_bytes(b"")
    write_mask(tmp_path / "masks/a1.png", (0, 1), (10, 32))
    write_mask(tmp_path / "masks/a2.png", (0, 1), SIZE[::-1])
    write_photo(tmp_path / "photos/a7.jpg")
    write_photo(tmp_path / "masks/a5.jpg")
    result = usrn_init(tmp_path)
    assert result.exit_code == 4
    assert "error: 6 error(s) in the files" in result.stderr
    for line in (
        "photos/a6.png cannot be read as an image",
        "masks/a0.png is empty",
        "masks/a1.png is 32x10 pixels, its image",
        "rotate the mask",
        "photos/a7.jpg and ",
        "masks/a5.jpg: JPEG and WebP do not preserve mask values: create the mask again as PNG",
    ):
        assert line in result.stderr
    assert not (tmp_path / "my_project").exists() and not list(tmp_path.glob(".*"))


def test_masks_that_belong_to_nothing(tmp_path):
    write_photo(tmp_path / "photos/DSC_1.png")
    write_mask(tmp_path / "masks/frame.png", (0, 1))
    result = usrn_init(tmp_path)
    assert result.exit_code == 4
    assert "images are named DSC_1.png" in result.stderr and "masks are named frame.png" in result.stderr


@pytest.mark.parametrize("folders", [{}, {"images": "both", "masks": "both"}])
def test_jpeg_masks(tmp_path, folders):
    place = folders.get("masks", "masks")
    make_folders(
        tmp_path, COLOURS, image=folders.get("images", "photos") + "/{}.jpg", mask=place + "/{}_m.jpg"
    )
    result = usrn_init(tmp_path, **folders)
    assert result.exit_code == 4
    assert "the masks are JPEG or WebP files, such as" in result.stderr
    assert "converting the JPEG does not restore the values" in result.stderr


def test_smooth_masks(tmp_path):
    make_folders(tmp_path, COLOURS)
    mask = Image.open(tmp_path / "masks/a0.png")
    rough = (
        mask.rotate(20)
        .resize((80, 60), Image.Resampling.BICUBIC)
        .resize(SIZE[::-1], Image.Resampling.BICUBIC)
    )
    rough.save(tmp_path / "masks/a0.png")
    result = usrn_init(tmp_path)
    assert result.exit_code == 4
    assert "only in specks of about one pixel" in result.stderr and "  - a0 alone contains" in result.stderr


def test_two_kinds_of_masks(tmp_path):
    make_folders(tmp_path, COLOURS)
    write_mask(tmp_path / "masks/a3.png", (0, 1))
    result = usrn_init(tmp_path)
    assert result.exit_code == 4 and "the masks contain both colours and grey values" in result.stderr
    assert "  - a3: L" in result.stderr


@pytest.mark.parametrize("used", ["file", "folder"])
def test_a_place_that_is_taken(tmp_path, used):
    make_folders(tmp_path)
    taken = tmp_path / ("my_project" if used == "file" else "my_project/mine.txt")
    taken.parent.mkdir(exist_ok=True)
    taken.write_text("mine")
    result = usrn_init(tmp_path)
    assert result.exit_code == 9
    assert "my_project exists already and is not an empty folder" in result.stderr
    assert taken.read_text() == "mine"


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    make_folders(tmp_path)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(create, "load_dataset", interrupted)
        result = usrn_init(tmp_path, "--quiet")
    assert result.exit_code == 130 and result.stderr == "interrupted\n"
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "masks"}


def test_a_folder_that_cannot_be_written(tmp_path):
    make_folders(tmp_path)
    (tmp_path / "file").write_text("")
    result = usrn_init(tmp_path, name="file/project")
    assert result.exit_code == 9
    assert f"cannot be written: {tmp_path}/file is a file" in result.stderr
