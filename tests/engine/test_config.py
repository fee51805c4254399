"""What people configure: it is what the demo's world has, and mistakes are named with their place."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from typing import Callable

import pytest

from engine.bundle import schema
from engine.config import Config, load_config, source_files
from engine.errors import ConfigError
from engine.local.validation import bundle_checks
from engine.workspace import FAILED, OK
from engine.world.source import KNOWN
from policies.learning.vowpal.settings import GRID
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
    assert config.source.kind == "simulation"


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
    assert error.where == f"{path}:{line_of(path, 'recencie')}, engine.business_rules[0].when"
    assert error.hint == "did you mean 'recency'?"


def test_a_mistake_in_a_sources_settings_points_into_its_file(conf: Path, edit: Edit) -> None:
    """Settings that a source replaces are blamed on the source's file, not on engine.yml."""
    path = edit("sources/hillstrom.yml", "reserve_days: 5", "reserve_dais: 5")
    error = refused(conf, "hillstrom")
    assert error.where == f"{path}:{line_of(path, 'reserve_dais')}, engine.training.reserve_dais"
    assert error.hint == "did you mean 'reserve_days'?"


def test_an_unknown_source_is_named(conf: Path) -> None:
    """A source without a file says which there are."""
    assert refused(conf, "hillstorm").hint == "did you mean 'hillstrom'?"


def test_a_folder_without_configuration_is_said(tmp_path: Path) -> None:
    """A wrong conf_dir names the file that is not there."""
    error = refused(tmp_path)
    assert (error.what, error.hint) == ("There is no file engine.yml.", "check conf_dir")


HOSTILE = {  # (file, old, new): the key path that is blamed, and what is wrong with it
    "infinite range": (
        *("engine.yml", "[-0.06, 1.0]", "[-.inf, .inf]"),
        *("reward.range[0]", "finite number"),
    ),
    "range of NaN": ("engine.yml", "[-0.06, 1.0]", "[-0.06, .nan]", "reward.range[1]", "finite"),
    "huge range": ("engine.yml", "[-0.06, 1.0]", "[-0.06, 1.0e+308]", "reward.range[1]", "1000000"),
    "range of three": ("engine.yml", "[-0.06, 1.0]", "[-1, 0, 1]", "reward.range", "2 items"),
    "infinite outcome": (
        "engine.yml",
        "visit: 1.0",
        "visit: .inf",
        "reward.outcomes.visit",
        "finite",
    ),
    "outcome without effect": ("engine.yml", "visit: 1.0", "visit: 0", "reward", "has no effect"),
    "outcome that nothing reports": (
        *("engine.yml", "visit: 1.0", "visits: 1.0"),
        *("reward.outcomes.visits", "no outcome 'visits'"),
    ),
    "no outcome": ("engine.yml", "outcomes: #", "outcomes: {}\n  xs: #", "reward.xs", "'xs'"),
    "window of no day": (
        "engine.yml",
        "window_days: 1",
        "window_days: 0",
        "reward.window_days",
        "1",
    ),
    "window of 91 days": (
        "engine.yml",
        "window_days: 1",
        "window_days: 91",
        "reward.window_days",
        "90",
    ),
    "half a day": (
        "engine.yml",
        "window_days: 1",
        "window_days: 1.5",
        "reward.window_days",
        "integer",
    ),
    "flag for days": (
        "engine.yml",
        "window_days: 1",
        "window_days: yes",
        "reward.window_days",
        "number",
    ),
    "negative lag": ("engine.yml", "lag_days: 2", "lag_days: -1", "reward.lag_days", "equal to 0"),
    "lag of 10,000 days": ("engine.yml", "lag_days: 2", "lag_days: 10000", "reward.lag_days", "90"),
    "reserve of a million days": (
        *("engine.yml", "reserve_days: 12", "reserve_days: 1000000"),
        *("training.reserve_days", "365"),
    ),
    "reserve of 10^4000 days": (
        *("engine.yml", "reserve_days: 12", "reserve_days: 1" + "0" * 4_000),
        *("training.reserve_days", "365"),
    ),
    "share of everyone": (
        "engine.yml",
        "uniform: 0.2",
        "uniform: 1",
        "groups.uniform",
        "less than 1",
    ),
    "negative share": (
        "engine.yml",
        "holdout: 0.05",
        "holdout: -0.1",
        "groups.holdout",
        "equal to 0",
    ),
    "share of NaN": ("engine.yml", "previous: 0.05", "previous: .nan", "groups.previous", "finite"),
    "shares of more than all": (
        "engine.yml",
        "uniform: 0.2",
        "uniform: 0.95",
        "groups",
        "1 or more",
    ),
    "flag for a share": (
        "engine.yml",
        "uniform: 0.2",
        "uniform: true",
        "groups.uniform",
        "not true",
    ),
    "negative floor": (
        "engine.yml",
        "floor: 0.02",
        "floor: -0.02",
        "exploration.floor",
        "equal to 0",
    ),
    "fit of nothing": (
        "engine.yml",
        "fit_share: 0.65",
        "fit_share: 0",
        "training.fit_share",
        "than 0",
    ),
    "fit of everything": (
        "engine.yml",
        "fit_share: 0.65",
        "fit_share: 1",
        "training.fit_share",
        "1",
    ),
    "alpha of nothing": ("engine.yml", "alpha: 0.05", "alpha: 1.0e-300", "gate.alpha", "0.000001"),
    "alpha of half": ("engine.yml", "alpha: 0.05", "alpha: 0.5", "gate.alpha", "less than 0.5"),
    "infinite margin": ("engine.yml", "margin: 0.005", "margin: .inf", "gate.margin", "finite"),
    "margin beyond the range": ("engine.yml", "margin: 0.005", "margin: 2", "gate.margin", "1.06"),
    "effect beyond the range": (
        *("engine.yml", "minimum_effect: 0.01", "minimum_effect: 1.06"),
        *("gate.minimum_effect", "as wide as the range"),
    ),
    "effect of nothing": (
        *("engine.yml", "minimum_effect: 0.01", "minimum_effect: 0"),
        *("gate.minimum_effect", "0.000000001"),
    ),
    "trial of 100 years": (
        "engine.yml",
        "trial_days: 60",
        "trial_days: 36500",
        "gate.trial_days",
        "3650",
    ),
    "retention of no day": (
        "engine.yml",
        "drift: 400",
        "drift: 0",
        "retention.drift",
        "equal to 1",
    ),
    "retention of evidence": (
        *("engine.yml", "  drift: 400", "  evidence: 400"),
        *("retention.evidence", "'evidence'"),
    ),
    "commits that go before their files": (
        *("engine.yml", "commits: 30", "commits: 6"),
        *("retention", "at least as long as files"),
    ),
    "infinite drift": ("engine.yml", "psi: 0.2", "psi: .inf", "drift.psi", "finite number"),
    "drift of 10^309": ("engine.yml", "psi: 0.2", "psi: 1.0e+309", "drift.psi", "finite number"),
    "infinite learning rate": (
        *("engine.yml", "  # grid:", "  grid: [{learning_rate: .inf}]\n  #"),
        *("training.grid[0]", "learning_rate must be a number"),
    ),
    "rule of 300 parentheses": (
        *("engine.yml", "visits_7d >= 1", "(" * 300 + "visits_7d" + ")" * 300),
        *("business_rules[1].when", "limit of 25"),
    ),
    "rule of 10,000 characters": (
        *("engine.yml", "visits_7d >= 1", "visits_7d >= 1 OR " * 600 + "TRUE"),
        *("business_rules[1].when", "limit is 2,000"),
    ),
    "rule that compares a number with a text": (
        *("engine.yml", "visits_7d >= 1", "visits_7d = 'many'"),
        *("business_rules[1].when", "compares a number with a string"),
    ),
    "rule on a consent": (
        *("engine.yml", "visits_7d >= 1", "consent_push"),
        *("business_rules[1].when", "no column 'consent_push'"),
    ),
    "rule that is a flag": (
        "engine.yml",
        '"TRUE"',
        "TRUE",
        "business_rules[3].when",
        "valid string",
    ),
    "negative cost": ("actions.yml", "cost: 0.002", "cost: -5", "actions[1].cost", "equal to 0"),
    "infinite cost": (
        "actions.yml",
        "cost: 0.002",
        "cost: .inf",
        "actions[1].cost",
        "finite number",
    ),
    "cost of a million millions": (
        "actions.yml",
        "cost: 0.002",
        "cost: 1.0e+12",
        "actions[1].cost",
        "1000000",
    ),
    "unknown channel": (
        "actions.yml",
        "channel: sms",
        "channel: fax",
        "actions[3].channel",
        "no channel 'fax'",
    ),
    "channel that is no name": (
        "actions.yml",
        "channel: sms",
        "channel: s;ms",
        "actions[3].channel",
        "not a name",
    ),
    "date that is none": (
        *("actions.yml", "cost: 0.002", "valid_to: 2026-02-30"),
        *("", "'2026-02-30', which cannot be"),
    ),
    "date that is a number": (
        "actions.yml",
        "cost: 0.002",
        "valid_to: 86400",
        "actions[1].valid_to",
        "2000",
    ),
    "date of the year 1": (
        "actions.yml",
        "cost: 0.002",
        "valid_from: 0001-01-01",
        "actions[1].valid_from",
        "2000",
    ),
    "id of 10,000 characters": (
        "actions.yml",
        "id: email_news",
        "id: " + "x" * 10_000,
        "actions[1].id",
        "100",
    ),
    "id that is a flag": (
        "actions.yml",
        "id: email_news",
        "id: no",
        "actions[1].id",
        "valid string",
    ),
    "id with a path": (
        "actions.yml",
        "id: email_news",
        "id: ../x",
        "actions[1].id",
        "'../x' is not a name",
    ),
    "name of a control character": (
        *("actions.yml", "name: Newsletter", 'name: "\\a"'),
        *("actions[1].name", "is not a name"),
    ),
    "empty currency": (
        "actions.yml",
        "currency: EUR",
        "currency: ''",
        "currency",
        "at least 1 character",
    ),
    "feature that is a list": (
        *("actions.yml", "cost: 0.002", "features: {tone: [1, 2]}"),
        *("actions[1].features.tone", "valid number"),
    ),
    "infinite feature": (
        *("actions.yml", "cost: 0.002", "features: {tone: .inf}"),
        *("actions[1].features.tone", "finite number"),
    ),
    "unknown scenario": (
        *("sources/simulation.yml", "scenario: stable", "scenario: stabel"),
        *("scenario", "no scenario 'stabel'"),
    ),
    "a hundred billion customers": (
        *("sources/simulation.yml", "customers: 4000", "customers: 100000000000"),
        *("customers", "1000000"),
    ),
    "99 customers": (
        "sources/simulation.yml",
        "customers: 4000",
        "customers: 99",
        "customers",
        "100",
    ),
    "negative seed": ("sources/simulation.yml", "seed: 7", "seed: -7", "seed", "equal to 0"),
    "seed of 33 bits": (
        "sources/simulation.yml",
        "seed: 7",
        "seed: 4294967296",
        "seed",
        "4294967296",
    ),
    "history of 1,000 years": (
        *("sources/simulation.yml", "history_days: 42", "history_days: 365000"),
        *("history_days", "3650"),
    ),
    "probability of 2": (
        *("sources/hillstrom.yml", "0.3333333333333333", "2"),
        *("columns.action_probability", "equal to 1"),
    ),
    "probability of nothing": (
        *("sources/hillstrom.yml", "0.3333333333333333", "0"),
        *("columns.action_probability", "greater than 0"),
    ),
    "type that is none": (
        *("sources/hillstrom.yml", "recency: double", "recency: doubel"),
        *("columns.features.recency", "'double'"),
    ),
    "log of the year 9999": (
        *("sources/hillstrom.yml", "start: 2026-02-02", "start: 9999-12-31"),
        *("synthetic.start", "2100"),
    ),
    "log of no day": (
        "sources/hillstrom.yml",
        "days: 14",
        "days: 0",
        "synthetic.days",
        "equal to 1",
    ),
    "log shorter than its reserve": (
        *("sources/hillstrom.yml", "reserve_days: 5", "reserve_days: 12"),
        *("engine.training.reserve_days", "The log has 14 days"),
    ),
    "outcome that the log lacks": (
        *("sources/hillstrom.yml", "outcomes: {visit: 1.0}", "outcomes: {click: 1.0}"),
        *("engine.reward.outcomes.click", "no outcome 'click'"),
    ),
    "tag of Python": (
        *("sources/hillstrom.yml", "days: 14", "days: !!python/object:os.system {}"),
        *("", "has no place here"),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_settings_are_refused_at_once(conf: Path, edit: Edit, name: str) -> None:
    """A number, name or text without a sane meaning is refused with its limit, line and key."""
    file, old, new, keys, what = HOSTILE[name]
    path = edit(file, old, new)
    began = time.process_time()
    error = refused(conf, "hillstrom" if "hillstrom" in file else "simulation")
    assert time.process_time() - began < 1
    assert what in error.what
    assert error.hint
    assert len(str(error)) < 1_000
    blamed, _, key = str(error.where).partition(", ")
    assert re.fullmatch(rf"{re.escape(str(path))}:\d+(:\d+)?", blamed)
    assert key == keys


def test_validation_and_a_run_refuse_the_same(repository: Path, conf: Path, edit: Edit) -> None:
    """What only the engine's rooms know, features and scenarios, `validate-bundle` knows, too."""
    bundle = conf.parent / "databricks.yml"
    for name in ("databricks.yml", "requirements.txt", "notebooks"):
        (conf.parent / name).symlink_to(repository / name)
    checks = bundle_checks(bundle, "dev", verbose=False)
    assert {check.answer for check in checks if check.subject != schema.NAME} == {OK}
    edit("actions.yml", "tenure_days >= 90", "tenure_dais >= 90")
    edit("sources/hillstrom.yml", 'when: "TRUE"', "when: recency = 'x'")
    checks = {check.subject: check for check in bundle_checks(bundle, "dev", verbose=False)}
    for source, what in (("simulation", "tenure_dais"), ("hillstrom", "compares a number")):
        assert checks[f"source {source}"].answer == FAILED
        assert what in checks[f"source {source}"].detail
        assert refused(conf, source).what in checks[f"source {source}"].detail


def test_configuration_is_immutable(conf: Path) -> None:
    """What has been read cannot be changed behind somebody's back."""
    config: Config = load_config(conf)
    with pytest.raises(Exception, match="frozen"):
        config.engine.gate.alpha = 0.5  # type: ignore[misc]


def test_files_beside_a_source_are_none(conf: Path) -> None:
    """Features and actions of a company are no sources of their own, and are not listed as such."""
    (conf / "sources" / "telco_features.yml").write_text("features: {}\n")
    assert [file.stem for file in source_files(conf)] == ["hillstrom", "simulation"]
    error = refused(conf, "telco")
    assert error.hint == "known here: hillstrom, simulation"


def test_a_source_replaces_single_keys(conf: Path, edit: Edit) -> None:
    """A section that names some keys keeps the others, and a mistake in those is in engine.yml."""
    edit(
        "sources/hillstrom.yml",
        "training: {reserve_days: 5, fit_share: 0.65}",
        "training: {reserve_days: 5}",
    )
    ours, theirs = load_config(conf), load_config(conf, "hillstrom")
    assert theirs.engine.training.reserve_days == 5
    assert theirs.engine.training.fit_share == ours.engine.training.fit_share
    path = edit("engine.yml", "  floor: 0.02", "  floor: 0.4")
    error = refused(conf, "hillstrom")
    assert error.where == f"{path}:{line_of(path, '  floor: 0.4')}, exploration.floor"
