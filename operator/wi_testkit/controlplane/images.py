"""Container images made of a few static files, without any build tool."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Image:
    """An image called ``name`` with ``files`` (path in the image → file here), which starts ``entrypoint``.

    ``links`` maps a path in the image to the path it points at.
    """

    name: str
    entrypoint: Sequence[str]
    files: Mapping[str, Path]
    links: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Write it to ``path`` as a docker archive, which containerd and buildah import."""
        draft = path.with_suffix(".draft")
        draft.parent.mkdir(parents=True, exist_ok=True)
        layer = self._render_layer()
        config = self._render_config(f"sha256:{hashlib.sha256(layer).hexdigest()}")
        manifest = [{"Config": "config.json", "RepoTags": [self.name], "Layers": ["layer.tar"]}]
        with tarfile.open(draft, "w") as archive:
            _add(archive, "layer.tar", layer)
            _add(archive, "config.json", json.dumps(config).encode())
            _add(archive, "manifest.json", json.dumps(manifest).encode())
        return draft.rename(path)

    def _render_layer(self) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as layer:
            for target, source in self.files.items():
                _add(layer, target.lstrip("/"), source.read_bytes(), mode=0o755)
            for target, goal in self.links.items():
                entry = tarfile.TarInfo(target.lstrip("/"))
                entry.type, entry.linkname = tarfile.SYMTYPE, goal
                layer.addfile(entry)
        return buffer.getvalue()

    def _render_config(self, layer: str) -> dict[str, object]:
        return {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Entrypoint": list(self.entrypoint), "Env": ["PATH=/bin:/"]},
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        }


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    # No times and owners of ours: the same files make the same image.
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
