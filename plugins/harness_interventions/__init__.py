"""Interventions: remove a direction, add it, inject components, switch features off."""
