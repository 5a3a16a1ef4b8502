package org.sightline.benchmarks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class MeasuringTest {
  /** numpy.percentile([1, 2, 4, 8], [25, 50, 75]). */
  @Test
  void quartilesInterpolate() {
    assertEquals(new Quartiles(1.75, 3, 5), Quartiles.of(new double[] {8, 1, 4, 2}));
    assertEquals(new Quartiles(7, 7, 7), Quartiles.of(new double[] {7}));
    assertThrows(IllegalArgumentException.class, () -> Quartiles.of(new double[0]));
  }

  /** Ratios are taken round by round, so a machine that slows down for both changes nothing. */
  @Test
  void ratiosAreOfTheSameRound() {
    double[][] times = {{1, 10, 100}, {2, 20, 200}};
    Interleaver.Samples samples = new Interleaver.Samples(List.of(), times, true);
    assertEquals(new Quartiles(2, 2, 2), samples.ratio(1, 0));
    assertEquals(10, samples.time(0).median());
  }

  /** Notes what the interleaver does to it, and moves its clock. */
  private static final class Recording extends Workload {
    final List<String> events = new ArrayList<>();
    long now;

    Recording() {
      contender("a", Role.SIGHTLINE, () -> work("a", 3));
      contender("b", Role.EAGER, () -> work("b", 6));
    }

    private void work(String name, int millis) {
      events.add(name);
      now += millis * 1_000_000L;
    }

    @Override
    void refresh() {
      events.add("refresh");
    }

    @Override
    double disagreement() {
      return 0;
    }

    @Override
    double tolerance() {
      return 0;
    }
  }

  @Test
  void contendersTakeTurnsOnFreshInputs() {
    Recording workload = new Recording();
    Interleaver.Samples samples = new Interleaver(() -> workload.now).measure(workload, 0, true);
    assertEquals(5, samples.rounds());
    List<String> measured =
        workload.events.subList(workload.events.indexOf("refresh"), workload.events.size());
    // 30 ms of untimed executions, then one that is timed: 11 times 3 ms, 6 times 6 ms.
    String turns =
        String.join(" ", measured).replaceAll("(a ?){11}", "A ").replaceAll("(b ?){6}", "B ");
    assertEquals(
        "refresh A B refresh B A refresh B A refresh A B refresh A B",
        turns.strip(),
        "order of work");
    assertEquals(new Quartiles(3e6, 3e6, 3e6), samples.time(0));
    assertEquals(new Quartiles(2, 2, 2), samples.ratio(1, 0));
  }

  @Test
  void settingsReplaceWhatTheShellHadSet() {
    Map<String, String> environment =
        new HashMap<>(
            Map.of(
                "OMP_WAIT_POLICY", "ACTIVE",
                "OPENBLAS_NUM_THREADS", "4",
                "OPENBLAS_CORETYPE", "Haswell",
                "A", "b"));
    IllegalArgumentException refusal =
        assertThrows(
            IllegalArgumentException.class, () -> RivalKernels.requireTheirOwn(environment));
    assertTrue(refusal.getMessage().contains("{OPENBLAS_CORETYPE=Haswell}"), refusal::getMessage);
    ThreadSetting.named("OMP_WAIT_POLICY=PASSIVE").apply(environment);
    assertEquals(
        Map.of("OMP_WAIT_POLICY", "PASSIVE", "OPENBLAS_THREAD_TIMEOUT", "26", "A", "b"),
        environment);
    RivalKernels.requireTheirOwn(environment);
    assertThrows(IllegalArgumentException.class, () -> ThreadSetting.named("best"));
  }

  @Test
  void everyRowOfTheStandardTableParses() {
    List<RatioPlan.Entry> plan = RatioPlan.standard();
    assertEquals(plan.size(), plan.stream().map(RatioPlan.Entry::toString).distinct().count());
    for (RatioPlan.Entry entry : plan) {
      assertEquals(entry, RatioPlan.Entry.parse(entry.toString()));
      assertTrue(
          List.of("nano fp32", "nano bf16", "openvla-7b fp32", "openvla-7b bf16")
              .contains(entry.group()),
          entry.group());
    }
  }
}
