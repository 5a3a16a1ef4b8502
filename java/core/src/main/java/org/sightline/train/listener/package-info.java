/** Who watches a run: logs, TensorBoard, progress, early stopping. */
package org.sightline.train.listener;
