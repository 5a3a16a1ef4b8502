package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.DType;
import org.sightline.LoraConfig;
import org.sightline.formats.peft.LoraPair;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.formats.peft.PeftConfig;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.data.text.HuggingFacePromptTokenizer;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.Weights;
import org.sightline.vla.tabletop.TabletopGenerator;

/** Folders as Git, the Hugging Face hub and Python's json leave them. */
class ForeignFoldersTest {
  private static final OpenVlaConfig NANO = OpenVlaConfig.nano();
  private static final String HEAD = "language_model.lm_head";

  @TempDir private static Path shared;
  @TempDir private Path folder;
  private Path base;
  private Path adapter;
  private Path image;
  private Path data;

  @BeforeAll
  static void write() throws IOException {
    Path base = shared.resolve("base");
    HuggingFaceCheckpoint.write(base, NANO, Weights.random(NANO, 7), DType.BFLOAT16, 1L << 30);
    try (InputStream tokenizer =
        HuggingFacePromptTokenizer.class.getResourceAsStream("nano-tokenizer.json")) {
      Files.copy(tokenizer, base.resolve("tokenizer.json"));
    }
    torch.manual_seed(1); // With which this model says actions.
    new PeftAdapter(
            PeftConfig.of(LoraConfig.of(4, 8), List.of(HEAD)).withBaseModel(base.toString()),
            Map.of(HEAD, new LoraPair(torch.randn(4, 192), torch.randn(1088, 4))))
        .write(shared.resolve("adapter"));
    String numbers = "[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]";
    StringBuilder action = new StringBuilder();
    for (String key : List.of("mean", "std", "min", "max", "q01", "q99")) {
      action.append(action.isEmpty() ? "" : ", ").append("\"" + key + "\": " + numbers);
    }
    Files.writeString(
        shared.resolve("adapter/dataset_statistics.json"),
        "{\"toy\": {\"action\": {" + action + "}, \"proprio\": {\"mean\": " + numbers + "}}}");
    Files.write(
        shared.resolve("image.jpg"),
        ImageCodec.encodeJpeg(new RgbImage(16, 16, new byte[16 * 16 * 3]), 0.9f));
    TabletopGenerator.generate(shared.resolve("data"), new TabletopGenerator.Options(2, 1, 64, 3));
  }

  /** Copies that a test may spoil. */
  private void copy() throws IOException {
    for (String name : List.of("base", "adapter", "data")) {
      Path target = Files.createDirectory(folder.resolve(name));
      try (var files = Files.list(shared.resolve(name))) {
        for (Path file : files.toList()) {
          Files.copy(file, target.resolve(file.getFileName()));
        }
      }
    }
    image = Files.copy(shared.resolve("image.jpg"), folder.resolve("image.jpg"));
    base = folder.resolve("base");
    adapter = folder.resolve("adapter");
    data = folder.resolve("data");
  }

  private Cli act() {
    return Cli.of(
        ("act --adapter %s --weights %s --image %s --instruction go --json"
                .formatted(adapter, base, image))
            .split(" "));
  }

  private Cli export(String output) {
    return Cli.run(
        "export --adapter %s --weights %s --output %s"
            .formatted(adapter, base, folder.resolve(output)));
  }

  private static JsonObject config(Path model) throws IOException {
    return JsonParser.parseString(Files.readString(model.resolve("config.json"))).getAsJsonObject();
  }

  private static void replace(Path file, String from, String to) throws IOException {
    String text = Files.readString(file);
    assertTrue(text.contains(from), text);
    Files.writeString(file, text.replaceFirst(java.util.regex.Pattern.quote(from), to));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "base/model.safetensors",
        "base/config.json",
        "base/tokenizer.json",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "adapter/dataset_statistics.json",
        "image.jpg",
        "data/dataset_info.json",
        "data/features.json",
        "data/sightline_tabletop-train.tfrecord-00000-of-00001",
      })
  void aGitLfsPointerIsNamed(String name) throws IOException {
    copy();
    Path pointer = folder.resolve(name);
    assertTrue(Files.exists(pointer), name);
    Files.writeString(
        pointer,
        "version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 9\n".formatted(7));
    List<Cli> runs =
        name.startsWith("data")
            ? List.of(
                Cli.run("inspect " + data),
                Cli.run(
                    "finetune --skip-corrupt --steps 1 --data %s --output %s"
                        .formatted(data, folder.resolve("run"))))
            : List.of(act());
    for (Cli run : runs) {
      assertEquals(2, run.exitCode(), run.out() + run.err());
      assertTrue(
          run.err().contains(pointer + ": document: found a Git LFS pointer, expected the file"),
          run.err());
    }
    assertFalse(Files.exists(folder.resolve("run")));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "null | 0",
        "{} | 0",
        "{\"other\": {\"action\": 1}} | 0",
        "[] | 2",
        "\"none\" | 2",
        "3 | 2"
      })
  void statisticsOfAnAdapterJoinWhateverTheBaseHas(String value, int exitCode) throws IOException {
    copy();
    replace(base.resolve("config.json"), "{", "{\"norm_stats\": " + value + ",");
    Cli cli = export("merged");
    assertEquals(exitCode, cli.exitCode(), cli.err());
    if (exitCode == 0) {
      JsonObject known = config(folder.resolve("merged")).getAsJsonObject("norm_stats");
      assertTrue(known.has("toy"));
      assertEquals(value.contains("other"), known.has("other"));
    } else {
      assertTrue(
          cli.err().contains("norm_stats: found " + value + ", expected an object"), cli.err());
      assertFalse(Files.exists(folder.resolve("merged")));
    }
  }

  @Test
  void aNumberThatIsNotFiniteCountsOnlyWhereItIsRead() throws IOException {
    copy();
    Path statistics = adapter.resolve("dataset_statistics.json");
    replace(statistics, "\"proprio\": {\"mean\": [0.5", "\"proprio\": {\"mean\": [NaN, -Infinity");
    assertEquals(0, act().exitCode(), act().err());
    assertEquals(0, export("merged").exitCode());
    String config = Files.readString(folder.resolve("merged/config.json"));
    assertTrue(config.replaceAll("\\s", "").contains("\"mean\":[NaN,-Infinity,0.5"), config);

    replace(statistics, "\"q01\": [0.5", "\"q01\": [Infinity");
    for (Cli refused : List.of(act(), export("other"))) {
      assertEquals(2, refused.exitCode());
      assertTrue(
          refused
              .err()
              .startsWith("sightline: " + statistics + ": toy.action.q01: found [Infinity,"),
          refused.err());
    }
    assertFalse(Files.exists(folder.resolve("other")));
  }

  /** The hub's cache is all links into its blobs; who takes an export away must not lose these. */
  @Test
  void anExportOfLinksIsFiles() throws IOException {
    copy();
    assertEquals(0, export("plain").exitCode());
    Path blobs = Files.move(base, folder.resolve("blobs"));
    base = Files.createDirectories(folder.resolve("snapshots/0123abcd"));
    try (var files = Files.list(blobs)) {
      for (Path file : files.toList()) {
        Path link = base.resolve(file.getFileName());
        Files.createSymbolicLink(link, Path.of("../../blobs").resolve(file.getFileName()));
      }
    }
    Cli cli = export("merged");
    assertEquals(0, cli.exitCode(), cli.err());
    try (var plain = Files.list(folder.resolve("plain"))) {
      for (Path file : plain.toList()) {
        Path merged = folder.resolve("merged").resolve(file.getFileName());
        assertFalse(Files.isSymbolicLink(merged), merged.toString());
        assertArrayEquals(Files.readAllBytes(file), Files.readAllBytes(merged), merged.toString());
      }
    }
    try (var merged = Files.list(folder.resolve("merged"))) {
      assertEquals(Files.list(folder.resolve("plain")).count(), merged.count());
    }
  }
}
