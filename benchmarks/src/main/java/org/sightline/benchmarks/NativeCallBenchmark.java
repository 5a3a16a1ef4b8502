package org.sightline.benchmarks;

import java.util.concurrent.TimeUnit;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import org.sightline.DescriptorCalls;
import org.sightline.Sightline;
import org.sightline.binding.sightline;
import org.sightline.binding.sl_adamw;

/** What it costs to cross from Java to native code and back, with nothing to do there. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(
    value = 1,
    jvmArgsAppend = {"-Xmx1g", "-Dorg.bytedeco.javacpp.maxPhysicalBytes=0"})
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class NativeCallBenchmark {
  private Tensor tensor;
  private DescriptorCalls calls;

  /** Loads both libraries. */
  @Setup
  public void open() {
    Sightline.load();
    calls = new DescriptorCalls();
    tensor = torch.zeros(2, 3, 5);
  }

  /** Frees what {@link #open} has allocated. */
  @TearDown
  public void close() {
    tensor.close();
    calls.close();
  }

  /** What a kernel call pays for each of its tensors. */
  @Benchmark
  public void descriptor() {
    calls.describe(tensor);
  }

  /** A call of Sightline's ABI that returns at once. */
  @Benchmark
  public void sightline() {
    sightline.sl_adamw_destroy((sl_adamw) null);
  }

  /** A call of the presets that returns at once. */
  @Benchmark
  public int libtorch() {
    return torch.get_num_threads();
  }
}
