package org.sightline.vla.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.sightline.LoraConfig;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.peft.LoraPair;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.formats.peft.PeftConfig;
import org.sightline.formats.safetensors.ElementType;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.formats.safetensors.ShardedSafetensors;
import org.sightline.formats.safetensors.TensorInfo;
import org.sightline.vla.checkpoint.HubCache;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.RldsSummary;
import org.sightline.vla.data.rlds.StatisticsJson;
import org.sightline.vla.finetune.RunFile;
import org.sightline.vla.model.OpenVlaConfig;

/** Looks at checkpoints, adapters, datasets and runs, telling which of them a path is. */
final class Inspections {
  private static final String STATISTICS = "dataset_statistics.json";

  private Inspections() {}

  /**
   * Inspects a path.
   *
   * @throws IOException if it is none of them, or is malformed
   */
  static Inspection of(Path path) throws IOException {
    if (!InputFile.exists(path)) {
      throw new IllegalArgumentException(
          "PATH: no such file or folder: " + path + HubCache.ofUser().hint(path));
    }
    if (InputFile.exists(path.resolve("adapter_config.json"))) {
      return adapter(path);
    }
    if (InputFile.exists(path.resolve("dataset_info.json"))) {
      return dataset(path);
    }
    if (InputFile.exists(path.resolve(RunFile.NAME))) {
      return RunInspection.of(path);
    }
    if (Files.isDirectory(path) && !isModel(path)) {
      throw new IllegalArgumentException(
          path
              + ": found no adapter_config.json, dataset_info.json, run.json, model.safetensors or"
              + " model.safetensors.index.json, expected one");
    }
    return checkpoint(path);
  }

  private static boolean isModel(Path folder) {
    return InputFile.exists(folder.resolve("model.safetensors"))
        || InputFile.exists(folder.resolve("model.safetensors.index.json"));
  }

  private static Inspection checkpoint(Path path) throws IOException {
    Map<String, Object> facts = facts("checkpoint", path);
    List<Map<String, Object>> rows = new ArrayList<>();
    try (ShardedSafetensors tensors = ShardedSafetensors.open(path)) {
      Map<String, String> metadata = new LinkedHashMap<>();
      tensors.shards().forEach(shard -> metadata.putAll(shard.metadata()));
      List<TensorInfo> infos = tensors.names().stream().map(tensors::info).toList();
      facts.put("files", files(tensors));
      facts.put("tensors", infos.size());
      facts.put("parameters", infos.stream().mapToLong(Inspections::elements).sum());
      facts.put("bytes", bytes(infos));
      facts.put("dtypes", count(infos.stream().map(TensorInfo::type).toList()));
      if (!metadata.isEmpty()) {
        facts.put("metadata", metadata);
      }
      for (TensorInfo info : infos) {
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("name", info.name());
        row.put("dtype", info.type().name());
        row.put("shape", info.shape());
        row.put("bytes", info.sizeInBytes());
        row.put("file", tensors.shard(info.name()).file().getFileName().toString());
        rows.add(row);
      }
    }
    if (InputFile.exists(path.resolve("config.json"))) {
      model(path, facts);
    }
    return new Inspection(facts, "tensor_list", rows);
  }

  static List<Map<String, Object>> files(ShardedSafetensors tensors) {
    List<Map<String, Object>> files = new ArrayList<>();
    for (Safetensors shard : tensors.shards()) {
      Map<String, Object> file = new LinkedHashMap<>();
      file.put("file", shard.file().getFileName().toString());
      file.put("tensors", shard.names().size());
      file.put("bytes", bytes(shard.names().stream().map(shard::info).toList()));
      files.add(file);
    }
    return files;
  }

  /** What the model is, or why it is none that can be run here. */
  private static void model(Path folder, Map<String, Object> facts) throws IOException {
    try (HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.open(folder)) {
      OpenVlaConfig config = checkpoint.config();
      Map<String, Object> model = new LinkedHashMap<>();
      model.put("shape", config.preset());
      model.put("image_size", config.dino().imageSize());
      model.put("image_tokens", config.imageTokens());
      model.put("vision_widths", List.of(config.dino().width(), config.sigLip().width()));
      model.put("vision_blocks", List.of(config.dino().depth(), config.sigLip().depth()));
      model.put("hidden_size", config.text().hiddenSize());
      model.put("layers", config.text().layers());
      model.put("vocabulary", config.text().vocabularySize());
      model.put("action_tokens", config.actionTokenBegin() + ".." + (config.actionTokenEnd() - 1));
      facts.put("model", model);
      facts.put("tokenizer", checkpoint.tokenizer().isPresent());
      putStatistics(facts, checkpoint.statistics());
    } catch (FormatException e) {
      facts.put("not_usable", e.getMessage());
    }
  }

  private static Inspection adapter(Path folder) throws IOException {
    Map<String, Object> facts = facts("adapter", folder);
    List<Map<String, Object>> rows = new ArrayList<>();
    try (PeftAdapter adapter = PeftAdapter.read(folder)) {
      PeftConfig config = adapter.config();
      List<Tensor> tensors = new ArrayList<>();
      for (LoraPair pair : adapter.adapters().values()) {
        tensors.add(pair.a());
        tensors.add(pair.b());
      }
      putIfSaid(facts, "base_model", config.baseModel());
      facts.put("rank", config.lora().rank());
      facts.put("alpha", config.lora().alpha());
      facts.put("rank_stabilized", config.lora().rankStabilized());
      facts.put("dropout", config.lora().dropout());
      facts.put("targets", config.targets().describe());
      putIfSaid(facts, "rank_pattern", config.rankPattern());
      putIfSaid(facts, "alpha_pattern", config.alphaPattern());
      facts.put("modules", adapter.adapters().size());
      facts.put("parameters", tensors.stream().mapToLong(Tensor::numel).sum());
      facts.put("bytes", tensors.stream().mapToLong(Tensor::nbytes).sum());
      facts.put("dtypes", count(tensors.stream().map(ElementType::of).toList()));
      adapter.adapters().forEach((module, pair) -> rows.add(row(module, pair, config)));
    }
    Path statistics = folder.resolve(STATISTICS);
    if (InputFile.exists(statistics)) {
      putStatistics(facts, StatisticsJson.readAll(statistics));
    }
    return new Inspection(facts, "module_list", rows);
  }

  private static Map<String, Object> row(String module, LoraPair pair, PeftConfig config) {
    LoraConfig lora = config.loraOf(module);
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("module", module);
    row.put("rank", lora.rank());
    row.put("scale", lora.scale());
    row.put("lora_A", sizes(pair.a()));
    row.put("lora_B", sizes(pair.b()));
    row.put("dtype", ElementType.of(pair.a()).name());
    return row;
  }

  private static Inspection dataset(Path folder) throws IOException {
    RldsSummary summary = RldsSummary.read(folder);
    Map<String, Object> facts = facts("dataset", folder);
    facts.put("name", summary.name());
    putIfSaid(facts, "version", summary.version());
    facts.put("format", summary.format());
    List<Map<String, Object>> splits = new ArrayList<>();
    for (RldsSummary.Split split : summary.splits()) {
      Map<String, Object> described = new LinkedHashMap<>();
      described.put("split", split.name());
      described.put("shards", split.episodes().size());
      described.put("episodes", split.size());
      described.put("bytes", split.bytes());
      described.put("shards_missing", split.missing().size());
      splits.add(described);
    }
    facts.put("splits", splits);
    Path statistics = folder.resolve(STATISTICS);
    if (InputFile.exists(statistics)) {
      putStatistics(facts, StatisticsJson.readAll(statistics));
    }
    List<Map<String, Object>> rows = new ArrayList<>();
    summary
        .features()
        .forEach(
            (key, description) -> {
              Map<String, Object> row = new LinkedHashMap<>();
              row.put("key", key);
              row.put("feature", description);
              rows.add(row);
            });
    return new Inspection(facts, "features", rows);
  }

  private static Map<String, Object> facts(String kind, Path path) {
    Map<String, Object> facts = new LinkedHashMap<>();
    facts.put("kind", kind);
    facts.put("path", path.toString());
    return facts;
  }

  private static void putIfSaid(Map<String, Object> facts, String key, Object value) {
    boolean empty =
        value == null || value.equals("") || value instanceof Map<?, ?> map && map.isEmpty();
    if (!empty) {
      facts.put(key, value);
    }
  }

  private static void putStatistics(
      Map<String, Object> facts, Map<String, ActionStatistics> statistics) {
    Map<String, Object> all = new LinkedHashMap<>();
    statistics.forEach(
        (dataset, actions) -> {
          Map<String, Object> entry = new LinkedHashMap<>();
          entry.put("trajectories", actions.trajectories());
          entry.put("transitions", actions.transitions());
          entry.put("q01", Arrays.stream(actions.q01()).boxed().toList());
          entry.put("q99", Arrays.stream(actions.q99()).boxed().toList());
          entry.put(
              "mask", IntStream.range(0, actions.size()).mapToObj(i -> actions.mask()[i]).toList());
          all.put(dataset, entry);
        });
    putIfSaid(facts, "statistics", all);
  }

  private static Map<String, Integer> count(List<ElementType> types) {
    Map<String, Integer> counts = new TreeMap<>();
    types.forEach(type -> counts.merge(type.name(), 1, Integer::sum));
    return counts;
  }

  private static long bytes(List<TensorInfo> infos) {
    return infos.stream().mapToLong(TensorInfo::sizeInBytes).sum();
  }

  private static long elements(TensorInfo info) {
    return info.sizeInBytes() / info.type().bytes();
  }

  private static List<Long> sizes(Tensor tensor) {
    return Arrays.stream(tensor.shape()).boxed().toList();
  }
}
