package org.sightline.vla.model;

import org.bytedeco.pytorch.Tensor;
import org.sightline.binding.Scopes;

/** A part of a network, as in torch: written as {@link #forward}, called by {@link #apply}. */
@FunctionalInterface
interface Module {
  /** What the part computes; temporaries may stay in the caller's scope. */
  Tensor forward(Tensor x);

  /** As {@link #forward}, of which only the result survives. */
  default Tensor apply(Tensor x) {
    return Scopes.scoped(() -> forward(x));
  }
}
