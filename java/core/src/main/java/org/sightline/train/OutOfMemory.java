package org.sightline.train;

/** What becomes of a step that memory does not suffice for. */
public enum OutOfMemory {
  /** The run ends with a {@link TrainingMemoryException}. */
  FAIL,
  /**
   * The step is run again with less memory, and so are all that follow: first with gradient
   * checkpointing, which changes no bit; then with each micro-batch in halves, quarters, …, whose
   * gradients add up to the whole's but for the order of fp32 sums. (Halves draw dropout masks of
   * their own.) A step's micro-batches are held until it is done.
   */
  RETRY
}
