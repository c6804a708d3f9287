"""The report as one HTML file that needs nothing else: no network, no server, no other file.

What it shows comes from sections, which are plugins, as plain data (`Panel`); all HTML is made
here. Three things keep hostile text harmless: everything is escaped by jinja2, nothing that a run
found becomes an attribute, and a Content-Security-Policy lets only our own two scripts run.
"""

from __future__ import annotations

from harness.report.page import render as render, write_report as write_report
