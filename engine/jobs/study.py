"""An analyst's study: a log that nobody has learned from, policies to value on it, and the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.data.rewards import read_log
from engine.errors import JobError
from engine.jobs.run import Run
from engine.refs import PolicyRef
from policies import (
    Comparison,
    Estimator,
    FixedAction,
    LoggedDecisions,
    Policy,
    compare,
    cross_fit,
    evaluate,
    evaluate_by,
)
from policies.estimating.rows import as_target

ESTIMATORS = ("ips", "snips", "dm", "dr", "auto")


@dataclass(frozen=True, eq=False)
class Study:
    """Rows of the log, policies, and what is needed to value them.

    Args:
        log: matured decisions from which none of the policies has learned.
        policies: name -> policy.
        expected_reward: (n, k), cross-fitted by customer.
        forward: (n, k), by models of rows matured before each day, as a sequence requires.
        true_reward: (n, k), the simulator's; None where nobody knows it.
    """

    log: LoggedDecisions
    policies: Mapping[str, Policy]
    expected_reward: np.ndarray
    forward: np.ndarray
    true_reward: np.ndarray | None

    def values(self, estimators: Sequence[str | Estimator] = ESTIMATORS) -> pd.DataFrame:
        """policy, estimator, the columns of `policies.evaluate`, and truth (NaN where unknown)."""
        parts = {}
        for name, policy in self.policies.items():
            found = evaluate(
                self.log, policy, estimators=estimators, expected_reward=self.expected_reward
            )
            parts[name] = found.assign(truth=self.true_rows(name).mean())
        return pd.concat(parts, names=["policy"]).reset_index()

    def against(self, name: str) -> dict[str, Comparison]:
        """Each other policy's paired DR difference to this one, valid at every look."""
        return {
            f"{other} − {name}": compare(
                self.log, policy, self.policies[name], expected_reward=self.forward
            )
            for other, policy in self.policies.items()
            if other != name
        }

    def by_day(self, name: str) -> pd.DataFrame:
        """A policy's DR value on each decision day, in intervals that hold for all days together."""
        return evaluate_by(
            self.log, self.policies[name], "decision_date", expected_reward=self.expected_reward
        )

    def true_by_day(self, name: str) -> list[float]:
        """The true value of a policy on each decision day."""
        rows = pd.DataFrame({"day": self.log.decision_date, "value": self.true_rows(name)})
        return rows.groupby("day")["value"].mean().tolist()

    def true_rows(self, name: str) -> np.ndarray:
        """(n,) what each row is truly worth under a policy; NaN where nobody knows."""
        if self.true_reward is None:
            return np.full(len(self.log), np.nan)
        target = as_target(self.log, self.policies[name])
        return np.asarray((target * self.true_reward).sum(axis=1))


def study(run: Run) -> Study:
    """Candidate, champion, business rules, uniform and the best fixed action, on unseen rows.

    A baseline that is the champion is there once, as the champion.

    The best fixed action is the one whose SNIPS is highest on the rows before those.

    Raises:
        JobError: no decision has matured yet that no policy has learned from.
    """
    standing, day = run.standing, run.parameters.as_of
    whole = read_log(run.tables, run.config, run.features, day)
    refs = {"champion": standing.champion}
    if standing.lineage is not None:
        refs = {"candidate": PolicyRef.parse(standing.lineage.newest), **refs}
    policies = {label: standing.policy(ref) for label, ref in refs.items()}
    cut = standing.unseen_from(*refs.values())
    before, log = whole.split_by_date(cut) if cut else (whole, whole)
    if not len(log):
        raise JobError(
            f"No matured decision is unseen by {' and '.join(refs)}.",
            hint="run data_pipeline_job with a later as_of",
        )
    baselines = {ref.name: standing.policy(ref) for ref in standing.baselines()}
    fixed = {name: policy for name, policy in baselines.items() if isinstance(policy, FixedAction)}
    snips = {
        name: evaluate(before, fixed[name], estimators="snips").value["snips"] for name in fixed
    }
    others = fixed.keys() - {str(pd.Series(snips).idxmax())}
    policies.update({name: each for name, each in baselines.items() if name not in others})
    if standing.champion.is_baseline:
        policies.pop(standing.champion.name, None)
    true = None if run.simulated is None else run.simulated.expected_reward(log)
    return Study(log, policies, cross_fit(log), cross_fit(log, by="date"), true)
