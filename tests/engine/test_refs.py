"""Names of policies: parsed once, and written as tables and people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RegistryError
from engine.refs import PolicyRef

WORDS = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
MODELS = st.one_of(st.just(""), st.tuples(WORDS, WORDS, WORDS).map(".".join))
NUMBERS = st.integers(1, 10_000).map(str)
REFS = st.one_of(
    st.sampled_from(["uniform", "business_rules"]).map(PolicyRef.baseline),
    WORDS.map(lambda action: PolicyRef.baseline(f"fixed:{action}")),
    st.builds(PolicyRef, st.just("version"), MODELS, NUMBERS),
    st.builds(PolicyRef, st.just("alias"), MODELS, WORDS),
)


@given(REFS)
def test_a_ref_is_what_its_text_parses_to(ref: PolicyRef) -> None:
    """Writing a name and parsing it gives the same name."""
    assert PolicyRef.parse(str(ref)) == ref


@pytest.mark.parametrize(
    ("text", "ref", "written"),
    [
        ("baseline:fixed:email", PolicyRef("baseline", "fixed:email"), "baseline:fixed:email"),
        ("a.b.c:3", PolicyRef("version", "a.b.c", "3"), "a.b.c:3"),
        ("a.b.c@champion", PolicyRef("alias", "a.b.c", "champion"), "a.b.c@champion"),
        ("@staging", PolicyRef("alias", "", "staging"), "@staging"),
        (":3", PolicyRef("version", "", "3"), "3"),
        ("3", PolicyRef("version", "", "3"), "3"),
    ],
)
def test_each_form_is_understood(text: str, ref: PolicyRef, written: str) -> None:
    """Baselines, versions and aliases, of a named model or the target's; tables hold the number."""
    assert PolicyRef.parse(text) == ref
    assert str(ref) == written


def test_a_ref_takes_the_name_of_its_model() -> None:
    """A version is written with its model; a baseline belongs to none."""
    assert str(PolicyRef.parse("3").of("a.b.c")) == "a.b.c:3"
    assert str(PolicyRef.baseline("uniform").of("a.b.c")) == "baseline:uniform"


@pytest.mark.parametrize("text", ["", "a.b.c", "@", "a.b.c@", ":", "a.b.c:x", "a b@champion"])
def test_a_text_that_names_no_policy_is_refused(text: str) -> None:
    """What names neither a version nor an alias is an error with an example."""
    with pytest.raises(RegistryError, match=r"does not say which version.\n  Hint: write "):
        PolicyRef.parse(text)
