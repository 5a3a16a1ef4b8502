package org.sightline.vla.teacher;

import com.google.gson.JsonObject;
import java.util.List;
import java.util.stream.Stream;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.vla.checkpoint.SafetensorsWeights;
import org.sightline.vla.model.PositionResampling;
import org.sightline.vla.model.VisionConfig;
import org.sightline.vla.teacher.TeacherModel.Variant;

/**
 * C-RADIOv3 (NVlabs/RADIO), the paper's default teacher:
 *
 * <pre>
 * x = (image − mean) / std               image in [0,1]; the constants are tensors of the file
 * x = patches(x) Wᵀ                      16×16 pixels, no bias
 * x = x + CPE                            128×128 positions, resampled to the image's grid
 * x = [summary tokens, registers, x]     one parameter, without positions
 * x = blocks(x)                          no final norm
 * features = x[:, prefix:]               the summary is dropped
 * </pre>
 *
 * <p>ViT-B and L have LayerScale, H and g have not. Corners of the position grid are not aligned
 * when it is resampled, as in torch.hub's code and so in the paper; presets whose name ends in
 * {@value #ALIGNED} align them, as the code in some of the Hugging Face repositories does.
 */
final class CRadioV3 implements Architecture {
  static final String ALIGNED = "-align-corners";

  private static final int PATCH = 16;

  /** The widest grid: 2048 pixels. */
  private static final int POSITION_GRID = 128;

  /** Four summary tokens and four registers, where the files do not tell. */
  private static final int PREFIX_TOKENS = 8;

  /** CLIP's constants; those in the file take their place. */
  private static final List<Double> MEAN = List.of(0.48145466, 0.4578275, 0.40821073);

  private static final List<Double> STD = List.of(0.26862954, 0.26130258, 0.27577711);

  /** timm's transformer inside: preset, name in config.json's {@code args.model}, shape. */
  private record Base(
      String preset, String timm, int width, int depth, int heads, boolean layerScale) {}

  private static final List<Base> BASES =
      List.of(
          new Base("c-radio_v3-b", "vit_base_patch16_v2_224", 768, 12, 12, true),
          new Base("c-radio_v3-l", "vit_large_patch16_v2_224", 1024, 24, 16, true),
          new Base("c-radio_v3-h", "vit_huge_patch16_224", 1280, 32, 16, false),
          new Base("c-radio_v3-g", "vit_giant_patch16_224", 1536, 40, 24, false));

  private static final TensorLayout HUGGING_FACE =
      layout("Hugging Face's RADIOModel", "radio_model.", "radio_model.model.");

  private static final TensorLayout HUB = layout("RADIO's own checkpoint", "", "base_model.");

  private static TensorLayout layout(String name, String outer, String model) {
    return TensorLayout.of(
        name,
        """
        input_conditioner.norm_mean OUTERinput_conditioner.norm_mean
        input_conditioner.norm_std  OUTERinput_conditioner.norm_std
        reg_token                   MODELpatch_generator.cls_token.token matrix
        pos_embed                   MODELpatch_generator.pos_embed
        patch_embed.proj            MODELpatch_generator.embedder matrix
        blocks.*.norm1              MODELblocks.*.norm1
        blocks.*.attn.qkv           MODELblocks.*.attn.qkv
        blocks.*.attn.proj          MODELblocks.*.attn.proj
        blocks.*.ls1.scale_factor   MODELblocks.*.ls1.grandma | MODELblocks.*.ls1.gamma
        blocks.*.norm2              MODELblocks.*.norm2
        blocks.*.mlp.fc1            MODELblocks.*.mlp.fc1
        blocks.*.mlp.fc2            MODELblocks.*.mlp.fc2
        blocks.*.ls2.scale_factor   MODELblocks.*.ls2.grandma | MODELblocks.*.ls2.gamma
        """
            .replace("OUTER", outer)
            .replace("MODEL", model),
        // timm's own registers, which the patch generator's replace; adaptors to single teachers.
        model + "reg_token",
        outer + "summary_idxs",
        outer + "adaptors.",
        "_heads.",
        "_feature_projections.");
  }

  @Override
  public String family() {
    return "C-RADIOv3 (args.cpe_max_size)";
  }

  @Override
  public List<String> presets() {
    return BASES.stream()
        .flatMap(base -> Stream.of(base.preset(), base.preset() + ALIGNED))
        .toList();
  }

  @Override
  public TeacherModel preset(String name, SafetensorsWeights files) {
    boolean aligned = name.endsWith(ALIGNED);
    String plain = aligned ? name.substring(0, name.length() - ALIGNED.length()) : name;
    Base base = BASES.stream().filter(b -> b.preset().equals(plain)).findFirst().orElseThrow();
    return model(name, base, POSITION_GRID, aligned, files);
  }

  @Override
  public boolean describes(JsonFields config) throws FormatException {
    return config.json().get("args") instanceof JsonObject args && args.has("cpe_max_size");
  }

  @Override
  public TeacherModel of(JsonFields config, SafetensorsWeights files) throws FormatException {
    JsonFields args = config.object("args");
    config.require("patch_size", config.integer("patch_size", PATCH), PATCH);
    requireNull(config, "vitdet_window_size");
    requireNull(config, "feature_normalizer_config");
    String timm = args.text("model");
    Base base = BASES.stream().filter(b -> b.timm().equals(timm)).findFirst().orElse(null);
    if (base == null) {
      throw args.wrong("model", "one of " + BASES.stream().map(Base::timm).toList());
    }
    int grid = args.integer("cpe_max_size") / PATCH;
    return model(config.text("version", base.preset()), base, grid, false, files);
  }

  /** Windowed attention and normalised features are things v3 has not, and neither have we. */
  private static void requireNull(JsonFields config, String key) throws FormatException {
    if (config.has(key)) {
      throw config.wrong(key, "null");
    }
  }

  private static TeacherModel model(
      String name, Base base, int grid, boolean aligned, SafetensorsWeights files) {
    int width = base.width();
    return model(
        name,
        VisionConfig.vit(grid * PATCH, PATCH, width, base.depth(), base.heads(), 4 * width)
            .withLayerScale(base.layerScale()),
        aligned,
        files);
  }

  /** Of any shape; {@code vision} lacks what all C-RADIO have in common. */
  static TeacherModel model(
      String name, VisionConfig vision, boolean aligned, SafetensorsWeights files) {
    return new TeacherModel(
        name,
        Stream.of(HUGGING_FACE, HUB)
            .map(layout -> variant(name, layout, vision, aligned, files))
            .toList());
  }

  private static Variant variant(
      String name,
      TensorLayout layout,
      VisionConfig vision,
      boolean aligned,
      SafetensorsWeights files) {
    VisionConfig complete =
        vision
            .withPatchBias(false)
            .withPositions(
                vision.grid(),
                aligned ? PositionResampling.CROPPED_ALIGNED_CORNERS : PositionResampling.CROPPED)
            .withRegisterTokens(PREFIX_TOKENS);
    return new Variant(layout, new TeacherConfig(complete, false, MEAN, STD, name), true)
        .withRegistersOf(files);
  }
}
