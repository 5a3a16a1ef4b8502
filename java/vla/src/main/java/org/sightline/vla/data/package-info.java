/**
 * Robot data for VLA fine-tuning: TFRecord and {@code tf.train.Example}, RLDS folders, camera
 * images, action statistics and tokens, prompts, and batches of them.
 *
 * <p>{@link org.sightline.vla.data.VlaData} puts the parts together. Formats and constants are
 * those of TensorFlow Datasets and OpenVLA. A file that is damaged or not as expected is a {@link
 * org.sightline.vla.data.DatasetFormatException} with a message for the user.
 */
package org.sightline.vla.data;
