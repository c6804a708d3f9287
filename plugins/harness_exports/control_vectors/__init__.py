"""The directions of a run as control vectors in GGUF, which llama.cpp adds while it writes."""
