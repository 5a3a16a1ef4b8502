#!/usr/bin/env bash
# Builds the CUDA library on a machine with a GPU, verifies it and measures it.
#   benchmarks/gpu/run.sh [stage...]      stages: build verify sanitize bench embed report (default: all)
#   OUT=folder      where results go (default: benchmarks/gpu/out)
#   BUILD=folder    build tree (default: $OUT/build)
#   ARCHS=list      CMake CUDA architectures (default: this GPU's: 90a-real, or its own)
# Needs nvcc, cmake, and Python with PyTorch for all stages but build and report.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
OUT=${OUT:-$here/out}
BUILD=${BUILD:-$OUT/build}
mkdir -p "$OUT"
stages=("$@")
[ ${#stages[@]} -gt 0 ] || stages=(build verify sanitize bench embed report)
failed=0
step() { printf '\n== %s (%ss)\n' "$*" "$SECONDS"; }

export SIGHTLINE_CUDA_UNVERIFIED=1
export SIGHTLINE_LIBRARY="$BUILD/libsightline.so"
export SIGHTLINE_GEMM_PROBE="$BUILD/tests/cuda/libsightline_gemm_probe.so"
SIGHTLINE_COMMIT=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)
export SIGHTLINE_COMMIT
python=${PYTHON:-python3}

build() {
  local cc archs
  cc=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d .)
  archs=${ARCHS:-$([ "$cc" = 90 ] && echo 90a-real || echo "${cc:-80}-real")}
  cmake -S "$root/native" -B "$BUILD" -DCMAKE_BUILD_TYPE=Release -DSIGHTLINE_CUDA=ON \
    -DCMAKE_CUDA_ARCHITECTURES="$archs" >"$OUT/cmake.log" 2>&1 || return 1
  cmake --build "$BUILD" --parallel "$(nproc)" \
    --target sightline sightline_cuda sightline_torch sightline_gemm_probe >"$OUT/build.log" 2>&1
}

environment() {
  echo "commit $SIGHTLINE_COMMIT"
  nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total,clocks.max.sm,power.limit,pstate \
    --format=csv 2>/dev/null
  nvcc --version | tail -n 2
  "$python" -c 'import torch; print("torch", torch.__version__, "cuda", torch.version.cuda)'
}

verify() {
  local status=0 path
  timeout 240 "$python" "$here/verify.py" --out "$OUT/verify.json" 2>&1 | tee "$OUT/verify.txt" |
    grep -vE '^ok' || true
  grep -q ' 0 failed$' "$OUT/verify.txt" || status=1
  for path in portable rowstore; do
    SIGHTLINE_CUDA_PATH=$path timeout 120 "$python" "$here/verify.py" --small \
      --out "$OUT/verify-$path.json" 2>&1 | tee "$OUT/verify-$path.txt" | grep -vE '^ok' || true
    grep -q ' 0 failed$' "$OUT/verify-$path.txt" || status=1
  done
  return $status
}

sanitize() {
  local tool status=0
  command -v compute-sanitizer >/dev/null || { echo "no compute-sanitizer here"; return 0; }
  for tool in memcheck racecheck synccheck initcheck; do
    timeout 60 compute-sanitizer --tool "$tool" --error-exitcode 9 --kernel-name-exclude \
      kernel_substring=at:: "$python" "$here/verify.py" --small >"$OUT/sanitizer-$tool.txt" 2>&1
    case $? in
      0) echo "ok   $tool" ;;
      9) echo "FAIL $tool: see $OUT/sanitizer-$tool.txt"; status=1 ;;
      *) echo "did not finish: $tool" | tee -a "$OUT/sanitizer-$tool.txt" ;;
    esac
  done
  return $status
}

bench() { timeout 220 "$python" "$here/bench.py" --seconds "${SECONDS_BENCH:-170}" --out "$OUT/bench.json" \
  >"$OUT/bench.txt" 2>&1; }

# The torch operators from Python, then a whole training step of 7B shapes beside PEFT.
embed() {
  local status=0 name
  for name in operators compile adamw peft; do
    PYTHONPATH="$BUILD" timeout 100 "$python" "$root/native/tests/python/test_$name.py" \
      >"$OUT/python-$name.txt" 2>&1
    case $? in 0 | 77) ;; *) echo "FAIL python: see $OUT/python-$name.txt"; status=1 ;; esac
  done
  PYTHONPATH="$BUILD" timeout 120 "$python" "$here/e2e.py" --out "$OUT/e2e.json" >"$OUT/e2e.txt" 2>&1
  case $? in 0 | 77) ;; *) echo "FAIL e2e: see $OUT/e2e.txt"; status=1 ;; esac
  return $status
}

report() { "$python" "$here/report.py" "$OUT"; }

for stage in "${stages[@]}"; do
  step "$stage"
  case $stage in
    build | verify | sanitize | bench | embed | report) ;;
    *) echo "unknown stage: $stage, expected build, verify, sanitize, bench, embed or report"; exit 2 ;;
  esac
  [ "$stage" = report ] && environment >"$OUT/environment.txt" 2>&1
  if ! "$stage"; then
    echo "FAILED: $stage"
    failed=1
    [ "$stage" = build ] && { tail -n 30 "$OUT/cmake.log" "$OUT/build.log"; exit 1; }
  fi
done
step "done, results in $OUT"
exit $failed
