"""`--mode=plan` and `--mode=explain` of the main program."""

from collections.abc import Sequence

from fcn_jax.planning import explain, report
from fcn_jax.planning.plan import make_plan
from fcn_jax.planning.remedies import Build, find_remedies
from fcn_jax.planning.targets import Target


def print_plan(
    build: Build,
    target: Target,
    room: int | None,
    assumed: Sequence[str],
    *,
    explained: bool = False,
) -> None:
    """Compile the programs of a run, and print what it needs and what would make it fit.

    Args:
        build: makes the run with some keys changed.
        target: the machine.
        room: bytes of a device; None if they are not known.
        assumed: sentences about data that are not there.
        explained: whether to say first what the updates are.
    """
    for sentence in assumed:
        print(f"assumed     {sentence}")
    run = build({})
    for line in explain.lines(run) if explained else ():
        print(line)
    plan = make_plan(run, target)
    for line in report.lines(plan):
        print(line)
    print(report.verdict(plan, room), flush=True)
    if room is not None and plan.needed > room:
        for remedy in find_remedies(run, plan, build, room):
            print(f"            {remedy.sentence()}", flush=True)
