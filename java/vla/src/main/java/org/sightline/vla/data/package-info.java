/**
 * Robot data for VLA fine-tuning: {@code rlds} datasets as TensorFlow Datasets writes them, {@code
 * image} camera images and their augmentation, {@code text} prompts and action tokens, {@code
 * loader} batches of all of them.
 *
 * <p>{@link org.sightline.vla.data.loader.VlaData} puts the parts together. Formats and constants
 * are those of TensorFlow Datasets and OpenVLA. A file that is damaged or not as expected is a
 * {@link org.sightline.formats.tfrecord.DatasetFormatException} with a message for the user.
 *
 * <p>What a stream of batches holds is a function of seed and place: order ({@link
 * org.sightline.vla.data.loader.StreamPosition}), mixture and every augmented pixel come from
 * counter-based random numbers. Threads and restarts therefore change nothing.
 */
package org.sightline.vla.data;
