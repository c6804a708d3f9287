"""From a task file to a task: read, validated, resolved, fitted together."""
