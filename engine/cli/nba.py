"""`nba`: compare policies, judge the candidate, render the report, simulate, check the bundle."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import click

from engine.bundle.resolution import find_bundle
from engine.cli import remote
from engine.cli.group import ARGUMENTS, HELP, Group, assignments, combined, target, variables
from engine.errors import BundleError, JobError
from engine.local.bundle import TABLES_JOB, read_bundle
from engine.local.lock import writer
from engine.local.run import local_root, parameters, prepare
from engine.parameters import UNSET
from engine.workspace import workspace_configured

if TYPE_CHECKING:  # Spark and MLflow take seconds to import; help and checks need neither
    from engine.jobs import Run

SCHEMA_VERSION = 1
EXIT_CODES = {"promote": 0, "hold": 3, "reject": 4}

_format = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True
)
_debug = click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
_source = click.option("--source", help="Source of the log.  [default: that of the target]")
_as_of = click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    callback=lambda _, __, moment: moment and moment.date(),
    metavar="DAY",
    help="The day it is.  [default: the latest day that has decisions]",
)


@dataclasses.dataclass(frozen=True)
class Request:
    """Which tables a command reads, for which day, and the format of its answer."""

    target: str
    as_of: Optional[dt.date]
    source: Optional[str]
    form: str
    local: bool

    def asked_elsewhere(self) -> bool:
        """Whether the tables are on a workspace, and this is not it."""
        return not self.local and remote.session() is None and workspace_configured()

    @contextmanager
    def opened(self, writes: bool = False) -> Iterator[Run]:
        """A run on the target's tables; it only starts a Spark session.

        Args:
            writes: whether the command changes tables; then no other may do so meanwhile.

        Raises:
            JobError: no job has run in this target yet.
            BundleError: the target has no source, and none was given.
        """
        given = {"source": self.source} if self.source else {}
        if (there := remote.session()) is not None:
            from engine.jobs import Run

            yield self._on_day(Run.of(there[0], {**there[1], **given}))
            return
        bundle = read_bundle(find_bundle(Path()), self.target)
        if self.source is None and bundle.variables.get("source", UNSET) == UNSET:
            raise BundleError(
                f"The target {self.target!r} has no source.",
                where=str(bundle.path),
                hint="give one: --source NAME",
            )
        values = parameters(bundle, bundle.job(TABLES_JOB), given)
        root = local_root(bundle)
        with writer(root, "nba") if writes and root.is_dir() else nullcontext():
            if not (root / "warehouse").is_dir():
                raise JobError(
                    f"No job has run here for the target {self.target!r} yet.",
                    where=str(root),
                    hint=f"uv run dbb run end_to_end_job -t {self.target}",
                )
            click.echo(f"nba: reading the tables under {root}", err=True)
            from engine.jobs import Run
            from engine.local.session import session, stop

            spark = session(prepare(bundle), values["catalog"])
            try:
                yield self._on_day(Run.of(spark, values))
            finally:
                stop(spark)

    def _on_day(self, run: Run) -> Run:
        """The run as of the day that was asked for, or the latest one with decisions."""
        day = self.as_of
        if day is None:
            rows = run.tables.read("decisions").selectExpr("max(decision_date) AS day")
            day = rows.first()["day"] or run.parameters.as_of
        on_day = dataclasses.replace(run.parameters, as_of=day)
        return dataclasses.replace(run, parameters=on_day)


def _answer(form: str, content: Mapping[str, Any], lines: list[str]) -> None:
    """Print the content as JSON, dates as text, or the lines."""
    if form == "json":
        text = json.dumps({"schema_version": SCHEMA_VERSION, **content}, default=str)
        finite = json.loads(text, parse_constant=lambda _: None)  # NaN and infinity become null
        lines = [json.dumps(finite, indent=2, ensure_ascii=False)]
    click.echo("\n".join(lines))


_local = click.option("--local", is_flag=True, help="Ask this machine's tables in any case.")
_request = combined(Request, target, _as_of, _source, _format, _local, _debug)


def _on_tables(command: Callable[..., None]) -> Callable[..., None]:
    """A command on tables: asked where they are, on this machine or on a workspace."""

    @functools.wraps(command)
    def asked(request: Request, **values: Any) -> None:
        if request.asked_elsewhere():
            arguments = click.get_current_context().find_root().meta[ARGUMENTS]
            remote.ask(find_bundle(Path()).parent, request.target, arguments)
        command(request, **values)

    return _request(asked)


@click.group(cls=Group, context_settings=HELP)
def main() -> None:
    """Compare policies, and promote the better one.

    A model is named catalog.schema.model@alias or …:version, for the target's own model also
    @alias or :version, or it is baseline:uniform, baseline:business_rules, baseline:fixed:ACTION.
    Results go to stdout, everything else to stderr. With a workspace, questions about tables are
    answered there, by nba_job; --local asks this machine's.

    Exit codes: 0 done, 1 failed, 2 wrong call; and of promote-model and compare-models
    --recommendation 3 hold, 4 reject.
    """


@main.command("compare-models")
@click.argument("candidate")
@click.argument("incumbent")
@click.option("--recommendation", is_flag=True, help="Exit with 0 promote, 3 hold, 4 reject.")
@_on_tables
def compare_models(request: Request, candidate: str, incumbent: str, recommendation: bool) -> None:
    """Compare the values of two policies.

    Values are what CANDIDATE and INCUMBENT would have earned, as they would act, on matured days
    that neither learned from. The verdict is the gate's, by the rules and settings of the daily
    job; of the lineage on trial against the champion it is the job's own. Nothing is written.
    """
    with request.opened() as run:
        from engine.jobs import comparison

        found = comparison.compare_models(run, candidate, incumbent)
        day = run.parameters.as_of
    first, last, count = found.days
    rows, verdict = found.values.iloc[0], found.verdict
    shown = found.values[["policy", "estimator", "value", "low", "high", "effective_n"]]
    numbers = dict.fromkeys(("value", "low", "high"), "{:.4f}".format)
    evidence = f"the evidence of {found.trial}" if found.trial else "these days"
    lines = [
        f"as of {day}: {rows['n']:,} decisions ({rows['n_choice']:,} with a choice) on {count} days,"
        f" {first} to {last}, that neither learned from",
        shown.to_string(index=False, formatters={**numbers, "effective_n": "{:,.0f}".format}),
        f"gate, for @{verdict.step} on {evidence}:",
        *(_rule_line(name, rule) for name, rule in verdict.rules.items()),
        verdict.sentence,
    ]
    _answer(request.form, {"as_of": str(day), **found.to_dict()}, lines)
    if recommendation:
        sys.exit(EXIT_CODES[verdict.verdict])


def _rule_line(name: str, rule: Mapping[str, Any]) -> str:
    """A rule of the gate: whether it holds, its reading and its limit."""
    reading, limit = (
        f"{value:.4g}" if isinstance(value, (int, float)) else value
        for value in (rule["reading"], rule["limit"])
    )
    holds = "holds" if rule["holds"] else "does not hold"
    return f"  {name:12} {holds:14} {reading} (limit {limit})"


@main.command("promote-model")
@click.argument("name", default="@candidate")
@click.option("--dry-run", is_flag=True, help="Print what would happen, and write nothing.")
@_on_tables
def promote_model(request: Request, name: str, dry_run: bool) -> None:
    """Judge the candidate, and move its alias.

    NAME is catalog.schema.model, by default the target's. This is the promotion that monitoring_job
    makes every day: the gate chooses the version and the alias, and takes at most one step per model
    and day.
    """
    model, mark, rest = name.partition("@")
    if ":" in model or (mark and rest != "candidate"):
        raise click.UsageError("the gate chooses the version: name the model, or model@candidate")
    with request.opened(writes=not dry_run) as run:
        from engine.jobs.comparison import check_model
        from engine.jobs.judgement import act, judgement

        check_model(run, model)
        if not dry_run:
            run.reconcile()
        judged = judgement(run)
        moved = not dry_run and bool(act(run, judged, actor="nba promote-model")["promotions"])
    row, done = judged.row, f"@{judged.row['to_alias']} unchanged"
    if judged.verdict == "promote":
        change = "was moved to" if judged.recorded else "would become" if dry_run else "is now"
        done = f"version {row['candidate']} {change} @{row['to_alias']}"
    if judged.recorded:
        done += " (already decided for this day)"
    lines = [
        f"{row['model_name']} as of {row['as_of']}: version {row['candidate']}"
        f" for @{row['to_alias']}, against {row['incumbent']}",
        judged.sentence,
        f"{'dry run, nothing written: ' if dry_run else ''}{done}",
    ]
    content = {**row, "rules": json.loads(row["rules"]), "sentence": judged.sentence}
    content |= {"moved": moved, "taken_before": judged.recorded, "dry_run": dry_run}
    _answer(request.form, content, lines)
    sys.exit(EXIT_CODES[judged.verdict])


@main.command("report")
@_on_tables
def report(request: Request) -> None:
    """Render the day's report again.

    Prints the path of the page.
    """
    with request.opened() as run:
        from engine.jobs.report import write_report

        path = write_report(run)
    content = {"as_of": str(run.parameters.as_of), "path": str(path)}
    _answer(request.form, content, [str(path)])


@main.command("doctor")
@click.option("--fix", is_flag=True, help="Make the repairs that have only one right outcome.")
@click.option("--dry-run", is_flag=True, help="Say what --fix would repair, and write nothing.")
@_on_tables
def doctor(request: Request, fix: bool, dry_run: bool) -> None:
    """Check the tables, registry and volume.

    Checks the invariants between them, such as one decision a customer and day. Without --fix nothing
    is written. Exits with 1 if anything is left that does not hold.
    """
    writes = fix and not dry_run
    with request.opened(writes=writes) as run:
        from engine.jobs import doctor as examination

        found = examination.examine(run, writes)
    lines, rows = [], []
    width = max(len(examined.name) for examined in found)
    for examined in found:
        answer, detail = examined.state, examined.detail
        if dry_run and answer == "FAILED" and examined.repairable:
            detail += "; --fix would repair it"
        lines.append(f"{answer:11}  {examined.name:{width}}  {detail}".rstrip())
        rows.append({"subject": examined.name, "answer": answer, "detail": detail})
    wrong = sum(row["answer"] == "FAILED" for row in rows)
    lines.append(f"{len(rows)} invariants, {wrong} do not hold")
    _answer(request.form, {"as_of": str(run.parameters.as_of), "checks": rows}, lines)
    if wrong:
        sys.exit(1)


@main.command("simulate")
@click.option("--scenario", "name", default="stable", show_default=True, help="Which world.")
@click.option("--days", default=120, show_default=True, type=click.IntRange(1))
@click.option("--customers", default=20_000, show_default=True, type=click.IntRange(100))
@click.option("--seed", default=0, show_default=True)
@click.option("--reward", default="visits", show_default=True, help="visits or money.")
@click.option(
    "--out",
    default=Path(".local/simulate"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the picture and of the days as CSV.",
)
@_format
@_debug
def simulate(
    name: str, days: int, customers: int, seed: int, reward: str, out: Path, form: str
) -> None:
    """Simulate a company's days.

    On each day policies decide, learn, are judged and promoted.

    The champion's true value is shown beside that of the business rules and of the best that the
    contexts allow. Nothing is read or written but the folder; no Spark is needed.
    """
    from engine.world.loop_picture import run_scenario, spans

    def say(line: str) -> None:
        click.echo(f"nba: {line}", err=True)

    result, path = run_scenario(name, days, customers, seed, reward, out, say)
    found = spans(result)
    formats = dict.fromkeys(("rules", "learned", "best"), "{:.3f}".format)
    formats["of the gap"] = "{:.0%}".format
    notes = found["what happened"]
    found["what happened"] = notes.str.ljust(notes.str.len().max())  # a column's text ends right
    shown = found.to_string(index=False, formatters=formats, justify="left")
    content = {
        "scenario": name,
        "picture": str(path),
        "days": result.table.astype({"date": str}).to_dict("records"),
    }
    _answer(form, content, [*map(str.rstrip, shown.splitlines()), "", f"picture: {path}"])


@main.command("validate-bundle")
@click.argument("target", required=False)
@click.option("--fix", is_flag=True, help="Mend what has only one right answer.")
@click.option("--verbose", is_flag=True, help="List every check, and ask the workspace.")
@variables
@_format
@_debug
def validate_bundle(
    target: Optional[str], fix: bool, verbose: bool, var: tuple[str, ...], form: str
) -> None:
    """Check the bundle and its configuration.

    Reads databricks.yml for TARGET (the bundle's default one) with every file it leads to. Prints
    what is wrong with its place and a hint, and what could not be checked. Exits with 1 if
    anything is wrong. It works for any bundle; --fix keeps comments and layout.
    """
    from engine.local import validation
    from engine.workspace import FAILED, OK

    path, given = find_bundle(Path()), assignments(var, "--var")
    found = validation.validate(path, target, given)
    mended = []
    while fix and (fixed := validation.fix(found)):  # one fix may uncover another
        mended += fixed
        found = validation.validate(path, target, given)
    checks = list(validation.checks_of(found, verbose))
    wrong = [check for check in checks if check.answer == FAILED]
    good = [check for check in checks if check.answer == OK]
    lines = [f"fixed        {fault.place}: {fault.what}" for fault in mended]
    shown = [check for check in checks if verbose or check.answer != OK or check.detail]
    width = max(len(check.subject) for check in shown)
    for check in shown:
        place = [f"in {check.where}"] if check.where else []
        hint = [f"Hint: {check.hint}"] if check.hint else []
        detail = "; ".join([check.detail.rstrip("."), *place, *hint])
        lines.append(f"{check.answer:11}  {check.subject:{width}}  {detail}".rstrip())
    lines.append(f"{len(good)} checks ok, {len(wrong)} faults")
    content = {
        "target": found.resolved.target if found.resolved else target,
        "checks": list(map(dataclasses.asdict, checks)),
        "fixed": [{"what": fault.what, "where": str(fault.place)} for fault in mended],
    }
    _answer(form, content, lines)
    if wrong:
        sys.exit(1)
