"""Models that judge: loaded here, or behind a server."""
