"""What a plan costs: tokens, floating-point operations, memory, downloads and time.

`estimate.cost(plan)` says it from files alone.
"""
