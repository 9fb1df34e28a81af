"""A secret value shows nowhere but through ``reveal``."""

import pickle

import pytest

from wi_operator.core.secret import SecretValue

PLANTED = "planted-not-a-real-secret"
SECRET = SecretValue(PLANTED)


@pytest.mark.parametrize("shown", [repr(SECRET), str(SECRET), f"{SECRET}", f"{SECRET:>80}", repr([SECRET])])
def test_no_text_form_shows_it(shown):
    assert PLANTED not in shown


def test_it_is_not_pickled():
    with pytest.raises(TypeError):
        pickle.dumps(SECRET)


def test_it_has_no_truth_and_no_hash():
    with pytest.raises(TypeError):
        bool(SECRET)
    with pytest.raises(TypeError):
        hash(SECRET)


def test_it_equals_the_same_value_only():
    assert SecretValue(PLANTED) == SECRET
    assert SecretValue("other") != SECRET
    assert SECRET != PLANTED
