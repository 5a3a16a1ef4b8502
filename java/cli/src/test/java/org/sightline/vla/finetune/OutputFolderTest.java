package org.sightline.vla.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.formats.file.FolderLock;
import org.sightline.train.TrainingListener;
import org.sightline.train.checkpoint.CheckpointStore;
import org.sightline.vla.cli.Cli;
import org.sightline.vla.tabletop.TabletopGenerator;

/** What {@code --overwrite} may take away, and when. */
class OutputFolderTest {
  @TempDir private Path folder;
  private Path output;
  private Path data;

  @BeforeEach
  void anEarlierRun() throws IOException {
    data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(3, 1, 64, 3));
    output = folder.resolve("out");
    Path checkpoint = output.resolve("default/checkpoints/step-000000010");
    Files.createDirectories(checkpoint);
    Files.writeString(checkpoint.resolve("state.json"), "{}");
    Files.writeString(output.resolve("default/result.json"), "{}");
    Files.writeString(output.resolve("run.json"), "{}");
    Files.writeString(output.resolve("teacher.safetensors"), "old");
  }

  private void refused(String data, String message) throws IOException {
    var before = contents();
    Cli cli =
        Cli.run(
            "finetune --output %s --overwrite --modes default --steps 1 --data %s"
                .formatted(output, data));
    assertEquals(2, cli.exitCode(), cli.out());
    assertTrue(cli.err().contains(message), cli.err());
    assertEquals(before, contents());
  }

  private TreeMap<Path, String> contents() throws IOException {
    var files = new TreeMap<Path, String>();
    try (Stream<Path> tree = Files.walk(output)) {
      for (Path file : tree.filter(Files::isRegularFile).toList()) {
        if (!file.endsWith(".lock")) {
          files.put(file, Files.readString(file));
        }
      }
    }
    return files;
  }

  @Test
  void aRunThatIsStillWritingLosesNothing() throws IOException {
    try (FolderLock lock = OutputFolder.lock(output)) {
      refused(data.toString(), output + " is in use by this process, expected one writer");
    }
  }

  /** As if somebody had taken the lock file for a leftover, and begun another run. */
  @Test
  void aRunWhoseLockFileWasTakenAwayWritesNothingMore() throws Exception {
    Path lock = output.resolve(".lock");
    Path log = output.resolve("default/log.csv");
    var checkpoints = new CheckpointStore(output.resolve("default/checkpoints"), 1);
    var run =
        CompletableFuture.supplyAsync(
            () ->
                Cli.run(
                    "finetune --output %s --overwrite --modes default --steps 1000000 --data %s"
                            .formatted(output, data)
                        + " --batch-size 1 --rank 1 --checkpoint-interval 1"));
    while (!run.isDone() && (!Files.exists(log) || checkpoints.steps().isEmpty())) {
      Thread.sleep(5);
    }
    Files.delete(lock);
    try (FolderLock other = OutputFolder.lock(output)) {
      other.requireHeld();
      Cli cli = run.get(100, TimeUnit.SECONDS);
      assertEquals(2, cli.exitCode(), cli.err());
      assertTrue(cli.err().contains(lock + ": found another file, expected the one"), cli.err());
    }
    assertFalse(Files.exists(output.resolve("default/adapter_model.safetensors")));
    assertFalse(Files.exists(output.resolve("default/result.json")));
    assertFalse(checkpoints.steps().isEmpty());
  }

  @Test
  void norIsAProjectorWrittenThatWasFittedMeanwhile() throws Exception {
    JobConfig config =
        JobConfig.builder(folder.resolve("new"))
            .data(DataConfig.of(data))
            .alignment(AlignmentConfig.builder().projectorInit(new ProjectorInit(1)).build())
            .training(TrainingConfig.builder().batchSize(1).build())
            .build();
    Path lock = config.output().resolve(".lock");
    try (FineTuneJob job = FineTuneJob.open(config)) {
      TrainingListener taker =
          new TrainingListener() {
            @Override
            public boolean interruptRequested() {
              return !lock.toFile().delete() && Files.exists(lock);
            }
          };
      String lost = assertThrows(IOException.class, () -> job.run(taker)).getMessage();
      assertTrue(lost.startsWith(lock + ": found no such file, expected the one"), lost);
    }
    assertFalse(Files.exists(config.output().resolve(FittedProjectors.NAME)));
    assertFalse(Files.exists(config.output().resolve(FittedProjectors.CURVE)));
  }

  @Test
  void dataThatCannotBeReadCostsNothing() throws IOException {
    try (Stream<Path> files = Files.list(data)) {
      Path shard = files.filter(f -> f.toString().contains("tfrecord")).findAny().orElseThrow();
      byte[] bytes = Files.readAllBytes(shard);
      Files.write(shard, java.util.Arrays.copyOf(bytes, bytes.length / 2));
    }
    refused(data.toString(), "truncated record");
  }

  @Test
  void nothingOfTheEarlierRunIsTakenForThisOnes() throws IOException {
    OutputFolder.clear(output, true, false);
    assertFalse(Files.exists(output.resolve("default/checkpoints")));
    assertFalse(Files.exists(output.resolve("default/result.json")));
    assertEquals("old", Files.readString(output.resolve("teacher.safetensors")));
    Path base = Files.createDirectory(output.resolve("base"));
    Files.writeString(base.resolve("model.safetensors"), "mine");
    Files.writeString(output.resolve("run.json"), "{\"options\": {\"weights\": [\"m\"]}}");
    assertEquals(
        "output must be free for this run's base model, found %s, which no run has drawn"
            .formatted(base),
        assertThrows(IllegalArgumentException.class, () -> OutputFolder.clear(output, true, false))
            .getMessage());
    OutputFolder.clear(output, false, false);
    assertTrue(Files.exists(base.resolve("model.safetensors")));
    Files.writeString(output.resolve("run.json"), "{\"options\": {}}");
    OutputFolder.clear(output, true, false);
    assertFalse(Files.exists(base));
    // Drawn from another seed, perhaps.
    OutputFolder.clear(output, false, true);
    assertFalse(Files.exists(output.resolve("teacher.safetensors")));
  }
}
