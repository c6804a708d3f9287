"""circuit-tracer's folders: transcoders of every layer, and cross-layer transcoders."""
