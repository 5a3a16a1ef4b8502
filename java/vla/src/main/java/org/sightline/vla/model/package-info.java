/**
 * The OpenVLA architecture in libtorch: configuration, parameter names and shapes of the Hugging
 * Face checkpoint, the forward pass, and LoRA on all its linear layers.
 *
 * <p>{@link org.sightline.vla.model.OpenVla} reads like the paper from top to bottom; {@link
 * org.sightline.vla.model.ModelSpec} knows every parameter without allocating one.
 */
package org.sightline.vla.model;
