/**
 * The training loop: {@link org.sightline.train.FineTuner} trains a {@link
 * org.sightline.train.Policy}, in the mode of the paper (arXiv 2510.25616) or without alignment for
 * comparison, and tells {@link org.sightline.train.TrainingListener}s of it. Progress bar and CSV
 * log are listeners; plots, checkpoints and early stopping are yours to write as such.
 *
 * <p>Losses and metrics are means over the samples or tokens a policy reports them for, without
 * unit; times are in seconds.
 */
package org.sightline.train;
