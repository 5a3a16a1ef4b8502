package org.sightline.vla.model;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;
import org.sightline.Seeds;
import org.sightline.binding.Scopes;
import org.sightline.formats.peft.LoraPair;
import org.sightline.vla.data.loader.VlaBatch;

/**
 * A model small enough for fp64 loops, with weights that leave no term of the formulas at 0 or 1.
 */
public final class TinyModels {
  public static final LoraConfig LORA = new LoraConfig(3, 6, 0, false, LoraInit.GAUSSIAN);

  private TinyModels() {}

  public static OpenVlaConfig config() {
    return new OpenVlaConfig(
        "tiny",
        VisionConfig.vit(15, 5, 24, 3, 3, 40)
            .with()
            .classTokens(1)
            .registerTokens(2)
            .layerScale(true)
            .build(),
        VisionConfig.vit(15, 5, 16, 3, 2, 36).withAttentionPool(true),
        48,
        new LlamaConfig(32, 44, 3, 4, 64, 64, 1e-6, 10000),
        8,
        16,
        1,
        2);
  }

  /** A model with another vocabulary, whose last {@code padding} rows are unused, and another ε. */
  public static OpenVlaConfig with(OpenVlaConfig c, int vocabulary, int padding, double eps) {
    LlamaConfig t = c.text();
    var text =
        new LlamaConfig(
            t.hiddenSize(),
            t.intermediateSize(),
            t.layers(),
            t.heads(),
            vocabulary,
            t.maxPositions(),
            eps,
            t.ropeTheta());
    return new OpenVlaConfig(
        c.preset(),
        c.dino(),
        c.sigLip(),
        c.projectorWidth(),
        text,
        padding,
        c.actionBins(),
        c.bosToken(),
        c.alignedLayer());
  }

  /** All parameters of the specification, by name. */
  public static Map<String, Tensor> weights(OpenVlaConfig config, long seed) {
    var tensors = new LinkedHashMap<String, Tensor>();
    for (ParameterSpec spec : ModelSpec.of(config).parameters()) {
      tensors.put(spec.name(), Scopes.own(weight(spec, seed)));
    }
    return tensors;
  }

  /** N(0, 1/K) for matrices; norms and LayerScale around 1, biases around 0. */
  public static Tensor weight(ParameterSpec spec, long seed) {
    var random = new Random(Seeds.of(seed, spec.name()));
    var values = new float[(int) spec.elements()];
    boolean factor = spec.name().matches(".*(norm[12]?\\.weight|layernorm\\.weight|scale_factor)");
    long inputs = spec.shape().size() == 1 ? 16 : spec.elements() / spec.shape().get(0);
    boolean table = spec.name().matches(".*(embed_tokens.weight|_token|pos_embed|latent)");
    double deviation = table ? 0.7 : 1 / Math.sqrt(inputs);
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) ((factor ? 1 : 0) + deviation * random.nextGaussian());
    }
    return torch.tensor(values).view(spec.sizes());
  }

  public static Map<String, double[]> doubles(Map<String, Tensor> tensors) {
    var values = new LinkedHashMap<String, double[]>();
    tensors.forEach((name, tensor) -> values.put(name, doubles(tensor)));
    return values;
  }

  /** Base parameters with s·BA added, as PEFT merges. */
  public static Map<String, double[]> merged(
      Map<String, Tensor> base, Map<String, LoraPair> adapters, double scale) {
    Map<String, double[]> merged = doubles(base);
    adapters.forEach(
        (module, pair) -> {
          double[] a = doubles(pair.a());
          double[] b = doubles(pair.b());
          int rank = (int) pair.a().size(0);
          int in = a.length / rank;
          double[] weight = merged.get(module + ".weight");
          for (int o = 0; o < b.length / rank; o++) {
            for (int k = 0; k < in; k++) {
              for (int r = 0; r < rank; r++) {
                weight[o * in + k] += scale * b[o * rank + r] * a[r * in + k];
              }
            }
          }
        });
    return merged;
  }

  /**
   * A batch whose row i has {@code lengths[i]} tokens: BOS, text, three action ids, EOS 2; padded
   * on the right to {@code columns} with the padding id.
   */
  public static VlaBatch batch(OpenVlaConfig config, long seed, int columns, int... lengths) {
    var random = new Random(seed);
    int rows = lengths.length;
    int side = config.dino().imageSize();
    var pixels = new float[rows * 6 * side * side];
    var ids = new long[rows * columns];
    var mask = new long[rows * columns];
    var labels = new long[rows * columns];
    Arrays.fill(labels, -100);
    Arrays.fill(ids, config.actionTokenEnd());
    for (int row = 0; row < rows; row++) {
      for (int i = 0; i < 6 * side * side; i++) {
        pixels[row * 6 * side * side + i] = (float) random.nextGaussian();
      }
      for (int t = 0; t < lengths[row]; t++) {
        int at = row * columns + t;
        int fromEnd = lengths[row] - 1 - t;
        mask[at] = 1;
        if (t == 0) {
          ids[at] = config.bosToken();
        } else if (fromEnd == 0) {
          ids[at] = 2;
        } else if (fromEnd <= 3) {
          ids[at] = config.actionTokenBegin() + random.nextInt(config.actionBins());
        } else {
          ids[at] = 3 + random.nextInt(config.actionTokenBegin() - 3);
        }
        if (fromEnd <= 3 && t > 0) {
          labels[at] = ids[at];
        }
      }
    }
    return new VlaBatch(
        Tensor.create(pixels, rows, 6, side, side),
        Tensor.create(ids, rows, columns),
        Tensor.create(mask, rows, columns),
        Tensor.create(labels, rows, columns),
        torch.zeros(rows, 7));
  }

  /** Fills every B with N(0, 1/r), so that the adapters count. */
  public static void shakeAdapters(OpenVla model, long seed) {
    model
        .trainableParameters()
        .forEach(
            (name, tensor) -> {
              if (name.endsWith("lora_B.weight")) {
                var random = new Random(Seeds.of(seed, name));
                var values = new float[(int) tensor.numel()];
                for (int i = 0; i < values.length; i++) {
                  values[i] = (float) (0.3 * random.nextGaussian());
                }
                Scopes.withoutGradient(
                    () -> tensor.copy_(torch.tensor(values).view(tensor.shape())));
              }
            });
  }

  public static double[] doubles(Tensor tensor) {
    Tensor copy = tensor.detach().to(ScalarType.Double).contiguous();
    var values = new double[(int) copy.numel()];
    if (values.length > 0) {
      copy.data_ptr_double().get(values);
    }
    return values;
  }

  public static long[] longs(Tensor tensor) {
    Tensor copy = tensor.contiguous();
    var values = new long[(int) copy.numel()];
    new LongPointer(copy.data_ptr_long()).get(values);
    return values;
  }

  /** ‖a − b‖ / ‖b‖. */
  public static double relativeError(double[] found, double[] expected) {
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < expected.length; i++) {
      difference += (found[i] - expected[i]) * (found[i] - expected[i]);
      norm += expected[i] * expected[i];
    }
    return Math.sqrt(difference / norm);
  }
}
