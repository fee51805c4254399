"""Whether a log contradicts itself: what a sound log cannot show, whatever the target."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from policies.errors import EvaluationError
from policies.estimating.arguments import number
from policies.estimating.sums import Parts, Sums
from policies.log import Bools, Floats, Ints, LoggedDecisions

Z_BROKEN = 4.5  # standard errors; about one false alarm in 150,000 tests of a normal mean
P_BROKEN = 1e-5  # of a chi-square test, and of a day without any outcome
P_WEIGHTS = 1e-3  # the most that honest weights of an action, of any size, are called wrong with
MAX_SKEW = 0.5  # of a sum that is compared with a normal one
STAKES = np.geomspace(1e-5, 0.9, 24)  # of the bets against them; right is about (m − 1)/E w²
NOT_DRAWN = "instead of 1: the logged probabilities are not those the actions were drawn with"
UNKNOWN = "not identifiable"


def contradictions(
    log: LoggedDecisions, table: pd.DataFrame, group_shares: Mapping[str, float] | None = None
) -> list[str]:
    """Sentences on what is wrong with the log itself; none for a sound one.

    Weights of an action that average more than 1; actions drawn more or less often than their logged
    probabilities say, overall or where these are low or high; groups of another size than declared;
    two decisions for one customer on one date; days on which an action's outcomes are missing.

    Args:
        log: n decisions.
        table: its `action_checks`.
        group_shares: group -> declared share of customers.

    Raises:
        EvaluationError: a share outside [0, 1].
    """
    if log.probabilities == "estimated":  # they were made to fit; only a logger's own can be wrong
        table = table.assign(weights_off=False, z=0.0, expected=math.nan)
    found = [
        f"the weights of {name!r} average {row.mean_weight:.3f} {NOT_DRAWN}"
        for name, row in table[table["weights_off"]].iterrows()
    ]
    found += [
        f"{name!r} was drawn {row.logged:,.0f} times where its probabilities add up to"
        f" {row.expected:,.0f} (z = {row.z:+.1f}, worst of all rows and the two halves by"
        " probability): probabilities are wrong, or rows were lost"
        for name, row in table[table["z"].abs() > Z_BROKEN].iterrows()
    ]
    found += [
        f"{name!r}: {text}" for name, text in table["capture"].items() if "no outcome" in text
    ]
    if log.probabilities != "estimated":
        found += _likelihood(log)
    return [*found, *_ratio(table), *_groups(log, group_shares), *_duplicates(log)]


def action_checks(log: LoggedDecisions) -> pd.DataFrame:
    """What each action's rows say about the log, from choice rows.

    Returns:
        A frame indexed by action id: logged (rows), expected (sum of its probabilities where they
        are known: by the distribution, or between two eligible actions, where one probability
        implies the other; NaN where nowhere), z (logged against expected in standard errors, the worst of
        all rows and of the halves with lower and higher probabilities), design_effect (how much more
        the sum of draws varies by customer than independent draws would), mean_weight (of 1[A = a] /
        p, which should be 1), weights_off, mean_reward, capture (whether outcomes are recorded:
        "complete", "no outcome on DATE …", or "not identifiable" where nothing tells).
    """
    rows, choice, implied = [], log.choice, np.minimum(log.action_probability, 1.0)
    pairs = np.count_nonzero(log.eligible, axis=1) == 2
    codes = None if log.customer_id is None else log.customers[0]
    for index in range(log.n_actions):
        could, expected, z, design = choice & log.eligible[:, index], math.nan, math.nan, 1.0
        # rounded: 1 − 0.9 is not quite 0.1, and must not tell the rows of two actions apart
        known, chance = could & pairs, np.where(log.action == index, implied, 1 - implied).round(12)
        if log.distribution is not None:
            known = could = could & (log.distribution[:, index] > 0)
            chance = log.distribution[:, index]
        if known.any():
            drawn, chance = log.action[known] == index, chance[known]
            expected, whose = float(chance.sum()), None if codes is None else codes[known]
            z = _worst_z(chance, drawn, whose)
            independent, variance = _variance(drawn - chance, chance, whose)
            design = variance / independent if independent else 1.0
        taken = could & (log.action == index)
        weight = np.where(taken, 1 / log.action_probability, 0.0)[could]
        rows.append(
            {
                "logged": int(taken.sum()),
                "expected": expected,
                "z": z,
                "design_effect": design,
                "mean_weight": float(weight.mean()) if len(weight) else math.nan,
                # where the distribution is known, z says it better
                "weights_off": log.distribution is None
                and weights_off(_by_customer(weight, None if codes is None else codes[could])),
                "mean_reward": float(log.reward[taken].mean()) if taken.any() else math.nan,
                "capture": _capture(log, taken),
            }
        )
    return pd.DataFrame(rows, index=pd.Index(log.action_ids, name="action_id"))


def weights_off(weight: Floats) -> bool:
    """Whether weights average more than the 1 that they have under an honest log.

    Whoever stakes a share s of a capital on each weight w >= 0 in turn multiplies it by
    1 + s·(w − 1), whose mean is at most 1 where w's is, whatever happened before. So honest weights
    make the capital, averaged over STAKES, exceed 1 / P_WEIGHTS with probability P_WEIGHTS at most,
    at any n and however heavy they are (Ville 1939; Waudby-Smith & Ramdas 2024).

    Less than 1 proves nothing: rows in which the action was improbable have weights that may be
    huge and are seldom drawn, and only a distribution tells how many there are.
    """
    wanted = -math.log(P_WEIGHTS)
    if not weight.sum() - len(weight) > wanted:  # no stake below 1 can gain more
        return False
    won = weight[weight > 0] - 1
    lost = len(weight) - len(won)
    capital = [np.log1p(stake * won).sum() + lost * math.log1p(-stake) for stake in STAKES]
    return bool(special.logsumexp(capital) - math.log(len(STAKES)) > wanted)


def _by_customer(weight: Floats, customer: Ints | None) -> Floats:
    """The mean weight of each customer: 1 on average however a customer's draws hang together."""
    if customer is None:
        return weight
    rows = np.bincount(customer)
    return np.bincount(customer, weight)[rows > 0] / rows[rows > 0]


def _variance(away: Floats, chance: Floats, customer: Ints | None) -> tuple[float, float]:
    """Variance of the sum of draws minus probabilities: of independent draws, and by customer.

    That of independent draws is Σ p (1 − p). The draws of one customer may be a single draw that is
    logged at every visit; their sums then vary more.
    """
    independent = float((chance * (1 - chance)).sum())
    if customer is None:
        return independent, independent
    sums = np.bincount(customer, away)
    return independent, max(independent, float(sums @ sums))


def _worst_z(chance: Floats, taken: Bools, customer: Ints | None) -> float:
    """The largest |z| of draws against their probabilities, over all rows and both halves.

    Parts that expect fewer than 10 draws, or 10 others, are left out.
    """
    upper = chance > np.median(chance) if len(chance) else np.zeros(0, dtype=bool)
    found, away = [0.0], taken - chance
    for part in (np.ones(len(chance), dtype=bool), upper, ~upper):
        expected = chance[part].sum()
        own = None if customer is None else customer[part]
        independent, variance = _variance(away[part], chance[part], own)
        if min(expected, part.sum() - expected) >= 10 and independent > 0:
            found.append(float(away[part].sum() / math.sqrt(variance)))
    return max(found, key=abs)


def silent_days(log: LoggedDecisions) -> list[str]:
    """Days on which the rows of all actions have one reward, which is rare on the others."""
    days = _lost_days(log, log.choice)
    return [] if days is None else [str(pd.Timestamp(day).date()) for day in days]


def _lost_days(log: LoggedDecisions, rows: Bools) -> list[Any] | None:
    """Days on which all these rows have one reward, though at its rate on the others that is rare.

    Rarer than 1 in 100,000. None where no day has so many rows that a loss would show. What is lost
    evenly, on all days, no log can tell from a poor action.
    """
    if log.decision_date is None or not rows.any():
        return None
    rewards = pd.Series(log.reward[rows])
    count = rewards.value_counts(sort=False)
    days = rewards.groupby(log.decision_date[rows]).agg(["size", "min", "max"])
    n, limit = days["size"], math.log(P_BROKEN / len(days))
    with np.errstate(divide="ignore"):
        if not (n * np.log(count.max() / len(rewards)) <= limit).any():
            return None
        same, others = count[days["max"]].to_numpy() - n, np.maximum(len(rewards) - n, 1)
        rare = n * np.log(np.maximum(same, 0) / others) <= limit
    return list(days.index[rare & (days["min"] == days["max"])])


def _capture(log: LoggedDecisions, taken: Bools) -> str:
    """Whether an action's outcomes look recorded, day by day.

    A lost day of the action counts if the other actions had outcomes on that day: the share of the
    reward among their rows, against that on all days, says how rare it was. So a day on which a shop
    is closed, or an early day of growing sales, is none.
    """
    days = _lost_days(log, taken)
    if days is None:
        return UNKNOWN
    dates, others = log.decision_date, log.choice & ~taken
    assert dates is not None
    lost = []
    for day in days:
        here = dates == np.datetime64(day, "D")
        reward = log.reward[taken & here][0]
        odds = [
            _odds(log.reward[rows] == reward)
            for rows in (taken & ~here, others & here, others & ~here)
        ]
        if not (others & here).any() or math.isinf(odds[1]) or not odds[2]:
            continue
        usual = odds[0] * odds[1] / odds[2]
        share = usual / (1 + usual) if math.isfinite(usual) else 1.0
        if (taken & here).sum() * math.log(max(share, 1e-300)) <= math.log(P_BROKEN):
            lost.append(str(pd.Timestamp(day).date()))
    if not lost:
        return "complete"
    return f"no outcome on {', '.join(lost[:3])}{' …' if len(lost) > 3 else ''}"


def _odds(holds: Bools) -> float:
    """How often it holds for each time that it does not."""
    no = len(holds) - int(holds.sum())
    return int(holds.sum()) / no if no else math.inf


def _ratio(table: pd.DataFrame) -> Iterator[str]:
    """A sentence on a sample-ratio mismatch of the actions, by chi-square."""
    known = table[table["expected"] >= 5]
    if len(known) < 2:
        return
    square = float(((known["logged"] - known["expected"]) ** 2 / known["expected"]).sum())
    square /= float(known["design_effect"].max())
    p = float(special.chdtrc(len(known) - 1, square))
    if p < P_BROKEN:
        yield (
            f"sample ratio mismatch: actions were not drawn as often as logged (p = {p:.1e}):"
            " rows of some actions were lost or doubled"
        )


def _likelihood(log: LoggedDecisions) -> Iterator[str]:
    """A sentence where the drawn actions are more, or less, probable than draws from the log's are.

    Σ log p(A) has the mean Σ Σ p log p. Sums for each action miss probabilities that are too flat, or
    another action's. Few surprising draws make the sum skewed, and then nothing is said.
    """
    rows = log.choice
    if log.distribution is not None:
        chances = log.distribution[rows]
    else:
        rows = rows & (np.count_nonzero(log.eligible, axis=1) == 2)
        p = np.minimum(log.action_probability[rows], 1.0)
        chances = np.stack([p, 1 - p], axis=1)
    told = np.log(np.minimum(log.action_probability[rows], 1.0))
    surprise = np.log(chances, out=np.zeros(chances.shape), where=chances > 0)
    mean = (chances * surprise).sum(axis=1)
    centred, away = surprise - mean[:, None], told - mean
    independent = float((chances * centred**2).sum())
    if independent <= 1e-9 * len(told):  # equal probabilities say the same of every draw
        return
    if abs(float((chances * centred**3).sum())) / independent**1.5 > MAX_SKEW:
        return
    variance = independent
    if log.customer_id is not None:
        sums = np.bincount(log.customers[0][rows], away)
        variance = max(independent, float(sums @ sums))
    z = float(away.sum()) / math.sqrt(variance)
    if abs(z) > Z_BROKEN:
        yield (
            f"the drawn actions are {'more' if z > 0 else 'less'} probable than draws from the logged"
            f" probabilities would be (z = {z:+.1f}): these are too"
            f" {'flat' if z > 0 else 'sharp, or those of other actions'}"
        )


def _groups(log: LoggedDecisions, shares: Mapping[str, float] | None) -> Iterator[str]:
    """Sentences on groups whose share of customers is not what was declared."""
    if shares is None:
        return
    if not isinstance(shares, Mapping) or not all(
        0 <= number("a group's share", share) <= 1 for share in shares.values()
    ):
        what = f"group_shares must be shares between 0 and 1, not {shares!r}"
        raise EvaluationError(what, hint='{"uniform": 0.1} declares a tenth of all customers')
    if log.group is None or not len(log):
        return
    for group, share in shares.items():
        there = (log.group == group).astype(float)
        by_customer = Sums.of(Parts(there), log.customers).std_error  # groups may be sticky
        error = max(by_customer, math.sqrt(share * (1 - share) / len(log)))
        z = (float(there.mean()) - share) / error if error else 0.0
        if abs(z) > Z_BROKEN:
            yield (
                f"sample ratio mismatch: group {group!r} holds {there.mean():.2%} of"
                f" {len(log):,} decisions, and {share:.2%} were declared ({z:+.1f} standard errors)"
            )


def _duplicates(log: LoggedDecisions) -> Iterator[str]:
    """A sentence on rows that stand in the log twice, if there are any.

    Several decisions for a customer on a day are allowed; only equal contexts show that most of
    them are copies.
    """
    if log.customer_id is None or log.decision_date is None or log.contexts is None:
        return
    keys = pd.DataFrame({"customer": log.customers[0], "date": log.decision_date})
    known = log.contexts.astype(str).add_prefix("context ")
    own = {"action": log.action, "reward": log.reward, "p": log.action_probability}
    again = keys.duplicated()
    if known.shape[1] == 0 or not again.any():
        return
    same = pd.concat([keys.assign(**own), known.set_axis(keys.index)], axis=1)
    copied = same.duplicated()
    if copied.sum() >= again.sum() / 2:
        first = ", ".join(map(str, np.flatnonzero(copied)[:5]))
        yield (
            f"{copied.sum()} rows repeat a customer on the same date with the same context, action and"
            f" reward (rows {first}{', …' if copied.sum() > 5 else ''}): they are copies"
        )
