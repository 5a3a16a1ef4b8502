#!/usr/bin/env bash
# The table of ratios: Sightline beside libtorch and the floor, into benchmarks/results.
# Options: benchmarks/run.sh --help
set -euo pipefail
cd "$(dirname "$0")/.."
# What is measured is what is checked out.
mvn -q -DskipTests -Dsightline.native.tests=OFF package -pl native,java/core,benchmarks
# libtorch's libraries choose their own kernels: its fastest ones are the floor.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
exec java -jar benchmarks/target/benchmarks.jar ratios "$@"
