package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.DType;
import org.sightline.formats.peft.LoraPair;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.formats.peft.PeftConfig;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.vla.data.loader.VlaBatch;

/** Adapters leave the model as PEFT has them and come back the same. */
class AdapterExportTest {
  private static final OpenVlaConfig CONFIG = TinyModels.config();
  private static final Map<String, Tensor> WEIGHTS = TinyModels.weights(CONFIG, 1);

  @AfterAll
  static void release() {
    WEIGHTS.values().forEach(Tensor::close);
  }

  private static OpenVla model(long seed) {
    return new OpenVla(CONFIG, Weights.of(WEIGHTS), DType.FLOAT32, TinyModels.LORA, seed);
  }

  @Test
  void namesAndShapesAreTheSpecifications() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = model(1)) {
      var modules = new ArrayList<String>();
      for (LoraTarget target : ModelSpec.of(CONFIG).loraTargets()) {
        modules.add(target.module());
        LoraPair pair = model.adapters().get(target.module());
        List<ParameterSpec> expected = target.parameters(TinyModels.LORA.rank());
        assertArrayEquals(expected.get(0).sizes(), pair.a().shape(), target.module());
        assertArrayEquals(expected.get(1).sizes(), pair.b().shape(), target.module());
      }
      assertEquals(modules, List.copyOf(model.adapters().keySet()));
    }
  }

  @Test
  void aPeftFolderCarriesTheTrainedModel(@TempDir Path folder) throws Exception {
    try (PointerScope scope = new PointerScope();
        OpenVla trained = model(1);
        OpenVla other = model(2)) {
      TinyModels.shakeAdapters(trained, 3);
      VlaBatch batch = TinyModels.batch(CONFIG, 1, 9, 9, 8);
      double expected = trained.forward(batch, Set.of()).actionLoss().item_double();
      assertFalse(expected == other.forward(batch, Set.of()).actionLoss().item_double());

      var modules = trained.adapters().keySet();
      new PeftAdapter(PeftConfig.of(TinyModels.LORA, modules), trained.adapters()).write(folder);
      try (PeftAdapter read = PeftAdapter.read(folder)) {
        other.loadAdapters(read.adapters());
      }
      assertEquals(expected, other.forward(batch, Set.of()).actionLoss().item_double());
      trained
          .adapters()
          .forEach(
              (module, pair) -> {
                assertTrue(pair.a().equal(other.adapters().get(module).a()), module);
                assertTrue(pair.b().equal(other.adapters().get(module).b()), module);
              });
      other
          .trainableParameters()
          .forEach((name, tensor) -> assertTrue(tensor.requires_grad(), name));
      try (var file = Safetensors.open(folder.resolve("adapter_model.safetensors"))) {
        assertEquals(2 * modules.size(), file.names().size());
        assertEquals(
            List.of(3L, 3L, 5L, 5L),
            file.info("base_model.model.vision_backbone.featurizer.patch_embed.proj.lora_A.weight")
                .shape());
      }
    }
  }

  @Test
  void foreignAdaptersAreRefusedAndChangeNothing() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = model(1);
        OpenVla donor = model(2)) {
      Tensor before = model.adapters().get("projector.fc1").a().clone();
      var foreign = new LinkedHashMap<>(donor.adapters());
      foreign.put("projector.fc4", foreign.remove("projector.fc3"));
      var e = assertThrows(IllegalArgumentException.class, () -> model.loadAdapters(foreign));
      assertTrue(
          e.getMessage().endsWith("missing [projector.fc3], unknown [projector.fc4]"),
          e.getMessage());

      var misshapen = new LinkedHashMap<>(donor.adapters());
      misshapen.put("language_model.lm_head", new LoraPair(torch.zeros(3, 31), torch.zeros(64, 3)));
      e = assertThrows(IllegalArgumentException.class, () -> model.loadAdapters(misshapen));
      assertEquals(
          "language_model.lm_head.lora_A.weight must have shape [3, 32], found [3, 31]",
          e.getMessage());
      assertTrue(before.equal(model.adapters().get("projector.fc1").a()));
    }
  }

  @Test
  void aModelWithoutAdaptersHasNoneToExport() {
    try (var bare = new OpenVla(CONFIG, Weights.of(WEIGHTS), DType.FLOAT32, null, 0)) {
      assertTrue(bare.trainableParameters().isEmpty());
      assertThrows(IllegalStateException.class, bare::adapters);
    }
  }
}
