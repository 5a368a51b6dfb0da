"""Create a project with a commented recipe from folders of images and masks; all assumptions are listed."""

from usrn_keras.project.create import create_project
from usrn_keras.project.project_request import ProjectRequest
from usrn_keras.project.project_summary import Project

__all__ = ["Project", "ProjectRequest", "create_project"]
