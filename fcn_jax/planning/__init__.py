"""What a run will need, before it starts: programs, operations, memory, time."""
