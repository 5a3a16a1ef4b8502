package org.sightline.vla.teacher;

import static org.bytedeco.pytorch.global.torch.interpolate;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.bytedeco.pytorch.InterpolateFuncOptions;
import org.bytedeco.pytorch.InterpolateMode;
import org.bytedeco.pytorch.LongVector;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.bytedeco.pytorch.kBilinear;
import org.sightline.Checks;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.binding.Lifetime;
import org.sightline.binding.Scopes;
import org.sightline.formats.json.JsonFields;
import org.sightline.train.Teacher;
import org.sightline.vla.checkpoint.SafetensorsWeights;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.model.VisionEncoder;

/**
 * A frozen vision transformer that looks at the policy's own images.
 *
 * <p>Its input is made from the policy's pixels, {@link TeacherInput}.
 *
 * <p>A published teacher is used at the size where its patch grid is the student's. One of a fixed
 * size may have another grid; then its features are resampled as an image of Z channels: bilinear
 * with antialias, which interpolates between patches when the student has more and averages over
 * them when it has fewer.
 */
public final class VisionTeacher implements Teacher<VlaBatch> {
  private final TeacherConfig config;
  private final VisionEncoder encoder;
  private final int studentGrid;
  private final TeacherInput input;
  private final Lifetime lifetime = new Lifetime("VisionTeacher");

  private VisionTeacher(
      TeacherConfig config, VisionEncoder encoder, int studentGrid, Device device) {
    this.config = config;
    this.encoder = encoder;
    this.studentGrid = studentGrid;
    input = new TeacherInput(config, device);
  }

  /**
   * Reads a teacher that says itself what it is: a folder with its {@code config.json}, or a file
   * as {@link TeacherFile} describes.
   *
   * @see #open(Path, String, int, Device, DType)
   */
  public static VisionTeacher open(Path path, int studentGrid, DType dtype) throws IOException {
    return open(path, null, studentGrid, Device.CPU, dtype);
  }

  /**
   * Reads a teacher.
   *
   * <p>A published teacher sees the image at the size at which it has as many patches as the
   * student: {@code studentGrid} times its patch size, 256 pixels for C-RADIO and Theia and 224 for
   * DINOv2 and SigLIP beside OpenVLA's 16×16 patches, as in the paper. Its position embedding is
   * resampled to that size in the way of its own.
   *
   * @param path a folder as Hugging Face publishes it ({@code config.json} and safetensors, in
   *     shards or not) or a safetensors file
   * @param preset one of {@link #presets()}; null where {@code path} says itself what it is
   * @param studentGrid patches along one side of the policy's image
   * @param device where it computes; it takes its images from anywhere
   * @param dtype element type of weights, activations and features
   * @throws IOException if a file cannot be read or is not a teacher's, naming what is wrong:
   *     tensors that are missing, unexpected or of another shape, a setting that is not supported
   * @throws IllegalArgumentException if the preset is not known, or a bare file needs one
   */
  public static VisionTeacher open(
      Path path, String preset, int studentGrid, Device device, DType dtype) throws IOException {
    Checks.atLeast("studentGrid", studentGrid, 1);
    try (SafetensorsWeights files = TeacherFolder.open(path)) {
      return open(files, model(path, preset, files), studentGrid, device, dtype);
    }
  }

  static VisionTeacher open(
      SafetensorsWeights files, TeacherModel model, int studentGrid, Device device, DType dtype)
      throws IOException {
    TeacherWeights weights = TeacherWeights.of(files, model);
    TeacherConfig config = weights.config().forGrid(studentGrid);
    var encoder = new VisionEncoder(config.vision(), weights, config.finalNorm(), device, dtype);
    return new VisionTeacher(config, encoder, studentGrid, device);
  }

  private static TeacherModel model(Path path, String preset, SafetensorsWeights files)
      throws IOException {
    if (preset != null) {
      return Architectures.preset(preset, files);
    }
    if (Files.isDirectory(path)) {
      Path config = path.resolve(TeacherFolder.CONFIG);
      return Architectures.of(JsonFields.read(config), files);
    }
    return TeacherFile.model(files);
  }

  /** Names of the published teachers, for weights without a {@code config.json}. */
  public static List<String> presets() {
    return Architectures.presets();
  }

  /**
   * Shape and normalisation that a published teacher would have beside a student; nothing is read.
   *
   * @param preset one of {@link #presets()}
   * @param studentGrid patches along one side of the policy's image
   * @throws IllegalArgumentException if the preset is not known
   */
  public static TeacherConfig config(String preset, int studentGrid) {
    return Architectures.preset(preset, null).variants().get(0).config().forGrid(studentGrid);
  }

  /** Shape, normalisation and provenance. */
  public TeacherConfig config() {
    return config;
  }

  @Override
  public long width() {
    return config.vision().width();
  }

  @Override
  public Tensor features(VlaBatch batch) {
    lifetime.check();
    return Scopes.withoutGradient(
        () -> Scopes.scoped(() -> toStudentGrid(encoder.forward(input.of(batch.pixelValues())))));
  }

  /** Features [B,n·n,Z] on the student's grid, for features [B,m·m,Z] on the teacher's. */
  private Tensor toStudentGrid(Tensor features) {
    long grid = config.vision().grid();
    if (grid == studentGrid) {
      return features;
    }
    long batch = features.size(0);
    Tensor image = features.transpose(1, 2).reshape(batch, width(), grid, grid);
    var options = new InterpolateFuncOptions();
    options.size().put(new LongVector(studentGrid, studentGrid));
    options.mode().put(new InterpolateMode(new kBilinear()));
    options.align_corners().put(false);
    options.antialias().put(true);
    // fp32: the CPU kernel has no bf16, and averages are better taken in it anyway.
    Tensor resampled = interpolate(image.to(ScalarType.Float), options).to(features.scalar_type());
    return resampled.flatten(2, 3).transpose(1, 2).contiguous();
  }

  @Override
  public void close() {
    lifetime.close(
        () -> {
          encoder.close();
          input.close();
        });
  }
}
