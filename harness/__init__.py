"""What did fine-tuning change inside a language model, and does it cause the behaviour we see?"""

__version__ = "0.1.0"
