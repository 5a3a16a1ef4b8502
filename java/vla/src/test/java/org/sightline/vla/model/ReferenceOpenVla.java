package org.sightline.vla.model;

import static org.sightline.vla.model.ReferenceMath.add;
import static org.sightline.vla.model.ReferenceMath.attention;
import static org.sightline.vla.model.ReferenceMath.linear;
import static org.sightline.vla.model.ReferenceMath.map;
import static org.sightline.vla.model.ReferenceMath.rmsNorm;
import static org.sightline.vla.model.ReferenceMath.rotate;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.sightline.vla.data.loader.VlaBatch;

/**
 * OpenVLA in fp64 loops: logits at every position, an explicit padding mask, the loss shifted and
 * averaged as Hugging Face does. Nothing is shared with the code under test.
 */
final class ReferenceOpenVla {
  private final OpenVlaConfig config;
  private final Map<String, double[]> p;

  ReferenceOpenVla(OpenVlaConfig config, Map<String, double[]> parameters) {
    this.config = config;
    p = parameters;
  }

  /** Hidden states by batch row, then layer, then position; logits by row and position. */
  record Result(
      List<List<double[][]>> hidden,
      List<double[][]> logits,
      double loss,
      double accuracy,
      double l1) {}

  Result forward(VlaBatch batch) {
    int rows = (int) batch.size();
    int columns = (int) batch.inputIds().size(1);
    long[] ids = TinyModels.longs(batch.inputIds());
    long[] mask = TinyModels.longs(batch.attentionMask());
    long[] labels = TinyModels.longs(batch.labels());
    double[] pixels = TinyModels.doubles(batch.pixelValues());
    var hidden = new ArrayList<List<double[][]>>();
    var logits = new ArrayList<double[][]>();
    double loss = 0;
    int supervised = 0;
    int actions = 0;
    int correct = 0;
    double distance = 0;
    int n = config.imageTokens();
    for (int row = 0; row < rows; row++) {
      int image = pixels.length / rows;
      double[][] visual =
          imageTokens(java.util.Arrays.copyOfRange(pixels, row * image, (row + 1) * image));
      var embeddings = new double[n + columns][];
      var real = new boolean[n + columns];
      var label = new long[n + columns];
      for (int t = 0; t < n + columns; t++) {
        boolean isImage = t >= 1 && t <= n;
        int text = row * columns + (t == 0 ? 0 : t - n);
        embeddings[t] = isImage ? visual[t - 1] : embed(ids[text]);
        real[t] = isImage || mask[text] == 1;
        label[t] = isImage ? -100 : labels[text];
      }
      List<double[][]> states = decode(embeddings, real);
      double[][] scores =
          linear(states.get(config.text().layers()), p.get("language_model.lm_head.weight"), null);
      hidden.add(states);
      logits.add(scores);
      for (int t = 0; t + 1 < n + columns; t++) {
        long target = label[t + 1];
        if (target == -100) {
          continue;
        }
        supervised++;
        loss += logSumExp(scores[t]) - scores[t][(int) target];
        if (target >= config.actionTokenBegin()) {
          int predicted = argMax(scores[t]);
          actions++;
          correct += predicted == target ? 1 : 0;
          distance += Math.abs(centre(predicted) - centre(target));
        }
      }
    }
    return new Result(
        hidden, logits, loss / supervised, (double) correct / actions, distance / actions);
  }

  private double[][] imageTokens(double[] pixels) {
    int half = pixels.length / 2;
    VisionConfig d = config.dino();
    VisionConfig s = config.sigLip();
    double[][] dino =
        ReferenceVision.forward(
            p,
            "vision_backbone.featurizer.",
            d,
            d.depth() - 1,
            false,
            java.util.Arrays.copyOf(pixels, half));
    double[][] sigLip =
        ReferenceVision.forward(
            p,
            "vision_backbone.fused_featurizer.",
            s,
            s.depth() - 1,
            false,
            java.util.Arrays.copyOfRange(pixels, half, pixels.length));
    var joined = new double[dino.length][d.width() + s.width()];
    for (int i = 0; i < dino.length; i++) {
      System.arraycopy(dino[i], 0, joined[i], 0, d.width());
      System.arraycopy(sigLip[i], 0, joined[i], d.width(), s.width());
    }
    double[][] x = linear(joined, p.get("projector.fc1.weight"), p.get("projector.fc1.bias"));
    x = map(x, ReferenceMath::gelu);
    x = linear(x, p.get("projector.fc2.weight"), p.get("projector.fc2.bias"));
    x = map(x, ReferenceMath::gelu);
    return linear(x, p.get("projector.fc3.weight"), p.get("projector.fc3.bias"));
  }

  private double[] embed(long id) {
    int d = config.text().hiddenSize();
    int from = (int) id * d;
    return java.util.Arrays.copyOfRange(
        p.get("language_model.model.embed_tokens.weight"), from, from + d);
  }

  private List<double[][]> decode(double[][] embeddings, boolean[] real) {
    LlamaConfig text = config.text();
    var states = new ArrayList<double[][]>();
    double[][] x = embeddings;
    for (int i = 0; i < text.layers(); i++) {
      states.add(x);
      String layer = "language_model.model.layers." + i + ".";
      double[][] h = rmsNorm(x, p.get(layer + "input_layernorm.weight"), text.rmsNormEps());
      String attn = layer + "self_attn.";
      double[][] q = linear(h, p.get(attn + "q_proj.weight"), null);
      double[][] k = linear(h, p.get(attn + "k_proj.weight"), null);
      double[][] v = linear(h, p.get(attn + "v_proj.weight"), null);
      double[][] joined =
          attention(
              rotate(q, text.heads(), text.ropeTheta()),
              rotate(k, text.heads(), text.ropeTheta()),
              v,
              text.heads(),
              (query, key) -> key <= query && (real[key] || key == query));
      x = add(x, linear(joined, p.get(attn + "o_proj.weight"), null), null);
      h = rmsNorm(x, p.get(layer + "post_attention_layernorm.weight"), text.rmsNormEps());
      double[][] gate =
          map(linear(h, p.get(layer + "mlp.gate_proj.weight"), null), ReferenceMath::silu);
      double[][] up = linear(h, p.get(layer + "mlp.up_proj.weight"), null);
      for (int t = 0; t < gate.length; t++) {
        for (int c = 0; c < gate[t].length; c++) {
          gate[t][c] *= up[t][c];
        }
      }
      x = add(x, linear(gate, p.get(layer + "mlp.down_proj.weight"), null), null);
    }
    states.add(rmsNorm(x, p.get("language_model.model.norm.weight"), text.rmsNormEps()));
    return states;
  }

  /** Edges linspace(−1,1,bins); centre of the bin an id stands for, ends for foreign ids. */
  private double centre(long id) {
    int bins = config.actionBins();
    long bin = Math.max(0, Math.min(bins - 2, config.actionTokenEnd() - id - 1));
    double left = -1 + 2.0 * bin / (bins - 1);
    double right = -1 + 2.0 * (bin + 1) / (bins - 1);
    return (left + right) / 2;
  }

  private static double logSumExp(double[] x) {
    double max = java.util.Arrays.stream(x).max().orElseThrow();
    return max + Math.log(java.util.Arrays.stream(x).map(v -> Math.exp(v - max)).sum());
  }

  private static int argMax(double[] x) {
    int best = 0;
    for (int i = 1; i < x.length; i++) {
      best = x[i] > x[best] ? i : best;
    }
    return best;
  }
}
