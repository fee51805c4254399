"""The process's environment variables: set for a block, or where nobody has set them."""

from __future__ import annotations

import os

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
    with pytest.raises(ValueError, match="inside"):  # noqa: SIM117
        with environment.altered(NBA_OWN=None, NBA_UNSET="ours"):
            assert "NBA_OWN" not in os.environ
            assert os.environ["NBA_UNSET"] == "ours"
            raise ValueError("inside")
    assert os.environ["NBA_OWN"] == "mine"
    assert "NBA_UNSET" not in os.environ
