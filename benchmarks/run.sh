#!/usr/bin/env bash
# The table of ratios: Sightline beside libtorch and the floor, into benchmarks/results.
# Options: benchmarks/run.sh --help
set -euo pipefail
cd "$(dirname "$0")/.."
# What is measured is what is checked out.
mvn -q -DskipTests -Dsightline.native.tests=OFF package -pl native,java/core,benchmarks
exec java -jar benchmarks/target/benchmarks.jar ratios "$@"
