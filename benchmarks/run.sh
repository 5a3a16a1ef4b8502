#!/usr/bin/env bash
# The table of ratios: Sightline beside libtorch and the floor. Options: benchmarks/run.sh --help
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -f benchmarks/target/benchmarks.jar ]; then
  mvn -q -DskipTests package -pl native,java/core,benchmarks
fi
exec java -jar benchmarks/target/benchmarks.jar ratios "$@"
