package org.sightline.study.statistics;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.sightline.study.statistics.PaperTables.Arm;
import org.sightline.study.task.Axis;
import org.sightline.study.task.Task;

/** Against enumeration, simulation, and the paper's own numbers. */
class StatisticsTest {
  @Test
  void thePapersThirteenRows() {
    double[] align = rates(Arm.ALIGN, Axis.SEMANTICS, Axis.VISION, Axis.EXECUTION);
    double[] plain = rates(Arm.DEFAULT, Axis.SEMANTICS, Axis.VISION, Axis.EXECUTION);
    PairedTest test = PairedTest.greater(align, plain);
    assertEquals(13, test.pairs());
    assertEquals(12, test.better());
    assertEquals(1, test.worse());
    assertEquals(0.0646, test.meanDifference(), 5e-5);
    assertEquals(0.0015, test.p(), 5e-5);
    assertTrue(test.rankBiserial() > 0.9);
    PairedTest boards =
        PairedTest.greater(rates(Arm.ALIGN, Axis.BOARDS), rates(Arm.DEFAULT, Axis.BOARDS));
    assertTrue(boards.p() > 0.05, "the boards alone show nothing: " + boards.p());
  }

  private static double[] rates(Arm arm, Axis... axes) {
    var rates = PaperTables.rates(arm);
    return Task.of(axes).stream().mapToDouble(rates::get).toArray();
  }

  /** All 2^n signs of the ranks: how many sums are as large. */
  @Test
  void thePIsTheShareOfSignsThatDoAsWell() {
    Random random = new Random(3);
    for (int n = 3; n <= 12; n++) {
      double[] first = new double[n];
      double[] second = new double[n];
      for (int i = 0; i < n; i++) {
        first[i] = random.nextDouble();
        second[i] = random.nextDouble() * 0.9;
      }
      int[] ranks = new int[n];
      int observed = 0;
      for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
          ranks[i] += Math.abs(first[j] - second[j]) <= Math.abs(first[i] - second[i]) ? 1 : 0;
        }
        observed += first[i] > second[i] ? ranks[i] : 0;
      }
      int asLarge = 0;
      for (int signs = 0; signs < 1 << n; signs++) {
        int sum = 0;
        for (int i = 0; i < n; i++) {
          sum += (signs >> i & 1) * ranks[i];
        }
        asLarge += sum >= observed ? 1 : 0;
      }
      PairedTest test = PairedTest.greater(first, second);
      assertEquals(asLarge / (double) (1 << n), test.p(), 1e-12, n + " pairs");
      assertEquals(4.0 * observed / (n * (n + 1)) - 1, test.rankBiserial(), 1e-12);
    }
  }

  @Test
  void fiveSeedsCanShowNoMoreThanOneIn32() {
    double[] better = {.5, .6, .7, .8, .9};
    assertEquals(1 / 32.0, PairedTest.greater(better, new double[5]).p(), 1e-12);
    double[] tied = {.5, .5, .7, .7, .7};
    assertEquals(1 / 32.0, PairedTest.greater(tied, new double[5]).p(), 1e-12);
    assertEquals(1, PairedTest.greater(new double[5], better).p(), 1e-12);
    PairedTest same = PairedTest.greater(better, better);
    assertEquals(1, same.p());
    assertEquals(0, same.better() + same.worse());
    assertThrows(IllegalArgumentException.class, () -> PairedTest.greater(better, new double[4]));
  }

  /**
   * Rates of whole numbers tie; what rounding makes of their differences must not tell them apart.
   */
  @Test
  void roundingMakesNoRanks() {
    double[] first = {0.3, 0.9, 0.5};
    double[] second = {0.2, 0.8, 0.6};
    PairedTest test = PairedTest.greater(first, second);
    assertEquals(1.0 / 3, test.rankBiserial(), 1e-12);
  }

  /** The ends are those rates at which what was seen is z deviations away. */
  @Test
  void wilsonsEndsSolveTheirEquation() {
    for (int trials : new int[] {1, 7, 24, 120}) {
      for (int successes = 0; successes <= trials; successes++) {
        Interval interval = Interval.wilson(successes, trials);
        assertTrue(interval.low() <= interval.value() && interval.value() <= interval.high());
        for (double end : new double[] {interval.low(), interval.high()}) {
          if (end > 0 && end < 1) {
            double z = (interval.value() - end) / Math.sqrt(end * (1 - end) / trials);
            assertEquals(1.959963984540054, Math.abs(z), 1e-9);
          }
        }
      }
    }
    assertThrows(IllegalArgumentException.class, () -> Interval.wilson(3, 2));
  }

  /** An interval for seeds that differ is wider than one that takes scenes for all there is. */
  @Test
  void seedsCountAsWellAsScenes() {
    double[][] alike = new double[5][24];
    double[][] apart = new double[5][24];
    for (int seed = 0; seed < 5; seed++) {
      for (int scene = 0; scene < 24; scene++) {
        alike[seed][scene] = scene % 2;
        apart[seed][scene] = seed < 2 ? 0 : scene % 6 == 0 ? 0 : 1;
      }
    }
    Interval narrow = Bootstrap.twoLevel(alike, 1);
    Interval wide = Bootstrap.twoLevel(apart, 1);
    assertEquals(0.5, narrow.value(), 1e-12);
    assertEquals(0.5, wide.value(), 1e-12);
    // One level alone: 120 fair coins, standard error .0456.
    assertEquals(0.5 - 1.96 * 0.0456, narrow.low(), 0.01);
    assertEquals(0.5 + 1.96 * 0.0456, narrow.high(), 0.01);
    // Two levels: variance of 5 seeds of 0, 0, .83, .83, .83 is .0333; its root is .183.
    assertEquals(0.5 - 1.96 * 0.185, wide.low(), 0.05);
    assertEquals(narrow, Bootstrap.twoLevel(alike, 1));
  }

  /** Holm, Scandinavian Journal of Statistics 1979: p times what is left, and never falling. */
  @Test
  void holmsSteps() {
    assertArrayEquals(
        new double[] {.03, .06, .06, .02}, Holm.adjust(new double[] {.01, .04, .03, .005}), 1e-12);
    assertArrayEquals(new double[] {1, 1}, Holm.adjust(new double[] {.9, .8}), 1e-12);
  }
}
