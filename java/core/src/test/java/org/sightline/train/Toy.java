package org.sightline.train;

import com.google.gson.JsonParser;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.sightline.DType;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;
import org.sightline.LoraLinear;
import org.sightline.ProjectorConfig;
import org.sightline.Values;
import org.sightline.train.checkpoint.Checkpointable;
import org.sightline.train.checkpoint.RandomPositions;

/** A policy small enough to know by heart: x → vision → tanh (1) → middle → tanh (2) → head. */
public final class Toy {
  static final int INPUT = 12;
  static final int HIDDEN = 16;
  static final int ACTIONS = 3;
  static final int TOKENS = 4;
  static final int SEQUENCE = 7;
  static final int FEATURES = 5;
  static final ProjectorConfig PROJECTOR = ProjectorConfig.of(HIDDEN, 16, FEATURES);

  private Toy() {}

  public static Tensor random(long seed, double scale, long... shape) {
    try (PointerScope scope = new PointerScope()) {
      Tensor tensor = torch.empty(shape);
      tensor.normal_(0, scale, new GeneratorOptional(torch.createCPUGenerator(seed)));
      return tensor.retainReference();
    }
  }

  /** Holds x [B,S,K] and y [B,C]; remembers being closed instead of freeing them. */
  static final class Batch implements AutoCloseable {
    final Tensor x;
    final Tensor y;
    int closed;

    Batch(Tensor x, Tensor y) {
      this.x = x;
      this.y = y;
    }

    Batch part(long from, long length) {
      return new Batch(x.narrow(0, from, length), y.narrow(0, from, length));
    }

    @Override
    public void close() {
      closed++;
    }
  }

  /** Batches of a fixed linear task with noise. */
  static List<Batch> batches(int count, int size, long seed) {
    Tensor truth = random(99, 0.5, INPUT, ACTIONS);
    List<Batch> batches = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      Tensor x = random(seed + i, 1, size, SEQUENCE, INPUT);
      batches.add(new Batch(x, x.mean(1).mm(truth)));
    }
    return batches;
  }

  /** The batches over and over. */
  static Iterator<Batch> cycle(List<Batch> batches) {
    return new Iterator<>() {
      private int next;

      @Override
      public boolean hasNext() {
        return true;
      }

      @Override
      public Batch next() {
        return batches.get(next++ % batches.size());
      }
    };
  }

  /** The batches over and over with noise of libtorch's own generator, resumable. */
  static final class Stream implements Iterator<Batch>, Checkpointable {
    private final List<Batch> batches = batches(5, 4, 1);
    private int next;

    @Override
    public boolean hasNext() {
      return true;
    }

    @Override
    public Batch next() {
      Batch batch = batches.get(next++ % batches.size());
      return new Batch(batch.x.add(torch.randn(batch.x.shape()).mul(new Scalar(0.1))), batch.y);
    }

    @Override
    public String name() {
      return "data";
    }

    @Override
    public State state() {
      return State.ofJson("{\"next\": " + next + "}");
    }

    @Override
    public void restore(State state) {
      next = JsonParser.parseString(state.json()).getAsJsonObject().get("next").getAsInt();
    }
  }

  static final class ToyPolicy implements Policy<Batch>, Checkpointable {
    final Map<String, LoraLinear> layers = new LinkedHashMap<>();
    final List<Set<Integer>> asked = new ArrayList<>();
    final List<Boolean> training = new ArrayList<>();
    final List<Boolean> gradMode = new ArrayList<>();
    private boolean plain;

    ToyPolicy() {
      this(0);
    }

    ToyPolicy(double dropout) {
      layers.put("vision", layer(1, HIDDEN, INPUT, dropout));
      layers.put("middle", layer(2, HIDDEN, HIDDEN, dropout));
      layers.put("head", layer(3, ACTIONS, HIDDEN, dropout));
    }

    /** As the others, its layers composed of libtorch's operations. */
    static ToyPolicy ofPlainOperations() {
      ToyPolicy policy = new ToyPolicy();
      policy.plain = true;
      return policy;
    }

    private Tensor apply(String name, Tensor x) {
      LoraLinear layer = layers.get(name);
      if (!plain) {
        return layer.forward(x);
      }
      Tensor delta = x.matmul(layer.loraA().t()).matmul(layer.loraB().t());
      return x.matmul(layer.weight().t()).add(delta.mul(new Scalar(layer.config().scale())));
    }

    private static LoraLinear layer(long seed, long out, long in, double dropout) {
      LoraConfig lora = new LoraConfig(4, 8, dropout, false, LoraInit.KAIMING_UNIFORM);
      Tensor weight = random(seed, 1 / Math.sqrt(in), out, in);
      return new LoraLinear(weight, null, lora, DType.FLOAT32, seed);
    }

    @Override
    public PolicyOutput forward(Batch batch, Set<Integer> hiddenLayers) {
      asked.add(new TreeSet<>(hiddenLayers));
      gradMode.add(GradMode.is_enabled());
      Tensor first = apply("vision", batch.x).tanh();
      Tensor second = apply("middle", first).tanh();
      Tensor action = apply("head", second.mean(1));
      Map<Integer, Tensor> hidden = new LinkedHashMap<>();
      for (int layer : hiddenLayers) {
        hidden.put(layer, layer == 1 ? first : second);
      }
      Tensor error = action.sub(batch.y);
      return new PolicyOutput(
          error.square().mean(),
          hidden,
          1,
          TOKENS,
          Map.of("action_l1", error.detach().abs().mean()));
    }

    @Override
    public Map<String, Tensor> trainableParameters() {
      Map<String, Tensor> parameters = new LinkedHashMap<>();
      layers.forEach(
          (name, layer) -> {
            parameters.put(name + ".lora_A.weight", layer.loraA());
            parameters.put(name + ".lora_B.weight", layer.loraB());
          });
      return parameters;
    }

    @Override
    public boolean isVisionParameter(String name) {
      return name.startsWith("vision.");
    }

    @Override
    public void train(boolean on) {
      training.add(on);
      layers.values().forEach(layer -> layer.train(on));
    }

    @Override
    public long batchSize(Batch batch) {
      return batch.x.size(0);
    }

    @Override
    public String name() {
      return "dropout";
    }

    @Override
    public State state() {
      return new RandomPositions(name(), layers).state();
    }

    @Override
    public void restore(State state) {
      new RandomPositions(name(), layers).restore(state);
    }

    @Override
    public void close() {
      layers.values().forEach(LoraLinear::close);
    }
  }

  /** Sees the image tokens of x through a fixed linear map. */
  static final class ToyTeacher implements Teacher<Batch> {
    final Tensor weight = random(7, 0.5, INPUT, FEATURES);
    int calls;
    boolean sawGradMode;

    @Override
    public Tensor features(Batch batch) {
      calls++;
      sawGradMode |= GradMode.is_enabled();
      return batch.x.narrow(1, 1, TOKENS).matmul(weight).add(new Scalar(0.1));
    }

    @Override
    public long width() {
      return FEATURES;
    }

    @Override
    public void close() {
      weight.close();
    }
  }

  /** The bits of all parameters of the layers whose names begin so. */
  static List<List<Float>> bits(Policy<?> policy, String prefix) {
    List<List<Float>> all = new ArrayList<>();
    policy
        .trainableParameters()
        .forEach(
            (name, parameter) -> {
              if (name.startsWith(prefix)) {
                all.add(Values.floats(parameter));
              }
            });
    return all;
  }
}
