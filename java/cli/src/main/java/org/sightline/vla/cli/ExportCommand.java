package org.sightline.vla.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.sightline.Sightline;
import org.sightline.formats.Printable;
import org.sightline.formats.safetensors.ShardedSafetensors;
import org.sightline.vla.checkpoint.CheckpointExport;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.checkpoint.PathChecks;
import org.sightline.vla.memory.ByteCount;
import org.sightline.vla.policy.AdapterRun;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code sightline export}: a base model and an adapter become one Hugging Face folder. */
@Command(
    name = "export",
    description = {
      "Merge a PEFT adapter into its base model and write a Hugging Face folder in shards.",
      "Tokenizer, configuration and statistics come along. The folder appears complete or not at"
          + " all."
    },
    mixinStandardHelpOptions = true,
    showDefaultValues = true,
    sortOptions = false,
    usageHelpAutoWidth = true)
final class ExportCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Option(
      names = "--adapter",
      converter = Converters.Model.class,
      paramLabel = "DIR",
      description = "PEFT folder; without it the base is written as it is.")
  private Path adapter;

  @Mixin private ModelOptions model;

  @Option(
      names = "--output",
      paramLabel = "DIR",
      required = true,
      description = "Folder to make; must not exist, or be empty.")
  private Path output;

  @Mixin private DeviceOption device;

  @Option(
      names = "--max-shard-size",
      paramLabel = "SIZE",
      defaultValue = "5GB",
      converter = Converters.Bytes.class,
      description = "Largest safetensors file, such as 5GB or 500MiB.")
  private long maxShardBytes;

  @Option(
      names = "--json",
      description = "Print a JSON object: path, files, tensors, bytes, as inspect has them.")
  private boolean json;

  @Override
  public Integer call() throws Exception {
    if (maxShardBytes < 1) {
      throw new IllegalArgumentException(
          "--max-shard-size must be at least 1 byte, found " + maxShardBytes);
    }
    PathChecks.exists("adapter", adapter);
    Sightline.load();
    try (HuggingFaceCheckpoint base =
        AdapterRun.of(adapter).base(model.weights(), model.preset()).open()) {
      CheckpointExport.write(
          base, adapter, output, maxShardBytes, device.device(), tensor -> Ending.check());
    }
    PrintWriter out = spec.commandLine().getOut();
    try (ShardedSafetensors written = ShardedSafetensors.open(output)) {
      if (json) {
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("path", output.toString());
        facts.put("files", Inspections.files(written));
        facts.put("tensors", written.names().size());
        facts.put("bytes", written.sizeInBytes());
        out.println(Inspection.json(facts));
      } else {
        out.printf(
            Locale.ROOT,
            "%s: %d tensors, %s in %d file%s%n",
            Printable.of(output),
            written.names().size(),
            ByteCount.format(written.sizeInBytes()),
            written.shards().size(),
            written.shards().size() == 1 ? "" : "s");
      }
    }
    out.flush();
    return 0;
  }
}
