"""What `python -m fcn_jax` says: the package has five programs."""

from fcn_jax.runtime.cli import no_program, run

if __name__ == "__main__":
    run(
        no_program(
            "python -m fcn_jax.main (train, evaluate), python -m fcn_jax.ablate, "
            "python -m fcn_jax.predict, python -m fcn_jax.convert or python -m fcn_jax.data, "
            "each with --help"
        )
    )
