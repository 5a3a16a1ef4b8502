package org.sightline.benchmarks;

import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import org.sightline.Sightline;

/**
 * What the JMH classes share: how they are measured, and the workload of an id with new inputs for
 * every iteration.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(
    value = 1,
    jvmArgsAppend = {"-Xmx1g", "-Dorg.bytedeco.javacpp.maxPhysicalBytes=0"})
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public abstract class WorkloadState {
  /** Where the tensors are: cpu, or cuda ({@code -p device=cuda}) where there is a GPU. */
  @Param("cpu")
  public String device;

  private Workload workload;

  /** The {@link WorkloadId} to measure. */
  protected abstract String id();

  /** Allocates the workload. */
  @Setup(Level.Trial)
  public void open() {
    Sightline.load(); // before libtorch
    Torch.use(device);
    workload = WorkloadId.parse(id()).open(false);
  }

  /** Draws new inputs. */
  @Setup(Level.Iteration)
  public void refresh() {
    workload.refresh();
  }

  /** Frees it. */
  @TearDown(Level.Trial)
  public void close() {
    workload.close();
  }

  final Workload workload() {
    return workload;
  }

  /** Runs a contender once, to the end of its work. */
  final void run(Workload.Role role) {
    workload.run(role);
    Torch.finish();
  }
}
