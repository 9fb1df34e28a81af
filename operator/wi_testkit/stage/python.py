"""Finding uv, which installs the packages of images."""

import os
import shutil
import sys
from pathlib import Path

from wi_testkit.stage.errors import StageError


def find_uv() -> Path:
    """Return uv: ``WI_UV``, else that beside this Python, else that on ``PATH``; raises StageError."""
    if chosen := os.environ.get("WI_UV"):
        return Path(chosen)
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    if found := shutil.which("uv", path=places):
        return Path(found)
    raise StageError("uv is not on PATH; install it (pip install uv), or name it in WI_UV")
