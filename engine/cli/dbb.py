"""`dbb`: deploy and run the bundle's jobs, on a workspace where there is one, else right here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from engine.cli.group import Group
from engine.errors import BundleError
from engine.local.bundle import RUN_JOB, Bundle, find_bundle, read_bundle
from engine.local.run import LocalRun, local_root, parameters, prepare
from engine.workspace import workspace_configured


@dataclass(frozen=True)
class Place:
    """Where a command works: the target's bundle, here or on a workspace."""

    target: str
    here: bool
    debug: bool

    def bundle(self) -> Bundle:
        """The checked bundle, after saying that the work is done here."""
        path = find_bundle(Path())
        root = path.parent / ".local" / self.target
        why = (
            "asked for"
            if workspace_configured()
            else "no databricks CLI with a workspace is configured"
        )
        click.echo(f"dbb: running locally under {root} ({why})")
        return read_bundle(path, self.target)

    def hand_over(self, arguments: Sequence[str], *, dry_run: bool = False) -> None:
        """Let the databricks CLI do it, and end with its exit code."""
        command = ["databricks", "bundle", *arguments, "-t", self.target]
        click.echo(f"dbb: handing over to `{' '.join(command)}`")
        if not dry_run:
            sys.exit(subprocess.run(command, cwd=find_bundle(Path()).parent).returncode)


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """The options that every command has; they arrive as one `place`."""

    def with_place(target: str, local: bool, debug: bool, **rest: Any) -> None:
        command(Place(target, local or not workspace_configured(), debug), **rest)

    with_place.__doc__, with_place.__name__ = command.__doc__, command.__name__
    with_place.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in (
        click.option("--debug", is_flag=True, help="Show tracebacks."),
        click.option("--local", is_flag=True, help="Stay on this machine in any case."),
        click.option(
            "-t", "--target", default="dev", show_default=True, help="Target of the bundle."
        ),
    ):
        with_place = option(with_place)
    return with_place


_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Deploy and run the jobs of databricks.yml.

    Hands over to `databricks bundle` where that CLI and a workspace are configured; otherwise
    runs the same graph and notebooks on this machine, under .local/TARGET.
    """


@main.command()
@_common
def validate(place: Place) -> None:
    """Check the bundle: jobs, tasks, notebooks, dependencies and parameters."""
    if not place.here:
        place.hand_over(["validate"])
    bundle = place.bundle()
    tasks = sum(len(job.tasks) for job in bundle.jobs.values())
    click.echo(
        f"{bundle.path}: target {bundle.target}: {len(bundle.jobs)} jobs, {tasks} tasks: valid"
    )
    for name, value in bundle.variables.items():
        if value is None:
            click.echo(
                f"  note: the variable {name!r} has no value in this target; a run must give it"
            )


@main.command()
@_common
@_dry_run
def deploy(place: Place, dry_run: bool) -> None:
    """Put the bundle in place: on a workspace, or the folders of a local run."""
    if not place.here:
        place.hand_over(["deploy"], dry_run=dry_run)
        return
    bundle = place.bundle()
    jobs, schemas = ", ".join(bundle.jobs), ", ".join(bundle.schemas)
    if not dry_run:
        prepare(bundle)
    click.echo(f"{'would prepare' if dry_run else 'prepared'} {local_root(bundle)}")
    click.echo(f"on a workspace this would build the wheel and make: schema {schemas}, jobs {jobs}")


@main.command()
@click.argument("job")
@click.option("--params", multiple=True, metavar="K=V,…", help="Job parameters; may be repeated.")
@_common
@_dry_run
def run(place: Place, job: str, params: tuple[str, ...], dry_run: bool) -> None:
    """Run a job and the jobs it runs; exits 0 when all tasks succeeded, whatever the verdict."""
    if not place.here:
        given = [word for each in params for word in ("--params", each)]
        place.hand_over(["run", job, *given], dry_run=dry_run)
        return
    given_values = _parse(params)
    bundle = place.bundle()
    chosen = bundle.job(job)
    values = parameters(bundle, chosen, given_values)
    if dry_run:
        for name, value in values.items():
            click.echo(f"  {name} = {value}")
        click.echo(f"would run {bundle.notebooks(chosen)} notebooks")
        return
    if not LocalRun(bundle, click.echo, place.debug).run(chosen, values):
        sys.exit(1)


@main.command()
@_common
def summary(place: Place) -> None:
    """List the jobs with their tasks and schedules."""
    if not place.here:
        place.hand_over(["summary"])
    bundle = place.bundle()
    for job in bundle.jobs.values():
        click.echo(f"{job.key:20} {job.schedule or 'on demand'}")
        for task in job.tasks:
            what = f"runs {task.run_job}" if task.kind == RUN_JOB else task.notebook
            after = f"  after {', '.join(task.depends_on)}" if task.depends_on else ""
            click.echo(f"  {task.key:20} {what}{after}")


@main.command()
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@_common
@_dry_run
def destroy(place: Place, auto_approve: bool, dry_run: bool) -> None:
    """Remove what `deploy` and `run` made: tables, registry and volume of one target."""
    if not place.here:
        place.hand_over(["destroy", *(["--auto-approve"] if auto_approve else [])], dry_run=dry_run)
        return
    root = local_root(place.bundle())
    if not root.exists():
        click.echo(f"there is nothing under {root}")
    elif dry_run:
        click.echo(f"would remove {root}")
    elif auto_approve or click.confirm(f"remove {root} with all its tables?"):
        shutil.rmtree(root)
        click.echo(f"removed {root}")


def _parse(params: Sequence[str]) -> dict[str, str]:
    """`("a=1,b=2", "c=3")` as a mapping; a comma separates only where `name=` follows."""
    values: dict[str, str] = {}
    for text in params:
        last = None
        for part in text.split(","):
            name, equals, value = part.partition("=")
            if equals and name.strip().isidentifier():
                last = name.strip()
                values[last] = value
            elif last is not None:
                values[last] += f",{part}"
            else:
                raise BundleError(
                    f"--params {text!r} does not start with a name and `=`",
                    hint="write --params name=value,other=value",
                )
    return values
