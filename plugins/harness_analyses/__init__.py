"""Analyses: numbers made from the records, tables and arrays that a run has found before."""
