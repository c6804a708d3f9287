#!/bin/sh
# Parity with the CPU, benchmarks and profiles on one GPU, at most 10 minutes, into one JSON:
#
#     sh tests/benchmarks/gpu.sh [FILE]           # a fresh environment, as the README installs
#     PYTHON=.venv/bin/python sh tests/benchmarks/gpu.sh [FILE]
#
# FILE: gpu.json in $OUT where that is set, else in the folder where this is started. Where there is
# no GPU: one line, and exit status 2. 1 where parity does not hold or a part has failed.
set -eu
begun=$(date +%s)
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
file=${1:-${OUT:-.}/gpu.json}
if [ -z "${PYTHON:-}" ]; then
    if ! command -v nvidia-smi >/dev/null 2>&1 || ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
        echo "gpu.sh: there is no GPU here (nvidia-smi finds none). Run it on a machine with one." >&2
        exit 2
    fi
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    python3 -m venv "$scratch/venv"
    "$scratch/venv/bin/pip" install -q "$root" || {
        echo "gpu.sh: the installation failed (above). Set PYTHON to one that has sae-harness." >&2
        exit 1
    }
    PYTHON=$scratch/venv/bin/python
fi
left=$((590 - $(date +%s) + begun))
PYTHONPATH="$root:$root/plugins${PYTHONPATH:+:$PYTHONPATH}" \
    "$PYTHON" "$root/tests/benchmarks/gpu.py" --out "$file" --seconds "$left"
