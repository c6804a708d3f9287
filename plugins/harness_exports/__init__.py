"""Exports: what a run has found in the forms of other tools, such as pictures, CSV and LaTeX."""
