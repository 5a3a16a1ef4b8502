/**
 * Visual alignment and LoRA fine-tuning on fused native kernels.
 *
 * <p>{@link org.sightline.AlignmentLoss} pulls hidden states towards a frozen vision teacher
 * through an {@link org.sightline.AlignmentProjector}; {@link org.sightline.LoraLinear} adapts a
 * frozen linear layer; {@link org.sightline.AdamW} updates all adapters in one call.
 *
 * <p>What a method cannot work with is an {@link IllegalArgumentException} that names the argument,
 * the value found and the value expected, and nothing has been written then; null is a {@link
 * NullPointerException} with the argument's name, a device without a backend an {@link
 * UnsupportedOperationException}, use after {@code close} an {@link IllegalStateException}. What
 * libtorch itself throws, in {@code backward()} or in {@code torch.ops.sightline} called through
 * its dispatcher, JavaCPP hands on as a plain {@link RuntimeException} with the same text.
 */
package org.sightline;
