#!/usr/bin/env bash
# One go on a machine with one or more CUDA devices: a whole small run, the same pretraining on all devices, then tokens/s
# and MFU of 124M and 1B models at contexts 1024 and 2048 in bfloat16, and in float8 where device and torchao have it, into benchmarks/results/throughput_*_gpu.json.
#
#   bash benchmarks/gpu.sh                   PYTHON=path/to/python chooses another than .venv's
#
# Leaves out everything that needs no GPU (`make test`, benchmarks/run.py).
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
command -v "$PYTHON" >/dev/null || { echo "gpu.sh: there is no $PYTHON here: run make venv, or set PYTHON" >&2; exit 2; }
DEVICES=$("$PYTHON" -c 'import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)')
if [ "$DEVICES" -eq 0 ]; then
  echo "gpu.sh: this machine has no CUDA device that torch can use: see gptwright doctor" >&2
  exit 2
fi
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
RUNS=$(mktemp -d)
trap 'rm -rf "$RUNS"' EXIT
TORCHRUN="$PYTHON -m torch.distributed.run --standalone --nproc_per_node"

echo "== the smoke recipe, all stages, on one device"
"$PYTHON" -m gptwright run smoke --dir "$RUNS/one" -o machine.device=cuda

if [ "$DEVICES" -gt 1 ]; then
  for SHARD in never always; do
    echo "== pretraining on $DEVICES devices, machine.shard=$SHARD, $DEVICES rows for each"
    $TORCHRUN "$DEVICES" -m gptwright pretrain smoke --dir "$RUNS/$SHARD" -o machine.device=cuda \
      -o machine.shard=$SHARD -o pretrain.batch_rows=$((DEVICES * DEVICES))
  done
fi

echo "== throughput of one device"
"$PYTHON" benchmarks/throughput.py
if "$PYTHON" -c 'import sys, torch, torchao; sys.exit(torch.cuda.get_device_capability() < (8, 9))' 2>/dev/null; then
  echo "== the same with the blocks' products in float8"
  "$PYTHON" benchmarks/throughput.py --float8
fi
if [ "$DEVICES" -gt 1 ]; then
  echo "== throughput of $DEVICES devices"
  $TORCHRUN "$DEVICES" benchmarks/throughput.py
fi
