package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.DType;
import org.sightline.vla.checkpoint.HubCache;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.Weights;

/** Models named by their id on the Hugging Face Hub. */
class HubCacheTest {
  private static final String COMMIT = "31f090d05236101ebfc381b61c674dd4746d4ce0";

  @TempDir private Path folder;

  /** As huggingface_hub lays it out. */
  private Path download(Path hub, String id) throws IOException {
    Path model = hub.resolve("models--" + id.replace("/", "--"));
    Files.createDirectories(model.resolve("refs"));
    Files.writeString(model.resolve("refs/main"), COMMIT);
    return model.resolve("snapshots").resolve(COMMIT);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      nullValues = "-",
      value = {
        "/a | /b | /c | /d | /a",
        "-  | /b | /c | /d | /b",
        "'' | -  | ~/c | /d | /home/me/c/hub",
        "-  | -  | -  | /d | /d/huggingface/hub",
        "-  | -  | -  | -  | /home/me/.cache/huggingface/hub",
      })
  void theCacheIsWhereHuggingFacesIs(
      String cache, String legacy, String home, String xdg, String expected) {
    Map<String, String> environment = new java.util.HashMap<>();
    environment.put("HF_HUB_CACHE", cache);
    environment.put("HUGGINGFACE_HUB_CACHE", legacy);
    environment.put("HF_HOME", home);
    environment.put("XDG_CACHE_HOME", xdg);
    assertEquals(Path.of(expected), HubCache.of(environment, "/home/me").folder());
  }

  @Test
  void anIdIsItsNewestSnapshotOnceThatHasWeights() throws IOException {
    HubCache cache = new HubCache(folder);
    assertEquals(Path.of("org/name"), cache.find("org/name"));
    Path snapshot = download(folder, "org/name");
    assertEquals(Path.of("org/name"), cache.find("org/name"));
    Files.createDirectories(snapshot);
    Files.writeString(snapshot.resolve("config.json"), "{}");
    assertEquals(Path.of("org/name"), cache.find("org/name"));
    Files.writeString(snapshot.resolve("model-00001-of-00001.safetensors"), "");
    assertEquals(snapshot, cache.find("org/name"));
    assertEquals("org/name", HubCache.name(snapshot));
    assertEquals("src/main", cache.find("src/main").toString(), "a folder here goes before");
    download(folder, "src/main");
    assertEquals(Path.of("src/main"), cache.find("src/main"));
    assertEquals("/x/src/main", HubCache.name(Path.of("/x/src/main")));
  }

  @Test
  void whatIsNotThereIsToBeDownloaded() {
    for (String command :
        List.of(
            "finetune --output %s/x --weights org/none",
            "finetune --output %s/x --teacher org/none",
            "plan --weights org/none",
            "inspect org/none",
            "eval --data %s --adapter org/none",
            "export --output %s/x --adapter org/none")) {
      Cli cli = Cli.run(command.replace("%s", folder.toString()));
      assertEquals(2, cli.exitCode(), cli.err());
      assertTrue(
          cli.err().contains("no such file or folder: org/none; if it is a model on the"),
          cli.err());
      assertTrue(cli.err().strip().endsWith(": hf download org/none"), cli.err());
    }
    assertTrue(!Cli.run("finetune --output x --data org/none").err().contains("hf download"));
  }

  /** The whole way, in a process with an environment of its own. */
  @Test
  void commandsTakeIdsAndAdaptersNameThem() throws Exception {
    Path snapshot = download(folder.resolve("hf/hub"), "org/nano");
    Files.createDirectories(snapshot.getParent());
    OpenVlaConfig nano = OpenVlaConfig.nano();
    HuggingFaceCheckpoint.write(snapshot, nano, Weights.random(nano, 1), DType.FLOAT32, 1L << 30);
    Path run = folder.resolve("run");
    sightline(
        "finetune --weights org/nano --modes default --steps 1 --evaluations 1 --output " + run);
    Path adapter = Files.move(run.resolve("default"), folder.resolve("adapter"));
    assertTrue(
        Files.readString(adapter.resolve("adapter_config.json"))
            .contains("\"base_model_name_or_path\": \"org/nano\""));
    sightline("export --adapter " + adapter + " --output " + folder.resolve("merged"));
    assertTrue(Files.exists(folder.resolve("merged/model.safetensors")));
  }

  private void sightline(String arguments) throws Exception {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    String cache = System.getProperty("org.bytedeco.javacpp.cachedir");
    if (cache != null) {
      command.add("-Dorg.bytedeco.javacpp.cachedir=" + cache);
    }
    command.addAll(
        List.of("-Xmx1g", "-cp", System.getProperty("java.class.path"), Main.class.getName()));
    command.addAll(List.of(arguments.split(" ")));
    Path log = folder.resolve("log");
    ProcessBuilder builder =
        new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile());
    builder
        .environment()
        .keySet()
        .removeIf(name -> name.startsWith("HF_") || name.startsWith("HUGGINGFACE_"));
    builder.environment().put("HF_HOME", folder.resolve("hf").toString());
    assertEquals(0, builder.start().waitFor(), () -> "see " + log);
  }
}
