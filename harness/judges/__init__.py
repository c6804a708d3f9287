"""Models that judge: how one is asked, here or behind a server, and what it has answered."""
