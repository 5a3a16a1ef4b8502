package org.sightline.vla.model;

import java.util.List;
import java.util.function.Supplier;
import org.bytedeco.pytorch.Tensor;
import org.sightline.binding.Scopes;

/**
 * What a model computes from parameters alone: once, or anew for each use where they are trained.
 */
final class Recomputed {
  private final Supplier<Tensor> formula;
  private final Tensor once; // null where a source is trained

  Recomputed(Modules modules, List<Tensor> sources, Supplier<Tensor> formula) {
    this.formula = formula;
    boolean trained = sources.stream().anyMatch(Tensor::requires_grad);
    once = trained ? null : modules.own(Scopes.scoped(formula));
  }

  Tensor value() {
    return once == null ? Scopes.scoped(formula) : once;
  }
}
