"""StrongREJECT: how useful an answer to a harmful question is, by a rubric or a classifier."""
