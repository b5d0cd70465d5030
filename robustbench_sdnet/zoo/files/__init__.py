"""Models as files: cards, weights, checkpoints of others."""
