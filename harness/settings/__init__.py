"""A person's configuration file: what a task, a command and the environment leave open."""
