#!/usr/bin/env bash
# Builds the CUDA library on a machine with a GPU, verifies it and measures it.
#   benchmarks/gpu/run.sh [stage...]      stages: build verify sanitize bench embed java report (default: all)
#   OUT=folder      where results go (default: benchmarks/gpu/out)
#   BUILD=folder    build tree (default: $OUT/build)
#   ARCHS=list      CMake CUDA architectures (default: this GPU's: 90a-real, or its own)
#   PARTS=folder    what pack.sh made, for the stage java (default: benchmarks/gpu/parts); unpacked to JAVA
#   JAVA=folder     (default: $OUT/java); `run.sh unpack` adds the parts that are there to those that were, where
#                   they come a few at a time
#   DEVICE, PRESET  what the stage java trains on, and what (default: cuda, openvla-7b); JMH: more options for JMH
# Needs nvcc, cmake, and Python with PyTorch for all stages but build, java and report.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
OUT=${OUT:-$here/out}
BUILD=${BUILD:-$OUT/build}
mkdir -p "$OUT"
JAVA=${JAVA:-$OUT/java}
PARTS=${PARTS:-$here/parts}
stages=("$@")
[ ${#stages[@]} -gt 0 ] || stages=(build verify sanitize bench embed java report)
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

unpack() { mkdir -p "$JAVA.parts" && mv "$PARTS"/part-* "$JAVA.parts/"; }

# A random model of 15 GB from its file, 20 steps, broken off and resumed; JMH; DeviceTest on the GPU.
java() {
  local status=0 device=${DEVICE:-cuda} preset=${PRESET:-openvla-7b} run="$OUT/run" vm=("$JAVA/runtime/bin/java")
  if [ ! -d "$JAVA" ]; then
    [ -d "$JAVA.parts" ] || unpack || { echo "no parts in $PARTS: benchmarks/gpu/pack.sh makes them"; return 1; }
    mkdir -p "$JAVA" && cat "$JAVA.parts"/part-* | tar -x -C "$JAVA" || return 1
  fi
  # CUDA's libraries that PyTorch's wheels bring, where the system has none.
  LD_LIBRARY_PATH=$(find "$("$python" -c 'import site; print(site.getsitepackages()[0])')/nvidia" -name lib -type d \
    2>/dev/null | paste -sd:):${LD_LIBRARY_PATH:-}
  export LD_LIBRARY_PATH
  "${vm[@]}" -jar "$JAVA/sightline.jar" doctor >"$OUT/doctor.txt" 2>&1 || status=1
  rm -rf "$run" "$OUT/base"
  "${vm[@]}" -cp "$JAVA/lib/*" "$JAVA/RandomBase.java" "$preset" "$device" "$OUT/base" || return 1
  local finetune=("${vm[@]}" -Xmx8g -jar "$JAVA/sightline.jar" finetune)
  { time timeout 200 "${finetune[@]}" --device "$device" --weights "$OUT/base" --modes align --dtype bfloat16 \
    --steps 10 --batch-size 8 --checkpoint-interval 5 --data-threads 4 --evaluations 1 --output "$run"; } \
    >"$OUT/finetune.txt" 2>&1 || { echo "FAIL finetune: see $OUT/finetune.txt"; status=1; }
  { time timeout 200 "${finetune[@]}" --resume "$run" --steps 20; } >"$OUT/resume.txt" 2>&1 ||
    { echo "FAIL resume: see $OUT/resume.txt"; status=1; }
  cp "$run/run.json" "$run/align/timing.csv" "$run/align/log.csv" "$OUT/" 2>/dev/null
  if [ "$device" = cuda ]; then
    timeout 60 "${vm[@]}" -Dsightline.tests.cuda=force -jar "$JAVA/lib"/junit-platform-console-standalone-*.jar \
      execute -cp "$JAVA/core-tests.jar:$(printf %s: "$JAVA"/lib/*.jar)" -c org.sightline.DeviceTest \
      >"$OUT/device-test.txt" 2>&1 || { echo "FAIL DeviceTest: see $OUT/device-test.txt"; status=1; }
  fi
  # JMH measures nothing where libtorch's kernels are another's choice.
  timeout 150 env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE "${vm[@]}" -jar "$JAVA/benchmarks.jar" 'Alignment|Lora|AdamW' -p device="$device" -foe true \
    -f 1 -wi 1 -i 3 -r 1 -w 1 ${JMH:-} >"$OUT/jmh.txt" 2>&1 || { echo "FAIL jmh: see $OUT/jmh.txt"; status=1; }
  return $status
}

report() { "$python" "$here/report.py" "$OUT"; }

for stage in "${stages[@]}"; do
  step "$stage"
  case $stage in
    build | verify | sanitize | bench | embed | unpack | java | report) ;;
    *) echo "unknown stage: $stage, expected build, verify, sanitize, bench, embed, unpack, java or report"; exit 2 ;;
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
