"""Sums of quantities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wi_operator.admission.quantity import add


@pytest.mark.parametrize(
    ("first", "second", "total"),
    [
        ("1", "10m", "1010m"),
        ("990m", "10m", "1"),
        ("4Gi", "64Mi", "4160Mi"),
        ("1500Ki", "1Mi", "2524Ki"),
        ("1G", "64Mi", "1067108864"),
        ("1e3", "10m", "1000010m"),
        ("0", "0", "0"),
        ("0.5", "500m", "1"),
        ("100n", "0", "100n"),
        ("1E", "0", "976562500000000Ki"),
        (2, "10m", "2010m"),
    ],
)
def test_sums(first, second, total):
    assert add(first, second) == total


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_mebibytes_stay_mebibytes(first, second):
    expected = f"{first + second}Mi" if first + second else "0"
    assert add(f"{first}Mi", f"{second}Mi") == expected


@pytest.mark.parametrize("text", ["", "a", "1x", "1 Mi", "--1", "1eX"])
def test_what_is_none(text):
    with pytest.raises(ValueError, match="is no quantity"):
        add(text, "1")
