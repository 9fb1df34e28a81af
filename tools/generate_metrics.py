"""Write metrics and log keys into docs/operations/, below the markers; ``--check`` only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from generated import ROOT, bring_up_to_date, fill_below

from wi_operator.admission import metrics as admission
from wi_operator.cluster import pulse
from wi_operator.core import log_keys
from wi_operator.core import metrics as core
from wi_operator.issuer import metrics as issuer
from wi_operator.reconcile import metrics as reconcile

FOLDER = ROOT / "docs" / "operations"
MARKER = "<!-- Everything below is generated from the code: make docs -->\n"
PARTS = {
    "Every process": (*core.SPECS, *pulse.SPECS),
    "Controller": reconcile.SPECS,
    "Issuer": issuer.SPECS,
    "Webhook": admission.SPECS,
}


def main() -> int:
    """Return 1 when a page differs from the code."""
    pages = {FOLDER / "metrics.md": render_metrics(), FOLDER / "logs.md": render_keys()}
    return bring_up_to_date({page: fill_below(page, MARKER, lines) for page, lines in pages.items()}, "make docs")


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
