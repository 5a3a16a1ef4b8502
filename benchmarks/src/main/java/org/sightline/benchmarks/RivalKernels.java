package org.sightline.benchmarks;

import com.sun.jna.NativeLibrary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * Which kernels libtorch's libraries use. Environment variables choose other ones than the CPU's
 * best: with OpenBLAS held to Haswell's, a floor measured on Zen 5 was 1.8 times too slow.
 */
final class RivalKernels {
  /** What chooses the kernels of OpenBLAS, oneDNN and ATen. */
  static final Set<String> VARIABLES =
      Set.of(
          "OPENBLAS_CORETYPE",
          "OPENBLAS_L2_SIZE",
          "DNNL_MAX_CPU_ISA",
          "ONEDNN_MAX_CPU_ISA",
          "DNNL_DEFAULT_FPMATH_MODE",
          "ONEDNN_DEFAULT_FPMATH_MODE",
          "ATEN_CPU_CAPABILITY");

  private static final Path MAPPINGS = Path.of("/proc/self/maps");

  private RivalKernels() {}

  /**
   * Passes where the libraries choose for themselves.
   *
   * @throws IllegalArgumentException naming the variables that are set
   */
  static void requireTheirOwn(Map<String, String> environment) {
    Map<String, String> set = new TreeMap<>(environment);
    set.keySet().retainAll(VARIABLES);
    if (!set.isEmpty()) {
      throw new IllegalArgumentException(
          "libtorch's libraries must choose their own kernels, found "
              + set
              + " in the environment: env -u "
              + String.join(" -u ", set.keySet())
              + " java …");
    }
  }

  /** The core whose kernels this process's OpenBLAS has chosen; "unknown" where nothing tells. */
  static String openBlasCore() {
    if (!Files.isReadable(MAPPINGS)) {
      return "unknown";
    }
    try (Stream<String> lines = Files.lines(MAPPINGS)) {
      return lines
          .map(line -> line.substring(line.lastIndexOf(' ') + 1))
          .filter(file -> file.matches(".*/libopenblas[^/]*"))
          .findFirst()
          .map(RivalKernels::openBlasCore)
          .orElse("unknown");
    } catch (IOException e) {
      return "unknown";
    }
  }

  private static String openBlasCore(String library) {
    Object[] none = {};
    return NativeLibrary.getInstance(library)
        .getFunction("openblas_get_corename")
        .invokeString(none, false);
  }
}
