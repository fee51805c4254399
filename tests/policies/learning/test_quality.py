"""Learners on classes turned into actions: as good as Vowpal Wabbit's own, and selected well."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vowpalwabbit
from sklearn.datasets import load_breast_cancer, load_digits, make_classification

from policies import Exploration, LoggedDecisions, UniformPolicy, VowpalPolicy, compare, cross_fit
from policies.judging.selection import default_grid, select

pytestmark = pytest.mark.slow
SETS = ("digits", "cancer", "blobs")


@lru_cache(maxsize=3)
def classes(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(n, p) features and (n,) classes, in an order of no meaning."""
    if name == "blobs":
        x, y = make_classification(
            6_000, 20, n_informative=8, n_classes=5, n_clusters_per_class=2, random_state=0
        )
    else:
        x, y = (load_digits if name == "digits" else load_breast_cancer)(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return x[order], y[order]


def bandit(
    name: str, columns: Any = None, seed: int = 1
) -> tuple[LoggedDecisions, pd.DataFrame, np.ndarray]:
    """Uniform decisions among the classes on 70 % of rows, 1 for the right one; the other rows."""
    x, y = classes(name)
    k, cut = int(y.max()) + 1, int(0.7 * len(y))
    names = [f"x{each}" for each in range(x.shape[1])] if columns is None else columns(x.shape[1])
    frame = pd.DataFrame(x, columns=names)
    action = np.random.default_rng(seed).integers(k, size=cut)
    log = LoggedDecisions(
        [f"class {each}" for each in range(k)],
        action,
        np.full(cut, 1 / k),
        (action == y[:cut]).astype(float),
        contexts=frame.iloc[:cut],
        reward_range=(0, 1),
    )
    return log, frame.iloc[cut:], y[cut:]


def accuracy(policy: Any, shown: pd.DataFrame, right: np.ndarray) -> float:
    """How often the policy takes the right class."""
    return float(policy.distribution(shown)[np.arange(len(right)), right].mean())


def vowpal_accuracy(
    folder: Path, log: LoggedDecisions, shown: pd.DataFrame, right: np.ndarray, options: str
) -> float:
    """What `vw --cb_adf` reaches on plain text of the raw features, with the same options."""
    assert log.contexts is not None
    k = log.n_actions

    def shared(row: np.ndarray) -> str:
        return "shared |s " + " ".join(f"x{at}:{value:.6g}" for at, value in enumerate(row))

    lines = []
    for row, action, cost in zip(log.contexts.to_numpy(), log.action, -log.reward):
        label = f"0:{cost}:{1 / k} "
        lines += [shared(row), *(f"{label if a == action else ''}|a c{a}" for a in range(k)), ""]
    (folder / "log").write_text("\n".join([*lines, ""]))
    vowpalwabbit.Workspace(
        f"--quiet --cb_adf -q sa -d {folder}/log -k --cache_file {folder}/cache --holdout_off "
        f"-f {folder}/model {options}"
    ).finish()
    model = vowpalwabbit.Workspace(f"--quiet -t -i {folder}/model")
    hits = [
        int(np.argmin(model.predict([shared(row), *(f"|a c{a}" for a in range(k))]))) == y
        for row, y in zip(shown.to_numpy(), right)
    ]
    model.finish()
    return float(np.mean(hits))


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("cb_type", ["mtr", "dr", "ips", "dm"])
def test_as_accurate_as_vowpal_wabbits_own(tmp_path: Path, name: str, cb_type: str) -> None:
    """With the same options and order, at most .01 behind vw on the raw features, over 5 logs."""
    behind = []
    for seed in range(5):
        log, shown, right = bandit(name, seed=seed)
        ours = VowpalPolicy(log.action_ids, cb_type=cb_type, learning_rate=0.5, passes=2).fit(log)
        options = f"--cb_type {cb_type} --learning_rate 0.5 --passes 2"
        theirs = vowpal_accuracy(tmp_path, log, shown, right, options)
        behind.append(theirs - accuracy(ours, shown, right))
        expected = ours.expected_reward(shown)
        assert expected is not None
        assert 0.0 <= expected.min() <= expected.max() <= 1.0
    assert np.mean(behind) <= 0.01, behind


@pytest.mark.parametrize("name", SETS)
def test_numeric_column_names_change_nothing(name: str) -> None:
    """Columns named 0, 1, 2 … train to the very same model."""
    plain = VowpalPolicy(bandit(name)[0].action_ids).fit(bandit(name)[0])
    log, _, _ = bandit(name, lambda p: [str(each) for each in range(p)])
    assert VowpalPolicy(log.action_ids).fit(log)._learned.model == plain._learned.model
    log, _, _ = bandit(name, range)
    assert VowpalPolicy(log.action_ids).fit(log)._learned.model == plain._learned.model


@pytest.mark.parametrize("name", SETS)
def test_the_best_of_the_grid_by_compare_is_nearly_the_best(name: str) -> None:
    """The learner that `compare` prefers on later rows is within .01 of the best by truth."""
    log, shown, right = bandit(name)
    early, late = log[: len(log) // 2], log[len(log) // 2 :]
    x, y = classes(name)
    del x
    fitted = [each.fit(early) for each in default_grid(log.action_ids)[1:]]  # type: ignore[attr-defined]
    q = cross_fit(late)
    best = fitted[0]
    for each in fitted[1:]:
        found = compare(late, each, best, expected_reward=q, interval="normal")
        best = each if found.difference > 0 else best
    answers = y[len(log) // 2 : len(log)]
    truth = [accuracy(each, late.contexts, answers) for each in fitted]  # type: ignore[arg-type]
    chosen = accuracy(best, late.contexts, answers)  # type: ignore[arg-type]
    assert max(truth) - chosen <= 0.01
    assert len(shown) == len(right)


def test_what_is_selected_beats_plain_learning() -> None:
    """Over the three sets the selected policy is more accurate than three plain passes of mtr."""
    plain, selected = [], []
    for name in SETS:
        log, shown, right = bandit(name)
        early, late = log[: int(0.65 * len(log))], log[int(0.65 * len(log)) :]
        uniform = UniformPolicy(log.action_ids)
        chosen = select(
            early, late, default_grid(log.action_ids), uniform, exploration=Exploration(0.0, 0.0)
        )
        selected.append(accuracy(chosen.best.fit(log), shown, right))  # type: ignore[attr-defined]
        plain.append(accuracy(VowpalPolicy(log.action_ids, passes=3).fit(log), shown, right))
    assert np.mean(selected) > np.mean(plain)
    assert np.mean(selected) >= 0.8
