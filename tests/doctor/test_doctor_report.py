from __future__ import annotations

from usrn_keras.doctor.doctor_report import DoctorFinding, DoctorReport, DoctorSection
from usrn_keras.errors import BackendError, DataError

CHANGED = DoctorFinding("slow", "it is slow", "make it faster\nor not", ["one", "two"])
NOTED = DoctorFinding("note", "it is so", level="note")
BAD = DoctorFinding("backend", "it is broken", "fix it", error=BackendError)
ALSO = DoctorFinding("data", "no images", error=DataError)


def diagnosis(*findings):
    section = DoctorSection("part", ["a fact"], {"value": 1}, findings)
    return DoctorReport({"part": section}, ["usrn fit x"], "usrn doctor", 1.234)


def test_findings_are_sorted_and_the_first_error_is_that_of_training():
    found = diagnosis(NOTED, CHANGED, BAD, ALSO)
    assert found.findings == [BAD, ALSO, CHANGED, NOTED]
    assert isinstance(found.error, BackendError) and found.following == ["usrn doctor"]
    assert str(found.error).startswith("training cannot run here: it is broken\n  - no images\n")
    assert diagnosis(CHANGED, NOTED).error is None
    assert diagnosis(CHANGED).following == ["usrn fit x"]


def test_json_of_a_diagnosis():
    values = diagnosis(CHANGED, BAD).to_json()
    assert values["part"] == {"value": 1}
    assert values["findings"][0] == {
        "name": "backend",
        "level": "broken",
        "message": "it is broken",
        "advice": "fix it",
        "lines": [],
    }
    assert [finding["level"] for finding in values["findings"]] == ["broken", "change"]
    assert (values["trains"], values["exit_code"], values["seconds"]) == (False, 7, 1.23)
