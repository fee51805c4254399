"""`nba`: what its commands print, what they exit with, and where their numbers come from."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from engine.cli import nba
from engine.config import Config, load_config
from engine.errors import ConfigError, JobError, RegistryError
from engine.jobs import comparison, judgement
from engine.jobs.comparison import resolve, values_on_unseen_days
from engine.jobs.judgement import Judgement
from engine.models.baselines import baseline
from engine.models.registry import Version
from engine.monitoring.evidence_rows import evidence_rows
from engine.monitoring.health import health_rows
from engine.refs import PolicyRef
from policies import LoggedDecisions, Policy, Verdict, cross_fit, evaluate
from policies.judging.aliases import AliasHistory, Move
from policies.judging.gate import Gate, lifetime_alpha
from policies.judging.lineages import Lineage
from policies.judging.rules import RuleInput, read_rules
from simulation import scenario

MODEL = "juan_dev.demo.next_best_action"
START, CUT = dt.date(2026, 1, 1), dt.date(2026, 1, 9)
RULES, UNIFORM = "baseline:business_rules", "baseline:uniform"
NO_ROWS = pd.DataFrame()


@pytest.fixture(scope="module")
def config(repository: Path) -> Config:
    """What ships."""
    return load_config(repository / "conf")


@pytest.fixture(scope="module")
def log(config: Config) -> LoggedDecisions:
    """Twelve days of a small world, decided with exploration."""
    world = scenario("stable", 400, 3, catalogue=config.catalogue, rules=config.rules)
    return world.history(days=12, start=str(START))


def pair(config: Config) -> tuple[tuple[str, str], tuple[Policy, Policy]]:
    """Business rules and the uniform policy: their names and they."""
    first, second = (baseline(PolicyRef.parse(name), config) for name in (RULES, UNIFORM))
    return (RULES, UNIFORM), (first, second)


def acting_by_hand(wanted: np.ndarray, eligible: np.ndarray, config: Config) -> np.ndarray:
    """The share u drawn evenly; with u/m above the floor nothing else is to be done."""
    u, m = config.engine.groups.uniform, eligible.sum(axis=1, keepdims=True)
    assert (u / m >= config.engine.exploration.floor).all()
    return (1 - u) * wanted + u * eligible / m


def fake_state(
    config: Config, lineage: Optional[Lineage] = None, frozen: Optional[pd.DataFrame] = None
) -> Any:
    """The state of a day without tables: baselines, and versions that are the uniform policy."""

    def policy(ref: PolicyRef) -> Policy:
        return baseline(ref if ref.is_baseline else PolicyRef.baseline("uniform"), config)

    return SimpleNamespace(
        champion=PolicyRef.parse(RULES),
        lineage=lineage,
        lineages=[lineage] if lineage else [],
        history=AliasHistory(),
        full_name=str,
        policy=policy,
        unseen_from=lambda *_: CUT,
        evidence=lambda: pd.DataFrame() if frozen is None else frozen,
        verdicts=pd.DataFrame(columns=["model_name", "as_of"]),
    )


class Drift:
    """Stands in for the tables: a drift table with these rows about the log."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows

    def read_if_any(self, _: str) -> Any:
        """As a frame that is asked for the day's rows, and for pandas."""
        frame = SimpleNamespace(toPandas=lambda: self.rows)
        frame.where = lambda _: frame
        return frame


def run_on(
    monkeypatch: pytest.MonkeyPatch,
    log: LoggedDecisions,
    config: Config,
    state: Any,
    drift: pd.DataFrame = NO_ROWS,
) -> Any:
    """A run whose matured log is this one."""
    monkeypatch.setattr(comparison, "read_log", lambda *_: log)
    return SimpleNamespace(
        config=config,
        features={},
        tables=Drift(drift),
        registry=Versions(),
        parameters=SimpleNamespace(as_of=dt.date(2026, 1, 20), source="simulation"),
        standing=state,
    )


def test_values_are_those_of_policies(log: LoggedDecisions, config: Config) -> None:
    """The table has the numbers of `evaluate` on the unseen days, both policies as they would act."""
    values, days = values_on_unseen_days(log, *pair(config), config, CUT)
    assert log.decision_date is not None
    unseen = log.decision_date >= np.datetime64(CUT)
    part = log[unseen]
    assert days == ("2026-01-09", "2026-01-12", 4)
    for name, policy in zip(*pair(config)):
        acting = acting_by_hand(
            policy.distribution(part.contexts, part.eligible), part.eligible, config
        )
        table = values[values["policy"] == name].set_index("estimator")
        expected = evaluate(part, acting, expected_reward=cross_fit(log)[unseen])
        pd.testing.assert_frame_equal(table.drop(columns="policy"), expected, check_names=False)


def test_the_difference_is_the_paired_dr_sum(
    log: LoggedDecisions, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: Σ (p − q)·m̂ + (p − q)[a]/probability·(r − m̂[a]) over choice rows, over n."""
    run = run_on(monkeypatch, log, config, fake_state(config))
    verdict = comparison.compare_models(run, RULES, UNIFORM).verdict
    assert log.decision_date is not None
    unseen = log.decision_date >= np.datetime64(CUT)
    part, model, rows = log[unseen], cross_fit(log, by="date")[unseen], np.arange(unseen.sum())
    p, q = (
        acting_by_hand(policy.distribution(part.contexts, part.eligible), part.eligible, config)
        for policy in pair(config)[1]
    )
    weight = (p - q)[rows, part.action] / part.action_probability
    terms = ((p - q) * model).sum(axis=1) + weight * (part.reward - model[rows, part.action])
    assert verdict.n == len(part)
    assert verdict.difference == pytest.approx(terms[part.choice].sum() / len(part))
    weight = np.abs(weight)
    assert verdict.effective_n == pytest.approx(weight.sum() ** 2 / (weight**2).sum())


def test_without_an_unseen_day_there_is_no_answer(log: LoggedDecisions, config: Config) -> None:
    """When both learned from every matured day, an error says from when on they may be judged."""
    with pytest.raises(JobError, match=r"(?s)No matured day is left.*2026-01-13.*Hint") as caught:
        values_on_unseen_days(log, *pair(config), config, dt.date(2026, 1, 13))
    assert UNIFORM in str(caught.value)


@pytest.mark.parametrize("known", [10, 12])
@pytest.mark.parametrize("monitored", [False, True])
@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_the_command_and_the_job_give_the_same_verdict(
    log: LoggedDecisions,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    known: int,
    monitored: bool,
    broken: bool,
    margin: float,
) -> None:
    """On the lineage on trial the command's verdict is the one that the job makes of that day.

    Whether monitoring has run before the command, or freezes the newest days only after it.
    """
    if broken:
        log = with_wrong_probabilities(log)
    gate = config.engine.gate.model_copy(update={"margin": margin})
    changed = dataclasses.replace(config, engine=config.engine.model_copy(update={"gate": gate}))
    day, lineage = dt.date(2026, 1, 20), Lineage("a", CUT, (("1", START), ("2", CUT)))
    state = fake_state(changed, lineage)
    assert log.decision_date is not None
    early = log[log.decision_date < np.datetime64(START + dt.timedelta(days=known))]

    def load(name: str) -> Policy:
        return state.policy(PolicyRef.parse(name))

    pairing = (lineage, load, (RULES, load(RULES)), changed)
    frozen = evidence_rows(early, *pairing, NO_ROWS, day)
    whole = pd.concat([frozen, evidence_rows(log, *pairing, frozen, day)])
    health = health_rows(log, load("2"), changed)
    seen = (whole, health) if monitored else (frozen, NO_ROWS)
    command = run_on(monkeypatch, log, changed, fake_state(changed, lineage, seen[0]), seen[1])
    found = comparison.compare_models(command, ":2", "@champion")
    job = judgement.judgement(
        run_on(monkeypatch, log, changed, fake_state(changed, lineage, whole), health)
    )
    assert found.trial == "a"
    assert found.verdict.verdict == job.verdict == ("promote" if margin and not broken else "hold")
    assert found.verdict.sentence == job.sentence
    assert json.loads(json.dumps(found.verdict.rules)) == json.loads(job.row["rules"])
    for name in ("difference", "low", "high", "alpha"):
        assert getattr(found.verdict, name) == job.row[name]


def test_another_pair_is_judged_for_staging_on_the_unseen_days(
    log: LoggedDecisions, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pair that is not on trial gets the gate's reading, with the settings of the configuration."""
    run = run_on(monkeypatch, log, config, fake_state(config))
    found = comparison.compare_models(run, UNIFORM, RULES)
    verdict, gate = found.verdict, config.engine.gate
    assert (found.trial, verdict.step) == (None, "staging")
    assert verdict.alpha == lifetime_alpha(gate.alpha, 1)
    assert verdict.minimum_effect == gate.minimum_effect
    assert verdict.rules["better"]["limit"] == -gate.margin
    assert verdict.rules["effective_n"]["limit"] == Gate().min_effective_n
    assert verdict.rules["days"]["reading"] == found.days[2]


def with_wrong_probabilities(log: LoggedDecisions) -> LoggedDecisions:
    """The log with probabilities that cannot be those of the draws."""
    return dataclasses.replace(
        log, action_probability=log.action_probability / 3, distribution=None
    )


def test_a_broken_log_recommends_nothing(
    log: LoggedDecisions, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Probabilities that cannot be those of the draws hold, however good the candidate looks."""
    run = run_on(monkeypatch, with_wrong_probabilities(log), config, fake_state(config))
    verdict = comparison.compare_models(run, RULES, UNIFORM).verdict
    assert verdict.verdict == "hold"
    assert "the log cannot be trusted" in verdict.sentence


class Versions:
    """Stands in for the registry: two versions of one model."""

    model_name = MODEL

    def versions(self) -> list[Version]:
        """Both."""
        return [self.version("1"), self.version("2")]

    def version(self, number: str) -> Version:
        """One of them, with its tags."""
        days = {"1": "2026-01-05", "2": "2026-01-09"}
        if number not in days:
            raise RegistryError(f"{MODEL} has no version {number}.")
        return Version(number, {"trained_through": days[number]})


def fake_run(config: Config, as_of: dt.date = dt.date(2026, 1, 20)) -> Any:
    """A run without Spark: candidate 1 since the 10th, 2 since the 20th."""
    days = {"1": dt.date(2026, 1, 10), "2": dt.date(2026, 1, 20)}
    moves = [Move(day, "candidate", None, version) for version, day in days.items()]
    return SimpleNamespace(
        config=config,
        registry=Versions(),
        parameters=SimpleNamespace(as_of=as_of, source="simulation"),
        standing=SimpleNamespace(history=AliasHistory(moves)),
        reconcile=lambda: None,
    )


@pytest.mark.parametrize(
    ("text", "as_of", "name"),
    [
        (f"{MODEL}@candidate", 20, "2"),
        ("@candidate", 19, "1"),
        (f"{MODEL}:1", 20, "1"),
        (":2", 20, "2"),
        ("@champion", 20, "baseline:business_rules"),
        ("baseline:fixed:no_contact", 20, "baseline:fixed:no_contact"),
    ],
)
def test_a_policy_is_named_in_any_of_these_ways(
    config: Config, text: str, as_of: int, name: str
) -> None:
    """Aliases are read as of the day, that day's moves included; no champion means the incumbent."""
    assert str(resolve(fake_run(config, dt.date(2026, 1, as_of)), text)) == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@candidat", "did you mean 'candidate'"),
        ("@staging", "No version was @staging by 2026-01-20"),
        (":7", "no version 7"),
        (MODEL, f"write {MODEL}@candidate"),
        ("juan_dev.dmo.next_best_action:1", f"did you mean '{MODEL}'"),
    ],
)
def test_a_wrong_name_ends_with_a_hint(config: Config, text: str, said: str) -> None:
    """What cannot be found is said together with what there is."""
    with pytest.raises(RegistryError) as caught:
        resolve(fake_run(config), text)
    assert said in str(caught.value)


def call(*arguments: str) -> Result:
    """The command's exit code and output."""
    return CliRunner().invoke(nba.main, arguments)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, config: Config) -> Any:
    """Commands get this run instead of one on real tables."""
    run = fake_run(config)

    @contextmanager
    def instead(_: nba.Request, writes: bool = False) -> Iterator[Any]:
        yield run

    monkeypatch.setattr(nba.Request, "opened", instead)
    return run


@pytest.mark.parametrize(
    ("bounds", "code"), [((0.01, 0.03), 0), ((-0.01, 0.03), 3), ((-0.05, -0.01), 4)]
)
def test_compare_models_exits_by_recommendation_only_when_asked(
    opened: Any,
    monkeypatch: pytest.MonkeyPatch,
    log: LoggedDecisions,
    config: Config,
    bounds: tuple[float, float],
    code: int,
) -> None:
    """0 promote, 3 hold and 4 reject with --recommendation, always 0 without."""
    verdict = {0: "promote", 3: "hold", 4: "reject"}[code]
    names, policies = pair(config)
    values, days = values_on_unseen_days(log, names, policies, config, CUT)
    rules = read_rules(RuleInput(*bounds, limit=-0.005))
    judged = Verdict(
        *(verdict, "staging", 0.0, *bounds, 0.03, 5_000, 4_000, 900.0),
        rules={name: dataclasses.asdict(rule) for name, rule in rules.items()},
    )
    found = comparison.Compared(names, days, values, None, judged)
    monkeypatch.setattr(comparison, "compare_models", lambda *_: found)
    assert call("compare-models", "@candidate", "@champion").exit_code == 0
    answer = call("compare-models", "@candidate", "@champion", "--recommendation")
    assert answer.exit_code == code, answer.output
    lines = answer.stdout.splitlines()
    assert lines[0] == (
        "as of 2026-01-20: 1,600 decisions (1,482 with a choice) on 4 days,"
        " 2026-01-09 to 2026-01-12, that neither learned from"
    )
    assert lines[-8] == "gate, for @staging on these days:"
    assert lines[-3].split() == [
        "better",
        *("holds" if not code else "does not hold").split(),
        f"{bounds[0]:.4g}",
        "(limit",
        "-0.005)",
    ]
    assert lines[-1] == judged.sentence
    answer = call("compare-models", "@candidate", "@champion", "--format", "json")
    content = json.loads(answer.stdout)
    assert (content["schema_version"], content["recommendation"]["verdict"]) == (1, verdict)
    assert content["difference"]["low"] == bounds[0]
    assert content["rules"]["better"]["holds"] == (not code)
    assert [row["estimator"] for row in content["values"]] == ["ips", "snips", "dm", "dr"] * 2


def verdict_row(verdict: str) -> dict[str, Any]:
    """A row of `verdicts` of the fake run's day."""
    return {
        "verdict_id": "abc",
        "as_of": dt.date(2026, 1, 20),
        "model_name": MODEL,
        "to_alias": "staging",
        "candidate": "2",
        "incumbent": "baseline:business_rules",
        "verdict": verdict,
        "difference": 0.0,
        "low": None,
        "high": float("nan"),
        "alpha": 0.03,
        "rules": "{}",
        "log_hash": "x",
    }


def promote(
    opened: Any, monkeypatch: pytest.MonkeyPatch, judged: Judgement, *arguments: str
) -> tuple[Result, list[tuple[Judgement, str]]]:
    """`nba promote-model` where this is the judgement: the answer, and what was acted on."""
    acted: list[tuple[Judgement, str]] = []

    def act(_: Any, judged: Judgement, actor: str) -> dict[str, int]:
        acted.append((judged, actor))
        return {"verdicts": 1, "promotions": int(judged.verdict == "promote")}

    monkeypatch.setattr(judgement, "judgement", lambda _: judged)
    monkeypatch.setattr(judgement, "act", act)
    return call("promote-model", *arguments), acted


def fresh(verdict: str) -> Judgement:
    """A verdict that the gate has just given."""
    return Judgement(verdict_row(verdict), f"{verdict}: so", recorded=False)


@pytest.mark.parametrize(
    ("verdict", "code", "said"),
    [
        ("promote", 0, "version 2 is now @staging"),
        ("hold", 3, "@staging unchanged"),
        ("reject", 4, "@staging unchanged"),
    ],
)
def test_promote_model_acts_on_the_verdict_and_exits_by_it(
    opened: Any, monkeypatch: pytest.MonkeyPatch, verdict: str, code: int, said: str
) -> None:
    """Every verdict is acted on once, under the command's name, and the code says which it was."""
    judged = fresh(verdict)
    answer, acted = promote(opened, monkeypatch, judged, MODEL)
    assert answer.exit_code == code, answer.output
    assert answer.stdout.splitlines()[-2:] == [f"{verdict}: so", said]
    assert acted == [(judged, "nba promote-model")]


@pytest.mark.parametrize(("verdict", "code"), [("promote", 0), ("hold", 3), ("reject", 4)])
def test_a_dry_run_exits_likewise_and_acts_on_nothing(
    opened: Any, monkeypatch: pytest.MonkeyPatch, verdict: str, code: int
) -> None:
    """--dry-run says what would happen: no row, no alias, the same exit code."""
    answer, acted = promote(opened, monkeypatch, fresh(verdict), "--dry-run")
    assert (answer.exit_code, acted) == (code, [])
    assert answer.stdout.splitlines()[-1].startswith("dry run, nothing written: ")
    asked, _ = promote(opened, monkeypatch, fresh(verdict), "--dry-run", "--format", "json")
    content = json.loads(asked.stdout)
    assert (content["verdict"], content["moved"], content["dry_run"]) == (verdict, False, True)
    assert (content["low"], content["high"], content["rules"]) == (None, None, {})


def test_a_second_call_says_that_the_day_is_decided(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorded step is shown as one that was decided before."""
    judged = Judgement(verdict_row("promote"), "promote: so", recorded=True)
    answer, _ = promote(opened, monkeypatch, judged)
    assert answer.exit_code == 0
    assert answer.stdout.splitlines()[-1] == (
        "version 2 was moved to @staging (already decided for this day)"
    )


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        (f"{MODEL}@candidate", 3, "hold: so"),
        (f"{MODEL}:1", 2, "the gate chooses the version"),
        ("@champion", 2, "the gate chooses the version"),
        ("juan_dev.dmo.next_best_action", 1, f"did you mean '{MODEL}'"),
    ],
)
def test_promote_model_takes_a_model_and_no_version(
    opened: Any, monkeypatch: pytest.MonkeyPatch, name: str, code: int, said: str
) -> None:
    """Nobody chooses what the gate judges; an unknown model is an error with a hint."""
    answer, _ = promote(opened, monkeypatch, fresh("hold"), name)
    assert answer.exit_code == code
    assert said in answer.output


@pytest.fixture
def bundle(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's bundle and configuration, as the working folder."""
    for name in ("databricks.yml", "requirements.txt"):
        shutil.copy(repository / name, tmp_path)
    for name in ("notebooks", "conf"):
        shutil.copytree(repository / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    """Edit a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("target", ["dev", "staging", "prod"])
def test_the_bundle_that_ships_is_valid(bundle: Path, target: str) -> None:
    """Every target passes, each source is read, and prod's open source is said, not guessed."""
    answer = call("validate-bundle", target)
    assert answer.exit_code == 0, answer.output
    assert "FAILED" not in answer.output
    assert "conf/sources/hillstrom.yml" in answer.output
    assert ("not checked  source" in answer.output) == (target == "prod")
    assert "not checked  catalog" not in answer.output


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("conf/engine.yml", "drift:", "drift:\n  pis: 1", "did you mean 'psi'"),
        ("conf/sources/hillstrom.yml", "format: csv", "format: xls", "hillstrom.yml:"),
        ("databricks.yml", "05_monitoring.py", "05_watching.py", "05_watching.py"),
        ("databricks.yml", "${var.volume}", "${var.volum}", "did you mean"),
    ],
)
def test_a_mistake_fails_its_line_with_place_and_hint(
    bundle: Path, file: str, old: str, new: str, said: str
) -> None:
    """One broken file makes one FAILED line that names it, and exit code 1."""
    replace(bundle / file, old, new)
    answer = call("validate-bundle")
    failed = [line for line in answer.output.splitlines() if line.startswith("FAILED")]
    assert answer.exit_code == 1
    assert failed
    assert said in failed[0]
    assert Path(file).name in failed[0]


def test_a_missing_file_and_a_wrong_target_fail(bundle: Path) -> None:
    """requirements.txt must be there, and a target must exist."""
    (bundle / "requirements.txt").unlink()
    answer = call("validate-bundle", "--format", "json")
    content = json.loads(answer.stdout)
    failed = [each["subject"] for each in content["checks"] if each["answer"] == "FAILED"]
    assert (answer.exit_code, content["schema_version"], failed) == (1, 1, ["requirements"])
    answer = call("validate-bundle", "stagin")
    assert (answer.exit_code, "did you mean 'staging'" in answer.output) == (1, True)


def test_verbose_says_what_nobody_could_check(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a workspace catalog, schema and volume are not checked, which is no failure."""
    from engine import workspace

    monkeypatch.setattr(workspace, "workspace_configured", lambda: False)
    answer = call("validate-bundle", "--verbose")
    assert answer.exit_code == 0
    assert answer.output.count("no workspace is configured") == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["report"], 1, "uv run dbb run end_to_end_job -t dev"),
        (["report", "-t", "dve"], 1, "did you mean 'dev'"),
        (["report", "-t", "prod"], 1, "give one: --source NAME"),
        (["report", "--as-of", "tomorrow"], 2, "--as-of"),
        (["compare-models", "@candidate"], 2, "Missing argument"),
    ],
)
def test_mistakes_end_before_spark_is_started(
    bundle: Path, arguments: list[str], code: int, said: str
) -> None:
    """Where nothing has run, or the call is wrong, a sentence says what to do."""
    answer = call(*arguments)
    assert answer.exit_code == code, answer.output
    assert said in answer.output
    assert "Traceback" not in answer.output
    assert not (bundle / ".local").exists()


def test_an_unforeseen_error_ends_with_one_paragraph(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of other libraries exit with 1, their kind and first paragraph, and no traceback."""

    def fails(*_: Any) -> None:
        raise ValueError("no such thing\n\nJVM stacktrace: …")

    monkeypatch.setattr(comparison, "compare_models", fails)
    answer = call("compare-models", "a", "b")
    assert answer.exit_code == 1
    assert "Error: ValueError: no such thing\n  Hint: run again with --debug" in answer.output
    assert "stacktrace" not in answer.output


def test_an_unknown_baseline_names_the_closest(config: Config) -> None:
    """A baseline is found when its policy is made, and a slip gets a hint."""
    ref = resolve(fake_run(config), "baseline:unifrm")
    with pytest.raises(ConfigError, match="did you mean 'baseline:uniform'"):
        baseline(ref, config)


def without_progress(found: Result) -> list[str]:
    """The lines a user pipes on; click before 8.2 mixes what went to stderr into them."""
    return [line for line in found.stdout.splitlines() if not line.startswith("nba:")]


def test_simulate_leaves_a_picture_and_a_table(tmp_path: Path) -> None:
    """A simulated company's days are printed in spans, and kept as picture and CSV."""
    few = ["simulate", "--customers", "200", "--days", "20", "--out", str(tmp_path / "out")]
    found = call(*few)
    assert found.exit_code == 0, found.output
    lines = without_progress(found)
    assert lines[0].split()[:2] == ["from", "champion"]
    assert lines[-1] == f"picture: {tmp_path}/out/stable-200-0.png"
    assert (tmp_path / "out" / "stable-200-0.png").stat().st_size > 20_000
    table = pd.read_csv(tmp_path / "out" / "stable-200-0.csv")
    assert len(table) == 20
    assert (table["learned"] <= table["best"] + 0.01).all()
    told = json.loads("\n".join(without_progress(call(*few, "--format", "json"))))
    assert told["schema_version"] == 1
    assert [day["date"] for day in told["days"]][-1] == "2026-01-20"


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [("--scenario", "stabel", "did you mean 'stable'"), ("--reward", "mony", "'money'")],
)
def test_simulate_suggests_what_was_meant(option: str, value: str, hint: str) -> None:
    """A scenario or reward that is none ends with 1 and a hint."""
    found = call("simulate", option, value, "--customers", "100", "--days", "1")
    assert found.exit_code == 1
    assert hint in found.output
