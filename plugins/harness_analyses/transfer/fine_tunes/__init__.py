"""Forecasts of several fine-tunes held against what each of them did to every domain."""
