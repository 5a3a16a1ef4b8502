#!/usr/bin/env bash
# Packs the Java side for a machine with a GPU that can fetch nothing: a runtime, the command line, the
# benchmarks, DeviceTest and libtorch's CUDA build, cut into parts that run.sh puts together again.
#   benchmarks/gpu/pack.sh [folder]       (default: benchmarks/gpu/parts)
#   PART=40M      size of a part
#   PROFILE=-Pgpu what Maven builds with; PROFILE= packs the CPU's libtorch, to try it where no GPU is
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
parts=${1:-$here/parts}
junit=1.14.4
bundle=$(mktemp -d)
trap 'rm -rf "$bundle"' EXIT

cd "$root"
# Its libraries are beside a jar; those of another profile must not be.
rm -rf java/cli/target/lib benchmarks/target/lib
# NATIVE names a native build that is there; else it is built.
mvn -q -B ${PROFILE--Pgpu} -DskipTests -Dsightline.native.tests=OFF package \
  ${NATIVE:+-Dsightline.native.build="$NATIVE"} -am -pl "$([ "${NATIVE:-}" ] || echo native,)java/cli,benchmarks"
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy -Dmdep.useBaseVersion=true \
  -Dartifact=org.junit.platform:junit-platform-console-standalone:$junit -DoutputDirectory="$bundle/lib"
jlink --add-modules java.se,jdk.unsupported,jdk.management,jdk.compiler,jdk.zipfs --strip-debug --no-man-pages \
  --no-header-files --output "$bundle/runtime"
cp java/cli/target/lib/*.jar "$bundle/lib/"
cp benchmarks/target/lib/*.jar "$bundle/lib/" # Most of them again.
cp java/cli/target/sightline.jar benchmarks/target/benchmarks.jar "$here/RandomBase.java" "$bundle/"
cp java/core/target/sightline-core-*-tests.jar "$bundle/core-tests.jar"
rm -rf "$parts"
mkdir -p "$parts"
tar -C "$bundle" -c . | split -b "${PART:-40M}" -d -a 3 - "$parts/part-"
du -sh "$parts"
