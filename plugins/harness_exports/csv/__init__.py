"""The export `csv`: records, claims, families, tables and completions, one CSV file each."""
