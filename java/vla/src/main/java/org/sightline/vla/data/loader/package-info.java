/** Batches of mixed datasets, prepared ahead, in an order that can be resumed. */
package org.sightline.vla.data.loader;
