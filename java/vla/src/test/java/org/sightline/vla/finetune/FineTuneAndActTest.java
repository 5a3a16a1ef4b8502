package org.sightline.vla.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.data.rlds.EpisodeReader;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.RldsKeys;
import org.sightline.vla.policy.Policy;
import org.sightline.vla.tabletop.TabletopGenerator;

/** README's program, as a program of its own: it sees what is public. */
class FineTuneAndActTest {
  @TempDir private Path folder;

  @Test
  void fineTunesOnRldsDataAndActs() throws Exception {
    Path data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(6, 2, 64, 3));
    Path image = folder.resolve("image.png");
    try (EpisodeReader reader = RldsDataset.open(data, "train", RldsKeys.BRIDGE).reader()) {
      Files.write(image, reader.read(0).steps().get(0).image());
    }
    Path output = folder.resolve("output");
    PrintStream out = System.out;
    ByteArrayOutputStream printed = new ByteArrayOutputStream();
    System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
    try {
      Class.forName("FineTuneAndAct")
          .getMethod("main", String[].class)
          .invoke(
              null,
              (Object) Stream.of(data, output, image).map(Path::toString).toArray(String[]::new));
    } finally {
      System.setOut(out);
    }
    String action = printed.toString(StandardCharsets.UTF_8);
    assertTrue(action.matches("\\[(-?\\d+\\.\\d+(E-\\d+)?(, )?){7}]\\R"), action);
    assertTrue(Files.exists(output.resolve("run.json")));
    assertTrue(Files.readString(output.resolve("report.html")).contains("<h2>Results</h2>"));
    assertEquals(
        "completed",
        ModeResult.read(org.sightline.train.Mode.ALIGN, output.resolve("align"))
            .orElseThrow()
            .summary()
            .end());
    assertBatchIsChecked(output.resolve("align"), ImageCodec.read(image));
  }

  private static void assertBatchIsChecked(Path adapter, RgbImage image) throws IOException {
    try (Policy policy = Policy.load(adapter)) {
      assertEquals(
          "instructions and seeds must be as many as cameras, 2, found 1 and 2",
          assertThrows(
                  IllegalArgumentException.class,
                  () -> policy.act(List.of(image, image), List.of("lift it"), 0, new long[2]))
              .getMessage());
      assertEquals(
          "instruction must say what to do, found nothing",
          assertThrows(
                  IllegalArgumentException.class,
                  () -> policy.act(List.of(image), List.of(" "), 0, new long[1]))
              .getMessage());
    }
  }
}
