"""Write metrics and log keys into docs/operations/, below the markers; ``--check`` only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "operator"))

from wi_operator.admission import metrics as admission
from wi_operator.cluster import pulse
from wi_operator.core import log_keys
from wi_operator.core import metrics as core
from wi_operator.issuer import metrics as issuer
from wi_operator.reconcile import metrics as reconcile

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "operations"
MARKER = "<!-- Everything below is generated from the code: make docs -->\n"
PARTS = {
    "Every process": (*core.SPECS, *pulse.SPECS),
    "Controller": reconcile.SPECS,
    "Issuer": issuer.SPECS,
    "Webhook": admission.SPECS,
}


def main() -> int:
    """Return 1 when a page differs from the code."""
    stale = [
        page
        for page, lines in (("metrics.md", render_metrics()), ("logs.md", render_keys()))
        if not _write(page, lines)
    ]
    for page in stale:
        print(f"docs/operations/{page} is not what the code says: make docs")
    return 1 if stale else 0


def _write(page: str, lines: Iterator[str]) -> bool:
    """Bring the page up to date; tell whether it is, when it is only to be compared."""
    file = FOLDER / page
    head, marker, _ = file.read_text().partition(MARKER)
    text = head + marker + "\n".join(lines) + "\n"
    if "--check" in sys.argv:
        return bool(marker) and text == file.read_text()
    file.write_text(text)
    return bool(marker)


def render_metrics() -> Iterator[str]:
    """Yield a table per process."""
    for part, specs in PARTS.items():
        yield f"\n## {part}\n"
        yield "| metric | type | labels | meaning |"
        yield "| --- | --- | --- | --- |"
        for spec in specs:
            labels = ", ".join(f"`{label}`" for label in spec.labels)
            yield f"| `{spec.name}` | {spec.kind} | {labels} | {spec.text} |"
    yield "\nWith every process come `process_cpu_seconds_total`, `process_resident_memory_bytes` and their like."


def render_keys() -> Iterator[str]:
    """Yield the table of the keys."""
    yield "\n## Keys\n"
    yield "The first four are on every line.\n"
    yield "| key | meaning |"
    yield "| --- | --- |"
    for key, meaning in log_keys.KEYS.items():
        yield f"| `{key}` | {meaning} |"


if __name__ == "__main__":
    sys.exit(main())
