package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.formats.file.AtomicFolder;
import org.sightline.formats.file.Sha256;
import org.sightline.vla.finetune.RunFile;
import org.sightline.vla.tabletop.TabletopGenerator;

/** A run does not go on in silence from what is no longer its own. */
class ChangedRunTest {
  private static final String SETTINGS =
      " --modes align --batch-size 1 --rank 1 --evaluations 1 --eval-fraction 0.5"
          + " --checkpoint-interval 1 --steps ";

  @TempDir private Path folder;
  private Path data;
  private Path run;

  private void aRunOfTwoSteps() throws IOException {
    data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(2, 1, 64, 3));
    run = folder.resolve("run");
    Cli.succeed("finetune --data " + data + " --output " + run + SETTINGS + 2);
  }

  /** The last byte of a file: of its last tensor. */
  private static void flip(Path file) throws IOException {
    byte[] bytes = Files.readAllBytes(file);
    bytes[bytes.length - 1] ^= 1;
    Files.write(file, bytes);
  }

  private void assertRefused(String arguments, String... messages) throws IOException {
    Map<String, String> before = contents();
    Cli cli = Cli.run("finetune --resume " + run + " --steps 3" + arguments);
    assertEquals(2, cli.exitCode(), cli.out());
    for (String message : messages) {
      assertTrue(cli.err().contains(message), cli.err());
    }
    assertTrue(cli.err().contains("; --accept-changes goes on all the same"), cli.err());
    assertEquals(before, contents());
  }

  private Map<String, String> contents() throws IOException {
    Map<String, String> files = new TreeMap<>();
    try (Stream<Path> tree = Files.walk(run)) {
      for (Path file : tree.filter(Files::isRegularFile).toList()) {
        var digest = Sha256.begin();
        digest.update(Files.readAllBytes(file));
        files.put(run.relativize(file).toString(), Sha256.hex(digest));
      }
    }
    return files;
  }

  @Test
  void changedContentsAreNamedAndRefused() throws IOException {
    aRunOfTwoSteps();
    Path weights = run.resolve("base/model.safetensors");
    flip(weights);
    assertRefused("", "run.json is of other contents: weights: found ");
    Cli eval = Cli.run("eval --data " + data + " --adapter " + run.resolve("align"));
    assertEquals(2, eval.exitCode(), eval.out());
    assertTrue(
        eval.err().contains("the tensors of " + run.resolve("base") + " must be "), eval.err());
    Path teacher = run.resolve("teacher.safetensors");
    flip(teacher);
    assertRefused("", "teacher: found ", "; weights: found ");
    flip(weights);
    flip(teacher);
    Path other = folder.resolve("other");
    TabletopGenerator.generate(other, new TabletopGenerator.Options(2, 1, 64, 4));
    assertRefused(" --data " + other, "contents: data sightline_tabletop: found ");

    // What is as it was may lie elsewhere, under another name.
    Path moved = Files.move(data, folder.resolve("moved"));
    Files.move(run, folder.resolve("run2"));
    run = folder.resolve("run2");
    Cli same = Cli.succeed("finetune --resume " + run + " --steps 3 --data " + moved);
    assertFalse(same.err().contains("warning"), same.err());

    Path file = run.resolve("run.json");
    Files.writeString(file, Files.readString(file).replace("\"cpu\": \"", "\"cpu\": \"\\u001b[2J"));
    Cli accepted =
        Cli.succeed(
            "finetune --resume " + run + " --steps 4 --lr 1e-4 --accept-changes --data " + other);
    assertTrue(
        accepted.err().contains("warning: the run goes on with other contents: data sightline_"),
        accepted.err());
    assertTrue(accepted.err().contains("cpu, it had \\u001b[2J"), accepted.err());
    var resumed = RunFile.read(run).getAsJsonArray("resumed");
    String changes = resumed.get(1).getAsJsonObject().get("changes").toString();
    assertTrue(changes.contains("\"lr: found 1.0E-4, expected 0.002\""), changes);
    assertTrue(changes.contains("\"data sightline_tabletop: found "), changes);
    // From now on that is the run.
    Cli.succeed("finetune --resume " + run + " --steps 5");
  }

  @Test
  void checkpointsOfOtherSettingsAreNamedAndRefused() throws IOException {
    aRunOfTwoSteps();
    Path file = run.resolve("run.json");
    String text = Files.readString(file);
    Files.writeString(file, text.replace("\"dropout\": 0.0", "\"dropout\": 0.25"));
    assertRefused("", "step-000000002 is of another run: lora.dropout: found 0.0, expected 0.25;");
    Files.writeString(file, text);

    Path other = folder.resolve("foreign");
    Cli.succeed("finetune --seed 8 --alpha 2 --data " + data + " --output " + other + SETTINGS + 1);
    Path newest = run.resolve("align/checkpoints/step-000000002");
    AtomicFolder.delete(newest);
    Files.move(other.resolve("align/checkpoints/step-000000001"), newest);
    Path manifest = newest.resolve("manifest.json");
    Files.writeString(manifest, Files.readString(manifest).replace("\"step\": 1", "\"step\": 2"));
    assertRefused("", "lora.alpha: found 2.0, expected 16.0", "seed: found 8, expected 7");
  }

  @Test
  void changesAreAcceptedOnlyOfARun() {
    Cli cli = Cli.run("finetune --accept-changes --output " + folder.resolve("new"));
    assertEquals(2, cli.exitCode());
    assertTrue(cli.err().contains("--accept-changes needs --resume"), cli.err());
    assertFalse(Files.exists(folder.resolve("new")));
  }
}
