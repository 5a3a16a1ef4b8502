/**
 * The training loop: {@link org.sightline.train.FineTuner} trains a {@link
 * org.sightline.train.Policy}, in the mode of the paper (arXiv 2510.25616) or without alignment for
 * comparison, and tells {@link org.sightline.train.TrainingListener}s of it. Progress bar, CSV logs
 * and early stopping are listeners ({@code train.listener}); others are yours to write. What makes
 * a run survive being killed is in {@code train.checkpoint}. A loop of your own advances a {@link
 * org.sightline.train.TrainingState}.
 *
 * <p>Losses and metrics are means over the samples or tokens a policy reports them for, without
 * unit; times are in seconds.
 */
package org.sightline.train;
