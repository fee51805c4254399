"""A question about a log, and its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from policies.errors import EvaluationError, require_known
from policies.estimating import intervals
from policies.estimating.arguments import check_confidence, check_seed, number
from policies.estimating.estimators import Estimator
from policies.estimating.rows import as_model, as_target, require_probabilities
from policies.estimating.sums import Customers, Sums, reward_reach
from policies.log import Floats, LoggedDecisions
from policies.sequences.confidence_sequence import sequence_interval
from policies.sequences.days import day_sums
from policies.sequences.terms import LinearTerms

INTERVALS = ("normal", "bootstrap", "bernstein", "sequence")
BY_ROW = ("bernstein", "sequence")  # need contributions that are unbiased row by row
Bounds = tuple["float | None", "float | None"]


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked about a log: the value of a target, or its difference to an incumbent.

    The other fields are arguments of `evaluate`. An interval that needs whole distributions gets
    them as arrays, so that every policy is called once per row.

    Raises:
        EvaluationError: an argument that makes no sense, or an empty log.
    """

    log: LoggedDecisions
    target: Any
    incumbent: Any = None
    expected_reward: Any = None
    interval: str = "normal"
    confidence: float = 0.95
    floor: float | None = None
    bounds: Bounds = (None, None)
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the arguments, and call policies where whole distributions are needed."""
        what = f"no interval is called {self.interval!r}"
        require_known(self.interval, INTERVALS, EvaluationError, what)
        check_confidence(self.confidence)
        check_seed(self.seed)
        if not isinstance(self.bounds, (tuple, list)) or len(self.bounds) != 2:
            what = f"bounds must be (low, high), each a number or None, not {self.bounds!r}"
            raise EvaluationError(what)
        for name, value in (("floor", self.floor), *(("bounds", bound) for bound in self.bounds)):
            if value is not None and not number(name, value) > 0:
                raise EvaluationError(f"{name} must be above 0, and is {value}")
        require_probabilities(self.log)
        if not len(self.log):
            raise EvaluationError("the log is empty", hint="wait until rewards have matured")
        for name in ("target", "incumbent"):
            policy = getattr(self, name)
            if self.interval in BY_ROW and (name == "target" or policy is not None):
                object.__setattr__(self, name, as_target(self.log, policy))

    @property
    def customers(self) -> Customers | None:
        """Each row's customer and their number, where ids are given."""
        return None if self.log.customer_id is None else self.log.customers

    def hidden(self, unsupported: float) -> float:
        """How far what no draw can show may move a mean: its share times the reach of the rewards.

        A sequence has taken the worst for it already, where the distribution is known.
        """
        log = self.log
        if not unsupported or (self.interval == "sequence" and log.distribution is not None):
            return 0.0
        low, high = log.reward_range or (float(log.reward.min()), float(log.reward.max()))
        return unsupported * reward_reach(low, high)

    def around(
        self, estimator: Estimator, sums: Sums, contributions: Floats | None
    ) -> tuple[tuple[float, float], str]:
        """The (low, high) of the mean of contributions, and `Comparison.range`.

        A normal interval is made from sums alone.
        """
        log, confidence = self.log, self.confidence
        if self.interval == "normal" or contributions is None:
            return intervals.normal(sums.value, sums.std_error, confidence), "none"
        if self.interval == "bootstrap":
            ends = intervals.bootstrap(contributions, confidence, self.customers, seed=self.seed)
            return ends, "none"
        if not estimator.unbiased:
            raise EvaluationError(
                f"the interval {self.interval!r} needs contributions that are unbiased row by row,"
                f" and {estimator.name} has none",
                hint="use dr or ips, or interval='normal'",
            )
        if self.interval == "bernstein":
            weights = self.target if self.incumbent is None else self.target - self.incumbent
            model = as_model(log, self.expected_reward) if estimator.needs_model else None
            terms = LinearTerms.of(log, weights, model, floor=self.floor)
            ends = intervals.bernstein(contributions, confidence, terms.span())
            return ends, "declared" if terms.declared else "learned"
        days = day_sums(
            log,
            self.target,
            self.incumbent,
            self.expected_reward,
            estimator=estimator.name,
            bound_low=self.bounds[0],
            bound_high=self.bounds[1],
            floor=self.floor,
        )
        alpha = (1 - confidence) / 2
        low, high, _ = sequence_interval(days, alpha, alpha)
        return (low, high), days[-1].range
