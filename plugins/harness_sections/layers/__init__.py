"""Sections that show numbers by depth: profiles over layers, cosines, figures of SAEs."""
