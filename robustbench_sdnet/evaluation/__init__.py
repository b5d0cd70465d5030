"""Plan cells, answer them shard by shard, store every answer once."""
