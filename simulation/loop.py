"""The closed loop in memory: decide, be answered, learn, be judged, be promoted, day after day."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from policies.deciding.deployed import AsDeployed
from policies.deciding.groups import Groups
from policies.estimating.reward_model import RewardModel, fit_reward_model
from policies.judging.assessment import assess
from policies.judging.change_detection import Drop, noticed_drop
from policies.judging.forecast import Forecast, Prior, Retention, forecast, trial_result
from policies.judging.gate import Gate, Verdict
from policies.judging.selection import GRID, default_grid, select
from policies.learning.averaged import fit_copies
from policies.learning.reading import joined
from policies.log import LoggedDecisions
from policies.policy import Policy
from policies.sequences.days import DaySums, day_sums
from simulation.days import FEATURES, Day
from simulation.world import START, World

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class LoopSettings:
    """How the loop learns and judges.

    Args:
        gate: what a promotion asks for: a week at least, so that no weekday decides.
        prior, kept: of what candidates are worth and what is left of it, for forecasts; the loop's
            own trials and promotions add to them.
        retrain_days: days between trainings.
        first_days: matured days before the first training.
        memory_days: decisions older than this are forgotten.
        reserve_days: newest days that a new lineage does not learn from, so that they judge it.
        trial_days: how long a lineage may be on trial without a verdict.
        fit_share: share of the days learned from that fit; the rest selects.
        rows: that a fit reads at most, thinned evenly.
        notice: drop of the champion's lead over the business rules that is worth an alarm.
        grid: the recipes, as settings of `VowpalPolicy`.
    """

    gate: Gate = field(default_factory=lambda: Gate(margin=0.005, minimum_effect=0.01, min_days=7))
    prior: Prior = field(default_factory=lambda: Prior.default(0.02))
    kept: Retention = field(default_factory=Retention)
    retrain_days: int = 7
    first_days: int = 14
    memory_days: int = 42
    reserve_days: int = 10
    trial_days: int = 60
    fit_share: float = 0.65
    rows: int = 120_000
    notice: float = 0.01
    grid: Sequence[dict[str, Any]] = GRID


@dataclass
class Trial:
    """A lineage that is judged: its versions and reward models, each from the day it was fixed on.

    `champion` is the incumbent it is compared with, `sums` the evidence so far.
    """

    number: int
    champion: Policy
    started: np.datetime64
    versions: list[tuple[np.datetime64, Policy]] = field(default_factory=list)
    sums: list[DaySums] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Promotion:
    """A champion of the loop: who, since when, whom it replaced, and on what evidence.

    `forecast` is what it was expected to earn more than whom it replaced, and `results` are the
    (difference, standard error) of all trials that had ended before. `later` is the difference to
    whom it replaced on its own rows, as far as they have matured.
    """

    date: np.datetime64
    number: int
    policy: Policy
    replaced: Policy
    verdict: Verdict
    sums: tuple[DaySums, ...]
    results: tuple[tuple[float, float], ...]
    forecast: Forecast
    later: list[DaySums] = field(default_factory=list)

    @property
    def told(self) -> tuple[Forecast, float, float]:
        """The forecast, and what became of it: the later difference and its standard error."""
        return self.forecast, *trial_result(self.later)


class Loop:
    """A company that decides every morning and learns every week, in a world that answers.

    Everything that decides, learns and judges is `policies`; this class only says when. A day is:
    decide by the champion, hear what has matured, learn if it is time, judge whom is on trial; a
    promotion takes effect the next day. Memory is that of `memory_days`.
    """

    def __init__(self, world: World, pace: LoopSettings | None = None, start: str = START) -> None:
        self.world, self.pace = world, pace or LoopSettings()
        self.past, self.days = world.course(start), deque[LoggedDecisions]()
        self.champion, self.champion_name = world.incumbent, "business_rules"
        self.models: list[tuple[np.datetime64, RewardModel]] = []
        self.watch: list[DaySums] = []
        self.trial: Trial | None = None
        self.tried, self.due = 0, np.datetime64(start) + self.pace.first_days
        self.since = np.datetime64(start)
        self.promotions: list[Promotion] = []
        self.results: list[tuple[float, float]] = []
        self.alarms: list[tuple[np.datetime64, Drop]] = []

    def acting(self, policy: Policy) -> Policy:
        """A policy as this company lets it act."""
        return AsDeployed(policy, self.world.floor, self.world.uniform_share)

    def next_day(self) -> tuple[Day, LoggedDecisions, str, str]:
        """One day: what happened, its log as it will be known, the verdict and a note."""
        groups = Groups(self.world.uniform_share, 0.0, salt=f"groups:{self.world.response.salt}")
        day = self.past.day(self.champion, floor=self.world.floor, groups=groups)
        self.days.append(self._log(day))
        while len(self.days) > self.pace.memory_days:
            self.days.popleft()
        notes = []
        if day.date >= self.due:
            notes.append(self._train(day.date))
        self._watch(day.date)
        drop = noticed_drop(self.watch, self.pace.notice) if self.watch else None
        if drop is not None:
            notes.append(self._alarm(day.date, drop))
        said = self._judge(day.date)
        if said is not None and said.verdict != "hold":
            notes.append(self._settle(day.date, said))
        log = self.days[-1]
        return day, log, "" if said is None else said.verdict, "; ".join(filter(None, notes))

    def _log(self, day: Day) -> LoggedDecisions:
        columns = self.world.logged_columns(day)
        contexts = pd.DataFrame({name: columns.pop(name) for name in FEATURES}, copy=False)
        rest: dict[str, Any] = {**columns, "contexts": contexts}
        log = LoggedDecisions(
            action_ids=self.world.action_ids, reward_range=self.world.reward_range, **rest
        )
        return log if self.world.corrupt_log is None else self.world.corrupt_log(log)

    def _matured(self, date: np.datetime64) -> Iterator[LoggedDecisions]:
        """The logs of days since the last alarm whose rewards were known on `date`."""
        for log in self.days:
            assert log.matured_on is not None
            if _day(log) >= self.since and log.matured_on.max() <= date:
                yield log

    def _train(self, date: np.datetime64) -> str:
        """Fit the lineage on trial anew, or choose a new one; days from the cut on judge it."""
        known = list(self._matured(date))
        fresh = self.since > _day(self.days[0])
        starts = self.trial is None and not fresh  # whoever is on trial has days to be judged by
        reserve = min(self.pace.reserve_days, len(known) // 2) if starts else 0
        cut = date - reserve
        rows = list(self._matured(cut))
        self.due = date + self.pace.retrain_days
        if len(rows) < 2:
            self.due = date + 1
            return ""
        self.models.append((cut, fit_reward_model(joined(rows, self.pace.rows))))
        if self.trial is not None:
            [version] = fit_copies([self.trial.versions[-1][1]], joined(rows, self.pace.rows))
            self.trial.versions.append((cut, version))
            return ""
        ends = max(round(self.pace.fit_share * len(rows)), 1)
        fit, later = joined(rows[:ends], self.pace.rows), joined(rows[ends:], self.pace.rows)
        found = select(
            fit,
            later,
            default_grid(
                self.world.action_ids,
                grid=self.pace.grid,
                action_features=self.world.catalogue.action_features,
            ),
            self.champion,
            floor=self.world.floor,
            uniform_share=self.world.uniform_share,
            margin=self.pace.gate.margin,
        )
        if not found.acceptable:
            return ""
        [best] = fit_copies([found.best], joined(rows, self.pace.rows))
        self.tried += 1
        self.trial = Trial(self.tried, self.champion, date, [(cut, best)])
        return f"lineage {self.tried} goes on trial"

    def _sums(
        self, log: LoggedDecisions, ours: Policy, theirs: Policy, before: Any
    ) -> DaySums | None:
        """The day's paired difference by the reward model that was fixed before it."""
        day = _day(log)
        model = _in_force(self.models, day)
        if model is None:
            return None
        expected = model.predict(log.contexts)
        ours, theirs = self.acting(ours), self.acting(theirs)
        [sums] = day_sums(log, ours, theirs, expected, before=before)
        return sums

    def _watch(self, date: np.datetime64) -> None:
        """Add the champion's lead over the business rules on days that have matured."""
        if not self.promotions:
            return
        newest = self.promotions[-1]
        for sums, other in (
            (self.watch, self.world.incumbent),
            (newest.later, newest.replaced),
        ):
            last = sums[-1].decision_date if sums else newest.date
            for log in self._matured(date):
                if _day(log) > np.datetime64(last):
                    found = self._sums(log, self.champion, other, sums)
                    sums += [] if found is None else [found]

    def _alarm(self, date: np.datetime64, drop: Drop) -> str:
        """Forget what was learned before the drop, and learn anew as soon as there are days."""
        self.alarms.append((date, drop))
        self._end()
        self.since, self.watch = np.datetime64(drop.since), []
        self.models = [(self.since, model) for _, model in self.models[-1:]]
        self.due = date + 1
        return f"the champion's lead fell from {drop.before:+.3f} to {drop.after:+.3f}"

    def _judge(self, date: np.datetime64) -> Verdict | None:
        """Freeze the days that have matured, and ask the gate."""
        trial = self.trial
        if trial is None:
            return None
        last = trial.sums[-1].decision_date if trial.sums else trial.versions[0][0] - 1
        for log in self._matured(date):
            version = _in_force(trial.versions, _day(log))
            if version is not None and _day(log) > np.datetime64(last):
                sums = self._sums(log, version, trial.champion, trial.sums)
                trial.sums += [] if sums is None else [sums]
        said = self.pace.gate.judge(trial.sums, "champion", tried=trial.number)
        if said.verdict == "hold":
            if date - trial.started >= self.pace.trial_days:
                self._end()
                self.due = date + 1
            return said
        recent = joined(list(self._matured(date)), self.pace.rows)
        found = assess(recent, self.acting(trial.versions[-1][1]))
        if found.verdict != "broken":
            return said
        return self.pace.gate.judge(
            trial.sums, "champion", tried=trial.number, problems=found.reasons
        )

    def _settle(self, date: np.datetime64, said: Verdict) -> str:
        """A verdict ends a trial; a promotion changes the champion from tomorrow on."""
        trial = self.trial
        assert trial is not None
        results = tuple(self.results)
        self._end()
        self.due = max(self.due, date + 1)
        if said.verdict == "reject":
            return f"lineage {trial.number} rejected"
        policy, sums = trial.versions[-1][1], tuple(trial.sums)
        kept = self.pace.kept.updated([each.told for each in self.promotions if each.later])
        told = forecast(sums, self.pace.prior.updated(results), kept)
        replaced = (self.champion, said, sums, results, told)
        self.promotions.append(Promotion(date, trial.number, policy, *replaced))
        self.champion, self.champion_name, self.watch = policy, str(trial.number), []
        return f"lineage {trial.number} promoted: {told.difference:+.3f} expected"

    def _end(self) -> None:
        """Whoever was on trial is not any more; what came of it is kept for later forecasts."""
        if self.trial is not None and self.trial.sums:
            self.results.append(trial_result(self.trial.sums))
        self.trial = None


def _day(log: LoggedDecisions) -> np.datetime64:
    assert log.decision_date is not None
    return np.datetime64(log.decision_date[0])


def _in_force(known: Sequence[tuple[np.datetime64, Any]], day: np.datetime64) -> Any:
    """The newest of these that was fixed by `day`; None where none was."""
    fixed = [each for since, each in known if since <= day]
    return fixed[-1] if fixed else None
