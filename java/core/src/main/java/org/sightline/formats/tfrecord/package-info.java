/** TFRecord files, {@code tf.train.Example} and TensorBoard events. */
package org.sightline.formats.tfrecord;
