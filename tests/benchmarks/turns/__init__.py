"""Benchmarks in turns: what one takes in this checkout, beside what it takes in another."""
