package org.sightline.vla.teacher;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.DType;
import org.sightline.formats.FormatException;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.model.ParameterSpec;
import org.sightline.vla.model.ReferenceVision;
import org.sightline.vla.model.TinyModels;
import org.sightline.vla.model.VisionConfig;
import org.sightline.vla.model.VisionEncoder;

/** The teacher against fp64 loops, and its file's errors. */
class VisionTeacherTest {
  private static final List<Double> MEAN = List.of(0.5, 0.4, 0.3);
  private static final List<Double> STD = List.of(0.2, 0.25, 0.3);

  private static final String DO_NOT_FIT =
      ": tensors: do not fit the teacher in its metadata as Sightline names them\n  ";

  @TempDir private Path folder;

  private static TeacherConfig config(int registers, boolean layerScale, boolean finalNorm) {
    var vision =
        VisionConfig.vit(12, 3, 24, 2, 3, 40)
            .with()
            .classTokens(1)
            .registerTokens(registers)
            .classPosition(true)
            .layerScale(layerScale)
            .build();
    return new TeacherConfig(vision, finalNorm, MEAN, STD, "test");
  }

  /** A file of uneven weights, LayerScale under the given name. */
  private Path write(TeacherConfig config, String scaleName) throws Exception {
    Path file = folder.resolve("teacher.safetensors");
    TeacherFile.writeRandom(file, config, 1);
    Map<String, String> metadata;
    try (var original = Safetensors.open(file)) {
      metadata = original.metadata();
    }
    var tensors = new LinkedHashMap<String, Tensor>();
    for (ParameterSpec spec : VisionEncoder.parameters(config.vision(), config.finalNorm())) {
      tensors.put(spec.name().replace("scale_factor", scaleName), TinyModels.weight(spec, 2));
    }
    Safetensors.write(file, tensors, metadata);
    return file;
  }

  @ParameterizedTest
  @CsvSource({
    "0, true, true, gamma",
    "2, true, false, scale_factor",
    "3, false, true, gamma",
    "0, false, false, gamma"
  })
  void featuresEqualTheFormulas(
      int registers, boolean layerScale, boolean finalNorm, String scaleName) throws Exception {
    TeacherConfig config = config(registers, layerScale, finalNorm);
    try (PointerScope scope = new PointerScope();
        var teacher = VisionTeacher.open(write(config, scaleName), 4, DType.FLOAT32)) {
      var parameters = new LinkedHashMap<String, double[]>();
      for (ParameterSpec spec : VisionEncoder.parameters(config.vision(), finalNorm)) {
        parameters.put(spec.name(), TinyModels.doubles(TinyModels.weight(spec, 2)));
      }
      VlaBatch batch = TeacherOracle.batch(3, 12, 1);
      Tensor features = teacher.features(batch);
      assertArrayEquals(new long[] {3, 16, 24}, features.shape());
      assertFalse(features.requires_grad());
      for (int row = 0; row < 3; row++) {
        double[] pixels = TinyModels.doubles(batch.pixelValues().select(0, row).narrow(0, 0, 3));
        double[][] expected =
            ReferenceVision.forward(
                parameters, "", config.vision(), 2, finalNorm, renormalised(pixels));
        double error =
            TinyModels.relativeError(
                TinyModels.doubles(features.select(0, row)),
                java.util.Arrays.stream(expected)
                    .flatMapToDouble(java.util.Arrays::stream)
                    .toArray());
        assertTrue(error < 1e-5, "row " + row + ": error " + error);
      }
    }
  }

  /** Back to [0,1] with the processor's constants, then on with the teacher's. */
  private static double[] renormalised(double[] pixels) {
    double[] mean = {0.484375, 0.455078125, 0.40625};
    double[] std = {0.228515625, 0.2236328125, 0.224609375};
    var result = new double[pixels.length];
    for (int i = 0; i < pixels.length; i++) {
      int c = i / (pixels.length / 3);
      result[i] = (pixels[i] * std[c] + mean[c] - MEAN.get(c)) / STD.get(c);
    }
    return result;
  }

  /** Neither in a step's scope nor without one does anything but the result stay. */
  @ParameterizedTest
  @EnumSource(DType.class)
  void featuresLeaveNoTensorBehind(DType dtype) throws Exception {
    try (PointerScope outer = new PointerScope()) {
      VlaBatch batch = TeacherOracle.batch(2, 10, 3);
      // Another grid than the student's, so that every path is taken.
      try (var teacher = VisionTeacher.open(write(config(1, true, true), "gamma"), 3, dtype)) {
        for (int i = 0; i < 2; i++) {
          long before = Pointer.totalCount();
          for (int step = 0; step < 20; step++) {
            try (PointerScope scope = new PointerScope()) {
              assertFalse(teacher.features(batch).requires_grad());
            }
          }
          // Fewer are possible: the collector may find what earlier tests dropped.
          assertTrue(Pointer.totalCount() <= before);
          Tensor kept = teacher.features(batch);
          assertTrue(Pointer.totalCount() <= before + 1);
          outer.detach(kept);
          kept.deallocate();
          assertTrue(Pointer.totalCount() <= before);
        }
      }
    }
  }

  @Test
  void onlyTheFirstThreeChannelsAreSeen() throws Exception {
    try (PointerScope scope = new PointerScope();
        var teacher = VisionTeacher.open(write(config(0, true, true), "gamma"), 4, DType.FLOAT32)) {
      VlaBatch batch = TeacherOracle.batch(1, 12, 3);
      Tensor before = teacher.features(batch);
      batch.pixelValues().narrow(1, 3, 3).zero_();
      assertTrue(before.equal(teacher.features(batch)));
      batch.pixelValues().select(1, 2).zero_();
      assertFalse(before.equal(teacher.features(batch)));
    }
  }

  /** Half the grid: each student patch gets a tent-weighted average of the 4×4 around it. */
  @Test
  void aCoarserStudentGetsAverages() throws Exception {
    try (PointerScope scope = new PointerScope()) {
      Path file = write(config(0, true, true), "gamma");
      VlaBatch batch = TeacherOracle.batch(2, 12, 4);
      try (var same = VisionTeacher.open(file, 4, DType.FLOAT32);
          var coarse = VisionTeacher.open(file, 2, DType.FLOAT32)) {
        double[] fine = TinyModels.doubles(same.features(batch));
        double[] found = TinyModels.doubles(coarse.features(batch));
        assertEquals(2 * 4 * 24, found.length);
        // Support 2, weights 1 − |distance|/2 at distances ½ and 1½, what falls outside left out.
        double[][] weights = {{3 / 7.0, 3 / 7.0, 1 / 7.0, 0}, {0, 1 / 7.0, 3 / 7.0, 3 / 7.0}};
        var expected = new double[found.length];
        for (int i = 0; i < found.length; i++) {
          int row = i / 96;
          int y = i / 48 % 2;
          int x = i / 24 % 2;
          for (int v = 0; v < 4; v++) {
            for (int u = 0; u < 4; u++) {
              int patch = row * 16 + v * 4 + u;
              expected[i] += weights[y][v] * weights[x][u] * fine[patch * 24 + i % 24];
            }
          }
        }
        assertTrue(TinyModels.relativeError(found, expected) < 1e-5);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3, 5, 7, 16})
  void anyStudentGridIsMatched(int grid) throws Exception {
    try (PointerScope scope = new PointerScope();
        var teacher =
            VisionTeacher.open(write(config(1, true, true), "gamma"), grid, DType.BFLOAT16)) {
      Tensor features = teacher.features(TeacherOracle.batch(2, 12, 5));
      assertArrayEquals(new long[] {2, (long) grid * grid, 24}, features.shape());
      assertEquals(ScalarType.BFloat16, features.scalar_type().intern());
      assertEquals(24, teacher.width());
    }
  }

  @Test
  void theSameSeedWritesTheSameBytes() throws Exception {
    Path one = folder.resolve("one");
    Path two = folder.resolve("two");
    Path other = folder.resolve("other");
    TeacherFile.writeRandom(one, TeacherConfig.nano("random, seed 7"), 7);
    TeacherFile.writeRandom(two, TeacherConfig.nano("random, seed 7"), 7);
    TeacherFile.writeRandom(other, TeacherConfig.nano("random, seed 7"), 8);
    assertArrayEquals(Files.readAllBytes(one), Files.readAllBytes(two));
    assertFalse(java.util.Arrays.equals(Files.readAllBytes(one), Files.readAllBytes(other)));
    try (var teacher = VisionTeacher.open(one, 6, DType.FLOAT32)) {
      assertEquals(TeacherConfig.nano("random, seed 7"), teacher.config());
      assertEquals(128, teacher.width());
    }
  }

  @Test
  void featuresTellPlacesAndImagesApart() throws Exception {
    Path file = folder.resolve("nano");
    TeacherFile.writeRandom(file, TeacherConfig.nano("random, seed 7"), 7);
    try (PointerScope scope = new PointerScope();
        var teacher = VisionTeacher.open(file, 6, DType.FLOAT32)) {
      Tensor features = teacher.features(TeacherOracle.batch(2, 84, 6));
      Tensor first = features.select(0, 0);
      assertTrue(first.std(new long[] {0}, true, false).mean().item_double() > 0.1);
      assertTrue(first.sub(features.select(0, 1)).abs().mean().item_double() > 0.1);
    }
  }

  @Test
  void aFileWithoutConfigurationIsRefused() throws Exception {
    Path file = folder.resolve("plain.safetensors");
    Safetensors.write(file, Map.of("x", torch.zeros(1)), Map.of("format", "pt"));
    var e =
        assertThrows(
            IllegalArgumentException.class, () -> VisionTeacher.open(file, 4, DType.FLOAT32));
    assertTrue(
        e.getMessage()
            .startsWith(
                file
                    + ": found no configuration of a teacher in __metadata__, keys [format],"
                    + " expected \"sightline.teacher\" or a preset, one of [c-radio_v3-b, "),
        e.getMessage());
  }

  @Test
  void missingForeignAndMisshapenTensorsAreNamed() throws Exception {
    TeacherConfig config = config(0, true, true);
    Path file = write(config, "gamma");
    rewrite(file, tensors -> tensors.remove("blocks.1.attn.proj.bias"));
    refused(file, file + DO_NOT_FIT + "missing (1):\n    blocks.1.attn.proj.bias [24]");

    write(config, "gamma");
    rewrite(file, tensors -> tensors.put("blocks.2.norm1.bias", torch.zeros(24)));
    refused(
        file,
        file + DO_NOT_FIT + "unexpected (1):\n    blocks.2.norm1.bias [24] in teacher.safetensors");

    write(config, "gamma");
    rewrite(file, tensors -> tensors.put("pos_embed", torch.zeros(1, 16, 24)));
    refused(
        file,
        file
            + DO_NOT_FIT
            + "wrong shape (1):\n    pos_embed: found [1, 16, 24], expected [1, 17, 24]");

    write(config, "gamma");
    rewrite(file, tensors -> tensors.put("mask_token", torch.zeros(1, 24)));
    VisionTeacher.open(file, 4, DType.FLOAT32).close();
  }

  private interface Change {
    void to(Map<String, Tensor> tensors);
  }

  private static void rewrite(Path file, Change change) throws Exception {
    try (PointerScope scope = new PointerScope()) {
      var tensors = new LinkedHashMap<String, Tensor>();
      Map<String, String> metadata;
      try (var original = Safetensors.open(file)) {
        metadata = original.metadata();
        for (String name : original.names()) {
          tensors.put(name, original.tensor(name));
        }
      }
      change.to(tensors);
      Safetensors.write(file, tensors, metadata);
    }
  }

  private static void refused(Path file, String message) {
    var e = assertThrows(FormatException.class, () -> VisionTeacher.open(file, 4, DType.FLOAT32));
    assertEquals(message, e.getMessage());
  }

  @Test
  void malformedConfigurationNamesTheKey() throws Exception {
    for (String metadata : List.of("{\"image_size\": 12}", "[]", "{\"image_size\": 12.5}", "no")) {
      Path file = folder.resolve("bad.safetensors");
      Safetensors.write(file, Map.of("x", torch.zeros(1)), Map.of("sightline.teacher", metadata));
      var e = assertThrows(FormatException.class, () -> VisionTeacher.open(file, 4, DType.FLOAT32));
      assertTrue(
          e.getMessage().startsWith(file + ": __metadata__.sightline.teacher"), e.getMessage());
    }
  }

  @Test
  void aClosedTeacherSaysSo() throws Exception {
    var teacher = VisionTeacher.open(write(config(0, true, true), "gamma"), 4, DType.FLOAT32);
    teacher.close();
    teacher.close();
    try (PointerScope scope = new PointerScope()) {
      VlaBatch batch = TeacherOracle.batch(1, 12, 1);
      var e = assertThrows(IllegalStateException.class, () -> teacher.features(batch));
      assertTrue(e.getMessage().contains("aClosedTeacherSaysSo"), e.getMessage());
    }
  }
}
