"""Projects: from folders of images and masks to a recipe, with everything that was assumed said."""

from usrn_keras.project.create import create_project
from usrn_keras.project.report import Project
from usrn_keras.project.request import Request

__all__ = ["Project", "Request", "create_project"]
