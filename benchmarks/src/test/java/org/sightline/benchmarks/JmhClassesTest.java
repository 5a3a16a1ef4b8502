package org.sightline.benchmarks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.runner.BenchmarkList;
import org.openjdk.jmh.runner.format.OutputFormatFactory;
import org.openjdk.jmh.runner.options.VerboseMode;
import org.sightline.Sightline;

/** Every JMH class sets up and runs once, at a tiny size. */
class JmhClassesTest {
  @Test
  void everyBenchmarkRuns() throws ReflectiveOperationException {
    List<String> run = new ArrayList<>();
    run.addAll(run(new AlignmentBenchmark(), "tiny/14/fp32"));
    run.addAll(run(new AlignmentCallBenchmark(), "tiny/14/fp32"));
    run.addAll(run(new LoraForwardBenchmark(), "tiny.qkv/3/fp32"));
    run.addAll(run(new LoraBackwardBenchmark(), "tiny.qkv/3/fp32"));
    run.addAll(run(new AdamWBenchmark(), "tiny/-/fp32"));
    assertEquals(known(), new TreeSet<>(run), "benchmarks that JMH knows, and those run here");
  }

  /**
   * {@code -p device=cuda} where there is no GPU ends before anything is measured, and says why.
   */
  @Test
  void devicesThatAreNotThereAreRefused() throws ReflectiveOperationException {
    AlignmentBenchmark state = new AlignmentBenchmark();
    state.task = "tiny/14/fp32";
    state.device = "gpu";
    IllegalArgumentException unknown = assertThrows(IllegalArgumentException.class, state::open);
    assertEquals("device must be cpu or cuda, found \"gpu\"", unknown.getMessage());
    state.device = "cuda";
    if (torch.cuda_is_available() && Sightline.cuda().isAvailable()) {
      try {
        run(state, "tiny/14/fp32", "cuda");
      } finally {
        Torch.use("cpu");
      }
      return;
    }
    UnsupportedOperationException missing =
        assertThrows(UnsupportedOperationException.class, state::open);
    assertTrue(missing.getMessage().contains("cuda"), missing::getMessage);
    run(new AlignmentBenchmark(), "tiny/14/fp32"); // the refused device was not kept
  }

  /**
   * The first parameter of each class is a workload that exists; the others differ in size only.
   */
  @Test
  void parametersNameWorkloads() throws ReflectiveOperationException {
    for (Class<?> type :
        List.of(
            AlignmentBenchmark.class,
            AlignmentCallBenchmark.class,
            LoraForwardBenchmark.class,
            LoraBackwardBenchmark.class,
            AdamWBenchmark.class)) {
      for (String task : type.getField("task").getAnnotation(Param.class).value()) {
        WorkloadState state = (WorkloadState) type.getConstructor().newInstance();
        type.getField("task").set(state, task);
        WorkloadId id = WorkloadId.parse(state.id());
        assertEquals(state.id(), id.toString());
        switch (id.kind()) {
          case "alignment", "alignment-call" ->
              AlignmentShape.of(id.shape(), Long.parseLong(id.rows()));
          case "adamw" -> AdamWShape.of(id.shape());
          default -> LoraShape.of(id.shape(), Long.parseLong(id.rows()));
        }
      }
    }
  }

  private static List<String> run(WorkloadState state, String task)
      throws ReflectiveOperationException {
    return run(state, task, "cpu");
  }

  private static List<String> run(WorkloadState state, String task, String device)
      throws ReflectiveOperationException {
    state.getClass().getField("task").set(state, task);
    state.device = device;
    state.open();
    try {
      state.refresh();
      return runMethods(state);
    } finally {
      state.close();
    }
  }

  private static List<String> runMethods(Object benchmark) throws ReflectiveOperationException {
    List<String> run = new ArrayList<>();
    for (Method method : benchmark.getClass().getMethods()) {
      if (method.isAnnotationPresent(Benchmark.class)) {
        method.invoke(benchmark);
        run.add(benchmark.getClass().getName() + "." + method.getName());
      }
    }
    return run;
  }

  /** What the annotation processor has written for JMH to find. */
  private static Set<String> known() {
    Set<String> names = new TreeSet<>();
    BenchmarkList.defaultList()
        .getAll(OutputFormatFactory.createFormatInstance(System.out, VerboseMode.SILENT), List.of())
        .forEach(entry -> names.add(entry.getUsername()));
    return names;
  }
}
