package org.sightline.benchmarks;

import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * How libtorch's two thread pools, OpenMP's and that of its OpenBLAS, share the cores. OpenMP's
 * threads spin while they wait and take cores from OpenBLAS's; which cure serves best depends on
 * the size of the products.
 *
 * @param name in tables
 * @param environment variables of the process
 */
record ThreadSetting(String name, Map<String, String> environment) {
  /** Everything any setting sets; removed from a process's environment first. */
  private static final Set<String> VARIABLES =
      Set.of("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OPENBLAS_NUM_THREADS");

  /** All that are compared. */
  static final List<ThreadSetting> ALL =
      List.of(
          // libgomp's default, spelled out: Sightline's start-up respects it then.
          new ThreadSetting("as shipped", Map.of("GOMP_SPINCOUNT", "300000")),
          new ThreadSetting("OMP_WAIT_POLICY=PASSIVE", Map.of("OMP_WAIT_POLICY", "PASSIVE")),
          new ThreadSetting(
              "OPENBLAS_NUM_THREADS=1",
              Map.of("OPENBLAS_NUM_THREADS", "1", "GOMP_SPINCOUNT", "300000")),
          new ThreadSetting(
              "both", Map.of("OPENBLAS_NUM_THREADS", "1", "OMP_WAIT_POLICY", "PASSIVE")));

  static ThreadSetting named(String name) {
    return ALL.stream()
        .filter(setting -> setting.name().equals(name))
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException(
                    "setting must be one of "
                        + ALL.stream().map(ThreadSetting::name).toList()
                        + ", found \""
                        + name
                        + "\""));
  }

  void apply(Map<String, String> processEnvironment) {
    processEnvironment.keySet().removeAll(VARIABLES);
    processEnvironment.putAll(environment);
  }
}
