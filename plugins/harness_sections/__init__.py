"""Sections of the report: each shows one part of the results, as text, tables and figures."""
