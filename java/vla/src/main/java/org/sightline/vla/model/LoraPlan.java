package org.sightline.vla.model;

import java.util.Optional;
import org.sightline.LoraConfig;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.formats.peft.PeftConfig;

/** Which modules of a model have an adapter, and with which settings. */
@FunctionalInterface
public interface LoraPlan {
  /** Settings of the adapter of the module of this full name; empty: it has none. */
  Optional<LoraConfig> of(String module);

  /** No adapters. */
  static LoraPlan none() {
    return module -> Optional.empty();
  }

  /** The same adapter on every module PEFT's {@code all-linear} wraps ({@link ModelSpec}). */
  static LoraPlan all(LoraConfig lora) {
    Optional<LoraConfig> all = Optional.of(lora);
    return module -> all;
  }

  /** Adapters as a PEFT configuration targets them, with its ranks and alphas by pattern. */
  static LoraPlan of(PeftConfig config) {
    return module ->
        config.targets().matches(module) ? Optional.of(config.loraOf(module)) : Optional.empty();
  }

  /** Adapters on exactly the modules that a PEFT folder holds some of. */
  static LoraPlan of(PeftAdapter adapter) {
    return module ->
        adapter.adapters().containsKey(module)
            ? Optional.of(adapter.config().loraOf(module))
            : Optional.empty();
  }
}
