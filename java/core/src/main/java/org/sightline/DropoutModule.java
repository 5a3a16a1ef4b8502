package org.sightline;

import java.util.concurrent.atomic.AtomicLong;
import org.sightline.autograd.HasRngState;
import org.sightline.binding.Lifetime;

/** A module with dropout: whether it is on, and a seed per call, a function of the call's index. */
abstract class DropoutModule implements HasRngState, AutoCloseable {
  final Lifetime lifetime;
  private final long seed;
  private final AtomicLong masks = new AtomicLong();
  private volatile boolean training = true;

  DropoutModule(String name, long seed) {
    lifetime = new Lifetime(name);
    this.seed = seed;
  }

  /** Switches dropout on (as it is at first) or off. */
  public void train(boolean training) {
    lifetime.check();
    this.training = training;
  }

  /** How many dropout masks were drawn: with the seed, all there is to know of the next one. */
  @Override
  public long rngState() {
    lifetime.check();
    return masks.get();
  }

  @Override
  public void setRngState(long state) {
    lifetime.check();
    Checks.atLeast("RNG state", state, 0);
    masks.set(state);
  }

  final boolean isTraining() {
    return training;
  }

  final long nextDropoutSeed() {
    return Seeds.mix(Seeds.mix(seed) + masks.incrementAndGet() * Seeds.GOLDEN_RATIO);
  }

  @Override
  public abstract void close();
}
