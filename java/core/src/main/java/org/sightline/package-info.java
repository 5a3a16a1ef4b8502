/**
 * Visual alignment and LoRA fine-tuning on fused native kernels.
 *
 * <p>{@link org.sightline.AlignmentLoss} pulls hidden states towards a frozen vision teacher
 * through an {@link org.sightline.AlignmentProjector}; {@link org.sightline.LoraLinear} adapts a
 * frozen linear layer; {@link org.sightline.AdamW} updates all adapters in one call.
 */
package org.sightline;
