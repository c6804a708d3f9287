"""OpenAI's SAEs of GPT-2 small."""
