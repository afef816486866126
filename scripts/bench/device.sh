#!/usr/bin/env bash
# Everything that wants a GPU, phase by phase: build, test, sanitise, measure. Raw results go to a folder, one log a phase, JSON where there
# are numbers; a phase that fails is named at the end and does not stop the others.
#   scripts/bench/device.sh OUT [PHASE …]         PHASE: build test sanitize ceilings hubs epoch metrics peers profile; default: all, in this order
#   DATA="FOLDER …" scripts/bench/device.sh …     times epochs on these data sets too
#   REHEARSE=1 scripts/bench/device.sh OUT        where there is no GPU: the CUDA sources on the host, the CPU backend in their place
# Needs nvcc, CMake, Node and node_modules (scripts/device-pack.sh); uses compute-sanitizer, ncu and Python with PyTorch where they are.
# Time on an H200: memcheck 65 s and racecheck more than three minutes of sanitize, the self-test a second, the others 5 to 40 s each; test was never
# waited for to its end, of which kernels/parity takes more than a minute. Nothing to be timed should share the card with a sanitizer: with two of them and fifteen trainings an epoch took 14 to 24 times as long
# as alone. Rehearsed on 2 cores: 10 minutes.
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${1:?usage: scripts/bench/device.sh OUT [PHASE …]}
shift
phases=("$@")
[ ${#phases[@]} -gt 0 ] || phases=(build test sanitize ceilings hubs epoch metrics peers profile)
for phase in "${phases[@]}"; do
  case $phase in build | test | sanitize | ceilings | hubs | epoch | metrics | peers | profile) ;; *) echo "device: there is no phase $phase" >&2 && exit 2 ;; esac
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
rehearse=${REHEARSE:-}
backend=${rehearse:+cpu}
backend=${backend:-cuda}
epochs=20
[ -n "$rehearse" ] && epochs=2
failed=()

# step NAME COMMAND …: runs it, keeps what it prints in NAME.log
step() {
  local name=$1 started=$SECONDS
  shift
  if "$@" >"$out/$name.log" 2>&1; then
    echo "$name: done in $((SECONDS - started)) s; $(tail -n 1 "$out/$name.log")"
  else
    echo "$name: FAILED ($?) after $((SECONDS - started)) s"
    tail -n 5 "$out/$name.log" | sed 's/^/    /'
    failed+=("$name")
  fi
}
missing() { echo "$1: left out, $2"; }
cmake_js() { node node_modules/cmake-js/bin/cmake-js "$@"; }
tool() { command -v "$1" || ls /usr/local/cuda/bin/"$1" 2>/dev/null; }

phase_build() {
  local generation=90
  [ -n "$rehearse" ] || generation=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d '.')
  step build-configure cmake_js configure --CDHK_CUDA=ON "--CDCMAKE_CUDA_ARCHITECTURES=${generation}-real" --CDHK_CUDA_ON_HOST=ON
  step build cmake_js build
  step build-selftest cmake_js build --target "$selftest"
  step build-hubs cmake_js build --target "hub_tails${rehearse:+_on_host}"
  step build-on-host cmake_js build --target hyper_know_on_host
}

selftest=device_selftest
selftest_file=build/Release/device_selftest
if [ -n "$rehearse" ]; then selftest=host_selftest selftest_file=.host/build/Release/host_selftest; fi

phase_test() {
  step selftest "$selftest_file" --errors
  step test node scripts/test.mjs
}

phase_sanitize() {
  local sanitizer
  sanitizer=$(tool compute-sanitizer) || { missing sanitize 'there is no compute-sanitizer'; return; }
  for check in memcheck racecheck initcheck synccheck; do
    local leaks=()
    [ "$check" = memcheck ] && leaks=(--leak-check full)
    step "sanitize-$check" "$sanitizer" --tool "$check" "${leaks[@]}" --error-exitcode 9 "$selftest_file"
  done
}

phase_ceilings() {
  step ceilings-build nvcc -O3 -std=c++20 "-arch=$([ -n "$rehearse" ] && echo sm_90 || echo native)" scripts/bench/ceilings.cu -o "$out/ceilings"
  if [ -n "$rehearse" ]; then missing ceilings 'there is no GPU'; else step ceilings "$out/ceilings" "$out/ceilings.json"; fi
  rm -f "$out/ceilings"
}

phase_hubs() {
  local program=build/Release/hub_tails
  [ -z "$rehearse" ] || program=.host/build/Release/hub_tails_on_host
  step hubs "$program" "$out/hub-tails.json"
}

phase_epoch() {
  local shapes=(last-fm amazon-book yelp2018)
  [ -n "$rehearse" ] && shapes=(last-fm)
  local ceilings=()
  [ ! -f "$out/ceilings.json" ] || ceilings=(--ceilings "$out/ceilings.json")
  for shape in "${shapes[@]}"; do
    step "epoch-$shape" node --import tsx scripts/bench/epoch.ts --shape "$shape" --backend "$backend" --epochs "$epochs" "${ceilings[@]}" --json "$out/epoch-$shape.json"
    step "kernels-$shape" node --import tsx scripts/bench/epoch.ts --shape "$shape" --backend "$backend" --epochs 3 --kernels --json "$out/kernels-$shape.json"
  done
  for data in ${DATA:-}; do
    step "epoch-$(basename "$data")" node --import tsx scripts/bench/epoch.ts --data "$data" --backend "$backend" --epochs "$epochs" "${ceilings[@]}" --json "$out/epoch-$(basename "$data").json"
  done
}

phase_metrics() {
  local how=()
  [ -n "$rehearse" ] && how=(--seeds 2 --epochs 5)
  for data in "" ${DATA:-}; do
    local name=metrics${data:+-$(basename "$data")}
    step "$name" node --import tsx scripts/bench/backends.ts ${data:+--data "$data"} --against "$backend" "${how[@]}" --json "$out/$name.json"
  done
}

phase_peers() {
  local python=${PYTHON:-python3}
  "$python" -c 'import torch' 2>/dev/null || { missing peers "$python has no PyTorch (PYTHON names another)"; return; }
  local how=(--device cuda)
  [ -n "$rehearse" ] && how=(--device cpu --variants eager --steps 5 --warm-up 1)
  step peers-export-small node --import tsx scripts/bench/peers/export.ts --small --out "$out/peer-small"
  step peers-oracle "$python" scripts/bench/peers/hyper_know.py --mode oracle --export "$out/peer-small"
  step peers-export node --import tsx scripts/bench/peers/export.ts --shape last-fm --out "$out/peer-input"
  step peers "$python" scripts/bench/peers/hyper_know.py --mode time --export "$out/peer-input" --json "$out/peers-last-fm.json" "${how[@]}"
  rm -rf "$out/peer-small" "$out/peer-input"
}

phase_profile() {
  local ncu
  if [ -n "$rehearse" ] || ! ncu=$(tool ncu); then missing profile 'there is no ncu or no GPU'; return; fi
  step profile "$ncu" --kernel-name 'regex:neighborhood_kernel|entity_rows_kernel|adam_kernel|top_k_kernel' --launch-skip 8 --launch-count 12 --set full \
    -o "$out/profile" -f node --import tsx scripts/bench/epoch.ts --shape last-fm --backend cuda --epochs 1 --kernels
  step profile-text "$ncu" --import "$out/profile.ncu-rep" --page details
}

[ -n "$rehearse" ] || nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv >"$out/gpu.csv" 2>&1
for phase in "${phases[@]}"; do "phase_$phase"; done
if [ ${#failed[@]} -gt 0 ]; then
  echo "device: failed: ${failed[*]}"
  exit 1
fi
echo "device: all phases done, results in $out"
