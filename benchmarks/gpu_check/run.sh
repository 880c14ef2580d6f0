#!/usr/bin/env bash
# On the GPU machine: installs the wheels that were carried along, then runs the check.
# Options are those of `python -m benchmarks.gpu_check run`; results go to $OUT.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
site=$(mktemp -d)
if compgen -G ".gpu_check/wheels/*.whl" >/dev/null; then
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir \
    --upgrade --target "$site" .gpu_check/wheels/*.whl
fi
out=${OUT:-gpu_check_results}
mkdir -p "$out"
# Results of an earlier call, carried along, are continued.
if [ -f .gpu_check/results.jsonl ] && [ ! -f "$out/results.jsonl" ]; then
  cp .gpu_check/results.jsonl "$out/"
fi
export PYTHONPATH="$site:$PWD"
exec "$python" -m benchmarks.gpu_check run --out="$out" "$@"
