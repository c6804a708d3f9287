"""WildGuard: a classifier that tells refusal and harm apart."""
