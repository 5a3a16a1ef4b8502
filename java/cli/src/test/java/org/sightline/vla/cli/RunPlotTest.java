package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.AWTError;
import java.awt.GraphicsEnvironment;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.vla.finetune.Results;

/** Pictures, and machines that cannot draw them. */
class RunPlotTest {
  @TempDir private Path folder;

  @Test
  void chartsStandInRowsOfThree() throws IOException {
    Path file = folder.resolve("plot.png");
    assertEquals(Optional.empty(), RunPlot.write(file, Results.of(2)));
    var plot = ImageIO.read(file.toFile());
    assertEquals(3 * 520, plot.getWidth());
    assertEquals(3 * 360, plot.getHeight());
  }

  @Test
  void aCurveOfOnePointIsSeen() throws IOException {
    Path file = folder.resolve("plot.png");
    RunPlot.write(file, Results.of(1));
    int[] above = ImageIO.read(file.toFile()).getRGB(0, 0, 520, 300, null, 0, 520);
    assertTrue(
        Arrays.stream(above).anyMatch(color -> (color & 0xffffff) == 0x3b82d6),
        "nothing is drawn above the legend");
  }

  @Test
  void whateverDrawingThrowsCostsThePictureAlone() throws IOException {
    Path file = folder.resolve("plot.png");
    List<Throwable> thrown =
        List.of(
            new AWTError("Can't connect to X11 window server using ':99'"),
            new NoClassDefFoundError("Could not initialize class sun.awt.X11GraphicsEnvironment"),
            new UnsatisfiedLinkError("libfreetype.so.6"),
            new InternalError(new RuntimeException("Fontconfig head is null")),
            new Error("Probable fatal error:No physical fonts found."),
            new IOException("no encoder"));
    for (Throwable each : thrown) {
      Files.writeString(file, "of an earlier run");
      Optional<String> why =
          RunPlot.write(
              file,
              () -> {
                if (each instanceof Error e) {
                  throw e;
                }
                throw (IOException) each;
              });
      Throwable cause = each.getCause() == null ? each : each.getCause();
      assertEquals(Optional.of(cause.toString()), why);
      assertFalse(Files.exists(file), "a picture of another run is left");
    }
  }

  @Test
  void aFileThatCannotBeWrittenIsAnError() {
    assertThrows(
        IOException.class, () -> RunPlot.write(folder.resolve("none/plot.png"), () -> new byte[1]));
  }

  @Test
  void aDisplayThatIsGoneIsNotAskedFor() throws Exception {
    String said = drawn(Files.createDirectory(folder.resolve("home")), null);
    assertTrue(said.endsWith("headless, drawn\n"), said);
  }

  @Test
  void withoutAnyFontThereIsAWordOrAPicture() throws Exception {
    Path fonts =
        Files.writeString(
            folder.resolve("fonts.conf"),
            "<?xml version=\"1.0\"?><!DOCTYPE fontconfig SYSTEM \"fonts.dtd\">"
                + "<fontconfig></fontconfig>");
    // The JDK keeps what it knows of fonts in the home folder.
    String said = drawn(Files.createDirectory(folder.resolve("home")), fonts);
    boolean picture = Files.exists(folder.resolve("plot.png"));
    assertEquals(picture, said.endsWith("headless, drawn\n"), said);
    assertTrue(picture || said.contains("headless, not drawn: "), said);
  }

  /** What {@link Draw} says in a process of its own. */
  private String drawn(Path home, Path fonts) throws Exception {
    ProcessBuilder builder =
        new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-Duser.home=" + home,
            "-cp",
            System.getProperty("java.class.path"),
            Draw.class.getName(),
            folder.resolve("plot.png").toString());
    builder.environment().put("DISPLAY", ":99");
    if (fonts != null) {
      builder.environment().put("FONTCONFIG_FILE", fonts.toString());
    }
    Process process = builder.redirectErrorStream(true).start();
    String said =
        new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8)
            .replace("\r\n", "\n");
    assertEquals(0, process.waitFor(), said);
    return said;
  }

  /** Draws in a process where the command line was asked for something first. */
  static final class Draw {
    private Draw() {}

    public static void main(String[] args) throws IOException {
      PrintWriter out = new PrintWriter(System.out, true);
      Main.execute(out, out, "--help");
      Optional<String> why = RunPlot.write(Path.of(args[0]), Results.of(2));
      out.println(
          (GraphicsEnvironment.isHeadless() ? "headless, " : "with a display, ")
              + why.map(reason -> "not drawn: " + reason).orElse("drawn"));
    }
  }
}
