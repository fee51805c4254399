"""The process's environment variables: set for a block, or where nobody has set them."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest

from engine import environment


def test_what_the_owner_of_the_machine_has_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A default is set only where the variable has no value yet."""
    monkeypatch.setenv("NBA_OWN", "mine")
    monkeypatch.setenv("NBA_UNSET", "")
    monkeypatch.delenv("NBA_UNSET")
    environment.provide(NBA_OWN="ours", NBA_UNSET="ours")
    assert (os.environ["NBA_OWN"], os.environ["NBA_UNSET"]) == ("mine", "ours")


def test_variables_are_altered_for_a_block_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the block, an error included, each variable is as it was before."""
    monkeypatch.setenv("NBA_OWN", "mine")
    monkeypatch.delenv("NBA_UNSET", raising=False)
    block = environment.altered(NBA_OWN=None, NBA_UNSET="ours")
    with suppress(ValueError), block:
        inside = dict(os.environ)
        raise ValueError
    assert "NBA_OWN" not in inside
    assert inside["NBA_UNSET"] == "ours"
    assert os.environ["NBA_OWN"] == "mine"
    assert "NBA_UNSET" not in os.environ
