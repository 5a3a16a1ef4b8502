package org.sightline.benchmarks;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.runner.BenchmarkList;
import org.openjdk.jmh.runner.format.OutputFormatFactory;
import org.openjdk.jmh.runner.options.VerboseMode;

/** Every JMH class sets up and runs once, at a tiny size. */
class JmhClassesTest {
  @Test
  void everyBenchmarkRuns() throws ReflectiveOperationException {
    List<String> run = new ArrayList<>();
    run.addAll(run(new AlignmentBenchmark(), "tiny/14/fp32"));
    run.addAll(run(new LoraForwardBenchmark(), "tiny.qkv/3/fp32"));
    run.addAll(run(new LoraBackwardBenchmark(), "tiny.qkv/3/fp32"));
    run.addAll(run(new AdamWBenchmark(), "tiny/-/fp32"));
    NativeCallBenchmark nativeCall = new NativeCallBenchmark();
    nativeCall.open();
    run.addAll(runMethods(nativeCall));
    nativeCall.close();
    assertEquals(known(), new TreeSet<>(run), "benchmarks that JMH knows, and those run here");
  }

  /**
   * The first parameter of each class is a workload that exists; the others differ in size only.
   */
  @Test
  void parametersNameWorkloads() throws ReflectiveOperationException {
    for (Class<?> type :
        List.of(
            AlignmentBenchmark.class,
            LoraForwardBenchmark.class,
            LoraBackwardBenchmark.class,
            AdamWBenchmark.class)) {
      for (String task : type.getField("task").getAnnotation(Param.class).value()) {
        WorkloadState state = (WorkloadState) type.getConstructor().newInstance();
        type.getField("task").set(state, task);
        WorkloadId id = WorkloadId.parse(state.id());
        assertEquals(state.id(), id.toString());
        switch (id.kind()) {
          case "alignment" -> AlignmentShape.of(id.shape(), Long.parseLong(id.rows()));
          case "adamw" -> AdamWShape.of(id.shape());
          default -> LoraShape.of(id.shape(), Long.parseLong(id.rows()));
        }
      }
    }
  }

  private static List<String> run(WorkloadState state, String task)
      throws ReflectiveOperationException {
    state.getClass().getField("task").set(state, task);
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
