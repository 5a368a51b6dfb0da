"""Push a folder to the Hugging Face Hub by the package huggingface_hub.

The calls are those of its documentation; they were never tried on the Hub itself.
"""

from __future__ import annotations

from importlib.util import find_spec

from usrn_keras.errors import BackendError, ExportError
from usrn_keras.hub.hub_folder import HubFolder


def require_huggingface_hub() -> None:
    """Check that the package is installed.

    Raises:
        BackendError: It is not.
    """
    if find_spec("huggingface_hub") is None:
        raise BackendError(
            "usrn push needs the package huggingface_hub, which is not installed",
            hint="pip install huggingface_hub, or write the folder alone with --dry-run",
        )


def push_folder(folder: HubFolder, *, private: bool = True) -> str:
    """Create the repository if it does not exist, and upload the folder in one commit.

    Credentials are those of huggingface_hub: `hf auth login`, or the environment variable `HF_TOKEN`.

    Args:
        folder: Folder of `write_hub_folder`.
        private: Whether a new repository is private. An existing one keeps its visibility.

    Returns:
        Address of the commit.

    Raises:
        BackendError: The package huggingface_hub is not installed.
        ExportError: The Hub refused, or cannot be reached.
    """
    require_huggingface_hub()
    import huggingface_hub

    try:
        api = huggingface_hub.HfApi()
        api.create_repo(folder.repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=folder.repository,
            folder_path=str(folder.path),
            allow_patterns=list(folder.files),
            commit_message="Model, recipe and model card by usrn-keras",
        )
    except Exception as error:  # HTTP clients raise many types
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ExportError(
            f"{folder.repository} was not pushed",
            errors=[f"{type(error).__name__}: {' '.join(lines)[:300]}"],
            hint=f"The folder {folder.path} is complete. Log in with `hf auth login` or set HF_TOKEN, and "
            "run the same command again.",
        ) from error
    return str(commit)
