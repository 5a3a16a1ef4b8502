package org.sightline.study.report;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.sightline.study.rollout.Episode;
import org.sightline.study.rollout.Rollouts;
import org.sightline.study.statistics.Holm;
import org.sightline.study.statistics.Interval;
import org.sightline.study.statistics.PairedTest;
import org.sightline.study.task.Axis;
import org.sightline.study.task.Task;

/**
 * Arms of an experiment: how often each succeeds, and whether the others beat the first.
 *
 * @param arms the runs of each, one a training seed; the first arm is the baseline
 * @param contrasts of each other arm with it, on each set of tasks that all runs have
 * @param adjusted p-values of the contrasts' pairs, corrected for their number
 */
public record Experiment(
    Map<String, List<Rollouts>> arms, List<Contrast> contrasts, double[] adjusted) {
  /**
   * Compares arms.
   *
   * @throws IllegalArgumentException if their runs cannot be paired
   */
  public static Experiment of(Map<String, List<Rollouts>> arms) {
    if (arms.isEmpty() || arms.values().stream().anyMatch(List::isEmpty)) {
      throw new IllegalArgumentException(
          "arms must be at least one, of a run each, found " + arms.keySet());
    }
    var ordered = new LinkedHashMap<>(arms);
    String baseline = ordered.keySet().iterator().next();
    List<Contrast> contrasts = new ArrayList<>();
    for (String arm : ordered.keySet()) {
      if (!arm.equals(baseline)) {
        sets(ordered.get(baseline).get(0))
            .forEach(
                (name, tasks) ->
                    contrasts.add(
                        Contrast.of(
                            arm, ordered.get(arm), baseline, ordered.get(baseline), name, tasks)));
      }
    }
    double[] p = contrasts.stream().map(Contrast::pairs).mapToDouble(PairedTest::p).toArray();
    return new Experiment(ordered, contrasts, Holm.adjust(p));
  }

  /** The paper's thirteen together, then each axis. */
  private static Map<String, List<Task>> sets(Rollouts run) {
    Map<String, List<Task>> sets = new LinkedHashMap<>();
    sets.put("out of distribution", Task.of(Axis.SEMANTICS, Axis.VISION, Axis.EXECUTION));
    for (Axis axis : Axis.values()) {
      sets.put(axis.label(), Task.of(axis));
    }
    sets.replaceAll((name, tasks) -> tasks.stream().filter(run.episodes()::containsKey).toList());
    sets.values().removeIf(List::isEmpty);
    return sets;
  }

  /** Tasks that every run has, in the paper's order. */
  public List<Task> tasks() {
    return Task.parse("all").stream()
        .filter(
            task ->
                arms.values().stream()
                    .flatMap(List::stream)
                    .allMatch(run -> run.episodes().containsKey(task)))
        .toList();
  }

  /** An arm's share of a task's episodes of which something holds, all training seeds together. */
  public Interval rate(String arm, Task task, Predicate<Episode> what) {
    List<Episode> all =
        arms.get(arm).stream().flatMap(run -> run.episodes().get(task).stream()).toList();
    return Interval.wilson((int) all.stream().filter(what).count(), all.size());
  }

  /** Contrasts that did not hold: the arm was not better, or chance may have made it so. */
  public List<Contrast> failed() {
    List<Contrast> failed = new ArrayList<>();
    for (int i = 0; i < contrasts.size(); i++) {
      if (!(adjusted[i] < 0.05 && contrasts.get(i).difference().low() > 0)) {
        failed.add(contrasts.get(i));
      }
    }
    return failed;
  }
}
