"""A state that stays in the order of values that its compiled step likes best.

Kernels are stored height, width, inputs, outputs. A library of convolutions may want
another order, and a step that takes and returns the stored one transposes kernels,
gradients and momentum at every update. Here the compiler chooses the order of the state
(`Layout.AUTO`) with the first program; the state is brought into it once and stays there.
Only the order in the device's memory changes: indices, checkpoints and values do not.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.layout import Format, Layout
from jax.sharding import Sharding


class LaidOutStep:
    """A jitted step from (state, batch) to (state, report), in the compiler's layouts.

    The step consumes its state. Every shape of a batch has a program; all of them use the
    layouts of the first.
    """

    def __init__(
        self,
        step: Callable[[Any, Any], tuple[Any, Any]],
        *,
        state: Sharding,
        batch: Sharding,
        compiler_options: dict[str, bool | str],
    ):
        """Store the step; nothing is compiled yet.

        Args:
            step: pure function of (state, batch), arrays in trees.
            state: sharding of the state and of the report.
            batch: sharding of the batch.
            compiler_options: as `jax.jit` takes them.
        """
        self._step, self._options = step, compiler_options
        self._state, self._batch = state, batch
        self._formats: Any = None
        self._programs: dict[Any, Any] = {}

    def lower(self, state: Any, batch: Any) -> Any:
        """Lower the step (`jax.stages.Lowered`) for arrays or their shapes."""
        formats = self._formats
        if formats is None:
            free = Format(Layout.AUTO, self._state)
            formats = jax.tree.map(lambda _: free, state)
        shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state
        )
        program = jax.jit(
            self._step,
            in_shardings=(formats, self._batch),
            out_shardings=(formats, self._state),
            donate_argnums=0,
            compiler_options=self._options,
        )
        return program.lower(shapes, batch)

    def __call__(self, state: Any, batch: Any) -> tuple[Any, Any]:
        """Queue the step on the devices."""
        leaves, structure = jax.tree.flatten(batch)
        key = structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
        if key not in self._programs:
            program = self.lower(state, batch).compile()
            if self._formats is None:
                (self._formats, _), _ = program.input_formats
            self._programs[key] = program
        placed = jax.tree.map(_placed, state, self._formats)
        return self._programs[key](placed, batch)


def _placed(leaf: Any, wanted: Format) -> Any:
    """Return an array in a format, itself where it has it."""
    return leaf if leaf.format == wanted else jax.device_put(leaf, wanted)
