"""A plan in words."""

from collections.abc import Iterator

from fcn_jax.planning.memory import Memory
from fcn_jax.planning.plan import Plan, Program
from fcn_jax.planning.targets import gib


def lines(plan: Plan) -> Iterator[str]:
    """Return the lines of a plan: a word, and what it says."""
    yield line("device", _device(plan))
    yield line(
        "parameters",
        f"{plan.parameters:,} ({gib(plan.parameter_bytes)}); state with the optimiser "
        f"{gib(plan.state_bytes)} a device",
    )
    yield line("batch", _batch(plan))
    yield line(
        "features",
        f"{gib(plan.kept_bytes)} kept for the backward pass, a device, before the "
        "compiler",
    )
    yield line("update", _work(plan.train, plan.accumulation))
    yield line("evaluation", _work(plan.evaluation, 1, "a batch"))
    yield line("training", _memory(plan, plan.train.memory, plan.training))
    yield line("evaluating", _memory(plan, plan.evaluation.memory, plan.evaluating))
    yield line(
        "speed",
        f"at most {_rounded(plan.images_per_second)} images/s, "
        f"{_rounded(plan.update_seconds)} s an update: {_roofline(plan)}",
    )


def verdict(plan: Plan, room: int | None) -> str:
    """Return whether the run fits into `room` bytes of a device."""
    needed = gib(plan.needed)
    if room is None:
        return line("needs", f"{needed}; this device does not say what it has")
    if plan.needed <= room:
        return line("fits", f"needs {needed} of {gib(room)}")
    return line("too much", f"needs {needed}, there are {gib(room)}; tried instead:")


def line(word: str, text: str) -> str:
    """Return a line of a plan: a word, and what it says."""
    return f"{word:<12}{text}"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _device(plan: Plan) -> str:
    own = plan.target
    compiled = "" if own.name == "here" else ", compiled for without one"
    return f"{plan.devices} x {own.device}{compiled}; {plan.dtype}"


def _batch(plan: Plan) -> str:
    shape = plan.train.shape
    rows, columns = shape.canvas
    padded = "padded, with their sizes" if shape.padded else "all of that size"
    times = f", {plan.accumulation} of them an update" if plan.accumulation > 1 else ""
    images = f"{shape.images} image{'s' if shape.images > 1 else ''}"
    return f"{images} of {rows} x {columns} pixels, {padded}{times}"


def _work(program: Program, times: int, what: str = "an update") -> str:
    total = times * program.operations.total
    computed = times * program.computed.total
    own = f"; {_tera(computed)} as computed here" if computed != total else ""
    return f"{_tera(total)} {what} in convolutions and products{own}"


def _tera(operations: int) -> str:
    if operations < 1e11:
        return f"{operations / 1e9:.3g} GFLOP"
    return f"{operations / 1e12:.3g} TFLOP"


def _memory(plan: Plan, memory: Memory, total: int) -> str:
    parts = {
        "process": plan.process,
        "batches made ahead": plan.waiting_bytes,
        "arguments": memory.arguments,
        "results": memory.outputs - memory.aliased,
        "temporary": memory.temporary,
    }
    parts["state that waits"] = total - sum(parts.values())
    told = ", ".join(f"{name} {gib(size)}" for name, size in parts.items() if size)
    return f"{gib(total)} a device: {told}"


def _roofline(plan: Plan) -> str:
    own = plan.target
    rate = own.rate(plan.dtype)
    if own.platform == "cpu":
        return f"{rate / 1e9:.0f} GFLOP/s of matrix products, measured just now"
    said = "measured just now" if own.name == "here" else "stated rates"
    return (
        f"an estimate, kernel by kernel, at {rate / 1e12:.0f} TFLOP/s and "
        f"{own.bandwidth / 1e12:.1f} TB/s ({said})"
    )
