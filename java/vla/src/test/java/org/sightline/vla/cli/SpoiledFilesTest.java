package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
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

/** Each file that a command reads, spoiled in each way: exit code 2, its name, nothing written. */
class SpoiledFilesTest {
  private static final String HEAD = "language_model.lm_head";
  private static final String DATASET = "data/sightline_tabletop-train.tfrecord-00000-of-00001";

  @TempDir private static Path folder;

  @BeforeAll
  static void write() throws IOException {
    OpenVlaConfig nano = OpenVlaConfig.nano();
    Path base = folder.resolve("base");
    HuggingFaceCheckpoint.write(base, nano, Weights.random(nano, 7), DType.BFLOAT16, 1L << 30);
    try (InputStream tokenizer =
        HuggingFacePromptTokenizer.class.getResourceAsStream("nano-tokenizer.json")) {
      Files.copy(tokenizer, base.resolve("tokenizer.json"));
    }
    torch.manual_seed(1);
    new PeftAdapter(
            PeftConfig.of(LoraConfig.of(4, 8), List.of(HEAD)).withBaseModel(base.toString()),
            Map.of(HEAD, new LoraPair(torch.randn(4, 192), torch.randn(1088, 4))))
        .write(folder.resolve("adapter"));
    String numbers = "[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]";
    String limits =
        Stream.of("mean", "std", "min", "max", "q01", "q99")
            .map(key -> "\"" + key + "\": " + numbers)
            .collect(Collectors.joining(", "));
    Files.writeString(
        folder.resolve("adapter/dataset_statistics.json"),
        "{\"toy\": {\"action\": {" + limits + "}}}");
    Files.write(
        folder.resolve("image.jpg"),
        ImageCodec.encodeJpeg(new RgbImage(16, 16, new byte[16 * 16 * 3]), 0.9f));
    TabletopGenerator.generate(folder.resolve("data"), new TabletopGenerator.Options(2, 1, 64, 3));
    Path mode = Files.createDirectories(folder.resolve("run/align"));
    Files.writeString(
        folder.resolve("run/run.json"),
        "{\"options\": {\"modes\": [\"align\"], \"steps\": 3}, \"started\": {}}");
    Files.writeString(mode.resolve("log.csv"), "phase,step,action_loss\r\nevaluation,0,2.5\r\n");
    Files.writeString(mode.resolve("timing.csv"), "phase,step,seconds_per_step\r\ntrain,1,0.2\r\n");
    Files.writeString(
        mode.resolve("result.json"),
        "{\"end\": \"completed\", \"steps\": 2, \"skippedSteps\": 0, \"seconds\": 1.5}\n");
    Files.writeString(folder.resolve("config.yaml"), "{modes: [align], steps: 1}");
  }

  private static String command(String name) {
    String model = " --adapter FOLDER/adapter --weights FOLDER/base";
    String line =
        switch (name) {
          case "act" -> "act --image FOLDER/image.jpg --instruction go" + model;
          case "eval" -> "eval --data FOLDER/data" + model;
          case "export" -> "export --output FOLDER/out" + model;
          case "finetune" ->
              "finetune --steps 1 --data FOLDER/data --weights FOLDER/base --output FOLDER/out";
          case "config" -> "finetune --config FOLDER/config.yaml --output FOLDER/out";
          case "resume" -> "finetune --resume FOLDER/run";
          case "plan" -> "plan --weights FOLDER/base";
          default -> "inspect FOLDER/" + name;
        };
    return line.replace("FOLDER", folder.toString());
  }

  @ParameterizedTest
  @Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD) // A pipe that is opened.
  @CsvSource(
      delimiter = '|',
      value = {
        "base/config.json | act eval export finetune plan",
        "base/tokenizer.json | act eval finetune",
        "base/model.safetensors | act eval export finetune",
        "adapter/adapter_config.json | act eval export adapter",
        "adapter/adapter_model.safetensors | act eval export adapter",
        "adapter/dataset_statistics.json | act eval export",
        "image.jpg | act",
        "data/dataset_info.json | eval finetune data",
        "data/features.json | eval finetune data",
        DATASET + " | eval finetune",
        "run/run.json | resume run",
        "run/align/log.csv | run",
        "run/align/timing.csv | run",
        "run/align/result.json | run",
        "config.yaml | config",
      })
  void isNamed(String name, String commands) throws Exception {
    Path file = folder.resolve(name);
    byte[] whole = Files.readAllBytes(file);
    for (String defect : List.of("empty", "cut", "foreign", "binary", "folder", "pipe")) {
      // A log may have just begun, and a configuration need not say anything.
      if (name.matches(".*(csv|yaml)") && Set.of("empty", "cut").contains(defect)) {
        continue;
      }
      Files.delete(file);
      switch (defect) {
        case "empty" -> Files.write(file, new byte[0]);
        case "cut" -> Files.write(file, Arrays.copyOf(whole, whole.length - whole.length / 3));
        case "foreign" -> Files.writeString(file, "[[\"a\", 1]]\n1,2\n");
        case "binary" -> Files.write(file, new byte[] {'{', (byte) 0xff, (byte) 0xfe, '}', '\n'});
        case "folder" -> Files.createDirectory(file);
        default -> assertEquals(0, new ProcessBuilder("mkfifo", file.toString()).start().waitFor());
      }
      Set<String> before = listing();
      for (String command : commands.split(" ")) {
        Cli cli = Cli.run(command(command));
        String what = name + ", " + defect + ", " + command + ":\n" + cli.out() + cli.err();
        assertEquals(2, cli.exitCode(), what);
        assertTrue(cli.err().contains(file.toString()), what);
        assertFalse(cli.err().contains("\tat "), what);
        assertEquals(before, listing(), what);
      }
      Files.delete(file);
      Files.write(file, whole);
    }
  }

  private static Set<String> listing() throws IOException {
    Set<String> found = new TreeSet<>();
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.toList()) {
        found.add(file + (Files.isRegularFile(file) ? " " + Files.size(file) : ""));
      }
    }
    return found;
  }
}
