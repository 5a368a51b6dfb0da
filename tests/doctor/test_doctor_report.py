from __future__ import annotations

from usrn_keras.doctor.doctor_report import DoctorFinding, DoctorReport
from usrn_keras.errors import BackendError, DataError

CHANGED = DoctorFinding("slow", "it is slow", "make it faster\nor not", ["one", "two"])
NOTED = DoctorFinding("note", "it is so", note=True)
BAD = DoctorFinding("backend", "it is broken", "fix it", error=BackendError)
ALSO = DoctorFinding("data", "no images", error=DataError)


def report(*findings):
    return DoctorReport({"part": {"value": 1}}, findings, ["usrn fit x"], 1.234)


def test_the_first_error_is_that_of_training():
    assert report(CHANGED, NOTED).error is None
    error = report(BAD, ALSO, CHANGED).error
    assert isinstance(error, BackendError)
    assert str(error).startswith("training cannot run here: it is broken\n  - no images\n")


def test_json_of_a_report():
    values = report(BAD, CHANGED, NOTED).to_json()
    assert values["part"] == {"value": 1} and values["next"] == ["usrn fit x"]
    assert values["findings"][0] == {
        "name": "backend",
        "level": "broken",
        "message": "it is broken",
        "advice": "fix it",
        "lines": (),
    }
    assert [finding["level"] for finding in values["findings"]] == ["broken", "change", "note"]
    assert (values["trains"], values["exit_code"], values["seconds"]) == (False, 7, 1.23)
