"""The day's page: whole without a network, honest about what is missing, and deaf to markup."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.config import load_config
from engine.monitoring.policy_values import value_rows
from engine.monitoring.report import Page, render
from policies import FixedAction, LoggedDecisions, UniformPolicy
from policies.judging.gate import Gate
from policies.sequences.days import day_sums

DAY = dt.date(2026, 3, 9)
MOVES = ["moved_at", "as_of", "alias", "from_version", "to_version", "actor", "reason"]


class Words(HTMLParser):
    """Collects the text and the tags of a page, and where they point."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags, self.links = "", [], []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        """Note it, with single spaces."""
        if self.tags[-1:] != ["style"]:
            self.text += re.sub(r"\s+", " ", data)


@pytest.fixture(scope="module")
def page(repository: Path) -> Page:
    """A promoted candidate against the champion, version 3, without any truth."""
    n, random = 2_000, np.random.default_rng(0)
    action = random.integers(2, size=n)
    contexts = pd.DataFrame({"x": random.normal(size=n)})
    log = LoggedDecisions(
        ("a", "no_contact"),
        action,
        np.full(n, 0.5),
        (random.random(n) < np.where(action == 0, 0.4, 0.1)).astype(float),
        contexts=contexts,
        decision_date=np.datetime64("2026-03-01") + np.arange(n) // 500,
        distribution=np.full((n, 2), 0.5),
        reward_range=(0, 1),
    )
    ours, theirs = np.tile([1.0, 0.0], (n, 1)), np.full((n, 2), 0.5)
    days = day_sums(log, ours, theirs, estimator="ips")
    judged = Gate().judge(days)
    verdict = {
        "verdict": judged.verdict,
        "candidate": "4",
        "incumbent": "3",
        "to_alias": "staging",
        "difference": judged.difference,
        "low": judged.low,
        "high": judged.high,
        "alpha": judged.alpha,
        "rules": json.dumps(judged.rules),
    }
    policies = {
        "main.nba.model:4": FixedAction(log.action_ids, "a"),
        "baseline:uniform": UniformPolicy(log.action_ids),
    }
    move = [pd.Timestamp("2026-03-02"), DAY, "champion", None, "3", "someone", "because"]
    drift = ["subject", "metric", "value", "threshold", "status", "reason"]
    return Page(
        place="main.nba",
        as_of=DAY,
        source="a_log",
        champion="main.nba.model:3",
        settings=load_config(repository / "conf").engine,
        verdicts=pd.DataFrame([verdict]),
        values=value_rows(log, policies, "unseen").assign(truth=np.nan),
        evidence=pd.DataFrame([each.to_dict() for each in days]),
        decisions=pd.DataFrame({"action_id": ["a"], "group": ["policy"], "count": [1234]}),
        drift=pd.DataFrame(
            [
                ["x", "psi", 0.31, 0.2, "changed", None],
                ["log", "decide_1", 1.0, 1.0, "decide", "all well"],
            ],
            columns=drift,
        ),
        moves=pd.DataFrame([move], columns=MOVES),
    )


def test_the_page_shows_the_verdict_and_its_numbers(page: Page) -> None:
    """The page shows verdict, versions, bounds, rules, estimates, counts, drift and moves."""
    words = Words(render(page))
    row = page.verdicts.iloc[0]
    assert row["verdict"] == "promote"
    for said in (
        "promote version 4 to @staging: ",
        f"{row['difference']:+.4f} reward per decision against version 3",
        f"confidence sequence [{row['low']:+.4f}, {row['high']:+.4f}]",
        "The lower bound of the difference is above the limit.",
        "4 matured days",
        "1,234",
        "0.310",
        "decide: all well",
        "because",
    ):
        assert said in words.text, said
    dr = page.values[page.values["estimator"] == "dr"].set_index("policy")["value"]
    for name, value in dr.items():
        assert f"{value:.4f}" in words.text, name
    assert "truth" not in words.text


def test_the_page_needs_nothing_but_itself(page: Page) -> None:
    """Pictures are inside and nothing is fetched or run."""
    words = Words(render(page))
    assert len(words.links) == 2
    assert all(link.startswith("data:image/png;base64,") for link in words.links)
    assert not {"script", "link", "iframe"} & set(words.tags)


def test_where_the_truth_is_known_it_stands_beside_the_estimates(page: Page) -> None:
    """With a simulator's truth every policy's row shows it."""
    values = page.values.assign(truth=np.where(page.values["policy"] == "baseline:uniform", 0.5, 9))
    words = Words(render(dataclasses.replace(page, values=values)))
    assert "truth" in words.text
    assert "0.5000" in words.text
    assert "9.0000" in words.text


def test_without_a_candidate_the_page_says_so(page: Page) -> None:
    """No verdict, no evidence and no move make a page all the same."""
    empty = dataclasses.replace(
        page,
        verdicts=page.verdicts.head(0),
        evidence=pd.DataFrame(),
        moves=page.moves.head(0),
        values=page.values.assign(window="all"),
    )
    words = Words(render(empty))
    assert "No candidate is on trial." in words.text
    assert "Evidence so far" not in words.text
    assert len(words.links) == 1


def test_a_verdict_without_bounds_shows_none(page: Page) -> None:
    """A hold before the first day of evidence has no bounds to show, and no empty picture."""
    rules = json.dumps({"better": {"holds": False, "reading": None, "limit": -0.005}})
    held = page.verdicts.assign(verdict="hold", difference=0.0, low=np.nan, high=None, rules=rules)
    words = Words(render(dataclasses.replace(page, verdicts=held, evidence=pd.DataFrame())))
    assert "hold version 4" in words.text
    assert not re.search(r"\bnan\b", words.text)
    assert "None" not in words.text
    assert "confidence sequence [" not in words.text


def test_names_are_text_and_not_markup(page: Page) -> None:
    """An action whose name is a tag is shown, not obeyed."""
    nasty = "<script>alert(1)</script>"
    decisions = page.decisions.assign(action_id=nasty)
    words = Words(render(dataclasses.replace(page, decisions=decisions)))
    assert nasty in words.text
    assert "script" not in words.tags
