"""Results on disk: cells, shards, kept images, fits. The only SQL, never torch."""
