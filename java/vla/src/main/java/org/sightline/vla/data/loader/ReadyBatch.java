package org.sightline.vla.data.loader;

/**
 * A batch and the place in the stream right behind it.
 *
 * @param batch owned by whoever holds this
 * @param position where the next batch starts
 */
record ReadyBatch(VlaBatch batch, StreamPosition position) {}
