"""The statistic `latent_scaling`: which one-sided latents of a crosscoder are artefacts."""
