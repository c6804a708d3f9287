"""The backend for models behind a server with OpenAI's protocol: completions and chat."""
