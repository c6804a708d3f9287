"""The statistic `mean_difference`: how a fine-tune moves the first tokens of any text."""
