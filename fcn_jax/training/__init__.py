"""The loop, the update, the state, and what a run starts from."""
