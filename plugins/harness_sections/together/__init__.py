"""What goes with what: two numbers over an axis of one run, and over runs in an order."""
