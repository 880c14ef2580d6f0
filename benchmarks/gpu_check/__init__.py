"""The check of a GPU machine: speed, memory, correctness, input and a real training.

`stages.STAGES` says what is measured. Every stage is a process with a limit of its own,
and every row that it measures is a line of a file, so that a second call continues.
"""
