"""What README, CLAUDE.md, docs and commands name exists: commands, jobs, files and Python names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from engine.cli import dbb, nba
from engine.feature_definitions import FeatureDefinitions
from engine.local.bundle import read_bundle
from engine.settings import Section
from engine.source_definitions import TablesSource

PROGRAMS = {"dbb": dbb.main, "nba": nba.main}
PLACEHOLDERS = {"PATH": "file.csv", "DAY": "2026-03-03", "TARGET": "dev", "…": ""}
PAGES = ("README.md", "CLAUDE.md", "docs/*.md", ".claude/commands/*.md")


def pages(repository: Path) -> dict[str, str]:
    """Every page by its path in the repository."""
    files = [file for pattern in PAGES for file in sorted(repository.glob(pattern))]
    return {str(file.relative_to(repository)): file.read_text(encoding="utf-8") for file in files}


def code(text: str) -> list[str]:
    """Inline code and the lines of code blocks; a line break inside inline code is a space."""
    blocks = re.findall(r"```.*?\n(.*?)```", text, flags=re.DOTALL)
    rest = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    inline = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", rest)]
    return [*inline, *(line for part in blocks for line in part.splitlines())]


def matches(repository: Path, pattern: str) -> list[tuple[str, str]]:
    """(page, match) of a pattern in the code of all pages."""
    return [
        (page, match)
        for page, text in pages(repository).items()
        for line in code(text)
        for match in re.findall(pattern, line)
    ]


def parse(program: click.Group, text: str) -> None:
    """Parse a command's arguments as click would, without running it."""
    for placeholder, value in PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    verb, *arguments = shlex.split(text, comments=True)
    command = program.commands[verb]
    if arguments and "$ARGUMENTS" not in arguments:  # a verb alone only names the command
        command.make_context(verb, arguments)


@pytest.mark.parametrize("program", PROGRAMS)
def test_documented_commands_parse(repository: Path, program: str) -> None:
    """Each `dbb` and `nba` command of a page has an existing verb and arguments that it takes."""
    commands = matches(repository, rf"(?:^|# = )(?:uv run )?{program} (\w.*)$")
    assert len(commands) > 3
    for page, text in commands:
        try:
            parse(PROGRAMS[program], text)
        except (click.ClickException, KeyError) as error:
            pytest.fail(f"{page}: {program} {text}: {error}")


def test_documented_jobs_and_parameters_exist(repository: Path) -> None:
    """Each job that a page runs is in databricks.yml, and takes its `--params`."""
    jobs = read_bundle(repository / "databricks.yml", "dev").jobs
    runs = matches(repository, r"\b(?:dbb|bundle) run (\w+)(.*)$")
    assert runs
    for page, (job, rest) in runs:
        assert job in jobs, page
        for given in re.findall(r"--params (\S+)", rest):
            names = {pair.split("=")[0] for pair in given.split(",")}
            assert names <= set(jobs[job].parameters), page


def test_documented_make_targets_exist(repository: Path) -> None:
    """Each `make TARGET` of a page is in the Makefile."""
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = [
        name
        for _, line in matches(repository, r"^make (.+)$")
        for name in line.split("#")[0].split()
    ]
    assert named
    assert set(named) <= targets


def test_documented_files_exist(repository: Path) -> None:
    """Each link and each path in code leads to a file of the repository."""
    linked = [
        (page, str(Path(page).parent / target))
        for page, text in pages(repository).items()
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", text)
    ]
    paths = matches(repository, r"^[\w.]+/[\w./-]+\.(?:py|md|yml|toml|sh)$")
    benchmarks = [
        (page, f"benchmarks/{name}.py")
        for page, name in matches(repository, r"-m benchmarks\.(\w+)")
    ]
    named = [*linked, *paths, *benchmarks]
    missing = [f"{page}: {path}" for page, path in named if not (repository / path).exists()]
    assert not missing, "\n".join(missing)


def test_documented_modules_exist(repository: Path) -> None:
    """Each `policies.…`, `simulation.…` or `engine.…` name in code is a module or defined in one."""
    names = matches(repository, r"^((?:policies|simulation|engine)(?:\.\w+)+)\b")
    missing = [f"{page}: {name}" for page, name in names if not exists(repository, name)]
    assert names
    assert not missing, "\n".join(missing)


def exists(repository: Path, name: str) -> bool:
    """Whether a dotted name is a folder or a module, or stands in the module's text."""
    *parents, last = name.split(".")
    place = repository.joinpath(*parents)
    if (place / last).is_dir() or (place / f"{last}.py").is_file():
        return True
    files = [file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()]
    return any(re.search(rf"\b{last}\b", file.read_text(encoding="utf-8")) for file in files)


def test_documented_attributes_exist(repository: Path) -> None:
    """Each `Class.attribute` or `module.CONSTANT` in code stands in the text of that module."""
    names = matches(repository, r"^([A-Z]\w+\.[a-z]\w+|[a-z]\w+\.[A-Z]\w+)\b")
    folders = ("policies", "simulation", "engine")
    files = [file for folder in folders for file in (repository / folder).rglob("*.py")]
    texts = [(file.stem, file.read_text(encoding="utf-8")) for file in files]
    missing = []
    for page, name in names:
        owner, attribute = name.split(".")
        homes = [text for stem, text in texts if stem == owner or f"class {owner}" in text]
        if not any(re.search(rf"\b{attribute}\b", text) for text in homes):
            missing.append(f"{page}: {name}")
    assert names
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize(
    ("page", "model"), [("your-data.md", TablesSource), ("features.md", FeatureDefinitions)]
)
def test_documented_yaml_is_what_the_engine_reads(
    repository: Path, page: str, model: type[Section]
) -> None:
    """The example of a page about a file under conf is a whole and valid one."""
    text = (repository / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 1
    model.model_validate(yaml.safe_load(blocks[0]))
