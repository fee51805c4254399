"""The closed loop in memory: decide, observe, train, judge and promote, day after day."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from policies.errors import LearningError
from policies.estimating.reward_model import RewardModel, fit_reward_model
from policies.judging.aliases import AliasHistory, Move
from policies.judging.assessment import assess
from policies.judging.change_detection import Drop, noticed_drop
from policies.judging.forecast import Forecast, Prior, Retention, forecast, trial_result
from policies.judging.gate import Gate, Verdict
from policies.judging.lineages import (
    Lineage,
    RecordedVerdict,
    Step,
    TrainedVersion,
    lineages,
    next_step,
    on_trial,
)
from policies.judging.selection import default_grid, select
from policies.judging.training_days import split_days
from policies.learning.reading import joined
from policies.learning.vowpal.settings import GRID
from policies.log import LoggedDecisions, to_day
from policies.policy import Policy
from policies.sequences.days import DaySums, day_sums, noise_share
from simulation.days import Course, Day
from simulation.world import START, World

RULES = "business_rules"  # the incumbent until a version is champion


@dataclass(frozen=True)
class LoopSettings:
    """When the loop trains and on which days, and how much evidence a promotion needs.

    Args:
        gate: what a promotion asks for. At least a week of days, so that no weekday decides.
        prior, retention: of forecasts; updated by the loop's own trials and promotions.
        first_days: days before the first training.
        retrain_days: days between trainings.
        memory_days: older decisions are forgotten.
        reserve_days: newest matured days that no training reads, so that they judge its version.
        fit_share: share of the days before those that fits; the rest selects.
        trial_days: how long a lineage may be on trial without a verdict.
        rows: most rows that a fit or a selection reads; more are thinned evenly.
        minimum_drop: drop of the champion's lead over the business rules that raises an alarm.
        grid: the recipes, as settings of `VowpalPolicy`.
    """

    gate: Gate = field(default_factory=lambda: Gate(margin=0.005, minimum_effect=0.01, min_days=7))
    prior: Prior = field(default_factory=lambda: Prior.default(0.02))
    retention: Retention = field(default_factory=Retention)
    first_days: int = 20
    retrain_days: int = 7
    memory_days: int = 42
    reserve_days: int = 7
    fit_share: float = 0.65
    trial_days: int = 60
    rows: int = 120_000
    minimum_drop: float = 0.01
    grid: Sequence[dict[str, Any]] = GRID


@dataclass(frozen=True, eq=False)
class Promotion:
    """A promotion: new champion, date, predecessor, evidence, forecast, realised difference.

    Args:
        date: of the verdict; the version is champion from the next day on.
        version: its number.
        policy, replaced: the new champion and its predecessor.
        verdict: the gate's.
        sums: the evidence.
        forecast: the expected difference to the predecessor.
        later: the realised difference on the new champion's own matured days.
    """

    date: np.datetime64
    version: str
    policy: Policy
    replaced: Policy
    verdict: Verdict
    sums: tuple[DaySums, ...]
    forecast: Forecast
    later: list[DaySums] = field(default_factory=list)


class Loop:
    """A company that decides every day and trains every week, in a simulated world.

    Which version scores a day, how days split, when a trial ends and which step comes next is said
    by the functions of `policies.judging` that the engine's jobs call: staging comes before
    champion, one step a day, and verdicts and alias moves take effect on the next day. A day is:
    decide with the champion, observe matured rewards, train if it is due, judge the lineage on
    trial. Only the alarm is the loop's own: after a drop of the champion's lead it rejects the
    lineage on trial and learns from the days since.

    Attributes:
        today: the day that `next_day` will run.
    """

    def __init__(self, world: World, settings: LoopSettings | None = None) -> None:
        self.world, self.settings = world, settings or LoopSettings()
        self.course = Course(world.response, to_day(START))
        self.days = deque[tuple[dt.date, LoggedDecisions]](maxlen=self.settings.memory_days)
        self.policies: dict[str, Policy] = {RULES: world.incumbent}
        self.models: dict[str, RewardModel] = {}  # by version, fixed with it
        self.versions: list[TrainedVersion] = []
        self.verdicts: list[RecordedVerdict] = []
        self.aliases = AliasHistory()
        self.evidence: dict[tuple[str, str], list[DaySums]] = defaultdict(list)
        self.lead: list[DaySums] = []  # of the champion over the business rules
        self.promotions: list[Promotion] = []
        self.alarms: list[tuple[np.datetime64, Drop]] = []
        self.today = self.learn_from = dt.date.fromisoformat(START)
        self.due = _after(self.today, self.settings.first_days)

    @property
    def champion(self) -> str:
        """The number of the version that decides today, or "business_rules"."""
        return self.aliases.version("champion", self.today) or RULES

    def results(self) -> list[tuple[float, float]]:
        """(difference, standard error) of every trial that has ended."""
        trial = self._on_trial(self.today)
        name = None if trial is None else trial.name
        ended = [sums for (lineage, _), sums in self.evidence.items() if lineage != name]
        return [trial_result(sums) for sums in ended if sums]

    def next_day(self) -> tuple[Day, LoggedDecisions, str, str]:
        """Run a day: what happened, its log with the later rewards, the verdict and a note."""
        today, champion, world = self.today, self.champion, self.world
        acting = self.policies[champion]
        day = self.course.day(acting, floor=world.floor, groups=world.groups)
        log = world.log([world.logged_columns(day)])
        self.days.append((today, log))
        trial, verdict, notes = self._on_trial(today), "", []
        ended = trial is None and self._on_trial(_after(today, -1)) is not None
        if today >= self.due or ended:
            notes.append(self._train(trial, champion))
            trial = self._on_trial(today)
        drop = self._watch(champion)
        if drop is not None:
            notes.append(self._alarm(drop, trial))
        elif trial is not None:
            verdict, note = self._judge(trial, champion)
            notes.append(note)
        self.today = _after(today, 1)
        return day, log, verdict, "; ".join(filter(None, notes))

    def _matured(self, today: dt.date) -> dict[dt.date, LoggedDecisions]:
        """The logs by day, since the last alarm, of the days whose rewards are known today."""
        recent = [(day, log) for day, log in self.days if day >= self.learn_from]
        return {day: log for day, log in recent if log.matured_before(today).all()}

    def _on_trial(self, today: dt.date) -> Lineage | None:
        known = lineages(self.versions, today)
        return on_trial(known, self.verdicts, today, self.settings.trial_days)

    def _train(self, trial: Lineage | None, champion: str) -> str:
        """Fit the next version of the lineage on trial, or choose the recipe of a new lineage."""
        settings, today = self.settings, self.today
        try:
            split = split_days(
                list(self._matured(today).values()),
                reserve_days=settings.reserve_days,
                fit_share=settings.fit_share,
                select_rows=settings.rows,
            )
        except LearningError:  # too few days have matured
            self.due = _after(today, 1)
            return ""
        self.due = _after(today, settings.retrain_days)
        if trial is not None:
            best, name = self.policies[trial.newest], trial.name
        else:
            features = self.world.catalogue.action_features
            selection = select(
                joined(split.fit, settings.rows),
                split.select,
                default_grid(self.world.action_ids, grid=settings.grid, action_features=features),
                self.policies[champion],
                exploration=self.world.exploration,
                margin=settings.gate.margin,
            )
            if not selection.acceptable:
                return ""
            best, name = selection.best, f"{selection.best.name}@{today}"
        rows, number = joined(split.known, settings.rows), str(len(self.versions) + 1)
        self.policies[number] = best.fit(rows)
        self.models[number] = fit_reward_model(rows)
        self.versions.append(TrainedVersion(number, name, today, split.cut))
        return "" if trial is not None else f"version {number} goes on trial"

    def _score(
        self, sums: list[DaySums], day: dt.date, log: LoggedDecisions, ours: str, theirs: Policy
    ) -> None:
        """Add a day's paired difference, by the reward model that was fixed with our version."""
        noise = None if sums else noise_share(joined(self._matured(self.today).values()), day)
        pair = self.world.deployed(self.policies[ours]), self.world.deployed(theirs)
        expected = self.models[ours].predict(log.contexts)
        sums += day_sums(log, *pair, expected, before=sums, noise=noise)

    def _watch(self, champion: str) -> Drop | None:
        """Add the champion's lead on its matured days; the drop of it, if there is one."""
        if not self.promotions:
            return None
        newest = self.promotions[-1]
        for sums, other in ((self.lead, self.world.incumbent), (newest.later, newest.replaced)):
            last = sums[-1].decision_date if sums else newest.date.astype(object)
            for day, log in self._matured(self.today).items():
                if last is None or day > last:
                    self._score(sums, day, log, champion, other)
        return noticed_drop(self.lead, self.settings.minimum_drop) if self.lead else None

    def _alarm(self, drop: Drop, trial: Lineage | None) -> str:
        """Forget the days before the drop; train again as soon as there are enough days."""
        self.alarms.append((np.datetime64(self.today), drop))
        if trial is not None:
            self.verdicts.append(RecordedVerdict(self.today, trial.newest, "staging", "reject"))
        self.learn_from, self.lead, self.due = drop.since, [], _after(self.today, 1)
        return f"the champion's lead fell from {drop.before:+.3f} to {drop.after:+.3f}"

    def _judge(self, trial: Lineage, champion: str) -> tuple[str, str]:
        """Freeze the days that have matured, and take the next step if the gate says so."""
        today = self.today
        sums, matured = self.evidence[trial.name, champion], self._matured(today)
        last = sums[-1].decision_date if sums else None
        for day, number in trial.scoring_after(last, matured).items():
            self._score(sums, day, matured[day], number, self.policies[champion])
        step = next_step(lineages(self.versions, today), trial, champion, self.aliases, today)
        judge = partial(self.settings.gate.judge, sums, step.alias, tried=step.tried)
        verdict = judge()
        if verdict.verdict != "hold":  # only then does it matter whether the log is sound
            newest = self.world.deployed(self.policies[trial.newest])
            found = assess(joined(matured.values(), self.settings.rows), newest)
            verdict = judge(problems=found.reasons if found.verdict == "broken" else ())
        name, note = verdict.verdict, ""
        self.verdicts.append(RecordedVerdict(today, step.version, step.alias, name))
        if name == "promote":
            note = self._promote(step, verdict, sums)
        elif name == "reject":
            note = f"version {step.version} rejected"
        return name, note

    def _promote(self, step: Step, verdict: Verdict, sums: Sequence[DaySums]) -> str:
        """Move the alias from tomorrow on; a new champion gets a forecast."""
        today = self.today
        before = self.aliases.version(step.alias, today)
        self.aliases = self.aliases.with_move(Move(today, step.alias, before, step.version))
        if step.alias == "staging":
            return f"version {step.version} staged"
        past = [(old.forecast, *trial_result(old.later)) for old in self.promotions if old.later]
        prior = self.settings.prior.updated(self.results())
        expected = forecast(sums, prior, self.settings.retention.updated(past))
        policies = (self.policies[step.version], self.policies[step.incumbent])
        row = (np.datetime64(today), step.version, *policies, verdict, tuple(sums), expected)
        self.promotions.append(Promotion(*row))
        self.lead = []
        return f"version {step.version} promoted: {expected.difference:+.3f} expected"


def _after(day: dt.date, days: int) -> dt.date:
    return day + dt.timedelta(days=days)
