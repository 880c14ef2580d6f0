"""Other names for the arrays of a file, by rules."""

from dataclasses import replace

from fcn_jax.convert.readers.weight_file import Foreign, WeightFileError
from fcn_jax.params.surgery import Rules, new_names


def renamed(foreign: Foreign, rules: Rules) -> Foreign:
    """The file with its arrays under other names.

    Args:
        foreign: the file.
        rules: as `surgery.new_names` takes them.

    Raises:
        WeightFileError: for a rule that is malformed or applies to nothing, and for two
            arrays of one name.
    """
    if not rules:
        return foreign
    try:
        names = new_names(foreign.arrays, rules)
    except ValueError as error:
        raise WeightFileError(f"{foreign.path}: {error}") from None
    return replace(
        foreign,
        arrays={names[name]: array for name, array in foreign.arrays.items()},
    )
