"""Who computes the parts of a run: processes of this machine, Ray, SLURM."""
