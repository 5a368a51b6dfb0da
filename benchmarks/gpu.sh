#!/usr/bin/env bash
# The GPU campaign: benchmarks/gpu.sh 1|2|3|4 [--short]. What each command does: benchmarks/gpu.py --help.
#
#   OUT=results benchmarks/gpu.sh 1                            # writes below OUT; run again to resume
#   OUT=results FROM=earlier WHEELS=wheels benchmarks/gpu.sh 2 # FROM: OUT of an earlier call, copied first
#   OUT=/tmp/short benchmarks/gpu.sh 1 --short                 # tries the command on a CPU
#
# Needs torch and jax with CUDA; no TensorFlow, no network, no installation of this package. WHEELS is a folder with
# the wheels that the machine lacks; PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${OUT:?set OUT to the folder of the results}"
python=${PYTHON:-python3}
mkdir -p "$OUT"
if [ -n "${FROM:-}" ] && [ -z "$(ls -A "$OUT")" ]; then cp -R "$FROM/." "$OUT/"; fi
if [ -n "${WHEELS:-}" ]; then
    "$python" -m pip install --quiet --no-index --find-links "$WHEELS" --no-deps "$WHEELS"/*.whl
fi
packages=$(mktemp -d) # the folders cli/ and recipes/ by the names of their packages
trap 'rm -rf "$packages"' EXIT
ln -s "$PWD/cli" "$packages/usrn_cli"
ln -s "$PWD/recipes" "$packages/usrn_recipes"
export PYTHONPATH="$PWD:$packages${PYTHONPATH:+:$PYTHONPATH}"
"$python" benchmarks/gpu.py --out "$OUT" "$@"
