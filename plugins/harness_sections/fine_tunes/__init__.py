"""What several fine-tunes changed."""
