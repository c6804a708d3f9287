"""One pass over the activations: shards, states, metrics."""
