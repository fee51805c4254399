"""What people configure: it is what the demo's world has, and mistakes are named with their place."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Callable

import pytest

from engine.config import Config, load_config
from engine.errors import ConfigError
from engine.parameters import Parameters
from engine.world.source import KNOWN
from policies.judging.selection import GRID
from simulation import demo_catalogue, demo_rules

Edit = Callable[[str, str, str], Path]


@pytest.fixture
def conf(repository: Path, tmp_path: Path) -> Path:
    """A copy of the configuration that ships."""
    shutil.copytree(repository / "conf", tmp_path / "conf")
    return tmp_path / "conf"


@pytest.fixture
def edit(conf: Path) -> Edit:
    """(file, old, new) -> the file, after its first `old` became `new`."""

    def edited(file: str, old: str, new: str) -> Path:
        path = conf / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        return path

    return edited


def line_of(path: Path, text: str) -> int:
    """The line on which a text first stands."""
    return path.read_text().split(text)[0].count("\n") + 1


def refused(conf: Path, source: str = "simulation") -> ConfigError:
    """The error that loading raises."""
    with pytest.raises(ConfigError) as caught:
        load_config(conf, source, KNOWN)
    return caught.value


def test_the_shipped_configuration_is_the_demos(conf: Path) -> None:
    """Catalogue and business rules that ship are those the demo's world was made for."""
    config = load_config(conf)
    assert config.catalogue == demo_catalogue()
    assert config.catalogue.hash == demo_catalogue().hash
    assert tuple(config.rules) == demo_rules()
    assert config.simulation is not None
    assert config.source is None


def test_a_source_replaces_sections_and_keeps_the_rest(conf: Path) -> None:
    """A log brings its catalogue, reward and gate; what it does not mention stays as it is."""
    ours, theirs = load_config(conf), load_config(conf, "hillstrom")
    assert theirs.catalogue.action_ids == ("no_contact", "mens_email", "womens_email")
    assert theirs.engine.reward.range == (0.0, 1.0)
    assert theirs.engine.gate.incumbent == "baseline:fixed:mens_email"
    assert theirs.engine.exploration == ours.engine.exploration
    assert theirs.engine.drift == ours.engine.drift


def test_a_reward_matures_after_window_and_lag(conf: Path) -> None:
    """What may be reported `lag_days` late is complete at the next midnight after that."""
    reward = load_config(conf).engine.reward
    assert (reward.window_days, reward.lag_days, reward.matured_after_days) == (1, 2, 4)


def test_a_grid_may_be_declared(conf: Path, edit: Edit) -> None:
    """What training tries is the configuration's; left out, it is the project's own grid."""
    assert load_config(conf).engine.training.grid == GRID
    edit("engine.yml", "  # grid:", "  grid: [{learning_rate: 0.3}, {cb_type: dr, bins: 4}]\n  #")
    assert load_config(conf).engine.training.grid == (
        {"learning_rate": 0.3},
        {"cb_type": "dr", "bins": 4},
    )


@pytest.mark.parametrize(
    ("grid", "what", "hint"),
    [
        ("[{passes: 1, learning_rte: 0.3}]", "learning_rte", "'learning_rate'"),
        ("[{passes: 1, cb_type: mtrr}]", "unknown cb_type 'mtrr'", "'mtr'"),
        ("[{passes: 1, bins: many}]", "bins must be a whole number, and is 'many'", ""),
        ("[{passes: 1}, {passes: 1}]", "same learner twice", ""),
    ],
)
def test_mistakes_in_the_grid_are_named(
    conf: Path, edit: Edit, grid: str, what: str, hint: str
) -> None:
    """An unknown or impossible setting of a learner is an error at its line of the file."""
    path = edit("engine.yml", "  # grid:", f"  grid: {grid}\n  # ")
    error = refused(conf)
    assert what in error.what
    assert hint in str(error.hint or "")
    assert f"{path}:{line_of(path, 'grid: [')}, training.grid[" in str(error.where)


MISTAKES = {
    "unknown key": ("engine.yml", "window_days:", "windov_days:", "windov_days", "window_days"),
    "unknown section": ("engine.yml", "\ndrift:", "\ndrifts:", "drifts", "drift"),
    "unknown key of an action": ("actions.yml", "cost: 0.01", "price: 0.01", "price", "known here"),
    "missing key": ("engine.yml", "  fit_share: 0.65", "  # gone", "fit_share", "add fit_share"),
    "wrong type": ("engine.yml", "psi: 0.2", "psi: high", "number", "see the comments"),
    "out of range": ("engine.yml", "floor: 0.02", "floor: 0.7", "less than 0.5", "comments"),
    "range upside down": ("engine.yml", "[-0.06, 1.0]", "[1.0, 0.0]", "lowest", "comments"),
    "range without costs": ("engine.yml", "[-0.06, 1.0]", "[0.0, 1.0]", "costs 0.06", "[-0.06"),
    "floor without room": ("engine.yml", "floor: 0.02", "floor: 0.2", "6 actions", "at most"),
    "rule of no action": (
        "engine.yml",
        "action: app_push",
        "action: app_psh",
        "app_psh",
        "'app_push'",
    ),
    "rule that is no predicate": (
        "engine.yml",
        "visits_7d >= 1",
        "visits_7d >=",
        "predicate",
        "use",
    ),
    "incumbent that is no baseline": (
        *("engine.yml", "baseline:business_rules", "baseline:busines_rules"),
        *("busines_rules", "'baseline:business_rules'"),
    ),
    "action that repeats": ("actions.yml", "id: app_push", "id: email_news", "email_news", ""),
    "action's predicate": ("actions.yml", "contacts_7d < 6", "contacts_7d << 6", "", "use columns"),
    "an id that is no name": (
        "actions.yml",
        "id: email_news",
        "id: email-news",
        "'email-news' is not a name",
        "names here match",
    ),
    "no contact restricted": (
        "actions.yml",
        "group: none",
        "group: none\n    channel: email",
        "restricted",
        "remove",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(conf: Path, edit: Edit, mistake: str) -> None:
    """Each mistake says what is wrong and gives a hint, and points into the file it stands in."""
    file, old, new, what, hint = MISTAKES[mistake]
    path = edit(file, old, new)
    error = refused(conf)
    assert what in error.what
    assert hint in (error.hint or "")
    assert str(error.where).startswith(f"{path}:")


@pytest.mark.parametrize(
    ("file", "right", "wrong", "keys"),
    [
        ("engine.yml", "window_days: 1", "windov_days: 1", "reward.windov_days"),
        ("engine.yml", "action: app_push", "action: app_psh", "business_rules[1].action"),
        ("actions.yml", "contacts_7d < 4", "contacts_7d << 4", "actions[2].eligible_when"),
        ("actions.yml", "cost: 0.002", "cost: dear", "actions[1].cost"),
        ("actions.yml", "tenure_days >= 90", "tenure_dais >= 90", "actions[5].suitable_when"),
        ("engine.yml", "plan = 'premium'", "plans = 'premium'", "business_rules[0].when"),
    ],
)
def test_mistakes_have_a_line_and_a_key_path(
    conf: Path, edit: Edit, file: str, right: str, wrong: str, keys: str
) -> None:
    """The place is the very line of the file, and the path of the key."""
    path = edit(file, right, wrong)
    assert refused(conf).where == f"{path}:{line_of(path, wrong)}, {keys}"


def test_a_source_that_maps_to_no_action(conf: Path, edit: Edit) -> None:
    """A value of the log that maps to an action the catalogue lacks is named with its line."""
    path = edit("sources/hillstrom.yml", "Mens E-Mail: mens_email", "Mens E-Mail: men_email")
    error = refused(conf, "hillstrom")
    assert error.where == f"{path}:{line_of(path, 'Mens E-Mail')}, columns.actions.Mens E-Mail"
    assert error.hint == "did you mean 'mens_email'?"


def test_predicates_read_what_there_is(conf: Path, edit: Edit) -> None:
    """A column that is no feature is refused with the closest one; a consent may be read."""
    edit("actions.yml", "tenure_days >= 90", "tenure_days >= 90 AND consent_phone")
    load_config(conf, known=KNOWN)
    edit("actions.yml", "tenure_days >= 90", "tenure_dais >= 90")
    assert refused(conf).hint == "did you mean 'tenure_days'?"
    path = edit("sources/hillstrom.yml", 'when: "TRUE"', "when: recencie > 3")
    error = refused(conf, "hillstrom")
    assert error.where == f"{path}:{line_of(path, 'recencie')}, business_rules[0].when"
    assert error.hint == "did you mean 'recency'?"


def test_a_mistake_in_a_sources_settings_points_into_its_file(conf: Path, edit: Edit) -> None:
    """Settings that a source replaces are blamed on the source's file, not on engine.yml."""
    path = edit("sources/hillstrom.yml", "reserve_days: 5", "reserve_dais: 5")
    error = refused(conf, "hillstrom")
    assert error.where == f"{path}:{line_of(path, 'reserve_dais')}, training.reserve_dais"
    assert error.hint == "did you mean 'reserve_days'?"


def test_an_unknown_source_is_named(conf: Path) -> None:
    """A source without a file says which there are."""
    assert refused(conf, "hillstorm").hint == "did you mean 'hillstrom'?"


def test_a_folder_without_configuration_is_said(tmp_path: Path) -> None:
    """A wrong conf_dir names the file that is not there."""
    error = refused(tmp_path)
    assert (error.what, error.hint) == ("There is no file engine.yml.", "check conf_dir")


GIVEN = {
    **{
        "catalog": "juan_dev",
        "schema": "nba",
        "as_of": "2026-03-02",
        "source": "",
        "source_path": "",
    },
    **{"conf_dir": "", "volume": "/tmp/volume", "experiment": "/Shared/nba"},
}


def test_empty_parameters_have_defaults() -> None:
    """Without a source it is the simulation, and the configuration lies in `conf`."""
    found = Parameters.parse(GIVEN)
    assert (found.source, found.conf_dir, found.as_of) == (
        "simulation",
        Path("conf"),
        dt.date(2026, 3, 2),
    )


@pytest.mark.parametrize(
    ("change", "what", "hint"),
    [
        (
            {"as_of": "2026-3-2"},
            "as_of must be a date such as 2026-03-02, and is '2026-3-2'",
            "--params as_of=",
        ),
        ({"as_of": ""}, "as_of must be a date", "--params as_of"),
        ({"asof": "2026-03-02"}, "no job parameter 'asof'", "'as_of'"),
    ],
)
def test_wrong_parameters_are_named(change: dict[str, str], what: str, hint: str) -> None:
    """A parameter that is unknown or no date is refused with a hint."""
    with pytest.raises(ConfigError) as caught:
        Parameters.parse({**GIVEN, **change})
    assert what in caught.value.what
    assert hint in (caught.value.hint or "")


def test_missing_parameters_are_listed() -> None:
    """All job parameters that are missing are named at once."""
    with pytest.raises(ConfigError, match="volume, experiment"):
        Parameters.parse({name: GIVEN[name] for name in Parameters.names()[:-2]})


def test_configuration_is_immutable(conf: Path) -> None:
    """What has been read cannot be changed behind somebody's back."""
    config: Config = load_config(conf)
    with pytest.raises(Exception, match="frozen"):
        config.engine.gate.alpha = 0.5  # type: ignore[misc]
