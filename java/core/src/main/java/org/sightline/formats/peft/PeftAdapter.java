package org.sightline.formats.peft;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.sightline.Finite;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.json.Json;
import org.sightline.formats.safetensors.Safetensors;

/**
 * A LoRA adapter in the folder layout of Hugging Face PEFT, so that {@code
 * PeftModel.from_pretrained(base, folder)} reads what is written here and the reverse.
 *
 * <pre>
 * adapter_config.json         the {@link PeftConfig}
 * adapter_model.safetensors   base_model.model.&lt;module&gt;.lora_A.weight and .lora_B.weight
 * README.md                   a short model card
 * </pre>
 *
 * <p>Tensors keep their dtype (F32, BF16 or F16). Adapters of convolutions are supported as
 * tensors: A [r,C,kh,kw], B [N,r,1,1].
 *
 * @param config what {@code adapter_config.json} says
 * @param adapters by module name, such as {@code language_model.model.layers.0.self_attn.q_proj}
 */
public record PeftAdapter(PeftConfig config, Map<String, LoraPair> adapters)
    implements AutoCloseable {
  static final String CONFIG = "adapter_config.json";
  static final String WEIGHTS = "adapter_model.safetensors";
  private static final String PREFIX = "base_model.model.";
  private static final String SUFFIX_A = ".lora_A.weight";
  private static final String SUFFIX_B = ".lora_B.weight";

  /**
   * @throws IllegalArgumentException if there is no adapter, or one whose shapes do not fit its
   *     rank, that is not finite, or whose module the configuration does not target (PEFT would
   *     pass it over)
   */
  public PeftAdapter {
    Objects.requireNonNull(config, "config");
    adapters = Collections.unmodifiableMap(new LinkedHashMap<>(adapters));
    if (adapters.isEmpty()) {
      throw new IllegalArgumentException("adapters: found none, expected at least one module");
    }
    adapters.forEach(
        (module, pair) -> {
          String defect = pair.defect(config.loraOf(module).rank());
          if (defect == null && !config.targets().matches(module)) {
            defect =
                "found a module that is no target, expected one of " + config.targets().describe();
          }
          if (defect != null) {
            throw new IllegalArgumentException("adapter of '" + module + "': " + defect);
          }
          Finite.require(module + SUFFIX_A, pair.a());
          Finite.require(module + SUFFIX_B, pair.b());
        });
  }

  /**
   * Writes the three files; each is replaced atomically. A {@code README.md} that exists is kept.
   *
   * @param folder created if it does not exist
   */
  public void write(Path folder) throws IOException {
    Files.createDirectories(folder);
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    adapters.forEach(
        (module, pair) -> {
          tensors.put(PREFIX + module + SUFFIX_A, pair.a());
          tensors.put(PREFIX + module + SUFFIX_B, pair.b());
        });
    Safetensors.write(folder.resolve(WEIGHTS), tensors, Map.of("format", "pt"));
    AtomicFile.writeText(folder.resolve(CONFIG), config.toJson());
    if (!InputFile.exists(folder.resolve("README.md"))) {
      AtomicFile.writeText(folder.resolve("README.md"), modelCard());
    }
  }

  /**
   * Reads an adapter folder. The tensors are copies on the CPU.
   *
   * <p>Base weights that PEFT stores beside an adapted output layer ({@code
   * lm_head.base_layer.weight}) are passed over.
   *
   * @throws FormatException if a file is malformed, a pair is incomplete or not finite, or the
   *     configuration asks for something unsupported: names file and key
   */
  public static PeftAdapter read(Path folder) throws IOException {
    Path weights = folder.resolve(WEIGHTS);
    if (!InputFile.exists(weights)) {
      throw new IOException(
          folder + ": found no " + WEIGHTS + ", expected one (pickled .bin adapters are not read)");
    }
    Map<String, LoraPair> adapters = new LinkedHashMap<>();
    try (Safetensors file = Safetensors.open(weights)) {
      file.requireMemory();
      Set<String> modules = modules(file);
      PeftConfig config = PeftConfigReader.read(folder.resolve(CONFIG), modules);
      requireTargets(folder.resolve(CONFIG), config, modules);
      for (String module : modules) {
        adapters.put(module, readPair(file, PREFIX + module, config.loraOf(module).rank()));
      }
      return checked(weights, config, adapters);
    } catch (IOException | RuntimeException e) {
      adapters.values().forEach(LoraPair::close);
      throw e;
    }
  }

  private static PeftAdapter checked(Path file, PeftConfig config, Map<String, LoraPair> adapters)
      throws FormatException {
    try {
      return new PeftAdapter(config, adapters);
    } catch (IllegalArgumentException e) {
      throw new FormatException(file, "adapters", e.getMessage());
    }
  }

  /** Frees the tensors. For an adapter that was read; one made to be written shares its tensors. */
  @Override
  public void close() {
    adapters.values().forEach(LoraPair::close);
  }

  /** The adapted modules of a file, in its order; every tensor must be known for what it is. */
  private static Set<String> modules(Safetensors file) throws FormatException {
    Set<String> modules = new LinkedHashSet<>();
    for (String name : file.names()) {
      boolean isA = name.endsWith(SUFFIX_A);
      if (name.startsWith(PREFIX) && (isA || name.endsWith(SUFFIX_B))) {
        String module = name.substring(PREFIX.length(), name.length() - SUFFIX_A.length());
        String other = PREFIX + module + (isA ? SUFFIX_B : SUFFIX_A);
        if (!file.names().contains(other)) {
          throw new FormatException(file.file(), name, "no " + other, "both of the pair");
        }
        modules.add(module);
      } else if (!name.endsWith(".base_layer.weight") && !name.endsWith(".base_layer.bias")) {
        throw new FormatException(
            file.file(),
            name,
            "a tensor of that name",
            PREFIX + "<module>" + SUFFIX_A + " or " + SUFFIX_B);
      }
    }
    if (modules.isEmpty()) {
      throw new FormatException(file.file(), "tensors", "no adapter", "at least one");
    }
    return modules;
  }

  private static void requireTargets(Path file, PeftConfig config, Set<String> modules)
      throws FormatException {
    List<String> strays =
        modules.stream().filter(module -> !config.targets().matches(module)).toList();
    if (!strays.isEmpty()) {
      throw new FormatException(
          file,
          "target_modules, exclude_modules, layers_to_transform",
          "adapters of modules they do not reach: " + strays,
          "each adapter of " + WEIGHTS + " among them");
    }
  }

  private static LoraPair readPair(Safetensors file, String module, int rank) throws IOException {
    Tensor a = file.tensor(module + SUFFIX_A);
    LoraPair pair = new LoraPair(a, file.tensor(module + SUFFIX_B));
    String defect = pair.defect(rank);
    if (defect != null) {
      pair.close();
      throw new FormatException(file.file(), module, defect);
    }
    return pair;
  }

  /** A path may hold what means something else in YAML; JSON's quotes are YAML's. */
  private static String yaml(String text) {
    return text.matches("[\\w./-]+") ? text : Json.quote(text);
  }

  private String modelCard() {
    String base = config.baseModel();
    return String.format(
        Locale.ROOT,
        """
    ---
    %slibrary_name: peft
    tags:
    - lora
    ---

    # LoRA adapter

    Rank %d, alpha %s, %d modules. Trained with Sightline.

    ```python
    from peft import PeftModel

    model = PeftModel.from_pretrained(base_model, "path/to/this/folder")
    ```
    """,
        base == null ? "" : "base_model: " + yaml(base) + "\n",
        config.lora().rank(),
        PeftConfig.decimal(config.lora().alpha(), 0).toPlainString(),
        adapters.size());
  }
}
