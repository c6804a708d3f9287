"""The statistic `flip_rate`: latents that a fine-tune, or an injection, turns on and off."""
