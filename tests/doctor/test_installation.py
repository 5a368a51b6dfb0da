from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from usrn_keras.doctor import installation
from usrn_keras.doctor.installation import Installation, look_at_installation, try_packages
from usrn_keras.doctor.process import Ended
from usrn_keras.errors import BackendError

BOUNDS = {
    "keras": SpecifierSet(">=3.15,<4"),
    "numpy": SpecifierSet(">=2.4"),
    "jax": SpecifierSet(">=0.10"),
}


def made(broken=None, **versions):
    every = dict.fromkeys(installation.SHOWN) | {"keras": "3.15.1", "numpy": "2.4.6", "jax": "0.10.2"}
    return Installation("3.11.7", "Linux x86_64", every | versions, BOUNDS, broken or {})


def test_what_was_tested_is_no_finding():
    assert made().findings() == []


def test_versions_out_of_bounds_are_one_finding_with_one_command():
    (finding,) = made(keras="4.0", numpy="2.3.9", jax="0.11").findings()
    assert finding.name == "packages_untested" and not finding.breaks
    assert finding.lines == ("keras 4.0, needs <4,>=3.15", "numpy 2.3.9, needs >=2.4")
    assert finding.advice == "pip install 'keras<4,>=3.15' 'numpy>=2.4'"


def test_a_local_build_and_a_preview_count_as_their_version():
    assert made(keras="3.16.0.dev1", numpy="2.4.6+local").findings() == []


def test_missing_packages_break_training_but_for_backends():
    (finding,) = made(numpy=None, jax=None).findings()
    assert finding.error is BackendError
    assert finding.message.endswith("not installed: numpy")
    assert made().lines()[1].endswith("keras-cv (not installed)")


def test_packages_that_cannot_be_loaded_break_training():
    broken = {"numpy": "ImportError: wrong ABI", "cv2": "ModuleNotFoundError: no cv2"}
    (finding,) = made(broken).findings()  # OpenCV is not installed here at all
    assert finding.error is BackendError
    assert finding.message == "numpy 2.4.6 cannot be loaded: ImportError: wrong ABI"
    assert finding.advice == "pip install --force-reinstall numpy"


def test_a_checkout_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(installation, "DISTRIBUTION", "no-such-package-of-ours")
    (finding,) = look_at_installation(Ended({}, "", ())).findings()
    assert finding.name == "not_installed" and finding.level == "note"


def test_this_installation():
    found = look_at_installation(Ended({}, "", ()))
    assert found.findings() == []
    assert str(found.bounds["torch"]).startswith(">=")
    assert "pytest" not in found.bounds  # of an extra
    assert f"keras {found.versions['keras']}" in found.lines()[1]


def test_the_process_names_what_is_broken(tmp_path, monkeypatch):
    monkeypatch.setattr(installation, "MODULES", {"json": "a", "numpy": "numpy", "broken": "b"})
    (tmp_path / "broken.py").write_text("import nothing_like_this")
    (tmp_path / "numpy.py").write_text("raise ImportError('wrong ABI\\nlast line')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with try_packages() as child:
        found = look_at_installation(child.finish()).broken
    assert found == {
        "numpy": "ImportError: last line",
        "broken": "ModuleNotFoundError: No module named 'nothing_like_this'",
    }


@pytest.mark.parametrize("failure", ["killed by SIGSEGV: exit code -11"])
def test_a_crash_while_they_are_loaded(failure):
    (finding,) = look_at_installation(Ended(None, failure, ())).findings()
    assert finding.breaks and failure in finding.message
