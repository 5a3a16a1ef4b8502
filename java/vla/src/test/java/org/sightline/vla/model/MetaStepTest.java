package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.DeviceOptional;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.AdamW;
import org.sightline.AlignmentLoss;
import org.sightline.AlignmentProjector;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.LoraConfig;
import org.sightline.ProjectorConfig;
import org.sightline.Sightline;
import org.sightline.train.PolicyOutput;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.teacher.TeacherConfig;
import org.sightline.vla.teacher.VisionTeacher;

/**
 * A whole training step on libtorch's device without memory: whatever of it stayed on the CPU fails
 * there as it would on a GPU.
 */
class MetaStepTest {
  @BeforeAll
  static void load() {
    Sightline.load();
  }

  private static Tensor meta(long... shape) {
    DeviceOptional device = new DeviceOptional(new org.bytedeco.pytorch.Device("meta"));
    return torch.empty(
        shape, new TensorOptions(ScalarType.BFloat16).device(device), new MemoryFormatOptional());
  }

  @ParameterizedTest
  @CsvSource({
    "nano,FLOAT32,false",
    "nano,BFLOAT16,true",
    "mid,BFLOAT16,false",
    "openvla-7b,BFLOAT16,false",
    "openvla-7b,BFLOAT16,true"
  })
  void everyGradientIsThere(String preset, DType dtype, boolean checkpointing) {
    OpenVlaConfig config = OpenVlaConfig.ofPreset(preset);
    try (PointerScope scope = new PointerScope();
        OpenVla model =
            OpenVla.of(
                config,
                spec -> meta(spec.sizes()),
                Device.META,
                dtype,
                LoraPlan.all(LoraConfig.of(4, 4)),
                1);
        AlignmentProjector projector =
            new AlignmentProjector(
                new ProjectorConfig(config.text().hiddenSize(), 64, 32, true, 0, dtype, 1),
                Device.META);
        AlignmentLoss alignment = new AlignmentLoss(projector);
        VlaBatch batch = TinyModels.batch(config, 2, 20, 20, 17)) {
      model.setGradientCheckpointing(checkpointing);
      int layer = config.alignedLayer();
      PolicyOutput output = model.forward(batch, Set.of(layer));
      Tensor hidden = output.hiddenStates().get(layer);
      assertTrue(hidden.is_meta());
      Tensor teacher = meta(2, config.imageTokens(), 32);
      Tensor loss =
          alignment
              .forward(hidden, output.firstImageToken(), teacher)
              .loss()
              .add(output.actionLoss());
      loss.backward();
      Map<String, Tensor> trained = model.trainableParameters();
      trained.forEach(
          (name, parameter) -> {
            assertTrue(parameter.is_meta(), name);
            assertTrue(parameter.grad().defined(), name);
            assertArrayEquals(parameter.shape(), parameter.grad().shape(), name);
          });
      try (AdamW optimizer = new AdamW(List.copyOf(trained.values()), AdamW.Config.defaults())) {
        optimizer.stepAsync(1);
      }
      assertEquals(1, loss.numel());
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "c-radio_v3-l",
        "dinov2_vitl14",
        "siglip-so400m-patch14-224",
        "theia-base-patch16-224"
      })
  void aTeacherIsWholeThere(String preset) {
    TeacherConfig config = VisionTeacher.config(preset, 16);
    long side = config.vision().imageSize();
    try (PointerScope scope = new PointerScope();
        var encoder =
            new VisionEncoder(
                config.vision(),
                spec -> meta(spec.sizes()),
                config.finalNorm(),
                Device.META,
                DType.BFLOAT16)) {
      Tensor features = encoder.forward(meta(2, 3, side, side));
      assertTrue(features.is_meta());
      assertEquals(config.vision().width(), features.size(2));
    }
  }
}
