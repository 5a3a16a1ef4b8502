package org.sightline.train;

import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * What one forward pass of a {@link Policy} yields.
 *
 * @param actionLoss scalar, differentiable
 * @param hiddenStates the hidden states that were asked for, [B,S,D] each, differentiable, by layer
 * @param firstImageToken position of the first image token in the sequence
 * @param imageTokens number of image tokens N
 * @param metrics detached scalars to report as they are (for a VLA: {@code token_accuracy}, {@code
 *     action_l1})
 */
public record PolicyOutput(
    Tensor actionLoss,
    Map<Integer, Tensor> hiddenStates,
    long firstImageToken,
    long imageTokens,
    Map<String, Tensor> metrics) {}
