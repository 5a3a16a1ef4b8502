package org.sightline.train;

/** How the alignment losses of several layers become one. */
public enum LayerReduction {
  /** Added, as in the paper's code: λ weighs more the more layers there are. */
  SUM,
  /** Averaged: λ keeps its meaning whatever the number of layers. */
  MEAN
}
