"""Refuse what outgrows its budget: a function over 60 lines, a module over 600, a median function of 10 or more."""

from __future__ import annotations

import ast
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("operator", "tests", "e2e", "bench", "tools")
FUNCTION_LINES = 60
MODULE_LINES = 600
MEDIAN_LINES = 10


def main() -> int:
    """Return 1 if a budget is exceeded."""
    faults: list[str] = []
    lengths: list[int] = []
    if (ROOT / "operator" / "__init__.py").exists():
        faults.append("operator/__init__.py shadows the standard library's module operator: remove it")
    for path in sorted(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT)
        text = path.read_text()
        if (lines := text.count("\n")) > MODULE_LINES:
            faults.append(f"{name}: {lines} lines, at most {MODULE_LINES}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                length = node.end_lineno - node.lineno + 1
                if name.parts[0] == "operator":
                    lengths.append(length)
                if length > FUNCTION_LINES:
                    faults.append(f"{name}:{node.lineno} {node.name}: {length} lines, at most {FUNCTION_LINES}")
    median = statistics.median(lengths) if lengths else 0
    if median >= MEDIAN_LINES:
        faults.append(f"the median function has {median} lines; it must stay below {MEDIAN_LINES}")
    print("\n".join(faults) or f"budgets kept: {len(lengths)} functions, median {median} lines")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
