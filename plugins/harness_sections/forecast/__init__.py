"""The section that shows predicted beside measured transfer."""
