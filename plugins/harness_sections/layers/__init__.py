"""Numbers by depth."""
