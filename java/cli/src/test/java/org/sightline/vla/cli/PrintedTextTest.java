package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.vla.tabletop.TabletopGenerator;

/**
 * What files say is printed, but does nothing to the terminal; what they name stays beside them.
 */
class PrintedTextTest {
  private static final String EVIL = "x\u001b]0;owned\u0007\u001b[2J\r\nOK: \u202e\u009b31m";
  private static final String SHOWN =
      "x\\u001b]0;owned\\u0007\\u001b[2J\\r\\nOK: \\u202e\\u009b31m";

  @TempDir private Path folder;

  private static void assertHarmless(Cli cli) {
    for (String text : List.of(cli.out(), cli.err())) {
      assertFalse(
          text.chars().anyMatch(c -> c != '\n' && Character.isISOControl(c) || c == 0x202e), text);
      assertFalse(text.contains("\nOK"), text);
    }
  }

  @Test
  void namesOfTensorsAndMetadata() throws IOException {
    Path file = folder.resolve("m.safetensors");
    Safetensors.write(file, Map.of(EVIL, torch.ones(1)), Map.of("k" + EVIL, EVIL));
    Cli text = Cli.succeed("inspect " + file);
    assertHarmless(text);
    assertTrue(text.out().contains("k" + SHOWN + ": " + SHOWN), text.out());
    Cli json = Cli.succeed("inspect --json " + file);
    assertHarmless(json);
    JsonObject tensor = json.json().getAsJsonArray("tensor_list").get(0).getAsJsonObject();
    assertEquals(EVIL, tensor.get("name").getAsString());
    Cli refused = Cli.run("eval --data x --weights " + file);
    assertHarmless(refused);
  }

  @Test
  void messages() throws IOException {
    Path file = folder.resolve("m.safetensors");
    Safetensors.write(file, Map.of(EVIL, torch.ones(1)), Map.of());
    for (String option : List.of("", " --stacktrace")) {
      Cli cli = Cli.run("plan --weights " + file + option);
      assertEquals(2, cli.exitCode());
      assertHarmless(new Cli(2, "", cli.err().replace("\t", "")));
      assertTrue(cli.err().contains(SHOWN), cli.err());
    }
    for (String[] arguments :
        new String[][] {
          {"inspect", EVIL}, {EVIL}, {"doctor", "--" + EVIL}, {"plan", "--rank", EVIL}
        }) {
      Cli cli = Cli.of(arguments);
      assertEquals(2, cli.exitCode());
      assertHarmless(cli);
      assertTrue(cli.err().contains(SHOWN), cli.err());
    }
  }

  @Test
  void aMessageHasAnEnd() {
    Cli cli = Cli.of("inspect", "x".repeat(200_000));
    assertEquals(2, cli.exitCode());
    assertTrue(cli.err().length() < 100_200 && cli.err().endsWith("… and more\n"), cli.err());
  }

  @Test
  void defaultsInHelp() throws IOException {
    Path config = folder.resolve("config.yaml");
    String value = "a$b${sys:user.home}$$@|red c|@" + EVIL;
    String yaml = new Gson().toJson(Map.of("output", value));
    Files.writeString(config, yaml.replace("\u009b", "\\u009b"));
    Cli help = Cli.succeed("finetune --help --config " + config);
    assertHarmless(help);
    String shown = "a$b${sys:user.home}$$@\\u007cred c|@" + SHOWN;
    String text = help.out().replaceAll("\\s+", "");
    assertTrue(text.contains("Default:" + shown.replace(" ", "")), help.out());
  }

  @Test
  void namesInFilesAreNoPaths() throws IOException {
    Path data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(2, 1, 64, 3));
    Path info = data.resolve("dataset_info.json");
    String good = Files.readString(info);
    String name = data.resolve("sightline_tabletop").toString();
    for (String change :
        List.of(
            "\"sightline_tabletop\" \"" + name + "\"",
            "\"sightline_tabletop\" \"../data/sightline_tabletop\"",
            "\"sightline_tabletop\" \"a\\u0000b\"",
            "\"sightline_tabletop\" \"a\\u001b[2J\"",
            "\"train\" \"../train\"")) {
      String[] parts = change.split(" ");
      assertTrue(good.contains(parts[0]), good);
      Files.writeString(info, good.replace(parts[0], parts[1]));
      for (String command : List.of("inspect ", "finetune --output " + folder + "/out --data ")) {
        Cli cli = Cli.run(command + data);
        assertEquals(2, cli.exitCode(), cli.out());
        assertTrue(
            cli.err().contains(info + ": ") && cli.err().contains("expected a plain name"),
            cli.err());
        assertHarmless(cli);
      }
      assertFalse(Files.exists(folder.resolve("out")));
    }
  }

  @Test
  void aCommandToTypeAgainIsOneLine() {
    assertEquals("$'a\\nb\\u001b\\'\\\\'", Launcher.quoted("a\nb\u001b'\\"));
    assertEquals("'a b'\\''c\\'", Launcher.quoted("a b'c\\"));
  }
}
