"""A process that forbids dumps cannot be looked into by another one of its user."""

import os
import shutil
import subprocess

import pytest

from wi_operator.agent import hardening

PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin")
SLEEP = "print('up', flush=True); import time; time.sleep(30)"
LOOK = """
import os, sys
for name in ("environ", "mem", "maps", "fd"):
    path = f"/proc/{sys.argv[1]}/{name}"
    try:
        os.listdir(path) if name == "fd" else open(path, "rb").read(1)
        print("read", name)
    except OSError as error:
        print(error.strerror, name)
"""


def seen_of(folder, program):
    """Run a program and let another process of the same, powerless user look into it."""
    shutil.copy(hardening.__file__, folder / "hardening.py")
    folder.chmod(0o755)
    user = {"user": 65534, "group": 65534, "extra_groups": []}
    command = [PYTHON, "-S", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder, env={}, **user) as victim:
        assert victim.stdout.readline() == b"up\n"
        look = [PYTHON, "-IS", "-c", LOOK, str(victim.pid)]
        result = subprocess.run(look, capture_output=True, text=True, check=True, cwd="/", **user)
        victim.kill()
    return result.stdout.splitlines()


@pytest.fixture
def folder():
    import tempfile
    from pathlib import Path

    # pytest's own folders are closed to other users.
    with tempfile.TemporaryDirectory(prefix="wi-", dir="/tmp") as name:
        yield Path(name)


@pytest.mark.attack(twin="test_without_it_they_can")
@pytest.mark.skipif(os.geteuid() != 0 or not PYTHON, reason="needs root, to become another user")
def test_nobody_of_the_same_user_can_look_into_the_process(folder):
    seen = seen_of(folder, f"import sys; sys.path.insert(0, '.'); import hardening; hardening.forbid_dumps(); {SLEEP}")
    assert {line.split(maxsplit=-1)[0] for line in seen} == {"Permission"}, seen
    assert len(seen) == 4


@pytest.mark.skipif(os.geteuid() != 0 or not PYTHON, reason="needs root, to become another user")
def test_without_it_they_can(folder):
    assert "read environ" in seen_of(folder, SLEEP)
