"""What is in acme-harness belongs to somebody else: its tests run where it is installed."""

collect_ignore = [
    "acme-harness",
    "harness-choir",
    "harness-ledger",
    "harness-quill",
    "lantern-harness",
    "lookout-harness",
]
