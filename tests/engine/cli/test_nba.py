"""`nba`: what its commands print, what they exit with, and where their numbers come from."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from engine.cli import nba
from engine.config import Config, load_config
from engine.errors import ConfigError, JobError, RegistryError
from engine.jobs import comparison, judgement
from engine.jobs.comparison import compare_on_unseen_days, recommendation, resolve
from engine.jobs.judgement import Judgement
from engine.models.aliases import AliasHistory
from engine.models.baselines import baseline
from engine.models.registry import Version
from engine.refs import PolicyRef
from policies import Comparison, LoggedDecisions, Policy, compare, cross_fit, evaluate
from simulation import scenario

MODEL = "juan_dev.demo.next_best_action"
START, CUT = dt.date(2026, 1, 1), dt.date(2026, 1, 9)


@pytest.fixture(scope="module")
def config(repository: Path) -> Config:
    """What ships."""
    return load_config(repository / "conf")


@pytest.fixture(scope="module")
def log(config: Config) -> LoggedDecisions:
    """Twelve days of a small world, decided with exploration."""
    world = scenario("stable", 400, 3, catalogue=config.catalogue, rules=config.rules)
    return world.history(days=12, start=str(START))


def pair(config: Config) -> tuple[tuple[str, Policy], tuple[str, Policy]]:
    """Business rules and the uniform policy, by name."""
    names = ("baseline:business_rules", "baseline:uniform")
    first, second = ((name, baseline(PolicyRef.parse(name), config)) for name in names)
    return first, second


def acting_by_hand(wanted: np.ndarray, eligible: np.ndarray, config: Config) -> np.ndarray:
    """The share u drawn evenly; with u/m above the floor nothing else is to be done."""
    u, m = config.engine.groups.uniform, eligible.sum(axis=1, keepdims=True)
    assert (u / m >= config.engine.exploration.floor).all()
    return (1 - u) * wanted + u * eligible / m


def test_values_and_difference_are_those_of_policies(log: LoggedDecisions, config: Config) -> None:
    """The same numbers as `policies` gives on the kept days, both policies as they would act."""
    ours, theirs = pair(config)
    found = compare_on_unseen_days(log, ours, theirs, config, CUT)
    assert log.decision_date is not None
    kept = log.decision_date >= np.datetime64(CUT)
    part = log[kept]
    acting = [
        acting_by_hand(policy.distribution(part.contexts, part.eligible), part.eligible, config)
        for _, policy in (ours, theirs)
    ]
    assert found.days == ("2026-01-09", "2026-01-12", 4)
    model = cross_fit(log, by="date")[kept]
    margin = config.engine.gate.margin
    expected = compare(part, *acting, expected_reward=model, interval="sequence", margin=margin)
    assert found.difference.to_dict() == pytest.approx(expected.to_dict())
    for name, each in zip(found.names, acting):
        table = found.values[found.values["policy"] == name].set_index("estimator")
        asked = evaluate(part, each, expected_reward=cross_fit(log)[kept])
        pd.testing.assert_frame_equal(table.drop(columns="policy"), asked, check_names=False)


def test_the_difference_is_the_paired_dr_sum(log: LoggedDecisions, config: Config) -> None:
    """By hand: Σ (p − q)·m̂ + (p − q)[a]/probability·(r − m̂[a]) over choice rows, over n."""
    ours, theirs = pair(config)
    found = compare_on_unseen_days(log, ours, theirs, config, None)
    p, q = (
        acting_by_hand(policy.distribution(log.contexts, log.eligible), log.eligible, config)
        for _, policy in (ours, theirs)
    )
    model, rows = cross_fit(log, by="date"), np.arange(len(log))
    direct = ((p - q) * model).sum(axis=1)
    weight = (p - q)[rows, log.action] / log.action_probability
    terms = direct + weight * (log.reward - model[rows, log.action])
    assert found.difference.n == len(log)
    assert found.difference.difference == pytest.approx(terms[log.choice].sum() / len(log))
    ips = found.values.set_index(["policy", "estimator"]).loc[(ours[0], "ips"), "value"]
    weight = p[rows, log.action] / log.action_probability
    assert ips == pytest.approx((weight * log.reward).mean())


def test_without_an_unseen_day_there_is_no_answer(log: LoggedDecisions, config: Config) -> None:
    """When both learned from every matured day, an error says from when on they may be judged."""
    with pytest.raises(JobError, match=r"(?s)No matured day is left.*2026-01-13.*Hint") as caught:
        compare_on_unseen_days(log, *pair(config), config, dt.date(2026, 1, 13))
    assert "baseline:uniform" in str(caught.value)


def test_a_broken_log_recommends_nothing(log: LoggedDecisions, config: Config) -> None:
    """Probabilities that cannot be those of the draws hold, however good the candidate looks."""
    wrong = LoggedDecisions(
        log.action_ids,
        log.action,
        log.action_probability / 3,
        log.reward,
        eligible=log.eligible,
        contexts=log.contexts,
        decision_date=log.decision_date,
        customer_id=log.customer_id,
        reward_range=log.reward_range,
    )
    found = compare_on_unseen_days(wrong, *pair(config), config, CUT)
    assert found.verdict == "hold"
    assert "the log cannot be trusted" in found.reason


def gap(low: float, high: float, verdict: str, **changed: Any) -> Comparison:
    """A difference with these bounds."""
    fixed: dict[str, Any] = {
        "difference": (low + high) / 2,
        "std_error": 0.01,
        "n": 5_000,
        "n_choice": 4_000,
        "effective_n": 900.0,
        "estimator": "dr",
        "interval": "sequence",
        "confidence": 0.95,
        "margin": 0.005,
        "range": "declared",
    }
    return Comparison(low=low, high=high, verdict=verdict, **{**fixed, **changed})


@pytest.mark.parametrize(
    ("found", "verdict", "reason"),
    [
        (gap(0.01, 0.03, "promote"), "promote", "+0.0100 lies above 0"),
        (gap(-0.002, 0.03, "promote"), "promote", "-0.0020 clears the margin of -0.0050"),
        (gap(-0.01, 0.03, "hold"), "hold", "either side of the margin of -0.0050"),
        (gap(-0.05, -0.01, "reject"), "reject", "-0.0100 lies below the margin"),
        (gap(0.01, 0.03, "promote", effective_n=99.0), "hold", "only 99 effective"),
        (gap(0.0, 0.0, "promote", effective_n=0.0), "hold", "both would act the same"),
        (gap(0.01, 0.03, "promote", range="learned"), "hold", "not declared"),
        (gap(-0.05, -0.01, "reject", range="learned"), "hold", "not declared"),
        (gap(-0.05, -0.01, "reject", effective_n=99.0), "reject", "lies below"),
    ],
)
def test_the_recommendation_asks_what_the_gate_asks(
    found: Comparison, verdict: str, reason: str
) -> None:
    """Bounds against the margin decide, and nothing is promoted that the gate would hold."""
    said, why = recommendation(found, [])
    assert (said, reason in why) == (verdict, True), why


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
    moves = [
        {"alias": "candidate", "to_version": each, "as_of": day, "moved_at": dt.datetime.min}
        for each, day in (("1", dt.date(2026, 1, 10)), ("2", dt.date(2026, 1, 20)))
    ]
    return SimpleNamespace(
        config=config,
        registry=Versions(),
        parameters=SimpleNamespace(as_of=as_of, source="simulation"),
        standing=SimpleNamespace(history=AliasHistory(pd.DataFrame(moves))),
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
    def instead(_: nba.Request) -> Iterator[Any]:
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
    real = compare_on_unseen_days(log, *pair(config), config, CUT)
    found = comparison.Compared(
        real.names, real.days, real.values, gap(*bounds, verdict), verdict, "because"
    )
    monkeypatch.setattr(comparison, "compare_models", lambda *_: found)
    assert call("compare-models", "@candidate", "@champion").exit_code == 0
    answer = call("compare-models", "@candidate", "@champion", "--recommendation")
    assert answer.exit_code == code, answer.output
    lines = answer.stdout.splitlines()
    assert lines[0] == (
        "as of 2026-01-20: 5,000 decisions (4,000 with a choice) on 4 days,"
        " 2026-01-09 to 2026-01-12, that neither learned from"
    )
    assert lines[-2].endswith(f"{bounds[0]:+.4f} to {bounds[1]:+.4f} at 95%, whenever one looks")
    assert lines[-1] == f"{verdict}: because"
    asked = call("compare-models", "@candidate", "@champion", "--format", "json")
    content = json.loads(asked.stdout)
    assert (content["schema_version"], content["recommendation"]["verdict"]) == (1, verdict)
    assert content["difference"]["low"] == bounds[0]
    assert [each["estimator"] for each in content["values"]] == ["ips", "snips", "dm", "dr"] * 2


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
        ("hold", 3, "@staging stays as it is"),
        ("reject", 4, "@staging stays as it is"),
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
    assert answer.stdout.splitlines()[-1].startswith("dry run, nothing is written: ")
    asked, _ = promote(opened, monkeypatch, fresh(verdict), "--dry-run", "--format", "json")
    content = json.loads(asked.stdout)
    assert (content["verdict"], content["moved"], content["dry_run"]) == (verdict, False, True)
    assert (content["low"], content["high"], content["rules"]) == (None, None, {})


def test_a_second_call_says_that_the_step_has_been_taken(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that is on record is told as one that was taken before."""
    judged = Judgement(verdict_row("promote"), "promote: so", recorded=True)
    answer, _ = promote(opened, monkeypatch, judged)
    assert answer.exit_code == 0
    assert answer.stdout.splitlines()[-1] == (
        "version 2 was moved to @staging; the step of this day has been taken already"
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
    assert "catalog" not in answer.output


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
