"""What builds images: buildah on a base made with debootstrap (as root), or Docker."""

import hashlib
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wi_testkit.controlplane.packages import ensure_packages
from wi_testkit.controlplane.progress import Progress
from wi_testkit.stage.apt import find_mirror
from wi_testkit.stage.commands import run, works
from wi_testkit.stage.errors import StageError

SUITE = "bookworm"
BASE_NAME = f"localhost/wi-base:{SUITE}"
_PACKAGES = "python3,ca-certificates"
_DOCKER_BASE = f"python:3.11-slim-{SUITE}"
# Nobody reads manuals in a container.
_NEEDLESS = (
    "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache/apt", "var/lib/apt/lists",
    "var/log",
)  # fmt: skip
_BASE_FILE = "FROM scratch\nADD root.tar /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"


class Builder(ABC):
    """Builds into ``folder``; ``key`` is part of every image's hash."""

    key = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # The caller holds a lock: what is in there was left by a build that was killed.
        self.work = folder / "work"
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)

    @property
    def base_archive(self) -> Path:
        """Return where the base's docker archive stands once it was made."""
        return self.folder / f"wi-base-{hashlib.sha256(self.key.encode()).hexdigest()[:12]}.tar"

    @abstractmethod
    def make_base(self) -> None:
        """Make :attr:`base_archive`; raises StageError."""

    @abstractmethod
    def make_debian(self, suite: str, name: str, archive: Path) -> None:
        """Make an image of another Debian release with its python3; raises StageError."""

    @abstractmethod
    def build(self, containerfile: Path, context: Path, name: str, archive: Path) -> None:
        """Build ``containerfile`` on the base and write the docker archive ``archive``; raises StageError."""


def choose_builder(folder: Path, progress: Progress) -> Builder:
    """Return what this machine can build with; raises StageError when it is nothing.

    ``WI_BASE_IMAGE`` names another base (with python3 >= 3.11) for Docker.
    """
    has_parts = shutil.which("debootstrap") and shutil.which("buildah")
    if os.geteuid() == 0 and (has_parts or shutil.which("apt-get")) and not os.environ.get("WI_BASE_IMAGE"):
        ensure_packages((() if has_parts else ("buildah", "debootstrap")), progress)
        return Buildah(folder)
    if works(["docker", "info"]):
        return Docker(folder, os.environ.get("WI_BASE_IMAGE") or _DOCKER_BASE)
    raise StageError(
        "nothing can build images here: run as root (debootstrap and buildah are used then), or start Docker"
    )


class Buildah(Builder):
    """Needs no daemon, no registry and no user namespaces; its store lives only as long as one build."""

    key = f"buildah {SUITE} {_PACKAGES} {' '.join(_NEEDLESS)} {_BASE_FILE}"

    def make_base(self) -> None:
        """Bootstrap Debian and pack it."""
        self.make_debian(SUITE, BASE_NAME, self.base_archive)

    def make_debian(self, suite: str, name: str, archive: Path) -> None:
        """Likewise for any release."""
        with tempfile.TemporaryDirectory(dir=self.work) as place:
            context = Path(place) / "context"
            context.mkdir()
            _bootstrap(suite, Path(place) / "root", context / "root.tar")
            (context / "Containerfile").write_text(_BASE_FILE)
            self._build(context / "Containerfile", context, name, archive)

    def build(self, containerfile: Path, context: Path, name: str, archive: Path) -> None:
        """Build on the base's archive."""
        self._build(containerfile, context, name, archive, base=self.base_archive)

    def _build(self, containerfile: Path, context: Path, name: str, archive: Path, base: Path | None = None) -> None:
        with _open_store(self.work) as buildah, _appear_whole(archive) as draft:
            arguments = ["--build-arg", f"BASE=docker-archive:{base}"] if base else []
            run([*buildah, "build", "--isolation", "chroot", "--file", str(containerfile), "--tag", name, *arguments,
                 "--timestamp", "0", "--quiet", str(context)])  # fmt: skip
            run([*buildah, "push", "--quiet", name, f"docker-archive:{draft}:{name}"])


class Docker(Builder):
    """The machine's daemon. The base comes from where it pulls, without a login."""

    def __init__(self, folder: Path, base: str) -> None:
        super().__init__(folder)
        self.key = f"docker {base}"
        self._base = base

    def make_base(self) -> None:
        """Pull the base unless it is there, and save it under our name."""
        if not works(["docker", "image", "inspect", self._base]):
            run(["docker", "pull", "--quiet", self._base])
        run(["docker", "tag", self._base, BASE_NAME])
        self._save(BASE_NAME, self.base_archive)

    def make_debian(self, suite: str, name: str, archive: Path) -> None:
        """Pull the release with a Python on it, and save it under ``name``."""
        run(["docker", "pull", "--quiet", f"python:3-slim-{suite}"])
        run(["docker", "tag", f"python:3-slim-{suite}", name])
        self._save(name, archive)

    def build(self, containerfile: Path, context: Path, name: str, archive: Path) -> None:
        """Build on the pulled base."""
        run(["docker", "build", "--quiet", "--file", str(containerfile), "--tag", name,
             "--build-arg", f"BASE={self._base}", str(context)])  # fmt: skip
        self._save(name, archive)

    def _save(self, name: str, archive: Path) -> None:
        with _appear_whole(archive) as draft:
            run(["docker", "save", "--output", str(draft), name])


def _bootstrap(suite: str, root: Path, archive: Path) -> None:
    """Make a minimal Debian below ``root`` and pack it; a release that apt does not use is on the mirror of the other."""
    mirror = find_mirror(suite) or find_mirror(SUITE)
    run(["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", suite, str(root), *mirror])
    for folder in _NEEDLESS:
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir(parents=True)
    # Devices are the runtime's; without rights to make them debootstrap leaves other files there.
    run(
        [
            "tar",
            "--directory",
            str(root),
            "--exclude=./dev/*",
            "--numeric-owner",
            "--create",
            "--file",
            str(archive),
            ".",
        ]
    )


@contextmanager
def _open_store(folder: Path) -> Iterator[list[str]]:
    """Yield the beginning of a buildah command that has a store of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as store:
        yield ["buildah", "--storage-driver", "vfs", "--root", f"{store}/root", "--runroot", f"{store}/run"]


@contextmanager
def _appear_whole(archive: Path) -> Iterator[Path]:
    """Yield a draft that becomes ``archive`` by one rename: a killed build leaves nothing that looks good."""
    draft = archive.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    try:
        yield draft
        draft.rename(archive)
    finally:
        draft.unlink(missing_ok=True)
