"""How many threads read, and how many batches are made ahead; neither changes a batch."""

from typing import NamedTuple

from fcn_jax.runtime import memory
from fcn_jax.runtime.processors import usable_cores

FEWEST_THREADS, MOST_THREADS = 2, 16
"""Bounds of the choice by machine; more threads than that wait for Python's lock."""
AHEAD = 2  # batches for each thread, so that none waits for the device
FEWEST_BATCHES = 4
BYTES_A_PIXEL = 8  # of an example: colour, HHA or depth, and two label maps
SHARE = 0.25  # of the free memory, for batches that are made ahead


class Loading(NamedTuple):
    """Workers, threads and prefetching; they do not change the batches.

    Attributes:
        workers: processes that read; 0 reads in this one.
        threads: threads that read in each of these processes; 0 reads when asked.
        prefetch: batches held ready in each of these processes.
    """

    workers: int = 0
    threads: int = 2
    prefetch: int = 4

    def by_machine(self, pixels: int) -> "Loading":
        """Replace a 0 of threads or prefetch by what suits the machine.

        A thread for each core that the process may use, shared among the workers, from
        2 to 16; two batches ahead for each thread, as long as they fit into a quarter
        of the free memory, but at least 4. On two cores these are 2 and 4.

        Args:
            pixels: of a batch, with its padding.
        """
        processes = max(1, self.workers)
        own = usable_cores() // processes
        threads = self.threads or min(max(own, FEWEST_THREADS), MOST_THREADS)
        wanted = max(FEWEST_BATCHES, AHEAD * threads)
        free = memory.available()
        if free is not None:
            fitting = int(SHARE * free / (BYTES_A_PIXEL * max(1, pixels) * processes))
            wanted = min(wanted, max(FEWEST_BATCHES, fitting))
        return Loading(self.workers, threads, self.prefetch or wanted)
