"""Projects: from folders of images and masks to a recipe, with everything that was assumed said."""

from usrn_keras.project.create import create_project
from usrn_keras.project.project_request import ProjectRequest
from usrn_keras.project.project_summary import Project

__all__ = ["Project", "ProjectRequest", "create_project"]
