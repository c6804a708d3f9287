"""The statistic `latent_attribution`: which latents carry a change of behaviour."""
