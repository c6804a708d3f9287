"""Any single file of tensors, with the rule that a task writes down: for SAEs without a format."""
