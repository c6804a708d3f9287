"""How fast this machine is at what a plan asks of it, found out in about half a second."""
