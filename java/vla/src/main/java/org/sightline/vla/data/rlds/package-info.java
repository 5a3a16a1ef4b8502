/** RLDS datasets as TensorFlow Datasets writes them, and their statistics. */
package org.sightline.vla.data.rlds;
