package org.sightline.train;

import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;

/**
 * A model that {@link FineTuner} can train: what the training loop needs to know of it.
 *
 * @param <B> the batch the model reads
 */
public interface Policy<B> extends AutoCloseable {
  /**
   * Runs the model on one batch and computes its action loss.
   *
   * @param hiddenLayers the blocks whose outputs are wanted, counted as Hugging Face does: 0 is the
   *     input embeddings, k the output of the k-th decoder block. Only these are kept.
   */
  PolicyOutput forward(B batch, Set<Integer> hiddenLayers);

  /** The trained tensors by name (for LoRA: {@code <module>.lora_A.weight}), in a fixed order. */
  Map<String, Tensor> trainableParameters();

  /** Whether a trained tensor belongs to the vision encoder, which {@link Mode#FREEZE} locks. */
  boolean isVisionParameter(String name);

  /** Switches dropout on (as it is at first) or off. Without dropout there is nothing to do. */
  default void train(boolean training) {}

  /** Number of samples in a batch, for the throughput reported and to weigh batches; 0: unknown. */
  default long batchSize(B batch) {
    return 0;
  }

  /**
   * Of what the batch's action loss and metrics are means, to weigh parts of it by: labelled tokens
   * for instance; samples if not overridden.
   */
  default long labels(B batch) {
    return batchSize(batch);
  }

  /**
   * A batch in two parts of about half its samples, new and the caller's to close; empty if it has
   * one sample, or the policy cannot part it. One that can tells {@link #batchSize}.
   */
  default List<B> halves(B batch) {
    return List.of();
  }

  /**
   * Makes forward passes keep less for their backward passes from now on, at the same gradients to
   * the bit, by gradient checkpointing for instance.
   *
   * @return whether that changed anything
   */
  default boolean saveMemory() {
    return false;
  }

  @Override
  void close();
}
