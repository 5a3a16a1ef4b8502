package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.stream.Stream;
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
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;
import org.sightline.ProjectorConfig;
import org.sightline.Sightline;
import org.sightline.train.FineTuneConfig;
import org.sightline.train.Mode;
import org.sightline.train.Teacher;
import org.sightline.train.TrainingState;
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

  /** The step of a run as it is, with features that are as wide as C-RADIO's. */
  @ParameterizedTest
  @CsvSource({
    "nano, FLOAT32, DEFAULT, MASTER, false, 0",
    "nano, BFLOAT16, ALIGN, REMAINDER, true, 0.1",
    "nano, FLOAT32, FREEZE, MASTER, true, 0",
    "mid, BFLOAT16, ALIGN, MASTER, false, 0",
    "openvla-7b, BFLOAT16, DEFAULT, MASTER, false, 0",
    "openvla-7b, BFLOAT16, FREEZE, REMAINDER, false, 0.1",
    "openvla-7b, BFLOAT16, ALIGN, REMAINDER, true, 0"
  })
  void everyGradientIsThere(
      String preset,
      DType dtype,
      Mode mode,
      AdamW.Precision precision,
      boolean checkpointing,
      double dropout) {
    OpenVlaConfig config = OpenVlaConfig.ofPreset(preset);
    LoraConfig lora = new LoraConfig(4, 4, dropout, false, LoraInit.GAUSSIAN);
    try (PointerScope scope = new PointerScope();
        OpenVla model =
            OpenVla.of(
                config, spec -> meta(spec.sizes()), Device.META, dtype, LoraPlan.all(lora), 1);
        Features teacher = new Features(config.imageTokens());
        TrainingState<VlaBatch> state =
            new TrainingState<>(
                model,
                teacher,
                FineTuneConfig.builder(mode, 1)
                    .alignedLayers(List.of(config.alignedLayer()))
                    .projector(projector(config, dtype, dropout))
                    .gradientAccumulation(2)
                    .optimizer(AdamW.Config.defaults().withPrecision(precision))
                    .build())) {
      model.setGradientCheckpointing(checkpointing);
      state.begin();
      assertTrue(
          state.step(
              Stream.of(2L, 3L)
                  .map(seed -> TinyModels.batch(config, seed, 20, 20, 17))
                  .iterator()));
      for (Tensor parameter : state.trained()) {
        assertTrue(parameter.is_meta());
        assertTrue(parameter.grad().defined() && parameter.grad().is_meta());
        assertArrayEquals(parameter.shape(), parameter.grad().shape());
      }
      long vision =
          model.trainableParameters().keySet().stream().filter(model::isVisionParameter).count();
      long projectors =
          mode == Mode.ALIGN
              ? state.projectors().get(config.alignedLayer()).parameters().size()
              : 0;
      long all = model.trainableParameters().size() + projectors;
      assertEquals(mode == Mode.FREEZE ? all - vision : all, state.trained().size());
    }
  }

  private static ProjectorConfig projector(OpenVlaConfig config, DType dtype, double dropout) {
    return ProjectorConfig.of(config.text().hiddenSize(), 2048, 1024)
        .withTrainable(true)
        .withDropout(dropout)
        .withCompute(dtype);
  }

  private record Features(long tokens) implements Teacher<VlaBatch> {
    @Override
    public Tensor features(VlaBatch batch) {
      return meta(batch.size(), tokens, width());
    }

    @Override
    public long width() {
      return 1024;
    }

    @Override
    public void close() {}
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
