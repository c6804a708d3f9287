"""What a run left behind: reading and writing it, and the numbers that readers look for."""
