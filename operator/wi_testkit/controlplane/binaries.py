"""Builds the programs of a set once, and finds them again."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from wi_testkit.controlplane.cache import find_cache, hold_lock, publish
from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.controlplane.modules import SETS, ModuleSet
from wi_testkit.controlplane.packages import ensure_packages
from wi_testkit.controlplane.progress import Progress
from wi_testkit.controlplane.toolchain import build_environment, find_go

_ERROR_LINES = 12


def locate(module_set: ModuleSet) -> Path:
    """Return the folder in which the programs of ``module_set`` stand once they are built."""
    return find_cache() / "bin" / f"{module_set.name}-{module_set.version}-{module_set.key}"


def ensure(module_set: ModuleSet, progress: Progress | None = None) -> Path:
    """Return the folder of the built programs; builds them first (minutes) unless the cache has them.

    Raises ControlPlaneError with the compiler's last lines when the build fails, MissingPackagesError when it
    needs system packages that cannot be installed.
    """
    folder = locate(module_set)
    if folder.exists():
        return folder
    progress = progress or Progress()
    # One lock for all sets: two builds side by side are slower than one after the other.
    with hold_lock("build"):
        if not folder.exists():
            _build(module_set, folder, progress)
    return folder


def ensure_all(sets: Iterable[ModuleSet] = SETS, progress: Progress | None = None) -> dict[str, Path]:
    """Build every set that the cache lacks; returns the folder of each by name."""
    progress = progress or Progress()
    return {module_set.name: ensure(module_set, progress) for module_set in sets}


def find_program(module_set: ModuleSet, program: str, progress: Progress | None = None) -> Path:
    """Return the path of one program, building its set when needed."""
    return ensure(module_set, progress) / program


def _build(module_set: ModuleSet, folder: Path, progress: Progress) -> None:
    ensure_packages(module_set.packages, progress)
    go = find_go(module_set.minimum_go, progress)
    environment = build_environment(cgo=module_set.cgo)
    with publish(folder) as draft:
        with progress.stage(f"{module_set.name} {module_set.version}: download modules"):
            _run_go([str(go), "mod", "download"], module_set, environment)
        with progress.stage(f"{module_set.name} {module_set.version}: compile {', '.join(module_set.programs)}"):
            _run_go(_render_build(go, module_set, draft), module_set, environment)
        _rename_programs(module_set, draft)


def _render_build(go: Path, module_set: ModuleSet, target: Path) -> list[str]:
    tags = ["-tags", ",".join(module_set.tags)] if module_set.tags else []
    flags = ["-mod=readonly", "-ldflags", module_set.linker_flags, *tags]
    return [str(go), "build", *flags, "-o", f"{target}/", *module_set.programs.values()]


def _rename_programs(module_set: ModuleSet, folder: Path) -> None:
    """Give each program our name: Go calls it after its package's folder, which for etcd is ``server``."""
    for program, package in module_set.programs.items():
        built = folder / _guess_output(package)
        if not built.exists():
            raise ControlPlaneError(f"building {package} left no program {built.name}")
        built.rename(folder / program)


def _guess_output(package: str) -> str:
    *_, parent, last = package.split("/")
    is_version = last.startswith("v") and last[1:].isdigit()
    return parent if is_version else last


def _run_go(command: list[str], module_set: ModuleSet, environment: dict[str, str]) -> None:
    # A compiler must not go on for minutes after its parent was killed, and write into a removed draft.
    leash = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    done = subprocess.run(
        [*leash, *command],
        cwd=module_set.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = "\n  ".join(done.stderr.strip().splitlines()[-_ERROR_LINES:])
        raise ControlPlaneError(f"building {module_set.name} failed: `go {command[1]}` says:\n  {lines}")
