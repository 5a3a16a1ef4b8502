package org.sightline.study.report;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.sightline.study.rollout.Episode;
import org.sightline.study.rollout.Rollouts;
import org.sightline.study.statistics.Bootstrap;
import org.sightline.study.statistics.Interval;
import org.sightline.study.statistics.PairedTest;
import org.sightline.study.task.Task;

/**
 * One arm against another on some tasks.
 *
 * @param arm that should be better
 * @param baseline than this one
 * @param tasks what the tasks are together
 * @param difference of success at the end, with an interval over training seeds and scenes
 * @param pairs success rates of each (training seed, task)
 * @param seeds mean rates of each training seed: the test that takes tasks for fixed
 * @param tasksBetter in how many of the tasks the arm's mean is higher
 * @param tasksInAll of how many
 */
public record Contrast(
    String arm,
    String baseline,
    String tasks,
    Interval difference,
    PairedTest pairs,
    PairedTest seeds,
    int tasksBetter,
    int tasksInAll) {
  /** Of the bootstrap. */
  private static final long SEED = 1;

  /**
   * Compares runs, the n-th of one arm with the n-th of the other.
   *
   * @param name of the tasks together
   * @throws IllegalArgumentException if the runs are not of the same tasks and scenes
   */
  static Contrast of(
      String arm,
      List<Rollouts> runs,
      String baseline,
      List<Rollouts> others,
      String name,
      List<Task> tasks) {
    if (runs.size() != others.size()) {
      throw new IllegalArgumentException(
          "arms must have a run for each training seed, found %d of %s and %d of %s"
              .formatted(runs.size(), arm, others.size(), baseline));
    }
    int count = runs.size();
    double[][] differences = new double[count][];
    double[] ours = new double[count * tasks.size()];
    double[] theirs = new double[ours.length];
    double[] means = new double[count];
    double[] otherMeans = new double[count];
    double[] byTask = new double[tasks.size()];
    for (int seed = 0; seed < count; seed++) {
      List<Double> scenes = new ArrayList<>();
      for (int t = 0; t < tasks.size(); t++) {
        List<Episode> mine = episodes(arm, runs.get(seed), tasks.get(t));
        List<Episode> other = episodes(baseline, others.get(seed), tasks.get(t));
        requireSame(arm, mine, baseline, other);
        double sum = 0;
        double otherSum = 0;
        for (int i = 0; i < mine.size(); i++) {
          double a = mine.get(i).success() ? 1 : 0;
          double b = other.get(i).success() ? 1 : 0;
          scenes.add(a - b);
          sum += a / mine.size();
          otherSum += b / mine.size();
        }
        ours[seed * tasks.size() + t] = sum;
        theirs[seed * tasks.size() + t] = otherSum;
        means[seed] += sum / tasks.size();
        otherMeans[seed] += otherSum / tasks.size();
        byTask[t] += sum - otherSum;
      }
      differences[seed] = scenes.stream().mapToDouble(Double::doubleValue).toArray();
    }
    int better = 0;
    for (double difference : byTask) {
      better += difference > 1e-12 ? 1 : 0;
    }
    return new Contrast(
        arm,
        baseline,
        name,
        Bootstrap.twoLevel(differences, SEED),
        PairedTest.greater(ours, theirs),
        PairedTest.greater(means, otherMeans),
        better,
        tasks.size());
  }

  /** In words. */
  public String sentence() {
    return String.format(
        Locale.ROOT,
        "%s over %s, %s: %+.3f [%+.3f, %+.3f], better in %d of %d tasks",
        arm,
        baseline,
        tasks,
        difference.value(),
        difference.low(),
        difference.high(),
        tasksBetter,
        tasksInAll);
  }

  private static List<Episode> episodes(String arm, Rollouts run, Task task) {
    List<Episode> episodes = run.episodes().get(task);
    if (episodes == null) {
      throw new IllegalArgumentException(
          "runs must be of the same tasks, found none of %s in one of %s"
              .formatted(task.label(), arm));
    }
    return episodes;
  }

  private static void requireSame(
      String arm, List<Episode> mine, String baseline, List<Episode> other) {
    List<Long> seeds = mine.stream().map(Episode::seed).toList();
    List<Long> otherSeeds = other.stream().map(Episode::seed).toList();
    if (!seeds.equals(otherSeeds)) {
      throw new IllegalArgumentException(
          "runs must be of the same scenes, found other seeds of %s in %s than in %s"
              .formatted(mine.get(0).task().label(), arm, baseline));
    }
  }
}
