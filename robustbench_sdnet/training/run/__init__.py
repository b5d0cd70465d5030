"""A training run: folders, state, processes."""
