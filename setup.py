"""The packages alone; everything else is in pyproject.toml.

`cli/` and `recipes/` are installed under names that cannot clash with other projects,
and `find_packages` keeps new folders of `usrn_keras/` from being left out of the wheel.
Neither can be said in pyproject.toml together.
"""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["usrn_keras", "usrn_keras.*"]), "usrn_cli", "usrn_recipes"])
