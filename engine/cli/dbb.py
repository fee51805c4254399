"""`dbb`: deploy and run the bundle's jobs, on a workspace or on this machine."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import click

from engine.bundle.jobs import Bundle, Job
from engine.bundle.resolution import find_bundle
from engine.cli.group import HELP, Group, assignments, combined, debug, target, variables
from engine.errors import BundleError
from engine.local.bundle import read_bundle
from engine.local.lock import writer
from engine.local.run import FOLDER, LocalRun, local_root, parameters, prepare
from engine.workspace import workspace_configured
from policies.errors import require_known


@dataclass(frozen=True)
class Target:
    """The target of a command: its bundle, on this machine or on a workspace."""

    target: str
    local: bool
    debug: bool
    var: tuple[str, ...]

    def bundle(self) -> Bundle:
        """The checked bundle; prints that the work is done on this machine, and why."""
        path = find_bundle(Path())
        root = path.parent / FOLDER / self.target
        why = "no databricks CLI with a workspace is configured"
        if workspace_configured():
            why = "--local"
        click.echo(f"dbb: running locally under {root} ({why})")
        return read_bundle(path, self.target, assignments(self.var, "--var"))

    @property
    def on_this_machine(self) -> bool:
        """Whether the work is done here, and not on a workspace."""
        return self.local or not workspace_configured()

    def handed_over(self, *arguments: str, dry_run: bool = False) -> bool:
        """Run the command by the databricks CLI and end with its exit code; False if here."""
        if self.on_this_machine:
            return False
        given = [f"--var={text}" for text in self.var]
        command = ["databricks", "bundle", *arguments, *given, "-t", self.target]
        click.echo(f"dbb: handing over to `{' '.join(command)}`")
        if not dry_run:
            sys.exit(subprocess.run(command, cwd=find_bundle(Path()).parent).returncode)
        return True


_local = click.option("--local", is_flag=True, help="Stay on this machine in any case.")
_dry_run = click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
_on_target = combined(Target, target, _local, debug, variables)


@click.group(cls=Group, context_settings=HELP)
def main() -> None:
    """Deploy and run the jobs of databricks.yml.

    Hands over to `databricks bundle` where that CLI and a workspace are configured; otherwise
    runs the same graph and notebooks on this machine, under .local/TARGET.
    """


@main.command()
@_on_target
def validate(target: Target) -> None:
    """Check the bundle.

    Jobs, tasks, notebooks, dependencies and parameters.
    """
    if target.handed_over("validate"):
        return
    bundle = target.bundle()
    tasks = sum(len(job.tasks) for job in bundle.jobs.values())
    click.echo(
        f"{bundle.path}: target {bundle.target}: {len(bundle.jobs)} jobs, {tasks} tasks: valid"
    )


@main.command()
@_on_target
@_dry_run
def deploy(target: Target, dry_run: bool) -> None:
    """Deploy the bundle.

    On a workspace, or the folders of a local run.
    """
    if target.handed_over("deploy", dry_run=dry_run):
        return
    bundle = target.bundle()
    jobs, schemas = ", ".join(bundle.jobs), ", ".join(bundle.schemas)
    if not dry_run:
        prepare(bundle)
    click.echo(f"{'would prepare' if dry_run else 'prepared'} {local_root(bundle)}")
    click.echo(f"on a workspace this would build the wheel and make: schema {schemas}, jobs {jobs}")


@main.command()
@click.argument("job")
@click.option("--params", multiple=True, metavar="K=V,…", help="Job parameters; may be repeated.")
@click.option(
    "--replace-decisions", is_flag=True, help="Let the day's decisions change; needs --reason."
)
@click.option("--reason", default="", metavar="TEXT", help="Why, for the record.")
@click.option("--only", metavar="TASK,…", help="Run these tasks of the job only.")
@click.option("--from", "first", metavar="TASK", help="Run a task and all that wait for it.")
@_on_target
@_dry_run
def run(
    target: Target,
    job: str,
    params: tuple[str, ...],
    replace_decisions: bool,
    reason: str,
    only: Optional[str],
    first: Optional[str],
    dry_run: bool,
) -> None:
    """Run a job and the jobs it runs.

    Exits 0 when all tasks succeeded, whatever the verdict. A run that would change decisions that
    were acted on is refused; with --replace-decisions it changes them, and their day no longer
    counts as evidence or teaches a policy.
    """
    if replace_decisions != bool(reason.strip()):
        raise click.UsageError("--replace-decisions and --reason TEXT belong together")
    if only and first:
        raise click.UsageError("--only and --from exclude each other")
    options = [word for text in params for word in ("--params", text)]
    selected = None
    if only or first:
        chosen = read_bundle(
            find_bundle(Path()), target.target, assignments(target.var, "--var")
        ).job(job)
        selected = _named(chosen, only) if only else _from(chosen, first or "")
        options += ["--only", ",".join(selected)]
    if replace_decisions and not target.on_this_machine:
        raise BundleError(
            "On a workspace a replacement is recorded from a notebook.",
            hint="there run jobs.Run.of(spark, parameters).allow_replacement(reason, actor)",
        )
    if target.handed_over("run", job, *options, dry_run=dry_run):
        return
    given = assignments(params, "--params")
    bundle = target.bundle()
    chosen = bundle.job(job)
    values = parameters(bundle, chosen, given)
    if dry_run:
        for name, value in values.items():
            click.echo(f"  {name} = {value}")
        tasks = [task.key for task in chosen.tasks if selected is None or task.key in selected]
        click.echo(f"would run {', '.join(tasks)}")
        return
    before = _replacement(reason) if replace_decisions else None
    local = LocalRun(bundle, click.echo, target.debug, before=before, selected=selected)
    if not local.run(chosen, values):
        sys.exit(1)


@main.command()
@_on_target
def summary(target: Target) -> None:
    """List the jobs with their tasks and schedules."""
    if target.handed_over("summary"):
        return
    bundle = target.bundle()
    for job in bundle.jobs.values():
        click.echo(f"{job.key:20} {job.schedule or 'on demand'}")
        for task in job.tasks:
            what = f"runs {task.run_job}" if task.run_job else task.notebook or "condition"
            after = f"  after {', '.join(task.depends_on)}" if task.depends_on else ""
            click.echo(f"  {task.key:20} {what}{after}")


@main.command()
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@_on_target
@_dry_run
def destroy(target: Target, auto_approve: bool, dry_run: bool) -> None:
    """Remove what deploy and run made.

    The tables, registry and volume of one target.
    """
    options = ["--auto-approve"] if auto_approve else []
    if target.handed_over("destroy", *options, dry_run=dry_run):
        return
    root = local_root(target.bundle())
    if not root.exists():
        click.echo(f"there is nothing under {root}")
    elif dry_run:
        click.echo(f"would remove {root}")
    elif auto_approve or click.confirm(f"remove {root} with all its tables?"):
        with writer(root, "destroy"):
            shutil.rmtree(root)
        click.echo(f"removed {root}")


def _replacement(reason: str) -> Callable[[Any, Mapping[str, str]], None]:
    """Records, before the first task, that the day's decisions may change."""

    def record(spark: Any, values: Mapping[str, str]) -> None:
        from engine.jobs import Run

        Run.of(spark, values).allow_replacement(reason, getpass.getuser())

    return record


def _named(job: Job, only: str) -> list[str]:
    """The tasks that `--only` names.

    Raises:
        BundleError: the job has no such task.
    """
    keys = [key.strip() for key in only.split(",")]
    for key in keys:
        known = [task.key for task in job.tasks]
        require_known(key, known, BundleError, f"{job.key} has no task {key!r}", job.where)
    return keys


def _from(job: Job, first: str) -> list[str]:
    """A task and all that wait for it."""
    chosen = _named(job, first)
    for task in job.tasks:  # in running order
        if any(key in chosen for key in task.depends_on):
            chosen.append(task.key)
    return chosen
