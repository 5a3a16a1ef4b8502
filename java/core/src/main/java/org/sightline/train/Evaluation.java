package org.sightline.train;

import java.util.Map;
import java.util.OptionalDouble;

/**
 * What a pass over evaluation batches gave, without gradients and dropout. All are means over
 * samples, or over batches where the policy does not tell its batch size.
 *
 * @param step optimizer steps done before it
 * @param batches number of batches
 * @param actionLoss the policy's own loss; unlike a training step's total it never includes the
 *     alignment
 * @param alignmentLoss the reduced alignment loss before λ; present in every mode that has a
 *     teacher and aligned layers
 * @param cosine mean cosine of the projected image tokens to the teacher's features, by layer
 * @param metrics the policy's metrics
 * @param seconds the pass took
 */
public record Evaluation(
    int step,
    int batches,
    double actionLoss,
    OptionalDouble alignmentLoss,
    Map<Integer, Double> cosine,
    Map<String, Double> metrics,
    double seconds) {}
