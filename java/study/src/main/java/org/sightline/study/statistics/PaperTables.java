package org.sightline.study.statistics;

import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import org.sightline.study.task.Axis;
import org.sightline.study.task.Task;

/** Success rates of the paper (arXiv 2510.25616), tables 1 and 2: OpenVLA-7B, mean of its seeds. */
public final class PaperTables {
  /** Of the paper's models. */
  public enum Arm {
    DEFAULT("Default SFT"),
    FREEZE("Frozen vision encoder"),
    ALIGN("Align");

    private final String label;

    Arm(String label) {
      this.label = label;
    }

    public String label() {
      return label;
    }
  }

  private static final Map<Arm, double[]> TABLE_1 =
      Map.of(
          Arm.DEFAULT,
          new double[] {.49, .74, .28, .43, .73, .81, .67, .55, .71, .56, .43, .34, .23},
          Arm.FREEZE,
          new double[] {.03, .05, .01, .02, .03, .02, .03, .01, .01, .01, .03, .03, .04},
          Arm.ALIGN,
          new double[] {.61, .83, .35, .49, .75, .86, .70, .67, .79, .60, .58, .38, .20});

  private static final Map<Arm, double[]> TABLE_2 =
      Map.of(
          Arm.DEFAULT,
          new double[] {.26, .69, .30, .43, .24, .40, .29, .32},
          Arm.ALIGN,
          new double[] {.24, .82, .29, .42, .30, .48, .28, .27});

  private PaperTables() {}

  /** An arm's rates by task; the tasks that the paper does not have are not among them. */
  public static Map<Task, Double> rates(Arm arm) {
    Map<Task, Double> rates = new EnumMap<>(Task.class);
    put(rates, Task.of(Axis.SEMANTICS, Axis.VISION, Axis.EXECUTION), TABLE_1.get(arm));
    put(rates, Task.of(Axis.BOARDS), TABLE_2.get(arm));
    return rates;
  }

  private static void put(Map<Task, Double> rates, List<Task> tasks, double[] values) {
    for (int i = 0; values != null && i < values.length; i++) {
      rates.put(tasks.get(i), values[i]);
    }
  }
}
