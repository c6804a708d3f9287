"""The export `ledger` for sae-harness."""
