/**
 * Custom autograd functions on the stock PyTorch presets of JavaCPP, which have no {@code
 * torch.autograd.Function} of their own, and the finite-difference check that keeps them honest.
 *
 * <p>{@link org.sightline.autograd.CustomFunction} is all a user needs, or {@link
 * org.sightline.autograd.PrecomputedGradient} for a scalar whose gradients come with it; the rest
 * of the package is how they hook into libtorch's engine.
 */
package org.sightline.autograd;
