"""Texts that are compared as a whole."""

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden(request):
    """Compare with golden/NAME.txt; a missing file is written, and the test fails once."""

    def compare(name, text):
        file = GOLDEN / f"{name}.txt"
        if not file.exists():
            file.write_text(text)
            pytest.fail(f"{file.name} was written: read it")
        assert text == file.read_text()

    return compare
