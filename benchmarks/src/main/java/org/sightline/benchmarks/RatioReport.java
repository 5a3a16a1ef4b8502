package org.sightline.benchmarks;

import java.util.List;
import java.util.Map;

/**
 * What a run of {@link RatioTable} writes as JSON.
 *
 * @param machine what it ran on, by name
 * @param environment what the measured process says of itself: libtorch, threads, Sightline's path
 * @param settings libtorch's times under each thread setting
 * @param chosen the thread setting in which each group of rows ran
 * @param rows the comparisons
 */
record RatioReport(
    Map<String, String> machine,
    Map<String, String> environment,
    List<Row> settings,
    Map<String, String> chosen,
    List<Row> rows) {

  /**
   * One workload under one setting.
   *
   * @param workload its {@link WorkloadId}
   * @param caches warm or cold
   * @param setting name of a {@link ThreadSetting}
   * @param rounds number of samples of each contender
   * @param flops operations of one execution, 0 if bytes count
   * @param bytes bytes of one execution, 0 if operations count
   * @param disagreement relative distance of Sightline's results from libtorch's; null without it
   * @param timings one of each contender
   */
  record Row(
      String workload,
      String caches,
      String setting,
      int rounds,
      double flops,
      double bytes,
      Double disagreement,
      List<Timing> timings) {}

  /**
   * One contender.
   *
   * @param nanos of one execution
   * @param ratio its time over Sightline's, of the same round; null where Sightline is absent
   */
  record Timing(String contender, Workload.Role role, Quartiles nanos, Quartiles ratio) {}

  /** What a measuring process hands back. */
  record Measured(Map<String, String> environment, List<Row> rows) {}
}
