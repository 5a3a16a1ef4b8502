package org.sightline.vla.model;

import static org.bytedeco.pytorch.global.torch.zeros;

import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.Checks;
import org.sightline.Device;
import org.sightline.Finite;
import org.sightline.LoraConfig;
import org.sightline.LoraLinear;
import org.sightline.Seeds;
import org.sightline.binding.Scopes;
import org.sightline.formats.peft.LoraPair;

/**
 * The adapters of a model, as training and as PEFT files see them.
 *
 * <p>Active adapters live in the model's linear layers. The few that PEFT has on modules outside
 * the forward pass are kept here as bare tensors, so that a file read and written again keeps them.
 */
final class AdapterSet implements AutoCloseable {
  private final Map<String, LoraTarget> targets = new LinkedHashMap<>();
  private final Map<String, LoraConfig> configs = new LinkedHashMap<>(); // of the targets
  private final Map<String, LoraLinear> active;
  private final Map<String, LoraPair> inactive = new LinkedHashMap<>();

  private AdapterSet(Map<String, LoraLinear> active) {
    this.active = active;
  }

  static AdapterSet of(OpenVlaConfig model, Modules modules, LoraPlan plan, long seed) {
    var set = new AdapterSet(modules.adapters());
    for (LoraTarget target : ModelSpec.of(model).loraTargets()) {
      Optional<LoraConfig> lora = plan.of(target.module());
      if (lora.isEmpty()) {
        continue;
      }
      set.targets.put(target.module(), target);
      set.configs.put(target.module(), lora.get());
      if (target.active() != set.active.containsKey(target.module())) {
        throw new AssertionError("model and specification differ on " + target);
      }
      if (!target.active()) {
        set.inactive.put(target.module(), initial(target, lora.get(), modules, seed));
      }
    }
    return set;
  }

  /** A fresh adapter as PEFT initialises it: random A, zero B. */
  private static LoraPair initial(LoraTarget target, LoraConfig lora, Modules modules, long seed) {
    ScalarType type = modules.scalarType();
    Device device = modules.device();
    long of = Seeds.of(seed, target.module());
    return new LoraPair(
        Scopes.own(device.move(lora.init().draw(lora.rank(), target.inputs(), of).to(type))),
        Scopes.own(device.move(zeros(target.outputs(), lora.rank()).to(type))));
  }

  Map<String, Tensor> trainable() {
    var parameters = new LinkedHashMap<String, Tensor>();
    for (String module : targets.keySet()) {
      LoraLinear adapter = active.get(module);
      if (adapter != null) {
        parameters.put(module + ".lora_A.weight", adapter.loraA());
        parameters.put(module + ".lora_B.weight", adapter.loraB());
      }
    }
    return parameters;
  }

  Map<String, LoraPair> export() {
    if (targets.isEmpty()) {
      throw new IllegalStateException("the model was built without a LoraConfig: no adapters");
    }
    var pairs = new LinkedHashMap<String, LoraPair>();
    for (LoraTarget target : targets.values()) {
      LoraPair pair = pair(target.module());
      List<ParameterSpec> specs = parameters(target);
      pairs.put(
          target.module(),
          new LoraPair(
              pair.a().detach().view(specs.get(0).sizes()),
              pair.b().detach().view(specs.get(1).sizes())));
    }
    return pairs;
  }

  void load(Map<String, LoraPair> values) {
    requireSameModules(values);
    for (LoraTarget target : targets.values()) {
      LoraPair value = values.get(target.module());
      List<ParameterSpec> specs = parameters(target);
      LoraPair own = pair(target.module());
      requireFits(specs.get(0), value.a(), own.a());
      requireFits(specs.get(1), value.b(), own.b());
    }
    Scopes.withoutGradient(
        () -> {
          for (LoraTarget target : targets.values()) {
            LoraPair value = values.get(target.module());
            LoraPair own = pair(target.module());
            own.a().copy_(value.a().reshape(own.a().size(0), own.a().size(1)));
            own.b().copy_(value.b().reshape(own.b().size(0), own.b().size(1)));
          }
          return null;
        });
  }

  private List<ParameterSpec> parameters(LoraTarget target) {
    return target.parameters(configs.get(target.module()).rank());
  }

  private LoraPair pair(String module) {
    LoraLinear adapter = active.get(module);
    return adapter == null ? inactive.get(module) : new LoraPair(adapter.loraA(), adapter.loraB());
  }

  private void requireSameModules(Map<String, LoraPair> values) {
    var missing = new LinkedHashSet<>(targets.keySet());
    missing.removeAll(values.keySet());
    var unknown = new LinkedHashSet<>(values.keySet());
    unknown.removeAll(targets.keySet());
    if (!missing.isEmpty() || !unknown.isEmpty()) {
      throw new IllegalArgumentException(
          "adapters must be of the model's %d modules: missing %s, unknown %s"
              .formatted(targets.size(), some(missing), some(unknown)));
    }
  }

  private static String some(LinkedHashSet<String> names) {
    List<String> first = names.stream().limit(3).toList();
    return names.size() > 3 ? first + " and " + (names.size() - 3) + " more" : first.toString();
  }

  private static void requireFits(ParameterSpec spec, Tensor tensor, Tensor own) {
    Checks.shape(spec.name(), tensor, spec.sizes());
    // In the model's dtype, whose range the value may leave.
    Scopes.run(() -> Finite.require(spec.name(), tensor.to(own.scalar_type())));
  }

  @Override
  public void close() {
    inactive
        .values()
        .forEach(
            pair -> {
              pair.a().close();
              pair.b().close();
            });
  }
}
