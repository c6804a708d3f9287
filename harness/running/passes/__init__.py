"""Makes one pass over the text: shards, their states, metrics and other reductions."""
