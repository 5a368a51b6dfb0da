"""Run folders: one per fit; writes are atomic, training resumes, and processes lock the folder."""

from usrn_keras.runs.reuse import reuse_stages, why_not_reused
from usrn_keras.runs.run import Run
from usrn_keras.runs.run_folder import open_run, start_run

__all__ = ["Run", "open_run", "reuse_stages", "start_run", "why_not_reused"]
