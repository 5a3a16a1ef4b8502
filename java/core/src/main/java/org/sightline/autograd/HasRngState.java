package org.sightline.autograd;

/**
 * A source of random numbers whose state can be taken and set, so that a computation run again
 * draws the same, and a resumed run goes on with the next ones.
 */
public interface HasRngState {
  /** The state, ≥ 0: the numbers drawn from it on are a function of it and of a fixed seed. */
  long rngState();

  /**
   * Goes to a state that {@link #rngState} told.
   *
   * @throws IllegalArgumentException if it is negative
   */
  void setRngState(long state);
}
