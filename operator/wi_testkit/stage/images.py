"""The three images of a stage, built on this machine without any registry.

``base`` (Debian with python3, for applications), ``operator`` (the product on it) and ``testkit`` (the emulators on it);
a fourth one, with CrewAI and the example of a worker, is made for the test that wants it.
Archives are kept in the cache under a hash of all that goes into them.
"""

import hashlib
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wi_testkit.controlplane.cache import find_cache, hold_lock
from wi_testkit.controlplane.progress import Progress
from wi_testkit.stage.builders import BASE_NAME, Builder, choose_builder
from wi_testkit.stage.commands import run
from wi_testkit.stage.python import find_uv

ROOT = Path(__file__).resolve().parents[3]
_SOURCES = ROOT / "operator"
_IMAGES = ROOT / "images"
_PYTHON = "3.11"
_KEPT_ARCHIVES = 2
_TESTKIT_PACKAGES = ("aiohttp", "cryptography", "pyjwt[crypto]")
# Not the whole kit: a change of the demo would make a new image.
_EMULATOR_PARTS = (
    "wi_testkit/__init__.py", "wi_testkit/pki.py", "wi_testkit/emulation", "wi_testkit/entra", "wi_testkit/keyvault",
    "wi_testkit/stage/__init__.py", "wi_testkit/stage/inside.py",
)  # fmt: skip


_EXAMPLES = ROOT / "examples" / "workers"
_CREW_LOCK = "requirements/crewai-1.15.30.lock"
# Large, and never imported by a crew without vectors, other providers and other servers.
_CREW_NEEDLESS = (
    "lancedb", "pyarrow", "litellm", "onnxruntime", "kubernetes", "botocore", "boto3", "grpc", "celery", "gunicorn",
    "anthropic", "PIL", "pillow.libs", "pypdfium2_raw", "pdfminer", "hf_xet", "tokenizers", "uvloop",
    "chromadb_rust_bindings",
)  # fmt: skip


@dataclass(frozen=True)
class BuiltImage:
    """An image: its full name with tag, and its docker archive in the cache."""

    name: str
    archive: Path


@dataclass(frozen=True)
class ImageSet:
    """What the stage needs in a cluster."""

    base: BuiltImage
    operator: BuiltImage
    testkit: BuiltImage

    def __iter__(self) -> Iterator[BuiltImage]:
        return iter((self.base, self.operator, self.testkit))


@dataclass(frozen=True)
class _Recipe:
    """One image on the base: which folders or files of ours, which Containerfile, which requirements."""

    name: str
    containerfile: Path
    packages: tuple[str, ...]
    requirements: tuple[str, ...]
    extras: tuple[Path, ...] = ()
    lock: str = "requirements/product.lock"
    needless: tuple[str, ...] = ()

    def hash_inputs(self, builder: Builder) -> str:
        """Return the tag: a hash of everything that decides about the image's content."""
        parts = [builder.key, platform.machine(), *self.requirements, *self.needless]
        digest = hashlib.sha256("\0".join(parts).encode())
        files = [self.containerfile, *self.extras, ROOT / self.lock]
        files += [file for package in self.packages for file in _list_sources(_SOURCES / package)]
        for file in files:
            digest.update(f"\0{file.relative_to(ROOT)}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()[:12]


def _product_lock() -> Path:
    return ROOT / "requirements" / "product.lock"


def _recipes() -> tuple[_Recipe, _Recipe]:
    operator = _Recipe(
        name="wi-operator",
        containerfile=_IMAGES / "Containerfile",
        packages=("wi_operator", "wi_kickoff"),
        requirements=("--require-hashes", "--requirements", str(_product_lock().relative_to(ROOT))),
        extras=(_IMAGES / "wi-operator",),
    )
    testkit = _Recipe(
        name="wi-testkit",
        containerfile=_IMAGES / "testkit.Containerfile",
        packages=_EMULATOR_PARTS,
        requirements=(*_TESTKIT_PACKAGES, "--constraints", str(_product_lock().relative_to(ROOT))),
    )
    return operator, testkit


def ensure_crew_image(progress: Progress | None = None) -> BuiltImage:
    """Return the image with CrewAI and the examples of workers, built when the cache lacks it; raises StageError."""
    recipe = _Recipe(
        name="wi-crew",
        containerfile=_IMAGES / "crew.Containerfile",
        packages=(),
        requirements=("--no-deps", "--require-hashes", "--requirements", _CREW_LOCK),
        extras=tuple(sorted(_EXAMPLES.glob("*.py"))),
        lock=_CREW_LOCK,
        needless=_CREW_NEEDLESS,
    )
    progress = progress or Progress()
    ensure_images(progress)
    with hold_lock("stage-images"):
        return _ensure(recipe, choose_builder(find_cache() / "images" / "stage", progress), progress)


def ensure_images(progress: Progress | None = None) -> ImageSet:
    """Return the three images, building those that the cache lacks.

    Raises StageError where nothing can build them, and with the builder's last words when it fails.
    """
    progress = progress or Progress()
    with hold_lock("stage-images"):
        builder = choose_builder(find_cache() / "images" / "stage", progress)
        base = BuiltImage(BASE_NAME, builder.base_archive)
        if not base.archive.exists():
            with progress.stage(f"image {base.name}"):
                builder.make_base()
        operator, testkit = (_ensure(recipe, builder, progress) for recipe in _recipes())
    return ImageSet(base, operator, testkit)


def ensure_debian(suite: str, progress: Progress | None = None) -> BuiltImage:
    """Return an image of another Debian release with its own python3, building it when the cache lacks it."""
    progress = progress or Progress()
    with hold_lock("stage-images"):
        builder = choose_builder(find_cache() / "images" / "stage", progress)
        tag = f"{suite}-{hashlib.sha256(builder.key.encode()).hexdigest()[:12]}"
        image = BuiltImage(f"localhost/wi-debian:{tag}", builder.folder / f"wi-debian-{tag}.tar")
        if not image.archive.exists():
            with progress.stage(f"image {image.name}"):
                builder.make_debian(suite, image.name, image.archive)
    return image


def _ensure(recipe: _Recipe, builder: Builder, progress: Progress) -> BuiltImage:
    tag = recipe.hash_inputs(builder)
    image = BuiltImage(f"localhost/{recipe.name}:{tag}", builder.folder / f"{recipe.name}-{tag}.tar")
    if not image.archive.exists():
        with progress.stage(f"image {image.name}"), _prepare_context(recipe, builder.work) as context:
            _forget_old(builder.folder, recipe.name)
            builder.build(recipe.containerfile, context, image.name, image.archive)
    return image


def _forget_old(folder: Path, name: str) -> None:
    """Remove all but the newest archives: every change of a source makes another, and somebody may be loading one."""
    archives = sorted(folder.glob(f"{name}-*.tar"), key=lambda archive: archive.stat().st_mtime)
    for stale in archives[:-_KEPT_ARCHIVES]:
        stale.unlink()


@contextmanager
def _prepare_context(recipe: _Recipe, work: Path) -> Iterator[Path]:
    """Yield a build context with ``site-packages`` and the recipe's extra files."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        context = Path(folder)
        site = context / "site-packages"
        _install_requirements(recipe.requirements, site)
        for needless in recipe.needless:
            shutil.rmtree(site / needless, ignore_errors=True)
        for package in recipe.packages:
            for source in _list_sources(_SOURCES / package):
                target = site / source.relative_to(_SOURCES)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        for extra in recipe.extras:
            target = context / extra.name
            shutil.copy(extra, target)
            target.chmod(0o755)
        yield context


def _install_requirements(requirements: Iterable[str], site: Path) -> None:
    """Install wheels for the image's Python, whatever runs here. The interpreter that compiles them is the image's."""
    target = ["--target", str(site), "--python-version", _PYTHON, "--only-binary", ":all:", "--no-config"]
    target += ["--python-platform", f"{platform.machine()}-manylinux_2_28", "--link-mode", "copy", "--quiet"]
    run([find_uv(), "pip", "install", *target, *requirements], folder=ROOT)
    shutil.rmtree(site / "bin", ignore_errors=True)


def _list_sources(package: Path) -> list[Path]:
    if package.is_file():
        return [package]
    return sorted(file for file in package.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
