"""What kinds of features changed: semantic clusters, who assigns them, and sums over them."""
