"""Compiling one case; in a process of its own, as XLA reads its flags once."""

import importlib.metadata
import re
import time
from pathlib import Path
from typing import Any

from benchmarks.compiled.cases import Case


def compile_case(case: Case, target: str, keep: str) -> dict[str, Any]:
    """Compile a program and count what it does.

    Args:
        case: the program.
        target: for which machine; see `planning.targets.TARGETS`.
        keep: directory for the text of the program, or "".

    Raises:
        RunError: if the package of the target is not installed.
    """
    from fcn_jax.planning import targets

    config = case.config()
    targets.prepare(target)
    if case.deterministic:
        from fcn_jax.runtime.compilation import request_deterministic

        request_deterministic()
    run = experiment(case, config, target)

    from fcn_jax.planning import kernels, programs
    from fcn_jax.planning.memory import memory_of

    start = time.perf_counter()
    compiled = programs.lower(run, case.task, _shape(case)).compile()
    seconds = time.perf_counter() - start
    text = compiled.as_text()
    if keep:
        Path(keep, file_name(f"{target} {case}.hlo")).write_text(text)
    reading = kernels.read(text)
    memory = memory_of(compiled)
    operations = _operations(run, case)
    own = targets.TARGETS[target]
    return {
        **kernels.summary(reading),
        **{f"{name}_memory": size for name, size in memory._asdict().items()},
        "peak_memory": memory.peak,
        "operations": operations,
        "estimated_seconds": reading.seconds(
            own, case.dtype, operations // case.devices, tf32=case.tf32
        ),
        "compile_seconds": round(seconds, 1),
    }


def experiment(case: Case, config: Any, target: str) -> Any:
    """Return the run of a case on devices of the target, with stand-ins for its data."""
    from fcn_jax.experiment import without_data
    from fcn_jax.experiment.experiment import Experiment
    from fcn_jax.planning import targets
    from fcn_jax.runtime import sharding

    pictures = without_data.Pictures((case.height, case.width), vary=case.sizes)
    train, evaluation = (
        without_data.stand_in(config, split, config.data.name, pictures)[0]
        for split in (config.data.train_split, config.data.eval_split)
    )
    mesh = sharding.make_mesh(targets.deviceless(target, case.devices))
    return Experiment.from_config(
        config, train_source=train, eval_source=evaluation, mesh=mesh
    )


def _shape(case: Case) -> Any:
    from fcn_jax.planning.programs import Shape

    return Shape(case.batch, (case.height, case.width), case.sizes)


def _operations(run: Any, case: Case) -> int:
    """Operations of the definition, over all devices."""
    from fcn_jax.planning import activations, operations, programs

    shape = _shape(case)
    if case.task == "train":
        return activations.update_operations(run, shape).total
    batch = programs.batch_shapes(run, shape)
    variables = programs.variable_shapes(run)
    found = operations.count(
        programs.scores_of(run), variables, batch["inputs"], batch["sizes"]
    )
    return found.total


def versions() -> dict[str, str]:
    """Return the versions that decide what is compiled, of packages that are installed."""
    names = (
        *("jax", "jaxlib", "jax-cuda13-plugin", "jax-cuda12-plugin"),
        *("nvidia-cudnn-cu13", "nvidia-cublas", "libtpu"),
    )
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def file_name(text: str) -> str:
    """Return a text as the name of a file."""
    return re.sub(r"[^\w.=-]+", "_", text)
