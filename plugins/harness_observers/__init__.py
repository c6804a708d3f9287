"""Observers: a log of events, and the trackers Weights & Biases, Trackio and MLflow."""
