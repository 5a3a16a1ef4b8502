package org.sightline.vla.model;

import org.sightline.Checks;

/**
 * Shape of the Llama decoder (no biases, multi-head attention, untied output head).
 *
 * @param hiddenSize D, channels of a token
 * @param intermediateSize hidden channels of the SwiGLU MLP
 * @param layers decoder blocks
 * @param heads attention heads; the head width {@code hiddenSize / heads} must be even for RoPE
 * @param vocabularySize rows of the embedding and of the output head, padding included
 * @param maxPositions longest sequence
 * @param rmsNormEps ε of every RMSNorm. The Hugging Face OpenVLA checkpoint runs at 1e-6, though
 *     Llama-2 was trained at 1e-5
 * @param ropeTheta base of the rotary frequencies
 */
public record LlamaConfig(
    int hiddenSize,
    int intermediateSize,
    int layers,
    int heads,
    int vocabularySize,
    int maxPositions,
    double rmsNormEps,
    double ropeTheta) {

  public LlamaConfig {
    Checks.divides("heads", heads, "hiddenSize", hiddenSize);
    if (hiddenSize / heads % 2 != 0) {
      throw new IllegalArgumentException(
          "head width hiddenSize / heads must be even, found " + hiddenSize / heads);
    }
    Checks.atLeast("intermediateSize", intermediateSize, 1);
    Checks.atLeast("layers", layers, 1);
    Checks.atLeast("vocabularySize", vocabularySize, 1);
    Checks.atLeast("maxPositions", maxPositions, 1);
    Checks.positive("rmsNormEps", rmsNormEps);
    Checks.positive("ropeTheta", ropeTheta);
  }

  /** Llama-2 7B with OpenVLA's padded vocabulary. */
  public static LlamaConfig llama2With7b() {
    return new LlamaConfig(4096, 11008, 32, 32, 32064, 2048, 1e-6, 10000);
  }

  public int headWidth() {
    return hiddenSize / heads;
  }
}
