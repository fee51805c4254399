"""`nba doctor`: what must hold between tables, registry and volume, and the repairs there are."""

from __future__ import annotations

import dataclasses
import datetime as dt
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from engine.data.decisions import OTHER_SYSTEM, Author
from engine.data.tables import TABLES
from engine.errors import JobError
from engine.inference.decide import contexts_on, decide_day
from engine.jobs.judgement import judged_anew
from engine.jobs.run import Run
from engine.models.lineage_table import TAGS
from engine.models.registry import ALIASES
from engine.promotion.moves import required_versions
from engine.temporary import left_folders
from engine.workspace import FAILED, NOT_CHECKED, OK
from policies.deciding.groups import Groups
from policies.errors import ModelFileError, NbaError
from policies.log import ROUNDING

SHOWN = 3  # keys of broken rows that are named
REPLAYED = 30  # newest verdicts that are judged anew
SAMPLE = 2_000  # decisions that are made anew, about


@dataclass(frozen=True)
class Broken:
    """What does not hold: how many times, examples, and what to do."""

    count: int
    what: str
    hint: str


@dataclass(frozen=True)
class Skipped:
    """Why an invariant cannot be checked here."""

    why: str


Answer = Union[None, Broken, Skipped]  # None: it holds


@dataclass(frozen=True)
class Invariant:
    """Something that must hold.

    Args:
        name: for people and JSON.
        check: says whether it holds; writes nothing.
        repair: the one right repair; None where a person must decide.
    """

    name: str
    check: Callable[[Run], Answer]
    repair: Optional[Callable[[Run], None]] = None


def _examples(values: Iterable[Any]) -> str:
    return ", ".join(map(str, list(values)[:SHOWN]))


def _rows(rows: DataFrame, keys: Sequence[str], what: str, hint: str) -> Answer:
    """`Broken` with the keys of the rows, if there are any."""
    count = rows.count()
    if not count:
        return None
    shown = [" ".join(map(str, row)) for row in rows.select(*keys).limit(SHOWN).collect()]
    return Broken(count, f"{what}: {_examples(shown)}", hint)


def columns(run: Run) -> Answer:
    """Each table has the columns that this engine writes."""
    for table, shape in TABLES.items():
        if shape.columns is None or not run.tables.exists(table):
            continue
        own = set(run.tables.read(table).columns)
        wanted = set(run.tables.spark.createDataFrame([], shape.columns).columns)
        lost, further = wanted - own, set() if shape.wider else own - wanted
        if lost or further:
            what = f"{table} lacks {sorted(lost)} and has {sorted(further)} besides"
            hint = "another version of the engine wrote it: use that one, or a new schema"
            return Broken(1, what, hint)
    return None


def keys(run: Run) -> Answer:
    """No key of a table comes twice."""
    for table, shape in TABLES.items():
        if run.tables.exists(table):
            twice = run.tables.read(table).groupBy(*shape.keys).count().where("count > 1")
            hint = "RESTORE the table to the version before the second write"
            if broken := _rows(twice, shape.keys, f"{table} has keys twice", hint):
                return broken
    return None


def one_decision(run: Run) -> Answer:
    """A customer has one decision of the engine a day; another system may take several."""
    decisions = run.tables.read_if_any("decisions").where(f"model_name NOT LIKE '{OTHER_SYSTEM}%'")
    twice = decisions.groupBy("customer_id", "decision_date").count().where("count > 1")
    hint = "correct the source of the decisions, or RESTORE the table"
    return _rows(twice, ("customer_id", "decision_date"), "several decisions", hint)


def logged_probabilities(run: Run) -> Answer:
    """The logged probability is that of the logged action in the logged distribution."""
    rows = run.tables.read_if_any("decisions").where("`group` IN ('policy', 'uniform')")
    logged = "abs(distribution[action_id] - action_probability)"
    total = "abs(aggregate(map_values(distribution), 0D, (a, b) -> a + b) - 1)"
    wrong = rows.where("distribution IS NOT NULL").where(
        f"coalesce({logged}, 1) > {ROUNDING} OR coalesce({total}, 1) > {ROUNDING}"
    )
    hint = "take the day out of evidence: dbb run inference_job --replace-decisions --reason …"
    return _rows(wrong, ("decision_id",), "probabilities that contradict themselves", hint)


def recomputed_probabilities(run: Run) -> Answer:
    """A sample of the newest decisions, made anew, has the logged probabilities."""
    tables, state, settings = run.tables, run.standing, run.config.engine
    newest = tables.read_if_any("decisions").selectExpr("max(decision_date) AS day").first()
    day = newest["day"] if newest else None
    if day is None:
        return Skipped("there are no decisions")
    run = on_day(run, day)
    state = run.standing
    rows = tables.read("decisions").where(F.col("decision_date") == F.lit(day))
    made = (run.config.catalogue.hash, run.config.features.hash)
    if rows.where(
        (F.col("catalogue_hash") == made[0]) & (F.col("feature_hash") == made[1])
    ).isEmpty():
        return Skipped("the newest decisions were made with other rules or features")
    try:
        policy, before = state.policy(state.champion), state.previous
        contexts = contexts_on(tables, run.config.catalogue, list(run.features), day)
        previous = state.policy(before) if before else None
    except NbaError as error:
        return Skipped(error.what)
    every = max(rows.count() // SAMPLE, 1)
    sample = contexts.where(F.expr(f"pmod(xxhash64(customer_id), {every}) = 0"))
    author = Author("", "", made[1], "")
    shares = settings.groups
    groups = Groups(shares.uniform, shares.holdout, shares.previous if before else 0.0)
    again = decide_day(
        sample,
        policy,
        run.config.catalogue,
        author,
        day,
        floor=settings.exploration.floor,
        groups=groups,
        previous=previous,
    )
    same = again.select(
        "customer_id", F.col("eligible_actions").alias("e"), F.col("distribution").alias("d")
    )
    both = rows.join(same, "customer_id").where("array_sort(e) = array_sort(eligible_actions)")
    wrong = both.where("abs(d[action_id] - action_probability) > 1e-6")
    wrong = wrong.where("`group` IN ('policy', 'uniform')")
    hint = (
        "a policy, rule or setting changed after the day was decided: explain it before promoting"
    )
    return _rows(wrong, ("decision_id",), f"decisions of {day} with other probabilities", hint)


def rewards(run: Run) -> Answer:
    """Every reward has its decision."""
    if not run.tables.exists("rewarded_decisions"):
        return Skipped("there are no rewards")
    left = run.tables.read("rewarded_decisions").join(
        run.tables.read_if_any("decisions"), "decision_id", "left_anti"
    )
    hint = "run data_pipeline_job for the day; if it stays, RESTORE decisions"
    return _rows(left, ("decision_id",), "rewards without a decision", hint)


def outcomes(run: Run) -> Answer:
    """Every outcome of a decision has that decision."""
    named = run.tables.read_if_any("outcomes").where("decision_id IS NOT NULL")
    left = named.join(run.tables.read_if_any("decisions"), "decision_id", "left_anti")
    hint = "the source names decisions that this engine did not make; correct it"
    return _rows(left, ("outcome_id",), "outcomes without their decision", hint)


def registered_versions(run: Run) -> Answer:
    """The registry has the versions that `promotions` names."""
    there = {version.number for version in run.registry.versions()}
    lacking = sorted(required_versions(run.standing.history) - there, key=int)
    if not lacking:
        return None
    hint = "restore the registry from the same backup as the tables"
    return Broken(len(lacking), f"versions that are gone: {_examples(lacking)}", hint)


def recorded_versions(run: Run) -> Answer:
    """`lineages` has every trained version, and its tags are copies of the row."""
    wrong = []
    for version in run.registry.versions():
        row = run.standing.recorded.get(version.number)
        if row is None and all(name in version.tags for name in TAGS):
            wrong.append(f"{version.number} is not recorded")
        elif row is not None:
            differing = [name for name in TAGS if version.tags.get(name) != str(row[name])]
            wrong += [f"{version.number} has another tag {differing[0]}"] if differing else []
    if not wrong:
        return None
    return Broken(len(wrong), f"versions: {_examples(wrong)}", "nba doctor --fix")


def moves(run: Run) -> Answer:
    """Every promotion that was decided is recorded as a move."""
    verdicts, history = run.standing.verdicts, run.standing.history
    rows = verdicts[verdicts["verdict"] == "promote"].to_dict("records")
    lost = [
        f"{row['as_of']} @{row['to_alias']}"
        for row in rows
        if not history.holds(row["as_of"], row["to_alias"], row["candidate"])
    ]
    return Broken(len(lost), f"moves: {_examples(lost)}", "nba doctor --fix") if lost else None


def aliases(run: Run) -> Answer:
    """Each live alias is where the newest move put it."""
    wrong = []
    for alias in ALIASES:
        newest, live = run.standing.history.version(alias, dt.date.max), run.registry.alias(alias)
        if newest != live:
            wrong.append(f"@{alias} is {live or 'not set'}, and {newest or 'no move'} is recorded")
    return Broken(len(wrong), _examples(wrong), "nba doctor --fix") if wrong else None


def verdicts(run: Run) -> Answer:
    """The gate gives the newest verdicts again, from the frozen evidence."""
    rows = run.standing.verdicts.tail(REPLAYED).to_dict("records")
    if not rows:
        return Skipped("there are no verdicts")
    wrong = []
    for row in rows:
        try:
            again, _ = judged_anew(on_day(run, row["as_of"]))
        except JobError as error:
            wrong.append(f"{row['as_of']} cannot be judged: {error.what}")
            continue
        if again["verdict"] != row["verdict"] or again["verdict_id"] != row["verdict_id"]:
            wrong.append(f"{row['as_of']} was {row['verdict']} and would be {again['verdict']}")
    hint = "the gate's settings or the evidence changed since; verdicts stay as they were given"
    return Broken(len(wrong), f"verdicts: {_examples(wrong)}", hint) if wrong else None


def models(run: Run) -> Answer:
    """The files of each version that may decide are those that were registered."""
    needed = required_versions(run.standing.history)
    there = [version for version in run.registry.versions() if version.number in needed]
    wrong = []
    for version in there:
        try:
            about = run.registry.load(version.number).about
        except ModelFileError as error:
            wrong.append(f"{version.number}: {error.what}")
            continue
        differing = [name for name, value in about.items() if version.tags.get(name) != value]
        wrong += [f"{version.number} has another {differing[0]}"] if differing else []
    hint = "restore its files; until then the business rules decide in its place"
    return Broken(len(wrong), f"versions: {_examples(wrong)}", hint) if wrong else None


def leftovers(run: Run) -> Answer:
    """No files and training runs of processes that ended are left."""
    folders = left_folders(run.parameters.volume / "staging")
    runs = run.registry.stopped_runs()
    if not folders and not runs:
        return None
    what = f"{len(folders)} folders of staged files, {len(runs)} training runs that never ended"
    return Broken(len(folders) + len(runs), what, "nba doctor --fix")


def _clear(run: Run) -> None:
    for folder in left_folders(run.parameters.volume / "staging"):
        shutil.rmtree(folder)
    run.registry.end_stopped_runs()


def on_day(run: Run, day: dt.date) -> Run:
    """The same run as of another day."""
    return dataclasses.replace(run, parameters=dataclasses.replace(run.parameters, as_of=day))


INVARIANTS = (
    Invariant("columns of tables", columns),
    Invariant("keys of tables", keys),
    Invariant("one decision a day", one_decision),
    Invariant("logged probabilities", logged_probabilities),
    Invariant("recomputed probabilities", recomputed_probabilities),
    Invariant("decisions of rewards", rewards),
    Invariant("decisions of outcomes", outcomes),
    Invariant("registered versions", registered_versions),
    Invariant("recorded versions", recorded_versions, Run.reconcile),
    Invariant("moves of verdicts", moves, Run.reconcile),
    Invariant("live aliases", aliases, Run.reconcile),
    Invariant("verdicts", verdicts),
    Invariant("files of models", models),
    Invariant("leftovers", leftovers, _clear),
)


@dataclass(frozen=True)
class Examined:
    """What became of one invariant.

    Args:
        name: of the invariant.
        answer: None where it holds.
        repaired: whether it was broken and holds now.
        repairable: whether --fix would repair it.
    """

    name: str
    answer: Answer
    repaired: bool = False
    repairable: bool = False

    @property
    def state(self) -> str:
        """`ok`, `repaired`, `not checked` or `FAILED`."""
        if isinstance(self.answer, Broken):
            return FAILED
        if isinstance(self.answer, Skipped):
            return NOT_CHECKED
        return "repaired" if self.repaired else OK

    @property
    def detail(self) -> str:
        """What is wrong, how often, and what to do; or why it was not checked."""
        if isinstance(self.answer, Broken):
            return f"{self.answer.count:,} × {self.answer.what}; Hint: {self.answer.hint}"
        return self.answer.why if isinstance(self.answer, Skipped) else ""


def examine(run: Run, fix: bool) -> list[Examined]:
    """Check every invariant; with `fix` also make the repairs there are, and check again."""
    found = []
    for invariant in INVARIANTS:
        answer, repaired = invariant.check(run), False
        if fix and isinstance(answer, Broken) and invariant.repair is not None:
            invariant.repair(run)
            run = on_day(run, run.parameters.as_of)  # what was read before is not what is there
            answer = invariant.check(run)
            repaired = answer is None
        found.append(Examined(invariant.name, answer, repaired, invariant.repair is not None))
    return found
