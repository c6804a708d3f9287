"""The export `latex`: the tables of the report for a paper, one file each, and a whole document."""
