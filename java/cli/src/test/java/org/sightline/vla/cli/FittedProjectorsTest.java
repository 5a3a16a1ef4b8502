package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.vla.tabletop.TabletopGenerator;

/** Projectors that are fitted before a job's modes. */
class FittedProjectorsTest {
  @TempDir private Path folder;

  @Test
  void areFittedOnceKeptAndSharedByAllModes() throws Exception {
    Path data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(3, 1, 64, 3));
    Path run = folder.resolve("run");
    String command =
        "finetune --data "
            + data
            + " --modes default,align --steps 2 --evaluations 1 --batch-size 2 --rank 1"
            + " --projector-init fitted:8 --teacher-norm spatial --output ";
    Cli first = Cli.succeed(command + run);
    assertTrue(
        first
            .out()
            .matches("(?s).*Projectors fitted in 8 steps: held-out cosine [+-]0\\.\\d{3} -> .*"),
        first.out());
    Path fitted = run.resolve("fitted_projector.safetensors");
    byte[] weights = Files.readAllBytes(fitted);
    assertArrayEquals(
        tensors(weights),
        tensors(Files.readAllBytes(run.resolve("align/alignment_projector.safetensors"))));
    List<Map<String, String>> curve = Cli.csv(run.resolve("projector_fit.csv"));
    assertEquals(8, curve.size());
    assertTrue(
        Double.parseDouble(curve.get(7).get("cosine_2"))
            > Double.parseDouble(curve.get(0).get("cosine_2")));
    assertTrue(
        Files.readString(run.resolve("report.html")).contains("Projectors fitted in 8 steps"));

    // Fitted again they are the same; a run goes on with those it has, and with no others.
    Files.delete(fitted);
    Cli again = Cli.run("finetune --resume " + run + " --steps 3");
    assertEquals(2, again.exitCode());
    assertTrue(again.err().contains("fitted projectors"), again.err());
    Path other = folder.resolve("other");
    Cli.succeed(command + other);
    assertArrayEquals(weights, Files.readAllBytes(other.resolve("fitted_projector.safetensors")));
    Files.write(fitted, weights);
    Cli.succeed("finetune --resume " + run + " --steps 3");
    weights[weights.length - 1] ^= 1;
    Files.write(fitted, weights);
    Cli changed = Cli.run("finetune --resume " + run + " --steps 4");
    assertEquals(2, changed.exitCode());
    assertTrue(changed.err().contains("fitted projectors"), changed.err());
  }

  /** Behind the header, whose metadata differ. */
  private static byte[] tensors(byte[] file) {
    int header = java.nio.ByteBuffer.wrap(file).order(java.nio.ByteOrder.LITTLE_ENDIAN).getInt();
    return java.util.Arrays.copyOfRange(file, 8 + header, file.length);
  }

  @Test
  void nonsenseIsRefusedByName() throws Exception {
    for (String init : List.of("fitted:0", "fitted:", "fitted:1e3", "Random")) {
      Cli cli = Cli.run("finetune --output " + folder.resolve("x") + " --projector-init " + init);
      assertEquals(2, cli.exitCode(), init);
      assertTrue(
          cli.err()
              .contains(
                  "--projector-init must be random, fitted or fitted:STEPS with STEPS of at least 1,"
                      + " found \""
                      + init
                      + "\""),
          cli.err());
    }
  }
}
