"""How often 95% intervals hold the truth, counted: the table of docs/statistics.md."""
