package org.sightline.train;

import com.google.gson.Gson;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.OptionalLong;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.bytedeco.javacpp.PointerScope;
import org.sightline.train.checkpoint.Checkpointable;

/**
 * The micro-batches of a step: their gradients in the parameters, their scalars in the means. Where
 * memory does not suffice they are run again, as {@link OutOfMemory} says.
 */
final class GradientAccumulation<B> implements Checkpointable {
  private static final Gson GSON = new Gson();

  /** How often micro-batches are parted in two. */
  private record Parting(int halvings) {}

  private final FineTuneConfig config;
  private final BatchPass<B> pass;
  private final ScalarMeans means;
  private final Runnable zeroGradients;
  private final Supplier<List<Checkpointable>> random;
  private final List<String> warnings = new ArrayList<>();
  private Parting parting = new Parting(0);
  private long largestBatch;

  /**
   * @param random the sources of random numbers that a step draws from
   */
  GradientAccumulation(
      FineTuneConfig config,
      BatchPass<B> pass,
      ScalarMeans means,
      Runnable zeroGradients,
      Supplier<List<Checkpointable>> random) {
    this.config = config;
    this.pass = pass;
    this.means = means;
    this.zeroGradients = zeroGradients;
    this.random = random;
  }

  /** Samples of the largest batch so far. */
  long largestBatch() {
    return largestBatch;
  }

  /** What a person should know of the steps since the last call. */
  List<String> takeWarnings() {
    List<String> taken = List.copyOf(warnings);
    warnings.clear();
    return taken;
  }

  /**
   * Runs a step's micro-batches.
   *
   * @param step its number, for warnings
   * @return their samples; empty, and nothing is left of them, if there were too few batches
   */
  OptionalLong run(Iterator<? extends B> batches, int step) {
    if (config.outOfMemory() == OutOfMemory.FAIL) {
      return accumulate(batches, BatchPass::close);
    }
    try (PointerScope scope = new PointerScope();
        Replay<B> replay = new Replay<>(batches, random)) {
      while (true) {
        try {
          return accumulate(replay, batch -> {});
        } catch (RuntimeException | OutOfMemoryError e) {
          if (!TrainingMemoryException.isOutOfMemory(e) || !saveMemory(step, e)) {
            throw e;
          }
        }
        drop();
        replay.rewind();
      }
    }
  }

  /**
   * @param after is given each batch that has been used
   */
  private OptionalLong accumulate(Iterator<? extends B> batches, Consumer<? super B> after) {
    boolean aligned = config.mode() == Mode.ALIGN;
    long samples = 0;
    for (int micro = 0; micro < config.gradientAccumulation(); micro++) {
      if (!batches.hasNext()) {
        drop();
        return OptionalLong.empty();
      }
      try (PointerScope scope = new PointerScope()) {
        B batch = batches.next();
        try {
          long size = pass.policy().batchSize(batch);
          largestBatch = Math.max(largestBatch, size);
          samples += size;
          pass.train(batch, parting.halvings, aligned, means);
        } finally {
          after.accept(batch);
        }
      }
    }
    return OptionalLong.of(samples);
  }

  private void drop() {
    zeroGradients.run();
    means.close();
  }

  /** Whether the next attempt needs less memory than the one that failed. */
  private boolean saveMemory(int step, Throwable failure) {
    String now = "gradient checkpointing";
    if (!pass.policy().saveMemory()) {
      if (largestBatch - 1 >> parting.halvings < 1) { // The largest part has one sample.
        return false;
      }
      parting = new Parting(parting.halvings + 1);
      now = "micro-batches in %d parts".formatted(1 << parting.halvings);
    }
    warnings.add(
        "memory ran out in step %d (%s); from here on with %s"
            .formatted(step, TrainingMemoryException.firstLine(failure), now));
    return true;
  }

  @Override
  public String name() {
    return "accumulation";
  }

  @Override
  public State state() {
    return State.ofJson(GSON.toJson(parting));
  }

  @Override
  public void restore(State state) {
    parting = GSON.fromJson(state.json(), Parting.class);
  }
}
