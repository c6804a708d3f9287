"""What a plan costs: tokens, floating-point operations, memory, downloads and time.

`cost(plan)` estimates it from files alone.
"""

from harness.planning.cost.estimate import cost as cost
