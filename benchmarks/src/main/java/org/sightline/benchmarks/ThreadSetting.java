package org.sightline.benchmarks;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

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
      Set.of(
          "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OPENBLAS_NUM_THREADS", "OPENBLAS_THREAD_TIMEOUT");

  /** The defaults of libgomp and OpenBLAS, spelled out: Sightline's start-up respects them then. */
  private static final Map<String, String> OPENMP_SPINS = Map.of("GOMP_SPINCOUNT", "300000");

  private static final Map<String, String> OPENMP_SLEEPS = Map.of("OMP_WAIT_POLICY", "PASSIVE");
  private static final Map<String, String> BLAS_SPINS = Map.of("OPENBLAS_THREAD_TIMEOUT", "26");
  private static final Map<String, String> BLAS_SLEEPS = Map.of("OPENBLAS_THREAD_TIMEOUT", "16");
  private static final Map<String, String> BLAS_ALONE = Map.of("OPENBLAS_NUM_THREADS", "1");

  /** All that are compared. */
  static final List<ThreadSetting> ALL =
      List.of(
          of("as shipped", OPENMP_SPINS, BLAS_SPINS),
          of("OMP_WAIT_POLICY=PASSIVE", OPENMP_SLEEPS, BLAS_SPINS),
          of("as Sightline.load() sets them", OPENMP_SLEEPS, BLAS_SLEEPS),
          of("OPENBLAS_NUM_THREADS=1", OPENMP_SPINS, BLAS_ALONE),
          of("PASSIVE and NUM_THREADS=1", OPENMP_SLEEPS, BLAS_ALONE));

  private static ThreadSetting of(
      String name, Map<String, String> openMp, Map<String, String> openBlas) {
    Map<String, String> environment = new TreeMap<>(openMp);
    environment.putAll(openBlas);
    return new ThreadSetting(name, environment);
  }

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
    processEnvironment.keySet().removeAll(RivalKernels.VARIABLES);
    processEnvironment.putAll(environment);
  }
}
