package org.sightline.vla.teacher;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.vla.checkpoint.SafetensorsWeights;
import org.sightline.vla.model.MlpKind;
import org.sightline.vla.model.TinyModels;
import org.sightline.vla.model.VisionConfig;
import org.sightline.vla.model.VisionEncoder;

/** A tiny teacher and what a Python library makes of some images; {@code fixtures.py} says how. */
record ParityFixture(Path folder) {
  private static final String INPUT = "input.";

  /** Every pair {@code input.X}, {@code features.X} against the encoder. */
  void check(double tolerance) throws IOException {
    try (PointerScope scope = new PointerScope();
        SafetensorsWeights files = TeacherFolder.open(folder);
        Safetensors expected = Safetensors.open(folder.resolve("expected.safetensors"))) {
      TeacherWeights weights = TeacherWeights.of(files, model(files));
      TeacherConfig config = weights.config();
      List<String> inputs = expected.names().stream().filter(n -> n.startsWith(INPUT)).toList();
      assertFalse(inputs.isEmpty(), folder + " holds no inputs");
      try (var encoder =
          new VisionEncoder(
              config.vision(), weights, config.finalNorm(), Device.CPU, DType.FLOAT32)) {
        for (String name : inputs) {
          Tensor features = expected.tensor(name.replace(INPUT, "features."));
          Tensor found = encoder.forward(encoderInput(expected.tensor(name), config, files));
          assertArrayEquals(features.shape(), found.shape(), name);
          double error =
              TinyModels.relativeError(TinyModels.doubles(found), TinyModels.doubles(features));
          assertTrue(error < tolerance, folder.getFileName() + " " + name + ": error " + error);
        }
      }
    }
  }

  /** Images of C-RADIO are in [0,1] and go through its conditioner, those of others are ready. */
  private static Tensor encoderInput(Tensor image, TeacherConfig config, SafetensorsWeights files) {
    if (files.files().names().stream().noneMatch(name -> name.contains("input_conditioner"))) {
      return image;
    }
    var mean = new float[3];
    var std = new float[3];
    for (int c = 0; c < 3; c++) {
      mean[c] = config.mean().get(c).floatValue();
      std[c] = config.std().get(c).floatValue();
    }
    return image.sub(Tensor.create(mean, 3, 1, 1)).div(Tensor.create(std, 3, 1, 1));
  }

  private TeacherModel model(SafetensorsWeights files) throws IOException {
    Path config = folder.resolve(TeacherFolder.CONFIG);
    if (Files.exists(config)) {
      return Architectures.of(JsonFields.read(config), files);
    }
    JsonFields shape = JsonFields.read(folder.resolve("fixture.json"));
    int image = shape.integer("image_size");
    int patch = shape.integer("patch_size");
    int width = shape.integer("width");
    int depth = shape.integer("depth");
    int heads = shape.integer("heads");
    int hidden = shape.integer("mlp_width");
    String family = shape.text("family");
    return switch (family) {
      case "dinov2" -> {
        int registers = shape.integer("registers", 0);
        VisionConfig v = DinoV2.vision(image, patch, width, depth, heads, hidden, registers);
        yield DinoV2.model(family, shape.bool("swiglu", false) ? v.withMlp(MlpKind.SWIGLU) : v);
      }
      case "siglip" ->
          SigLip.model(family, SigLip.vision(image, patch, width, depth, heads, hidden, 1e-6));
      case "theia" -> Theia.model(family, Theia.vision(image, patch, width, depth, heads, hidden));
      case "c-radio" -> {
        boolean layerScale = shape.bool("layer_scale", true);
        var v =
            VisionConfig.vit(image, patch, width, depth, heads, hidden).withLayerScale(layerScale);
        yield CRadioV3.model(family, v, shape.bool("aligned", false), files);
      }
      default -> throw new IllegalArgumentException(folder + ": unknown family " + family);
    };
  }
}
