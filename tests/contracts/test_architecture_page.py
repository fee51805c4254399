"""docs/architecture.md names the modules, layers and tables that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.data.tables import TABLES

PACKAGES = ("policies", "simulation", "engine")


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    """The page."""
    return (repository / "docs" / "architecture.md").read_text(encoding="utf-8")


def section(page: str, title: str) -> str:
    """The text under a heading."""
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


def block(page: str, title: str) -> list[str]:
    """The lines of the first code block under a heading."""
    return section(page, title).split("```")[1].strip("\n").splitlines()


def rooms(page: str) -> set[str]:
    """The modules that the page names, as dotted names; two spaces of indent are one folder."""
    modules, folders = set(), [""]
    for line in filter(None, block(page, "Rooms")):
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        folders = [*folders[: depth + 1], folders[depth] + name.replace("/", ".")]
        if not name.endswith("/"):
            modules.add(folders[-1])
    return modules


def layers(text: str) -> list[set[str]]:
    """The lines of a layers list, each as the set of names on it."""
    return [set(re.findall(r"\w+", line)) for line in text.strip().splitlines()]


def contract(repository: Path, container: str) -> list[set[str]]:
    """The layers that import-linter checks inside one package."""
    text = (repository / "pyproject.toml").read_text(encoding="utf-8")
    after = text.split(f'containers = ["{container}"]')[1]
    lines = after.split("layers = [")[1].split("\n]")[0]
    return layers(re.sub(r"#.*", "", lines))


def test_every_module_is_named_and_every_named_module_exists(repository: Path, page: str) -> None:
    """The Rooms block lists exactly the modules of the three packages."""
    files = [file for package in PACKAGES for file in (repository / package).rglob("*.py")]
    modules = {
        ".".join(file.relative_to(repository).with_suffix("").parts)
        for file in files
        if file.stem != "__init__"
    }
    wrong = [f"not on the page: {name}" for name in sorted(modules - rooms(page))]
    wrong += [f"not in the code: {name}" for name in sorted(rooms(page) - modules)]
    assert not wrong, "\n".join(wrong)


def test_every_room_says_what_it_holds(page: str) -> None:
    """Each line of the Rooms block has a description."""
    lines = list(filter(None, block(page, "Rooms")))
    assert [line for line in lines if len(line.split()) < 3] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_layers_are_those_that_are_checked(repository: Path, page: str, package: str) -> None:
    """The Layers block has the order of the import-linter contracts in pyproject.toml."""
    drawn = "\n".join(block(page, "Layers")).split(f"{package}:\n")[1].split("\n\n")[0]
    assert layers(drawn) == contract(repository, package)


def test_every_table_has_a_stage(page: str) -> None:
    """Each Delta table is read or written in the table of stages."""
    stages = section(page, "Stages")
    assert [table for table in TABLES if f"`{table}`" not in stages] == []
