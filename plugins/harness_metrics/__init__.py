"""Metrics: numbers about a pair of views or about one view, made from sums over tokens."""
