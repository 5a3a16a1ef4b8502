package org.sightline.vla.model;

import static org.bytedeco.pytorch.global.torch.cross_entropy_loss;
import static org.bytedeco.pytorch.global.torch.linear;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.DType;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.train.PolicyOutput;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.loader.VlaBatch;

/** What the model promises beside its arithmetic. */
class OpenVlaTest {
  private static final OpenVlaConfig CONFIG = TinyModels.config();
  private static final Map<String, Tensor> WEIGHTS = TinyModels.weights(CONFIG, 1);

  @AfterAll
  static void release() {
    WEIGHTS.values().forEach(Tensor::close);
  }

  private static OpenVla plain() {
    return new OpenVla(CONFIG, Weights.of(WEIGHTS), DType.FLOAT32, null, 0);
  }

  private static OpenVla adapted() {
    return new OpenVla(CONFIG, Weights.of(WEIGHTS), DType.FLOAT32, TinyModels.LORA, 5);
  }

  @Test
  void outputHasTheDocumentedShapes() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = plain()) {
      PolicyOutput out = model.forward(TinyModels.batch(CONFIG, 1, 11, 11, 8), Set.of(0, 2));
      assertEquals(Set.of(0, 2), out.hiddenStates().keySet());
      for (Tensor states : out.hiddenStates().values()) {
        assertArrayEquals(new long[] {2, 9 + 11, 32}, states.shape());
      }
      assertEquals(0, out.actionLoss().dim());
      assertEquals(1, out.firstImageToken());
      assertEquals(9, out.imageTokens());
      assertEquals(Set.of("token_accuracy", "action_l1"), out.metrics().keySet());
      assertTrue(out.metrics().values().stream().noneMatch(Tensor::requires_grad));
    }
  }

  @Test
  void onlyTheHiddenStatesAskedForAreReturned() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = plain()) {
      VlaBatch batch = TinyModels.batch(CONFIG, 1, 8, 8);
      assertTrue(model.forward(batch, Set.of()).hiddenStates().isEmpty());
      assertEquals(Set.of(3), model.forward(batch, Set.of(3)).hiddenStates().keySet());
    }
  }

  @Test
  void lossAtSupervisedPositionsIsTheLossOfAllLogits() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = plain()) {
      VlaBatch batch = TinyModels.batch(CONFIG, 2, 13, 13, 9, 7);
      PolicyOutput out = model.forward(batch, Set.of(3));
      Tensor last = out.hiddenStates().get(3);
      Tensor logits = linear(last, WEIGHTS.get("language_model.lm_head.weight"));
      // logits[N..N+T-2] predict text tokens 1..T-1.
      long n = CONFIG.imageTokens();
      Tensor predicting = logits.narrow(1, n, 12).reshape(-1, 64);
      Tensor labels = batch.labels().narrow(1, 1, 12).reshape(-1);
      Tensor full = cross_entropy_loss(predicting, labels, new TensorOptional(), 1, -100, 0);
      assertEquals(full.item_double(), out.actionLoss().item_double(), 1e-6 * full.item_double());
    }
  }

  @Test
  void imageTokensDoNotDependOnTheInstruction() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = plain()) {
      VlaBatch one = TinyModels.batch(CONFIG, 3, 12, 12, 12);
      VlaBatch other = TinyModels.batch(CONFIG, 4, 12, 12, 10);
      var swapped =
          new VlaBatch(
              one.pixelValues(),
              other.inputIds(),
              other.attentionMask(),
              other.labels(),
              other.actions());
      for (int layer : List.of(0, 2, 3)) {
        Tensor a = model.forward(one, Set.of(layer)).hiddenStates().get(layer);
        Tensor b = model.forward(swapped, Set.of(layer)).hiddenStates().get(layer);
        long image = 1 + CONFIG.imageTokens();
        assertTrue(a.narrow(1, 0, image).equal(b.narrow(1, 0, image)));
        assertFalse(a.narrow(1, image, 5).equal(b.narrow(1, image, 5)));
      }
    }
  }

  @Test
  void imageTokensDependOnBothHalvesOfThePixels() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = plain()) {
      VlaBatch batch = TinyModels.batch(CONFIG, 3, 8, 8);
      Tensor before = model.forward(batch, Set.of(0)).hiddenStates().get(0);
      for (int channel : List.of(0, 3)) {
        Tensor pixels = batch.pixelValues().clone();
        pixels.select(1, channel).zero_();
        var changed =
            new VlaBatch(
                pixels, batch.inputIds(), batch.attentionMask(), batch.labels(), batch.actions());
        assertFalse(before.equal(model.forward(changed, Set.of(0)).hiddenStates().get(0)));
      }
    }
  }

  @Test
  void paddingChangesNothing() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = plain()) {
      PolicyOutput tight = model.forward(TinyModels.batch(CONFIG, 5, 10, 10, 8), Set.of(2));
      PolicyOutput loose = model.forward(TinyModels.batch(CONFIG, 5, 17, 10, 8), Set.of(2));
      double loss = tight.actionLoss().item_double();
      assertEquals(loss, loose.actionLoss().item_double(), 1e-5 * loss);
      double[] a = TinyModels.doubles(tight.hiddenStates().get(2).narrow(1, 0, 9 + 8));
      double[] b = TinyModels.doubles(loose.hiddenStates().get(2).narrow(1, 0, 9 + 8));
      assertTrue(TinyModels.relativeError(b, a) < 1e-5);
    }
  }

  @Test
  void freshAdaptersLeaveTheModelUnchanged() {
    try (PointerScope scope = new PointerScope();
        OpenVla base = plain();
        OpenVla model = adapted()) {
      VlaBatch batch = TinyModels.batch(CONFIG, 6, 10, 10, 9);
      PolicyOutput expected = base.forward(batch, Set.of(2));
      PolicyOutput found = model.forward(batch, Set.of(2));
      double[] a = TinyModels.doubles(expected.hiddenStates().get(2));
      assertTrue(
          TinyModels.relativeError(TinyModels.doubles(found.hiddenStates().get(2)), a) < 1e-5);
      assertEquals(expected.actionLoss().item_double(), found.actionLoss().item_double(), 1e-5);
    }
  }

  @Test
  void gradientsReachEveryActiveAdapter() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = adapted()) {
      TinyModels.shakeAdapters(model, 8);
      model.forward(TinyModels.batch(CONFIG, 7, 10, 10, 9), Set.of()).actionLoss().backward();
      long active = ModelSpec.of(CONFIG).loraTargets().stream().filter(LoraTarget::active).count();
      assertEquals(2 * active, model.trainableParameters().size());
      model
          .trainableParameters()
          .forEach(
              (name, tensor) -> {
                assertTrue(tensor.grad().defined(), name);
                assertTrue(tensor.grad().abs().sum().item_double() > 0, name);
              });
    }
  }

  @Test
  void modulesOutsideThePathAreExportedButNotTrained() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = adapted()) {
      var inactive = ModelSpec.of(CONFIG).loraTargets().stream().filter(t -> !t.active()).toList();
      assertEquals(13, inactive.size());
      for (LoraTarget target : inactive) {
        assertFalse(
            model.trainableParameters().containsKey(target.module() + ".lora_A.weight"),
            target.module());
        var pair = model.adapters().get(target.module());
        assertTrue(pair.a().abs().sum().item_double() > 0);
        assertEquals(0, pair.b().abs().sum().item_double());
      }
    }
  }

  @Test
  void lockedVisionEncoderRecordsNoGraphAndOthersGetTheSameGradients() {
    try (PointerScope scope = new PointerScope();
        OpenVla model = adapted()) {
      TinyModels.shakeAdapters(model, 9);
      VlaBatch batch = TinyModels.batch(CONFIG, 9, 10, 10, 9);
      assertTrue(model.encode(batch.pixelValues()).requires_grad());
      model.forward(batch, Set.of()).actionLoss().backward();
      var gradients = new LinkedHashMap<String, double[]>();
      model
          .trainableParameters()
          .forEach(
              (name, tensor) -> {
                gradients.put(name, TinyModels.doubles(tensor.grad()));
                tensor.grad().zero_();
                if (model.isVisionParameter(name)) {
                  tensor.set_requires_grad(false);
                }
              });
      assertFalse(model.encode(batch.pixelValues()).requires_grad());
      model.forward(batch, Set.of()).actionLoss().backward();
      model
          .trainableParameters()
          .forEach(
              (name, tensor) -> {
                double[] found = TinyModels.doubles(tensor.grad());
                if (model.isVisionParameter(name)) {
                  assertEquals(0, java.util.Arrays.stream(found).map(Math::abs).sum(), name);
                } else {
                  assertTrue(TinyModels.relativeError(found, gradients.get(name)) < 1e-5, name);
                }
              });
    }
  }

  @Test
  void visionParametersAreThoseOfTheTwoTransformers() {
    try (OpenVla model = adapted()) {
      assertTrue(
          model.isVisionParameter("vision_backbone.featurizer.blocks.0.attn.qkv.lora_A.weight"));
      assertFalse(model.isVisionParameter("projector.fc1.lora_A.weight"));
      assertFalse(model.isVisionParameter("language_model.lm_head.lora_B.weight"));
      assertTrue(model.trainableParameters().keySet().stream().anyMatch(model::isVisionParameter));
    }
  }

  /**
   * Weights and pixels that bf16 holds exactly leave the rounding of activations alone. About 50
   * are stored on the way to h₂ (8 a ViT block, 12 a decoder block), each with an rms error of
   * 2⁻⁹/√3; independent errors in a network of gain one add up to √50 · 2⁻⁹/√3 = 0.8 %, and three
   * times that is allowed.
   */
  @Test
  void bfloat16StaysCloseToFloat32() {
    try (PointerScope scope = new PointerScope()) {
      var exact = new LinkedHashMap<String, Tensor>();
      WEIGHTS.forEach((name, tensor) -> exact.put(name, tensor.to(ScalarType.BFloat16)));
      VlaBatch batch = TinyModels.batch(CONFIG, 10, 10, 10, 9);
      batch.pixelValues().copy_(batch.pixelValues().to(ScalarType.BFloat16));
      try (var single = new OpenVla(CONFIG, Weights.of(exact), DType.FLOAT32, TinyModels.LORA, 5);
          var half = new OpenVla(CONFIG, Weights.of(exact), DType.BFLOAT16, TinyModels.LORA, 5)) {
        PolicyOutput a = single.forward(batch, Set.of(2));
        PolicyOutput b = half.forward(batch, Set.of(2));
        assertEquals(ScalarType.BFloat16, b.hiddenStates().get(2).scalar_type().intern());
        assertEquals(ScalarType.Float, b.actionLoss().scalar_type().intern());
        double error =
            TinyModels.relativeError(
                TinyModels.doubles(b.hiddenStates().get(2)),
                TinyModels.doubles(a.hiddenStates().get(2)));
        assertTrue(error > 1e-4 && error < 0.024, "error " + error);
        double loss = a.actionLoss().item_double();
        assertEquals(loss, b.actionLoss().item_double(), 0.024 * loss);
        b.actionLoss().backward();
        half.trainableParameters()
            .forEach((name, tensor) -> assertTrue(tensor.grad().defined(), name));
      }
    }
  }

  @Test
  void seedsDetermineAdapters() {
    try (PointerScope scope = new PointerScope();
        OpenVla one = adapted();
        OpenVla two = adapted();
        OpenVla other =
            new OpenVla(CONFIG, Weights.of(WEIGHTS), DType.FLOAT32, TinyModels.LORA, 6)) {
      one.adapters()
          .forEach(
              (module, pair) -> {
                assertTrue(pair.a().equal(two.adapters().get(module).a()), module);
                assertFalse(pair.a().equal(other.adapters().get(module).a()), module);
              });
    }
  }

  @Test
  void randomWeightsDependOnSeedAndNameAlone() {
    try (PointerScope scope = new PointerScope()) {
      OpenVlaConfig nano = OpenVlaConfig.nano();
      var specs = ModelSpec.of(nano).parameters();
      var first = Weights.random(nano, 3);
      var sums = new LinkedHashMap<String, Tensor>();
      specs.forEach(spec -> sums.put(spec.name(), first.get(spec)));
      var again = Weights.random(nano, 3);
      for (int i = specs.size() - 1; i >= 0; i--) {
        assertTrue(sums.get(specs.get(i).name()).equal(again.get(specs.get(i))));
      }
      ParameterSpec head = specs.get(specs.size() - 1);
      assertFalse(sums.get(head.name()).equal(Weights.random(nano, 4).get(head)));
    }
  }

  @Test
  void weightsFromFilesGiveTheSameModel(@TempDir Path folder) throws Exception {
    try (PointerScope scope = new PointerScope()) {
      var first = new LinkedHashMap<String, Tensor>();
      var second = new LinkedHashMap<String, Tensor>();
      WEIGHTS.forEach((name, tensor) -> (first.size() < 60 ? first : second).put(name, tensor));
      var shards = List.of(folder.resolve("a.safetensors"), folder.resolve("b.safetensors"));
      Safetensors.write(shards.get(0), first, Map.of());
      Safetensors.write(shards.get(1), second, Map.of());
      VlaBatch batch = TinyModels.batch(CONFIG, 11, 9, 9);
      OpenVla fromFiles;
      try (var weights = HuggingFaceCheckpoint.open(shards, CONFIG)) {
        fromFiles = new OpenVla(CONFIG, weights, DType.FLOAT32, null, 0);
      }
      try (OpenVla model = plain();
          fromFiles) {
        double expected = model.forward(batch, Set.of()).actionLoss().item_double();
        assertEquals(expected, fromFiles.forward(batch, Set.of()).actionLoss().item_double());
      }
    }
  }

  @Test
  void closingAModelFreesEverythingItHeld() {
    long before = org.bytedeco.javacpp.Pointer.totalCount();
    adapted().close();
    long after = org.bytedeco.javacpp.Pointer.totalCount();
    // Fewer are possible: the collector may find what earlier tests dropped.
    assertTrue(after <= before, before + " handles before, " + after + " after");
  }

  @Test
  void weightsOfTheWrongShapeAreNamed() {
    try (PointerScope scope = new PointerScope()) {
      var wrong = new LinkedHashMap<>(WEIGHTS);
      wrong.put("projector.fc2.bias", org.bytedeco.pytorch.global.torch.zeros(31));
      var e =
          assertThrows(
              IllegalArgumentException.class,
              () -> new OpenVla(CONFIG, Weights.of(wrong), DType.FLOAT32, null, 0));
      assertEquals(
          "weight \"projector.fc2.bias\" must have shape [32], found [31]", e.getMessage());
    }
  }

  @Test
  void unusedWeightsNeedNotBeThere() {
    var used = new LinkedHashMap<>(WEIGHTS);
    used.keySet()
        .removeIf(
            name ->
                name.contains("attn_pool")
                    || name.startsWith("vision_backbone") && name.contains(".blocks.2.")
                    || name.matches("vision_backbone\\.\\w+\\.norm\\..*"));
    assertNotEquals(WEIGHTS.size(), used.size());
    new OpenVla(CONFIG, Weights.of(used), DType.FLOAT32, null, 0).close();
  }

  @Test
  void aClosedModelSaysWhereItWasClosed() {
    OpenVla model = plain();
    model.close();
    model.close();
    var e = assertThrows(IllegalStateException.class, model::trainableParameters);
    assertTrue(e.getMessage().contains("aClosedModelSaysWhereItWasClosed"), e.getMessage());
  }
}
