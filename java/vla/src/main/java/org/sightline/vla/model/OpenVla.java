package org.sightline.vla.model;

import static org.bytedeco.pytorch.global.torch.cat;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.sightline.Checks;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.LoraConfig;
import org.sightline.binding.Lifetime;
import org.sightline.binding.Scopes;
import org.sightline.formats.peft.LoraPair;
import org.sightline.train.Policy;
import org.sightline.train.PolicyOutput;
import org.sightline.train.checkpoint.Checkpointable;
import org.sightline.train.checkpoint.RandomPositions;
import org.sightline.vla.data.loader.VlaBatch;

/**
 * OpenVLA (Kim et al., arXiv 2406.09246): two vision transformers, a projector, a Llama decoder
 * that writes actions as tokens.
 *
 * <pre>
 * pixels [B,6,H,W] → VisionBackbone [B,N,F] → GeluProjector [B,N,D] ┐
 * ids [B,T] ──────────────── embed ─────────────────────── [B,T,D] ─┴→ BOS, N image tokens, text
 *   → LlamaDecoder [B,N+T,D] → logits where the next token is labelled → cross entropy (fp32)
 * </pre>
 *
 * <p>The base weights are frozen, but for those that {@link #trainable} names. With a {@link
 * LoraConfig} every linear layer on the path has an adapter, and those are what training changes.
 * While no vision adapter requires a gradient (mode FREEZE), the vision encoder runs without
 * recording a graph.
 *
 * <p>Not thread-safe. Tensors returned belong to the innermost open {@code PointerScope} of the
 * caller.
 */
public final class OpenVla implements Policy<VlaBatch>, Checkpointable {
  /** Position of the first image token in every sequence: right after BOS. */
  public static final long FIRST_IMAGE_TOKEN = 1;

  private static final String VISION = "vision_backbone.";
  private static final String DROPOUT = "dropout";

  private final OpenVlaConfig config;
  private final Modules modules;
  private final VisionBackbone vision;
  private final GeluProjector projector;
  private final LlamaDecoder decoder;
  private final ActionHead head;
  private final AdapterSet adapters;
  private final Lifetime lifetime = new Lifetime("OpenVla");

  /**
   * Builds the model.
   *
   * @param weights the frozen parameters; copied, and asked only for what the forward pass uses;
   *     finite, also in {@code dtype}
   * @param dtype element type of weights, adapters and activations
   * @param lora settings of all adapters, or null for the bare model
   * @param seed seed of the adapters' A matrices, each independent of the others
   */
  public OpenVla(OpenVlaConfig config, Weights weights, DType dtype, LoraConfig lora, long seed) {
    this(
        config,
        weights,
        Device.CPU,
        dtype,
        lora == null ? LoraPlan.none() : LoraPlan.all(lora),
        seed);
  }

  private OpenVla(
      OpenVlaConfig config, Weights weights, Device device, DType dtype, LoraPlan lora, long seed) {
    this(config, new Modules(weights, device, dtype, lora, seed), lora, seed);
  }

  private OpenVla(OpenVlaConfig config, Modules modules, LoraPlan lora, long seed) {
    this.config = config;
    this.modules = modules;
    try (PointerScope scope = new PointerScope()) {
      vision = new VisionBackbone(modules, config);
      projector = new GeluProjector(modules, config);
      decoder = new LlamaDecoder(modules, config.text());
      head = new ActionHead(decoder, config);
      adapters = AdapterSet.of(config, modules, lora, seed);
    } catch (RuntimeException e) {
      modules.close();
      throw e;
    }
  }

  /**
   * Builds the model as the constructor does, on any device, with adapters on some modules alone,
   * or of different ranks.
   */
  public static OpenVla of(
      OpenVlaConfig config, Weights weights, Device device, DType dtype, LoraPlan lora, long seed) {
    return new OpenVla(config, weights, device, dtype, lora, seed);
  }

  /**
   * Builds the bare model with weights of its own that are trained, as {@code requires_grad_} makes
   * them in torch: those whose names in the checkpoint pass.
   *
   * @param trained for instance {@code name -> true}; names are those of {@link ModelSpec}
   */
  public static OpenVla trainable(
      OpenVlaConfig config,
      Weights weights,
      Device device,
      DType dtype,
      Predicate<String> trained) {
    LoraPlan none = LoraPlan.none();
    return new OpenVla(config, new Modules(weights, device, dtype, none, 0, trained), none, 0);
  }

  /** The same on the CPU. */
  public static OpenVla of(
      OpenVlaConfig config, Weights weights, DType dtype, LoraPlan lora, long seed) {
    return of(config, weights, Device.CPU, dtype, lora, seed);
  }

  /** Where its weights are and its arithmetic is done; it takes its inputs from anywhere. */
  public Device device() {
    return modules.device();
  }

  public OpenVlaConfig config() {
    return config;
  }

  @Override
  public PolicyOutput forward(VlaBatch batch, Set<Integer> hiddenLayers) {
    lifetime.check();
    BatchChecks.check(batch, config, hiddenLayers);
    Map<Integer, Tensor> states = decode(batch, hiddenLayers);
    Tensor last = states.get(config.text().layers());
    Map<String, Tensor> scores = head.scores(last, batch.labels());
    if (!hiddenLayers.contains(config.text().layers())) {
      last.close();
    }
    var wanted = new LinkedHashMap<Integer, Tensor>();
    hiddenLayers.stream().sorted().forEach(layer -> wanted.put(layer, states.get(layer)));
    Tensor loss = scores.remove(ActionHead.LOSS);
    return new PolicyOutput(loss, wanted, FIRST_IMAGE_TOKEN, config.imageTokens(), scores);
  }

  /**
   * What the model says where the batch is supervised, for evaluation: nothing is recorded, and the
   * call waits for the result. Call {@link #train train(false)} first where adapters have dropout.
   *
   * @throws IllegalArgumentException if a logit is not finite: nothing the model says then means
   *     anything
   */
  public TokenPredictions predict(VlaBatch batch) {
    lifetime.check();
    BatchChecks.check(batch, config, Set.of());
    return Scopes.withoutGradient(
        () -> {
          try (PointerScope scope = new PointerScope()) {
            Tensor last = decode(batch, Set.of()).get(config.text().layers());
            return head.predictions(last, batch.labels());
          }
        });
  }

  /** Hidden states by layer for the whole sequence; the last layer is always among them. */
  private Map<Integer, Tensor> decode(VlaBatch batch, Set<Integer> hiddenLayers) {
    Tensor embeddings = embed(batch.pixelValues(), batch.inputIds());
    Map<Integer, Tensor> states = decoder.forward(embeddings, hiddenLayers);
    if (!hiddenLayers.contains(0)) {
      embeddings.close();
    }
    return states;
  }

  /** BOS, image tokens, text: [B,N+T,D]. */
  private Tensor embed(Tensor pixelValues, Tensor inputIds) {
    return Scopes.scoped(
        () -> {
          Tensor imageTokens = projector.apply(encode(device().move(pixelValues)));
          Tensor text = decoder.embed(device().move(inputIds));
          Tensor bos = text.narrow(1, 0, FIRST_IMAGE_TOKEN);
          Tensor rest = text.narrow(1, FIRST_IMAGE_TOKEN, text.size(1) - FIRST_IMAGE_TOKEN);
          return cat(new TensorVector(bos, imageTokens, rest), 1);
        });
  }

  /**
   * The next {@code count} tokens, each the most likely one over the whole vocabulary, as OpenVLA's
   * {@code predict_action} takes them. Call {@link #train train(false)} first where adapters have
   * dropout.
   *
   * @param pixelValues float32 [B,6,H,W]
   * @param inputIds int64 [B,T], prompts of one length, not padded, with BOS in front
   * @return ids [B][count]
   * @throws IllegalArgumentException if a logit is not finite
   */
  public long[][] generate(Tensor pixelValues, Tensor inputIds, int count) {
    return generate(pixelValues, inputIds, count, TokenChoice.MOST_LIKELY);
  }

  /** The same with tokens chosen otherwise. */
  public long[][] generate(Tensor pixelValues, Tensor inputIds, int count, TokenChoice choice) {
    lifetime.check();
    BatchChecks.checkPrompt(pixelValues, inputIds, config);
    Checks.atLeast("count", count, 1);
    int batch = Math.toIntExact(inputIds.size(0));
    var ids = new long[batch][count];
    Scopes.withoutGradient(
        () -> {
          try (PointerScope scope = new PointerScope();
              KeyValueCache cache = new KeyValueCache(config.text().layers())) {
            Tensor embeddings = embed(pixelValues, inputIds);
            for (int i = 0; i < count; i++) {
              Tensor logits = ActionHead.finite(head.next(decoder.forward(embeddings, cache)));
              long[] values = choice.choose(logits, i);
              for (int b = 0; b < batch; b++) {
                ids[b][i] = values[b];
              }
              embeddings = decoder.embed(device().move(Tensor.create(values, batch, 1)));
            }
          }
          return null;
        });
    return ids;
  }

  /** Vision features [B,N,F]; autograd records nothing here while no vision adapter is trained. */
  Tensor encode(Tensor pixels) {
    return vision.apply(pixels);
  }

  /** Logits [n,V] fp32 of the supervised tokens, row by row of the batch. */
  Tensor logits(VlaBatch batch) {
    BatchChecks.check(batch, config, Set.of());
    return Scopes.scoped(
        () -> head.logits(decode(batch, Set.of()).get(config.text().layers()), batch.labels()));
  }

  /**
   * The adapters' tensors, {@code <module>.lora_A.weight} then {@code .lora_B.weight} for each
   * adapted module the forward pass reaches, in the order of the model. Patch embeddings are listed
   * in their linear form (A [r,3·p·p], B [D,r]). Adapters of modules never reached (PEFT wraps them
   * too, see {@link LoraTarget#active}) get no gradient and are exported, not trained. Then the
   * model's own that are trained, by their names in the checkpoint, patch embeddings in their
   * linear form too.
   */
  @Override
  public Map<String, Tensor> trainableParameters() {
    lifetime.check();
    Map<String, Tensor> parameters = adapters.trainable();
    parameters.putAll(modules.parameters());
    return parameters;
  }

  /**
   * The weights with what was trained in place of what there was.
   *
   * @param before where the others are from
   * @return of use while this model and {@code before} are open
   */
  public Weights trainedWeights(Weights before) {
    return parameter -> {
      Tensor trained = modules.parameters().get(parameter.name());
      return trained == null ? before.get(parameter) : trained.detach().view(parameter.sizes());
    };
  }

  /**
   * Whether the tensor belongs to one of the two vision transformers ({@code vision_backbone.*}).
   * The projector does not count: the paper's freezing run locks the vision encoder alone.
   */
  @Override
  public boolean isVisionParameter(String name) {
    return name.startsWith(VISION);
  }

  /**
   * The adapters as PEFT files hold them, by module, in the order of the model, inactive ones
   * included: 439 for {@code openvla-7b} with all. Tensors share memory with the model where shapes
   * allow and are detached; they stay valid while the model is open.
   *
   * @throws IllegalStateException if the model has no adapters
   */
  public Map<String, LoraPair> adapters() {
    lifetime.check();
    return adapters.export();
  }

  /**
   * Copies adapters into the model, converting dtypes.
   *
   * @throws IllegalArgumentException if modules or shapes are not exactly the model's, or a value
   *     is not finite in its dtype; nothing is changed then
   */
  public void loadAdapters(Map<String, LoraPair> values) {
    lifetime.check();
    adapters.load(values);
  }

  /** Turns dropout of the adapters on (training, the initial state) or off. */
  @Override
  public void train(boolean training) {
    lifetime.check();
    modules.adapters().values().forEach(adapter -> adapter.train(training));
  }

  /**
   * Turns gradient checkpointing of the decoder on or off (as it is at first): each block then
   * keeps its input [B,S,D] alone for the backward pass and runs again in it: one more forward pass
   * of the decoder. Gradients have the same bits.
   */
  public void setGradientCheckpointing(boolean on) {
    lifetime.check();
    decoder.setGradientCheckpointing(on);
  }

  @Override
  public String name() {
    return DROPOUT;
  }

  /** The RNG states of the adapters' dropout, all that this model has besides its parameters. */
  @Override
  public State state() {
    lifetime.check();
    return new RandomPositions(DROPOUT, modules.adapters()).state();
  }

  @Override
  public void restore(State state) {
    lifetime.check();
    new RandomPositions(DROPOUT, modules.adapters()).restore(state);
  }

  @Override
  public long batchSize(VlaBatch batch) {
    return batch.size();
  }

  @Override
  public long labels(VlaBatch batch) {
    return SupervisedTokens.count(batch.labels());
  }

  @Override
  public List<VlaBatch> halves(VlaBatch batch) {
    long half = batch.size() / 2;
    return half == 0
        ? List.of()
        : List.of(batch.rows(0, half), batch.rows(half, batch.size() - half));
  }

  @Override
  public boolean saveMemory() {
    lifetime.check();
    return decoder.setGradientCheckpointing(true);
  }

  @Override
  public void close() {
    lifetime.close(
        () -> {
          adapters.close();
          modules.close();
        });
  }
}
