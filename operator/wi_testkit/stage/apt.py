"""Which mirror this machine's apt uses."""

import re
from pathlib import Path

_SOURCES = Path("/etc/apt")


def find_mirror(suite: str, folder: Path = _SOURCES) -> list[str]:
    """Return the mirror from which apt takes ``suite`` here, empty when it does not: debootstrap knows a default."""
    lists = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]
    for file in filter(Path.exists, lists):
        line = re.search(rf"^deb\s+(?:\[[^]]*\]\s+)?(https?://\S+)\s+{suite}\s", file.read_text(), re.MULTILINE)
        if line:
            return [line[1]]
    for file in sorted((folder / "sources.list.d").glob("*.sources")):
        for paragraph in re.split(r"\n\s*\n", file.read_text()):
            fields = dict(re.findall(r"^(\w+):\s*(.+)$", paragraph, re.MULTILINE))
            if suite in fields.get("Suites", "").split() and "http" in fields.get("URIs", ""):
                return [fields["URIs"].split()[0]]
    return []
