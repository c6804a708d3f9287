"""OpenMOSS' current folders (Llamascopium): SAEs, transcoders and cross-layer transcoders."""
